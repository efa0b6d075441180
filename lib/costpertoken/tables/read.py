"""Files in, typed frames and rows out; every error names file, row and column."""

import csv
import difflib
import os
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path

import pandas as pd

from costpertoken.model.records import InputError, UnknownName

_HERE = Path(__file__).resolve().parents[1]
#: Types of the codebook in words, for an error message.
KINDS = {
    "int": "a whole number, not negative",
    "float": "a finite number, not negative",
    "signed": "a finite number",
    "bool": "true or false",
    "string": "text",
    "id": "an id",
    "date": "a date",
}
NUMBERS = ("int", "float", "signed")  # fmt: skip


def data_dir() -> Path:
    """Folder of the tables: $COSTPERTOKEN_DATA, else the one inside the installed package, else the checkout's."""
    return _found_dir(os.environ.get("COSTPERTOKEN_DATA"))


@cache
def _found_dir(chosen: str | None) -> Path:
    for folder in [Path(chosen)] if chosen else [_HERE / "data", _HERE.parents[1] / "data"]:
        if (folder / "codebook.csv").is_file():
            return folder
    raise InputError(
        f"no tables found: {chosen or _HERE / 'data'} holds no codebook.csv; reinstall, or set COSTPERTOKEN_DATA"
    )


@cache
def read_text(folder: Path, table: str) -> pd.DataFrame:
    """A table's cells as they are written."""
    path = folder / f"{table}.csv"
    if not path.is_file():
        raise InputError(f"data/{table}.csv is missing; expected it in {folder}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.reader(lines, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"data/{table}.csv cannot be read: {error}") from None
    if not rows:
        raise InputError(f"data/{table}.csv is empty; expected a header and rows")
    head = rows[0]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(head):
            raise InputError(
                f"data/{table}.csv, row {number}: {len(row)} cells; expected {len(head)}, as its header has"
            )
    return pd.DataFrame(rows[1:], columns=head, dtype=str)


def _columns_there(table: str, frame: pd.DataFrame, expected) -> None:
    missing = [name for name in expected if name not in frame]
    if missing:
        like = nearest(missing[0], frame.columns)
        raise InputError(f"data/{table}.csv, column {missing[0]} is missing; nearest there: {like}")


def _wrong(text: pd.Series, kind: str) -> pd.Series:
    """Which filled cells are not what the codebook says."""
    if kind in NUMBERS:
        number = pd.to_numeric(text, errors="coerce").astype(float)
        if kind == "signed":
            return ~number.between(-float("inf"), float("inf"), inclusive="neither")
        return ~(number.between(0, float("inf"), inclusive="left") & ((kind == "float") | (number % 1 == 0)))
    if kind.startswith("enum:"):
        return ~text.isin(kind.removeprefix("enum:").split("|"))
    return ~text.isin(["true", "false"]) if kind == "bool" else text.isna()


def _column(table: str, text: pd.Series, kind: str, required: bool) -> pd.Series:
    """One column as the codebook types it; the first cell that is not so is named by file, row and column."""
    bad = (_wrong(text, kind) & (text != "")) | ((text == "") & required)
    if bad.any():
        row = int(bad.to_numpy().argmax())
        found = repr(text.iloc[row]) if text.iloc[row] else "empty"
        what = KINDS.get(kind, kind.removeprefix("enum:").replace("|", ", "))
        raise InputError(f"data/{table}.csv, row {row + 2}, column {text.name}: {found}; expected {what}")
    if kind in NUMBERS:
        return pd.to_numeric(text.replace("", None)).astype(float)
    return text == "true" if kind == "bool" else text


@cache
def typed(folder: Path, table: str) -> pd.DataFrame:
    """A table as its codebook types it. Shared: `read` gives a copy."""
    raw, book = read_text(folder, table), read_text(folder, "codebook")
    _columns_there("codebook", book, ("table", "column", "type", "required"))
    kinds = book[book["table"] == table].set_index("column")
    _columns_there(table, raw, kinds.index)
    columns = {
        name: _column(table, raw[name], kinds.at[name, "type"], kinds.at[name, "required"] == "true")
        for name in kinds.index
    }
    return pd.DataFrame(columns)


def read(table: str) -> pd.DataFrame:
    """A table of data/ as its codebook types it (numbers as floats, blanks NaN or ''). A fresh copy each time."""
    return typed(data_dir(), table).copy()


def of_tables(function: Callable) -> Callable:
    """A function of hashable arguments and the tables, computed once for each folder of tables; what it gives is shared."""
    known = cache(lambda folder, *args, **named: function(*args, **named))

    @wraps(function)
    def asked(*args, **named):
        return known(data_dir(), *args, **named)

    return asked


def nearest(name: str, known) -> str:
    """Up to three known names closest to a wrong one, for an error message."""
    folded = {str(item).lower(): str(item) for item in known}
    close = difflib.get_close_matches(str(name).lower(), list(folded), n=3, cutoff=0.4)
    inside = [item for item in folded if str(name).lower() in item and item not in close]
    found = [folded[item] for item in (close + inside)[:3]]
    return ", ".join(found) if found else ", ".join(list(folded.values())[:8]) + ", ..."


@cache
def rows_by_id(folder: Path, table: str) -> dict[str, dict]:
    """Rows of a wide table by their id."""
    frame = typed(folder, table)
    twice = frame["id"].duplicated()
    if twice.any():
        row = int(twice.to_numpy().argmax())
        raise InputError(f"data/{table}.csv, row {row + 2}, column id: {frame['id'].iloc[row]!r} stands there twice")
    return frame.set_index("id", drop=False).to_dict("index")


def table_row(table: str, key: str) -> dict:
    """One row of a wide table; an unknown id is refused with the nearest ones."""
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
