"""A centre and an edge site from data/ownership.csv: how often machines fail there, what their hour and the site cost."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd

from costpertoken import tables
from costpertoken.evidence import ownership as own
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.ownership import Prior
from costpertoken.evidence.scenario import spread
from costpertoken.fleet import sites
from costpertoken.money.price import Ownership

#: Scopes of owning that a kind of site has of its own; the others are ownership's.
SCOPES = {
    "centre": {"pue": "hyperscale", "power_price": "us-industrial", "colocation_rent": "north-america-250-500kw"},
    "edge": {"pue": "industry-survey", "power_price": "us-states", "colocation_rent": "edge"},
}
#: Input of the comparison -> (quantity, scope) in data/ownership.csv.
ROWS = {
    "failure_hours": ("hours_between_failures", "accelerator"),
    "centre_repair_hours": ("repair_time", "centre"),
    "edge_repair_hours": ("repair_time", "edge"),
    "staff_per_site": ("staff_per_site", "edge"),
    "staff_usd_per_year": ("staff_cost", "us-loaded"),
    "centre_usd_per_month": ("site_cost", "centre"),
    "edge_usd_per_month": ("site_cost", "edge"),
    "edge_hosting": ("colocation_rent", "edge"),
    "edge_usd_per_kwh": ("power_price", "us-states"),
    "edge_pue": ("pue", "industry-survey"),
    "cost_of_capital": ("cost_of_capital", "real"),
}
#: The same in words, as a tornado shows them.
WORDS = {
    "^failure hours": "hours between failures",
    "^centre repair hours": "repair, centre (hours)",
    "^edge repair hours": "repair, edge (hours)",
    "^staff per site": "people at a site",
    "^staff usd per year": "cost of one (USD/year)",
    "^centre usd per month": "fixed, centre (USD/month)",
    "^edge usd per month": "fixed, a site (USD/month)",
    "^edge hosting": "space, edge (USD/kW-month)",
    "^edge usd per kwh": "electricity, edge (USD/kWh)",
    "^edge pue": "PUE, edge",
    "^cost of capital": "cost of capital",
    "^purchase usd": "accelerator (USD)",
}


def given(accelerator_id: str) -> dict[str, Prior]:
    """Every input of the comparison with its range, the purchase of the accelerator with its server among them."""
    return dict(_given(tables.data_dir(), accelerator_id))


@cache
def _given(folder: Path, accelerator_id: str) -> dict[str, Prior]:
    found = {name: own.prior(*row, accelerator_id) for name, row in ROWS.items()}
    return {**found, "purchase_usd": own.priors(accelerator_id)["purchase_usd"]}


def spans(accelerator_id: str) -> dict[str, tuple[float, float]]:
    """(low, high) of each of them."""
    return {name: (one.low, one.high) for name, one in given(accelerator_id).items() if one.low < one.high}


@cache
def _owned(folder: Path, accelerator_id: str, kind: str) -> Ownership:
    return own.ownership(accelerator_id, scopes=SCOPES[kind])


def places(accelerator_id: str, accelerators: int, **changed: float) -> tuple[sites.Place, sites.Place]:
    """(centre, edge site) for replicas of so many accelerators; changed: inputs of `given` that are not as they stand."""
    return _places(tables.data_dir(), accelerator_id, accelerators, tuple(sorted(changed.items())))


@cache
def _places(folder: Path, accelerator_id: str, accelerators: int, changed: tuple) -> tuple[sites.Place, sites.Place]:
    at = {name: one.value for name, one in given(accelerator_id).items()} | dict(changed)
    both = {"purchase_usd": at["purchase_usd"], "cost_of_capital": at["cost_of_capital"]}
    dearer = {
        "pue": at["edge_pue"],
        "usd_per_kwh": at["edge_usd_per_kwh"],
        "hosting_usd_per_kw_month": at["edge_hosting"],
    }
    out = []
    for kind, fields, staff in (("centre", both, 0.0), ("edge", {**both, **dearer}, at["staff_per_site"])):
        hour = own.owned_usd_per_hour(replace(_owned(tables.data_dir(), accelerator_id, kind), **fields))
        up = {"hours_between_failures": at["failure_hours"], "repair_hours": at[f"{kind}_repair_hours"]}
        fixed = {"staff_usd_per_year": at["staff_usd_per_year"], "usd_per_month": at[f"{kind}_usd_per_month"]}
        place = sites.Place(
            availability=sites.availability(accelerators=accelerators, **up),
            usd_per_replica_hour=accelerators * hour,
            fixed_usd_per_hour=sites.fixed_usd_per_hour(staff=staff, **fixed),
        )
        out.append(place)
    return out[0], out[1]


def cost_ratio(demand: sites.Demand, n: int, *, accelerator_id: str, accelerators: int, **changed: float) -> float:
    """What a token costs from n edge sites over what it costs from one centre."""
    return sites.cost_ratio(demand, *places(accelerator_id, accelerators, **changed), n)


def with_interval(answer, accelerator_id: str) -> Figure:
    """An answer that takes any one of the inputs by name, with its interval: each alone from end to end, as independent."""
    value, bands = answer(), []
    for name, ends in spans(accelerator_id).items():
        moved = [answer(**{name: end}) / value for end in ends]
        bands.append((min(1.0, *moved), max(1.0, *moved)))
    return spread(value, *bands)


def rows_used(accelerator_id: str) -> pd.DataFrame:
    """The rows of data/ownership.csv behind the comparison."""
    mine = [own.row(*row, accelerator_id) for row in ROWS.values()]
    return pd.concat([pd.DataFrame(mine), *(own.rows_used(accelerator_id, scopes=SCOPES[kind]) for kind in SCOPES)])
