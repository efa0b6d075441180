"""Request traces from files: Azure's LLM inference CSV, BurstGPT's CSV (both editions), Mooncake's JSONL; each plain or gzipped.

The first line tells the format. A row that cannot be used is refused with its reason and its line; none disappears: good rows
and refused rows are all rows below the header. Blank lines are no rows.
"""

import gzip
import json
import zlib
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from costpertoken.fleet.formats import FORMATS, Format, earlier, format_of, judged, refuse_first, split
from costpertoken.fleet.trace import Trace
from costpertoken.model.records import InputError

GZIP_MAGIC = b"\x1f\x8b"


def read(path, *, strict: bool = False) -> Trace:
    """A trace from a file; seconds from its first arrival, which may stand anywhere: what is out of order is put in order.

    Rows with a field that is missing, no number, negative, zero or out of range are in `Trace.refused`, by reason, with their
    lines; rows that came earlier than one above them are counted in `Trace.reordered`. strict: the first of either raises
    InputError. An unknown format, and a file without a good row, raise it always.
    """
    lines = lines_of(Path(path))
    name, shape = Path(path).name, format_of(Path(path).name, lines)
    rows = judged(from_json(lines, shape) if shape.prefix_block_tokens else from_csv(lines, shape), shape)
    if strict:
        refuse_first(name, rows, shape)
    good = rows[rows["fault"] == ""]
    refused = {reason: tuple(at.index) for reason, at in rows[rows["fault"] != ""].groupby("fault", sort=False)}
    if good.empty:
        first = [f"{reason} (line {at[0]})" for reason, at in refused.items()]
        why = "; ".join(first[:3]) or "there is none at all"
        raise InputError(f"{name}: no good row; expected at least one below the header. {why}")
    return trace_of(name, good.sort_values("at", kind="stable"), refused, earlier(good).sum(), shape)


def lines_of(file: Path) -> pd.Series:
    """The lines that are not blank, by their number; a byte-order mark, carriage returns and a missing last newline are
    all right."""
    try:
        raw = file.read_bytes()
        raw = gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw
    except FileNotFoundError:
        raise InputError(f"no file {file}; expected a trace as CSV or JSONL, plain or gzipped") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file.name} cannot be read: {error}") from None
    lines = [line.strip() for line in raw.decode("utf-8-sig", errors="replace").split("\n")]
    kept = {number: line for number, line in enumerate(lines, start=1) if line}
    if not kept:
        raise InputError(f"{file.name} is empty; expected a first line such as {FORMATS['Azure'].header}")
    return pd.Series(kept, dtype=object)


def from_csv(lines: pd.Series, shape: Format) -> pd.DataFrame:
    """The fields' text by line, with the line itself where its cells are not as many as the header's."""
    head = split(lines.iloc[0])
    cells = [line.split(",") for line in lines.iloc[1:]]
    whole = np.array([len(row) == len(head) for row in cells], dtype=bool)
    columns = {
        field: [row[at] if ok else "" for row, ok in zip(cells, whole, strict=True)]
        for field in (shape.came, shape.prompt, shape.answer)
        for at in (head.index(field),)
    }
    rows = pd.DataFrame(columns, index=lines.index[1:], dtype=object)
    rows = rows.apply(lambda column: column.str.strip(' "'))
    return rows.assign(broken=np.where(whole, "", lines.iloc[1:].to_numpy()))


def from_json(lines: pd.Series, shape: Format) -> pd.DataFrame:
    """The fields' text by line, with the line itself where it is no JSON object; `ids`: None where they are no list of ids."""
    objects = [as_object(line) for line in lines]
    columns = {
        field: ["" if (value := row.get(field)) is None else repr(value) for row in objects]
        for field in (shape.came, shape.prompt, shape.answer)
    }
    rows = pd.DataFrame(columns, index=lines.index, dtype=object)
    broken = np.where([bool(row) for row in objects], "", lines.to_numpy())
    ids = pd.Series([ids_of(row.get("hash_ids")) for row in objects], index=lines.index, dtype=object)
    return rows.assign(broken=broken, ids=ids)


def as_object(line: str) -> dict:
    """The line's object; empty where there is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def ids_of(value) -> list[int] | None:
    """A list of whole numbers of 63 bits, or None."""
    good = isinstance(value, list) and set(map(type, value)) <= {int}
    return value if good and (not value or (min(value) >= 0 and max(value) < 2**63)) else None


def trace_of(name: str, rows: pd.DataFrame, refused: dict, reordered: int, shape: Format) -> Trace:
    """Good rows, in order of arrival, as a Trace."""
    prefixes = {}
    if "ids" in rows:
        flat = np.fromiter(chain.from_iterable(rows["ids"]), dtype=np.int64)
        prefixes = {
            "prefix_ids": pd.factorize(flat)[0],
            "prefix_starts": np.concatenate([[0], np.cumsum(rows["ids"].map(len))]),
            "prefix_block_tokens": shape.prefix_block_tokens,
        }
    return Trace(
        arrival_s=(rows["at"] - rows["at"].iloc[0]).to_numpy(),
        input_tokens=rows["prompt"].to_numpy(),
        output_tokens=rows["answer"].to_numpy(),
        refused=refused,
        reordered=int(reordered),
        name=name,
        **prefixes,
    )
