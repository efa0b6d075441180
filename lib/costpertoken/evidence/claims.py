"""The ledger: every claim of data/claims.csv evaluated by its check, with value, interval, verdict, condition and reason.

A check is a function in `checks/` that computes a claimed quantity from the claim's admissible inputs (by name, as
data/claim_inputs.csv has them) out of model and data. Its docstring says how. It returns a number, or a Figure with its
interval; NaN where a configuration does not fit; it raises Unverifiable where nothing can be computed. A check that declares
`ideal` is also run with everything at its data sheet, and `bound` says on which side that limits the quantity.
"""

import importlib
import math
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence import admissible
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.kept import kept
from costpertoken.evidence.verdict import CLOSE, Evidence, Printed, verdict
from costpertoken.model.records import InputError, UnknownName


class Unverifiable(InputError):
    """A claim that neither data nor model can decide; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A registered check. bound: "ceiling" or "floor" if the ideal figure limits the quantity, else ''."""

    name: str
    function: Callable
    bound: str


CHECKS: dict[str, Check] = {}
#: (claim, other claim) -> function of the first one's inputs to both their values.
TOGETHER: dict[tuple[str, str], Callable] = {}


def check(name: str, *, bound: str = ""):
    """Register a function as a check: the claims that name it in data/claims.csv are evaluated by it."""

    def register(function: Callable) -> Callable:
        if name in CHECKS and CHECKS[name].function.__module__ != function.__module__:
            raise InputError(f"two checks are called {name}")
        CHECKS[name] = Check(name=name, function=function, bound=bound)
        return function

    return register


def together(claim_id: str, other_id: str):
    """Register a function of claim_id's inputs that gives (its value, the other's value) under the same inputs."""

    def register(function: Callable) -> Callable:
        TOGETHER[claim_id, other_id] = function
        return function

    return register


@cache
def load_checks() -> None:
    """Import every module of checks/, which registers what is in it."""
    from costpertoken.evidence import checks

    for module in pkgutil.iter_modules(checks.__path__):
        importlib.import_module(f"{checks.__name__}.{module.name}")


def figure(result) -> Figure:
    """A check's result as a Figure."""
    return result if isinstance(result, Figure) else Figure(*[float(result)] * 3)


def function_of(one: Check, *, ideal: bool = False) -> Callable[[dict], Figure]:
    """The check as a function of a scenario, each scenario computed once."""
    known: dict[tuple, Figure] = {}
    extra = {"ideal": True} if ideal else {}

    def evaluate(scenario: dict) -> Figure:
        key = tuple(scenario.items())
        if key not in known:
            known[key] = figure(one.function(**scenario, **extra))
        return known[key]

    return evaluate


def reached(f: Callable, known: dict) -> tuple[float, float]:
    """Least and most of a figure over the admissible inputs; NaN where it never is a number."""
    values = [f(scenario) for scenario in admissible.scenarios(known)]
    kept = [v for v in values if not math.isnan(v.value)]
    return (min(v.low for v in kept), max(v.high for v in kept)) if kept else (math.nan, math.nan)


def physics_of(one: Check, known: dict) -> tuple[float, float]:
    """(floor, ceiling) at 100 % of the data sheet over the admissible inputs; infinite where nothing bounds."""
    if not one.bound:
        return -math.inf, math.inf
    f = function_of(one, ideal=True)
    values = [v for v in (f(scenario).value for scenario in admissible.scenarios(known)) if not math.isnan(v)]
    if not values:
        return math.nan, math.nan
    return (-math.inf, max(values)) if one.bound == "ceiling" else (min(values), math.inf)


def printed_of(row) -> Printed:
    """The printed range of a row of data/claims.csv; an empty end is open."""
    low = -math.inf if math.isnan(row.printed_low) else row.printed_low
    high = math.inf if math.isnan(row.printed_high) else row.printed_high
    return Printed(low, high, 0.0 if math.isnan(row.tolerance) else row.tolerance, row.flatters)


@tables.of_tables
def together_values(claim_id: str, other_id: str) -> tuple[tuple[float, float], ...]:
    """Both values of such a pair in each of the first claim's admissible scenarios."""
    function = TOGETHER[claim_id, other_id]
    return tuple(function(**scenario) for scenario in admissible.scenarios(admissible.inputs(claim_id)))


def excluded(claim_id: str, bands: dict[str, tuple[float, float]]) -> tuple[str, ...]:
    """Claims that hold under no admissible scenario under which this one holds, though each holds under some."""
    found = []
    for own, other in TOGETHER:
        if claim_id not in (own, other):
            continue
        pairs = together_values(own, other)
        first = np.array([admissible.gap(a, bands[own]) == 0 for a, _ in pairs])
        second = np.array([admissible.gap(b, bands[other]) == 0 for _, b in pairs])
        if first.any() and second.any() and not (first & second).any():
            found.append(other if claim_id == own else own)
    return tuple(found)


def target(printed: Printed, value: float) -> float:
    """The printed end that is solved for: the one next to the computed value."""
    return printed.high if value > printed.high or math.isinf(printed.low) else printed.low


def evidence(one: Check, claim_id: str, printed: Printed, bands: dict) -> Evidence:
    """All that the rule looks at for one claim."""
    known, f = admissible.inputs(claim_id), function_of(one)
    now = f(admissible.defaults(known))
    settled = admissible.gap(now.value, printed.band()) == 0
    solution = None if settled else admissible.solve(f, known, target(printed, now.value), printed.band())
    true = [admissible.gap(f(scenario).value, printed.band()) == 0 for scenario in admissible.scenarios(known)]
    conflicts = excluded(claim_id, bands)
    return Evidence(now, reached(f, known), physics_of(one, known), solution, float(np.mean(true)), conflicts)


def claim_rows(*, chapter: str | None = None, claim_id: str | None = None) -> pd.DataFrame:
    """Rows of data/claims.csv, of one chapter (with or without its part) or one id; unknown names are refused with the
    nearest ones."""
    rows = tables.read("claims")
    for named, column, wanted in (("chapter", rows["chapter"], chapter), ("claim", rows["id"], claim_id)):
        if wanted is None:
            continue
        kept = (column == wanted) | (column.str.rpartition("/")[2] == wanted)
        if not wanted or not kept.any():
            raise UnknownName(f"unknown {named} {wanted!r}; nearest: {tables.nearest(wanted, sorted(set(column) - {''}))}")
        rows = rows[kept.reindex(rows.index)]
    return rows


def ledger(*, chapter: str | None = None, claim_id: str | None = None) -> pd.DataFrame:
    """One row a claim: id, chapter, claim, printed, computed, low, high, unit, verdict, condition, share, reason,
    conflicts_with, close_call."""
    from costpertoken.evidence import words

    load_checks()
    rows = claim_rows(chapter=chapter, claim_id=claim_id)
    bands = _bands(tables.data_dir())
    out = [kept(f"claim-{row.id}", lambda row=row: words.row(row, *judged(row, bands))) for row in rows.itertuples()]
    return pd.DataFrame(out, columns=words.COLUMNS)


@cache
def _bands(folder: Path) -> dict[str, tuple[float, float]]:
    return {row.id: printed_of(row).band() for row in tables.read("claims").itertuples()}


def inputs_there(one: Check, claim_id: str) -> None:
    """Refuse a claim whose check asks for an input that data/claim_inputs.csv does not have, by the row's name."""
    try:
        one.function(**admissible.defaults(admissible.inputs(claim_id)))
    except TypeError as error:
        missing = re.search(r"required keyword-only arguments?: '(\w+)'", str(error))
        if not missing:
            raise
        raise InputError(f"data/claim_inputs.csv: no row {claim_id}, {missing[1]}; the check of that claim needs it") from None
    except InputError:
        return  # said when the claim is judged


def judged(row, bands: dict) -> tuple[str, Evidence | None, str, bool]:
    """(verdict, evidence, why nothing could be computed, whether it is a close call) of one row."""
    if row.check not in CHECKS:
        raise InputError(f"data/claims.csv, {row.id}: no check {row.check!r}; nearest: {tables.nearest(row.check, CHECKS)}")
    one, printed = CHECKS[row.check], printed_of(row)
    inputs_there(one, row.id)
    try:
        found = evidence(one, row.id, printed, bands)
    except InputError as error:
        return "unverifiable", None, str(error), False
    given = verdict(printed, found)
    close = any(verdict(printed, found, factor) != given for factor in CLOSE)
    return given, found, "", close
