"""What memory is worth: rates over a capacity that nobody sells, the rent of the next GB, and what was measured of doubling."""

from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers.estimate import deployment, serve_workload
from costpertoken.model.records import Deployment, UnknownName, Workload
from costpertoken.model.serving import capacity
from costpertoken.model.units import GB, HOUR_S, MTOK

#: What two measurements share that differ in the number of accelerators only, or in the accelerator too.
PLACED = ["source_id", "engine", "engine_version", "model_id", "weight_precision", "kv_precision", "isl", "osl", "ep"]


def with_memory(deployed: Deployment, memory_bytes) -> Deployment:
    """The same accelerator with another capacity: bandwidth, peak and links as they are. An array asks for several at once."""
    return replace(deployed, accelerator=replace(deployed.accelerator, memory_bytes=memory_bytes))


def rate_tok_per_s(deployed: Deployment, request: Workload, concurrency=None) -> float:
    """Output tokens per second of the whole placement, with a backlog or with some requests in flight."""
    return float(serve_workload(deployed, replace(request, concurrency=concurrency)).output_tok_per_s)


def rates(deployed: Deployment, request: Workload, memory_bytes) -> np.ndarray:
    """Output tokens per second of the whole placement at each capacity; NaN where it does not fit."""
    return serve_workload(with_memory(deployed, memory_bytes), request).output_tok_per_s


def next_gb_usd_per_hour(deployed: Deployment, request: Workload, *, usd_per_hour, memory_bytes) -> np.ndarray:
    """Rent that one more GB is worth, for an accelerator rented at usd_per_hour: the one that leaves a token's price as it is.

    A token costs rent over rate, so the rent may grow as the rate does: usd_per_hour x (rate with 1 GB more / rate - 1).
    """
    memory_bytes = np.asarray(memory_bytes, dtype=float)
    return usd_per_hour * (rates(deployed, request, memory_bytes + GB) / rates(deployed, request, memory_bytes) - 1.0)


def share_of_capacity(small: Deployment, large: Deployment, request: Workload) -> tuple[float, float]:
    """What capacity alone explains of the gain from one accelerator to another, as shares of the log of the gain: as the
    first of the changes, and as the last one."""
    sizes = [at.accelerator.memory_bytes for at in (small, large)]
    gain = [rates(at, request, size) for at in (small, large) for size in sizes]
    whole = np.log(gain[3] / gain[0])
    return float(np.log(gain[1] / gain[0]) / whole), float(np.log(gain[3] / gain[2]) / whole)


def row(model_id: str, accelerator_id: str, weights: str, n: int, request: Workload, *, usd_per_hour) -> dict:
    """One placement with a backlog: what the weights leave to the cache, requests held, rates, rent and price of the output."""
    at = replace(deployment(model_id, accelerator_id, weights=weights), tp=n)
    out = serve_workload(at, request)
    return {
        "placement": f"{n} × {at.accelerator.name}, {weights.upper()}",
        "left_gb": max(0.0, n * float(capacity(at).cache_bytes) / GB),
        "requests": float(np.floor(out.batch)),
        "each_tok_per_s": float(out.output_tok_per_s) / n,
        "rent_usd_per_hour": n * usd_per_hour,
        "usd_per_mtok": n * usd_per_hour / (float(out.output_tok_per_s) * HOUR_S / MTOK),
    }


def rate_ratio(model_id: str, one: tuple, other: tuple, request: Workload) -> float:
    """Output tokens per second of one placement over another's; each is (accelerator, weights, number of cards)."""
    at = [replace(deployment(model_id, name, weights=fmt), tp=n) for name, fmt, n in (one, other)]
    return rate_tok_per_s(at[0], request) / rate_tok_per_s(at[1], request)


def placements() -> pd.DataFrame:
    """Measured offline throughput of placements that are tensor-parallel and nothing else."""
    rows = tables.read("measurements").query(
        "regime == 'offline-max-throughput' and flag == '' and metric == 'output_tok_s_total' and tp == n_accel"
    )
    return rows[rows["pp"].fillna(1).eq(1) & rows["dp"].fillna(1).eq(1)]


def free_share(accelerator_id: str, model_id: str, weights: str, tp: int) -> float:
    """Share of an accelerator's memory that the weights of a placement leave to the cache; NaN for a format without bytes."""
    try:
        at = tables.deployment(model_id, accelerator_id, weights=weights or None, tp=tp)
    except UnknownName:
        return float("nan")
    return max(0.0, float(capacity(at).cache_bytes)) / at.accelerator.memory_bytes


def pairs() -> pd.DataFrame:
    """Measured pairs that differ in a doubled number of accelerators only: tp of the smaller one, source, and cost, that of a
    token on the larger one over the smaller one at one price: twice the accelerators over the ratio of tokens."""
    rows = placements()[[*PLACED, "accelerator_id", "tp", "value"]]
    both = rows.merge(rows.assign(tp=rows["tp"] / 2), on=[*PLACED, "accelerator_id", "tp"], suffixes=("", "_two"))
    return both.assign(cost=2.0 * both["value"] / both["value_two"], source=both["source_id"])


def doublings() -> pd.DataFrame:
    """`pairs` by placement, over lengths and releases: cost (median) with its low and high, n_pairs, and free_share of the
    smaller one."""
    keys = ["accelerator_id", "model_id", "weight_precision", "tp"]
    found = pairs().groupby(keys)["cost"].agg(cost="median", low="min", high="max", n_pairs="size").reset_index()
    asked = found[keys].astype({"tp": int}).itertuples(index=False)
    found["free_share"] = [free_share(*at) for at in asked]
    return found.dropna(subset="free_share")


def swaps(one_id: str, other_id: str, *, tp: int, other_tp: int, weights: str, other_weights: str) -> pd.Series:
    """Measured output tokens of a placement over those of another one, for the same model, lengths and release."""
    rows = placements()
    same = [key for key in PLACED if key not in ("source_id", "weight_precision", "kv_precision")]
    one, other = (
        rows.query("accelerator_id == @name and tp == @n and weight_precision == @fmt").groupby(same, dropna=False)["value"].max()
        for name, n, fmt in ((one_id, tp, weights), (other_id, other_tp, other_weights))
    )
    return (one / other).dropna()


def best_measured(prefix: str, model_id: str, n: int) -> pd.DataFrame:
    """Best measured output tokens per second (value) of n accelerators among the offline measurements of one family of ids,
    with its source; a row an accelerator, by its id."""
    rows = tables.read("measurements").query("regime == 'offline-max-throughput' and flag == '' and n_accel == @n")
    rows = rows[rows["id"].str.startswith(prefix) & rows["model_id"].eq(model_id) & rows["metric"].eq("output_tok_s_total")]
    best = rows.loc[rows.groupby("accelerator_id")["value"].idxmax()].set_index("accelerator_id")
    return best.assign(source=best["source_id"])[["value", "source"]]
