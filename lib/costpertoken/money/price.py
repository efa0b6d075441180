"""USD per accelerator-hour: rented on demand, on spot, by commitment, or owned. Arrays broadcast."""

from dataclasses import dataclass

import numpy as np

from costpertoken.model.records import InputError, at_least, check_range
from costpertoken.model.units import HOURS_PER_YEAR, KILO, MONTHS_PER_YEAR


@dataclass(frozen=True, kw_only=True)
class Ownership:
    """What owning one accelerator costs. Money in USD, rates per year, power in watts of the whole share of the server.

    drawn_share: mean draw over the rated power; 1 counts energy at what is provisioned, an upper end.
    """

    purchase_usd: float = at_least(0.0)  # accelerator with its share of the server
    network_share: float = at_least(0.0)  # scale-out fabric, as a share of the purchase
    life_years: float = at_least(0.5)
    residual_share: float = at_least(0.0, below=1.0)
    cost_of_capital: float = at_least(0.0, below=1.0)  # per year
    power_w: float = at_least(0.0)  # rated
    drawn_share: float = at_least(0.0, below=1.0, default=1.0)
    pue: float = at_least(1.0)
    usd_per_kwh: float = at_least(0.0)
    hosting_usd_per_kw_month: float = at_least(0.0)
    staff_usd_per_year: float = at_least(0.0)  # a year's staff cost of one accelerator


def capital_usd_per_year(*, purchase_usd, residual_usd, life_years, cost_of_capital):
    """Yearly payment that buys the asset, less its residual, at the cost of capital (annuity; straight line at zero)."""
    rate = np.asarray(cost_of_capital, dtype=float)
    growth = (1.0 + rate) ** life_years
    safe = np.where(rate == 0, 1.0, rate)
    annuity = np.where(rate == 0, 1.0 / life_years, safe * growth / np.where(rate == 0, 1.0, growth - 1.0))
    return (purchase_usd - residual_usd / growth) * annuity


def ownership_usd_per_hour(owned: Ownership) -> dict[str, float]:
    """USD per accelerator-hour of ownership by part, every hour of the year counted; the parts sum to the price.

    Hosting is per kW of rated power, which a colocation contract reserves, and taken to exclude energy; energy is of what is
    drawn. Taxes, insurance and downtime are left out.
    """
    purchase = owned.purchase_usd * (1.0 + owned.network_share)
    capital = capital_usd_per_year(
        purchase_usd=purchase,
        residual_usd=owned.residual_share * owned.purchase_usd,
        life_years=owned.life_years,
        cost_of_capital=owned.cost_of_capital,
    )
    power_kw = owned.power_w / KILO
    return {
        "capital": float(capital) / HOURS_PER_YEAR,
        "energy": energy_usd_per_hour(
            power_w=owned.power_w * owned.drawn_share, pue=owned.pue, usd_per_kwh=owned.usd_per_kwh
        ),
        "hosting": power_kw * owned.hosting_usd_per_kw_month * MONTHS_PER_YEAR / HOURS_PER_YEAR,
        "staff": owned.staff_usd_per_year / HOURS_PER_YEAR,
    }


def drawn_power_w(*, accelerator_w, rest_w, accelerator_share, rest_share):
    """Watts that an accelerator and its share of the server draw in the mean: each rated power times the share drawn of it.

    rest_w: rated power of the server less its accelerators', for one accelerator. Cooling is not in it: that is the PUE.
    """
    check_range("accelerator_share", accelerator_share, high=1.0)
    check_range("rest_share", rest_share, high=1.0)
    return accelerator_w * accelerator_share + rest_w * rest_share


def energy_usd_per_hour(*, power_w, pue, usd_per_kwh):
    """USD of electricity in an hour at a power before the site's overhead: cooling and conversion are the PUE."""
    return power_w / KILO * check_range("pue", pue, low=1.0) * usd_per_kwh


def spot_usd_per_useful_hour(*, spot_usd_per_hour, evictions_per_hour, lost_hours_per_eviction):
    """USD per hour of work that counts: each eviction loses the restart and the work in flight.

    Raises InputError where evictions eat the whole hour.
    """
    check_range("evictions_per_hour", evictions_per_hour)
    check_range("lost_hours_per_eviction", lost_hours_per_eviction)
    useful = 1.0 - np.asarray(evictions_per_hour, dtype=float) * lost_hours_per_eviction
    if np.any(useful <= 0):
        raise InputError(
            f"evictions_per_hour x lost_hours_per_eviction reaches {float(np.max(1 - useful)):g}; expected less than 1: "
            "no useful time would be left"
        )
    return spot_usd_per_hour / useful


def committed_usd_per_used_hour(*, committed_usd_per_hour, utilisation):
    """USD per used hour of a commitment that is paid for used or not."""
    return committed_usd_per_hour / check_range("utilisation", utilisation, high=1.0, exclusive=True)


def break_even_utilisation(*, committed_usd_per_hour, on_demand_usd_per_hour):
    """Share of the hours that must be used for the commitment (or ownership) to cost what on-demand does."""
    return committed_usd_per_hour / check_range("on_demand_usd_per_hour", on_demand_usd_per_hour, exclusive=True)


def mean_rent_factor(*, fall_per_year, term_years, cost_of_capital=0.0):
    """Level rent that costs what a rent falling by fall_per_year does over a term, over the rent at its start.

    Both are paid as they fall due; cost_of_capital (per year) weighs early payments more. A fall below zero is a rise.
    """
    check_range("fall_per_year", fall_per_year, low=-1.0, high=0.99)
    discount = 1.0 / (1.0 + np.asarray(cost_of_capital, dtype=float))
    falling = _paid_years(discount * (1.0 - np.asarray(fall_per_year, dtype=float)), term_years)
    return falling / _paid_years(discount, term_years)


def _paid_years(kept_per_year, term_years):
    """Integral of kept_per_year ** t over a term: the years of rent at its start that are paid."""
    rate = -np.log(kept_per_year)
    safe = np.where(np.abs(rate) < 1e-9, 1.0, rate)
    return np.where(np.abs(rate) < 1e-9, term_years, -np.expm1(-safe * term_years) / safe)


def discount_needed(*, fall_per_year, term_years, utilisation=1.0, cost_of_capital=0.0):
    """Discount on today's rent at which a commitment costs what renting by the hour would, when rents fall meanwhile.

    utilisation: share of the hours that would be rented; the commitment pays for all of them.
    """
    check_range("utilisation", utilisation, high=1.0, exclusive=True)
    mean = mean_rent_factor(fall_per_year=fall_per_year, term_years=term_years, cost_of_capital=cost_of_capital)
    return 1.0 - utilisation * mean
