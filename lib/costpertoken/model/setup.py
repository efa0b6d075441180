"""All that an optimization can change about serving, in one record, and what the engine then delivers.

`run` computes everything again: what fits, the batch, a round of decoding, the prompts, the rates, and the accelerator time
that a request takes. A Setup with nothing but a deployment and a workload is `serving.serve`.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from costpertoken.model.counts import Counts, count
from costpertoken.model.records import Deployment, InputError, Workload, at_least, check
from costpertoken.model.roofline import Step, step_of, together
from costpertoken.model.serving import fit_status, room_of
from costpertoken.model.speculation import Speculation, accepted_tokens, drafting, telling

#: How prompts and answers share the engine.
SCHEDULES = ("static", "continuous", "chunked")
#: Bytes of one attention score, and quantiles at which the longest of a batch is integrated.
SCORE_BYTES, QUANTILES = 2.0, (np.arange(400) + 0.5) / 400
#: Repetitions after which a static batch and its longest answer agree.
REPEATS = 12


@dataclass(frozen=True, kw_only=True)
class Memory:
    """How a sequence's cache is held: in one reserved stretch, or in blocks as it grows (reserved_tokens 0)."""

    reserved_tokens: float = at_least(0.0, default=0.0)
    block_tokens: int = at_least(1, default=1)
    fragmentation: float = at_least(0.0, below=0.99, default=0.0)  # share of the cache lost between stretches

    __post_init__ = check


@dataclass(frozen=True, kw_only=True)
class Router:
    """Requests that go to a second, smaller deployment first. A cascade sends all of them there (share 1)."""

    small: Deployment
    share: float = at_least(0.0, below=1.0)  # of the requests, to the small one
    escalated: float = at_least(0.0, below=1.0, default=0.0)  # of those, asked again of the large one
    router_s: float = at_least(0.0, default=0.0)  # accelerator seconds of deciding, for each request

    __post_init__ = check


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A deployment, its workload, and how the engine works: what levers change. Defaults are those of `serving.serve`."""

    deployment: Deployment
    workload: Workload
    schedule: str = "chunked"
    output_cv: float = at_least(0.0, default=0.0)  # of answers' lengths (lognormal); only static batches feel it
    memory: Memory = Memory()
    n_prefixes: float = at_least(0.0, default=0.0)  # distinct cached prefixes held; 0: each sequence holds its own
    score_passes: float = at_least(0.0, default=0.0)  # times attention scores cross memory; 0: fused, never written
    speculation: Speculation | None = None
    router: Router | None = None

    def __post_init__(self) -> None:
        check(self)
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule is {self.schedule!r}; expected one of {', '.join(SCHEDULES)}")


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Steady state of one deployment under its share of the requests. NaN where it does not fit (serving.STATUS)."""

    n_accelerators: np.ndarray
    batch: np.ndarray
    room: np.ndarray  # sequences that memory would hold
    slot_occupancy: np.ndarray  # share of the batch's slots that make tokens, over the decode steps
    n_tokens_per_round: np.ndarray  # of one sequence
    spent: Step  # seconds by cause in which as many requests as the batch holds are served
    tpot_s: np.ndarray
    requests_per_s: np.ndarray
    status: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a request of the mix takes. Pools: the large deployment first, each with the requests that it serves, of one."""

    pools: tuple[tuple[float, Pool], ...]
    accelerator_s: tuple[np.ndarray, ...]  # accelerator seconds of a request, by pool; the router's are in the last


def longest_tokens(*, output_tokens, output_cv, batch):
    """Expected longest answer of a batch, lengths being lognormal: the mean of Q(u^(1/b)) over u, Q the quantile function."""
    sigma = np.expand_dims(np.sqrt(np.log1p(np.square(output_cv))), -1)
    normal = ndtri(QUANTILES ** (1.0 / np.expand_dims(np.asarray(batch, dtype=float), -1)))
    return output_tokens * np.maximum(np.mean(np.exp(sigma * normal - 0.5 * sigma**2), axis=-1), 1.0)


def private_tokens(setup: Setup, longest):
    """Tokens of cache that one more sequence takes: its stretch, or prompt and answer in blocks, half of one wasted."""
    memory, work, engine = setup.memory, setup.workload, setup.deployment.efficiency
    own = work.input_tokens * (1.0 - work.cached_share * (setup.n_prefixes > 0))
    grown = own + engine.output_reserved * longest + 0.5 * (memory.block_tokens - 1)
    return np.where(memory.reserved_tokens > 0, np.maximum(memory.reserved_tokens, own + longest), grown)


def shared_bytes(setup: Setup, counts: Counts):
    """Bytes of one accelerator that no single sequence takes: prefixes held once, attention scores of a prompt, the draft."""
    work, model = setup.workload, setup.deployment.model
    prefixes = setup.n_prefixes * work.input_tokens * work.cached_share * counts.cache_bytes_per_token / counts.pp
    scores = (setup.score_passes > 0) * work.input_tokens**2 * model.n_heads / counts.tp * SCORE_BYTES
    return prefixes + scores + (setup.speculation.draft.held_bytes if setup.speculation else 0.0)


def holding(setup: Setup, counts: Counts):
    """(counts with the draft's cache in each sequence, the engine's constants with what no single sequence takes reserved)."""
    engine = setup.deployment.efficiency
    taken = replace(engine, reserve_bytes=engine.reserve_bytes + shared_bytes(setup, counts))
    drafted = setup.speculation.draft.cache_bytes_per_token if setup.speculation else 0.0
    return replace(counts, cache_bytes_per_token=counts.cache_bytes_per_token + drafted), taken


def batch_of(setup: Setup, counts: Counts, demand):
    """(batch, room, longest answer, status). Static slots are held to the end of the batch's longest answer, which is longer
    the larger the batch: the one that fits is found by repetition."""
    work, engine = setup.workload, setup.deployment.efficiency
    longest, held = work.output_tokens, holding(setup, counts)
    for _ in range(REPEATS if setup.schedule == "static" and setup.output_cv else 1):
        fits = (1.0 - setup.memory.fragmentation) * room_of(*held, private_tokens(setup, longest))
        batch = np.minimum(np.minimum(demand, fits), engine.max_batch * counts.dp)
        if setup.schedule == "static":
            one = np.maximum(batch, 1.0)
            before, longest = longest, longest_tokens(output_tokens=work.output_tokens, output_cv=setup.output_cv, batch=one)
            if np.array_equal(before, longest):
                break
    status = fit_status(counts, engine, fits, work.input_tokens, work.output_tokens)
    return np.where(status == 0, batch, np.nan), fits, longest, status


def pairs_of(work: Workload):
    """Mean tokens that a computed prompt token looks back on: what was cached, and half of what was not."""
    return 0.5 * work.input_tokens * (1.0 + work.cached_share)


def taken(setup: Setup, counts: Counts, *, decode=0.0, context_tokens=0.0, prefill_tokens=0.0, queries=1.0) -> Step:
    """One step with its attention scores written and read again score_passes times, for prompts in full squares."""
    work, engine = setup.workload, setup.deployment.efficiency
    carried = {"context_tokens": context_tokens, "prefill_tokens": prefill_tokens, "queries": queries}
    step = step_of(counts, engine, decode=decode, pairs_per_token=pairs_of(work), **carried)
    if not np.any(setup.score_passes):
        return step
    looked = decode * queries * context_tokens + prefill_tokens * work.input_tokens
    n_bytes = looked * counts.n_layers * setup.deployment.model.n_heads / counts.tp * SCORE_BYTES * setup.score_passes
    seconds = n_bytes / (counts.dp * counts.pp * counts.memory_bytes_per_s * engine.weight_bandwidth)
    return replace(step, activation_s=step.activation_s + seconds, step_s=step.step_s + seconds)


def prompt(setup: Setup, counts: Counts, prefill_tokens) -> Step:
    """Prompt tokens in a step of their own, through the draft too."""
    alone, drafts = taken(setup, counts, prefill_tokens=prefill_tokens), setup.speculation
    if drafts is None:
        return alone
    carried = {"decode": 0.0, "context_tokens": 0.0, "prefill_tokens": prefill_tokens}
    drafted = step_of(drafts.draft, drafts.efficiency, pairs_per_token=pairs_of(setup.workload), **carried)
    return together((1.0, alone), (1.0, drafted))


def a_round(setup: Setup, counts: Counts, batch, context_tokens, prefill_tokens=0.0) -> Step:
    """One decode step, or one round of drafting and verifying, with prompt tokens that ride along."""
    drafts, carried = setup.speculation, {"context_tokens": context_tokens, "prefill_tokens": prefill_tokens}
    if drafts is None:
        return taken(setup, counts, decode=batch, **carried)
    host = telling(setup.deployment.efficiency, drafts)
    told = replace(setup, deployment=replace(setup.deployment, efficiency=host))
    verified = taken(told, counts, decode=batch, queries=1.0 + drafts.verified_tokens, **carried)
    drafted = drafting(drafts, decode=batch, pairs_per_token=pairs_of(setup.workload), **carried)
    return together((1.0, verified), (1.0, drafted))


def spent_on(setup: Setup, counts: Counts, batch, longest, rounds) -> tuple[Step, Step]:
    """(seconds by cause in which `batch` requests are served, those of one round without prompts).

    Static: all prompts, then every round to the longest answer. Continuous: each prompt in a step of its own, between the
    rounds. Chunked: prompts ride in the rounds, whose reading of the weights they share.
    """
    work = setup.workload
    fresh, context = work.input_tokens * (1.0 - work.cached_share), work.input_tokens + 0.5 * longest
    bare = a_round(setup, counts, batch, context)
    if setup.schedule == "chunked":
        return together((rounds, a_round(setup, counts, batch, context, batch * fresh / rounds))), bare
    if setup.schedule == "continuous":
        return together((rounds, bare), (batch, prompt(setup, counts, fresh))), bare
    return together((rounds, bare), (1.0, prompt(setup, counts, batch * fresh))), bare


def pool(setup: Setup, demand=np.inf) -> Pool:
    """Steady state of one deployment with `demand` requests in flight (infinite: a backlog)."""
    counts, work, drafts = count(setup.deployment), setup.workload, setup.speculation
    batch, fits, longest, status = batch_of(setup, counts, demand)
    yielded = accepted_tokens(acceptance=drafts.acceptance, draft_tokens=drafts.draft_tokens) if drafts else 1.0
    rounds = longest / yielded
    spent, bare = spent_on(setup, counts, batch, longest, rounds)
    stall = {"static": 0.0, "continuous": 1.0, "chunked": setup.deployment.efficiency.prefill_stall}[setup.schedule]
    return Pool(
        n_accelerators=counts.tp * counts.pp * counts.dp,
        batch=batch,
        room=fits,
        slot_occupancy=work.output_tokens / longest + 0.0 * batch,
        n_tokens_per_round=yielded + 0.0 * batch,
        spent=spent,
        tpot_s=(bare.step_s + stall * (spent.step_s / rounds - bare.step_s)) / yielded,
        requests_per_s=batch / spent.step_s,
        status=status,
    )


def setups_of(setup: Setup) -> list[tuple[float, Setup]]:
    """Each pool with the requests that it serves, of one: the large deployment, then the small one, which is served alike
    but without speculation, whose draft was the large one's."""
    router = setup.router
    if router is None:
        return [(1.0, setup)]
    small = replace(setup, deployment=router.small, router=None, speculation=None)
    return [(1.0 - router.share + router.share * router.escalated, replace(setup, router=None)), (router.share, small)]


def run(setup: Setup) -> Outcome:
    """Steady state of every pool, and the accelerator time of a request of the mix.

    With a number of requests in flight each pool has them in proportion to the requests that it serves; one with less than
    one of them idles for the rest of the time, which is paid. Left out: that the pools' requests take different times.
    """
    load, pools, times = setup.workload.concurrency, [], []
    for share, one in setups_of(setup):
        flight = np.inf if load is None else load * share
        pools.append((share, pool(one, np.maximum(flight, 1.0))))
        idle = np.maximum(1.0, 1.0 / np.maximum(flight, 1e-9))
        times.append((share > 0) * share * idle * pools[-1][1].n_accelerators / pools[-1][1].requests_per_s)
    times[-1] = times[-1] + (setup.router.router_s if setup.router else 0.0)
    return Outcome(pools=tuple(pools), accelerator_s=tuple(times))
