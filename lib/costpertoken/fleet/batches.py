"""The compiled scheduler of static batches: formed, prefilled, decoded to the longest answer, then the next."""

import numpy as np

from costpertoken.fleet.compiled import compiled, part
from costpertoken.fleet.loop import look, sample, windowed
from costpertoken.fleet.queues import pop, push
from costpertoken.fleet.state import (
    ADMITTED,
    ANSWER,
    ARRIVAL,
    BUSY,
    CONTEXT,
    FINISH,
    FIRST,
    FORMED,
    FREE,
    HEAP,
    NEXT,
    NOW,
    PROMPT,
    REFUSED,
    RUNNING,
    SLOT,
)


@compiled
def run(s, rules, looks, window_s, slots):
    """Serve every request that is not refused; s.x[FORMED] gathers the slot-seconds of the batches as formed."""
    batch, at = np.zeros(rules.max_batch, np.int64), 0
    while True:
        while at < s.f.shape[0] and s.r[at, REFUSED]:
            at += 1
        if at == s.f.shape[0]:
            return
        s.x[NOW] = max(s.x[NOW], opened(s, slots, at, window_s))
        size, at, longest = form(s, rules, at, batch)
        s.n[NEXT] = at
        fill(s, rules, looks, batch[:size], longest)
        decode(s, rules, looks, batch[:size])
        s.n[RUNNING], s.n[FREE] = 0, rules.units


@part
def opened(s, slots, at, window_s):
    """When a batch that begins with a request may start: full, or the window after its arrival, whichever is first."""
    waits, size = s.f[at, ARRIVAL] + window_s, 0
    for i in range(at, s.f.shape[0]):
        if s.f[i, ARRIVAL] > waits:
            break
        size += s.r[i, REFUSED] == 0
        if size == slots:
            return s.f[i, ARRIVAL]
    return waits


@part
def stretch(s, rules, batch, longest):
    """Blocks of a batch: a reserved stretch each, else each prompt with the longest answer."""
    if rules.reserved:
        return batch.size * rules.reserved
    held = 0
    for who in batch:
        held += -(-(s.r[who, PROMPT] + longest) // rules.block_tokens)
    return held


@part
def form(s, rules, at, batch):
    """(size, next request, longest answer) of a batch of those that have come, in order, as many as slots and memory take."""
    size, longest = 0, 0
    while at < s.f.shape[0] and size < rules.max_batch and s.f[at, ARRIVAL] <= s.x[NOW]:
        if s.r[at, REFUSED] == 0:
            batch[size], tried = at, max(longest, s.r[at, ANSWER])
            if size and stretch(s, rules, batch[: size + 1], tried) > rules.units:
                break
            size, longest = size + 1, tried
            s.f[at, ADMITTED] = s.x[NOW]
        at += 1
    return size, at, longest


@part
def fill(s, rules, looks, batch, longest):
    """All prompts in one step, which makes each one's first token; the memory of the whole batch is taken."""
    pairs, s.n[RUNNING], s.n[CONTEXT] = 0.0, batch.size, 0
    for who in batch:
        s.n[CONTEXT] += s.r[who, PROMPT]
        pairs += s.r[who, PROMPT] * windowed(0.5 * s.r[who, PROMPT], looks)
    seconds = look(looks.token_s, s.n[CONTEXT]) + looks.decode_s[0] + looks.pair_s * pairs
    s.x[NOW] += seconds
    s.x[BUSY] += seconds
    for who in batch:
        s.f[who, FIRST] = s.x[NOW]
    s.n[FREE] = rules.units - stretch(s, rules, batch, longest)
    sample(s, rules, seconds)


@part
def decode(s, rules, looks, batch):
    """Steps to the longest answer, every slot computed in each; an answer is out with its own last token."""
    size, context, made = batch.size, s.n[CONTEXT], 1
    for who in batch:
        s.n[HEAP] = push(s.heap, s.n[HEAP], s.r[who, ANSWER], who)
    fixed = look(looks.token_s, size) + look(looks.decode_s, size)
    while True:
        while s.n[HEAP] and s.heap[0, 0] == made:
            s.n[HEAP], who = pop(s.heap, s.n[HEAP])
            s.f[who, FINISH] = s.x[NOW]
        if s.n[HEAP] == 0:
            return
        held = float(context)
        if looks.window_share:
            held = 0.0
            for who in batch:
                held += windowed(float(s.r[who, PROMPT] + made - 1), looks)
        seconds = fixed + looks.cache_s * held
        s.x[NOW] += seconds
        s.x[BUSY] += seconds
        s.x[SLOT] += seconds * s.n[HEAP]
        s.x[FORMED] += seconds * size
        s.n[CONTEXT] += s.n[HEAP]
        context += size
        made += 1
        sample(s, rules, seconds)
