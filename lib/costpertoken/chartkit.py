"""What every chart shares: theme, axes with units, words for who cannot see it, and an output that nbval can compare."""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
from typing import Any

import altair as alt
import pandas as pd

from costpertoken.prose import significant

# Each colour reaches 3:1 on white; charts.js has the same hues for the dark page. Neighbours differ in lightness too,
# so that they stay apart for colour-blind readers and on paper.
PALETTE = ["#0b62a4", "#d1690e", "#0a8a6a", "#a33b8b", "#3593c4", "#8a6a00", "#7a4fd0", "#6b6b6b"]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, QUIET, GRID = "#24292f", "#57606a", "#e4e7eb"
DIMENSIONLESS = {"acceptance", "count", "coverage", "date", "factor", "fraction", "mbu", "mfu", "month", "number",
                 "probability", "quality", "quantile", "rank", "ratio", "share", "speedup", "utilisation",
                 "year"}
# The title of the upright axis lies flat above it: readable without tilting the head, and a phone keeps the width.
Y_AXIS = {"domain": False, "ticks": False, "titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": 0,
          "titleY": -14, "titleBaseline": "bottom"}
LETTER_PX = 6.4  # mean width of a letter at the label size
SYMBOL_PX = 34  # a legend's symbol and the gaps around it
WIDE, NARROW = 660, 330  # plot widths for which legends are laid out: a desktop column, a 375-pixel phone


def theme() -> dict[str, Any]:
    """The Vega-Lite configuration of the book, for a light page."""
    label = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    axis = {"labelColor": QUIET, "titleColor": INK, "gridColor": GRID, "domainColor": "#8c959f"}
    return {
        "font": FONT,
        "background": "transparent",
        "view": {"stroke": None},
        "mark": {"color": PALETTE[0]},
        "rule": {"color": PALETTE[0]},
        "axis": {**label, **axis, "tickSize": 4, "tickColor": "#8c959f", "labelPadding": 4, "labelFlush": False,
                 "labelOverlap": "greedy"},
        "legend": {**label, "labelColor": INK, "orient": "top", "title": None, "symbolSize": 90, "labelLimit": 300,
                   "symbolStrokeWidth": 2.5, "columnPadding": 14, "offset": 12,
                   "layout": {"top": {"margin": 18, "direction": {"signal": "narrow ? 'vertical' : 'horizontal'"}}}},
        "range": {"category": PALETTE, "heatmap": ["#eef5fb", "#0b62a4"]},
        "line": {"strokeWidth": 2.25},
        "style": {"note": {"color": QUIET, "fontSize": 12}, "threshold": {"color": QUIET},
                  "total": {"color": INK, "fontSize": 12}, "measured": {"strokeWidth": 2}},
    }


def axis_title(words: str) -> str:
    """`words` if they name a unit in parentheses or a known dimensionless quantity; else ValueError."""
    if re.search(r"\([^()]+\)\s*$", words) or DIMENSIONLESS & set(re.findall(r"[a-z]+", words.lower())):
        return words
    raise ValueError(f"axis title {words!r} has no unit: write it in parentheses, such as 'Cost (USD per hour)'")


def log_ticks(low: float, high: float) -> list[float]:
    """Round ticks of a logarithmic axis: 1-2-5 up to three decades, powers of ten beyond."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) <= 3 else (1,)
    return [float(f"{s}e{d}") for d in decades for s in steps if low * 0.999 <= s * 10.0**d <= high * 1.001]


def doubling_ticks(values: list[float]) -> list[float] | None:
    """The values themselves, thinned to at most nine, where all are powers of two; else None."""
    ticks = sorted(set(values))
    if len(ticks) < 4 or any(v < 1 or math.log2(v) % 1 for v in ticks):
        return None
    step = math.ceil(len(ticks) / 9)
    return ticks[::step]


def quantity(frame, columns: list[str], title: str, *, log: bool = False, zero: bool = True, side: str = "x"):
    """Title, scale and axis of one quantitative or temporal axis, as keywords for an Altair channel."""
    cells = [v for c in columns for v in frame[c].dropna().tolist()]
    if not cells:
        raise ValueError(f"nothing to draw in {columns}")
    if hasattr(cells[0], "year"):
        words = "timeFormat(datum.value, narrow ? '%b %y' : '%b %Y')"
        axis = alt.Axis(grid=False, tickCount=6, labelSeparation=12, labelExpr=words)
        return {"type": "temporal", "title": None, "axis": axis}
    if log and min(cells) <= 0:
        raise ValueError(f"logarithmic axis over {columns}: {min(cells)} is not above zero")
    top = max(abs(v) for v in cells)
    scale = alt.Scale(type="log", nice=False, padding=8) if log else alt.Scale(zero=zero)
    ticks = (doubling_ticks(cells) or log_ticks(min(cells), top)) if log else None
    axis = alt.Axis(
        format="~s" if top >= 1e6 else ",.12~r",
        values=ticks if ticks and len(ticks) > 1 else alt.Undefined,
        tickCount=alt.Undefined if ticks else 6,
        **(Y_AXIS if side == "y" else {"grid": False}),
    )
    return {"type": "quantitative", "title": axis_title(title), "scale": scale, "axis": axis}


def legend_columns(names: list[str]) -> Any:
    """Columns of a legend on top, as an expression: as many as fit the page, or the phone."""
    widths = [len(n) * LETTER_PX + SYMBOL_PX for n in names]
    wide, narrow = (len(names) if sum(widths) <= w else max(1, int(w / max(widths))) for w in (WIDE, NARROW))
    return alt.ExprRef(f"narrow ? {narrow} : {wide}") if wide != narrow else wide


def steady(value: float) -> float:
    """A float to six digits, whole numbers in full: ids and outputs must not move with the last bit of a CPU's exp()."""
    if not math.isfinite(value):
        return value
    whole = round(value)
    return float(whole) if abs(value - whole) <= 1e-9 * max(1.0, abs(value)) else float(f"{value:.6g}")


def in_words(value) -> str:
    """A value to three digits; a whole number in full."""
    value = steady(float(value))
    return significant(int(value) if value.is_integer() else value)


def span(values: pd.Series) -> str:
    """The ends of a column's range, in words."""
    return f"{in_words(values.min())} to {in_words(values.max())}"


def story(frame: pd.DataFrame, x: str, y: str, color: str | None) -> str:
    """Each series from its first to its last value, in words."""
    groups = frame.groupby(color, sort=False) if color else [("The line", frame)]
    ends = []
    for name, group in groups:
        run = group.dropna(subset=[y]).sort_values(x)[y]
        if len(run):
            first, last = float(run.iloc[0]), float(run.iloc[-1])
            verb = "falls" if last < first else "rises" if last > first else "stays"
            ends.append(f"{name} {verb} from {in_words(first)} to {in_words(last)}")
    return "; ".join(ends)


def axis_words(frame: pd.DataFrame, x: str, y: str, x_title: str, y_title: str, logs: tuple[bool, bool]) -> str:
    """Both axes with unit, range and scale, in words."""
    when = hasattr(frame[x].iloc[0], "year")
    across = f"{frame[x].min():%Y-%m} to {frame[x].max():%Y-%m}" if when else span(frame[x])
    scales = [", logarithmic" if log else "" for log in logs]
    return f"Across: {x_title or 'date'}, {across}{scales[0]}. Up: {y_title}, {span(frame[y])}{scales[1]}."


def extremes(frame, category: str, columns: tuple[str, str, str], color: str | None) -> str:
    """The lowest and the highest rows (all rows when few), each with its interval, in words."""
    low, x, high = columns
    ranked = frame.dropna(subset=[x]).sort_values(x)
    few = len(ranked) <= 6
    shown = ranked if few else pd.concat([ranked.head(2), ranked.tail(2)])
    names = shown[category].astype(str) + (", " + shown[color].astype(str) if color else "")
    texts = [
        f"{n}: {in_words(r[x])} ({in_words(r[low])} to {in_words(r[high])})"
        for n, (_, r) in zip(names, shown.iterrows(), strict=True)
    ]
    return f"{'From lowest to highest' if few else 'The two lowest and two highest'}: {'; '.join(texts)}."


def _rounded(node: Any) -> Any:
    """The spec with all its floats steady."""
    if isinstance(node, float):
        return steady(node)
    if isinstance(node, dict):
        return {k: _rounded(v) for k, v in node.items()}
    return [_rounded(v) for v in node] if isinstance(node, list) else node


def settled(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec that is the same on every machine and in every process: rounded, datasets numbered, `narrow` declared."""
    spec = _rounded(spec)
    names = {name: f"d{i}" for i, name in enumerate(spec.get("datasets", {}))}
    if names:
        pattern = re.compile("|".join(map(re.escape, names)))
        spec = json.loads(pattern.sub(lambda m: names[m[0]], json.dumps(spec)))
    if not any(p["name"] == "narrow" for p in spec.get("params", [])):
        spec["params"] = [*spec.get("params", []), {"name": "narrow", "value": False}]
    return spec


def shared(spec: dict[str, Any], **_: Any) -> dict[str, str]:
    """The `shared` renderer: a figure that holds the spec as data, for the page's one copy of Vega to draw."""
    meta = spec.get("usermeta") or {}
    if not {"alt", "title", "source"} <= meta.keys():
        raise ValueError("a chart needs title, source and alt text: make it with costpertoken.charts, or finish() it")
    compact = json.dumps(settled(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    mark = "vl-" + hashlib.sha256(compact.encode()).hexdigest()[:12]
    subtitle = f'<p class="vl-subtitle">{html.escape(meta["subtitle"])}</p>' if meta.get("subtitle") else ""
    data = compact.replace("</", "<\\/")
    height = spec.get("height", 300)
    page = (
        f'<figure class="vl" id="{mark}" aria-labelledby="{mark}-title" style="--vl-height:{height}px">'
        f'<p class="vl-title" id="{mark}-title">{html.escape(meta["title"])}</p>{subtitle}<div class="vl-view"></div>'
        f'<script type="application/json">{data}</script>'
        f'<figcaption><span class="vl-source">Source: {html.escape(meta["source"])}</span></figcaption></figure>'
    )
    return {"text/html": page, "text/plain": f"chart {mark}: {meta['title']}"}


def enable() -> None:
    """Make the book's theme and the `shared` renderer Altair's own, for this process; again does nothing new."""
    alt.theme.register("costpertoken", enable=True)(lambda: {"config": theme()})
    alt.renderers.register("shared", shared)
    alt.renderers.enable("shared")
