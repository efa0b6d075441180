"""What one accelerator of a deployment holds, reads, multiplies and sends: numbers only, no efficiency yet.

`count` turns records into Counts; `stack` joins the Counts of many deployments into arrays, so that thousands of different
configurations are evaluated at once by the same functions.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from costpertoken.model import transformer
from costpertoken.model.records import Accelerator, Deployment, InputError

#: Number formats that a product falls back to where the accelerator has no rate for its own (weight-only quantization).
WIDER = {"fp4": "fp8", "fp8": "bf16", "int8": "bf16", "bf16": "fp16", "fp16": "bf16", "tf32": "fp32"}


@dataclass(frozen=True, kw_only=True)
class Counts:
    """One accelerator's share of one replica. Bytes and FLOP of all layers that one step passes; scalars or arrays."""

    dense_bytes: np.ndarray
    expert_bytes: np.ndarray
    head_bytes: np.ndarray
    dense_flop_per_token: np.ndarray
    expert_flop_per_token: np.ndarray
    head_flop_per_token: np.ndarray
    n_experts: np.ndarray
    n_experts_active: np.ndarray
    cache_bytes_per_token: np.ndarray
    window_share: np.ndarray
    window_tokens: np.ndarray
    prefill_flop_per_pair: np.ndarray
    decode_flop_per_pair: np.ndarray
    activation_bytes_per_token: np.ndarray
    message_bytes_per_token: np.ndarray
    n_layers: np.ndarray
    n_moe_layers: np.ndarray
    tp: np.ndarray
    pp: np.ndarray
    dp: np.ndarray
    held_bytes: np.ndarray
    memory_bytes: np.ndarray
    memory_bytes_per_s: np.ndarray
    dense_flop_per_s: np.ndarray
    expert_flop_per_s: np.ndarray
    head_flop_per_s: np.ndarray
    link_bytes_per_s: np.ndarray
    pcie_bytes_per_s: np.ndarray
    link_domain: np.ndarray
    max_context: np.ndarray


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


def peak_flop_per_s(deployment: Deployment, name: str) -> float:
    """Data-sheet rate of one operator class's products."""
    wanted = getattr(deployment.precision, f"{name}_math")
    return deployment.accelerator.peak_flop_per_s[math_format(deployment.accelerator, wanted)]


def weights(deployment: Deployment) -> dict:
    """Bytes, FLOP and held bytes of the matrix products: dense and head over tp, experts over tp x dp."""
    model, precision, tp = deployment.model, deployment.precision, deployment.tp
    products, stored = transformer.matrix_parameters(model), transformer.weight_bytes(model, precision)
    active = products["expert"] * model.n_experts_active / max(model.n_experts, 1)
    everyone = tp * deployment.dp
    return {
        "dense_bytes": products["dense"] * precision.dense_bytes / tp,
        "expert_bytes": products["expert"] * precision.expert_bytes / everyone,
        "head_bytes": products["head"] * precision.head_bytes / tp,
        "dense_flop_per_token": 2.0 * products["dense"] / tp,
        "expert_flop_per_token": 2.0 * active / tp,
        "head_flop_per_token": 2.0 * products["head"] / tp,
        "held_bytes": ((stored["dense"] + stored["head"]) / tp + stored["expert"] / everyone) / deployment.pp,
    }


def attention(deployment: Deployment) -> dict:
    """Cache bytes of a token and FLOP of a query-key pair: heads split over tp, KV heads copied past their number."""
    model, tp = deployment.model, deployment.tp
    shards = transformer.cache_shards(model, tp)
    return {
        "cache_bytes_per_token": transformer.cache_bytes_per_token(model, deployment.precision) / shards,
        "window_share": transformer.window_share(model),
        "window_tokens": float(max(model.window_tokens, 1)),
        "prefill_flop_per_pair": transformer.attention_flop_per_pair(model, prefill=True) / tp,
        "decode_flop_per_pair": transformer.attention_flop_per_pair(model, prefill=False) / tp,
    }


def machine(accelerator: Accelerator) -> dict:
    """Rates of the accelerator, one way. Bridges between pairs of cards are sold apart and not assumed: PCIe it is.

    A link that is not there is never used (the door refuses it), so its rate is infinite.
    """
    joined = bool(accelerator.link_bytes_per_s) and accelerator.link_kind != "nvlink-bridge"
    return {
        "memory_bytes": accelerator.memory_bytes,
        "memory_bytes_per_s": accelerator.memory_bytes_per_s,
        "link_bytes_per_s": accelerator.link_bytes_per_s or np.inf,
        "pcie_bytes_per_s": accelerator.pcie_bytes_per_s or accelerator.link_bytes_per_s or np.inf,
        "link_domain": accelerator.link_domain if joined else 1,
    }


def count(deployment: Deployment) -> Counts:
    """Counts of a deployment; arrays where its degrees are arrays."""
    model = deployment.model
    message = model.d_model * deployment.precision.activation_bytes
    return Counts(
        **weights(deployment),
        **attention(deployment),
        **machine(deployment.accelerator),
        n_experts=max(model.n_experts, 1),
        n_experts_active=max(model.n_experts_active, 1),
        activation_bytes_per_token=model.n_layers * message,
        message_bytes_per_token=message,
        n_layers=model.n_layers,
        n_moe_layers=transformer.n_moe_layers(model),
        tp=deployment.tp,
        pp=deployment.pp,
        dp=deployment.dp,
        dense_flop_per_s=peak_flop_per_s(deployment, "dense"),
        expert_flop_per_s=peak_flop_per_s(deployment, "expert"),
        head_flop_per_s=peak_flop_per_s(deployment, "head"),
        max_context=model.max_context,
    )


def stack(counted: list) -> object:
    """Records of one kind with scalar fields, joined field by field into one with arrays: a row each."""
    kind = type(counted[0])
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: np.array([getattr(one, name) for one in counted], dtype=float) for name in names})
