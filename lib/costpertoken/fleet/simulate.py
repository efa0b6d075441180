"""Requests in order of arrival through an iteration-level scheduler: when each is served, and what the engine did meanwhile.

Four schedules. static: batches of what has come, decoded to the longest answer, every slot computed to the end. dynamic: the
same, but a batch waits until it is full or window_s has passed since its first request came. continuous: requests come and go
at every step; the prompts of those that come have a step of their own, for which the others wait. chunked: decode steps
carry pieces of prompts, up to token_budget tokens.

Memory: paged in blocks, prompts admitted when their blocks are free, in order of arrival; an answer grows block by block, and
where none is free the newest request is sent back and computes its prompt and its answer so far again. Or a reserved stretch
for each request. Prefix blocks stay after their request and are evicted least recently used first.

Left out: what the service adds to the first token (`Efficiency.ttft_base_s`), network between pools, failures.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from costpertoken.fleet import batches, loop
from costpertoken.fleet.state import (
    ADMITTED,
    BUSY,
    FINISH,
    FIRST,
    FORMED,
    HIT,
    ITERATIONS,
    SAMPLE,
    SAMPLES,
    SENT_BACK,
    SLOT,
    Rules,
    looks_of,
    new_state,
)  # fmt: skip
from costpertoken.fleet.terms import Terms, terms
from costpertoken.fleet.trace import Trace
from costpertoken.model.counts import count
from costpertoken.model.records import Deployment, InputError, at_least, check
from costpertoken.model.serving import capacity, held_tokens
from costpertoken.model.units import HOUR_S, MTOK

SCHEDULES = ("static", "dynamic", "continuous", "chunked")
#: Simulation.status: 0 served, otherwise why not.
STATUS = ("served", "longer than the model's context", "longer than the cache", "longer than the reserved stretch")
#: Tokens of a step up to which its time is tabulated; beyond them it goes on in a straight line.
LEAST_TABLE, MOST_TABLE = 2**14, 2**18
#: Tokens of a cache that never binds.
ENDLESS = 1e15
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How requests are scheduled and held. Tokens of the cache are of one replica; infinite: memory never binds."""

    schedule: str
    max_batch: int = at_least(1)
    cache_tokens: float = np.inf
    max_context: float = at_least(1, default=1e9)
    window_s: float = at_least(0.0, default=0.0)  # dynamic
    token_budget: int = at_least(1, default=2048)  # chunked
    block_tokens: int = at_least(1, default=16)
    reserved_tokens: int = at_least(0, default=0)  # 0: paged
    prefix_cache: bool = False

    def __post_init__(self) -> None:
        check(self)
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule is {self.schedule!r}; expected one of {', '.join(SCHEDULES)}")
        if not self.cache_tokens >= 1:
            raise InputError(f"cache_tokens is {self.cache_tokens:g}; expected at least one token: do the weights fit?")
        if self.prefix_cache and (self.reserved_tokens or self.schedule in ("static", "dynamic")):
            raise InputError(
                "prefix_cache needs paged memory and requests that come one by one: schedule continuous or chunked"
            )


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What happened to each request (arrays of the trace's length, NaN where refused) and to the engine."""

    trace: Trace
    policy: Policy
    n_accelerators: int
    ttft_base_s: float
    admitted_s: np.ndarray
    first_token_s: np.ndarray
    finish_s: np.ndarray
    cached_tokens: np.ndarray
    n_preempted: np.ndarray
    status: np.ndarray
    n_iterations: int
    busy_s: float
    slot_s: float  # sequence-seconds of decode steps in which a token was made
    formed_s: float  # slot-seconds of decode steps, of the batches as formed
    samples: pd.DataFrame


def policy_of(deployment: Deployment, *, schedule: str, max_batch: int | None = None, **knobs) -> Policy:
    """A policy with the memory, the context and the batch that a deployment has (of one replica, all ranks together)."""
    counts, engine = count(deployment), deployment.efficiency
    tokens = capacity(deployment).cache_bytes / counts.cache_bytes_per_token * counts.pp * counts.dp
    windowed = held_tokens(counts, counts.max_context) / counts.max_context if counts.window_share > 0 else 1.0
    share = engine.window_held + (1.0 - engine.window_held) * windowed  # kept of a token, as in `room_of`
    most = int(engine.max_batch * counts.dp) if max_batch is None else max_batch
    held = {"cache_tokens": float(tokens / share), "max_context": float(counts.max_context)}
    return Policy(schedule=schedule, max_batch=most, **(held | knobs))


def simulate(trace: Trace, deployment: Deployment, policy: Policy) -> Simulation:
    """Serve a trace on one replica of a deployment. Requests that no empty engine could hold are refused, with their status."""
    most = min(int(policy.max_batch), trace.arrival_s.size) * int(trace.input_tokens.max())  # a step of whole prompts
    if policy.schedule == "chunked":
        most = min(most, max(policy.token_budget, policy.max_batch))
    found = simulate_terms(trace, terms(deployment, most_tokens=int(np.clip(most, LEAST_TABLE, MOST_TABLE))), policy)
    n_accelerators = int(deployment.tp * deployment.pp * deployment.dp)
    return replace(found, n_accelerators=n_accelerators, ttft_base_s=float(deployment.efficiency.ttft_base_s))


def simulate_terms(trace: Trace, taken: Terms, policy: Policy) -> Simulation:
    """`simulate` from terms, on one accelerator."""
    status, rules = statuses(trace, policy), rules_of(trace, policy)
    state, looks = new_state(trace, status > 0, rules), looks_of(taken)
    if policy.schedule in ("static", "dynamic"):
        window_s = policy.window_s if policy.schedule == "dynamic" else 0.0
        batches.run(state, rules, looks, window_s, int(min(policy.max_batch, ENDLESS)))
    else:
        loop.run(state, rules, looks)
        state.x[FORMED] = state.x[SLOT]
    totals = {"busy_s": state.x[BUSY], "slot_s": state.x[SLOT], "formed_s": state.x[FORMED]}
    return Simulation(
        trace=trace, policy=policy, n_accelerators=1, ttft_base_s=0.0, admitted_s=state.f[:, ADMITTED],
        first_token_s=state.f[:, FIRST], finish_s=state.f[:, FINISH], cached_tokens=state.r[:, HIT],
        n_preempted=state.r[:, SENT_BACK], status=status, n_iterations=int(state.n[ITERATIONS]),
        **{name: float(value) for name, value in totals.items()},
        samples=pd.DataFrame(state.samples[: state.n[SAMPLES]], columns=list(SAMPLE)),
    )  # fmt: skip


def statuses(trace: Trace, policy: Policy) -> np.ndarray:
    """Index into STATUS of each request: whether an empty engine could serve it."""
    whole, rules = trace.input_tokens + trace.output_tokens, rules_of(trace, policy)
    status = np.where(-(-whole // rules.block_tokens) > rules.units, 2, 0)
    if policy.reserved_tokens:
        status = np.where(whole > policy.reserved_tokens, 3, 2 if rules.reserved > rules.units else 0)
    return np.where(whole > policy.max_context, 1, status)


def rules_of(trace: Trace, policy: Policy) -> Rules:
    """The policy in whole blocks."""
    block, prefix = policy.block_tokens, trace.prefix_block_tokens if policy.prefix_cache else 0
    if prefix % block:
        raise InputError(f"block_tokens is {block}; expected a divisor of the trace's prefix blocks of {prefix} tokens")
    return Rules(
        max_batch=min(int(policy.max_batch), trace.arrival_s.size),
        budget=int(policy.token_budget) if policy.schedule == "chunked" else 0,
        apart=policy.schedule == "continuous",
        block_tokens=block,
        units=int(min(policy.cache_tokens, ENDLESS) // block),
        reserved=-(-int(policy.reserved_tokens) // block),
        prefix_units=prefix // block,
        prefix_tokens=prefix,
    )


def latencies(found: Simulation) -> pd.DataFrame:
    """Seconds of each served request: ttft_s (with the service's base), tpot_s (NaN for one token), e2e_s."""
    ok = found.status == 0
    came, first, last = found.trace.arrival_s[ok], found.first_token_s[ok], found.finish_s[ok]
    more = found.trace.output_tokens[ok] - 1
    tpot_s = np.divide(last - first, more, out=np.full(more.size, np.nan), where=more > 0)
    return pd.DataFrame(
        {"ttft_s": first - came + found.ttft_base_s, "tpot_s": tpot_s, "e2e_s": last - came + found.ttft_base_s}
    )


def refused(found: Simulation) -> dict[str, int]:
    """Reason -> number of requests: what the reader refused, and what the engine could not hold."""
    read = {reason: len(lines) for reason, lines in found.trace.refused.items()}
    return read | {STATUS[code]: int(n) for code in range(1, len(STATUS)) if (n := np.sum(found.status == code))}


def summary(found: Simulation, *, usd_per_hour: float | None = None) -> dict:
    """Percentiles of TTFT, TPOT and E2E in seconds; rates over the time from the first arrival to the last token; shares.

    slot_occupancy: of max_batch, over the time in decode steps with the prompts' steps counted as they come;
    batch_occupancy: of the slots of the batches as formed, that made a token (below one for static batches only).
    usd_per_mtok: of all paid time; usd_per_mtok_busy: of the time in steps. Both put the whole bill on output tokens.
    """
    ok, taken = found.status == 0, latencies(found)
    figures = {"n_served": int(ok.sum()), "refused": refused(found), "n_preemptions": int(found.n_preempted.sum())}
    if not ok.any():
        return figures
    for name in taken:
        quantiles = taken[name].quantile(list(QUANTILES.values()))
        figures |= {f"{name.removesuffix('_s')}_{p}_s": float(v) for p, v in zip(QUANTILES, quantiles, strict=True)}
    span_s = float(np.nanmax(found.finish_s) - found.trace.arrival_s[ok][0])
    output, prompt = (float(getattr(found.trace, f"{kind}_tokens")[ok].sum()) for kind in ("output", "input"))
    figures |= {
        "span_s": span_s,
        "busy_share": found.busy_s / span_s,
        "slot_occupancy": found.slot_s / (min(found.policy.max_batch, int(ok.sum())) * found.busy_s),
        "batch_occupancy": found.slot_s / found.formed_s if found.formed_s else 1.0,
        "requests_per_s": int(ok.sum()) / span_s,
        "output_tok_per_s": output / span_s,
        "busy_output_tok_per_s": output / found.busy_s,
        "cached_share": float(found.cached_tokens[ok].sum()) / prompt,
        "n_iterations": found.n_iterations,
    }
    if usd_per_hour is not None:
        rate = found.n_accelerators * usd_per_hour / HOUR_S * MTOK
        figures |= {"usd_per_mtok": rate * span_s / output, "usd_per_mtok_busy": rate * found.busy_s / output}
    return figures
