"""Many configurations beside one another: the cheapest placement on each accelerator, under latency limits, with ranges."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers import estimate as one
from costpertoken.model.records import Deployment, Workload
from costpertoken.model.roofline import BOUNDS, binding
from costpertoken.model.units import KILO

#: Batches tried, from one request to the most that fits.
BATCH_STEPS = 60
#: Weight formats compared by default. FP8 counts only where the accelerator multiplies in it.
FORMATS = ("bf16", "fp8")


def multiplies_in(accelerator, weights: str) -> bool:
    """Whether the accelerator has a rate of its own for a format; 16-bit formats count as one."""
    math = tables.precision(weights).expert_math
    return math in accelerator.peak_flop_per_s or (math == "bf16" and "fp16" in accelerator.peak_flop_per_s)


def best_placement(deployed: Deployment, workload: Workload, *, tpot_limit_s=np.inf, ttft_limit_s=np.inf):
    """(tp, batch, output tokens per second and accelerator) of the best placement within both limits, or None.

    Every tensor-parallel degree of one server and batches in equal ratios are tried at once.
    """
    wide = replace(deployed, tp=np.array(one.degrees_of(deployed)))
    backlog = replace(workload, concurrency=None)
    most = one.serve_workload(wide, backlog).batch
    usable = most >= 1
    if not usable.any():
        return None
    tried = np.geomspace(1.0, np.where(usable, most, 1.0), BATCH_STEPS)
    out = one.serve_workload(wide, replace(workload, concurrency=tried))
    allowed = usable & (out.tpot_s <= tpot_limit_s) & (out.ttft_s <= ttft_limit_s)
    rate = np.where(allowed, out.output_tok_per_s / wide.tp, -1.0)
    at, column = np.unravel_index(np.argmax(rate), rate.shape)
    return (int(wide.tp[column]), float(tried[at, column]), float(rate[at, column])) if allowed.any() else None


def cheapest_placement(
    model_id, accelerator_id, workload, *, formats=FORMATS, **limits
) -> tuple[Deployment, Workload] | None:
    """The placement and batch with the most output tokens per second and accelerator; None where nothing fits the limits."""
    best, found = 0.0, None
    for weights in formats:
        deployed = one.deployment(model_id, accelerator_id, weights=weights)
        placed = best_placement(deployed, workload, **limits) if multiplies_in(deployed.accelerator, weights) else None
        if placed and placed[2] > best:
            best = placed[2]
            found = replace(deployed, tp=placed[0]), replace(workload, concurrency=placed[1])
    return found


def row(result: one.Estimate) -> dict:
    """One estimate as a row: what it is, how fast, what it costs, and where each range ends."""
    deployed, serving = result.deployment, result.serving
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
        "support": result.support,
        "price_label": result.price.label,
        "price_as_of": result.price.as_of,
        **costs,
    }


def compare(
    model_id: str, accelerator_ids: Iterable[str], workload: Workload, *, cloud_class=None, allocation="work",
    formats=FORMATS, **limits,
) -> pd.DataFrame:  # fmt: skip
    """The cheapest placement of a model on each accelerator: one row each, cheapest output token first.

    limits: tpot_limit_s, ttft_limit_s. Accelerators on which the model does not fit in one server within them have no row;
    one without a price on record is refused.
    """
    rows = []
    for accelerator_id in accelerator_ids:
        price = one.headline_price(accelerator_id, cloud_class=cloud_class)
        found = cheapest_placement(model_id, accelerator_id, workload, formats=formats, **limits)
        if found:
            rows.append(row(one.estimate(*found, price, allocation=allocation)))
    frame = pd.DataFrame(rows)
    return frame.sort_values("output_value", ignore_index=True) if rows else frame


def on_offer(*, commitment="on-demand") -> list[str]:
    """Accelerators with a price on record under a commitment and with the figures that the model needs."""
    machines = tables.read("accelerators").dropna(subset=["memory_gb", "memory_gb_s"])["id"]
    return [name for name in machines if len(tables.price_rows(name, commitment=commitment))]
