"""Checks of the case study of JPMorgan, by hand and by another route."""

import re
from pathlib import Path

import inverse
import numpy as np
import pytest

from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import jpmorgan as checks
from costpertoken.evidence.places import given as place_given
from costpertoken.fleet import queueing
from costpertoken.fleet.station import with_slots
from costpertoken.fleet.steady import most_per_s, steady

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def ledger():
    return claims.ledger(chapter="case_studies/jpmorgan").set_index("id")


def given(claim, **changed):
    return {**admissible.defaults(admissible.inputs(claim)), **changed}


def test_verdicts_are_computed(ledger):
    assert set(ledger.index) == {"jpm-isolation-cost", "jpm-strict-latency", "jpm-users"}
    assert ledger.loc["jpm-users", "verdict"] == "unverifiable"
    assert np.isfinite(ledger.loc[["jpm-isolation-cost", "jpm-strict-latency"], "computed"]).all()


def test_premium_by_counting_replicas():
    """Groups alike: each has the smallest number of accelerators that carries its load, with spares by the binomial."""
    at = given("jpm-isolation-cost", uneven=0.0, coincidence=1.0, groups=10)
    work = {name: at[name] for name in ("input_tokens", "output_tokens", "ttft_ms", "tpot_ms")}
    able = checks.bare_sizes(at["model"], at["accelerator"], at["weights"], **work)
    load, hours = 50000 * 4 * 2 / 3600, place_given("h100-sxm")

    def fewest(requests_per_s):
        found = []
        for one in able:
            n = next(n for n in range(1, 999) if n * np.interp(np.log(n), np.log([1, 4, 64]), one.each_per_s) >= requests_per_s)
            fail, repair = hours["failure_hours"].value, hours["centre_repair_hours"].value
            up = (fail / (fail + repair)) ** one.accelerators
            found.append(one.accelerators * (n + queueing.spares_for(needed=n, availability=up, target=at["target"])))
        return min(found)

    expected = 10 * fewest(load / 10) / fewest(load)
    found = checks.isolation_premium(**at)
    assert found.value == pytest.approx(expected) and found.low <= found.value <= found.high


def test_one_group_costs_what_one_pool_does():
    assert checks.isolation_premium(**given("jpm-isolation-cost", groups=1)).value == 1


def test_impossible_limits_are_no_number():
    assert np.isnan(checks.isolation_premium(**given("jpm-isolation-cost", tpot_ms=0.5)).value)
    assert np.isnan(checks.strict_latency_cost(**given("jpm-strict-latency", tpot_ms=0.5)).value)


def test_cost_of_a_limit_by_substitution():
    """At the load that the check takes for the most, the limit that binds is just kept."""
    at = given("jpm-strict-latency")
    names = ("model", "accelerator", "weights", "per_replica", "input_tokens", "output_tokens")
    one = checks.replica(*(at[name] for name in names))
    times = checks.strict_latency_cost(**at).value
    load = most_per_s(one) / times
    slots = checks.most_requests_per_s(one, ttft_s=at["ttft_ms"] / 1e3, tpot_s=at["tpot_ms"] / 1e3, share=0.9)[1]
    now, more = (steady(with_slots(one, slots), requests_per_s=f * load, shares=(0.9,)) for f in (1.0, 1.05))
    assert now.ttft_s[0] <= 1.002 * at["ttft_ms"] / 1e3 and now.tpot_s[0] <= 1.002 * at["tpot_ms"] / 1e3
    assert more.ttft_s[0] > at["ttft_ms"] / 1e3 or more.tpot_s[0] > at["tpot_ms"] / 1e3


def test_looser_limits_never_cost_more():
    found = [checks.strict_latency_cost(**given("jpm-strict-latency", tpot_ms=x)).value for x in (25.0, 50.0, 100.0, 200.0)]
    assert found == sorted(found, reverse=True) and found[-1] >= 1


def test_users_by_hand(ledger):
    reason = ledger.loc["jpm-users", "reason"]
    assert f"{50000 * 4 * 2 / 3600:.0f} requests a second" in reason
    assert f"{100 * 4 * 60 / 3600:.1f}% of a person's day" in reason
    assert re.search(r"or \d+ replicas of \d accelerators in one pool", reason)


@pytest.mark.parametrize("claim_id", ["jpm-isolation-cost", "jpm-strict-latency"])
def test_claims_hold_as_they_stand(claim_id):
    printed, now, put_back = inverse.solved(claim_id)
    assert admissible.gap(now, printed.band()) == 0 and put_back == now


@pytest.mark.parametrize(("claim_id", "f", "target"), [
    ("jpm-isolation-cost", checks.isolation_premium, 2.0), ("jpm-strict-latency", checks.strict_latency_cost, 1.1),
])  # fmt: skip
def test_inverse_solutions_hold_when_put_back(claim_id, f, target):
    """The smallest change of inputs that makes isolation cost two pools, or a limit a tenth; put back."""
    known, band = admissible.inputs(claim_id), (target * 0.99, target * 1.01)
    assert admissible.gap(f(**given(claim_id)).value, band) != 0
    found = admissible.solve(lambda scenario: f(**scenario), known, target, band)
    assert found.changed
    assert f(**given(claim_id, **found.changed)).value == pytest.approx(target, rel=0.01)


def test_the_default_groups_are_the_middle_of_what_is_admitted():
    """No number is printed, and none is chosen for its answer: the middle by ratio, also where the chapter starts."""
    groups = admissible.inputs("jpm-isolation-cost")["groups"]
    assert groups.value == round(np.sqrt(groups.low * groups.high))
    chapter = (ROOT / "chapters/case_studies/jpmorgan.md").read_text("utf8")
    for name, value in given("jpm-isolation-cost").items():
        if stated := re.search(rf"^{name}: (?:int|float) = ([0-9.]+)  #", chapter, re.MULTILINE):
            assert float(stated[1]) == float(value)
