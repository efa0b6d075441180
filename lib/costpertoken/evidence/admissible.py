"""What a claim leaves open: its inputs with their admissible ranges, points of that space, and the inverse solver.

An input is a number in a range or one of some words. A claim's function maps inputs to a Figure; here it is evaluated over
the space that data/claim_inputs.csv declares, and solved for the one input that makes a printed value come out.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from costpertoken import tables
from costpertoken.model.records import InputError

#: Points tried along one numeric input, and points drawn from the whole space.
ALONG, DRAWN = 13, 96
#: How far a change of word counts, where a numeric input counts the share of its range that it moves.
WORD_STEP = 0.5
#: How far beyond a jump a solution lies, as a share of the way to the next point tried: rounded digits hold there as well.
EDGE = 0.05
#: A range this many times wider than its low end is walked in equal ratios.
LOG_FROM = 10.0


class Figure(NamedTuple):
    """A computed value with the interval that model and prices leave it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input of a claim: its value in the default scenario and what else is admissible. words: empty for a number."""

    name: str
    value: float | str
    low: float
    high: float
    words: tuple
    unit: str

    @property
    def fixed(self) -> bool:
        """Whether the article states it, or nothing else is admissible."""
        return len(self.words) == 1 if self.words else self.low == self.high


class Solution(NamedTuple):
    """A change from the default scenario under which a claim is true."""

    changed: dict
    figure: Figure
    distance: float


def inputs(claim_id: str) -> dict[str, Input]:
    """Admissible inputs of a claim by name, in the order of data/claim_inputs.csv."""
    return _inputs(tables.data_dir()).get(claim_id, {})


@cache
def _inputs(folder: Path) -> dict[str, dict[str, Input]]:
    found: dict[str, dict[str, Input]] = {}
    for row in tables.read("claim_inputs").itertuples():
        words = tuple(_number_or_word(word) for word in row.words.split("|")) if row.words else ()
        value = _number_or_word(row.value)
        here = f"data/claim_inputs.csv, {row.claim_id}, {row.name}"
        if words and value not in words:
            raise InputError(f"{here}: {row.value} is not among {row.words}")
        if not words and not (isinstance(value, float | int) and row.low <= value <= row.high):
            raise InputError(f"{here}: {row.value} is not a number from {row.low:g} to {row.high:g}")
        one = Input(name=row.name, value=value, low=row.low, high=row.high, words=words, unit=row.unit)
        found.setdefault(row.claim_id, {})[row.name] = one
    return found


def _number_or_word(text: str) -> float | int | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() and "." not in text and "e" not in text.lower() else number


def defaults(known: dict[str, Input]) -> dict:
    """The default scenario."""
    return {name: one.value for name, one in known.items()}


def logarithmic(one: Input) -> bool:
    """Whether the range is walked in equal ratios."""
    return one.low > 0 and one.high / one.low >= LOG_FROM


def at(one: Input, share) -> float:
    """The value at a share (0 to 1) of the range."""
    if logarithmic(one):
        return float(one.low * (one.high / one.low) ** share)
    return float(one.low + (one.high - one.low) * share)


def position(one: Input, value) -> float:
    """The share of the range at which a value lies."""
    if logarithmic(one):
        return math.log(value / one.low) / math.log(one.high / one.low)
    return (value - one.low) / (one.high - one.low)


def distance(known: dict[str, Input], changed: dict) -> float:
    """How far a scenario lies from the default one."""
    return sum(
        WORD_STEP if known[name].words else abs(position(known[name], value) - position(known[name], known[name].value))
        for name, value in changed.items()
    )


def along(one: Input) -> list:
    """Values tried along one input."""
    return list(one.words) if one.words else [at(one, share) for share in np.linspace(0, 1, ALONG)]


def scenarios(known: dict[str, Input]) -> Iterator[dict]:
    """The default scenario, every input alone along its range, then seeded draws from the whole space."""
    base, open_ones = defaults(known), [one for one in known.values() if not one.fixed]
    yield base
    for one in open_ones:
        for value in along(one):
            yield {**base, one.name: value}
    if len(open_ones) > 1:
        for shares in np.random.default_rng(0).random((DRAWN, len(open_ones))):
            yield {**base, **{one.name: drawn(one, u) for one, u in zip(open_ones, shares, strict=True)}}


def drawn(one: Input, share: float):
    """The value of an input for a random share."""
    return one.words[int(share * len(one.words))] if one.words else at(one, share)


def gap(value: float, band: tuple[float, float]) -> float:
    """Signed distance of a value to a band; 0 inside, NaN stays."""
    return value - band[1] if value > band[1] else min(value - band[0], 0.0)


def solve_one(f: Callable, base: dict, one: Input, target: float, band: tuple[float, float]) -> list:
    """Values of one input at which f meets `target`, or, where it jumps over it, falls into `band`."""
    if one.words:
        return [word for word in one.words if word != base[one.name] and gap(f({**base, one.name: word}).value, band) == 0]
    tried = sorted({*along(one), base[one.name]})
    values = [f({**base, one.name: x}).value - target for x in tried]
    inside = [x for x, v in zip(tried, values, strict=True) if gap(v + target, band) == 0 and x != base[one.name]]
    roots = []
    for x0, x1, v0, v1 in zip(tried, tried[1:], values, values[1:], strict=False):
        if v0 * v1 < 0:
            root = brentq(lambda x: f({**base, one.name: x}).value - target, x0, x1, rtol=1e-9)
            if not math.isclose(f({**base, one.name: root}).value, target, rel_tol=1e-6, abs_tol=1e-9):
                root += EDGE * ((x0 if x0 in inside else x1) - root)  # a jump
            roots += [root] if gap(f({**base, one.name: root}).value, band) == 0 else []
    return roots or inside


def solve(f: Callable, known: dict[str, Input], target: float, band: tuple[float, float]) -> Solution | None:
    """The smallest change from the default scenario that makes f meet `target`: one input; else a word and one input;
    else the nearest of the draws."""
    base, open_ones = defaults(known), [one for one in known.values() if not one.fixed]
    if gap(f(base).value, band) == 0:
        return Solution({}, f(base), 0.0)
    found = [{one.name: x} for one in open_ones for x in solve_one(f, base, one, target, band)]
    if not found:
        found = [
            {one.name: word, other.name: x}
            for one in open_ones
            for word in one.words
            if word != base[one.name]
            for other in open_ones
            if other.name != one.name and not other.words
            for x in solve_one(f, {**base, one.name: word}, other, target, band)
        ]
    if not found:
        found = [
            {name: value for name, value in scenario.items() if value != base[name]}
            for scenario in scenarios(known)
            if gap(f(scenario).value, band) == 0
        ]
    if not found:
        return None
    best = min(found, key=lambda changed: distance(known, changed))
    return Solution(best, f({**base, **best}), distance(known, best))
