"""Checks of the claims on serverless or self-hosted, against figures worked out by hand, and the condition by substitution."""

import math

import inverse
import pytest

from costpertoken import tables
from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import serverless as checks
from costpertoken.evidence.scenario import model_band
from costpertoken.model.serving import serve

LENGTHS = {"input_tokens": 1000, "output_tokens": 500}
AT = {"accelerator": "h100-sxm", "weights": "fp8", "tp": 2}


def full(model: str, **load):
    """Requests a second of two H100, and their rent an hour, by the model itself."""
    at = tables.deployment(model, "h100-sxm", weights="fp8", tp=2)
    rate = float(serve(at, **LENGTHS, **load).requests_per_s)
    return at, rate, 2 * tables.headline_price("h100-sxm").usd_per_hour


def test_bedrock_price_is_the_one_on_record():
    """1.95 and 2.56 USD per million tokens since January 2024, in the price list and in its history."""
    kinds = {"input": 0.00195, "output": 0.00256, "mean": (0.00195 + 0.00256) / 2}
    for kind, usd in kinds.items():
        found = checks.hosted_price(seller="Amazon Bedrock", model="llama-2-70b", kind=kind)
        assert (found.value, found.low, found.high) == pytest.approx((usd, 0.00195, 0.00256))
    history = tables.read("api_price_history").query("price_key == 'meta.llama2-70b-chat-v1'")
    assert history[["input_usd_per_mtok", "output_usd_per_mtok"]].drop_duplicates().to_numpy().tolist() == [
        [1.95, 2.56]
    ]


@pytest.mark.parametrize(("counted", "tokens"), [("all", 1500), ("output", 500)])
def test_multiple_of_a_list_price_by_hand(counted, tokens):
    _, rate, rent = full("llama-2-70b", concurrency=32)
    by_hand = 0.008 / 1000 * tokens / (rent / 0.5 / (rate * 3600))
    found = checks.hosted_over_own(
        usd_per_1k=0.008, counted=counted, model="llama-2-70b", concurrency=32, utilisation=0.5, **AT, **LENGTHS
    )
    assert found.value == pytest.approx(by_hand) and found.low < by_hand < found.high


def test_saving_by_hand():
    """Together's 0.88 USD for each of 1,500 tokens, against rent and half an engineer at 10 requests a second."""
    at, rate, rent = full("llama-3.3-70b")
    own = rent / 0.7 / (rate * 3600) + 0.5 * 250000 / (8760 * 3600 * 10)
    found = checks.own_saving(
        model="llama-3.3-70b", seller="Together", utilisation=0.7, requests_per_s=10, staff_fte=0.5, **AT, **LENGTHS
    )
    assert found.value == pytest.approx(100 * (1 - own / (0.88e-6 * 1500)))
    assert found.low < 100 * (1 - own * model_band(at, backlog=True)[1] / (0.88e-6 * 1500)) < found.value < found.high


def test_premium_by_hand():
    _, rate, rent = full("llama-3.3-70b")
    number = math.ceil(3 * 10 / rate)
    own = number * rent / 36000 + 0.5 * 250000 / (8760 * 3600 * 10)
    knobs = {"model": "llama-3.3-70b", "seller": "Together", "peak_to_mean": 3, "replicas": 2, "staff_fte": 0.5}
    found = checks.premium_worth(**knobs, requests_per_s=10, **AT, **LENGTHS)
    assert found.value == pytest.approx(own / (0.88e-6 * 1500))
    two = checks.premium_worth(**knobs, requests_per_s=0.01, **AT, **LENGTHS)
    assert two.value == pytest.approx((2 * rent + 0.5 * 250000 / 8760) / 36 / (0.88e-6 * 1500))


def test_what_does_not_fit_is_no_number():
    big = {"model": "deepseek-v3", "seller": "median", "accelerator": "h100-sxm", "weights": "bf16", "tp": 8}
    saved = checks.own_saving(**big, utilisation=1.0, requests_per_s=1, staff_fte=0, **LENGTHS)
    worth = checks.premium_worth(**big, peak_to_mean=1, replicas=1, staff_fte=0, requests_per_s=1, **LENGTHS)
    assert math.isnan(claims.figure(saved).value) and math.isnan(claims.figure(worth).value)


@pytest.mark.parametrize("claim_id", ["bedrock-vs-selfhost-10x", "selfhost-saves-70-80"])
def test_inverse_solutions_hold_when_put_back(claim_id):
    printed, now, put_back = inverse.solved(claim_id)
    assert admissible.gap(now, printed.band()) != 0 and admissible.gap(put_back, printed.band()) == 0


def test_ten_times_and_seventy_to_eighty_per_cent_are_two_figures():
    """Ten times is a saving of 90 %: beyond the other claim even with its tolerance."""
    rows = tables.read("claims").set_index("id")
    said = rows.loc["selfhost-saves-70-80"]
    assert 100 * (1 - 1 / rows.at["bedrock-vs-selfhost-10x", "printed_low"]) > said["printed_high"] + said["tolerance"]
