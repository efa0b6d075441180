"""One step, against arithmetic by hand on round records."""

from dataclasses import replace

import numpy as np
import pytest
from given import ACCELERATOR, DEPLOYMENT, IDEAL, MOE

from costpertoken.model import counts, roofline
from costpertoken.model.records import InputError

DENSE = 10 * (4 * 1000 * 1000 + 3 * 1000 * 3000)  # 130e6 parameters
HEAD = 1000 * 1000


def test_decode_of_one_sequence_by_hand():
    step = roofline.step(DEPLOYMENT, decode=1, context_tokens=500)
    assert step.weights_s == pytest.approx(2 * (DENSE + HEAD) / 1e12)
    assert step.products_s == pytest.approx(2 * (DENSE + HEAD) / 100e12)
    assert step.matmul_s == pytest.approx(step.weights_s + step.products_s)
    assert step.cache_s == pytest.approx(500 * 10 * 2 * 10 * 100 * 2 / 1e12)
    assert step.network_s == step.host_s == step.prefill_attention_s == 0


def test_prompt_tokens_skip_the_head():
    both = roofline.step(DEPLOYMENT, decode=1, context_tokens=1, prefill_tokens=99)
    assert both.products_s == pytest.approx((2 * DENSE * 100 + 2 * HEAD * 1) / 100e12)


def test_prefill_attention_is_half_of_n_squared():
    n = 1000
    step = roofline.step(DEPLOYMENT, decode=0, context_tokens=n, prefill_tokens=n, pairs_per_token=n / 2)
    assert step.prefill_attention_s == pytest.approx(10 * 4 * 10 * 100 * n * n / 2 / 100e12)


def test_experts_read_what_is_touched_and_compute_what_is_active():
    moe = replace(DEPLOYMENT, model=MOE)
    n_bytes, flop = roofline.class_work(counts.count(moe), "expert", 2.0, 0.0)
    every = 10 * 8 * 3 * 1000 * 1000
    assert n_bytes == pytest.approx(2 * every * (1 - 0.75**2))
    assert flop == pytest.approx(2 * every * 2 / 8 * 2)


def test_tensor_parallel_splits_bytes_and_adds_two_reduces_a_layer():
    two = replace(DEPLOYMENT, tp=2, efficiency=replace(IDEAL, link_latency_s=1e-5))
    step = roofline.step(two, decode=10, context_tokens=100)
    alone = roofline.step(DEPLOYMENT, decode=10, context_tokens=100)
    assert step.matmul_s == pytest.approx(alone.matmul_s / 2)
    assert step.cache_s == pytest.approx(alone.cache_s / 2)
    assert step.network_s == pytest.approx(20 * (1e-5 + 2 * 0.5 * 10 * 1000 * 2 / 100e9))


def test_past_the_scale_up_domain_the_link_is_pcie():
    pairs = replace(ACCELERATOR, link_domain=2)
    rate, _ = roofline.link(counts.count(replace(DEPLOYMENT, accelerator=pairs)), IDEAL, np.array([2, 4]))
    assert list(rate) == [100e9, 10e9]


def test_attention_data_parallel_keeps_dense_bytes_and_shares_experts():
    alone, ranks = (counts.count(replace(DEPLOYMENT, model=MOE, dp=dp, ep=dp)) for dp in (1, 4))
    one, four = ({name: roofline.class_work(c, name, 8.0, 0.0) for name in ("dense", "expert")} for c in (alone, ranks))
    assert four["dense"][0] == one["dense"][0]
    assert four["dense"][1] == one["dense"][1] / 4
    assert four["expert"][0] == pytest.approx(one["expert"][0] / 4)
    assert four["expert"][1] == pytest.approx(one["expert"][1] / 4)


@pytest.mark.parametrize(
    ("stored", "used"), [("fp8", "fp8"), ("fp4", "fp8"), ("int8", "bf16"), ("fp16", "bf16"), ("tf32", "fp32")]
)
def test_weight_only_formats_multiply_in_the_next_wider(stored, used):
    assert counts.math_format(ACCELERATOR, stored) == used


def test_no_rate_at_all_is_refused():
    with pytest.raises(InputError, match="no known rate"):
        counts.math_format(replace(ACCELERATOR, peak_flop_per_s={"int8": 1e12}), "bf16")


def test_overlap_runs_from_sum_to_maximum():
    assert roofline.overlapped(3.0, 4.0, 0.0) == 7
    assert roofline.overlapped(3.0, 4.0, 1.0) == 4
    assert roofline.overlapped(3.0, 4.0, 0.5) == 5.5


def test_ridge_is_peak_over_bandwidth_at_two_bytes():
    assert roofline.ridge_tokens(DEPLOYMENT) == pytest.approx(100e12 / 1e12)


def test_binding_names_the_largest_cause():
    small = roofline.step(DEPLOYMENT, decode=1, context_tokens=10)
    large = roofline.step(DEPLOYMENT, decode=1000, context_tokens=1)
    assert roofline.BOUNDS[int(roofline.binding(small))] == "memory"
    assert roofline.BOUNDS[int(roofline.binding(large))] == "compute"
