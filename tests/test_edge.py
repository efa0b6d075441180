"""Centre or edge: the answers by hand, and their laws."""

import json

import numpy as np
import pytest

from costpertoken.answers import edge
from costpertoken.fleet import network, sites
from costpertoken.model.records import InputError
from costpertoken.model.serving import serve

ASKED = {"models": 1, "peak_to_mean": 2.0, "zone_hours": 6.0, "wait_probability": 0.05}
LAND = 30e6


@pytest.fixture(scope="module")
def case():
    return edge.case("llama-3.1-70b", "h100-sxm", accelerators=500.0, **ASKED)


def test_a_replica_keeps_the_limit_and_the_load_is_in_replicas(case):
    assert case.tpot_s <= edge.TPOT_LIMIT_S and case.demand.load == 500 / case.deployed.tp
    more = serve(case.deployed, concurrency=1.15 * case.demand.slots, **edge.LENGTHS)
    assert not float(more.tpot_s) <= edge.TPOT_LIMIT_S or float(more.batch) < 1.15 * case.demand.slots


def test_what_does_not_fit_is_refused_and_left_out_of_the_table():
    with pytest.raises(InputError, match="no degree"):
        edge.case("kimi-k2", "h100-sxm", accelerators=500.0, **ASKED)
    kept = edge.by_model(["kimi-k2", "llama-3.1-8b"], 100, accelerator_id="h100-sxm", accelerators=500.0, **ASKED)
    assert list(kept["model"]) == ["Llama 3.1 8B"]


def test_cost_of_a_token_by_hand(case):
    centre, far = edge.both(case)
    bill = sites.serve_from(case.demand, far, 20).usd_per_hour
    by_hand = bill / (250 * case.tok_per_s * 3600 / 1e6)
    found = edge.usd_per_mtok(case, 20)
    assert found.value == pytest.approx(by_hand) and found.low < found.value < found.high
    there = edge.usd_per_mtok(case, 1, kind="centre").value
    assert (
        found.value / there == pytest.approx(edge.ratio(case, 20)) == pytest.approx(edge.ratio_interval(case, 20).value)
    )


def test_curve_rises_and_its_band_holds_it(case):
    curve = edge.curve(case, [1, 10, 100, 300])
    assert (np.diff(curve["ratio"]) > 0).all() and (np.diff(curve["utilisation"]) < 0).all()
    assert (curve["low"] < curve["ratio"]).all() and (curve["ratio"] < curve["high"]).all()


def test_pools_are_used_more_the_larger_and_less_by_each_cause(case):
    table = edge.pools(case).pivot(index="accelerators", columns="reading", values="utilisation")
    assert (np.diff(table["GPUs as servers"]) > 0).all() and (np.diff(table["slots as servers"]) > 0).all()
    assert table["and the day's peak"].to_numpy() == pytest.approx(table["slots as servers"].to_numpy() / 2)
    assert (table["and spares"] <= table["and the day's peak"]).all()
    assert table.at[10.0, "GPUs as servers"] == pytest.approx(52.85, abs=0.01)  # Erlang's sum of eleven terms


def test_four_utilisations(case):
    centre, far = edge.used(case, 1, kind="centre"), edge.used(case, 100, kind="edge")
    found = sites.serve_from(case.demand, edge.both(case)[1], 100)
    assert far["machines"] == pytest.approx(100 * 2.5 / (found.needed + found.spares))
    assert far["slots"] == pytest.approx(100 * 2.5 * found.peak_to_mean / found.needed)
    assert 0 < far["mfu"] < centre["mfu"] < centre["mbu"] < 100


def test_distance_by_hand(case):
    row = edge.distance(case, [4], area_km2=LAND).iloc[0]
    km = float(network.mean_distance_km(area_km2=LAND, sites=4))
    trip = 2 * km * 2.1 * 1.468 / 299792.458 + 0.01
    assert row["trip_ms"] == pytest.approx(1000 * trip) and row["added_ms"] == pytest.approx(3000 * trip)
    assert row["of_first"] == pytest.approx(100 * 3 * trip / (3 * trip + case.ttft_s))
    assert row["of_answer"] < row["of_first"]


def test_the_worth_of_waiting_at_which_a_second_site_pays(case):
    worth = edge.worth_needed(case, area_km2=LAND)
    assert edge.best_sites(case, area_km2=LAND, usd_per_hour=0.99 * worth) == 1
    assert edge.best_sites(case, area_km2=LAND, usd_per_hour=1.01 * worth) > 1
    assert edge.best_sites(case, area_km2=LAND, usd_per_hour=0.0) == 1
    one = edge.with_waiting(case, area_km2=LAND, usd_per_hour=3600.0, numbers=[1]).iloc[0]
    added_s = edge.distance(case, [1], area_km2=LAND)["added_ms"].iloc[0] / 1000
    assert one["waiting"] == pytest.approx(added_s / 500 * 1e6)  # a dollar a second, over 500 tokens


def test_an_urgency_that_distance_breaks_needs_the_edge(case):
    far_s = edge.distance(case, [1], area_km2=LAND)["added_ms"].iloc[0] / 1000
    models = {"small_id": "llama-3.1-8b", "large_id": "llama-3.1-70b", "n_sites": 100, "area_km2": LAND}
    found = edge.by_urgency(case, {"patient": 2 * far_s, "hasty": 0.9 * far_s}, **models).set_index("way")
    centre, split = "both models, centre", "small at the edge, large in the centre"
    assert np.isnan(found.at[centre, "hasty"]) and found["patient"].idxmin() == centre
    assert (
        found["hasty"].idxmin() == split and found.at[split, "hasty"] < found.at["large model for all, edge", "hasty"]
    )


def test_a_pool_carries_more_the_larger_and_less_than_it_finishes(case):
    assert 0.8 < edge.carried(case, 1) < edge.carried(case, 8) < 1


def test_an_event_is_what_an_interface_writes():
    per_token = (edge.event_bytes(9) - edge.event_bytes(1)) / 8
    assert per_token == len(edge.TOKEN)
    text = {"delta": {"content": edge.TOKEN}}
    assert edge.event_bytes() > len(json.dumps(text))
    sent, usd = edge.egress()
    assert sent == edge.event_bytes() + 80 and usd == pytest.approx(sent * 1e6 / 1e9 * 0.09)
    assert edge.egress(tokens_per_event=8)[0] == pytest.approx((edge.event_bytes(8) + 80) / 8)
