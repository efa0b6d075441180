"""Seconds of one engine step: matrix products, attention over the cache, communication, the host.

A step carries `decode` sequences (one new token each) and `prefill_tokens` prompt tokens for the whole replica. Counts,
efficiencies and knobs are scalars or arrays and broadcast; every returned figure has their shape. Left out: kernel-level
tiling, clock throttling, imbalance between experts. Source of the physics: data sheets' roofs (Williams et al. 2009,
doi 10.1145/1498765.1498785) with the shares of them that engines reach, `Efficiency`.
"""

from dataclasses import dataclass

import numpy as np

from costpertoken.model.counts import Counts, count
from costpertoken.model.records import Deployment, Efficiency
from costpertoken.model.transformer import experts_touched_share, windowed_tokens

#: Operator classes of the matrix products.
CLASSES = ("dense", "expert", "head")
BOUNDS = ("memory", "compute", "network", "host")


@dataclass(frozen=True, kw_only=True)
class Step:
    """Seconds of one step by cause; `step_s` is their sum. `weights_s` and `products_s` are the two sides of `matmul_s`."""

    matmul_s: np.ndarray
    cache_s: np.ndarray
    prefill_attention_s: np.ndarray
    activation_s: np.ndarray
    network_s: np.ndarray
    host_s: np.ndarray
    weights_s: np.ndarray
    products_s: np.ndarray
    step_s: np.ndarray


def overlapped(a, b, overlap):
    """max(a, b) + (1 - overlap) min(a, b): the sum at overlap 0, the larger one at 1."""
    return a + b - overlap * np.minimum(a, b)


def held_tokens(counts: Counts, context_tokens):
    """Mean tokens held or looked at a layer: layers with a window stop growing at it."""
    return windowed_tokens(context_tokens, counts.window_share, counts.window_tokens)


def per_rank(counts: Counts, tokens):
    """Tokens that one attention rank works on at a time: the batch is split over data ranks and pipeline stages."""
    return tokens / (counts.dp * counts.pp)


def class_work(counts: Counts, name: str, decode, prefill_tokens):
    """(bytes, FLOP) that one accelerator reads and does for one operator class in a step, all layers."""
    tokens = per_rank(counts, decode + prefill_tokens)
    if name == "head":  # only sampled tokens reach it
        tokens = per_rank(counts, decode)
    together = tokens * counts.dp
    read = experts_touched_share(together, counts.n_experts, counts.n_experts_active) if name == "expert" else 1.0
    return getattr(counts, f"{name}_bytes") * read + 0.0 * tokens, getattr(counts, f"{name}_flop_per_token") * tokens


def class_seconds(counts: Counts, efficiency: Efficiency, name: str, decode, prefill_tokens):
    """(memory seconds, compute seconds) of one operator class in a step."""
    n_bytes, flop = class_work(counts, name, decode, prefill_tokens)
    rate = getattr(counts, f"{name}_flop_per_s") * getattr(efficiency, f"{name}_peak")
    share = efficiency.expert_bandwidth if name == "expert" else efficiency.weight_bandwidth
    return n_bytes / (counts.memory_bytes_per_s * share), flop / rate


def matmul_seconds(counts: Counts, efficiency: Efficiency, decode, prefill_tokens):
    """(seconds, memory side, compute side) of all matrix products of a step."""
    total, weights, products = 0.0, 0.0, 0.0
    for name in CLASSES:
        if name == "expert" and not np.any(counts.expert_bytes):
            continue
        memory_s, compute_s = class_seconds(counts, efficiency, name, decode, prefill_tokens)
        total = total + overlapped(memory_s, compute_s, efficiency.overlap)
        weights, products = weights + memory_s, products + compute_s
    return total, weights, products


def cache_seconds(counts: Counts, efficiency: Efficiency, decode, context_tokens, queries=1.0):
    """Seconds of decode attention: read the cache of each sequence and multiply; a pipeline does it stage by stage.

    Multiplying matters for MLA, whose heads share one small cache, and where a sequence asks `queries` times at once; its
    products run at the 16-bit rate of the head.
    """
    pairs = per_rank(counts, decode) * held_tokens(counts, context_tokens)
    reading = pairs * counts.cache_bytes_per_token / (counts.memory_bytes_per_s * efficiency.cache_bandwidth)
    multiplying = pairs * queries * counts.decode_flop_per_pair / (counts.head_flop_per_s * efficiency.attention_peak)
    return np.maximum(reading, multiplying)


def prefill_attention_seconds(counts: Counts, efficiency: Efficiency, prefill_tokens, pairs_per_token):
    """Seconds of attention products of prompt tokens that each look back on pairs_per_token tokens."""
    pairs = per_rank(counts, prefill_tokens) * held_tokens(counts, pairs_per_token)
    return pairs * counts.prefill_flop_per_pair / (counts.head_flop_per_s * efficiency.attention_peak)


def link(counts: Counts, efficiency: Efficiency, ranks):
    """(bytes per second one way, seconds of latency) between `ranks` accelerators: scale-up link in its domain, else PCIe."""
    inside = ranks <= counts.link_domain
    rate = np.where(
        inside, counts.link_bytes_per_s * efficiency.link_bandwidth, counts.pcie_bytes_per_s * efficiency.pcie_bandwidth
    )
    return rate, np.where(inside, efficiency.link_latency_s, efficiency.pcie_latency_s)


def network_seconds(counts: Counts, efficiency: Efficiency, decode, prefill_tokens):
    """Seconds of communication: two all-reduces a layer under TP, two all-to-alls a MoE layer under attention DP, PP hops.

    Alpha-beta: a ring all-reduce moves 2 (n - 1) / n of the message, and costs a latency however small it is.
    """
    tp, dp, pp = counts.tp, counts.dp, counts.pp
    if np.ndim(tp) == np.ndim(dp) == np.ndim(pp) == 0 and tp == dp == pp == 1:
        return 0.0 * (decode + prefill_tokens)
    message = per_rank(counts, decode + prefill_tokens) * counts.message_bytes_per_token
    rate, latency = link(counts, efficiency, tp * dp)
    reduces, exchanges = 2 * counts.n_layers * (tp > 1), 2 * counts.n_moe_layers * (dp > 1)
    seconds = reduces * (latency + 2 * (tp - 1) / tp * message / rate)
    seconds = seconds + exchanges * (latency + counts.n_experts_active * (dp - 1) / dp * message / rate)
    hop_rate, hop_latency = link(counts, efficiency, tp * dp * pp)
    return seconds + (pp - 1) * (hop_latency + message / hop_rate)


def host_seconds(counts: Counts, efficiency: Efficiency, decode):
    """Seconds that the host adds to a step: a constant, a share a layer (launches), a share a sequence (sampling)."""
    layers = efficiency.host_layer_s * counts.n_layers + efficiency.host_moe_layer_s * counts.n_moe_layers
    return efficiency.host_step_s + layers + efficiency.host_sequence_s * per_rank(counts, decode)


def activation_seconds(counts: Counts, efficiency: Efficiency, decode, prefill_tokens):
    """Seconds in which norms, residuals and activations cross memory; tensor parallelism splits a part of them."""
    tokens = per_rank(counts, decode + prefill_tokens)
    share = efficiency.activation_replicated + (1.0 - efficiency.activation_replicated) / counts.tp
    passes = efficiency.activation_passes * share * counts.activation_bytes_per_token
    return tokens * passes / (counts.memory_bytes_per_s * efficiency.weight_bandwidth)


def step_of(
    counts: Counts,
    efficiency: Efficiency,
    *,
    decode,
    context_tokens,
    prefill_tokens=0.0,
    pairs_per_token=0.0,
    queries=1.0,
) -> Step:
    """One mixed step: `decode` sequences of mean length context_tokens, and prefill_tokens prompt tokens with them.

    queries: tokens of each sequence that are looked at at once, above 1 where drafted tokens are verified; a sequence's cache
    is read once for all of them.
    """
    asked = decode * queries
    matmul_s, weights_s, products_s = matmul_seconds(counts, efficiency, asked, prefill_tokens)
    cache_s = cache_seconds(counts, efficiency, decode, context_tokens, queries)
    attention_s = prefill_attention_seconds(counts, efficiency, prefill_tokens, pairs_per_token)
    activation_s = activation_seconds(counts, efficiency, asked, prefill_tokens)
    network_s = network_seconds(counts, efficiency, asked, prefill_tokens)
    host_s = host_seconds(counts, efficiency, decode)
    return Step(
        matmul_s=matmul_s,
        cache_s=cache_s,
        prefill_attention_s=attention_s,
        activation_s=activation_s,
        network_s=network_s,
        host_s=host_s,
        weights_s=weights_s,
        products_s=products_s,
        step_s=matmul_s + cache_s + attention_s + activation_s + network_s + host_s,
    )


def step(deployment: Deployment, **carried) -> Step:
    """`step_of` for a deployment: decode, context_tokens, prefill_tokens, pairs_per_token."""
    return step_of(count(deployment), deployment.efficiency, **carried)


def together(*taken: tuple[float, Step]) -> Step:
    """Steps one after the other, each so many times: seconds by cause."""
    names = Step.__dataclass_fields__
    return Step(**{name: sum(times * getattr(one, name) for times, one in taken) for name in names})


def binding(step: Step):
    """Index into BOUNDS of the largest cause of a step: memory (weights, cache, activations), compute, network or host."""
    memory = step.weights_s + step.cache_s + step.activation_s
    compute = step.products_s + step.prefill_attention_s
    stacked = np.stack(np.broadcast_arrays(memory, compute, step.network_s, step.host_s))
    return np.argmax(stacked, axis=0)


def ridge_tokens(deployment: Deployment, name: str = "dense"):
    """Tokens a step at which a class's compute time equals the time to read all its weights; below it memory binds."""
    counts, everything = count(deployment), 1e12
    _, compute_s = class_seconds(counts, deployment.efficiency, name, 1.0, 0.0)
    memory_s, _ = class_seconds(counts, deployment.efficiency, name, everything, 0.0)
    return memory_s / compute_s
