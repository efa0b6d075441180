"""The ledger in words: what is printed, what was computed, under which condition it holds, and why the verdict is given."""

import math
from collections.abc import Sequence

import pandas as pd

from costpertoken import tables
from costpertoken.evidence import admissible
from costpertoken.evidence.claims import printed_of
from costpertoken.evidence.verdict import Evidence
from costpertoken.prose import significant, with_unit

COLUMNS = [
    "id", "chapter", "claim", "printed", "computed", "low", "high", "unit", "verdict", "condition", "share", "reason",
    "conflicts_with", "close_call",
]  # fmt: skip
#: Units as a reader writes them; a rate's unit stands in the name of the input.
UNITS = {"percent": "%", "x": "×", "ratio": "", "1/s": "", "1/hour": ""}
#: Said of a claim whose computed value lies outside of what is printed, while its interval does not.
BY_INTERVAL = "only the interval reaches it"
#: Units of which there is one without its last letter.
COUNTED = ("accelerators", "clusters", "requests", "tokens", "years")


def digits(value: float) -> str:
    """A value without its unit; a whole one in full."""
    return significant(int(value) if abs(value) < 1e15 and float(value).is_integer() else value)


def quantity(value: float, unit: str) -> str:
    """A value with its unit, as a reader expects it."""
    if unit == "rank":
        return f"rank {digits(value)}"
    plural = "s" if unit == "GPU" and value != 1 else ""
    shown = unit[:-1] if unit in COUNTED and value == 1 else UNITS.get(unit, unit)
    return with_unit(digits(value), shown + plural)


def printed(row) -> str:
    """What the article prints, or, where it prints no number, how its words are read."""
    low, high = row.printed_low, row.printed_high
    if math.isnan(low) and math.isnan(high):
        return "no number"
    if math.isnan(high) or math.isnan(low):
        end = f"at least {quantity(low, row.unit)}" if math.isnan(high) else f"at most {quantity(high, row.unit)}"
        return f"read as {end}" if row.reading else end
    shown = quantity(low, row.unit) if low == high else f"{digits(low)} to {quantity(high, row.unit)}"
    return f"read as {shown}" if row.reading else shown


def computed(figure, unit: str) -> str:
    """A figure with its interval."""
    if math.isnan(figure.value):
        return "not possible"
    span = "" if figure.low == figure.high else f" ({digits(figure.low)} to {digits(figure.high)})"
    return quantity(figure.value, unit) + span


def condition(claim_id: str, found: Evidence | None) -> str:
    """The change from the default scenario that makes the claim true: 'batch = 12 requests (default 32)'."""
    if found is None or found.solution is None:
        return ""
    known = admissible.inputs(claim_id)
    parts = []
    for name, value in found.solution.changed.items():
        one = known[name]
        now, was = (v if isinstance(v, str) else quantity(v, one.unit) for v in (value, one.value))
        parts.append(f"{name.replace('_', ' ')} = {now} (default {was})")
    return ", ".join(parts)


def reason(row, verdict: str, found: Evidence | None, why: str) -> str:
    """Why the verdict is given, from the figures that the rule looked at."""
    if found is None:
        return why
    now = computed(found.figure, row.unit)
    limit = found.physics[1] if math.isinf(found.physics[0]) else found.physics[0]
    open_inputs = any(not one.fixed for one in admissible.inputs(row.id).values())
    over = "over the admissible inputs" if open_inputs else "with nothing left open"
    rare = "less than 1%" if found.share < 0.01 else f"{found.share:.0%}"
    often = f"true in {rare} of the admissible scenarios"
    tolerated = f"; tolerance {digits(row.tolerance)}" if row.tolerance > 0 else ""
    reached = "" if admissible.gap(found.figure.value, printed_of(row).band()) == 0 else f"; {BY_INTERVAL}"
    least = f"{digits(found.reach[0])} to " if found.reach[0] < found.reach[1] else ""
    outside = f"computed {least}{quantity(found.reach[1], row.unit)} {over}"
    return {
        "contradicts-physics": f"the data sheet at its full rates allows {quantity(limit, row.unit)} at best",
        "inconsistent": f"computed {now} by default; no admissible input makes it true together with {quoted(found.conflicts)}",
        "holds": f"computed {now}{tolerated}{reached}" + (f"; {often}" if open_inputs and found.share < 1 else ""),
        "holds-under": f"{'' if math.isnan(found.figure.value) else 'computed '}{now} by default; {often}",
        "overstated": outside,
        "understated": outside,
    }[verdict]


def quoted(ids: Sequence[str]) -> str:
    """Other claims in their words, quoted."""
    said = tables.read("claims").set_index("id")["claim"]
    return " or ".join(f"“{said[name]}”" for name in ids)


def row(claim, verdict: str, found: Evidence | None, why: str, close: bool) -> dict:
    """One row of the ledger."""
    figure = found.figure if found else admissible.Figure(math.nan, math.nan, math.nan)
    return {
        "id": claim.id,
        "chapter": claim.chapter,
        "claim": claim.claim,
        "printed": printed(claim),
        "computed": figure.value,
        "low": figure.low,
        "high": figure.high,
        "unit": claim.unit,
        "verdict": verdict,
        "condition": condition(claim.id, found) if verdict in ("holds-under", "inconsistent") else "",
        "share": found.share if found else math.nan,
        "reason": reason(claim, verdict, found, why),
        "conflicts_with": ", ".join(found.conflicts) if found and verdict == "inconsistent" else "",
        "close_call": close,
    }


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The ledger's rows as a chapter shows them: claim, printed, computed, verdict, why (and when)."""
    figures = [admissible.Figure(*at) for at in rows[["computed", "low", "high"]].itertuples(index=False)]
    found = [
        "–" if verdict == "unverifiable" else computed(figure, unit)
        for figure, unit, verdict in zip(figures, rows["unit"], rows["verdict"], strict=True)
    ]
    why = [
        f"{'true when ' + condition + '; ' if condition else ''}{reason}{'; a close call' if close else ''}"
        for condition, reason, close in rows[["condition", "reason", "close_call"]].itertuples(index=False)
    ]
    return pd.DataFrame(
        {"Claim": rows["claim"], "Printed": rows["printed"], "Computed": found, "Verdict": rows["verdict"], "Why": why}
    )
