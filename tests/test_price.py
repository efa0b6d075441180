"""Prices of an hour, against arithmetic by hand."""

import pytest

from costpertoken.model.records import InputError
from costpertoken.money import price

OWNED = price.Ownership(
    purchase_usd=40_000, network_share=0.1, life_years=4, residual_share=0.15, cost_of_capital=0.1, power_w=1275,
    pue=1.4, usd_per_kwh=0.09, hosting_usd_per_kw_month=180, staff_usd_per_year=1250,
)  # fmt: skip


def test_ownership_by_hand():
    parts = price.ownership_usd_per_hour(OWNED)
    annuity = 0.1 * 1.1**4 / (1.1**4 - 1)
    assert parts["capital"] == pytest.approx((44_000 - 6_000 / 1.1**4) * annuity / 8760)
    assert parts["energy"] == pytest.approx(1.275 * 1.4 * 0.09)
    assert parts["hosting"] == pytest.approx(1.275 * 180 * 12 / 8760)
    assert parts["staff"] == pytest.approx(1250 / 8760)


def test_free_capital_is_a_straight_line():
    yearly = price.capital_usd_per_year(purchase_usd=1000, residual_usd=200, life_years=4, cost_of_capital=0.0)
    assert yearly == pytest.approx(200)


def test_payments_buy_the_asset_back():
    yearly = price.capital_usd_per_year(purchase_usd=1000, residual_usd=200, life_years=5, cost_of_capital=0.08)
    present = sum(yearly / 1.08**year for year in range(1, 6)) + 200 / 1.08**5
    assert present == pytest.approx(1000)


def test_spot_pays_for_lost_work():
    useful = price.spot_usd_per_useful_hour(spot_usd_per_hour=1.8, evictions_per_hour=0.1, lost_hours_per_eviction=1.0)
    assert useful == pytest.approx(2.0)
    with pytest.raises(InputError, match="no useful time"):
        price.spot_usd_per_useful_hour(spot_usd_per_hour=1.8, evictions_per_hour=2, lost_hours_per_eviction=0.5)


def test_commitment_breaks_even_where_both_cost_the_same():
    share = price.break_even_utilisation(committed_usd_per_hour=1.5, on_demand_usd_per_hour=2.5)
    assert share == pytest.approx(0.6)
    assert price.committed_usd_per_used_hour(committed_usd_per_hour=1.5, utilisation=share) == pytest.approx(2.5)
