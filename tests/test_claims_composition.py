"""Claims of the chapter on the composition, against another route."""

import math
from dataclasses import replace

import pytest

from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import composition as checks
from costpertoken.evidence.scenario import placed, rent, usd_per_mtok

LOAD = {"model": "llama-2-70b", "requests": 32, "input_tokens": 1000, "output_tokens": 500}


def by_serve(accelerator: str, weights: str) -> float:
    """The least cost over the numbers of accelerators, each served and its whole bill split apart."""
    load = {"input_tokens": 1000, "output_tokens": 500, "concurrency": 32}
    found = []
    for tp in (1, 2, 4, 8):
        at = replace(placed("llama-2-70b", accelerator, weights=weights), tp=tp)
        found.append(usd_per_mtok(at, rent(accelerator).usd_per_hour, **load))
    return min(usd for usd in found if not math.isnan(usd))


def test_costs_are_those_of_serve():
    for accelerator, weights in (("a100-80gb-sxm", "fp16"), ("mi300x", "fp16"), ("h100-sxm", "fp8")):
        assert checks.least_usd(accelerator, weights, **LOAD) == pytest.approx(by_serve(accelerator, weights))


def test_the_ratio_is_that_of_the_two_cuts():
    """The start's cost cancels: (c0 / format) / (c0 / accelerator)."""
    knobs = {"accelerator": "a100-80gb-sxm", "baseline": "fp16", "vendor": "any", **LOAD}
    start = by_serve("a100-80gb-sxm", "fp16")
    narrow = start / min(by_serve("a100-80gb-sxm", name) for name in ("fp8", "int8", "int4", "fp4"))
    other = start / min(by_serve(name, "fp16") for name in ("h100-sxm", "h200-sxm", "b200-sxm", "mi300x"))
    found = checks.quantization_over_hardware(**knobs)
    assert found.value == pytest.approx(narrow / other)
    assert found.low < found.value < found.high


def test_one_vendor_gives_a_smaller_choice():
    assert checks.upgrades("h100-sxm", "any") == ["h200-sxm", "b200-sxm", "mi300x"]
    assert checks.upgrades("a100-80gb-sxm", "same") == ["h100-sxm", "h200-sxm", "b200-sxm"]
    knobs = {"accelerator": "a100-80gb-sxm", "baseline": "fp16", **LOAD}
    any_one, same = (checks.quantization_over_hardware(vendor=v, **knobs).value for v in ("any", "same"))
    assert any_one <= same


def test_a_start_that_does_not_fit_has_no_figure():
    knobs = {**LOAD, "model": "llama-3.1-405b", "accelerator": "a100-80gb-sxm", "baseline": "fp32", "vendor": "any"}
    assert math.isnan(checks.quantization_over_hardware(**knobs).value)


def test_the_claim_is_of_this_check_and_may_be_lost():
    """Quantization is ahead in some admissible scenarios and behind in others."""
    row = claims.ledger(chapter="software/composition").set_index("id").loc["quantization-beats-hardware"]
    known = admissible.inputs("quantization-beats-hardware")
    values = [checks.quantization_over_hardware(**one).value for one in list(admissible.scenarios(known))[::7]]
    assert min(values) < 1 < max(values)
    assert 0 < row["share"] < 1
