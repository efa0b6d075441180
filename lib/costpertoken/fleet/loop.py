"""The compiled scheduler of continuous batching: one engine step after the other. It knows no model and no price.

A step costs the same whatever the batch: answers that end wait in a heap by step, blocks that fill up are counted by phase.
"""

import numpy as np

from costpertoken.fleet.admission import admit, give_up, keep_prefix, send_back, stop
from costpertoken.fleet.compiled import compiled, part
from costpertoken.fleet.queues import pop, push, take
from costpertoken.fleet.state import (
    ANSWER,
    ANSWERING,
    ARRIVAL,
    ARRIVED,
    AT,
    BACK,
    BELOW,
    BUSY,
    CONTEXT,
    CROSS,
    DECODING,
    DUE,
    ENTERED,
    EVICTABLE,
    FILL_FROM,
    FILL_TO,
    FILLED,
    FINISH,
    FIRST,
    FREE,
    HEAP,
    INSIDE,
    ITERATIONS,
    MADE,
    MOST_SAMPLES,
    NEXT,
    NOW,
    REFUSED,
    RUNNING,
    SAMPLES,
    SLOT,
    STEPS,
    STRIDE,
    TARGET,
    WINDOWED,
)


@compiled
def run(s, rules, looks):
    """Serve every request that is not refused."""
    while True:
        tokens, pairs, preempted = 0, 0.0, False
        if rules.apart:
            tokens, pairs = prompts(s, rules, looks, not preempted)
        if tokens == 0:
            preempted = grow(s, rules, looks)
            if not rules.apart:
                tokens, pairs = prompts(s, rules, looks, not preempted)
        decoding = 0 if rules.apart and tokens else s.n[DECODING]
        if decoding + tokens == 0:
            if not come(s):
                return
            continue
        seconds = step_seconds(s, looks, decoding, tokens, pairs)
        s.x[NOW] += seconds
        s.x[BUSY] += seconds
        s.x[SLOT] += seconds * decoding
        if decoding:
            answer(s, rules, looks)
        arrive(s, rules, looks)
        sample(s, rules, seconds)


@part
def come(s):
    """Let the clock go to the next arrival; False where none is left."""
    while s.n[NEXT] < s.f.shape[0] and s.r[s.n[NEXT], REFUSED]:
        s.n[NEXT] += 1
    if s.n[NEXT] == s.f.shape[0]:
        return False
    s.x[NOW] = max(s.x[NOW], s.f[s.n[NEXT], ARRIVAL])
    return True


@part
def look(table, at):
    """A table's value; beyond its end in the straight line of its last two."""
    last = table.size - 1
    if at <= last:
        return table[at]
    return table[last] + (at - last) * (table[last] - table[last - 1])


@part
def windowed(tokens, looks):
    """Tokens that a mean layer holds or looks back on."""
    return (1.0 - looks.window_share) * tokens + looks.window_share * min(tokens, looks.window)


@part
def step_seconds(s, looks, decoding, tokens, pairs):
    """Seconds of a step."""
    held = 0.0
    if decoding:
        held = (1.0 - looks.window_share) * s.n[CONTEXT] + looks.window_share * s.n[WINDOWED]
    fixed = look(looks.token_s, decoding + tokens) + look(looks.decode_s, decoding)
    return fixed + looks.cache_s * held + looks.pair_s * pairs


@part
def grow(s, rules, looks):
    """A block more for each sequence whose last one is full; where none is free, the newest are sent back first."""
    if rules.reserved or s.n[DECODING] == 0:
        return False
    preempted, place = False, -s.n[STEPS] % rules.block_tokens
    while not take(s, s.phase[place], rules.prefix_units):
        send_back(s, rules, looks)
        preempted = True
    return preempted


@part
def prompts(s, rules, looks, admitting):
    """(tokens, pairs) of the prompt pieces of this step: those in progress first, then who may come in."""
    left = rules.budget - s.n[DECODING] if rules.budget else 2**60
    tokens, pairs, at = 0, 0.0, s.n[FILL_FROM]
    while left > 0:
        if at == s.n[FILL_TO] and not (admitting and admit(s, rules)):
            break
        who = s.queue[1, at]
        piece = min(left, s.r[who, TARGET] - s.r[who, FILLED])
        pairs += piece * windowed(s.r[who, FILLED] + 0.5 * piece, looks)
        s.r[who, FILLED] += piece
        tokens, left = tokens + piece, left - piece
        at = (at + 1) % s.queue.shape[1]
    return tokens, pairs


@part
def answer(s, rules, looks):
    """Every decoding sequence has one token more; those whose last it was are done."""
    s.n[STEPS] += 1
    now = s.n[STEPS]
    s.n[CONTEXT] += s.n[DECODING]
    s.n[WINDOWED] += s.n[BELOW]
    while s.n[CROSS] and s.cross[0, 0] <= now:
        s.n[CROSS], who = pop(s.cross, s.n[CROSS])
        if s.r[who, INSIDE] and s.r[who, FILLED] + now - s.r[who, ENTERED] == looks.window:
            s.r[who, INSIDE] = 0
            s.n[BELOW] -= 1
    while s.n[HEAP] and s.heap[0, 0] <= now:
        s.n[HEAP], who = pop(s.heap, s.n[HEAP])
        if s.r[who, AT] == ANSWERING and s.r[who, DUE] == now:
            stop(s, rules, looks, who)
            end(s, rules, who)


@part
def end(s, rules, who):
    """The last token is out."""
    s.r[who, MADE], s.f[who, FINISH] = s.r[who, ANSWER], s.x[NOW]
    give_up(s, rules, who)


@part
def arrive(s, rules, looks):
    """Prompts that are done have their first token, and are kept for others where prefixes are."""
    while s.n[FILL_FROM] != s.n[FILL_TO]:
        who = s.queue[1, s.n[FILL_FROM]]
        if s.r[who, FILLED] < s.r[who, TARGET]:
            return
        s.n[FILL_FROM] = (s.n[FILL_FROM] + 1) % s.queue.shape[1]
        keep_prefix(s, rules, who)
        s.r[who, MADE] += 1
        if np.isnan(s.f[who, FIRST]):
            s.f[who, FIRST] = s.x[NOW]
        if s.r[who, MADE] == s.r[who, ANSWER]:
            end(s, rules, who)
        else:
            enter(s, rules, looks, who)


@part
def enter(s, rules, looks, who):
    """Among the decoding sequences, with the token of its prompt made."""
    filled, now = s.r[who, FILLED], s.n[STEPS]
    s.r[who, AT], s.r[who, ENTERED], s.r[who, DUE] = ANSWERING, now, now + s.r[who, ANSWER] - s.r[who, MADE]
    if s.n[HEAP] == s.heap.shape[0] or s.n[CROSS] == s.cross.shape[0]:
        purge(s, looks)
    s.n[HEAP] = push(s.heap, s.n[HEAP], s.r[who, DUE], who)
    s.n[DECODING] += 1
    s.n[CONTEXT] += filled
    s.n[WINDOWED] += min(filled, looks.window)
    s.phase[(filled - now) % rules.block_tokens] += 1
    if filled < looks.window:
        s.r[who, INSIDE] = 1
        s.n[BELOW] += 1
        s.n[CROSS] = push(s.cross, s.n[CROSS], now + looks.window - filled, who)


@part
def purge(s, looks):
    """Drop from both heaps what was sent back since; what is left keeps its order."""
    size, s.n[HEAP] = s.n[HEAP], 0
    for step, who in s.heap[:size].copy():
        if s.r[who, AT] == ANSWERING and s.r[who, DUE] == step:
            s.n[HEAP] = push(s.heap, s.n[HEAP], step, who)
    size, s.n[CROSS] = s.n[CROSS], 0
    for step, who in s.cross[:size].copy():
        if s.r[who, INSIDE] and s.r[who, FILLED] + step - s.r[who, ENTERED] == looks.window:
            s.n[CROSS] = push(s.cross, s.n[CROSS], step, who)


@part
def sample(s, rules, seconds):
    """A row of the timeline every so many steps; full, every second row goes and the steps between double."""
    s.n[ITERATIONS] += 1
    while s.n[ARRIVED] < s.f.shape[0] and s.f[s.n[ARRIVED], ARRIVAL] <= s.x[NOW]:
        s.n[ARRIVED] += 1
    if s.n[ITERATIONS] % s.n[STRIDE]:
        return
    if s.n[SAMPLES] == MOST_SAMPLES:
        for kept in range(MOST_SAMPLES // 2):
            for column in range(s.samples.shape[1]):
                s.samples[kept, column] = s.samples[2 * kept + 1, column]
        s.n[SAMPLES] //= 2
        s.n[STRIDE] *= 2
    row = s.samples[s.n[SAMPLES]]
    row[0], row[1], row[2], row[5] = s.x[NOW], s.n[RUNNING], s.n[ARRIVED] - s.n[NEXT] + s.n[BACK], seconds
    row[3] = s.n[CONTEXT]
    row[4] = (rules.units - s.n[FREE] - s.n[EVICTABLE]) * rules.block_tokens
    s.n[SAMPLES] += 1
