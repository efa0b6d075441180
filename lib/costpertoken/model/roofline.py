"""Seconds of one engine step: matrix products, attention over the cache, communication, the host.

A step carries `decode` sequences (one new token each) and `prefill_tokens` prompt tokens for the whole replica. Knobs are
scalars or arrays and broadcast; every returned figure has their shape. Left out: kernel-level tiling, clock throttling,
imbalance between experts. Source of the physics: data sheets' roofs (Williams et al. 2009) with the shares of them that
engines reach, `Efficiency`.
"""

from dataclasses import dataclass

import numpy as np

from costpertoken.model import transformer
from costpertoken.model.records import Accelerator, Deployment, InputError

#: Number formats that a product falls back to where the accelerator has no rate for its own (weight-only quantization).
WIDER = {"fp4": "fp8", "fp8": "bf16", "int8": "bf16", "bf16": "fp16", "fp16": "bf16", "tf32": "fp32"}
#: A matrix product, by operator class: which parameters, at which precision.
CLASSES = ("dense", "expert", "head")
BOUNDS = ("memory", "compute", "network", "host")
#: Accelerators of one server, past the scale-up domain joined by PCIe.
SERVER_ACCELERATORS = 8


@dataclass(frozen=True, kw_only=True)
class Step:
    """Seconds of one step by cause; `step_s` is their sum. `weights_s` and `products_s` are the two sides of `matmul_s`."""

    matmul_s: np.ndarray
    cache_s: np.ndarray
    prefill_attention_s: np.ndarray
    network_s: np.ndarray
    host_s: np.ndarray
    weights_s: np.ndarray
    products_s: np.ndarray
    step_s: np.ndarray


def math_format(accelerator: Accelerator, wanted: str) -> str:
    """The number format in which the accelerator multiplies what is stored as `wanted`: its own, or the next wider."""
    tried = wanted
    for _ in range(len(WIDER)):
        if tried in accelerator.peak_flop_per_s:
            return tried
        tried = WIDER.get(tried, "fp32")
    if "fp32" in accelerator.peak_flop_per_s:
        return "fp32"
    known = ", ".join(accelerator.peak_flop_per_s) or "none"
    raise InputError(f"{accelerator.id} has no known rate for {wanted} or anything wider; rates on record: {known}")


def smooth_max(a, b, exponent):
    """(a^p + b^p)^(1/p): the sum at p = 1 (no overlap), the larger one as p grows (full overlap)."""
    if exponent == 1.0:
        return a + b
    larger, smaller = np.maximum(a, b), np.minimum(a, b)
    ratio = smaller / np.maximum(larger, 1e-300)
    return larger * (1.0 + ratio**exponent) ** (1.0 / exponent)


def tokens_per_rank(deployment: Deployment, decode, prefill_tokens):
    """Tokens that one attention rank works on at a time: the batch is split over data ranks and pipeline stages."""
    return (decode + prefill_tokens) / (deployment.dp * deployment.pp)


def class_work(deployment: Deployment, name: str, decode, prefill_tokens):
    """(bytes, FLOP) that one accelerator reads and does for one operator class in a step, all layers."""
    model, precision = deployment.model, deployment.precision
    products = transformer.matrix_parameters(model)[name]
    stored = products * getattr(precision, f"{name}_bytes")
    tokens = tokens_per_rank(deployment, decode, prefill_tokens)
    if name == "head":  # only sampled tokens reach it
        tokens = decode / (deployment.dp * deployment.pp)
    if name != "expert":
        return stored / deployment.tp + 0.0 * tokens, 2.0 * products * tokens / deployment.tp
    together = tokens * deployment.dp
    ranks = deployment.tp * deployment.dp
    touched = transformer.experts_touched(model, together) / model.n_experts
    active = products * model.n_experts_active / model.n_experts
    return stored * touched / ranks, 2.0 * active * together / ranks


def class_seconds(deployment: Deployment, name: str, decode, prefill_tokens):
    """(memory seconds, compute seconds) of one operator class in a step."""
    accelerator, efficiency = deployment.accelerator, deployment.efficiency
    n_bytes, flop = class_work(deployment, name, decode, prefill_tokens)
    fmt = math_format(accelerator, getattr(deployment.precision, f"{name}_math"))
    share = efficiency.peak[fmt] * (efficiency.expert_peak if name == "expert" else 1.0)
    return (
        n_bytes / (accelerator.memory_bytes_per_s * efficiency.weight_bandwidth),
        flop / (accelerator.peak_flop_per_s[fmt] * share),
    )


def matmul_seconds(deployment: Deployment, decode, prefill_tokens):
    """(seconds, memory side, compute side) of all matrix products of a step."""
    total, weights, products = 0.0, 0.0, 0.0
    for name in CLASSES:
        if name == "expert" and not deployment.model.n_experts:
            continue
        memory_s, compute_s = class_seconds(deployment, name, decode, prefill_tokens)
        total = total + smooth_max(memory_s, compute_s, deployment.efficiency.overlap_exponent)
        weights, products = weights + memory_s, products + compute_s
    return total, weights, products


def cache_seconds(deployment: Deployment, decode, context_tokens):
    """Seconds to read the cache of `decode` sequences of mean length context_tokens; a pipeline reads it stage by stage."""
    model, accelerator = deployment.model, deployment.accelerator
    sequence_bytes = transformer.cache_bytes(model, deployment.precision, context_tokens)
    local = decode / (deployment.dp * deployment.pp)
    rate = accelerator.memory_bytes_per_s * deployment.efficiency.cache_bandwidth
    return local * sequence_bytes / transformer.cache_shards(model, deployment.tp) / rate


def prefill_attention_seconds(deployment: Deployment, prefill_tokens, pairs_per_token):
    """Seconds of attention products of prompt tokens that each look back on pairs_per_token tokens."""
    accelerator, efficiency = deployment.accelerator, deployment.efficiency
    flop = transformer.attention_flop_per_pair(deployment.model, prefill=True) * prefill_tokens * pairs_per_token
    peak = accelerator.peak_flop_per_s[math_format(accelerator, "bf16")] * efficiency.attention_peak
    return flop / (deployment.tp * deployment.dp * deployment.pp) / peak


def link(deployment: Deployment, ranks):
    """(bytes per second one way, seconds of latency) between `ranks` accelerators: scale-up link inside its domain, else PCIe."""
    accelerator, efficiency = deployment.accelerator, deployment.efficiency
    inside = (ranks <= accelerator.link_domain) & (accelerator.link_bytes_per_s > 0)
    rate = np.where(inside, accelerator.link_bytes_per_s, accelerator.pcie_bytes_per_s)
    latency = np.where(inside, efficiency.link_latency_s, efficiency.pcie_latency_s)
    rate = np.where(rate > 0, rate, np.inf)  # a lone accelerator without links sends nothing; the door refuses more
    return rate * efficiency.link_bandwidth, latency


def network_seconds(deployment: Deployment, decode, prefill_tokens):
    """Seconds of communication: two all-reduces a layer under TP, two all-to-alls a MoE layer under attention DP, PP hops.

    Alpha-beta: a ring all-reduce moves 2 (n - 1) / n of the message; the first hop's latency is in `link_latency_s`.
    """
    if np.ndim(deployment.tp) + np.ndim(deployment.dp) + np.ndim(deployment.pp) == 0 and (
        deployment.tp == deployment.dp == deployment.pp == 1
    ):
        return 0.0 * (decode + prefill_tokens)
    model, tp, dp, pp = deployment.model, deployment.tp, deployment.dp, deployment.pp
    message = (
        tokens_per_rank(deployment, decode, prefill_tokens) * model.d_model * deployment.precision.activation_bytes
    )
    rate, latency = link(deployment, tp * dp)
    reduces = 2 * model.n_layers * (tp > 1)
    exchanges = 2 * transformer.n_moe_layers(model) * (dp > 1)
    seconds = reduces * (latency + 2 * (tp - 1) / tp * message / rate)
    seconds = seconds + exchanges * (latency + model.n_experts_active * (dp - 1) / dp * message / rate)
    hop_rate, hop_latency = link(deployment, tp * dp * pp)
    return seconds + (pp - 1) * (hop_latency + message / hop_rate)


def host_seconds(deployment: Deployment, decode):
    """Seconds that the host adds to a step: a constant, a share a layer (launches), a share a sequence (sampling)."""
    efficiency = deployment.efficiency
    sequences = decode / (deployment.dp * deployment.pp)
    fixed = efficiency.host_step_s + efficiency.host_layer_s * deployment.model.n_layers
    return fixed + efficiency.host_sequence_s * sequences


def step(deployment: Deployment, *, decode, context_tokens, prefill_tokens=0.0, pairs_per_token=0.0) -> Step:
    """One mixed step: `decode` sequences of mean length context_tokens, and prefill_tokens prompt tokens with them."""
    matmul_s, weights_s, products_s = matmul_seconds(deployment, decode, prefill_tokens)
    cache_s = cache_seconds(deployment, decode, context_tokens)
    attention_s = prefill_attention_seconds(deployment, prefill_tokens, pairs_per_token)
    network_s = network_seconds(deployment, decode, prefill_tokens)
    host_s = host_seconds(deployment, decode)
    return Step(
        matmul_s=matmul_s,
        cache_s=cache_s,
        prefill_attention_s=attention_s,
        network_s=network_s,
        host_s=host_s,
        weights_s=weights_s,
        products_s=products_s,
        step_s=matmul_s + cache_s + attention_s + network_s + host_s,
    )


def binding(step: Step):
    """Index into BOUNDS of the largest cause of a step: memory (weights, cache), compute, network or host."""
    memory = step.weights_s + step.cache_s
    compute = step.products_s + step.prefill_attention_s
    stacked = np.stack(np.broadcast_arrays(memory, compute, step.network_s, step.host_s))
    return np.argmax(stacked, axis=0)


def ridge_tokens(deployment: Deployment, name: str = "dense"):
    """Tokens a step at which a class's compute time equals its weights' read time; below it memory binds."""
    _, compute_s = class_seconds(deployment, name, 1.0, 0.0)
    memory_s, _ = class_seconds(deployment, name, 1e12 if name == "expert" else 1.0, 0.0)
    return memory_s / compute_s
