"""Offers of data/gpu_prices.csv as pools for a portfolio, a week of replicas as its load, one provider beside several."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence.ownership import Prior, prior
from costpertoken.fleet import capacity, portfolio, profiles
from costpertoken.fleet.capacity import COMMITTED, Pool
from costpertoken.fleet.portfolio import Plan
from costpertoken.model.records import InputError, at_least, check_range
from costpertoken.money.price import mean_rent_factor

#: Terms in the order in which they are stacked, and in words.
TERMS = {"3y": "3 years", "1y": "1 year", "on-demand": "on demand", "spot": "spot"}
YEARS = {"1y": 1.0, "3y": 3.0}
#: Words of the choice of sellers -> classes of cloud. Marketplaces are in none: nobody there guarantees anything.
SELLERS = {"hyperscalers": ("hyperscaler",), "neoclouds": ("neocloud",), "both": ("hyperscaler", "neocloud")}
#: Input of a portfolio -> quantity and scope of data/ownership.csv.
ASSUMED = {
    "evictions_per_hour": ("spot_interruption_rate", "all"),
    "recovery_hours": ("eviction_loss", "serving"),
    "together_share": ("spot_together_share", "all"),
}
#: Relative gap to which programs of this module are solved.
GAP = 1e-3


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is asked for and assumed: a week of replicas, who is asked, the target, evictions and the fall of rents."""

    accelerator_id: str
    sellers: str = "hyperscalers"
    replica_accelerators: int = at_least(1, below=8, default=8)  # in one machine
    mean_replicas: float = 8.0
    peak_to_mean: float = 1.6
    weekend_share: float = 0.7
    target: float = 0.999
    evictions_per_hour: float = 0.02
    recovery_hours: float = 0.25
    together_share: float = 0.5
    fall_per_year: float = 0.0
    cost_of_capital: float = 0.0
    spot_factor: float = at_least(0.0, default=1.0)  # spot prices over those on record
    spot_machines: float | None = at_least(0.0, default=None)  # that one spot pool has to spare; None: without limit
    whole: bool = True  # whole machines; False: fractions, quick


def assumed() -> dict[str, Prior]:
    """The eviction inputs of a Case with their ranges, from data/ownership.csv."""
    return {name: prior(*row) for name, row in ASSUMED.items()}


def offers(accelerator_id: str, sellers: str = "both") -> pd.DataFrame:
    """Offers of some classes of cloud, the cheapest of each provider, region and term; flagged ones are left out."""
    return _offers(tables.data_dir(), accelerator_id, sellers).copy()


@cache
def _offers(folder: Path, accelerator_id: str, sellers: str) -> pd.DataFrame:
    if sellers not in SELLERS:
        raise InputError(f"sellers is {sellers!r}; expected one of {', '.join(SELLERS)}")
    rows = tables.price_rows(accelerator_id, commitment=None)
    rows = rows[rows["cloud_class"].isin(SELLERS[sellers]) & rows["commitment"].isin(TERMS)]
    return rows.sort_values(["value", "n_accel"]).drop_duplicates(["provider", "region", "commitment"])


def pools(case: Case) -> tuple[Pool, ...]:
    """The pools of a case, in USD per accelerator-hour of today's rents; those that no load could want are left out.

    A commitment is worth what a rent that falls meanwhile would cost: its price over the mean of that rent.
    """
    found = [_pool(case, row) for row in offers(case.accelerator_id, case.sellers).itertuples()]
    return capacity.undominated(found)


def _pool(case: Case, row) -> Pool:
    """One offer as a pool."""
    usd, term = row.value, row.commitment
    if term in COMMITTED:
        usd = usd / float(
            mean_rent_factor(
                fall_per_year=case.fall_per_year, term_years=YEARS[term], cost_of_capital=case.cost_of_capital
            )
        )
    usd *= case.spot_factor if term == "spot" else 1.0
    fails: dict[str, float] = {name: getattr(case, name) for name in ASSUMED} if term == "spot" else {}
    if term == "spot" and case.spot_machines is not None:
        fails["most"] = case.spot_machines * max(row.n_accel, case.replica_accelerators)
    size = int(max(row.n_accel, case.replica_accelerators))
    return Pool(provider=row.provider, region=row.region, term=term, usd_per_hour=usd, n_accel=size, **fails)


def hourly(case: Case) -> np.ndarray:
    """Accelerators that are needed in each of the 168 hours: whole replicas, rounded up."""
    check_range("mean_replicas", case.mean_replicas, exclusive=True)
    week = profiles.week(peak_to_mean=case.peak_to_mean, weekend_share=case.weekend_share)
    return case.replica_accelerators * np.ceil(case.mean_replicas * week - 1e-9)


def plan(case: Case, among: Sequence[Pool] | None = None) -> Plan:
    """The cheapest plan of a case, from its pools or from some of them."""
    return portfolio.cheapest(
        hourly=hourly(case), pools=among or pools(case), target=case.target, gap=GAP, whole=case.whole
    )


def providers(case: Case) -> dict[str, tuple[Pool, ...]]:
    """The pools of each provider by itself, cheapest pool first."""
    found = [_pool(case, row) for row in offers(case.accelerator_id, case.sellers).itertuples()]
    own = {name: [pool for pool in found if pool.provider == name] for name in {pool.provider for pool in found}}
    kept = {name: capacity.undominated(some) for name, some in own.items()}
    return dict(sorted(kept.items(), key=lambda item: (item[1][0].usd_per_hour, item[0])))


def singles(case: Case) -> pd.DataFrame:
    """The cheapest plan of each provider alone, cheapest first: provider, usd_per_hour. Whoever fails the target is left out."""
    rows = [(name, _usd_per_hour(case, own)) for name, own in providers(case).items()]
    frame = pd.DataFrame(rows, columns=["provider", "usd_per_hour"]).dropna()
    return frame.sort_values("usd_per_hour", ignore_index=True)


def best_single(case: Case) -> tuple[str, float]:
    """(provider, USD an hour) of the cheapest plan of one provider alone; those whose cheapest pool costs more are not tried."""
    served, best = case.target * float(hourly(case).mean()), ("", np.inf)
    for name, own in providers(case).items():
        if own[0].usd_per_hour * served < best[1]:
            best = min(best, (name, _usd_per_hour(case, own)), key=lambda found: np.nan_to_num(found[1], nan=np.inf))
    return best


def _usd_per_hour(case: Case, among: Sequence[Pool]) -> float:
    """The bill of the cheapest plan from some pools; NaN where they fail the target."""
    try:
        return plan(case, among).usd_per_hour
    except InputError:
        return float("nan")


def saving(case: Case) -> float:
    """What all sellers together save on the cheapest single one, in per cent of its bill."""
    return 100.0 * (1.0 - plan(case).usd_per_hour / best_single(case)[1])
