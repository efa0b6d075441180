"""Checks of the claims on quantization, against figures worked out by hand."""

import math

import pytest

from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import quantization as checks
from costpertoken.evidence.checks.precision import usd_per_token

#: Llama 2 70B: layers; two vocabularies of 32000 x 8192 and norms (two a layer and a final one).
LAYERS = 80 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672)
REST = 2 * 32000 * 8192 + 161 * 8192
FOUR = 4 + 20 / 128


def test_bits_by_hand():
    assert checks.bits_a_weight(bits=3, group_size=128, counted="layers", model="llama-2-70b") == 3 + 20 / 128
    whole = checks.bits_a_weight(bits=3, group_size=128, counted="whole model", model="llama-2-70b")
    assert whole == pytest.approx((LAYERS * (3 + 20 / 128) + REST * 16) / (LAYERS + REST), rel=1e-6)


@pytest.mark.parametrize("baseline, width", [("fp16", 16), ("fp32", 32)])
def test_bytes_cut_by_hand(baseline, width):
    load = {
        "bits": 4,
        "group_size": 128,
        "baseline": baseline,
        "model": "llama-2-70b",
        "requests": 8,
        "context_tokens": 1000,
    }
    assert checks.bytes_cut(counted="layers", **load) == pytest.approx(100 * (1 - FOUR / width))
    whole = 100 * (1 - (LAYERS * FOUR + REST * 16) / ((LAYERS + REST) * width))
    assert checks.bytes_cut(counted="whole model", **load) == pytest.approx(whole, rel=1e-6)
    cache = 8 * 1000 * 80 * 2 * 8 * 128 * 16
    with_cache = 100 * (1 - (LAYERS * FOUR + REST * 16 + cache) / ((LAYERS + REST) * width + cache))
    assert checks.bytes_cut(counted="with the cache", **load) == pytest.approx(with_cache, rel=1e-6)


def test_the_printed_cut_is_four_bits_of_thirty_two():
    assert 100 * (1 - 4 / 32) == 87.5
    found = claims.ledger(claim_id="gptq-bandwidth-cut").iloc[0]
    assert "fp32" in found["condition"]


def test_quality_as_printed_by_the_source():
    assert checks.quality_lost(method="awq", bits=3, of="Llama-2-70B") == pytest.approx(100 * (1 - 3.32 / 3.74))
    assert checks.quality_lost(method="gptq", bits=4, of="LLaMA-65B") == pytest.approx(100 * (1 - 3.53 / 3.66))
    assert math.isnan(checks.quality_lost(method="awq", bits=2, of="Llama-2-70B"))


def test_the_method_keeps_nothing_wider_and_the_study_a_hundredth():
    assert [checks.weights_wider(variant=words) for words in ("as released", "study that led to it")] == [0, 1]


def test_cost_ratio_is_of_two_costs():
    load = {
        "model": "llama-2-70b",
        "accelerator": "h100-sxm",
        "requests": 32,
        "input_tokens": 1000,
        "output_tokens": 500,
    }
    found = checks.cost_ratio_quantized(baseline="fp16", narrow="int4", machines="same", **load)
    by_hand = usd_per_token(weights="fp16", tp=2, **load) / usd_per_token(weights="int4", tp=2, **load)
    assert found.value == pytest.approx(by_hand)
    assert found.low < found.value < found.high


def test_no_saving_counts_that_keeps_too_little():
    load = {"accelerator": "h100-sxm", "requests": 32, "input_tokens": 1000, "output_tokens": 500, "baseline": "fp16",
            "machines": "same", "narrow": "int4", "model": "llama-2-70b"}  # fmt: skip
    assert math.isnan(checks.cut_that_keeps_quality(quality_floor=99, **load))
    ratio = checks.cost_ratio_quantized(**load).value
    assert checks.cut_that_keeps_quality(quality_floor=97, **load).value == pytest.approx(100 * (1 - 1 / ratio))


def test_the_solution_is_true():
    known = admissible.inputs("fp4-int4-lower-cost-keep-accuracy")
    condition = claims.ledger(claim_id="fp4-int4-lower-cost-keep-accuracy").iloc[0]["condition"]
    floor = float(condition.split("=")[1].split("%")[0])
    at = admissible.defaults(known) | {"quality_floor": floor - 0.1}
    assert checks.cut_that_keeps_quality(**at).value > 0
