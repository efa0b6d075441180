"""What a trace's file looks like in each format, and what is wrong with its rows."""

import difflib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from costpertoken.model.records import InputError

#: Most tokens of a prompt or an answer, and most seconds of a trace, that are taken for meant.
MOST_TOKENS, MOST_S = 1_000_000_000, 1e10
DATE_AND_TIME = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d.*)?"
UNREADABLE = "row cannot be taken apart"


@dataclass(frozen=True, kw_only=True)
class Format:
    """Fields of a row: when it came, its prompt, its answer; parts of a second that the first counts (0: a date and time)."""

    header: str
    came: str
    prompt: str
    answer: str
    per_s: float
    prefix_block_tokens: int = 0


BURST = {"came": "Timestamp", "prompt": "Request tokens", "answer": "Response tokens", "per_s": 1.0}
FORMATS = {
    "Azure": Format(
        header="TIMESTAMP,ContextTokens,GeneratedTokens",
        came="TIMESTAMP",
        prompt="ContextTokens",
        answer="GeneratedTokens",
        per_s=0.0,
    ),
    "BurstGPT": Format(header="Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type", **BURST),
    "BurstGPT, second edition": Format(
        header="Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type", **BURST
    ),
    "Mooncake": Format(
        header='{"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [0]}',
        came="timestamp",
        prompt="input_length",
        answer="output_length",
        per_s=1000.0,
        prefix_block_tokens=512,
    ),
}


def split(line: str) -> list[str]:
    """Cells of a line of CSV; no known format has a comma inside a cell."""
    return [cell.strip().strip('"').strip() for cell in line.split(",")]


def format_of(name: str, lines: pd.Series) -> Format:
    """The format that the first line tells: an object of JSON, or a header with the columns that are needed."""
    first = lines.iloc[0]
    if first.startswith("{"):
        return FORMATS["Mooncake"]
    cells = split(first)
    for shape in FORMATS.values():
        if {shape.came, shape.prompt, shape.answer} <= set(cells):
            return shape
    known = {shape.header: label for label, shape in FORMATS.items()}
    nearest = max(known, key=lambda header: difflib.SequenceMatcher(None, first[:200], header).ratio())
    shape = FORMATS[known[nearest]]
    lacking = [column for column in (shape.came, shape.prompt, shape.answer) if column not in cells]
    raise InputError(
        f"{name}, line {lines.index[0]}: {first[:80]!r} is the first line of no known format; "
        f"nearest: {nearest} ({known[nearest]}), of which {', '.join(lacking)} is missing"
    )


def judged(rows: pd.DataFrame, shape: Format) -> pd.DataFrame:
    """The rows with `at` (seconds from any point), `prompt` and `answer` as numbers, and `fault` with its `field`, or ''."""
    dated = shape.per_s == 0.0
    taken = rows.assign(
        at=seconds(rows[shape.came]) if dated else number(rows[shape.came]) / shape.per_s,
        prompt=number(rows[shape.prompt]),
        answer=number(rows[shape.answer]),
    )
    faults = {
        "": np.where(rows["broken"] != "", UNREADABLE, ""),
        shape.came: wrong(shape.came, rows[shape.came], taken["at"], -np.inf if dated else 0.0, MOST_S),
        shape.prompt: wrong(shape.prompt, rows[shape.prompt], taken["prompt"], 1.0, MOST_TOKENS),
        shape.answer: wrong(shape.answer, rows[shape.answer], taken["answer"], 1.0, MOST_TOKENS),
    }
    if "ids" in rows:
        faults["hash_ids"] = wrong_ids(rows["ids"], np.ceil(taken["prompt"] / shape.prefix_block_tokens))
    table = np.column_stack([found.astype(object) for found in faults.values()])
    first = (table != "").argmax(axis=1)
    return taken.assign(fault=table[np.arange(len(table)), first], field=np.array(list(faults), dtype=object)[first])


def number(text: pd.Series) -> pd.Series:
    """Finite numbers; NaN for what is none."""
    found = pd.to_numeric(text, errors="coerce").astype(float)
    return found.where(np.isfinite(found))


def seconds(text: pd.Series) -> pd.Series:
    """Seconds of a date and time from the first that is one (UTC where no zone is given); NaN for what is none."""
    whole = text.where(text.str.fullmatch(DATE_AND_TIME).astype(bool), None)
    found = pd.to_datetime(whole, format="ISO8601", utc=True, errors="coerce").dt.as_unit("ns")
    return (found - (found.dropna().iloc[0] if found.notna().any() else pd.Timestamp(0, tz="UTC"))).dt.total_seconds()


def wrong(field: str, text: pd.Series, values: pd.Series, least: float, most: float) -> np.ndarray:
    """The reason why a field's value is refused, or ''. Tokens, of which there is at least one, are whole."""
    cases = {
        "is missing": text == "",
        "is not understood": values.isna(),
        "is negative": (values < 0) & (least >= 0),
        "is zero": values.eq(0) & (least > 0),
        "is no whole number": (least > 0) & (values % 1 != 0),
        f"is above {most:,.0f}": values > most,
    }
    return np.select(list(cases.values()), [f"{field} {case}" for case in cases], "")


def wrong_ids(ids: pd.Series, blocks: pd.Series) -> np.ndarray:
    """The reason why prefix blocks are refused, or ''."""
    more = ids.map(lambda found: len(found) if isinstance(found, list) else 0) > blocks
    return np.select([ids.isna(), more], ["hash_ids is no list of ids", "hash_ids has more blocks than its prompt"], "")


def earlier(rows: pd.DataFrame) -> pd.Series:
    """Which rows came earlier than one above them."""
    return rows["at"] < rows["at"].cummax()


def refuse_first(name: str, rows: pd.DataFrame, shape: Format) -> None:
    """Raise InputError at the first row that is at fault or out of order; quiet where there is none."""
    late = earlier(rows[rows["fault"] == ""]).reindex(rows.index, fill_value=False)
    bad = rows[(rows["fault"] != "") | late]
    if bad.empty:
        return
    row, line = bad.iloc[0], bad.index[0]
    if not row["fault"]:
        raise InputError(
            f"{name}, line {line}, field {shape.came}: {row[shape.came]!r}; expected no earlier than the rows above"
        )
    ways = {
        "": f"a row such as {shape.header}" if shape.prefix_block_tokens else f"as many cells as {shape.header}",
        shape.came: "a date and time" if shape.per_s == 0.0 else "a number that is not negative",
        "hash_ids": f"a list of whole numbers, one for each {shape.prefix_block_tokens} tokens of the prompt",
    }
    expected = ways.get(row["field"], f"a whole number from 1 to {MOST_TOKENS:,}")
    found = row["broken"] if row["field"] == "" else row["ids"] if row["field"] == "hash_ids" else row[row["field"]]
    where = f", field {row['field']}" if row["field"] else ""
    raise InputError(f"{name}, line {line}{where}: {str(found)[:80]!r}; expected {expected} ({row['fault']})")
