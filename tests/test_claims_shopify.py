"""Checks of the case study of Shopify, by hand and by substitution."""

import pytest
from inverse import solved

from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import shopify as checks


def given(claim_id, **changed):
    return admissible.defaults(admissible.inputs(claim_id)) | changed


def test_tokens_and_turns_by_hand_and_by_substitution():
    assert checks.tokens_of_turns(**given("shopify-tokens")) == 1e7 * 20 * 130 / 1e9
    assert checks.tokens_of_turns(**given("shopify-tokens", answer_tokens=10)) == 2
    assert checks.turns_of_tokens(**given("shopify-turns", answer_tokens=10)) == pytest.approx(20)
    assert checks.turns_of_tokens(**given("shopify-turns", answer_tokens=20, counted="messages")) == pytest.approx(20)
    assert checks.turns_and_tokens(**given("shopify-turns", answer_tokens=10)) == (pytest.approx(20), pytest.approx(2))


def test_saving_by_hand():
    assert checks.saving_of_bills(before=2.1e6, after=4.5e5) == pytest.approx(78.571, abs=1e-3)


@pytest.mark.parametrize("claim_id", ["shopify-optimized-cost", "shopify-tokens", "shopify-turns"])
def test_a_condition_makes_its_claim_true_when_put_in(claim_id):
    printed, now, back = solved(claim_id)
    low, high = printed.band()
    assert not low <= now <= high
    assert low <= back <= high


def test_months_scale_with_peak_and_both_bills_can_be_true():
    flat = checks.plain_month(**given("shopify-unoptimized-cost", peak_to_mean=1)).value
    assert checks.plain_month(**given("shopify-unoptimized-cost")).value == pytest.approx(2 * flat, rel=0.01)
    rows = [checks.both_months(**at) for at in admissible.scenarios(admissible.inputs("shopify-optimized-cost"))]
    assert any(abs(after - 4.5e5) <= 4.5e4 and abs(before - 2.1e6) <= 2.1e5 for after, before in rows)


@pytest.mark.parametrize("claim_id", ["shopify-conversations", "shopify-h100-caching-routing"])
def test_what_only_the_company_knows_says_what_it_implies(claim_id):
    with pytest.raises(claims.Unverifiable, match="known to the company alone"):
        name = "known-to-company" if claim_id == "shopify-conversations" else "architecture-known"
        claims.CHECKS[name].function(**given(claim_id))
