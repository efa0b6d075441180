"""Owning an accelerator, from data/ownership.csv: which row is used is chosen by scope names; and owning beside renting."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from costpertoken import tables
from costpertoken.evidence.uncertain import joined
from costpertoken.model.records import InputError
from costpertoken.model.units import KILO
from costpertoken.money.price import Ownership, drawn_power_w, ownership_usd_per_hour
from costpertoken.tables.prices import PRICE_HIGH, PRICE_LOW

#: Quantity of data/ownership.csv -> the scope that is used unless another one is named.
SCOPES = {
    "gpu_purchase": "new",
    "server_share": "8-gpu-server",
    "network_share": "cluster",
    "depreciation_life": "hyperscaler-servers",
    "residual_value": "after-4-years",
    "cost_of_capital": "real",
    "pue": "colocation",
    "power_price": "us-industrial",
    "colocation_rent": "north-america-250-500kw",
    "staff_cost": "us-loaded",
    "staff_per_1000_gpus": "operations",
    "server_power": "dgx-h100",
    "power_drawn_share": "mixed-serving",
}
#: Fields of Ownership that cost less the higher they are.
SAVING = ("life_years", "residual_share")
#: Field of Ownership -> the quantity that fills it as it stands.
PLAIN = {
    "network_share": "network_share",
    "life_years": "depreciation_life",
    "residual_share": "residual_value",
    "cost_of_capital": "cost_of_capital",
    "pue": "pue",
    "usd_per_kwh": "power_price",
    "hosting_usd_per_kw_month": "colocation_rent",
}
#: Fields whose range is read over several scopes: (quantity, scope) of each.
ACROSS = {
    "life_years": (("depreciation_life", "sceptics"), ("depreciation_life", "hyperscaler-servers")),
    "pue": (("pue", "hyperscale"), ("pue", "industry-survey")),
    "usd_per_kwh": (("power_price", "us-states"),),
}
#: Names of the inputs of owning and renting, as `tornado` writes them, in words.
WORDS = {
    "^purchase usd": "purchase (USD)",
    "^life years": "years of life",
    "^usd per hour": "rent (USD an hour)",
    "^fall per year": "yearly fall of rents",
    "^staff usd per year": "staff (USD a year)",
    "^usd per kwh": "price of electricity (USD/kWh)",
    "^hosting usd per kw month": "space (USD/kW-month)",
    "^pue": "PUE",
}
REST = "rest-of-server"
TERMS = {"on-demand": "on demand", "spot": "spot", "1y": "1 year", "3y": "3 years"}


class Prior(NamedTuple):
    """A figure with its range; both ends are the value where no range is on record."""

    value: float
    low: float
    high: float


def row(quantity: str, scope: str, accelerator_id: str = "") -> dict:
    """The row of data/ownership.csv for a quantity and scope: the accelerator's own, else the one for all, else the only one.

    Raises InputError, with the scopes on record, where there is none.
    """
    return dict(_row(tables.data_dir(), quantity, scope, accelerator_id))


@cache
def _row(folder: Path, quantity: str, scope: str, accelerator_id: str) -> dict:
    known = tables.read("ownership").query("quantity == @quantity")
    rows = known[known["scope"] == scope]
    for wanted in (accelerator_id, ""):
        own = rows[rows["accelerator_id"] == wanted]
        if len(own):
            return own.iloc[0].to_dict()
    if len(rows) != 1:
        have = ", ".join(
            sorted({" ".join(filter(None, pair)) for pair in zip(known["scope"], known["accelerator_id"], strict=True)})
        )
        raise InputError(f"no {quantity} {scope!r} of {accelerator_id or 'all'} on record; on record: {have or 'none'}")
    return rows.iloc[0].to_dict()


def prior(quantity: str, scope: str, accelerator_id: str = "") -> Prior:
    """Value, low and high of a row, in the table's unit."""
    found = row(quantity, scope, accelerator_id)
    ends = (found["value"] if pd.isna(found[end]) else found[end] for end in ("low", "high"))
    return Prior(found["value"], *ends)


def rated_power_w(accelerator_id: str, *, scopes: Mapping[str, str] = SCOPES) -> tuple[float, float]:
    """(rated watts of the accelerator, of the rest of its server for each accelerator).

    Where no server of this accelerator is on record, the rest is taken from the server that the scope names.
    """
    return _rated_power_w(tables.data_dir(), accelerator_id, scopes["server_power"])


@cache
def _rated_power_w(folder: Path, accelerator_id: str, server: str) -> tuple[float, float]:
    rated = tables.accelerator(accelerator_id).tdp_w
    servers = tables.read("ownership").query("quantity == 'server_power'")
    own = servers[servers["accelerator_id"] == accelerator_id]
    used = own if len(own) else servers[servers["scope"] == server]
    like = tables.accelerator(used["accelerator_id"].iloc[0])
    return rated, float(used["value"].iloc[0]) - like.tdp_w


def drawn_share(accelerator_id: str, *, scopes: Mapping[str, str] = SCOPES) -> Prior:
    """Mean draw of the server over its rated power, its accelerators under the load that the scope names."""
    rated, rest = rated_power_w(accelerator_id, scopes=scopes)
    own = prior("power_drawn_share", scopes["power_drawn_share"], accelerator_id)
    other = prior("power_drawn_share", REST)
    drawn = (
        drawn_power_w(accelerator_w=rated, rest_w=rest, accelerator_share=share, rest_share=rest_share)
        for share, rest_share in zip(own, other, strict=True)
    )
    return Prior(*(watts / (rated + rest) for watts in drawn))


def priors(accelerator_id: str, *, scopes: Mapping[str, str] = SCOPES, known=()) -> dict[str, Prior]:
    """Every field of Ownership but those known, with its range, from the rows that the scopes name (left out: SCOPES)."""
    scopes = {**SCOPES, **scopes}

    def of(quantity: str) -> Prior:
        return prior(quantity, scopes[quantity], accelerator_id)

    bought = () if "purchase_usd" in known else zip(of("gpu_purchase"), of("server_share"), strict=True)
    staffed = zip(of("staff_cost"), of("staff_per_1000_gpus"), strict=True)
    watts = sum(rated_power_w(accelerator_id, scopes=scopes))
    paid = [accelerator + server for accelerator, server in bought]
    return {
        **({"purchase_usd": Prior(*paid)} if paid else {}),
        "power_w": Prior(watts, watts, watts),
        "drawn_share": drawn_share(accelerator_id, scopes=scopes),
        "staff_usd_per_year": Prior(*(cost * heads / KILO for cost, heads in staffed)),
        **{name: of(quantity) for name, quantity in PLAIN.items()},
    }


def ownership(
    accelerator_id: str, *, end: str = "value", scopes: Mapping[str, str] = SCOPES, **changed: float
) -> Ownership:
    """Ownership of one accelerator at its typical figures, or at the end ("low", "high") that costs least or most.

    changed: fields of Ownership given by hand. All ends at once are further out than chance would put them.
    """
    turned = {"value": "value", "low": "high", "high": "low"}
    found = {
        name: getattr(one, turned[end] if name in SAVING else end)
        for name, one in priors(accelerator_id, scopes=scopes, known=changed).items()
    }
    return Ownership(**{**found, **changed})


def owned_usd_per_hour(of: Ownership) -> float:
    """USD per accelerator-hour of ownership, all parts, every hour of the year counted."""
    return sum(ownership_usd_per_hour(of).values())


def rows_used(accelerator_id: str, *, scopes: Mapping[str, str] = SCOPES) -> pd.DataFrame:
    """The rows of data/ownership.csv behind `ownership`."""
    scopes = {**SCOPES, **scopes}
    named = [row(quantity, scope, accelerator_id) for quantity, scope in scopes.items() if quantity != "server_power"]
    servers = tables.read("ownership").query("quantity == 'server_power'")
    own = servers["accelerator_id"] == accelerator_id
    power = servers[own if own.any() else servers["scope"] == scopes["server_power"]]
    return pd.concat([pd.DataFrame([*named, row("power_drawn_share", REST)]), power], ignore_index=True)


def rents(accelerator_id: str) -> pd.DataFrame:
    """What an accelerator-hour costs by class of cloud and term: cloud, commitment, way, value (median), low, high (p10, p90),
    n (offers), first and last date. Terms without an offer have no row."""
    rows = tables.price_rows(accelerator_id, commitment=None)
    out = []
    for (cloud, term), offers in rows[rows["commitment"].isin(TERMS)].groupby(["cloud_class", "commitment"]):
        ends = offers["value"].quantile([0.5, PRICE_LOW, PRICE_HIGH]).tolist()
        dates = {"first": offers["as_of"].min(), "last": offers["as_of"].max()}
        way = f"{cloud}, {TERMS[term]} ({len(offers)})"
        line = dict(zip(("value", "low", "high"), ends, strict=True))
        out.append({"cloud": cloud, "commitment": term, "way": way, **line, "n": len(offers), **dates})
    return pd.DataFrame(out).sort_values("value", ignore_index=True)


def ends(accelerator_id: str, *, scopes: Mapping[str, str] = SCOPES) -> dict[str, tuple[float, float]]:
    """(low, high) of each field of Ownership that has a range; of some it is read over several scopes (ACROSS)."""
    spans = {name: (one.low, one.high) for name, one in priors(accelerator_id, scopes=scopes).items()}
    for name, wide in ACROSS.items():
        found = [prior(quantity, scope) for quantity, scope in wide]
        spans[name] = min(one.low for one in found), max(one.high for one in found)
    return {name: span for name, span in spans.items() if span[0] < span[1]}


def with_range(of: Ownership, spans: Mapping[str, tuple[float, float]]) -> Prior:
    """USD per hour of ownership with its range: each field alone from end to end, joined as independent causes."""
    value = owned_usd_per_hour(of)
    moved = [[owned_usd_per_hour(replace(of, **{name: end})) / value for end in span] for name, span in spans.items()]
    low, high = joined(*((min(1.0, *pair), max(1.0, *pair)) for pair in moved))
    return Prior(value, value * low, value * high)


def discounts() -> pd.DataFrame:
    """What commitments take off the list price of the same instance in the same region: accelerator_id, commitment, discount
    (median of the instances on record)."""
    rows = tables.read("gpu_prices").query("flag == ''")
    same = ["provider", "region", "instance", "accelerator_id"]
    both = rows[rows["commitment"].isin(["1y", "3y"])].merge(rows[rows["commitment"] == "on-demand"], on=same)
    both["discount"] = 1.0 - both["value_x"] / both["value_y"]
    found = both.groupby(["accelerator_id", "commitment_x"])["discount"].median().reset_index()
    return found.rename(columns={"commitment_x": "commitment"})


def used_hour_usd(utilisation, *, usd_per_hour: float, paid_always: bool):
    """USD per used hour: what is rented by the hour costs the same at any utilisation, the rest is paid for idle hours too."""
    return usd_per_hour / utilisation if paid_always else usd_per_hour + 0.0 * utilisation
