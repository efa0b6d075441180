"""The cache of keys and values: bytes by kind of attention and by split, waste by how it is held, what a cached prefix saves,
and how many users fit after each optimization."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers.compose import cost
from costpertoken.answers.levers import Lever, pull
from costpertoken.fleet import kvmap
from costpertoken.fleet.arrivals import synthetic
from costpertoken.fleet.simulate import Policy, simulate
from costpertoken.model.counts import count
from costpertoken.model.levers import compress_cache, share_heads
from costpertoken.model.records import Deployment, Workload
from costpertoken.model.serving import capacity
from costpertoken.model.setup import Setup, run
from costpertoken.model.units import KILO

#: Ways in which a server splits a model.
SPLITS = (1, 2, 4, 8)
#: Rows of the drawn memory, and requests that are simulated to fill it.
ROWS, N_REQUESTS = 12, 160
#: Share of the memory that the drawn paged engine keeps free.
SPARE = 0.15


def kinds(setup: Setup) -> dict[str, Setup]:
    """A setup with each kind of attention: a key-value head for each query head, eight, one, and latents."""
    heads = setup.deployment.model.n_heads
    latent = tables.read("levers").query("lever == 'mla'").set_index("setting")["value"]
    model = replace(setup.deployment.model, attention="gqa", n_kv_heads=heads)
    whole = replace(setup, deployment=replace(setup.deployment, model=model))
    grouped = {"grouped, 8 heads": share_heads(whole, n_kv_heads=8)} if heads % 8 == 0 else {}
    return {
        f"multi-head, {heads} heads": whole,
        **grouped,
        "multi-query, 1 head": share_heads(whole, n_kv_heads=1),
        "latent": compress_cache(whole, rank=int(latent["rank"]), rope_dim=int(latent["rope_dim"])),
    }


def by_split(deployed: Deployment) -> pd.DataFrame:
    """kB of cache that one more token takes on each accelerator, by kind of attention and number of accelerators."""
    work = Workload(input_tokens=1, output_tokens=1)
    rows = []
    for tp in (n for n in SPLITS if deployed.model.n_heads % n == 0):
        for kind, setup in kinds(Setup(deployment=replace(deployed, tp=tp, dp=1), workload=work)).items():
            rows.append({"kind": kind, "tp": tp, "kb": float(count(setup.deployment).cache_bytes_per_token) / KILO})
    return pd.DataFrame(rows)


def ladder(baseline: Setup, levers: Sequence[Lever], *, usd_per_hour: float, few: float) -> pd.DataFrame:
    """Levers pulled one after the other: how many requests fit, what a token costs with `few` of them in flight and with as
    many as fit (USD per million output tokens)."""
    rows, pulled = [], []
    for one in (None, *levers):
        pulled += [one] if one else []
        setup = pull(baseline, pulled)
        lone = replace(setup, workload=replace(setup.workload, concurrency=few))
        rows.append(
            {"after": one.words if one else "as it was", "users": float(run(setup).pools[0][1].room),
             "usd_few": cost(lone, usd_per_hour), "usd_full": cost(setup, usd_per_hour)}
        )  # fmt: skip
    return pd.DataFrame(rows)


def replayed(deployed: Deployment, *, memory_tokens: int, lengths: dict, reserved_tokens: int, block_tokens: int):
    """(requests with a stretch each, requests in blocks) of one backlog through the scheduler.

    lengths: input_tokens and output_tokens as `arrivals.drawn` has them. The slots of the paged engine are as many as fill the
    memory but for SPARE of it at the mean length, so that hardly any request has to be sent back.
    """
    trace = synthetic(n_requests=N_REQUESTS, arrivals="backlog", **lengths)
    mean = float(trace.input_tokens.mean() + trace.output_tokens.mean() / 2)
    slots = max(1, int((1 - SPARE) * memory_tokens / mean))
    found = []
    for reserved, most in ((reserved_tokens, N_REQUESTS), (0, slots)):
        held = {"cache_tokens": float(memory_tokens), "block_tokens": block_tokens, "reserved_tokens": reserved}
        done = simulate(trace, deployed, Policy(schedule="continuous", max_batch=most, **held))
        stayed = np.where(done.n_preempted > 0, np.nan, done.admitted_s)  # one that left in between has no one place
        found.append(kvmap.requests_of(stayed, done.finish_s, trace.input_tokens, trace.output_tokens))
    return found[0], found[1]


def pictures(
    stretched: pd.DataFrame, paged: pd.DataFrame, *, memory_tokens: int, reserved_tokens: int, block_tokens: int
):
    """Both memories in the middle of their runs: two frames of `kvmap.picture`."""
    held = kvmap.stretches(stretched, memory_tokens=memory_tokens, reserved=reserved_tokens)
    first = kvmap.picture(held, float(np.median(held.to_s)))
    middle = float(paged["end_s"].median())
    return first, kvmap.paged_picture(paged, memory_tokens=memory_tokens, block_tokens=block_tokens, at_s=middle)


def wrapped(drawn: pd.DataFrame, *, memory_tokens: int, first_row: int) -> pd.DataFrame:
    """Ranges cut into rows of equal length, as a page of memory is drawn: row, left, right (shares of a row), kind."""
    width, rows = memory_tokens / ROWS, []
    for start, end, _, kind in drawn.itertuples(index=False):
        for row in range(int(start // width), min(int(np.ceil(end / width)), ROWS)):
            left, right = max(start - row * width, 0.0) / width, min(end - row * width, width) / width
            if right > left:
                rows.append({"row": first_row + row, "left": 100 * left, "right": 100 * right, "kind": kind})
    return pd.DataFrame(rows)


def block_waste(blocks: np.ndarray, *, tokens: float) -> np.ndarray:
    """Share of what a sequence holds that is empty, in per cent: half of its last block in the mean."""
    empty = 0.5 * (np.asarray(blocks, dtype=float) - 1.0)
    return 100 * empty / (tokens + empty)


def prefix_savings(
    setup: Setup, hits: np.ndarray, *, usd_per_hour: float, cached_over_input: float, output_over_input: float
):
    """What cached prefixes save, in per cent, by the share of prompt tokens found: of the prompt tokens to compute, of the
    memory of a sequence (one prefix for all), of the cost of own machines, and of a bill by list prices.

    cached_over_input, output_over_input: ratios of a list's prices. The machine is full.
    """
    work = setup.workload
    listed = work.input_tokens + output_over_input * work.output_tokens
    rows = []
    plain = cost(setup, usd_per_hour)
    room = float(run(setup).pools[0][1].room)
    for hit in hits:
        shared = replace(setup, workload=replace(work, cached_share=float(hit)), n_prefixes=1.0 if hit else 0.0)
        saved = {
            "prompt tokens to compute": 100 * hit,
            "memory of a sequence": 100 * (1 - room / float(run(shared).pools[0][1].room)),
            "own machines, full": 100 * (1 - cost(shared, usd_per_hour) / plain),
            "bill by list price": 100 * (1 - cached_over_input) * hit * work.input_tokens / listed,
        }
        rows += [{"saved_of": name, "hit": 100 * hit, "saved": value} for name, value in saved.items()]
    return pd.DataFrame(rows)


def list_ratios() -> pd.DataFrame:
    """Cached input over input and output over input of every list price that has all three: model_id, cached, output."""
    rows = tables.read("api_prices")
    rows = rows[(rows["cached_input_usd_per_mtok"] > 0) & (rows["input_usd_per_mtok"] > 0)]
    cached = rows["cached_input_usd_per_mtok"] / rows["input_usd_per_mtok"]
    return rows.assign(cached=cached, output=rows["output_usd_per_mtok"] / rows["input_usd_per_mtok"])


def memory_tokens(deployed: Deployment) -> float:
    """Tokens of cache that a replica holds."""
    return float(capacity(deployed).cache_bytes / count(deployed).cache_bytes_per_token)
