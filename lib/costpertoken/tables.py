"""The only reader of the book's data: tables of data/ in, checked records out, and the sources behind them.

Units are scaled here, at the table's edge: GB to bytes, TFLOPS to FLOP/s, links from both directions to one.
"""

import difflib
import os
from functools import cache
from pathlib import Path

import pandas as pd

from costpertoken.model.records import Accelerator, Efficiency, InputError, Model, Precision, Price, Source, UnknownName
from costpertoken.model.units import BITS_PER_BYTE, GB, TERA

_HERE = Path(__file__).resolve().parent
#: Quantiles of offers that a headline price shows beside its median.
PRICE_LOW, PRICE_HIGH = 0.10, 0.90


def data_dir() -> Path:
    """Folder of the tables: $COSTPERTOKEN_DATA, else the one inside the installed package, else the checkout's."""
    chosen = os.environ.get("COSTPERTOKEN_DATA")
    for folder in [Path(chosen)] if chosen else [_HERE / "data", _HERE.parents[1] / "data"]:
        if (folder / "codebook.csv").is_file():
            return folder
    raise InputError(
        f"no tables found: {chosen or _HERE / 'data'} holds no codebook.csv; reinstall, or set COSTPERTOKEN_DATA"
    )


@cache
def _read_text(folder: Path, table: str) -> pd.DataFrame:
    path = folder / f"{table}.csv"
    if not path.is_file():
        raise InputError(f"data/{table}.csv is missing; expected it in {folder}")
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"data/{table}.csv cannot be read: {error}") from None


def _column(table: str, text: pd.Series, kind: str, required: bool) -> pd.Series:
    """One column as the codebook types it; the first cell that is not so is named by file, row and column."""
    if kind in ("int", "float"):
        number = pd.to_numeric(text.replace("", None), errors="coerce").astype(float)
        bad = (number.isna() & (text != "")) | number.isin([float("inf"), float("-inf")])
    else:
        number = text == "true" if kind == "bool" else text
        bad = ~text.isin(["true", "false", ""]) if kind == "bool" else text.isna()
    bad = bad | ((text == "") & required)
    if bad.any():
        row = int(bad.to_numpy().argmax())
        found = repr(text.iloc[row]) if text.iloc[row] else "empty"
        raise InputError(f"data/{table}.csv, row {row + 2}, column {text.name}: {found}; expected {kind}")
    return number


@cache
def _read_typed(folder: Path, table: str) -> pd.DataFrame:
    raw, book = _read_text(folder, table), _read_text(folder, "codebook")
    kinds = book[book["table"] == table].set_index("column")
    missing = [name for name in kinds.index if name not in raw]
    if missing:
        raise InputError(f"data/{table}.csv, column {missing[0]} is missing; columns there: {', '.join(raw)}")
    typed = {
        name: _column(table, raw[name], kinds.at[name, "type"], kinds.at[name, "required"] == "true")
        for name in kinds.index
    }
    return pd.DataFrame(typed)


def read(table: str) -> pd.DataFrame:
    """A table of data/ as its codebook types it (numbers as floats, blanks NaN or ''). A fresh copy each time."""
    return _read_typed(data_dir(), table).copy()


def nearest(name: str, known) -> str:
    """Up to three known names closest to a wrong one, for an error message."""
    folded = {str(item).lower(): str(item) for item in known}
    close = difflib.get_close_matches(str(name).lower(), list(folded), n=3, cutoff=0.4)
    inside = [item for item in folded if str(name).lower() in item and item not in close]
    found = [folded[item] for item in (close + inside)[:3]]
    return ", ".join(found) if found else ", ".join(list(folded.values())[:8]) + ", ..."


@cache
def _rows_by_id(folder: Path, table: str) -> dict[str, dict]:
    return _read_typed(folder, table).set_index("id", drop=False).to_dict("index")


def _row(table: str, key: str) -> dict:
    rows = _rows_by_id(data_dir(), table)
    if key not in rows:
        raise UnknownName(f"unknown {table.rstrip('s')} {key!r}; nearest: {nearest(key, rows)}")
    return rows[key]


def ids(table: str) -> list[str]:
    """Ids of a wide table, in its order."""
    return _read_typed(data_dir(), table)["id"].tolist()


def model(model_id: str) -> Model:
    """Model of data/models.csv."""
    row = _row("models", model_id)
    fields = Model.__dataclass_fields__
    values = {name: row[name] for name in fields if name in row and not pd.isna(row[name])}
    whole = {name: int(value) for name, value in values.items() if fields[name].type in (int, "int")}
    return Model(
        **{**values, **whole, "attn_bias": row["attn_bias"] or "none", "tied_embeddings": bool(row["tied_embeddings"])}
    )


def accelerator(accelerator_id: str) -> Accelerator:
    """Accelerator of data/accelerators.csv. Raises InputError, with the cell, where a figure the model needs was never read."""
    row = _row("accelerators", accelerator_id)
    for needed in ("memory_gb", "memory_gb_s"):
        if pd.isna(row[needed]):
            raise InputError(f"data/accelerators.csv, row {accelerator_id}, column {needed}: empty; the model needs it")
    formats = [name.removeprefix("peak_tflops_") for name in row if name.startswith("peak_tflops_")]
    peaks = {fmt: row[f"peak_tflops_{fmt}"] * TERA for fmt in formats if not pd.isna(row[f"peak_tflops_{fmt}"])}
    number = {name: 0.0 if pd.isna(row[name]) else row[name] for name in ("link_gb_s", "link_domain", "pcie_gb_s")}
    return Accelerator(
        id=row["id"],
        name=row["name"],
        vendor=row["vendor"],
        device_class=row["device_class"],
        form_factor=row["form_factor"],
        memory_bytes=row["memory_gb"] * GB,
        memory_bytes_per_s=row["memory_gb_s"] * GB,
        peak_flop_per_s=peaks,
        tdp_w=None if pd.isna(row["tdp_w"]) else row["tdp_w"],
        link_kind=row["link_kind"],
        link_bytes_per_s=number["link_gb_s"] * GB / 2,
        link_domain=max(1, int(number["link_domain"])),
        pcie_bytes_per_s=number["pcie_gb_s"] * GB / 2,
    )


def native_precision(of: Model) -> str:
    """Name in data/precisions.csv of the format that a model's checkpoint is published in."""
    return of.native_expert_weights or of.native_weights


def precision(weights: str, *, activations: str | None = None, cache: str | None = None) -> Precision:
    """Precision from format names of data/precisions.csv: weights, activations (default: the weights' own), cache.

    16-bit activations make the products 16-bit, whatever the weights are stored in.
    """
    stored = _row("precisions", weights)
    kept = {name: _row("precisions", stored[f"{name}_format"]) for name in ("dense", "head")}
    cached = _row("precisions", cache or stored["cache_format"])
    math = {"dense": kept["dense"]["math"], "expert": stored["math"]}
    if activations:
        math = dict.fromkeys(math, _row("precisions", activations)["math"])
    return Precision(
        id="/".join([weights, activations or stored["math"], cached["id"]]),
        dense_bytes=kept["dense"]["bits"] / BITS_PER_BYTE,
        expert_bytes=stored["bits"] / BITS_PER_BYTE,
        head_bytes=kept["head"]["bits"] / BITS_PER_BYTE,
        cache_bytes=cached["bits"] / BITS_PER_BYTE,
        dense_math=math["dense"],
        expert_math=math["expert"],
        head_math=kept["head"]["math"],
    )


def efficiency(case: str = "typical", vendor: str = "") -> Efficiency:
    """The efficiency constants of data/efficiency.csv: typical, or every one at its worse or better end.

    A vendor's own rows stand before the ones for all.
    """
    if case not in ("typical", "worse", "better"):
        raise InputError(f"case is {case!r}; expected typical, worse or better")
    return _efficiency(data_dir(), case, vendor)


@cache
def _efficiency(folder: Path, case: str, vendor: str) -> Efficiency:
    values: dict = {"peak": {}}
    rows = _read_typed(folder, "efficiency")
    for row in rows[rows["vendor"].isin(["", vendor])].sort_values("vendor", kind="stable").itertuples():
        upward = (row.better == "higher") == (case == "better")
        value = row.value if case == "typical" else (row.high if upward else row.low)
        if row.scope:
            values[row.constant][row.scope] = value
        else:
            values[row.constant] = value
    return Efficiency(**values)


def price_rows(
    accelerator_id: str, *, commitment="on-demand", cloud_class=None, provider=None, region=None
) -> pd.DataFrame:
    """Offers of data/gpu_prices.csv that match, each once, suspect ones left out; an unknown name is refused."""
    rows = _read_typed(data_dir(), "gpu_prices")
    _row("accelerators", accelerator_id)
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


def sources(*frames: pd.DataFrame) -> pd.DataFrame:
    """Sources (rows of data/sources.csv) behind the rows of some tables, each once, by title."""
    used = {key for frame in frames for key in frame["source"]}
    every = _read_typed(data_dir(), "sources")
    return every[every["id"].isin(used)].sort_values("title", ignore_index=True)


def source(source_id: str) -> Source:
    """Source of data/sources.csv."""
    return Source(**_row("sources", source_id))


def data_date() -> str:
    """The newest date in data/: the edition that ages are counted to."""
    frames = (
        _read_text(data_dir(), table) for table in ("accelerators", "models", "gpu_prices", "ownership", "efficiency")
    )
    return max(frame["as_of"].max() for frame in frames)
