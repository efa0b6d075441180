"""Who may come in, and who is sent back: memory of the compiled scheduler."""

import numpy as np

from costpertoken.fleet.compiled import part
from costpertoken.fleet.queues import leave, take, unlink
from costpertoken.fleet.state import (
    ADMISSIONS,
    ADMITTED,
    ANSWERING,
    ARRIVAL,
    AT,
    BACK,
    BELOW,
    CONTEXT,
    DECODING,
    ENDS,
    ENTERED,
    EVICTABLE,
    FILL_TO,
    FILLED,
    FILLING,
    FREE,
    HELD,
    HIT,
    INSIDE,
    MADE,
    NEXT,
    NOW,
    OUT,
    PROMPT,
    REFUSED,
    RESIDENT,
    RUNNING,
    SENT_BACK,
    STACK,
    STARTS,
    STEPS,
    TARGET,
    TURN,
    USERS,
    WINDOWED,
)


@part
def blocks(tokens, rules):
    """Blocks that hold so many tokens."""
    return -(-tokens // rules.block_tokens)


@part
def head(s):
    """The request whose turn it is: one that was sent back, else the next that has come; -1 if none."""
    if s.n[BACK]:
        return s.queue[0, s.n[BACK] - 1]
    while s.n[NEXT] < s.f.shape[0] and s.r[s.n[NEXT], REFUSED]:
        s.n[NEXT] += 1
    if s.n[NEXT] < s.f.shape[0] and s.f[s.n[NEXT], ARRIVAL] <= s.x[NOW]:
        return s.n[NEXT]
    return -1


@part
def admit(s, rules):
    """Bring in the request whose turn it is, if there is a slot and room for its prompt."""
    who = head(s)
    if who < 0 or s.n[RUNNING] == rules.max_batch or not place(s, rules, who):
        return False
    if s.n[BACK]:
        s.n[BACK] -= 1
    else:
        s.n[NEXT] += 1
    if np.isnan(s.f[who, ADMITTED]):
        s.f[who, ADMITTED], s.r[who, HIT] = s.x[NOW], s.r[who, FILLED]
    s.r[who, AT], s.r[who, TURN] = FILLING, s.n[ADMISSIONS]
    s.n[ADMISSIONS] += 1
    s.n[RUNNING] += 1
    if s.n[STACK] == s.stack.shape[0]:
        compact(s)
    s.stack[s.n[STACK], 0], s.stack[s.n[STACK], 1] = who, s.r[who, TURN]
    s.n[STACK] += 1
    s.queue[1, s.n[FILL_TO]] = who
    s.n[FILL_TO] = (s.n[FILL_TO] + 1) % s.queue.shape[1]
    return True


@part
def compact(s):
    """Drop what is stale from the order of admission."""
    kept = 0
    for i in range(s.n[STACK]):
        who, turn = s.stack[i, 0], s.stack[i, 1]
        if s.r[who, AT] != OUT and s.r[who, TURN] == turn:
            s.stack[kept, 0], s.stack[kept, 1] = who, turn
            kept += 1
    s.n[STACK] = kept


@part
def place(s, rules, who):
    """Take the memory that a request needs to come in, its cached prefix counted as there; False if it is not free."""
    s.r[who, FILLED], s.r[who, HELD], s.r[who, TARGET] = 0, 0, s.r[who, PROMPT] + s.r[who, MADE]
    if rules.reserved:
        return take(s, rules.reserved, rules.prefix_units)
    target, found, idle = s.r[who, TARGET], 0, 0
    if rules.prefix_units:
        found, idle = resident(s, rules, who)
    wanted = blocks(target, rules) - found * rules.prefix_units
    if wanted > s.n[FREE] + s.n[EVICTABLE] - idle * rules.prefix_units:
        return False
    for j in range(found):
        block = s.ids[s.r[who, STARTS] + j]
        if s.p[block, USERS] == 0:
            unlink(s, block)
            s.n[EVICTABLE] -= rules.prefix_units
        s.p[block, USERS] += 1
    take(s, wanted, rules.prefix_units)
    s.r[who, HELD], s.r[who, FILLED] = found, min(found * rules.prefix_tokens, target - 1)
    return True


@part
def own_blocks(s, rules, who):
    """Whole prefix blocks of a prompt."""
    return min(s.r[who, ENDS] - s.r[who, STARTS], s.r[who, PROMPT] // rules.prefix_tokens)


@part
def resident(s, rules, who):
    """(leading blocks of the prompt that are in the cache, how many of them nobody uses)."""
    found, idle = 0, 0
    for j in range(own_blocks(s, rules, who)):
        block = s.ids[s.r[who, STARTS] + j]
        if not s.p[block, RESIDENT]:
            break
        found += 1
        idle += s.p[block, USERS] == 0
    return found, idle


@part
def keep_prefix(s, rules, who):
    """A computed prompt's blocks can be used by others; a copy of one that is there already is freed."""
    if rules.prefix_units == 0:
        return
    for j in range(s.r[who, HELD], own_blocks(s, rules, who)):
        block = s.ids[s.r[who, STARTS] + j]
        if s.p[block, RESIDENT]:
            s.n[FREE] += rules.prefix_units
            if s.p[block, USERS] == 0:
                unlink(s, block)
                s.n[EVICTABLE] -= rules.prefix_units
        s.p[block, RESIDENT] = True
        s.p[block, USERS] += 1
        s.r[who, HELD] += 1


@part
def give_up(s, rules, who):
    """Leave the engine: what was private is free, prefixes stay until their room is needed."""
    grown = s.n[STEPS] - s.r[who, ENTERED] if s.r[who, AT] == ANSWERING else 0
    context = s.r[who, TARGET] if s.r[who, AT] == FILLING else s.r[who, FILLED] + grown
    s.r[who, AT] = OUT
    s.n[RUNNING] -= 1
    s.n[FREE] += rules.reserved if rules.reserved else blocks(context, rules) - s.r[who, HELD] * rules.prefix_units
    for j in range(s.r[who, HELD] - 1, -1, -1):
        leave(s, s.ids[s.r[who, STARTS] + j], rules.prefix_units)


@part
def newest(s):
    """The request admitted last of those that run; what is stale on top of the stack is dropped."""
    while True:
        s.n[STACK] -= 1
        who, turn = s.stack[s.n[STACK], 0], s.stack[s.n[STACK], 1]
        if s.r[who, AT] != OUT and s.r[who, TURN] == turn:
            return who


@part
def send_back(s, rules, looks):
    """Preempt the newest: its blocks are freed; its prompt and the answer so far will be computed again."""
    who = newest(s)
    made = s.n[STEPS] - s.r[who, ENTERED] if s.r[who, AT] == ANSWERING else 0
    if s.r[who, AT] == ANSWERING:
        stop(s, rules, looks, who)
    else:
        s.n[FILL_TO] = (s.n[FILL_TO] - 1) % s.queue.shape[1]
    give_up(s, rules, who)
    s.r[who, MADE] += made
    s.r[who, SENT_BACK] += 1
    s.queue[0, s.n[BACK]] = who
    s.n[BACK] += 1


@part
def stop(s, rules, looks, who):
    """Out of the decoding sequences."""
    context = s.r[who, FILLED] + s.n[STEPS] - s.r[who, ENTERED]
    s.n[DECODING] -= 1
    s.n[CONTEXT] -= context
    s.n[WINDOWED] -= min(context, looks.window)
    s.n[BELOW] -= s.r[who, INSIDE]
    s.r[who, INSIDE] = 0
    s.phase[(s.r[who, FILLED] - s.r[who, ENTERED]) % rules.block_tokens] -= 1
