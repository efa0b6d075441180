"""Checks of the chapter on batching: each worked out by another route, and its inverse by substitution."""

import math

import inverse
import pytest

from costpertoken import tables
from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import batching
from costpertoken.evidence.scenario import decode_s, placed, served

AT = {"model": "llama-3.1-8b", "accelerator": "h100-sxm", "weights": "bf16", "tp": 2}
LOAD = {"input_tokens": 800, "output_tokens": 400}


def deployed():
    return placed("llama-3.1-8b", "h100-sxm", weights="bf16", tp=2)


@pytest.mark.parametrize("prompts", ["elsewhere", "here"])
@pytest.mark.parametrize("batch", [2, 32, 100])
def test_saving_and_wait_are_one_figure(prompts, batch):
    knobs = {**AT, **LOAD, "batch": batch, "prompts": prompts}
    saved, slower = batching.cost_reduction(**knobs), batching.latency_increase(**knobs)
    assert (1 - saved.value / 100) * batch == pytest.approx(1 + slower.value / 100)
    assert batching.cost_and_latency(**knobs) == pytest.approx((saved.value, slower.value))
    assert saved.low < saved.value < saved.high and slower.low < slower.value < slower.high


def test_decode_steps_alone_are_two_steps_of_the_model():
    slower = batching.latency_increase(**AT, **LOAD, batch=32, prompts="elsewhere").value
    one, many = (decode_s(deployed(), batch=b, context_tokens=1000) for b in (1, 32))
    assert 1 + slower / 100 == pytest.approx(many / one)


def test_with_prompts_the_saving_is_that_of_the_bill():
    saved = batching.cost_reduction(**AT, **LOAD, batch=32, prompts="here").value
    one, many = (served(deployed(), **LOAD, concurrency=b).output_tok_per_s for b in (1, 32))
    assert 1 - saved / 100 == pytest.approx(float(one / many))


def test_what_does_not_fit_is_no_number():
    knobs = {**AT, "input_tokens": 120_000, "output_tokens": 100, "batch": 32}
    for prompts in ("here", "elsewhere"):
        assert math.isnan(batching.cost_reduction(**knobs, prompts=prompts).value)
        assert math.isnan(batching.memory_share(**knobs, prompts=prompts))


def test_memory_share_by_hand():
    """At one request: 2 bytes a weight at the bandwidth against 2 FLOP a weight at the peak, little else."""
    at, accelerator = deployed(), tables.accelerator("h100-sxm")
    share = batching.memory_share(**AT, input_tokens=1, output_tokens=2, batch=1, prompts="elsewhere")
    moving = 2 / (accelerator.memory_bytes_per_s * at.efficiency.weight_bandwidth)
    multiplying = 2 / (accelerator.peak_flop_per_s["bf16"] * at.efficiency.dense_peak)
    assert share == pytest.approx(100 * moving / (moving + multiplying), abs=0.1)


def test_memory_share_falls_with_the_batch_and_with_prompts():
    shares = [batching.memory_share(**AT, **LOAD, batch=b, prompts="elsewhere") for b in (1, 16, 128)]
    assert shares == sorted(shares, reverse=True)
    assert batching.memory_share(**AT, **LOAD, batch=128, prompts="here") < shares[-1]


def test_flop_of_a_request_by_hand():
    """Llama 3.1 8B: 6.98e9 dense and 0.525e9 head parameters; 4 x 32 heads x 128 x 32 layers FLOP a pair."""
    dense, head, pair = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336), 128256 * 4096, 4 * 32 * 128 * 32
    expected = 2 * dense * 1200 + 2 * head * 400 + pair * (800 * 800 / 2 + 400 * 1000)
    assert batching.request_flop(deployed(), **LOAD) == pytest.approx(expected)


def test_idle_share_of_a_lone_request_by_hand():
    idle = batching.lone_waste(**AT, **LOAD, capacity=batching.IDLE)
    seconds = 1 / float(served(deployed(), **LOAD, concurrency=1).requests_per_s)
    peak = 2 * tables.accelerator("h100-sxm").peak_flop_per_s["bf16"]
    assert idle.value == pytest.approx(100 * (1 - batching.request_flop(deployed(), **LOAD) / (peak * seconds)))
    assert idle.low < idle.value < idle.high < 100


def test_time_moving_memory_leaves_host_and_network_out():
    assert 0 < batching.lone_waste(**AT, **LOAD, capacity=batching.MOVING) < 100


@pytest.mark.parametrize("claim_id", ["batch32-cost-reduction", "batch32-latency-increase", "single-request-waste"])
def test_inverse_solutions_hold_when_put_back(claim_id):
    printed, now, put_back = inverse.solved(claim_id)
    assert admissible.gap(now, printed.band()) != 0 and admissible.gap(put_back, printed.band()) == 0


def test_the_pair_is_inconsistent_on_any_of_its_machines():
    names = ("batch32-cost-reduction", "batch32-latency-increase")  # 0.15 x 32 is 4.8: 380 % slower, not 20 %
    assert [claims.ledger(claim_id=name)["verdict"].iloc[0] for name in names] == ["inconsistent"] * 2
