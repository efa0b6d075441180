"""Admissible inputs and the inverse solver: known roots found, solutions verified by substitution, the smallest change taken."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costpertoken.evidence import admissible
from costpertoken.evidence.admissible import Figure, Input, gap, scenarios, solve


def number(name, value, low, high):
    return Input(name=name, value=value, low=low, high=high, words=(), unit="")


def word(name, value, *words):
    return Input(name=name, value=value, low=math.nan, high=math.nan, words=words, unit="")


def plain(function):
    return lambda scenario: Figure(*[float(function(**scenario))] * 3)


def space(*inputs):
    return {one.name: one for one in inputs}


def test_the_root_of_a_line():
    found = solve(plain(lambda x: 3 * x), space(number("x", 1, 0, 10)), 12, (11, 13))
    assert found.changed == {"x": pytest.approx(4)} and found.figure.value == pytest.approx(12)


def test_the_nearer_of_two_roots_is_taken():
    found = solve(plain(lambda x: (x - 5) ** 2), space(number("x", 6.5, 0, 10)), 4, (3.9, 4.1))
    assert found.changed["x"] == pytest.approx(7)


def test_a_word_is_found_where_no_number_helps():
    known = space(word("weights", "bf16", "bf16", "fp8"), number("x", 1, 1, 1))
    found = solve(plain(lambda weights, x: x * (2 if weights == "fp8" else 1)), known, 2, (2, 2))
    assert found.changed == {"weights": "fp8"}


def test_a_word_and_a_number_together():
    known = space(word("kind", "a", "a", "b"), number("x", 1, 0.5, 2))
    found = solve(plain(lambda kind, x: x + (100 if kind == "b" else 0)), known, 101.5, (101.4, 101.6))
    assert found.changed == {"kind": "b", "x": pytest.approx(1.5)}


def test_a_jump_over_the_target_is_no_solution():
    assert solve(plain(lambda x: 0 if x < 5 else 10), space(number("x", 1, 0, 10)), 4, (3, 5)) is None


def test_out_of_reach_is_none():
    assert solve(plain(lambda x: x), space(number("x", 1, 0, 10)), 50, (45, 55)) is None


@given(st.floats(0.1, 5), st.floats(-3, 3), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_solutions_hold_by_substitution_and_stay_admissible(slope, shift, start, wanted):
    f = plain(lambda x: slope * x**3 + shift)
    known, target = space(number("x", 10 * start, 0, 10)), slope * (10 * wanted) ** 3 + shift
    band = (target - 1e-3, target + 1e-3)
    found = solve(f, known, target, band)
    assert found or gap(f({"x": 10 * start}).value, band) == 0 or abs(wanted - start) < 1e-3
    if found:
        assert 0 <= found.changed.get("x", 0) <= 10 and gap(f({**admissible.defaults(known), **found.changed}).value, band) == 0


def test_scenarios_start_at_the_default_and_stay_inside():
    known = space(number("x", 2, 1, 100), word("w", "a", "a", "b"), number("fixed", 3, 3, 3))
    every = list(scenarios(known))
    assert every[0] == {"x": 2, "w": "a", "fixed": 3} and every == list(scenarios(known))
    assert all(1 <= s["x"] <= 100 and s["w"] in "ab" and s["fixed"] == 3 for s in every)
    tried = [s["x"] for s in every]
    assert {s["w"] for s in every} == {"a", "b"} and min(tried) == 1 and max(tried) == pytest.approx(100)


def test_wide_ranges_are_walked_in_ratios():
    wide, narrow = number("x", 2, 1, 100), number("x", 2, 1, 3)
    assert admissible.at(wide, 0.5) == pytest.approx(10) and admissible.at(narrow, 0.5) == pytest.approx(2)
    assert admissible.position(wide, admissible.at(wide, 0.3)) == pytest.approx(0.3)


@pytest.mark.parametrize("bad", [",x,5,m,1,3,,", ",x,word,m,1,3,,", ",x,c,id,,,a|b,"])
def test_a_default_that_is_not_admissible_is_named(bad, tmp_path, monkeypatch):
    import shutil

    from costpertoken import tables
    from costpertoken.model.records import InputError

    shutil.copytree(tables.data_dir(), tmp_path / "data")
    rows = tmp_path / "data" / "claim_inputs.csv"
    head = rows.read_text().splitlines()[0]
    claim, name, value, unit, low, high, words, note = ("some-claim" + bad).split(",")
    rows.write_text(f"{head}\n{claim},{name},{value},{unit},{low},{high},{words},assumed,assumption,2026-11,{note}\n")
    monkeypatch.setenv("COSTPERTOKEN_DATA", str(tmp_path / "data"))
    with pytest.raises(InputError, match="some-claim, x"):
        admissible.inputs("some-claim")
