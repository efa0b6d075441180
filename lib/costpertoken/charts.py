"""The book's charts over tidy frames: each builder says in one call what is drawn, what it shows and where it is from.

Every builder takes, besides its columns, the words of the figure: title (the insight, a sentence), source, and
optionally subtitle, csv (the download's file name) and height (pixels). Axis titles carry their unit in parentheses.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from costpertoken.chartkit import axis_words, enable, extremes, in_words, legend_columns, quantity, span, steady, story

__all__ = ["bars", "enable", "finish", "layer", "lines", "points", "ranges", "rules"]
MOST_SERIES = 8
ROW_PX, AXES_PX = 34, 84
OVER_TITLE = 34  # pixels: the legend stands above the flat title of the upright axis


def finish(chart, *, alt_text: str, title: str, source: str, subtitle: str = "", csv: str = "", height: int = 340):
    """The chart with its words, as wide as the page: needed for charts made by hand, done by every builder."""
    slug = csv or re.sub(r"\W+", "-", title.lower()).strip("-")[:60] + ".csv"
    words = {"alt": f"{title}. {alt_text}", "title": title, "subtitle": subtitle, "source": source, "csv": slug}
    return chart.properties(
        width="container",
        height=height,
        autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        description=words["alt"],
        usermeta=words,
    )


def _columns(frame: pd.DataFrame, *names: str | None) -> pd.DataFrame:
    """The used columns only, checked: a chart carries no data that it does not show."""
    used = list(dict.fromkeys(n for n in names if n))
    missing = [n for n in used if n not in frame.columns]
    if missing:
        raise ValueError(f"no column {missing[0]!r}; there are {', '.join(map(str, frame.columns))}")
    if bad := [n for n in used if not re.fullmatch(r"\w+", n)]:
        raise ValueError(f"column {bad[0]!r}: use a plain name of letters, digits and underscores")
    kept = frame[used].reset_index(drop=True)
    return kept.assign(**{c: kept[c].map(steady) for c in used if kept[c].dtype.kind == "f"})


def _colour(frame: pd.DataFrame, column: str | None, symbol: str = "circle", offset: int = 12) -> dict[str, Any]:
    """The colour channel of a series column: order of first appearance, legend on top, `offset` pixels off the plot."""
    if column is None:
        return {}
    names = [str(v) for v in frame[column].unique()]
    if len(names) > MOST_SERIES:
        raise ValueError(f"{len(names)} series in {column!r}: at most {MOST_SERIES} can be told apart")
    key = alt.Legend(columns=legend_columns(names), symbolType=symbol, symbolOpacity=1, offset=offset)
    key = key if len(names) > 1 else None
    return {"color": alt.Color(column, type="nominal", scale=alt.Scale(domain=names), legend=key, title=None)}


def _tips(named: Mapping[str | None, str]) -> dict[str, list[alt.Tooltip]]:
    """Tooltips of columns with their titles, numbers to four digits."""
    return {"tooltip": [_tip(column, words) for column, words in named.items() if column]}


def _tip(column: str, words: str) -> alt.Tooltip:
    """One line of a tooltip; a title without unit belongs to a category."""
    if words.endswith(")") or words.startswith(("low", "high")):
        return alt.Tooltip(column, type="quantitative", title=words, format=",.4~r")
    return alt.Tooltip(column, type="nominal", title=words)


def lines(frame, x: str, y: str, color: str | None = None, *, band: tuple[str, str] | None = None, x_title: str = "",
          y_title: str, log_x: bool = False, log_y: bool = False, zero: bool = True, **words):
    """Modelled lines, one a series of `color`, each with its band (the columns of its low and high end)."""
    low, high = band or (None, None)
    data = _columns(frame, x, y, color, low, high)
    across = alt.X(x, **quantity(data, [x], x_title, log=log_x, zero=False))
    ends = [c for c in (y, low, high) if c]
    up = quantity(data, ends, y_title, log=log_y, zero=zero, side="y")
    hue, series = _colour(data, color, "stroke", OVER_TITLE), data[color].nunique() if color else 1
    base = alt.Chart(data).encode(x=across, **hue)
    tips = _tips({color: "Series", x: x_title or "Date", y: y_title, low: "low end", high: "high end"})
    layers = [base.mark_line().encode(y=alt.Y(y, **up)),
              base.mark_point(size=260, opacity=0, filled=True).encode(y=alt.Y(y, **up), **tips)]
    if band:
        layers.insert(0, base.mark_area(opacity=0.14).encode(y=alt.Y(low, **up), y2=high))
    said = f"Line chart, {series} series{', each with a band' if band else ''}. "
    said += axis_words(data, x, y, x_title, y_title, (log_x, log_y)) + f" {story(data, x, y, color)}."
    return finish(alt.layer(*layers), alt_text=said, **words)


def points(frame, x: str, y: str, color: str | None = None, *, name: str = "measured", label: str | None = None,
           band: tuple[str, str] | None = None, x_title: str = "", y_title: str, log_x: bool = False,
           log_y: bool = False, zero: bool = True, **words):
    """Measured points, hollow, `name` in the legend; error bars where `band` names columns; `label`: tooltip column."""
    low, high = band or (None, None)
    data = _columns(frame, x, y, color, label, low, high).assign(mark_kind=name)
    across = alt.X(x, **quantity(data, [x], x_title, log=log_x, zero=False))
    up = quantity(data, [c for c in (y, low, high) if c], y_title, log=log_y, zero=zero, side="y")
    base = alt.Chart(data).encode(x=across, **_colour(data, color, "stroke", OVER_TITLE))
    tips = _tips({label: "Point", color: "Series", x: x_title or "Date", y: y_title, low: "low end", high: "high end"})
    shape = alt.Shape("mark_kind:N", scale=alt.Scale(range=["diamond"]), title=None, **({} if color else {"legend": None}))
    dots = base.mark_point(size=80, filled=False, opacity=1, style="measured").encode(y=alt.Y(y, **up), shape=shape, **tips)
    layers = [base.mark_rule(strokeWidth=1.5).encode(y=alt.Y(low, **up), y2=high), dots] if band else [dots]
    said = f"{len(data)} points, {name}. " + axis_words(data, x, y, x_title, y_title, (log_x, log_y))
    return finish(alt.layer(*layers), alt_text=said, **words)


def _wrapped(names: Sequence[str]) -> str:
    """Category labels that break into lines on a phone, as an expression over `narrow`."""
    broken = json.dumps({str(n): textwrap.wrap(str(n), 15) for n in names}, ensure_ascii=False)
    return f"narrow ? {broken}[datum.value] : datum.value"


def _order(data: pd.DataFrame, category: str, values: pd.Series, sort: bool) -> list[Any]:
    """The categories from top to bottom: lowest first, or as they come."""
    totals = values.groupby(data[category], sort=False).sum()
    return list((totals.sort_values() if sort else totals).index)


def _rows(column: str, order: Sequence[str], gap: float = 0.0) -> alt.Y:
    """The category axis of a horizontal chart, its labels whole on every width."""
    quiet = {"domain": False, "ticks": False, "labelOverlap": False}
    axis = alt.Axis(title=None, labelExpr=_wrapped(order), labelLimit=280, **quiet)
    return alt.Y(column, type="nominal", sort=list(order), axis=axis, scale=alt.Scale(paddingInner=gap))


def ranges(frame, category: str, x: str, low: str, high: str, color: str | None = None, *,
           price: tuple[str, str] | None = None, x_title: str, log_x: bool = False, sort: bool | str = True,
           **words):
    """Typical values as dots on thick model intervals, thin lines for the prices' range.

    sort: cheapest on top (by the first series of `color`), "width": widest interval on top, False: as they come.
    """
    p_low, p_high = price or (None, None)
    data = _columns(frame, category, x, low, high, color, p_low, p_high)
    first = data if color is None else data[data[color] == data[color].iloc[0]]
    order = _order(first, category, first[low] - first[high] if sort == "width" else first[x], bool(sort))
    tornado = sort == "width"  # differences are what it shows: the axis need not start at nothing
    across = quantity(data, [c for c in (x, low, high, p_low, p_high) if c], x_title, log=log_x, zero=not tornado)
    across["axis"].grid = True
    offset = {"yOffset": alt.YOffset(color, type="nominal", sort=list(data[color].unique()))} if color else {}
    base = alt.Chart(data).encode(y=_rows(category, order, 0.3 if color else 0.0), **offset, **_colour(data, color))
    tips = _tips({category: "Category", color: "Series", x: x_title, low: "low end, model", high: "high end, model",
                  p_low: "low end, prices", p_high: "high end, prices"})
    layers = [base.mark_rule(strokeWidth=7, opacity=0.35).encode(x=alt.X(low, **across), x2=high, **tips),
              base.mark_point(size=60, filled=True, opacity=1).encode(x=alt.X(x, **across), **tips)]
    if price:
        layers.insert(0, base.mark_rule(strokeWidth=1.25).encode(x=alt.X(p_low, **across), x2=p_high))
    rows = len(order) * (ROW_PX + 14 * tornado + (12 * (data[color].nunique() - 1) if color else 0))
    said = f"Intervals for {len(order)} categories. Across: {x_title}, {span(data[x])}. "
    said += extremes(data, category, (low, x, high), color)
    return finish(alt.layer(*layers), alt_text=said, **{"height": rows + AXES_PX, **words})


def bars(frame, category: str, x: str, part: str | None = None, *, x_title: str, sort: bool = False, **words):
    """Horizontal bars, stacked by `part` in the frame's order, the total written at each bar's end."""
    data = _columns(frame, category, x, part)
    totals = data.groupby(category, sort=False)[x].sum()
    order = _order(data, category, data[x], sort)
    across = quantity(pd.DataFrame({x: [0.0, float(totals.max())]}), [x], x_title)
    across["axis"].grid, across["scale"].padding = True, 0
    parts = list(data[part].unique()) if part else []
    stack = {"order": alt.Order("rank", type="quantitative")} if part else {}
    ranked = data.assign(rank=[parts.index(p) for p in data[part]]) if part else data
    base = alt.Chart(ranked).encode(y=_rows(category, order))
    tips = _tips({category: "Category", part: "Part", x: x_title})
    drawn = base.mark_bar(height={"band": 0.62}).encode(x=alt.X(x, **across), **_colour(data, part, "square"), **stack, **tips)
    total = alt.Text(f"sum({x})", format=",.3~r")
    ends = base.mark_text(style="total", align="left", dx=5).encode(x=alt.X(f"sum({x})", **across), text=total)
    listed = "; ".join(f"{c} {in_words(totals[c])}" for c in order[:8])
    said = f"Bars for {len(order)} categories, {len(parts) or 1} parts each. Across: {x_title}. Totals: {listed}."
    return finish(alt.layer(drawn, ends), alt_text=said, **{"height": len(order) * ROW_PX + AXES_PX, **words})


def rules(at: Mapping[str, float], *, axis: str = "x", left: bool = False):
    """Thresholds to layer over a chart: dashed lines at `at` (words -> value), the words beside them."""
    data = pd.DataFrame({"threshold": list(at.values()), "note": list(at)})
    base = alt.Chart(data).encode(**{axis: alt.X("threshold:Q") if axis == "x" else alt.Y("threshold:Q")})
    rule = base.mark_rule(strokeDash=[5, 4], style="threshold")
    place = {"y": alt.value(2)} if axis == "x" else {"x": alt.value(2)}
    side = {"align": "right", "dx": -5} if left else {"align": "left", "dx": 5}
    side |= {"baseline": "top"} if axis == "x" else {"baseline": "bottom", "dy": -3}
    note = base.mark_text(style="note", **side)
    said = "Marked: " + "; ".join(f"{w} at {in_words(v)}" for w, v in at.items())
    return alt.layer(rule, note.encode(text="note:N", **place)).properties(usermeta={"alt": said})


def _channels(chart, name: str) -> list[Any]:
    """Every channel of this name in a chart and its layers."""
    if isinstance(chart, alt.LayerChart):
        return [channel for inner in chart.layer for channel in _channels(inner, name)]
    channel = getattr(chart.encoding, name, alt.Undefined)
    return [] if channel is alt.Undefined or isinstance(channel, dict) else [channel]


def _agree(charts: Sequence[Any]) -> None:
    """Axes and legend of later charts give way to the first one's; the series of all share one list of colours."""
    for chart in charts[1:]:
        for channel in [*_channels(chart, "x"), *_channels(chart, "y")]:
            channel["axis"] = channel["scale"] = alt.Undefined
    hues = [c for chart in charts for c in _channels(chart, "color") if c["scale"] is not alt.Undefined]
    names = list(dict.fromkeys(n for c in hues for n in c["scale"].domain))
    for hue in hues:
        hue["scale"], hue["legend"] = alt.Scale(domain=names), hues[0]["legend"]


def layer(*charts):
    """Charts over one another: axes, legend and words are the first one's, alt texts and sources are joined."""
    metas = [c.usermeta if isinstance(c.usermeta, dict) else {} for c in charts]
    bare = [c.copy(deep=True) for c in charts]
    _agree(bare)
    for chart in bare:
        chart.usermeta = chart.autosize = chart.width = chart.height = chart.description = alt.Undefined
    said = [m["alt"].removeprefix(f"{m.get('title')}. ").rstrip(".") for m in metas if m.get("alt")]
    words = {k: metas[0][k] for k in ("title", "subtitle", "csv")}
    words["source"] = "; ".join(dict.fromkeys(m["source"] for m in metas if m.get("source")))
    return finish(alt.layer(*bare), alt_text=". ".join(said) + ".", height=charts[0].height, **words)
