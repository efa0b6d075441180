"""Ownership from the table's rows and rents by date, against arithmetic by hand."""

from dataclasses import replace

import pandas as pd
import pytest

from costpertoken import tables
from costpertoken.evidence import ownership, rents
from costpertoken.model.records import InputError
from costpertoken.money.price import ownership_usd_per_hour

STEPS = pd.Series([10.0, 6.0, 9.0], index=pd.DatetimeIndex(["2024-01-01", "2024-07-01", "2025-01-01"]))


def cell(quantity, scope, accelerator_id="", column="value"):
    rows = tables.read("ownership").query("quantity == @quantity and scope == @scope and accelerator_id == @accelerator_id")
    return rows[column].item()


def test_h100_is_bought_with_its_share_of_a_server():
    owned = ownership.ownership("h100-sxm")
    assert owned.purchase_usd == cell("gpu_purchase", "new", "h100-sxm") + cell("server_share", "8-gpu-server", "h100-sxm")
    assert owned.power_w == cell("server_power", "dgx-h100", "h100-sxm")
    assert owned.staff_usd_per_year == cell("staff_cost", "us-loaded") * cell("staff_per_1000_gpus", "operations") / 1000
    assert owned.life_years == cell("depreciation_life", "hyperscaler-servers")


def test_drawn_share_by_hand():
    load, rest = cell("power_drawn_share", "decode-bound"), cell("power_drawn_share", "rest-of-server")
    found = ownership.drawn_share("h100-sxm", scopes={**ownership.SCOPES, "power_drawn_share": "decode-bound"})
    assert found.value == pytest.approx((700 * load + (1275 - 700) * rest) / 1275)
    assert found.low < found.value < found.high <= 1


def test_a_scope_names_the_row_and_an_unknown_one_is_refused():
    used = ownership.ownership("h100-sxm", scopes={"gpu_purchase": "used"})
    new = ownership.ownership("h100-sxm")
    assert new.purchase_usd - used.purchase_usd == pytest.approx(30_000 - 23_500)
    assert used.pue == new.pue
    with pytest.raises(InputError, match="on record"):
        ownership.ownership("h100-sxm", scopes={"pue": "moon"})
    with pytest.raises(InputError, match="gpu_purchase"):
        ownership.ownership("l4")


def test_low_end_is_cheapest_and_high_end_dearest():
    low, mid, high = (ownership.owned_usd_per_hour(ownership.ownership("h100-sxm", end=e)) for e in ("low", "value", "high"))
    assert low < mid < high
    assert ownership.ownership("h100-sxm", end="low").residual_share == cell("residual_value", "after-4-years", column="high")


def test_joined_range_lies_within_all_ends_at_once():
    spans = {name: (one.low, one.high) for name, one in ownership.priors("h100-sxm").items()}
    found = ownership.with_range(ownership.ownership("h100-sxm"), spans)
    ends = [ownership.owned_usd_per_hour(ownership.ownership("h100-sxm", end=e)) for e in ("low", "high")]
    assert ends[0] < found.low < found.value < found.high < ends[1]


def test_range_of_one_field_is_its_ends():
    owned = ownership.ownership("h100-sxm")
    found = ownership.with_range(owned, {"usd_per_kwh": (0.05, 0.2)})
    assert found.high == pytest.approx(sum(ownership_usd_per_hour(replace(owned, usd_per_kwh=0.2)).values()))


def test_server_without_a_row_takes_the_rest_of_the_named_one():
    rated, rest = ownership.rated_power_w("mi300x")
    assert (rated, rest) == (tables.accelerator("mi300x").tdp_w, 1275 - 700)


def test_discounts_by_hand():
    found = ownership.discounts().set_index(["accelerator_id", "commitment"])["discount"]
    assert found["h100-sxm", "3y"] == pytest.approx(1 - 4.8580 / 11.0612, abs=2e-3)
    assert found["h100-sxm", "1y"] < found["h100-sxm", "3y"]


def test_used_hours():
    assert ownership.used_hour_usd(0.25, usd_per_hour=2.0, paid_always=True) == 8.0
    assert ownership.used_hour_usd(0.25, usd_per_hour=2.0, paid_always=False) == 2.0


def test_steps_by_hand():
    assert rents.price_on(STEPS, "2024-06-30") == 10 and rents.price_on(STEPS, "2024-07-01") == 6
    days = [182, 184, 59]  # to 1 July, to 1 January, to 1 March
    mean = (10 * days[0] + 6 * days[1] + 9 * days[2]) / sum(days)
    assert rents.mean_usd_per_hour(STEPS, "2024-01-01", "2025-03-01") == pytest.approx(mean)
    assert rents.fall_per_year(STEPS, "2026-01-01") == pytest.approx(1 - 0.9**0.5, rel=2e-3)
    with pytest.raises(InputError, match="no price on record"):
        rents.mean_usd_per_hour(STEPS, "2023-01-01", "2025-03-01")


def test_corners_draw_the_steps():
    drawn = rents.corners(STEPS, "2025-06-01")
    assert list(drawn["usd"]) == [10, 10, 6, 6, 9, 9]
    assert drawn["date"].is_monotonic_increasing


def test_history_keeps_one_instance_and_its_change_points_only():
    steps = rents.series("h100-sxm", "AWS", "on-demand")
    assert list(steps) == [12.29, 6.88]
    assert rents.last_read("h100-sxm", "AWS", "on-demand") == pd.Timestamp("2026-07-20")
    assert ("AWS", "on-demand") in rents.sellers("h100-sxm")


def test_a_record_by_hand():
    """Ten USD for half a year, then six for another: the mean is eight, which a promise at the start would have had to ask."""
    steps = pd.Series([10.0, 6.0], index=pd.DatetimeIndex(["2023-01-01", "2023-07-02T12:00"]))
    row = rents.records({("AWS", "on demand"): (steps, pd.Timestamp("2024-01-01"))}).iloc[0]
    assert row["record"] == "2023-01 to 2024-01" and row["needed"] == pytest.approx(20, abs=0.2)
    assert pd.isna(row["fall"])  # 365 days are less than a year of 365.25
    later = rents.records({("AWS", "on demand"): (steps, pd.Timestamp("2025-01-01"))}).iloc[0]
    assert later["fall"] == pytest.approx(100 * (1 - 0.6 ** (365.25 / 731)))
