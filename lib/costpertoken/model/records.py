"""Frozen records that carry data into the model. Each is checked once, at the door; no record computes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from costpertoken.model.door import InputError as InputError
from costpertoken.model.door import UnknownName as UnknownName
from costpertoken.model.door import at_least as at_least
from costpertoken.model.door import check
from costpertoken.model.door import check_range as check_range


@dataclass(frozen=True, kw_only=True)
class Model:
    """Dimensions of a transformer, as its published configuration gives them."""

    id: str
    name: str
    n_layers: int = at_least(1)
    d_model: int = at_least(1)
    n_heads: int = at_least(1)
    n_kv_heads: int = at_least(1)
    head_dim: int = at_least(1)
    d_ff: int = at_least(0, default=0)
    vocab: int = at_least(1)
    tied_embeddings: bool = False
    attention: str = "gqa"
    attn_bias: str = "none"
    mlp_matrices: int = at_least(2, below=3, default=3)
    n_experts: int = at_least(0, default=0)
    n_experts_active: int = at_least(0, default=0)
    n_shared_experts: int = at_least(0, default=0)
    d_ff_expert: int = at_least(0, default=0)
    first_dense_layers: int = at_least(0, default=0)
    moe_every: int = at_least(1, default=1)
    dense_d_ff: int = at_least(0, default=0)
    mla_q_lora_rank: int = at_least(0, default=0)
    mla_kv_lora_rank: int = at_least(0, default=0)
    mla_nope_dim: int = at_least(0, default=0)
    mla_rope_dim: int = at_least(0, default=0)
    mla_v_dim: int = at_least(0, default=0)
    window_tokens: int = at_least(0, default=0)
    n_window_layers: int = at_least(0, default=0)
    max_context: int = at_least(1, default=1_000_000_000)
    encoder_layers: int = at_least(0, default=0)
    native_weights: str = "bf16"
    native_expert_weights: str = ""

    __post_init__ = check


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """One accelerator as a framework sees it. Link rates are one direction (vendors quote both added)."""

    id: str
    name: str
    vendor: str
    device_class: str = "gpu"
    form_factor: str = ""
    memory_bytes: float = at_least(1.0)
    memory_bytes_per_s: float = at_least(1.0)
    peak_flop_per_s: Mapping[str, float]  # dense rate by number format
    tdp_w: float | None = at_least(1.0, default=None)
    link_kind: str = "none"
    link_bytes_per_s: float = at_least(0.0, default=0.0)
    link_domain: int = at_least(1, default=1)
    pcie_bytes_per_s: float = at_least(0.0, default=0.0)

    __post_init__ = check


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Bytes a parameter and the number format of the products, by operator class; bytes of one cached element.

    Dense: attention projections, dense MLPs, shared experts, router. Expert: routed experts. Head: LM head and embedding.
    Bytes include group metadata (scales, zero points).
    """

    id: str
    dense_bytes: float = at_least(0.0)
    expert_bytes: float = at_least(0.0)
    head_bytes: float = at_least(0.0)
    cache_bytes: float = at_least(0.0)
    activation_bytes: float = at_least(0.0, default=2.0)
    dense_math: str = "bf16"
    expert_math: str = "bf16"
    head_math: str = "bf16"

    __post_init__ = check


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """What an engine reaches of the data sheet, and what it spends beside it. Values, ranges and basis are data.

    Shares of peak are of the number format that the products really use. Fields may be arrays (one value a row).
    """

    weight_bandwidth: float = at_least(0.01, below=2.0)
    expert_bandwidth: float = at_least(0.01, below=2.0)
    cache_bandwidth: float = at_least(0.01, below=2.0)
    dense_peak: float = at_least(0.01, below=2.0)
    expert_peak: float = at_least(0.01, below=2.0)
    head_peak: float = at_least(0.01, below=2.0)
    attention_peak: float = at_least(0.001, below=2.0)
    overlap: float = at_least(0.0, below=1.0)  # share of the shorter of reading and multiplying that is hidden
    activation_passes: float = at_least(0.0)  # times a token's activations cross memory in a layer
    activation_replicated: float = at_least(0.0, below=1.0)  # share of them that tensor parallelism does not split
    link_bandwidth: float = at_least(0.001, below=2.0)
    link_latency_s: float = at_least(0.0)
    pcie_bandwidth: float = at_least(0.001, below=2.0)
    pcie_latency_s: float = at_least(0.0)
    host_step_s: float = at_least(0.0)
    host_layer_s: float = at_least(0.0)
    host_moe_layer_s: float = at_least(0.0)
    host_sequence_s: float = at_least(0.0)
    memory_usable: float = at_least(0.1, below=1.0)
    reserve_bytes: float = at_least(0.0)
    output_reserved: float = at_least(0.0, below=1.0)
    max_batch: float = at_least(1.0)
    window_held: float = at_least(0.0, below=1.0)  # share of a window layer's old cache that the engine still keeps
    prefill_stall: float = at_least(0.0, below=2.0)  # share of prompt work that running requests wait for
    ttft_base_s: float = at_least(0.0)
    ttft_own: float = at_least(0.0)  # prompt times
    ttft_steps: float = at_least(0.0)  # mixed steps waited for
    ttft_burst: float = at_least(0.0)  # share of the batch's prompts that one waits behind
    ttft_queue: float = at_least(0.0)  # of the wait for a free place by Little's law

    __post_init__ = check


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A model on accelerators: one replica of tp x pp x dp of them. The four degrees may be arrays.

    dp above 1 is attention data parallelism: attention weights are replicated and the experts shared by all ranks. ep says
    over how many ranks whole experts are spread; bytes and FLOP a rank are those of slices, and imbalance is left out.
    """

    model: Model
    accelerator: Accelerator
    precision: Precision
    efficiency: Efficiency
    engine: str = ""  # family whose efficiencies these are, for the record
    tp: int | np.ndarray = at_least(1, default=1)
    pp: int | np.ndarray = at_least(1, default=1)
    dp: int | np.ndarray = at_least(1, default=1)
    ep: int | np.ndarray = at_least(1, default=1)

    def __post_init__(self) -> None:
        check(self)
        check_parallelism(self)


def check_parallelism(deployment) -> None:
    """Refuse degrees that do not divide what they split."""
    model = deployment.model
    splits = (("tp", "n_heads"), ("pp", "n_layers")) + ((("ep", "n_experts"),) if model.n_experts else ())
    for degree, part in splits:
        whole, ways = getattr(model, part), np.asarray(getattr(deployment, degree))
        uneven = (whole % ways != 0) if degree != "pp" else (ways > whole)
        if np.any(uneven) or np.any(ways != np.floor(ways)):
            allowed = [n for n in (1, 2, 4, 8, 16, 32, 64) if whole % n == 0]
            raise InputError(
                f"{degree} is {ways[uneven].flat[0] if np.any(uneven) else ways}; {model.id} has {whole} "
                f"{part.removeprefix('n_')}, which {degree} must divide: try one of {', '.join(map(str, allowed))}"
            )
    machine = deployment.accelerator
    if np.any(np.asarray(deployment.tp * deployment.pp * deployment.dp) > 1) and not (
        machine.link_bytes_per_s or machine.pcie_bytes_per_s
    ):
        raise InputError(f"{machine.id} has no link rate on record; expected tp, pp and dp of 1")
    if not model.n_experts and np.any(np.asarray(deployment.ep) > 1):
        raise InputError(f"ep is {deployment.ep}; {model.id} has no experts to spread: leave ep at 1")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Lengths of a request and the load. Concurrency None means a backlog: the engine chooses the batch."""

    input_tokens: float | np.ndarray = at_least(1)
    output_tokens: float | np.ndarray = at_least(1)
    cached_share: float | np.ndarray = at_least(0.0, below=0.999, default=0.0)
    concurrency: float | np.ndarray | None = at_least(1, default=None)

    __post_init__ = check


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD per accelerator-hour: typical value and the range it was seen in, with where and when."""

    usd_per_hour: float = at_least(0.0)
    low: float = at_least(0.0)
    high: float = at_least(0.0)
    label: str = ""
    as_of: str = ""
    n_offers: int = at_least(0, default=1)

    def __post_init__(self) -> None:
        check(self)
        if not self.low <= self.usd_per_hour <= self.high:
            raise InputError(
                f"Price.usd_per_hour is {self.usd_per_hour:g}; expected it within low {self.low:g} to high {self.high:g}"
            )


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a figure was read."""

    id: str
    producer: str
    title: str
    url: str
    published: str
    accessed: str
    licence: str
