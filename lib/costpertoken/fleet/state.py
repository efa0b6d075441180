"""State of the compiled scheduler: few arrays, whose columns and places are named by constants, which the compiler folds.

Passing many arrays from function to function costs more than what a step does; so those of one shape lie in one.
"""

from typing import NamedTuple

import numpy as np

from costpertoken.fleet.terms import Terms
from costpertoken.fleet.trace import Trace

#: `n`, whole numbers: the next request to come, those sent back, prompts in progress (a ring), the order of admission, heaps,
#: decode steps so far, sequences and tokens in the engine, blocks, the order of eviction, counts, the timeline.
(NEXT, BACK, FILL_FROM, FILL_TO, STACK, HEAP, CROSS, STEPS, DECODING, RUNNING, BELOW, CONTEXT, WINDOWED, FREE, EVICTABLE,
 OLDEST, NEWEST, ADMISSIONS, SAMPLES, STRIDE, ITERATIONS, ARRIVED, N) = range(23)  # fmt: skip
#: `x`, seconds: the clock, time in steps, sequence-seconds in which a token was made, slot-seconds of batches as formed.
NOW, BUSY, SLOT, FORMED, X = range(5)
#: `r`, whole numbers by request; INSIDE: its context is still shorter than the window.
(PROMPT, ANSWER, STARTS, ENDS, REFUSED, AT, MADE, TARGET, FILLED, ENTERED, DUE, TURN, HELD, HIT, SENT_BACK, INSIDE,
 R) = range(17)  # fmt: skip
#: `f`, seconds by request.
ARRIVAL, ADMITTED, FIRST, FINISH, F = range(5)
#: `p`, whole numbers by prefix block: users, whether it is in the cache, neighbours in the order of eviction.
USERS, RESIDENT, OLDER, NEWER, P = range(5)
#: What a request is at: outside, its prompt in progress, its answer.
OUT, FILLING, ANSWERING = range(3)
#: Columns of a sample.
SAMPLE = ("time_s", "running", "waiting", "used_tokens", "held_tokens", "step_s")
MOST_SAMPLES = 2048


class State(NamedTuple):
    """See the constants above; heap and cross: (step, request); stack: (request, turn); queue: sent back, in progress."""

    n: np.ndarray
    x: np.ndarray
    r: np.ndarray
    f: np.ndarray
    p: np.ndarray
    ids: np.ndarray
    heap: np.ndarray
    cross: np.ndarray
    stack: np.ndarray
    queue: np.ndarray
    phase: np.ndarray
    samples: np.ndarray


class Rules(NamedTuple):
    """What the scheduler is held to."""

    max_batch: int
    budget: int  # tokens of a step; 0: whole prompts
    apart: bool  # prompts in steps of their own
    block_tokens: int
    units: int  # blocks of the cache
    reserved: int  # blocks of a reserved stretch; 0: paged
    prefix_units: int  # blocks of a prefix block; 0: no prefix caching
    prefix_tokens: int


class Looks(NamedTuple):
    """The terms as the compiler wants them."""

    token_s: np.ndarray
    decode_s: np.ndarray
    cache_s: float
    pair_s: float
    window_share: float
    window: int


def looks_of(terms: Terms) -> Looks:
    """Terms as plain arrays and numbers."""
    rates = terms.cache_token_s, terms.pair_s, terms.window_share
    return Looks(terms.token_s, terms.decode_s, *rates, int(terms.window_tokens))


def new_state(trace: Trace, refused: np.ndarray, rules: Rules) -> State:
    """An empty engine before the first request. Lists have room for the batch and for what is stale in them."""
    count, slots = trace.arrival_s.size, rules.max_batch
    n_prefixes = int(trace.prefix_ids.max()) + 1 if trace.prefix_ids.size else 0
    n, r, f = np.zeros(N, np.int64), np.zeros((count, R), np.int64), np.full((count, F), np.nan)
    n[FREE], n[OLDEST], n[NEWEST], n[STRIDE] = rules.units, -1, -1, 1
    starts = trace.prefix_starts
    for column, values in (
        (PROMPT, trace.input_tokens),
        (ANSWER, trace.output_tokens),
        (STARTS, starts[:-1]),
        (ENDS, starts[1:]),
    ):
        r[:, column] = values
    r[:, REFUSED], f[:, ARRIVAL] = refused, trace.arrival_s
    lists = np.zeros((3, 4 * slots + 64, 2), np.int64)
    return State(
        n=n, x=np.zeros(X), r=r, f=f, p=np.zeros((n_prefixes, P), np.int64), ids=trace.prefix_ids, heap=lists[0],
        cross=lists[1], stack=lists[2], queue=np.zeros((2, slots + 1), np.int64),
        phase=np.zeros(rules.block_tokens, np.int64), samples=np.zeros((MOST_SAMPLES, len(SAMPLE))),
    )  # fmt: skip
