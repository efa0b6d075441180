"""How the cost of a token grows with the batch and with the context: shared and own time, turning points, frontiers."""

from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers.estimate import degrees_of, serve_workload
from costpertoken.model.counts import count
from costpertoken.model.records import Deployment, Workload
from costpertoken.model.roofline import CLASSES, Step, class_seconds, step
from costpertoken.model.units import KILO
from costpertoken.money.cost import usd_per_mtok

#: What makes two closed-loop measurements one placement under one engine.
PLACEMENT = ["source", "engine", "engine_version", "source_date", "accelerator_id", "model_id", "n_accel", "tp", "pp", "ep", "dp",
             "weight_precision", "kv_precision", "isl", "osl"]  # fmt: skip
#: Batches tried along a frontier.
POINTS = 40
#: Measured lengths this close to the asked ones, as a ratio, are shown beside them.
NEAR = 1.25


def decode_parts_s(deployed: Deployment, *, batch, context_tokens) -> dict[str, np.ndarray]:
    """Seconds of a decode step by who needs them; the parts sum to the step.

    shared: what a step without any request would take (weights, launches, latencies). cache: reading the requests' contexts.
    work: the rest, which grows with the batch: products, experts woken, activations, sampling.
    """
    whole = step(deployed, decode=batch, context_tokens=context_tokens)
    empty = step(deployed, decode=0.0, context_tokens=context_tokens).step_s
    return {"shared": empty + 0.0 * whole.step_s, "cache": whole.cache_s, "work": whole.step_s - empty - whole.cache_s}


def half_batch(deployed: Deployment, *, context_tokens, batch) -> float:
    """Requests at which the shared part of a decode step is as long as their own part, taken from the slope up to `batch`:
    there a token costs twice what it costs with endless sharing."""
    parts = decode_parts_s(deployed, batch=float(batch), context_tokens=context_tokens)
    return float(parts["shared"] / ((parts["cache"] + parts["work"]) / batch))


def turn_context_tokens(deployed: Deployment) -> float:
    """Tokens of context at which reading a request's cache takes as long as multiplying its token: beyond it a decode step is
    bound by memory however large the batch. Infinite where windows stop the cache before, or attention multiplies longer than
    it reads."""
    if attention_multiplies(deployed):
        return np.inf
    counts, engine = count(deployed), deployed.efficiency
    used = [name for name in CLASSES if np.any(getattr(counts, f"{name}_bytes"))]
    products_s = sum(class_seconds(counts, engine, name, 1.0, 0.0)[1] for name in used)
    held = products_s * counts.memory_bytes_per_s * engine.cache_bandwidth / counts.cache_bytes_per_token
    if held <= counts.window_tokens or not counts.window_share:
        return float(held)
    full_share = 1.0 - counts.window_share
    return float((held - counts.window_share * counts.window_tokens) / full_share) if full_share > 0 else np.inf


def attention_multiplies(deployed: Deployment) -> bool:
    """Whether decode attention takes longer to multiply than to read its cache, as MLA's shared cache may."""
    counts, engine = count(deployed), deployed.efficiency
    reading_s = counts.cache_bytes_per_token / (counts.memory_bytes_per_s * engine.cache_bandwidth)
    return bool(counts.decode_flop_per_pair / (counts.head_flop_per_s * engine.attention_peak) > reading_s)


def memory_share(deployed: Deployment, taken: Step) -> np.ndarray:
    """Memory's share of the seconds in which a step of a deployment moves bytes or multiplies."""
    memory_s, compute_s = taken.weights_s + taken.activation_s, taken.products_s + taken.prefill_attention_s
    if attention_multiplies(deployed):
        compute_s = compute_s + taken.cache_s
    else:
        memory_s = memory_s + taken.cache_s
    return memory_s / (memory_s + compute_s)


def added_s(deployed: Deployment, workload: Workload, *, batch) -> dict[str, float]:
    """Seconds that an output token takes longer among `batch` requests than alone, by cause; the parts sum to the difference
    of batch / throughput. `prompts`: what the prompts of the others, in the same steps, add."""
    context = workload.input_tokens + workload.output_tokens / 2
    many, one = (step(deployed, decode=b, context_tokens=context) for b in (float(batch), 1.0))
    mixed = [float(serve_workload(deployed, replace(workload, concurrency=b)).step.step_s) for b in (float(batch), 1.0)]
    prompts = (mixed[0] - float(many.step_s)) - (mixed[1] - float(one.step_s))
    moved = {name: float(getattr(many, f"{name}_s") - getattr(one, f"{name}_s")) for name in ("cache", "network", "host")}
    weights = float(many.weights_s - one.weights_s)
    return {
        "prompts of the others": prompts,
        "reading their caches": moved["cache"],
        "multiplying": float(many.matmul_s - one.matmul_s) - weights + float(many.activation_s - one.activation_s),
        "reading weights": weights,
        "network and host": moved["network"] + moved["host"],
    }


def frontier(deployed: Deployment, workload: Workload, *, usd_per_hour, degrees=None) -> pd.DataFrame:
    """Cost against speed: a row for each tensor-parallel degree and batch, from one request to the most that fits.

    Columns: tp, batch, tpot_ms, usd (per million output tokens, the whole bill on them). Degrees that do not fit have no row.
    """
    rows = []
    for tp in degrees or degrees_of(deployed):
        placed = replace(deployed, tp=tp)
        most = serve_workload(placed, replace(workload, concurrency=None)).batch
        if not most >= 1:
            continue
        tried = np.geomspace(1.0, float(most), POINTS)
        out = serve_workload(placed, replace(workload, concurrency=tried))
        usd = usd_per_mtok(usd_per_hour=tp * usd_per_hour, tok_per_s=out.output_tok_per_s)
        rows.append(pd.DataFrame({"tp": tp, "batch": tried, "tpot_ms": out.tpot_s * KILO, "usd": usd}))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["tp", "batch", "tpot_ms", "usd"])


def within(curve: pd.DataFrame, tpot_limit_ms: float) -> pd.Series | None:
    """The cheapest row of a frontier whose tokens come within the limit, or None."""
    kept = curve[curve["tpot_ms"] <= tpot_limit_ms]
    return None if kept.empty else kept.loc[kept["usd"].idxmin()]


def closed_loops() -> pd.DataFrame:
    """Measured closed loops: placement, clients, tpot_ms, ttft_ms, and request_ms, the time of a whole request.

    Clients send their next request when the last is answered, so that `concurrency` requests are in flight: by Little's law
    requests a second are concurrency / request time. Lengths are drawn around `drawn_length` of the nominal ones.
    """
    rows = tables.read("measurements").query("regime == 'closed-loop' and flag != 'ambiguous'")
    rows = rows.rename(columns={"source_id": "source"})
    rows = rows[rows["metric"].isin(["tpot_ms", "ttft_ms"])]
    grouped = rows.groupby([*PLACEMENT, "concurrency", "metric"], dropna=False)["value"].median()
    both = grouped.unstack("metric").dropna().reset_index()
    output = both["osl"] * tables.convention("drawn_length")
    return both.assign(output_tokens=output, request_ms=both["ttft_ms"] + (output - 1) * both["tpot_ms"])


def measured_pairs(loops: pd.DataFrame, *, fewer: int, more: int) -> pd.DataFrame:
    """Placements measured with `fewer` and with `more` clients: slower (time of a request, as a ratio) and model_id."""
    one, other = (loops[loops["concurrency"] == clients] for clients in (fewer, more))
    both = one.merge(other, on=PLACEMENT, suffixes=("", "_more"))
    return both.assign(slower=both["request_ms_more"] / both["request_ms"])[["model_id", "accelerator_id", "slower"]]


def measured_frontier(loops: pd.DataFrame, deployed: Deployment, workload: Workload, *, usd_per_hour) -> pd.DataFrame:
    """Measured points of a model on an accelerator in a format at about these lengths, cost by Little's law.

    Columns: tp, tpot_ms, usd (per million output tokens, the whole bill on them), modelled_usd (this model at the asked
    lengths and as many clients), row (engine, accelerators and clients, in words).
    """
    near = {"isl": workload.input_tokens, "osl": workload.output_tokens}
    same = (loops["model_id"] == deployed.model.id) & (loops["accelerator_id"] == deployed.accelerator.id)
    same &= loops["weight_precision"] == deployed.precision.id.split("/")[0]
    for column, asked in near.items():
        same &= (loops[column] / asked).between(1 / NEAR, NEAR)
    at = loops[same]
    rate = at["concurrency"] * at["output_tokens"] / (at["request_ms"] / KILO)
    met = replace(deployed, tp=at["tp"].to_numpy(int)), replace(workload, concurrency=at["concurrency"].to_numpy())
    modelled = serve_workload(*met).output_tok_per_s if len(at) else np.array([])
    bill = at["n_accel"].to_numpy() * usd_per_hour
    return pd.DataFrame(
        {
            "tp": at["tp"].astype(int),
            "tpot_ms": at["tpot_ms"],
            "usd": usd_per_mtok(usd_per_hour=bill, tok_per_s=rate.to_numpy()),
            "modelled_usd": usd_per_mtok(usd_per_hour=bill, tok_per_s=modelled),
            "row": [f"{row.engine} on {row.n_accel:.0f}, {row.concurrency:.0f} clients" for row in at.itertuples()],
        }
    )
