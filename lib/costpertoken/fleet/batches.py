"""The compiled scheduler of static batches: formed, prefilled, decoded to the longest answer, then the next."""

import numpy as np

from costpertoken.fleet.compiled import compiled
from costpertoken.fleet.loop import look, windowed
from costpertoken.fleet.state import (
    ADMITTED,
    ANSWER,
    ARRIVAL,
    BUSY,
    FINISH,
    FIRST,
    FORMED,
    ITERATIONS,
    NOW,
    PROMPT,
    REFUSED,
    SLOT,
)


@compiled
def run(s, rules, looks, window_s):
    """Serve every request that is not refused; s.x[FORMED] gathers the slot-seconds of the batches as formed."""
    batch, at = np.zeros(rules.max_batch, np.int64), 0
    while True:
        while at < s.f.shape[0] and s.r[at, REFUSED]:
            at += 1
        if at == s.f.shape[0]:
            return
        s.x[NOW] = max(s.x[NOW], opened(s, rules, at, window_s))
        size, at = form(s, rules, at, batch)
        fill(s, looks, batch[:size])
        decode(s, rules, looks, batch[:size])


@compiled
def opened(s, rules, at, window_s):
    """When a batch that begins with a request may start: full, or the window after its arrival, whichever is first."""
    waits, last = s.f[at, ARRIVAL] + window_s, at + rules.max_batch - 1
    return min(waits, s.f[last, ARRIVAL]) if last < s.f.shape[0] else waits


@compiled
def stretch(rules, prompts, size, longest):
    """Blocks of a batch of `size`: a reserved stretch each, else each prompt with the longest answer."""
    if rules.reserved:
        return size * rules.reserved
    return -(-(prompts + size * longest) // rules.block_tokens) + size


@compiled
def form(s, rules, at, batch):
    """(size, next request) of a batch of those that have come, in order, as many as slots and memory take."""
    size, prompts, longest = 0, 0, 0
    while at < s.f.shape[0] and size < rules.max_batch:
        if s.r[at, REFUSED]:
            at += 1
            continue
        tried = max(longest, s.r[at, ANSWER])
        full = stretch(rules, prompts + s.r[at, PROMPT], size + 1, tried) > rules.units
        if s.f[at, ARRIVAL] > s.x[NOW] or (full and size):
            break
        batch[size], prompts, longest = at, prompts + s.r[at, PROMPT], tried
        s.f[at, ADMITTED] = s.x[NOW]
        size, at = size + 1, at + 1
    return size, at


@compiled
def fill(s, looks, batch):
    """All prompts in one step, which makes each one's first token."""
    tokens, pairs = 0, 0.0
    for who in batch:
        tokens += s.r[who, PROMPT]
        pairs += s.r[who, PROMPT] * windowed(0.5 * s.r[who, PROMPT], looks)
    seconds = look(looks.token_s, tokens) + look(looks.decode_s, 0) + looks.pair_s * pairs
    s.x[NOW] += seconds
    s.x[BUSY] += seconds
    s.n[ITERATIONS] += 1
    s.f[batch, FIRST] = s.x[NOW]


@compiled
def decode(s, rules, looks, batch):
    """Steps to the longest answer, every slot computed in each; an answer is out with its own last token."""
    size, order = batch.size, batch[np.argsort(s.r[batch, ANSWER])]
    fixed = look(looks.token_s, size) + look(looks.decode_s, size)
    done, context = 0, np.sum(s.r[batch, PROMPT])
    for made in range(1, s.r[order[-1], ANSWER] + 1):
        while done < size and s.r[order[done], ANSWER] == made:
            s.f[order[done], FINISH] = s.x[NOW]
            done += 1
        if done == size:
            return
        held = float(context)
        if looks.window_share:
            held = np.sum(windowed_all(s.r[batch, PROMPT] + made - 1, looks))
        seconds = fixed + looks.cache_s * held
        s.x[NOW] += seconds
        s.x[BUSY] += seconds
        s.x[SLOT] += seconds * (size - done)
        s.x[FORMED] += seconds * size
        s.n[ITERATIONS] += 1
        context += size


@compiled
def windowed_all(tokens, looks):
    """`windowed` of many."""
    return (1.0 - looks.window_share) * tokens + looks.window_share * np.minimum(tokens, looks.window)
