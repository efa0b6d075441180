"""Offers of data/gpu_prices.csv and the headline price that a set of them makes; the sources behind any rows."""

from functools import cache
from pathlib import Path

import pandas as pd

from costpertoken.model.records import InputError, Price, UnknownName
from costpertoken.tables.read import data_dir, nearest, table_row, typed

#: Quantiles of offers that a headline price shows beside its median.
PRICE_LOW, PRICE_HIGH = 0.10, 0.90


def price_rows(
    accelerator_id: str, *, commitment="on-demand", cloud_class=None, provider=None, region=None
) -> pd.DataFrame:
    """Offers of data/gpu_prices.csv that match, each once, suspect ones left out; an unknown name is refused."""
    return _price_rows(data_dir(), accelerator_id, commitment, cloud_class, provider, region).copy()


@cache
def _price_rows(folder: Path, accelerator_id, commitment, cloud_class, provider, region) -> pd.DataFrame:
    rows = typed(folder, "gpu_prices")
    table_row("accelerators", accelerator_id)
    wanted = {"commitment": commitment, "cloud_class": cloud_class, "provider": provider, "region": region}
    for column, value in wanted.items():
        if value is not None and value not in set(rows[column]):
            raise UnknownName(f"unknown {column} {value!r}; nearest: {nearest(value, sorted(set(rows[column])))}")
    keep = rows["accelerator_id"] == accelerator_id
    for column, value in wanted.items():
        keep &= True if value is None else rows[column] == value
    return rows[keep & (rows["flag"] == "")].drop_duplicates(["provider", "instance", "region", "value"])


def price(accelerator_id: str, *, commitment="on-demand", cloud_class=None, provider=None, region=None) -> Price:
    """USD per accelerator-hour: median of the matching offers with their p10 and p90. One class at a time means something."""
    return _price(data_dir(), accelerator_id, commitment, cloud_class, provider, region)


@cache
def _price(folder: Path, accelerator_id, commitment, cloud_class, provider, region) -> Price:
    rows = price_rows(accelerator_id, commitment=commitment, cloud_class=cloud_class, provider=provider, region=region)
    if rows.empty:
        offered = price_rows(accelerator_id, commitment=None)
        have = sorted(set(zip(offered["cloud_class"], offered["commitment"], strict=True)))
        known = "; ".join(f"{place} {term}" for place, term in have) or "none: give a price yourself"
        asked = " ".join(filter(None, [provider, region, cloud_class, commitment]))
        raise InputError(f"no {asked} price of {accelerator_id} on record; on record: {known}")
    value = rows["value"]
    return Price(
        usd_per_hour=value.median(),
        low=value.quantile(PRICE_LOW),
        high=value.quantile(PRICE_HIGH),
        label=" ".join(filter(None, [provider, region, cloud_class, commitment])),
        as_of=rows["as_of"].max(),
        n_offers=len(rows),
    )


def list_price_ratio() -> tuple[float, float, float]:
    """Weights of output, input and cached input: medians over the API prices of open models that list all three."""
    rows = typed(data_dir(), "api_prices").query("kind == 'open'")
    three = rows[["output_usd_per_mtok", "input_usd_per_mtok", "cached_input_usd_per_mtok"]]
    three = three[(three > 0).all(axis=1)]
    ratio = three.div(three["output_usd_per_mtok"], axis=0).median()
    return tuple(float(value) for value in ratio)


def sources(*frames: pd.DataFrame) -> pd.DataFrame:
    """Sources (rows of data/sources.csv) behind the rows of some tables, each once, by title."""
    used = {key for frame in frames for key in frame["source"]}
    every = typed(data_dir(), "sources")
    return every[every["id"].isin(used)].sort_values("title", ignore_index=True)
