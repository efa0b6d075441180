"""The rule: each verdict by hand, its order, tolerances that are never wider than the rule's."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costpertoken import tables
from costpertoken.evidence.admissible import Figure, Solution
from costpertoken.evidence.verdict import VERDICTS, Evidence, Printed, verdict, widest_tolerance

INF = math.inf
THREE = Printed(3.0, 3.0, 0.5, "high")
SOLVED = Solution({"batch": 4}, Figure(3, 3, 3), 0.2)


def found(low, high=None, *, reach=(0, 10), physics=(-INF, INF), solution=None, conflicts=()):
    high = low if high is None else high
    return Evidence(Figure((low + high) / 2, low, high), reach, physics, solution, 0.1, conflicts)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (None, "unverifiable"),
        (found(1, physics=(-INF, 2.4)), "contradicts-physics"),
        (found(5, physics=(3.6, INF)), "contradicts-physics"),
        (found(3, conflicts=("other",)), "inconsistent"),
        (found(1, solution=SOLVED, conflicts=("other",)), "inconsistent"),
        (found(1, reach=(1, 2), conflicts=("other",)), "overstated"),  # it would not hold alone
        (found(3.4), "holds"),
        (found(3.6), "understated"),
        (found(1, 2.6), "holds"),  # the interval reaches the tolerance
        (found(1, solution=SOLVED), "holds-under"),
        (found(1, reach=(1, 2)), "overstated"),
        (found(5, reach=(4, 6)), "understated"),
        (found(math.nan, reach=(math.nan, math.nan)), "overstated"),  # it never fits
    ],
)
def test_by_hand(evidence, expected):
    assert verdict(THREE, evidence) == expected


def test_a_cost_is_flattered_by_less():
    cost = Printed(3.0, 3.0, 0.5, "low")
    assert verdict(cost, found(1, reach=(1, 2))) == "understated"
    assert verdict(cost, found(5, reach=(4, 6))) == "overstated"


def test_an_open_end_holds_beyond_it():
    least = Printed(2.0, INF, 0.0, "high")
    assert verdict(least, found(7)) == "holds"
    assert verdict(least, found(1, reach=(1, 1.5))) == "overstated"


figures = st.floats(-100, 100)


@given(figures, figures, st.floats(0, 50), st.sampled_from(["high", "low"]), st.booleans())
def test_every_claim_gets_one_verdict_and_more_tolerance_never_makes_a_true_one_false(value, low, width, side, solved):
    evidence = found(low, low + width, reach=(low - 1, low + width + 1), solution=SOLVED if solved else None)
    given_ = verdict(Printed(value, value, 1.0, side), evidence)
    assert given_ in VERDICTS
    if given_ == "holds":
        assert verdict(Printed(value, value, 1.0, side), evidence, factor=2.0) == "holds"


@pytest.mark.parametrize(("text", "widest"), [("3", 0.5), ("2.5", 0.25), ("0.00012", 0.000012), ("85", 8.5), ("3.35", 0.335)])
def test_widest_tolerance_by_hand(text, widest):
    assert widest_tolerance(text) == pytest.approx(widest)


def test_no_tolerance_is_wider_than_the_rules():
    raw = pd.read_csv(tables.data_dir() / "claims.csv", dtype=str, keep_default_na=False)
    for row in raw[raw["tolerance"] != ""].itertuples():
        ends = [end for end in (row.printed_low, row.printed_high) if end]
        assert ends, f"{row.id}: a tolerance of nothing"
        assert float(row.tolerance) <= max(map(widest_tolerance, ends)) * (1 + 1e-9), row.id
