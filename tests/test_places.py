"""The centre and the edge site, against the table and by hand."""

import pytest

from costpertoken.evidence import places
from costpertoken.fleet import sites

CHIP = "h100-sxm"
DEMAND = sites.Demand(load=250, slots=64, models=1, peak_to_mean=2.0, zone_hours=6, wait_probability=0.05, target=0.999)


def ratio(**changed):
    return places.cost_ratio(DEMAND, 100, accelerator_id=CHIP, accelerators=2, **changed)


def test_availability_and_fixed_costs_by_hand():
    centre, edge = places.places(
        CHIP, 2, failure_hours=1000, edge_repair_hours=10, staff_per_site=0, edge_usd_per_month=7300
    )
    assert edge.availability == pytest.approx((1000 / 1010) ** 2)
    assert edge.fixed_usd_per_hour == pytest.approx(10)  # 7300 USD a month over 730 hours
    assert centre.fixed_usd_per_hour == pytest.approx(places.given(CHIP)["centre_usd_per_month"].value / 730)


def test_the_edge_s_hour_is_dearer_by_space_and_electricity():
    centre, edge = places.places(CHIP, 1)
    kw, month = 1.275, 12 / 8760  # rated power with its share of the server
    at = places.given(CHIP)
    space = kw * (at["edge_hosting"].value - 184.06) * month
    drawn = kw * 0.6  # both shares are drawn at six tenths
    energy = drawn * (at["edge_pue"].value * at["edge_usd_per_kwh"].value - 1.1 * 0.0877)
    assert edge.usd_per_replica_hour - centre.usd_per_replica_hour == pytest.approx(space + energy, rel=1e-3)
    assert places.places(CHIP, 4)[0].usd_per_replica_hour == pytest.approx(4 * centre.usd_per_replica_hour)


@pytest.mark.parametrize(
    "name", ["staff_per_site", "edge_usd_per_month", "edge_hosting", "edge_pue", "edge_repair_hours"]
)
def test_a_dearer_edge_is_dearer(name):
    low, high = places.spans(CHIP)[name]
    assert ratio(**{name: low}) <= ratio() <= ratio(**{name: high})


def test_interval_holds_the_value_and_every_input_s_reach():
    found = places.with_interval(ratio, CHIP)
    assert found.value == ratio() and found.low < found.value < found.high
    for name, ends in places.spans(CHIP).items():
        assert all(found.low <= ratio(**{name: end}) <= found.high for end in ends)


def test_every_input_has_words_and_a_row():
    assert {f"^{name.replace('_', ' ')}" for name in places.given(CHIP)} == set(places.WORDS)
    assert set(places.rows_used(CHIP)["quantity"]) >= {quantity for quantity, _ in places.ROWS.values()}
