"""What checks are made of: deployments by name, at their calibrated constants or at their data sheet, and joined intervals.

The data sheet's constants (`ideal`) are 100 % of bandwidth, peak and memory, reading hidden behind multiplying, nothing lost
to network latency, host or activations: no engine can do better on that hardware with these inputs.
"""

from dataclasses import replace
from functools import cache

import numpy as np

from costpertoken import tables
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.uncertain import cost_interval, joined
from costpertoken.model.records import Deployment, Efficiency, Price
from costpertoken.model.roofline import step
from costpertoken.model.serving import Serving, batch_limit, serve
from costpertoken.money.cost import allocate

#: Sequences hold their prompt and, in the mean, half of their output; no engine's cap on the batch.
IDEAL = Efficiency(
    weight_bandwidth=1, expert_bandwidth=1, cache_bandwidth=1, dense_peak=1, expert_peak=1, head_peak=1, attention_peak=1,
    overlap=1, activation_passes=0, activation_replicated=0, link_bandwidth=1, link_latency_s=0, pcie_bandwidth=1,
    pcie_latency_s=0, host_step_s=0, host_layer_s=0, host_moe_layer_s=0, host_sequence_s=0, memory_usable=1,
    reserve_bytes=0, output_reserved=0.5, max_batch=1e9, window_held=0, prefill_stall=0, ttft_base_s=0, ttft_own=1,
    ttft_steps=0, ttft_burst=0, ttft_queue=1,
)  # fmt: skip


@cache
def placed(model_id: str, accelerator_id: str, *, weights="bf16", tp: int = 1, ideal: bool = False) -> Deployment:
    """A deployment by name; ideal: at its data sheet."""
    found = tables.deployment(model_id, accelerator_id, weights=weights, tp=int(tp))
    return replace(found, efficiency=IDEAL) if ideal else found


@cache
def rent(accelerator_id: str, *, commitment="on-demand", cloud_class=None) -> Price:
    """Headline price of an accelerator: median of the offers of one class of cloud, with their p10 and p90."""
    return tables.headline_price(accelerator_id, commitment=commitment, cloud_class=cloud_class)


def decode_s(at: Deployment, *, batch, context_tokens):
    """Seconds of one decode step of `batch` sequences, NaN where their cache does not fit."""
    fits = batch_limit(at, input_tokens=context_tokens, output_tokens=1.0) >= batch
    seconds = step(at, decode=float(batch), context_tokens=context_tokens).step_s
    return float(np.where(fits, seconds, np.nan))


def served(at: Deployment, *, input_tokens, output_tokens, concurrency=None) -> Serving:
    """Steady state with a backlog, or with some requests in flight."""
    return serve(at, input_tokens=input_tokens, output_tokens=output_tokens, concurrency=concurrency)


def usd_per_mtok(at: Deployment, usd_per_hour, *, allocation="output-only", **load) -> float:
    """USD per million output tokens; NaN where it does not fit. load: input_tokens, output_tokens, concurrency."""
    return float(allocate(served(at, **load), usd_per_hour=usd_per_hour, allocation=allocation).output_usd_per_mtok)


def spread(value: float, *bands: tuple[float, float]) -> Figure:
    """A value with the interval that independent causes leave it, each (low, high) as factors."""
    low, high = joined(*bands) if bands else (1.0, 1.0)
    ends = sorted((value * low, value * high))
    return Figure(value, *ends)


def reduction(ratio: float, *bands: tuple[float, float]) -> Figure:
    """The reduction in per cent that a ratio of costs stands for, with the ratio's interval."""
    at = spread(ratio, *bands)
    return Figure(100 * (1 - at.value), 100 * (1 - at.high), 100 * (1 - at.low))


def market(price: Price) -> tuple[float, float]:
    """Tenth to ninetieth percentile of the offers behind a price, as factors of it."""
    return price.low / price.usd_per_hour, price.high / price.usd_per_hour


def model_band(at: Deployment, *, backlog: bool) -> tuple[float, float]:
    """The model's interval of a cost, as factors (of a rate: turn them round with `inverse`)."""
    return cost_interval(at.accelerator.id, at.model.id, at.engine, backlog=backlog)[0]


def inverse(band: tuple[float, float]) -> tuple[float, float]:
    """Factors of a rate from those of a cost."""
    return 1 / band[1], 1 / band[0]
