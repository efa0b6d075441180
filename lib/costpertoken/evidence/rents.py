"""How rents moved: the change points of data/gpu_price_history.csv as step functions of the date, one a seller and term."""

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.model.records import InputError

YEAR = pd.Timedelta(days=365.25)


def series(accelerator_id: str, provider: str, commitment: str) -> pd.Series:
    """USD per accelerator-hour by the first day that each price was seen; empty where none is on record.

    Of several instances the one on record longest, so that a step is a new price and never another machine.
    """
    rows = tables.read("gpu_price_history")
    same = {"accelerator_id": accelerator_id, "provider": provider, "commitment": commitment}
    for column, value in same.items():
        rows = rows[rows[column] == value]
    first = rows.sort_values(["seen_on", "instance"]).head(1)["instance"]
    rows = rows[rows["instance"].isin(first)].drop_duplicates("seen_on", keep="last")
    found = pd.Series(rows["value"].to_numpy(), index=pd.DatetimeIndex(rows["seen_on"])).sort_index()
    return found[found.ne(found.shift())]


def last_read(accelerator_id: str, provider: str, commitment: str) -> pd.Timestamp:
    """The last day on which a seller's last price was read: by the price list that still shows it, else its own first day."""
    steps = series(accelerator_id, provider, commitment)
    listed = tables.price_rows(accelerator_id, commitment=None)
    listed = listed[(listed["provider"] == provider) & (listed["commitment"] == commitment)]
    days = listed.loc[np.isclose(listed["value"], steps.iloc[-1]), "as_of"]
    return max([steps.index[-1], *pd.DatetimeIndex([day for day in days if len(day) == len("2026-01-31")])])


def sellers(accelerator_id: str) -> list[tuple[str, str]]:
    """(provider, commitment) of every history of an accelerator on record, list prices first."""
    rows = tables.read("gpu_price_history").query("accelerator_id == @accelerator_id")
    return sorted(
        set(zip(rows["provider"], rows["commitment"], strict=True)), key=lambda pair: (pair[1] != "on-demand", pair)
    )


def price_on(steps: pd.Series, day) -> float:
    """USD per accelerator-hour on a day; NaN before the first price that was seen."""
    return float(steps.asof(pd.Timestamp(day))) if len(steps) else float("nan")


def mean_usd_per_hour(steps: pd.Series, start, end) -> float:
    """Mean price of the hours from start to end. Raises InputError where the record starts later, or ends before it."""
    start, end = pd.Timestamp(start), pd.Timestamp(end)
    if not len(steps) or start < steps.index[0] or end <= start:
        raise InputError(f"no price on record from {start:%Y-%m-%d} to {end:%Y-%m-%d}")
    inside = steps[(steps.index > start) & (steps.index < end)]
    cuts = [start, *inside.index, end]
    paid = [price_on(steps, day) * (after - day) / YEAR for day, after in zip(cuts, cuts[1:], strict=False)]
    return sum(paid) / ((end - start) / YEAR)


def fall_per_year(steps: pd.Series, until) -> float:
    """Yearly fall that leads from the first price of a record to its last, as a share; negative for a rise."""
    years = (pd.Timestamp(until) - steps.index[0]) / YEAR
    return 1.0 - float(steps.iloc[-1] / steps.iloc[0]) ** (1.0 / years)


def corners(steps: pd.Series, until) -> pd.DataFrame:
    """The corners of the step function up to a day, for drawing: date, usd."""
    days = [*steps.index, pd.Timestamp(until)]
    rows = [
        (day, value)
        for day, after, value in zip(days, days[1:], steps, strict=False)
        for day in (day, max(day, after - pd.Timedelta(days=1)))
    ]
    return pd.DataFrame(rows, columns=["date", "usd"])


def records(histories: dict[tuple[str, str], tuple[pd.Series, pd.Timestamp]]) -> pd.DataFrame:
    """What each record did: seller, record (first and last month), first and last price in USD, fall (% a year, NaN below one
    year), needed: the discount in % that a promise at its start would have needed to cost what the changing price did.

    histories: (seller, term) -> (its steps, the last day on which its price was read).
    """
    rows = []
    for (seller, term), (steps, until) in histories.items():
        mean = mean_usd_per_hour(steps, steps.index[0], until)
        fall = 100 * fall_per_year(steps, until) if (until - steps.index[0]) / YEAR >= 1 else np.nan
        needed = round(100 * (1 - mean / steps.iloc[0]), 6) + 0.0
        months = f"{steps.index[0]:%Y-%m} to {until:%Y-%m}"
        rows.append((f"{seller}, {term}", months, steps.iloc[0], steps.iloc[-1], fall, needed))
    return pd.DataFrame(rows, columns=["seller", "record", "first", "last", "fall", "needed"])
