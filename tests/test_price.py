"""Prices of an hour, against arithmetic by hand."""

from dataclasses import replace

import numpy as np
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


def test_energy_is_of_what_is_drawn_and_hosting_of_what_is_rated():
    half = price.ownership_usd_per_hour(replace(OWNED, drawn_share=0.5))
    full = price.ownership_usd_per_hour(OWNED)
    assert half["energy"] == pytest.approx(full["energy"] / 2)
    assert {k: v for k, v in half.items() if k != "energy"} == {k: v for k, v in full.items() if k != "energy"}


def test_drawn_power_by_hand():
    drawn = price.drawn_power_w(accelerator_w=700, rest_w=575, accelerator_share=0.5, rest_share=0.8)
    assert drawn == pytest.approx(350 + 460)
    assert price.energy_usd_per_hour(power_w=drawn, pue=1.5, usd_per_kwh=0.1) == pytest.approx(0.81 * 1.5 * 0.1)
    with pytest.raises(InputError, match="accelerator_share"):
        price.drawn_power_w(accelerator_w=700, rest_w=575, accelerator_share=1.2, rest_share=0.8)


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


def test_a_steady_rent_is_its_own_mean_and_needs_no_discount():
    assert price.mean_rent_factor(fall_per_year=0.0, term_years=3) == pytest.approx(1)
    assert price.discount_needed(fall_per_year=0.0, term_years=3) == pytest.approx(0, abs=1e-12)
    assert price.discount_needed(fall_per_year=0.0, term_years=3, utilisation=0.4) == pytest.approx(0.6)


@pytest.mark.parametrize(("fall", "rate"), [(0.2, 0.0), (0.5, 0.1), (-0.3, 0.08)])
def test_mean_rent_is_what_monthly_payments_come_to(fall, rate):
    years = (np.arange(3600) + 0.5) / 1200  # a payment each few hours of three years
    worth = (1 + rate) ** -years
    mean = np.sum(worth * (1 - fall) ** years) / np.sum(worth)
    assert price.mean_rent_factor(fall_per_year=fall, term_years=3, cost_of_capital=rate) == pytest.approx(
        mean, rel=1e-6
    )


def test_halving_each_year_by_hand():
    """The integral of 2^-t over one year is (1 - 1/2) / ln 2."""
    assert price.mean_rent_factor(fall_per_year=0.5, term_years=1) == pytest.approx(0.5 / np.log(2))
