"""Many configurations beside one another: the cheapest placement on each accelerator, under latency limits, with ranges."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers import estimate as one
from costpertoken.model.records import Deployment, InputError, Price, Workload
from costpertoken.model.roofline import BOUNDS, binding
from costpertoken.model.units import KILO

#: Batches tried under a latency limit, as shares of the largest that fits.
BATCH_STEPS = 60
#: Weight formats compared by default. FP8 counts only where the accelerator multiplies in it.
FORMATS = ("bf16", "fp8")


def multiplies_in(accelerator, weights: str) -> bool:
    """Whether the accelerator has a rate of its own for a format; 16-bit formats count as one."""
    math = tables.precision(weights).expert_math
    return math in accelerator.peak_flop_per_s or (math == "bf16" and "fp16" in accelerator.peak_flop_per_s)


def batch_choices(deployed: Deployment, workload: Workload) -> np.ndarray:
    """Batches from one request to the most that fits, in equal ratios."""
    most = float(one.serve_workload(deployed, replace(workload, concurrency=None)).batch)
    return np.geomspace(1.0, most, BATCH_STEPS) if most >= 1 else np.array([])


def fastest_batch(deployed: Deployment, workload: Workload, *, tpot_limit_s=np.inf, ttft_limit_s=np.inf) -> float:
    """The batch with the most output tokens per second within both limits; NaN where none is."""
    tried = batch_choices(deployed, workload)
    if not tried.size:
        return np.nan
    out = one.serve_workload(deployed, replace(workload, concurrency=tried))
    allowed = (out.tpot_s <= tpot_limit_s) & (out.ttft_s <= ttft_limit_s)
    return float(tried[np.argmax(np.where(allowed, out.output_tok_per_s, -1.0))]) if allowed.any() else np.nan


def placements(model_id: str, accelerator_id: str, formats: Iterable[str]) -> Iterable[Deployment]:
    """Every format and tensor-parallel degree that the accelerator and the model allow."""
    for weights in formats:
        base = one.deployment(model_id, accelerator_id, weights=weights)
        if multiplies_in(base.accelerator, weights):
            yield from (replace(base, tp=tp) for tp in one.degrees_of(base))


def serves_at_worst(deployed: Deployment, workload: Workload) -> bool:
    """Whether it still fits with the constants at their worse ends: what only fits with luck is no placement."""
    backlog = replace(workload, concurrency=None)
    return int(one.serve_workload(one.at_case(deployed, "worse"), backlog).status) == 0


def cheapest_placement(
    model_id, accelerator_id, workload, *, formats=FORMATS, **limits
) -> tuple[Deployment, Workload] | None:
    """The placement and batch with the most output tokens per second and accelerator; None where nothing fits the limits."""
    best, found = 0.0, None
    for deployed in placements(model_id, accelerator_id, formats):
        batch = fastest_batch(deployed, workload, **limits)
        if np.isfinite(batch) and serves_at_worst(deployed, workload):
            at = replace(workload, concurrency=batch)
            rate = float(one.serve_workload(deployed, at).output_tok_per_s) / deployed.tp
            if rate > best:
                best, found = rate, (deployed, at)
    return found


def row(result: one.Estimate) -> dict:
    """One estimate as a row: what it is, how fast, what it costs, and where each range ends."""
    deployed, serving = result.deployment, result.serving["typical"]
    costs = {
        f"{kind}_{end}": value
        for kind in ("output", "input")
        for end, value in one.ranges(result, f"{kind}_usd_per_mtok").items()
    }
    return {
        "model": deployed.model.name,
        "accelerator_id": deployed.accelerator.id,
        "accelerator": deployed.accelerator.name,
        "weights": deployed.precision.id.split("/")[0],
        "n_accelerators": int(serving.n_accelerators),
        "batch": float(serving.batch),
        "tpot_ms": float(serving.tpot_s) * KILO,
        "ttft_ms": float(serving.ttft_s) * KILO,
        "output_tok_per_s": float(serving.output_tok_per_s) / int(serving.n_accelerators),
        "bound": BOUNDS[int(binding(serving.step))],
        "usd_per_hour": result.price.usd_per_hour,
        "price_label": result.price.label,
        "price_as_of": result.price.as_of,
        **costs,
    }


def compare(
    model_id: str, accelerator_ids: Iterable[str], workload: Workload, *, cloud_class=None, prices=None, allocation="work",
    formats=FORMATS, tpot_limit_s=np.inf, ttft_limit_s=np.inf,
) -> pd.DataFrame:  # fmt: skip
    """The cheapest placement of a model on each accelerator: one row each, cheapest output token first.

    Accelerators on which it does not fit within the limits, or that have no price on record, are left out (`left_out`
    says why). prices: accelerator id -> Price, instead of the record's.
    """
    rows = []
    for accelerator_id in accelerator_ids:
        if left_out(model_id, accelerator_id, workload, formats, tpot_limit_s, ttft_limit_s, cloud_class, prices):
            continue
        price: Price = (prices or {}).get(accelerator_id) or one.headline_price(accelerator_id, cloud_class=cloud_class)
        deployed, at = cheapest_placement(
            model_id, accelerator_id, workload, formats=formats, tpot_limit_s=tpot_limit_s, ttft_limit_s=ttft_limit_s
        )
        rows.append(row(one.estimate(deployed, at, price, allocation=allocation)))
    frame = pd.DataFrame(rows)
    return frame.sort_values("output_value", ignore_index=True) if rows else frame


def left_out(
    model_id,
    accelerator_id,
    workload,
    formats=FORMATS,
    tpot_limit_s=np.inf,
    ttft_limit_s=np.inf,
    cloud_class=None,
    prices=None,
) -> str:
    """Why an accelerator has no row in `compare`, or ''."""
    try:
        if not (prices or {}).get(accelerator_id):
            one.headline_price(accelerator_id, cloud_class=cloud_class)
        limits = {"tpot_limit_s": tpot_limit_s, "ttft_limit_s": ttft_limit_s}
        if cheapest_placement(model_id, accelerator_id, workload, formats=formats, **limits) is None:
            return "does not fit in one server, or not within the latency limits"
    except InputError as error:
        return str(error)
    return ""
