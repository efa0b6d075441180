"""The cheapest fleets for a demand: every model, accelerator, weight format, tensor-parallel degree, batch and price term.

A placement's cost has a floor: the replicas that its saturated rate asks for, at its cheapest offer. Placements are sized in
the order of their floors, and those whose floor is above enough fleets already found are left unsized: none of them can be
among the cheapest, so the search is exhaustive.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers import estimate as one
from costpertoken.answers.compare import FORMATS, multiplies_in
from costpertoken.answers.offers import billed_accelerators
from costpertoken.evidence import sellers
from costpertoken.fleet.demand import Demand, fewest_replicas, hourly_replicas, mean_per_s
from costpertoken.fleet.station import Lengths, Station, stations
from costpertoken.fleet.steady import most_per_s
from costpertoken.model.counts import count
from costpertoken.model.records import Deployment, UnknownName
from costpertoken.model.units import HOUR_S, HOURS_PER_YEAR, MONTHS_PER_YEAR
from costpertoken.money.cost import usd_per_mtok

SCALINGS = ("fixed", "hourly")
HOURS_PER_MONTH = HOURS_PER_YEAR / MONTHS_PER_YEAR


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a fleet must have: at least so many replicas, so many to spare beyond the load's; how it follows the load."""

    token_budget: int  # most tokens of a step
    min_replicas: int = 1
    spares: int = 0
    scaling: str = "fixed"


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """So many replicas of a placement at an offer. n_replicas: the most at any time; paid_replicas: the mean over time.

    usd_per_mtok: of output tokens, the whole bill on them. utilisation: of what the paid replicas could finish.
    """

    deployment: Deployment
    station: Station
    slots: float
    n_replicas: int
    paid_replicas: float
    offer: dict
    n_accelerators: float
    usd_per_hour: float
    usd_per_month: float
    usd_per_mtok: float
    utilisation: float


def placements(
    model_ids: Iterable[str], accelerator_ids: Iterable[str], of: Lengths, *, token_budget, formats: Sequence[str] = (),
    engine=one.ENGINE,
) -> Iterator[tuple[Deployment, Station]]:  # fmt: skip
    """Every placement of the models in one server: (deployment, station), also of those in which nothing fits (NaN slots).

    formats: of the weights; none: the checkpoint's own, and those of FORMATS that the accelerator multiplies in.
    """
    for model_id in model_ids:
        native = tables.native_precision(tables.model(model_id))
        for accelerator_id in accelerator_ids:
            for weights in dict.fromkeys(formats or (native, *FORMATS)):
                deployed = one.deployment(model_id, accelerator_id, weights=weights, engine=engine)
                if not formats and weights != native and not multiplies_in(deployed.accelerator, weights):
                    continue
                degrees = one.degrees_of(deployed)
                wide = replace(deployed, tp=np.array(degrees))
                found = stations(count(wide), wide.efficiency, of, token_budget=token_budget)
                yield from ((replace(deployed, tp=tp), at) for tp, at in zip(degrees, found, strict=True))


def bills(offered: pd.DataFrame, *, n_replicas, tp: int) -> np.ndarray:
    """USD an hour of so many replicas at each offer; of several numbers in turn, their mean."""
    numbers, times = np.unique(n_replicas, return_counts=True)
    billed = billed_accelerators(offered, n_replicas=numbers.astype(int)[:, None], tp=tp)
    return times / np.size(n_replicas) @ (billed * offered["usd_per_useful_hour"].to_numpy())


def fleet_of(deployed: Deployment, at: Station, offered: pd.DataFrame, demand: Demand, *, n_replicas, slots) -> Fleet | None:
    """So many replicas (one number, or one an hour) at the cheapest offer that can hold them; None where none can."""
    usd = bills(offered, n_replicas=n_replicas, tp=int(deployed.tp))
    if np.isnan(usd).all():
        return None
    best = int(np.nanargmin(usd))
    paid, load = float(np.mean(n_replicas)), mean_per_s(demand)
    offer = offered.iloc[best].to_dict()
    return Fleet(
        deployment=deployed,
        station=at,
        slots=slots,
        n_replicas=int(np.max(n_replicas)),
        paid_replicas=paid,
        offer=offer,
        n_accelerators=float(usd[best] / offer["usd_per_useful_hour"]),
        usd_per_hour=float(usd[best]),
        usd_per_month=float(usd[best]) * HOURS_PER_MONTH,
        usd_per_mtok=float(usd_per_mtok(usd_per_hour=usd[best], tok_per_s=load * demand.lengths.output_tokens)),
        utilisation=load / (paid * most_per_s(at)),
    )


def sized(deployed: Deployment, at: Station, offered: pd.DataFrame, demand: Demand, rules: Rules) -> Fleet | None:
    """The cheapest fleet of a placement that keeps the demand's limits; None where no number of replicas does."""
    least = max(1, rules.min_replicas - rules.spares)
    if rules.scaling == "hourly":
        needed, slots = hourly_replicas(at, demand, at_least=least)
    else:
        needed, slots = fewest_replicas(at, demand, at_least=least)
    if not slots >= 1:
        return None
    return fleet_of(deployed, at, offered, demand, n_replicas=needed + rules.spares, slots=slots)


def floor_usd_per_hour(deployed: Deployment, at: Station, offered: pd.DataFrame, demand: Demand, rules: Rules) -> float:
    """What no fleet of a placement can be cheaper than; infinite where nothing fits."""
    if not at.slots >= 1:
        return np.inf
    hours = demand.hours_per_s if rules.scaling == "hourly" else None  # each hour by itself: whole replicas in all of them
    load = demand.levels_per_s.max() if hours is None else np.maximum(hours, np.roll(hours, -1))
    needed = np.maximum(max(1, rules.min_replicas - rules.spares), np.ceil(load / most_per_s(at) - 1e-9)) + rules.spares
    usd = bills(offered, n_replicas=needed, tp=int(deployed.tp))
    return np.inf if np.isnan(usd).all() else float(np.nanmin(usd))


def search(placed: Iterable, offered: pd.DataFrame, demand: Demand, rules: Rules, *, top: int = 10) -> list[Fleet]:
    """The `top` cheapest fleets, one a placement, cheapest first; fewer where fewer keep the limits."""
    by_machine = dict(tuple(offered.groupby("accelerator_id", sort=False)))
    tried = [(*pair, by_machine[pair[0].accelerator.id]) for pair in placed]
    floors = np.array([floor_usd_per_hour(*each, demand, rules) for each in tried])
    found: list[Fleet] = []
    for which in np.argsort(floors, kind="stable"):
        enough = len(found) >= top and floors[which] > found[top - 1].usd_per_hour
        if enough or np.isinf(floors[which]):
            break
        fleet = sized(*tried[which], demand, rules)
        found = sorted([*found, *([fleet] if fleet else [])], key=lambda one: one.usd_per_hour)
    return found[:top]


def requests_per_month(demand: Demand) -> float:
    """Requests in a month of the mean load."""
    return mean_per_s(demand) * HOUR_S * HOURS_PER_MONTH


def api_bills(model_ids: Iterable[str], demand: Demand) -> list[dict]:
    """What the requests of a month cost where tokens of the models are sold: the cheapest seller, and the median of so many; no
    row for a model that nobody on record sells."""
    of, rows = demand.lengths, []
    for model_id in model_ids:
        try:
            load = {"input_tokens": of.input_tokens, "output_tokens": of.output_tokens, "cached_share": of.cached_share}
            sold = sellers.bills(model_id, **load)
        except UnknownName:
            continue
        usd = sold["usd_per_request"] * requests_per_month(demand)
        ends = {"cheapest_usd_per_month": float(usd.iloc[0]), "median_usd_per_month": float(usd.median())}
        rows.append({"model": model_id, "cheapest": sold["seller"].iloc[0], "n_sellers": len(sold), **ends})
    return rows
