"""Files in, typed frames and rows out; every error names file, row and column."""

import difflib
import os
from functools import cache
from pathlib import Path

import pandas as pd

from costpertoken.model.records import InputError, UnknownName

_HERE = Path(__file__).resolve().parents[1]


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
def read_text(folder: Path, table: str) -> pd.DataFrame:
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
def typed(folder: Path, table: str) -> pd.DataFrame:
    raw, book = read_text(folder, table), read_text(folder, "codebook")
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
    return typed(data_dir(), table).copy()


def nearest(name: str, known) -> str:
    """Up to three known names closest to a wrong one, for an error message."""
    folded = {str(item).lower(): str(item) for item in known}
    close = difflib.get_close_matches(str(name).lower(), list(folded), n=3, cutoff=0.4)
    inside = [item for item in folded if str(name).lower() in item and item not in close]
    found = [folded[item] for item in (close + inside)[:3]]
    return ", ".join(found) if found else ", ".join(list(folded.values())[:8]) + ", ..."


@cache
def rows_by_id(folder: Path, table: str) -> dict[str, dict]:
    return typed(folder, table).set_index("id", drop=False).to_dict("index")


def table_row(table: str, key: str) -> dict:
    rows = rows_by_id(data_dir(), table)
    if key not in rows:
        raise UnknownName(f"unknown {table.rstrip('s')} {key!r}; nearest: {nearest(key, rows)}")
    return rows[key]


def ids(table: str) -> list[str]:
    """Ids of a wide table, in its order."""
    return typed(data_dir(), table)["id"].tolist()


def data_date() -> str:
    """The newest date in data/: the edition that ages are counted to."""
    frames = (
        read_text(data_dir(), table) for table in ("accelerators", "models", "gpu_prices", "ownership", "efficiency")
    )
    return max(frame["as_of"].max() for frame in frames)
