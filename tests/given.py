"""Made-up records with round numbers, so that expected values can be worked out by hand."""

from dataclasses import replace

from costpertoken.model.records import Accelerator, Deployment, Efficiency, Model, Precision

#: 10 layers of width 1000: 2 x 2 x 1000 x 1000 of attention and 3 x 1000 x 3000 of MLP a layer, 1e6 in the head.
MODEL = Model(
    id="round", name="Round", n_layers=10, d_model=1000, n_heads=10, n_kv_heads=10, head_dim=100, d_ff=3000, vocab=1000
)
MOE = replace(MODEL, id="moe", d_ff=0, n_experts=8, n_experts_active=2, d_ff_expert=1000)
ACCELERATOR = Accelerator(
    id="round-gpu", name="Round", vendor="none", memory_bytes=10e9, memory_bytes_per_s=1e12,
    peak_flop_per_s={"bf16": 100e12, "fp8": 200e12, "fp32": 10e12}, tdp_w=500, link_kind="nvlink",
    link_bytes_per_s=100e9, link_domain=8, pcie_bytes_per_s=10e9,
)  # fmt: skip
PRECISION = Precision(id="bf16", dense_bytes=2, expert_bytes=2, head_bytes=2, cache_bytes=2)
#: Everything at its data sheet, nothing beside it.
IDEAL = Efficiency(
    weight_bandwidth=1, cache_bandwidth=1, dense_peak=1, expert_peak=1, head_peak=1, attention_peak=1, overlap=0,
    expert_bandwidth=1, activation_passes=0, activation_replicated=1,
    link_bandwidth=1, link_latency_s=0, pcie_bandwidth=1, pcie_latency_s=0,
    host_step_s=0, host_layer_s=0, host_moe_layer_s=0, host_sequence_s=0, memory_usable=1, reserve_bytes=0, output_reserved=1,
    max_batch=10_000, window_held=0, prefill_stall=1, ttft_base_s=0, ttft_own=1,
    ttft_steps=0.5, ttft_burst=0, ttft_queue=1,
)  # fmt: skip
DEPLOYMENT = Deployment(model=MODEL, accelerator=ACCELERATOR, precision=PRECISION, efficiency=IDEAL)
