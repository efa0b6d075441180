"""Claims of the chapter on renting and owning: rents and how they moved, purchase prices, power (with checks/sheet.py)."""

import math

import pandas as pd

from costpertoken import tables
from costpertoken.evidence import rents
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.checks.sheet import sheet
from costpertoken.evidence.claims import Unverifiable, check
from costpertoken.evidence.scenario import spread
from costpertoken.prose import significant
from costpertoken.tables.prices import PRICE_HIGH, PRICE_LOW

#: The parts that a claim on Blackwell's supply is about, and the one whose marketplace price is on record.
BLACKWELL, TRADED = ("b200-sxm", "b300-sxm", "gb200", "gb300"), ("b200-sxm", "Vast.ai", "on-demand")


@check("purchase-price")
def purchase_price(*, accelerator) -> Figure:
    """Price of a new accelerator without its server in data/ownership.csv, with the range on record; NaN where none is."""
    rows = tables.read("ownership").query(
        "quantity == 'gpu_purchase' and scope == 'new' and accelerator_id == @accelerator"
    )
    if rows.empty:
        return Figure(*[math.nan] * 3)
    row = rows.iloc[0]
    return Figure(row["value"], *(row["value"] if pd.isna(row[end]) else row[end] for end in ("low", "high")))


@check("rent-offers")
def rent_offers(*, accelerator, cloud_class, commitment) -> Figure:
    """Median of the offers of one class of cloud and one term in data/gpu_prices.csv, with their p10 and p90."""
    offers = tables.price_rows(accelerator, cloud_class=cloud_class, commitment=commitment)["value"]
    return Figure(*(float(end) for end in offers.quantile([0.5, PRICE_LOW, PRICE_HIGH])))


@check("rent-in-the-past")
def rent_in_the_past(*, form, provider, commitment, month):
    """Price of an H100 of some form at a seller at the end of a month by data/gpu_price_history.csv; NaN before the first."""
    steps = rents.series(f"h100-{form}", provider, commitment)
    return rents.price_on(steps, pd.Timestamp(f"{month}-01") + pd.offsets.MonthEnd(1))


@check("price-cut")
def price_cut(*, accelerator, provider, month):
    """Fall of a seller's list price over a month, in per cent of the price before it."""
    steps, first = rents.series(accelerator, provider, "on-demand"), pd.Timestamp(f"{month}-01")
    before, after = (rents.price_on(steps, day) for day in (first, first + pd.offsets.MonthEnd(1)))
    return 100 * (1 - after / before)


@check("price-over-h100")
def price_over_h100(*, accelerator, basis) -> Figure:
    """Price over an H100's: new, both ranges joined; or the median, p10 and p90 of the sellers in a class that rent both."""
    if basis == "purchase":
        one, other = (purchase_price(accelerator=name) for name in (accelerator, "h100-sxm"))
        bands = (one.low / one.value, one.high / one.value), (other.value / other.high, other.value / other.low)
        return spread(one.value / other.value, *bands)
    each = [
        tables.price_rows(name, cloud_class=basis).groupby("provider")["value"].median()
        for name in (accelerator, "h100-sxm")
    ]
    found = (each[0] / each[1]).dropna()
    return Figure(*(float(end) for end in found.quantile([0.5, PRICE_LOW, PRICE_HIGH])))


@check("power-gaudi3-h100")
def power_gaudi3_h100(*, form_gaudi3, form_h100):
    """Rated power of a Gaudi 3 over that of an H100, each in a form factor."""
    watts = [sheet(accelerator=name, column="tdp_w") for name in (f"gaudi3-{form_gaudi3}", f"h100-{form_h100}")]
    return watts[0] / watts[1]


@check("blackwell-supply")
def blackwell_supply():
    """Not computable: allocations are private; the reason counts who rents Blackwell on demand and what its price did."""
    counted = []
    for name in BLACKWELL:
        offers = tables.price_rows(name)
        counted.append(f"{offers['provider'].nunique()} {tables.accelerator(name).name}")
    steps = rents.series(*TRADED)
    raise Unverifiable(
        f"who is allocated what is not public; sellers with an on-demand price on record: {', '.join(counted)}; on the one "
        f"marketplace on record the B200 went from {significant(steps.min())} to {significant(steps.iloc[-1])} USD an hour "
        f"between {steps.idxmin():%B} and {steps.index[-1]:%B %Y}, which fits scarcity and does not show who is allocated what"
    )
