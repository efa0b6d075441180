"""Numbers, tables and source lists of a chapter: what code computed, in the form in which prose and page show it."""

from __future__ import annotations

import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

MIME = "application/vnd.costpertoken.numbers+json"
SMALLEST, LARGEST = 1e-4, 1e15
NUM, LONG = ' class="num"', ' class="long"'
WORDY = 60  # letters of a cell that needs room
LINK_COLUMNS = ("title", "producer", "published", "licence")


@dataclass(frozen=True)
class Number:
    """One computed value as the press shows it: the value, its band, its unit, and their texts."""

    value: float | None
    unit: str
    text: str
    low: float | None = None
    high: float | None = None
    band: str = ""
    low_text: str = ""
    high_text: str = ""
    headline: bool = False


class Display:
    """What a cell shows: a MIME bundle, made once."""

    def __init__(self, bundle: dict[str, Any]):
        self.bundle = bundle

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        return self.bundle


def significant(value: float, digits: int = 3) -> str:
    """`value` to so many significant digits, thousands separated, plain from 1e-4 to 1e15; a whole count in full."""
    if isinstance(value, Integral) and abs(value) < LARGEST:
        return f"{int(value):,}"
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    rounded = float(f"{value:.{digits - 1}e}")
    if not SMALLEST <= abs(rounded) <= LARGEST:
        return f"{rounded:.{digits - 1}e}"
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, decimals)}f}"


def _steady(value) -> float:
    """`value` as a float of nine digits: a stored output must not move with the last bit of a CPU's exp()."""
    return float(f"{float(value):.9g}")


def with_unit(text: str, unit: str) -> str:
    """`text` and its unit, a space between them except before a per cent sign."""
    if not unit:
        return text
    return f"{text}%" if unit == "%" else f"{text} {unit}"


def number(value, unit: str, low=None, high=None, digits: int = 3, headline: bool = False) -> Number:
    """A value in `unit` with its band; a per cent value is given in per cent. Whole counts (int) show every digit."""
    if (low is None) != (high is None):
        raise ValueError("a band needs both ends: low and high")
    shown = with_unit(significant(value, digits), unit)
    if low is None:
        return Number(_steady(value), unit, shown, headline=headline)
    if low > high:
        raise ValueError(f"band upside down: low {low} is above high {high}")
    ends = significant(low, digits), significant(high, digits)
    band = with_unit(f"{ends[0]} to {ends[1]}", unit)
    low_text, high_text = (with_unit(end, unit) for end in ends)
    return Number(_steady(value), unit, shown, _steady(low), _steady(high), band, low_text, high_text, headline)


def text(words: str, headline: bool = False) -> Number:
    """Computed words, such as the name of the cheapest accelerator."""
    return Number(None, "", str(words), headline=headline)


def inline(**numbers: Number) -> Display:
    """One output that gives the chapter's prose its numbers: written there as {{ name }}, {{ name.band }} and so on."""
    for name, value in numbers.items():
        if not isinstance(value, Number):
            raise TypeError(f"{name}: wrap it in number(value, unit) or text(words), not {type(value).__name__}")
        if any(v is not None and not math.isfinite(v) for v in (value.value, value.low, value.high)):
            raise ValueError(f"{name}: not a finite number: {value.text}")
    plain = "\n".join(f"{name} = {n.text}" + (f" ({n.band})" if n.band else "") for name, n in numbers.items())
    return Display({MIME: {name: asdict(n) for name, n in numbers.items()}, "text/plain": plain})


def cell(value: Any, whole: bool = False, digits: int = 3) -> str:
    """One table cell's text: numbers to significant digits (`whole`: in full), missing values as a dash, else as it is."""
    if value is None or value != value:
        return "–"
    if not hasattr(value, "__float__") or str(value) in ("True", "False"):
        return {"True": "yes", "False": "no"}.get(str(value), str(value))
    return significant(int(value) if whole else float(value), digits)


def _column(values, digits: int) -> list[str]:
    """A column's cells; numbers that are all whole stay whole."""
    whole = values.dtype.kind in "iuf" and all(float(v).is_integer() for v in values.dropna())
    return [html.escape(cell(v, whole, digits)) for v in values]


def _wordy(values) -> bool:
    """Whether a column holds sentences, which need room on a phone."""
    return any(len(str(value)) > WORDY for value in values)


def _row(cells: list[str], marks: list[str]) -> str:
    """One body row; its first cell heads the row."""
    rest = (f"<td{m}>{c}</td>" for c, m in zip(cells[1:], marks[1:], strict=True))
    return f'<tr><th scope="row">{cells[0]}</th>{"".join(rest)}</tr>'


def _head(words: str, unit: str, mark: str, choose: bool = False) -> str:
    """One column head, its unit on a line of its own; `choose`: the page offers its values as a choice."""
    mark += " data-choose" if choose else ""
    shown = f' <span class="unit">({html.escape(unit)})</span>' if unit else ""
    return f'<th scope="col"{mark}>{html.escape(words)}{shown}</th>'


def scrolling(inner: str, caption: str, page: int = 0, facts: Mapping[str, Any] | None = None) -> str:
    """A table in a region that scrolls by touch and by keyboard, named by its caption; its id is the content's hash."""
    mark = hashlib.sha256((caption + inner).encode()).hexdigest()[:12]
    label = html.escape(caption, quote=True)
    paged = f' data-page="{page}"' if page else ""
    listed = f' data-tables="{html.escape(json.dumps(facts), quote=True)}"' if facts else ""
    return (
        f'<div class="table-scroll" id="t-{mark}"{paged}{listed} role="region" tabindex="0" aria-label="{label}">'
        f"<table><caption><span>{html.escape(caption)}</span></caption>{inner}</table></div>"
    )


def table(
    frame,
    caption: str,
    units: Mapping[str, str] | None = None,
    heads: Mapping[str, str] | None = None,
    digits: Mapping[str, int] | None = None,
    page: int = 0,
    choose: Sequence[str] = (),
    files: str = "",
    facts: Mapping[str, Any] | None = None,
) -> Display:
    """A frame as an accessible table: the first column heads the rows, `units` go into the heads.

    frame: a tidy frame, its index ignored. heads: column -> words (else the name, spaced). digits: column -> digits.
    page: so many rows at a time, with search and sorting, on a page with scripts; choose: columns with a list of their values.
    files: folder of the files name.csv that the first column names; facts: what assets/tables.js needs to open them there.
    """
    units, heads, digits = units or {}, heads or {}, digits or {}
    # The first column heads the rows: it stays left even where it holds numbers.
    marks = ["", *(NUM if frame[c].dtype.kind in "iuf" else LONG * _wordy(frame[c]) for c in frame.columns[1:])]
    words = {c: heads.get(c, str(c).replace("_", " ")) for c in frame.columns}
    head = "".join(_head(words[c], units.get(c, ""), m, c in choose) for c, m in zip(frame.columns, marks, strict=True))
    columns = [_column(frame[c], digits.get(c, 3)) for c in frame.columns]
    if files:
        columns[0] = [f'<a href="{files}/{name}.csv" download>{name}</a>' for name in columns[0]]
    body = "\n".join(_row(list(cells), marks) for cells in zip(*columns, strict=True))
    inner = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    plain = frame.to_csv(index=False, lineterminator="\n") if page else frame.to_string(index=False)
    return Display({"text/html": scrolling(inner, caption, page, facts), "text/plain": plain})


def _source(row: Mapping[str, Any]) -> str:
    """One source as a list item: linked title, then producer, date and licence where known."""
    title, *rest = ("" if row.get(c) is None or row.get(c) != row.get(c) else str(row[c]) for c in LINK_COLUMNS)
    url = str(row.get("url") or "")
    shown = html.escape(title)
    if url.startswith(("https://", "http://")):
        shown = f'<a class="reference external" href="{html.escape(url, quote=True)}">{shown}</a>'
    return "<li>" + ", ".join([shown, *(html.escape(r) for r in rest if r)]) + "</li>"


def sources(rows) -> Display:
    """The **Sources** list of a chapter, from a frame with title, url, producer, published, licence."""
    unique = rows.drop_duplicates().sort_values(["producer", "title"], kind="stable").to_dict("records")
    items = "\n".join(_source(row) for row in unique)
    plain = "\n".join(f"{row['producer']}: {row['title']} <{row['url']}>" for row in unique)
    return Display({"text/html": f'<ul class="sources">\n{items}\n</ul>', "text/plain": plain})
