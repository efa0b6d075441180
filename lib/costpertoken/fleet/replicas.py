"""A trace on several replicas, each request to the next one in turn: what each sees, and how many requests keep limits."""

from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken.fleet.arrivals import LENGTHS, whole
from costpertoken.fleet.demand import Demand
from costpertoken.fleet.simulate import latencies, policy_of, simulate
from costpertoken.fleet.station import Lengths
from costpertoken.fleet.steady import ENDLESS_S
from costpertoken.fleet.trace import Trace
from costpertoken.model.records import Deployment

#: Requests replayed for one answer at most; of made-up traffic, as many as have so many tokens, within limits; share of them that
#: warm the engine up and are not counted.
MOST_REQUESTS, MADE_UP, FEWEST, TOKENS, WARM = 120_000, 6000, 600, 10_000_000, 0.05
#: Replicas that are replayed: by turns all of them see alike.
PARTS = 2
#: Tokens of a block of the cache, and blocks into which what is cached of a prompt is cut.
BLOCK_TOKENS, BLOCKS = 16, 32


def busiest(trace: Trace, n_requests: int) -> Trace:
    """The stretch of so many consecutive requests that takes the least time; the whole trace if it is no longer."""
    size = trace.arrival_s.size
    if size <= n_requests:
        return trace
    spans = trace.arrival_s[n_requests - 1 :] - trace.arrival_s[: size - n_requests + 1]
    first = int(np.argmin(spans))
    return taken(trace, slice(first, first + n_requests))


def taken(trace: Trace, which: slice) -> Trace:
    """Some requests of a trace, without their prefixes, the first of them at 0."""
    came = trace.arrival_s[which]
    return Trace(
        arrival_s=came - came[0],
        input_tokens=trace.input_tokens[which],
        output_tokens=trace.output_tokens[which],
        name=trace.name,
    )


def parts(trace: Trace, n_replicas: int) -> list[Trace]:
    """What the first, and another one half way round, of so many replicas see of the busiest stretch."""
    seen = min(PARTS, n_replicas)
    stretch = busiest(trace, MOST_REQUESTS * n_replicas // seen)
    starts = {round(turn * n_replicas / seen) for turn in range(seen)}
    return [taken(stretch, slice(start, None, n_replicas)) for start in sorted(starts) if start < stretch.arrival_s.size]


def n_made_up(of: Lengths) -> int:
    """Requests made up for a replay."""
    return int(min(MADE_UP, max(FEWEST, TOKENS / (of.input_tokens + of.output_tokens))))


def made_up(demand: Demand, *, n_replicas: int, most_tokens: float, seed: int = 0) -> Trace:
    """What one of so many replicas sees of a demand: all its levels in turn, from the lowest, each for its share of the time,
    with Poisson arrivals and lognormal lengths."""
    draw, of = np.random.default_rng([seed, n_replicas]), demand.lengths
    levels = demand.levels_per_s / n_replicas
    n = n_made_up(of)
    span_s = n / float(levels @ demand.time_shares)
    ends = np.concatenate([[0.0], np.cumsum(levels * demand.time_shares) * span_s])
    expected = np.sort(draw.uniform(0.0, ends[-1], n))
    came = np.interp(expected, ends, np.concatenate([[0.0], np.cumsum(demand.time_shares) * span_s]))
    drawn = [LENGTHS["lognormal"](draw, n, mean=mean, cv=cv) for mean, cv in
             ((of.input_tokens, of.input_cv), (of.output_tokens, of.output_cv))]  # fmt: skip
    prompt, answer = (whole(draw, tokens, int(most_tokens // 2)) for tokens in drawn)
    return Trace(arrival_s=came, input_tokens=prompt, output_tokens=answer, name="made up")


def with_hits(trace: Trace, cached_share: float) -> Trace:
    """The trace, of whose prompts such a share, in whole blocks, is the beginning of one text that the cache keeps for all."""
    if not cached_share > 0:
        return trace
    most = trace.input_tokens - 1  # the last token is always computed
    block = BLOCK_TOKENS * max(1, int(cached_share * trace.input_tokens.mean() / BLOCK_TOKENS / BLOCKS))
    blocks = np.minimum(np.round(cached_share * trace.input_tokens / block), most // block).astype(int)
    starts = np.concatenate([[0], np.cumsum(blocks)])
    ids = np.arange(starts[-1]) - np.repeat(starts[:-1], blocks)
    return replace(trace, prefix_ids=ids, prefix_starts=starts, prefix_block_tokens=block)


def replayed(deployed: Deployment, traces: list[Trace], *, slots: float, token_budget: int) -> pd.DataFrame:
    """ttft_s and tpot_s of every request after the first few; infinite for one that the engine refuses."""
    knobs = {"token_budget": int(token_budget), "prefix_cache": any(trace.prefix_block_tokens for trace in traces)}
    policy = policy_of(deployed, schedule="chunked", max_batch=max(1, int(slots)), block_tokens=BLOCK_TOKENS, **knobs)
    frames = []
    for trace in traces:
        found = simulate(trace, deployed, policy)
        n_refused = int((found.status != 0).sum())
        frame = latencies(found)[["ttft_s", "tpot_s"]]
        frames.append(frame.iloc[int(WARM * len(frame)) :])
        frames.append(pd.DataFrame(np.full((n_refused, 2), np.inf), columns=["ttft_s", "tpot_s"]))
    return pd.concat(frames, ignore_index=True)


def kept(found: pd.DataFrame, demand: Demand) -> bool:
    """Whether the share of the requests that is asked for keeps each limit; answers of one token have no TPOT and keep it,
    refused requests keep none, not even where there is none."""
    within = {name: min(limit, ENDLESS_S) for name, limit in (("ttft_s", demand.ttft_s), ("tpot_s", demand.tpot_s))}
    return all((found[name].fillna(0.0) <= limit).mean() >= demand.share for name, limit in within.items())
