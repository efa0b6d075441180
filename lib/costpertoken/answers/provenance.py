"""What the tables of data/ hold: rows by basis, the age of the prices, how fast prices move, licences, and what is missing."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.tables.shelf import latest_day

#: What each table holds, in words.
HOLDS = {
    "accelerators": "data sheets of accelerators",
    "accounts": "public accounts that must add up",
    "api_price_history": "list prices of tokens as they changed",
    "api_prices": "list prices of tokens",
    "api_terms": "discounts and limits of sellers of tokens",
    "calibration": "the model's constants as fitted",
    "claim_inputs": "inputs of the claims' checks, with their ranges",
    "claims": "the article's claims, in our words",
    "codebook": "every column of every table",
    "conventions": "readings that the comparison with measurements needs",
    "cpus": "what a CPU's peak and bandwidth follow from",
    "efficiency": "what the fit of the constants starts from",
    "engines": "which release of an engine has which constants",
    "gpu_price_history": "rents as they changed",
    "gpu_prices": "rents of accelerators",
    "levers": "settings of the optimizations",
    "measurements": "published measurements of serving",
    "models": "dimensions of models",
    "nomenclature": "the words, abbreviations and endings of names",
    "ownership": "what owning and operating machines costs",
    "peer_predictions": "what other models predict for the same measurements",
    "precisions": "number formats",
    "residuals": "errors of the model on what it had not seen",
    "sources": "where figures were read, and under which licence",
    "techniques": "what papers report of optimizations",
    "traces": "what published request traces are like",
}
#: Tables of current prices, by the words of the choice: those that have a shelf life.
PRICES = {"accelerators": "gpu_prices", "tokens": "api_prices"}
#: The column with a row's date where it is not as_of, and with its source where it is not source.
DATE_OF = {"api_price_history": "effective_from", "gpu_price_history": "seen_on", "sources": "accessed"}
SOURCE_OF = {"measurements": "source_id"}
BASES = ("measured", "published", "derived", "assumed")
#: Spellings of one licence, and what it is no use to tell apart.
SPELT = {"CC-BY-4.0": "CC BY 4.0", "none given": "none stated", "not stated": "none stated", "see page": "none stated"}
UNKNOWN = ("not checked", "none stated", "see arXiv page", "see repository")
#: How far apart the days are on which two prices of one offer are compared.
EVERY_DAYS = 7


def edition() -> date:
    """The day that ages are counted to: the newest date in data/."""
    return latest_day(tables.data_date())


def named() -> list[str]:
    """The tables of data/, as the codebook names them."""
    return list(tables.read("codebook")["table"].unique())


def overview() -> pd.DataFrame:
    """One row a table: table, holds, rows, columns, sources (those that its rows name), newest (date of a row)."""
    rows = []
    for name in named():
        frame = tables.read(name)
        dates = frame.get(DATE_OF.get(name, "as_of"), pd.Series(dtype=str))
        ids = frame.get(SOURCE_OF.get(name, "source"), pd.Series(dtype=str))
        seen = [ids.nunique() or np.nan, dates.max() if len(dates) else None]
        rows.append([name, HOLDS.get(name, ""), *frame.shape, *seen])
    return pd.DataFrame(rows, columns=["table", "holds", "rows", "columns", "sources", "newest"])


def records() -> pd.DataFrame:
    """One row for each row of data/ that has a basis: table, basis, source."""
    kept = {name: frame for name in named() if "basis" in (frame := tables.read(name))}
    return pd.concat(
        [frame[["basis", SOURCE_OF.get(name, "source")]].set_axis(["basis", "source"], axis=1).assign(table=name)
         for name, frame in kept.items()],
        ignore_index=True,
    )[["table", "basis", "source"]]  # fmt: skip


def by_basis(rows: pd.DataFrame, *, most: int) -> pd.DataFrame:
    """Rows by table and basis, of tables with at most so many rows, the largest first: table, basis, rows."""
    counted = rows.groupby(["table", "basis"]).size().unstack(fill_value=0).reindex(columns=list(BASES), fill_value=0)
    total = counted.sum(axis=1)
    kept = counted[total <= most].assign(total=total).sort_values("total", ascending=False, kind="stable").drop(columns="total")
    return kept.stack().rename("rows").rename_axis(["table", "basis"]).reset_index()


def earliest_day(as_of: str) -> date:
    """The first day that a date as exactly as known can mean."""
    year, month, day = [*(int(part) for part in as_of.split("-")), 1, 1][:3]
    return date(year, month, day)


def prices(kind: str, *, on: date) -> pd.DataFrame:
    """Rows of a table of prices with their age on a day: seller, suspect, age_days, and oldest_days, the age if each
    date is read as the first day that it can mean."""
    rows = tables.read(PRICES[kind])
    young, old = ([(on - day(as_of)).days for as_of in rows["as_of"]] for day in (latest_day, earliest_day))
    suspect = rows["flag"] != "" if "flag" in rows else False
    return pd.DataFrame({"seller": rows["provider"], "kind": kind, "suspect": suspect, "age_days": young, "oldest_days": old})


def past(rows: pd.DataFrame, *, shelf_days: float, later_days=0, column: str = "age_days"):
    """Share of rows that are past their shelf life, so many days later (may be an array)."""
    later = np.asarray(later_days)
    share = ((rows[column].to_numpy() + later[..., None]) > shelf_days).mean(axis=-1)
    return share if later.ndim else float(share)


def share_past(rows: pd.DataFrame, *, shelf_days, later_days, first_day=0, suspects_out=0, sellers_alike=0) -> float:
    """Share of price rows past their shelf life in %, if dates are read as the first day that they can mean, suspect offers are
    left out, or each seller of a kind counts the same whatever its number of rows (1: so, 0: not)."""
    kept = rows[~rows["suspect"]] if suspects_out else rows
    old = kept["oldest_days" if first_day else "age_days"] + later_days > shelf_days
    return 100 * float(old.groupby([kept["kind"], kept["seller"]]).mean().mean() if sellers_alike else old.mean())


def by_seller(rows: pd.DataFrame, *, n_sellers: int) -> pd.DataFrame:
    """Ages of the sellers with the most rows, the youngest first: seller, rows, youngest, median, oldest (days)."""
    ages = rows.groupby("seller")["age_days"].agg(rows="size", youngest="min", median="median", oldest="max").reset_index()
    largest = ages.sort_values(["rows", "seller"], ascending=[False, True]).head(n_sellers)
    return largest.sort_values(["median", "seller"], ignore_index=True)


def histories() -> pd.DataFrame:
    """Prices as they changed: group, offer, day (number), value, until (last day on which the group's seller was looked at)."""
    rents, listed = tables.read("gpu_price_history"), tables.read("api_price_history").query("effective_from != ''")
    groups = {"Vast.ai": "marketplace rents", "GCP spot": "GCP spot rents"}
    key = rents["provider"] + rents["commitment"].map({"spot": " spot"}).fillna("")
    group = key.str.replace("Vast.ai spot", "Vast.ai").map(groups).fillna("on-demand rents of clouds")
    offer = rents[["accelerator_id", "provider", "region", "instance", "commitment"]].agg("|".join, axis=1)
    rents = rents.assign(group=group, offer=offer, day=rents["seen_on"], watched=rents["provider"])
    offer = listed[["model_id", "price_key", "source"]].agg("|".join, axis=1)
    listed = listed.assign(group="list prices of tokens", offer=offer, day=listed["effective_from"], watched=listed["source"],
                           value=listed["output_usd_per_mtok"])  # fmt: skip
    both = pd.concat([rents, listed], ignore_index=True)[["group", "offer", "day", "watched", "value"]]
    both["day"] = [latest_day(day).toordinal() for day in both["day"]]
    both["until"] = both.groupby("watched")["day"].transform("max")
    return both.drop(columns="watched").sort_values(["group", "offer", "day"], ignore_index=True)


def compared(day: np.ndarray, value: np.ndarray, until: float, age_days: int) -> np.ndarray:
    """|later price / earlier price - 1| of one offer, for each week with both ends known; a price holds until the next."""
    earlier = np.arange(day[0], until - age_days + 1, EVERY_DAYS)
    if day.size == 1:
        return np.zeros(earlier.size)
    at = [value[np.searchsorted(day, when, side="right") - 1] for when in (earlier, earlier + age_days)]
    return np.abs(at[1] / at[0] - 1)


def moved(history: pd.DataFrame, *, ages: Sequence[int], change: float, fewest: int = 50) -> pd.DataFrame:
    """How many prices of an age are off by more than `change`: group, age_days, share (of pairs of days), pairs.

    history: sorted by group, offer and day. An age of which a group has fewer than so many pairs is left out.
    """
    rows = []
    for group, of_group in history.groupby("group", sort=False):
        day, value, until = (of_group[column].to_numpy() for column in ("day", "value", "until"))
        starts = np.flatnonzero(~of_group["offer"].duplicated())
        offers = [slice(*ends) for ends in zip(starts, [*starts[1:], len(of_group)], strict=True)]
        for age in ages:
            off = np.concatenate([compared(day[at], value[at], until[at][0], age) for at in offers])
            if off.size >= fewest:
                rows.append([group, age, float((off > change).mean()), off.size])
    return pd.DataFrame(rows, columns=["group", "age_days", "share", "pairs"])


def watched(history: pd.DataFrame) -> pd.DataFrame:
    """How much of a history there is: group, offers, changed (offers that ever changed), days_watched (median of the offers)."""
    of = history.groupby(["group", "offer"]).agg(prices=("value", "nunique"), first=("day", "min"), until=("until", "first"))
    of = of.assign(changed=of["prices"] > 1, days=of["until"] - of["first"]).groupby("group")
    return of.agg(offers=("prices", "size"), changed=("changed", "sum"), days_watched=("days", "median")).reset_index()


def lasting(shares: pd.DataFrame, tolerated: float) -> pd.DataFrame:
    """The shelf life that a group's prices deserve: the age at which so large a share is off; group, days, found (below: it is
    less than the first age, above: more than the last one looked at, at: interpolated)."""
    rows = []
    for group, of in shares.groupby("group", sort=False):
        age, share = of["age_days"].to_numpy(float), np.maximum.accumulate(of["share"].to_numpy())
        where = "below" if share[0] > tolerated else "above" if share[-1] <= tolerated else "at"
        days = {"below": age[0], "above": age[-1], "at": float(np.interp(tolerated, share, age))}[where]
        rows.append([group, days, where])
    return pd.DataFrame(rows, columns=["group", "days", "found"])


def licences(rows: pd.DataFrame) -> pd.DataFrame:
    """Sources and rows of data by licence: licence, kind (open, closed, unknown), sources, rows; most sources first."""
    known = tables.read("sources")[["id", "licence"]].assign(licence=lambda at: at["licence"].replace(SPELT))
    counts = rows.groupby("source").size()
    known = known[known["id"] != "assumption"].assign(rows=lambda at: at["id"].map(counts).fillna(0).astype(int))
    table = known.groupby("licence").agg(sources=("id", "size"), rows=("rows", "sum")).reset_index()
    kind = ["closed" if name == "all rights reserved" else "unknown" if name in UNKNOWN else "open" for name in table["licence"]]
    table = table.assign(kind=kind)[["licence", "kind", "sources", "rows"]]
    return table.sort_values(["sources", "licence"], ascending=[False, True], ignore_index=True)


def listed(names, most: int = 8) -> str:
    """Names in a cell, the rest counted."""
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def missing() -> pd.DataFrame:
    """What a reader would look for and not find: what, missing, among, which."""
    machines, models, offers = (tables.read(name) for name in ("accelerators", "models", "gpu_prices"))
    measured, sold, sources = (tables.read(name) for name in ("measurements", "api_prices", "sources"))
    held = set(offers.loc[offers["flag"] == "", "accelerator_id"])
    gaps = {
        "accelerators without a price": (set(machines["id"]) - held, machines["id"]),
        "accelerators without a measurement": (set(machines["id"]) - set(measured["accelerator_id"]), machines["id"]),
        "models without a measurement": (set(models["id"]) - set(measured["model_id"]), models["id"]),
        "models without a list price of tokens": (set(models["id"]) - set(sold["model_id"]), models["id"]),
        "regimes measured on one vendor only": (one_vendor(measured, machines), set(measured["regime"]) - {"other"}),
    }
    rows = [[what, len(gone), len(of), listed(gone)] for what, (gone, of) in gaps.items()]
    undated, unclear = sources["published"].eq("").sum(), measured["flag"].ne("").sum()
    rows.append(["sources without a date of publication", undated, len(sources), "most are pages and files that carry none"])
    rows.append(["measurements of uncertain unit or scope", unclear, len(measured), "kept, and not scored"])
    return pd.DataFrame(rows, columns=["what", "missing", "among", "which"])


def one_vendor(measured: pd.DataFrame, machines: pd.DataFrame) -> set[str]:
    """Regimes of which there are measurements on the accelerators of one vendor only."""
    measured = measured[measured["regime"] != "other"]
    vendors = measured["accelerator_id"].map(machines.set_index("id")["vendor"]).groupby(measured["regime"]).nunique()
    return set(vendors.index[vendors == 1])


def suspects() -> pd.DataFrame:
    """Offers that are kept on record and in no headline: provider, accelerator_id, commitment, value, newest, note."""
    rows = tables.read("gpu_prices").query("flag != ''")
    same = ["provider", "accelerator_id", "commitment", "value", "note"]
    dated = rows.groupby(same, sort=False)["as_of"].max().rename("newest").reset_index()
    return dated.assign(note=dated["note"].str.removeprefix("Suspect: "))[[*same[:4], "newest", "note"]]


def empty_cells() -> pd.DataFrame:
    """Columns that may be empty, the emptiest first: table, column, empty, rows, share (%), means (the codebook's words)."""
    book = tables.read("codebook").query("not required")
    blank = [tables.read(row.table)[row.column].replace("", None).isna() for row in book.itertuples()]
    out = book[["table", "column"]].assign(empty=[int(b.sum()) for b in blank], rows=[len(b) for b in blank])
    out = out.assign(share=100 * out["empty"] / out["rows"], means=book["description"])
    return out.sort_values(["share", "table", "column"], ascending=[False, True, True], ignore_index=True)
