"""A chart's alternative text, computed from its data: axes with units, and where each series or category ends up."""

from __future__ import annotations

import pandas as pd

from costpertoken.prose import significant


def digits(value) -> str:
    """A value to three digits; a whole number in full."""
    return significant(int(value) if float(value).is_integer() else float(value))


def span(values: pd.Series) -> str:
    """The ends of a column's range, in words."""
    return f"{digits(values.min())} to {digits(values.max())}"


def story(frame: pd.DataFrame, x: str, y: str, color: str | None) -> str:
    """Each series from its first to its last value, in words."""
    groups = frame.groupby(color, sort=False) if color else [("The line", frame)]
    ends = []
    for name, group in groups:
        run = group.dropna(subset=[y]).sort_values(x)[y]
        if len(run):
            first, last = float(run.iloc[0]), float(run.iloc[-1])
            verb = "falls" if last < first else "rises" if last > first else "stays"
            ends.append(f"{name} {verb} from {digits(first)} to {digits(last)}")
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
        f"{n}: {digits(r[x])} ({digits(r[low])} to {digits(r[high])})"
        for n, (_, r) in zip(names, shown.iterrows(), strict=True)
    ]
    return f"{'From lowest to highest' if few else 'The two lowest and two highest'}: {'; '.join(texts)}."
