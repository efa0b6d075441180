"""Checks of the chapter on centre and edge, by hand and by another route."""

import math

import pytest
from scipy.stats import binom

from costpertoken.evidence import admissible, claims, places
from costpertoken.evidence.checks import centre_or_edge as checks
from costpertoken.fleet import sites

CHAPTER = "deployment/centre_or_edge"


@pytest.fixture(scope="module")
def ledger():
    return claims.ledger(chapter=CHAPTER).set_index("id")


def given(claim, **changed):
    return {**admissible.defaults(admissible.inputs(claim)), **changed}


def waits(c, a):
    """Erlang C from Erlang B's recursion."""
    lost = 1.0
    for k in range(1, c + 1):
        lost = a * lost / (k + a * lost)
    return lost / (1 - a / c * (1 - lost))


def test_pool_of_single_servers_by_the_recursion():
    flat = {"slots": 1, "per_replica": 1, "counted": checks.BUSIEST, "target": 0.9}
    found = checks.pool_utilisation(**given("edge-util-40-50", **flat)).value / 100
    used = found / (9 / 10 if binom.sf(9, 10, places.places("h100-sxm", 1)[1].availability) < 0.9 else 1)
    assert waits(10, 10 * used) == pytest.approx(0.05, rel=1e-4)
    large = checks.pool_utilisation(**given("central-1000gpu-util-85", **flat)).value / 100
    spare = next(k for k in range(9) if binom.sf(999 - k, 1000, places.places("h100-sxm", 1)[0].availability) >= 0.9)
    assert waits(1000, 1000 * large / (1 - spare / 1000)) == pytest.approx(0.05, rel=1e-3)


def test_the_day_divides_the_use_and_zones_all_round_do_not():
    asked = {"zone_hours": 0.0, "counted": "over the week"}
    at = {
        peak: checks.pool_utilisation(**given("edge-util-40-50", peak_to_mean=peak, **asked)).value
        for peak in (1.0, 2.0, 4.0)
    }
    assert at[1.0] == pytest.approx(2 * at[2.0]) == pytest.approx(4 * at[4.0])
    globe = given("central-1000gpu-util-85", zone_hours=24, peak_to_mean=3.0)
    assert checks.pool_utilisation(**globe).value == pytest.approx(
        checks.pool_utilisation(**{**globe, "peak_to_mean": 1.0}).value
    )


def test_condition_of_the_85_per_cent_is_true_when_put_in(ledger):
    row = ledger.loc["central-1000gpu-util-85"]
    assert row["verdict"] == "holds-under" and row["condition"].startswith("peak to mean")
    needed = float(row["condition"].split("=")[1].split("(")[0])
    at = checks.pool_utilisation(**given("central-1000gpu-util-85", peak_to_mean=needed)).value
    assert at == pytest.approx(85, abs=1)


def test_cost_ratio_by_its_parts():
    load = given("edge-cost-2-3x")
    demand = sites.Demand(
        load=250, slots=64, models=1, peak_to_mean=2.0, zone_hours=6, wait_probability=0.05, target=0.999
    )
    centre, edge = places.places("h100-sxm", 2)
    far, near = sites.serve_from(demand, centre, 1), sites.serve_from(demand, edge, 100)
    bills = [
        n * ((at.needed + at.spares) * place.usd_per_replica_hour + place.fixed_usd_per_hour)
        for n, at, place in ((100, near, edge), (1, far, centre))
    ]
    found = checks.edge_over_centre(**load)
    assert found.value == pytest.approx(bills[0] / bills[1]) and found.low < found.value < found.high
    everything = checks.centre_cheaper(**given("central-25pct-cheaper", counted="everything"))
    assert everything.value == pytest.approx(100 * (1 - bills[1] / bills[0]))
    used = (near.needed + near.spares) * 100 / (far.needed + far.spares)
    named = checks.centre_cheaper(**given("central-25pct-cheaper")).value
    assert named == pytest.approx(100 * (1 - used * bills[1] / bills[0]))


def test_the_pair_shares_scenarios_only_where_the_saving_is_of_places_alone(ledger):
    inputs = admissible.inputs("central-25pct-cheaper")
    seen = {word: False for word in inputs["counted"].words}
    for at in admissible.scenarios(inputs):
        saved, dearer = checks.cheaper_and_dearer(**at)
        seen[at["counted"]] |= abs(saved - 25) <= 2.5 and 1.7 <= dearer <= 3.3
        if at["counted"] == "everything":
            assert saved == pytest.approx(100 * (1 - 1 / dearer))
    assert seen == {checks.INFRASTRUCTURE: True, "everything": False}
    assert not ledger.at["central-25pct-cheaper", "conflicts_with"]


def test_spares_by_the_binomial():
    found = checks.spares_of_a_site(**given("edge-redundancy-per-site"))
    up = (50700 / 50748) ** 2
    assert up**5 < 0.999 <= up**6 + 6 * up**5 * (1 - up) and found == 1
    assert checks.spares_of_a_site(**given("edge-redundancy-per-site", handed_over="yes")) == 0


def test_egress_alone_by_hand():
    at = given("egress-offsets-savings")
    cost = checks.centre_usd_per_mtok(
        **{
            name: at[name]
            for name in ("model", "accelerator", "weights", "per_replica", "utilisation", "output_tokens")
        },
        input_tokens=1000,
    )
    by_hand = 100 * (227 + 80) * 1e6 / 1e9 * 0.09 / ((at["dearer"] - 1) * cost)
    assert checks.egress_over_saving(**at).value == pytest.approx(by_hand)


def test_waiting_at_a_dollar_a_second():
    assert checks.waiting_usd_per_mtok(0.1, usd_per_hour=3600, output_tokens=500) == pytest.approx(200)
    value = checks.egress_over_saving(**given("egress-offsets-savings", waiting_usd_per_hour=10.0)).value
    assert value > checks.egress_over_saving(**given("egress-offsets-savings", waiting_usd_per_hour=5.0)).value


def test_sites_for_nearness_by_hand_and_back():
    km = 0.02 / (2 * 2.1 * 1.468 / 299792.458)
    found = checks.sites_for_nearness(area_km2=135e6, distance_ms=20)
    assert found == pytest.approx(135e6 / (math.pi * (1.5 * km) ** 2))
    trip = checks.round_trip_s(area_km2=135e6, sites=100)
    assert checks.sites_for_nearness(area_km2=135e6, distance_ms=1000 * (trip - 0.01)) == pytest.approx(100, rel=0.01)


def test_a_company_s_word_stays_open_with_a_computed_reason(ledger):
    row = ledger.loc["introl-257-sites"]
    assert row["verdict"] == "unverifiable" and "273 km" in row["reason"]


def test_every_claim_has_a_verdict(ledger):
    assert len(ledger) == 8 and set(ledger["verdict"]) <= {"holds", "holds-under", "unverifiable"}
