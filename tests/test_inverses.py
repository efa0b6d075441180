"""Every condition of the ledger, one by one: put back it makes its claim true, it is admissible, and no smaller change does.

What is solved for is the printed figure itself; where no admissible input meets it, the nearest of the points tried that comes
within the tolerance. Which claims have a condition stands in the record of verdicts, and test_claims.py holds the record to the
ledger.
"""

import json
from functools import cache
from pathlib import Path

import pytest

from costpertoken import tables
from costpertoken.evidence import admissible, claims, words
from costpertoken.evidence.verdict import Evidence

RECORD = json.loads((Path(__file__).parent / "reference" / "verdicts.json").read_text())["claims"]
SOLVED = {row["id"]: row["condition"] for row in RECORD if row["condition"]}
#: Shares of a change at which the claim must not be met yet.
LESS = (0.25, 0.5, 0.75, 0.97)


class Inverse:
    """One claim with its check, what is printed of it, and the solution found."""

    def __init__(self, claim_id: str):
        claims.load_checks()
        row = next(claims.claim_rows(claim_id=claim_id).itertuples())
        self.known, printed = admissible.inputs(claim_id), claims.printed_of(row)
        self.function, self.band = claims.function_of(claims.CHECKS[row.check]), printed.band()
        self.fresh = claims.CHECKS[row.check].function
        self.base = admissible.defaults(self.known)
        self.now = self.value({})
        self.target = claims.target(printed, self.now)
        self.found = admissible.solve(self.function, self.known, self.target, self.band)
        self.numbers = [name for name in self.found.changed if not self.known[name].words]

    def value(self, changed: dict) -> float:
        """The claimed quantity with some inputs changed."""
        return self.function({**self.base, **changed}).value

    def true(self, value: float) -> bool:
        """Whether a value is the printed one within its tolerance."""
        return admissible.gap(value, self.band) == 0

    def short(self, value: float, start: float) -> bool:
        """Whether a value has not come to the printed figure: it lies on the same side of it as the start."""
        return not (value - self.target) * (start - self.target) <= 0  # a start that has no value has no side

    def met(self) -> bool:
        """Whether the solution makes the printed figure itself come out, not just a value within its tolerance."""
        return self.found.figure.value == pytest.approx(self.target, rel=1e-6) and len(self.numbers) > 0

    def part_of_the_way(self, name: str, share: float) -> float:
        """The value of a changed number after a share of its change."""
        one = self.known[name]
        start, end = (admissible.position(one, value) for value in (one.value, self.found.changed[name]))
        return admissible.at(one, start + share * (end - start))


solved = cache(Inverse)


def test_the_record_knows_all_conditions():
    conditional = {row["id"] for row in RECORD if row["verdict"] == "holds-under"}
    assert len(conditional) > 30 and conditional <= set(SOLVED) <= set(tables.read("claims")["id"])


@pytest.mark.parametrize("claim_id", SOLVED)
def test_put_back_it_makes_the_claim_true(claim_id):
    one = solved(claim_id)
    again = claims.figure(one.fresh(**{**one.base, **one.found.changed}))  # not from what the solver remembers
    assert one.true(float(again.value)) and again == one.found.figure
    assert not one.true(one.now), "a claim that is true by default needs no condition"


@pytest.mark.parametrize("claim_id", SOLVED)
def test_it_changes_only_what_is_left_open_and_within_its_range(claim_id):
    one = solved(claim_id)
    assert one.found.changed and one.found.distance == admissible.distance(one.known, one.found.changed) > 0
    for name, value in one.found.changed.items():
        of = one.known[name]
        assert not of.fixed and value != of.value, name
        assert value in of.words if of.words else of.low <= value <= of.high, name


@pytest.mark.parametrize("claim_id", SOLVED)
def test_what_is_printed_is_what_was_found(claim_id):
    """And the reader who puts the printed digits back, not the solver's, finds the claim true as well."""
    one = solved(claim_id)
    assert words.condition(claim_id, Evidence(None, None, None, one.found, 0.0, ())) == SOLVED[claim_id]
    printed = {name: float(words.digits(one.found.changed[name]).replace(",", "")) for name in one.numbers}
    assert one.true(one.value({**one.found.changed, **printed})), printed


@pytest.mark.parametrize("claim_id", SOLVED)
def test_half_the_change_is_not_enough(claim_id):
    """The words kept, a number on its way: the printed figure is not met before the end. Without the word it never is."""
    one = solved(claim_id)
    for name in one.numbers if one.met() else ():
        start, *way = (one.value({**one.found.changed, name: one.part_of_the_way(name, share)}) for share in (0.0, *LESS))
        assert all(one.short(value, start) for value in way), name
    for name in one.found.changed if len(one.found.changed) > 1 else ():
        less = {other: value for other, value in one.found.changed.items() if other != name}
        assert not one.true(one.value(less)), f"{name} need not change"


@pytest.mark.parametrize("claim_id", SOLVED)
def test_no_other_input_does_it_with_less(claim_id):
    one = solved(claim_id)
    for other in (other for other in one.known.values() if not other.fixed):
        if other.words:
            nearer = other.words if one.found.distance > admissible.WORD_STEP else ()
            assert not any(one.true(one.value({other.name: word})) for word in nearer if word != other.value), other.name
            continue
        start = admissible.position(other, other.value)
        ways = [start + way * share * one.found.distance for way in (-1, 1) for share in LESS]
        values = [one.value({other.name: admissible.at(other, at)}) for at in ways if 0 <= at <= 1]
        assert all(one.short(value, one.now) or not one.true(value) for value in values), other.name
