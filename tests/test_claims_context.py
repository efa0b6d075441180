"""Checks of the chapter on context: each worked out by another route, and its inverse by substitution."""

import math

import inverse
import numpy as np
import pytest

from costpertoken import tables
from costpertoken.evidence import admissible
from costpertoken.evidence.checks import context
from costpertoken.evidence.scenario import placed, rent
from costpertoken.model.roofline import step
from costpertoken.model.serving import capacity

AT = {"model": "llama-3.1-8b", "accelerator": "h100-sxm", "weights": "bf16", "tp": 2}
KINDS = ["prompt", "output token", "request"]


def deployed():
    return placed("llama-3.1-8b", "h100-sxm", weights="bf16", tp=2)


def test_a_prompt_is_a_line_and_a_square():
    """Three lengths fix a + b N + c N^2; a fourth must lie on it, and c is the attention of N / 2 pairs a token."""
    lengths = np.array([1e5, 2e5, 4e5, 8e5])
    seconds = context.prompt_s(deployed(), lengths)
    c, b, a = np.polyfit(lengths[:3], seconds[:3], 2)
    assert a + b * lengths[3] + c * lengths[3] ** 2 == pytest.approx(seconds[3], rel=1e-6)
    peak = tables.accelerator("h100-sxm").peak_flop_per_s["bf16"] * deployed().efficiency.attention_peak
    assert c == pytest.approx(4 * 32 * 128 * 32 / 2 / 2 / peak, rel=1e-6)


def test_held_requests_share_what_the_weights_leave():
    """32 layers x 2 x 8 heads x 128 x 2 bytes a token, over two accelerators, plus the reserve of one output token."""
    at, tokens = deployed(), 50_000
    each = (tokens + at.efficiency.output_reserved) * 32 * 2 * 8 * 128 * 2 / 2
    assert context.held_requests(at, tokens) == pytest.approx(float(capacity(at).cache_bytes) / each)
    assert np.isnan(context.held_requests(at, 10_000_000))
    assert context.held_requests(at, 1) == at.efficiency.max_batch


def test_an_output_token_is_a_step_over_those_in_it():
    at = deployed()
    full = float(context.held_requests(at, 20_000))
    seconds = float(step(at, decode=full, context_tokens=20_000).step_s) / full
    assert float(context.output_token_s(at, 20_000)) == pytest.approx(seconds)


def test_a_request_is_its_prompt_and_its_output_tokens():
    at = deployed()
    expected = context.prompt_s(at, 10_000) + 100 * context.output_token_s(at, 10_050)
    assert context.taken_s(at, "request", 10_000, 100) == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_growth_never_outgrows_the_square(kind):
    for tokens in (2_000, 20_000, 200_000):
        found = context.cost_exponent(**AT, quantity=kind, context_tokens=tokens, output_tokens=100)
        assert 0 < found < 2


def test_exponent_of_a_prompt_by_hand():
    """(b N + 2 c N^2) / (a + b N + c N^2) from the fitted polynomial."""
    lengths = np.array([1e5, 2e5, 4e5])
    c, b, a = np.polyfit(lengths, context.prompt_s(deployed(), lengths), 2)
    n = 3e5
    expected = (b * n + 2 * c * n**2) / (a + b * n + c * n**2)
    found = context.cost_exponent(**AT, quantity="prompt", context_tokens=n, output_tokens=1)
    assert found == pytest.approx(expected, abs=1e-3)


def test_an_output_token_at_long_context_costs_in_proportion():
    ratio = context.cost_ratio(**AT, quantity="output token", short_tokens=100_000, long_tokens=200_000, output_tokens=1)
    assert ratio.value == pytest.approx(2, rel=0.05)
    assert ratio.low < ratio.value < ratio.high


def test_cost_ratio_by_hand():
    at = {"model": "llama-3.1-70b", "accelerator": "h100-sxm", "weights": "bf16", "tp": 4}
    found = context.cost_ratio(**at, quantity="prompt", short_tokens=8000, long_tokens=128_000, output_tokens=500)
    one = placed("llama-3.1-70b", "h100-sxm", weights="bf16", tp=4)
    steps = [
        float(step(one, decode=0.0, context_tokens=0.0, prefill_tokens=n, pairs_per_token=n / 2).step_s) for n in (8e3, 128e3)
    ]
    assert found.value == pytest.approx(steps[1] / steps[0])
    assert 16 < found.value < 256


def test_attention_memory_by_kernel():
    assert context.attention_exponent(model="llama-2-7b", context_tokens=2000, kernel="fused") == pytest.approx(1)
    written = context.attention_exponent(model="llama-2-7b", context_tokens=2000, kernel="written out")
    line, square = 2 * 32 * 128 * 2 * 2000, 32 * 2 * 2000**2
    assert written == pytest.approx((line + 2 * square) / (line + square), abs=1e-2)


def test_window_is_the_named_models():
    windows = {"gpt_4": 8192.0, "gpt_4_turbo": 128_000.0}
    assert context.window(model="gpt-4-turbo", **windows) == 128_000
    assert context.window(model="gpt-4", **windows) == 8192


def test_tiers_are_the_newest_price_over_the_newest_below():
    tiers = context.long_tiers().set_index("price_key")
    assert tiers.at["openai/gpt-5.4-272k", "input_ratio"] == pytest.approx(5 / 2.5)
    assert tiers.at["openai/gpt-5.6-luna-272k", "input_ratio"] == pytest.approx(0.4 / 0.2)
    assert (tiers["from_tokens"] >= 100_000).all()
    assert not any("mistral-7b" in key for key in tiers.index)


def test_price_ratio_by_hand():
    listed = {"gpt_4_32k_input_usd_per_mtok": 60.0, "gpt_4_32k_output_usd_per_mtok": 120.0}
    assert context.price_ratio(pair="gpt-4-turbo over gpt-4", kind="input", **listed) == pytest.approx(10 / 30)
    assert context.price_ratio(pair="gpt-4-turbo over gpt-4", kind="output", **listed) == pytest.approx(30 / 60)
    assert context.price_ratio(pair="gpt-4-32k over gpt-4", kind="output", **listed) == pytest.approx(120 / 60)


def test_over_list_price_by_hand():
    at = {"model": "llama-3.1-70b", "accelerator": "h200-sxm", "weights": "fp8", "tp": 8}
    found = context.over_list_price(**at, context_tokens=1_000_000, output_tokens=1000)
    seconds = float(context.request_s(placed("llama-3.1-70b", "h200-sxm", weights="fp8", tp=8), 1e6, 1000))
    prices = context.long_tiers()[["input_usd_per_mtok", "output_usd_per_mtok"]].median()
    listed = prices["input_usd_per_mtok"] + 0.001 * prices["output_usd_per_mtok"]
    assert found.value == pytest.approx(seconds / 3600 * 8 * rent("h200-sxm").usd_per_hour / listed)
    assert found.low < found.value < found.high


def test_what_does_not_fit_is_no_number():
    at = {"model": "llama-3.1-405b", "accelerator": "h100-sxm", "weights": "fp8", "tp": 2}
    assert math.isnan(context.over_list_price(**at, context_tokens=1_000_000, output_tokens=1000).value)


@pytest.mark.parametrize("claim_id", ["gpt4-context-128k", "openai-long-context-premium", "context-2000-attention-quadratic"])
def test_inverse_solutions_hold_when_put_back(claim_id):
    printed, now, put_back = inverse.solved(claim_id)
    assert admissible.gap(now, printed.band()) != 0 and admissible.gap(put_back, printed.band()) == 0
