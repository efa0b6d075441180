"""Queues of the compiled scheduler: a heap of steps, and least-recently-used order of prefix blocks."""

from costpertoken.fleet.compiled import part
from costpertoken.fleet.state import EVICTABLE, FREE, NEWER, NEWEST, OLDER, OLDEST, RESIDENT, USERS


@part
def first(heap, i, step, who):
    """Whether entry i comes before (step, who): the earlier step, of one step the earlier request."""
    return heap[i, 0] < step or (heap[i, 0] == step and heap[i, 1] < who)


@part
def push(heap, size, step, who):
    """Put (step, who) on a heap of `size` entries; returns the new size."""
    i = size
    while i > 0:
        parent = (i - 1) // 2
        if first(heap, parent, step, who):
            break
        heap[i, 0], heap[i, 1] = heap[parent, 0], heap[parent, 1]
        i = parent
    heap[i, 0], heap[i, 1] = step, who
    return size + 1


@part
def pop(heap, size):
    """Take the first entry off; returns (new size, who)."""
    who, size = heap[0, 1], size - 1
    step, last, i = heap[size, 0], heap[size, 1], 0
    while 2 * i + 1 < size:
        child = 2 * i + 1
        if child + 1 < size and first(heap, child + 1, heap[child, 0], heap[child, 1]):
            child += 1
        if not first(heap, child, step, last):
            break
        heap[i, 0], heap[i, 1] = heap[child, 0], heap[child, 1]
        i = child
    heap[i, 0], heap[i, 1] = step, last
    return size, who


@part
def unlink(s, block):
    """Out of the order of eviction."""
    older, newer = s.p[block, OLDER], s.p[block, NEWER]
    if older >= 0:
        s.p[older, NEWER] = newer
    else:
        s.n[OLDEST] = newer
    if newer >= 0:
        s.p[newer, OLDER] = older
    else:
        s.n[NEWEST] = older


@part
def leave(s, block, units):
    """One user less; the last one leaves the block behind, evictable, as the most recently used."""
    s.p[block, USERS] -= 1
    if s.p[block, USERS] == 0:
        s.p[block, OLDER], s.p[block, NEWER] = s.n[NEWEST], -1
        if s.n[NEWEST] >= 0:
            s.p[s.n[NEWEST], NEWER] = block
        else:
            s.n[OLDEST] = block
        s.n[NEWEST] = block
        s.n[EVICTABLE] += units


@part
def take(s, wanted, units):
    """Take free blocks, evicting the least recently used prefixes where needed; False, and nothing taken, if too few."""
    if wanted > s.n[FREE] + s.n[EVICTABLE]:
        return False
    while s.n[FREE] < wanted:
        block = s.n[OLDEST]
        unlink(s, block)
        s.p[block, RESIDENT] = False
        s.n[EVICTABLE] -= units
        s.n[FREE] += units
    s.n[FREE] -= wanted
    return True
