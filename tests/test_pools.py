"""Disaggregated pools: by hand, and by what must hold between them."""

from dataclasses import replace

import numpy as np
import pytest
from given import DEPLOYMENT, IDEAL, MODEL

from costpertoken.fleet import pools
from costpertoken.model import roofline, serving
from costpertoken.model.records import InputError

LENGTHS = {"input_tokens": 1000.0, "output_tokens": 100.0}
FAST = 1e15


def test_ratio_keeps_both_pools_busy():
    found = pools.disaggregate(DEPLOYMENT, DEPLOYMENT, **LENGTHS, transfer_bytes_per_s=FAST, concurrency=20)
    prompt = roofline.step(
        DEPLOYMENT, decode=0.0, context_tokens=0.0, prefill_tokens=1000.0, pairs_per_token=500.0
    ).step_s
    decode = roofline.step(DEPLOYMENT, decode=20.0, context_tokens=1050.0).step_s
    assert found.requests_per_s == pytest.approx(20 / (100 * decode))
    assert found.prefill_per_decode == pytest.approx(found.requests_per_s * prompt)
    assert found.n_accelerators == pytest.approx(1 + found.prefill_per_decode)
    assert found.tpot_s == pytest.approx(decode)


def test_prompts_no_longer_stall_decoding():
    apart = pools.disaggregate(DEPLOYMENT, DEPLOYMENT, **LENGTHS, transfer_bytes_per_s=FAST, concurrency=20)
    together = serving.serve(DEPLOYMENT, **LENGTHS, concurrency=20)
    assert apart.tpot_s < together.tpot_s


def test_without_overheads_the_work_is_the_same():
    # All work scales with tokens when weights cost nothing to read: then both ways need the same accelerator-seconds.
    free = replace(DEPLOYMENT, efficiency=IDEAL, precision=replace(DEPLOYMENT.precision, dense_bytes=0, head_bytes=0))
    apart = pools.disaggregate(free, free, **LENGTHS, transfer_bytes_per_s=FAST, concurrency=20)
    together = serving.serve(free, **LENGTHS, concurrency=20)
    assert apart.output_tok_per_s / apart.n_accelerators == pytest.approx(float(together.output_tok_per_s), rel=1e-9)


def test_transfer_by_hand_and_a_slow_link_stretches_the_prefill_pool():
    slow = pools.disaggregate(DEPLOYMENT, DEPLOYMENT, **LENGTHS, transfer_bytes_per_s=1e6)
    fast = pools.disaggregate(DEPLOYMENT, DEPLOYMENT, **LENGTHS, transfer_bytes_per_s=FAST)
    assert slow.transfer_s == pytest.approx(1000 * 10 * 2 * 10 * 100 * 2 / 1e6)
    assert slow.ttft_s > fast.ttft_s
    assert slow.prefill_per_decode > fast.prefill_per_decode
    assert slow.tpot_s == fast.tpot_s


def test_arrays_equal_loops():
    lengths = np.array([100.0, 2000.0])
    whole = pools.disaggregate(
        DEPLOYMENT, DEPLOYMENT, input_tokens=lengths, output_tokens=50.0, transfer_bytes_per_s=1e9
    )
    for i, length in enumerate(lengths):
        one = pools.disaggregate(
            DEPLOYMENT, DEPLOYMENT, input_tokens=length, output_tokens=50.0, transfer_bytes_per_s=1e9
        )
        assert whole.output_tok_per_s[i] == one.output_tok_per_s


def test_two_models_are_refused():
    with pytest.raises(InputError, match="one model"):
        other = replace(DEPLOYMENT, model=replace(MODEL, id="other"))
        pools.disaggregate(DEPLOYMENT, other, **LENGTHS, transfer_bytes_per_s=1e9)


def test_what_does_not_fit_is_nan():
    tight = replace(DEPLOYMENT, efficiency=replace(IDEAL, reserve_bytes=9.9e9))
    assert np.isnan(pools.disaggregate(tight, DEPLOYMENT, **LENGTHS, transfer_bytes_per_s=1e9).output_tok_per_s)
    assert np.isnan(pools.disaggregate(DEPLOYMENT, tight, **LENGTHS, transfer_bytes_per_s=1e9).output_tok_per_s)
