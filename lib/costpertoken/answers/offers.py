"""Offers of accelerators by what a user allows: provider, region, vendor, kind of cloud, term, price."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.model.records import InputError, UnknownName, check_range
from costpertoken.money.price import spot_usd_per_useful_hour

TERMS = ("on-demand", "spot", "1y", "3y")
#: Kinds of cloud whose machines are offered with a promise of staying up; a marketplace's host may leave.
CLASSES = ("hyperscaler", "neocloud")
SAME = ["provider", "region", "instance", "accelerator_id", "commitment"]


def named(what: str, asked: Sequence[str], known) -> list[str]:
    """The names as the tables have them, whatever their case; an unknown one is refused with the nearest."""
    by_lower = {str(name).lower(): str(name) for name in known if name}
    for one in asked:
        if one.lower() not in by_lower:
            raise UnknownName(f"unknown {what} {one!r}; nearest: {tables.nearest(one, sorted(by_lower.values()))}")
    return [by_lower[one.lower()] for one in asked]


def offers(
    *, accelerators=(), vendors=(), providers=(), regions=(), classes=(), terms=("on-demand",), max_usd_per_hour=None
) -> pd.DataFrame:
    """Rows of data/gpu_prices.csv that are allowed, the newest of each offer, with usd_per_useful_hour: spot's price over the
    share of the time that evictions leave. Empty: all, of the kinds in CLASSES where no provider is named either.

    Raises InputError where nothing is left, with the constraint that left nothing and what it had to choose from.
    """
    most = np.inf if max_usd_per_hour is None else check_range("max price", max_usd_per_hour, exclusive=True)
    rows, machines = tables.read("gpu_prices"), tables.read("accelerators").set_index("id")
    rows = rows[(rows["flag"] == "") & rows["commitment"].isin(TERMS)].sort_values("as_of", kind="stable")
    rows = rows.drop_duplicates(SAME, keep="last").assign(vendor=lambda at: at["accelerator_id"].map(machines["vendor"]))
    wanted = {
        "accelerator_id": ("accelerator", named("accelerator", accelerators, machines.index)),
        "vendor": ("vendor", named("vendor", vendors, machines["vendor"])),
        "provider": ("provider", named("provider", providers, rows["provider"])),
        "region": ("region", named("region", regions, rows["region"])),
        "cloud_class": ("cloud class", named("cloud class", classes, rows["cloud_class"]) or ([] if providers else CLASSES)),
        "commitment": ("term", named("term", terms, TERMS)),
    }
    for column, (what, allowed) in wanted.items():
        rows = narrowed(rows, column, what, allowed)
    cheapest = rows["value"].min()
    if cheapest > most:
        raise InputError(f"max price is {most:g} USD an accelerator-hour; the cheapest offer that is allowed costs {cheapest:g}")
    rows = rows[rows["value"] <= most]
    return rows.assign(usd_per_useful_hour=useful(rows)).reset_index(drop=True)


def narrowed(rows: pd.DataFrame, column: str, what: str, allowed: Sequence[str]) -> pd.DataFrame:
    """The rows with one of the allowed values; all where none is named."""
    kept = rows[rows[column].isin(allowed)] if len(allowed) else rows
    if kept.empty:
        there = ", ".join(sorted({str(value) for value in rows[column] if value})) or "none"
        raise InputError(f"no offer on record with {what} {' or '.join(allowed)} under the other constraints; there: {there}")
    return kept


def useful(rows: pd.DataFrame) -> np.ndarray:
    """USD per hour of work that counts: on spot, evictions lose some of it (data/ownership.csv)."""
    facts = tables.read("ownership").set_index(["quantity", "scope"])["value"]
    spot = spot_usd_per_useful_hour(
        spot_usd_per_hour=rows["value"].to_numpy(),
        evictions_per_hour=facts["spot_interruption_rate", "all"],
        lost_hours_per_eviction=facts["eviction_loss", "serving"],
    )
    return np.where(rows["commitment"] == "spot", spot, rows["value"])


def billed_accelerators(rows: pd.DataFrame, *, n_replicas, tp: int) -> np.ndarray:
    """Accelerators paid for by so many replicas (a number, or a column of them) at each offer: whole instances where the offer
    names one, each holding whole replicas; NaN where a replica does not fit into an instance."""
    size = rows["n_accel"].to_numpy(dtype=float)
    per_instance = np.floor(size / tp)
    whole = np.where(per_instance >= 1, np.ceil(n_replicas / np.maximum(per_instance, 1.0)) * size, np.nan)
    return np.where(rows["instance"].to_numpy() == "", n_replicas * tp * 1.0, whole)
