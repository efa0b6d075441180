"""What API prices did, for a level of quality and for one model: cheapest standing prices, and falls a year with intervals."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from costpertoken import tables
from costpertoken.evidence.sellers import NOT_BELIEVED
from costpertoken.evidence.uncertain import LEVEL
from costpertoken.model.transformer import parameters

YEAR = pd.Timedelta(days=365.25)
#: Lists that are not believed or not a seller's own (see evidence.sellers), and small models named after the one they come from.
LEFT_OUT = ("hyperbolic/", "openrouter/", "deepseek-r1-7b-qwen", "deepseek-r1-8b")
#: Names that point at another model over time, so that their prices are not those of one.
MOVING = ("-latest", "deepseek/deepseek-chat", "deepseek/deepseek-reasoner", "gpt-3.5-turbo")
#: The generations whose sizes are ranked against each other; a larger model of theirs is taken to be at least as good.
FAMILIES = ("llama-3", "llama-4")
#: Fewer changes than this make no fit.
FEWEST = 3


class Fall(NamedTuple):
    """By what factor a price falls in a year, with its interval at LEVEL."""

    value: float
    low: float
    high: float


def history() -> pd.DataFrame:
    """Dated list prices of data/api_price_history.csv: model_id, price_key, date, usd (per 10^6 tokens, input and output
    averaged, as a16z does)."""
    return _history(tables.data_dir()).copy()


@cache
def _history(folder: Path) -> pd.DataFrame:
    rows = tables.read("api_price_history")
    kept = (rows["effective_from"] != "") & ~rows["price_key"].isin(NOT_BELIEVED)
    for mark in LEFT_OUT + MOVING:
        kept &= ~rows["price_key"].str.contains(mark, regex=False)
    rows = rows[kept].assign(usd=lambda at: (at["input_usd_per_mtok"] + at["output_usd_per_mtok"]) / 2)
    edition = tables.data_date()
    rows = rows[(rows["usd"] > 0) & (rows["effective_from"] <= edition)]
    dated = rows.assign(date=pd.to_datetime(rows["effective_from"]))
    return dated[["model_id", "price_key", "date", "usd", "source"]].sort_values(["date", "price_key"], ignore_index=True)


def at_least(smallest_id: str, families: tuple[str, ...] = FAMILIES) -> list[str]:
    """Ids of the models of some families (of all, if one is "") with at least as many parameters as one of them: a level of
    quality."""
    known = [name for name in tables.ids("models") if name.startswith(families)]
    sizes = {name: sum(parameters(tables.model(name)).values()) for name in known}
    return [name for name in known if sizes[name] >= sizes[smallest_id]]


def cheapest(rows: pd.DataFrame) -> pd.DataFrame:
    """The cheapest standing price on each day on which some list changed: date, usd, price_key. A list stands until its next
    price; one that was given up is not seen to go."""
    last = rows.drop_duplicates(["date", "price_key"], keep="last")
    wide = last.pivot(index="date", columns="price_key", values="usd").sort_index().ffill()
    return pd.DataFrame({"date": wide.index, "usd": wide.min(axis=1).to_numpy(), "price_key": wide.idxmin(axis=1).to_numpy()})


def changes(steps: pd.DataFrame) -> pd.DataFrame:
    """The days on which the cheapest price moved, the first and the last day of the record with them."""
    moved = steps["usd"].ne(steps["usd"].shift())
    moved.iloc[-1] = True
    return steps[moved].reset_index(drop=True)


def since(steps: pd.DataFrame, years: float) -> pd.DataFrame:
    """The record's last years, with the price that stood when they began."""
    start = steps["date"].iloc[-1] - years * YEAR
    before, after = steps[steps["date"] <= start].tail(1).assign(date=start), steps[steps["date"] > start]
    return pd.concat([before, after], ignore_index=True)


def fitted(steps: pd.DataFrame) -> Fall:
    """Yearly fall of a price by a straight line through its logarithm at its changes; with fewer than FEWEST changes the line
    from end to end, without an interval (NaN).

    A price that was cut stays cut, so the points do not scatter about the line one by one, as least squares would have it: the
    steps between them do. The interval is that of their mean (a random walk with drift), which is wider.
    """
    at = changes(steps)
    years = ((at["date"] - at["date"].iloc[0]) / YEAR).to_numpy(dtype=float)
    logs = np.log(at["usd"].to_numpy())
    if len(at) < FEWEST:
        return Fall(float(np.exp(-(logs[-1] - logs[0]) / years[-1])) if len(at) > 1 else float("nan"), np.nan, np.nan)
    slope, _ = np.polyfit(years, logs, 1)
    steps_off = np.diff(logs) - slope * np.diff(years)
    n = len(steps_off)
    wide = stats.t.ppf((1 + LEVEL) / 2, n - 1) * np.sqrt((steps_off**2).sum() * n / (n - 1)) / years[-1]
    return Fall(*(float(np.exp(-slope + side)) for side in (0.0, -wide, wide)))


def fitted_line(steps: pd.DataFrame, dates: pd.DatetimeIndex) -> np.ndarray:
    """USD of the fitted line on some days."""
    at = changes(steps)
    years = ((at["date"] - at["date"].iloc[0]) / YEAR).to_numpy(dtype=float)
    slope, start = np.polyfit(years, np.log(at["usd"].to_numpy()), 1)
    return np.exp(start + slope * ((dates - at["date"].iloc[0]) / YEAR).to_numpy(dtype=float))


def most_in_a_year(steps: pd.DataFrame) -> float:
    """The largest factor by which a price fell within a year."""
    date, usd = steps["date"].to_numpy(), steps["usd"].to_numpy()
    falls = [usd[n] / usd[n + 1 :][date[n + 1 :] < date[n + 1] + YEAR].min() for n in range(len(usd) - 1)]
    return float(max([1.0, *falls]))


def by_model(rows: pd.DataFrame, years: float) -> pd.DataFrame:
    """The cheapest list of each model with at least a year of record within the last years: model_id, first, last (USD per
    10^6 tokens), years, factor (fall a year, end to end), most (fall within some year)."""
    dates = rows.groupby("model_id")["date"]
    long = dates.transform("max") - dates.transform("min") >= YEAR
    out = []
    for name, own in rows[long].groupby("model_id"):
        steps = since(cheapest(own), years)
        length = (steps["date"].iloc[-1] - steps["date"].iloc[0]) / YEAR
        if length >= 1:
            ends = {"first": steps["usd"].iloc[0], "last": steps["usd"].iloc[-1]}
            factor = (ends["first"] / ends["last"]) ** (1 / length)
            out.append({"model_id": name, **ends, "years": length, "factor": factor, "most": most_in_a_year(steps)})
    return pd.DataFrame(out).sort_values("factor", ascending=False, ignore_index=True)


def repriced(rows: pd.DataFrame, years: float) -> tuple[int, int]:
    """(lists that moved, all lists) of those that were first seen in the last years of the record, a year before its end."""
    end = rows["date"].max()
    old = rows.groupby("price_key").agg(first=("date", "min"), n=("usd", "nunique"))
    old = old[(old["first"] <= end - YEAR) & (old["first"] > end - years * YEAR)]
    return int((old["n"] > 1).sum()), len(old)
