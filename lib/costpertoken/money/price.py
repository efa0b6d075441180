"""USD per accelerator-hour: rented on demand, on spot, by commitment, or owned. Arrays broadcast."""

from dataclasses import dataclass

import numpy as np

from costpertoken.model.records import InputError, at_least, check_range
from costpertoken.model.units import HOURS_PER_YEAR, KILO, MONTHS_PER_YEAR


@dataclass(frozen=True, kw_only=True)
class Ownership:
    """What owning one accelerator costs. Money in USD, rates per year, power in watts of the whole share of the server."""

    purchase_usd: float = at_least(0.0)  # accelerator with its share of the server
    network_share: float = at_least(0.0)  # scale-out fabric, as a share of the purchase
    life_years: float = at_least(0.5)
    residual_share: float = at_least(0.0, below=1.0)
    cost_of_capital: float = at_least(0.0, below=1.0)  # per year
    power_w: float = at_least(0.0)
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

    Hosting is per kW of drawn power and taken to exclude energy. Taxes, insurance and downtime are left out.
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
        "energy": power_kw * owned.pue * owned.usd_per_kwh,
        "hosting": power_kw * owned.hosting_usd_per_kw_month * MONTHS_PER_YEAR / HOURS_PER_YEAR,
        "staff": owned.staff_usd_per_year / HOURS_PER_YEAR,
    }


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
