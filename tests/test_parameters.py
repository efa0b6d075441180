"""The schema of chapters' parameters: what is declared, what is refused and in which words, and that nothing else comes out."""

import math
from pathlib import Path

import pytest
from hypothesis import example, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from bookpress.execute import read_chapter
from bookpress.project import find_project, listed
from costpertoken import InputError, UnknownName, tables
from costpertoken.parameters import KINDS, check, declared, words

PROJECT = find_project(Path(__file__).parents[1])
TYPES = {"int": int, "float": float, "str": str, "bool": bool}
CELL = """\
model_id: str = "llama-3.1-70b"  # model served | id of data/models.csv
regime: str = "spot"  # how it is paid | spot or on-demand
tp: int = 2  # tensor-parallel degree | accelerators | 1 to 8
short: int = 8000  # the short context | tokens | 1000 to 100000
long: int = 128000  # the long one | tokens | short to 1e6
share: float = 0.5  # prompt found in a cache | share | 0 to 0.99
cold: float = -20  # how cold it is | degrees | -40.5 to 0
owned: bool = False  # whether it is bought
"""
PARAMETERS = declared(CELL)
DEFAULTS = {"model_id": "llama-3.1-70b", "regime": "spot", "tp": 2, "short": 8000, "long": 128000, "share": 0.5, "cold": -20.0,
            "owned": False}  # fmt: skip


def refused(**given) -> str:
    """What check says of values that it must refuse."""
    with pytest.raises(InputError) as error:
        check(PARAMETERS, given)
    return str(error.value)


def test_a_declaration_is_read_whole():
    tp, regime, share, owned = (next(p for p in PARAMETERS if p.name == name) for name in ("tp", "regime", "share", "owned"))
    assert [p.name for p in PARAMETERS] == list(DEFAULTS)
    assert (tp.kind, tp.default, tp.help, tp.unit, tp.range) == ("int", 2, "tensor-parallel degree", "accelerators", "1 to 8")
    assert (share.low, share.high, share.range) == ("0", "0.99", "0 to 0.99")
    assert (regime.allowed, regime.unit, regime.range) == ("spot or on-demand", "", "")
    assert (owned.help, owned.allowed, owned.range) == ("whether it is bought", "", "")


def test_a_declaration_may_take_several_lines_and_a_cell_none():
    assert declared("") == []
    (one,) = declared("n: int = (\n    3\n)  # how many | rows | 1 to 5")
    assert (one.default, one.help) == (3, "how many")


@pytest.mark.parametrize(("line", "said"), [
    ("tp = 2  # degree | cards | 1 to 8", "`tp = 2` declares no parameter"),
    ("tp: int  # degree | cards | 1 to 8", "`tp: int` declares no parameter"),
    ("import os", "`import os` declares no parameter"),
    ("a.b: int = 2  # degree | cards | 1 to 8", "declares no parameter"),
    ("tp: list = []  # degree | cards | 1 to 8", "parameter tp is of type list; expected one of int, float, str, bool"),
    ("tp: int = 1 + one  # degree | cards | 1 to 8", "parameter tp is 1 + one; expected a plain literal"),
    ("tp: int = ", "the cell of parameters, line 1"),
    ("tp: int = 2", "parameter tp says ''; a int needs `# help | unit | low to high`"),
    ("tp: int = 2  # degree", "parameter tp says 'degree'; a int needs"),
    ("tp: int = 2  # | cards | 1 to 8", "a int needs `# help | unit | low to high`"),
    ("tp: int = 2  # degree | | 1 to 8", "a int needs `# help | unit | low to high`"),
    ("tp: int = 2  # degree | cards", "a int needs `# help | unit | low to high`"),
    ("tp: int = 2  # degree | cards | 1 to 8 | more", "a int needs `# help | unit | low to high`"),
    ("x: float = 2.0  # degree | cards", "a float needs `# help | unit | low to high`"),
    ("s: str = 'a'  # word", "parameter s says 'word'; a str needs `# help | allowed words`"),
    ("b: bool = True", "a bool needs `# help`"),
    ("b: bool = True  # help | unit", "a bool needs `# help`"),
    ("tp: int = 2  # degree | cards | 1-8", "parameter tp has the range '1-8'; expected `low to high`"),
    ("tp: int = 2  # degree | cards | 1 to", "parameter tp has the range '1 to'; expected `low to high`"),
    ("tp: int = 2  # degree | cards | 1 to most", "parameter tp has the bound 'most'; expected a number or a parameter"),
    ("tp: int = 2  # degree | cards | tp to 8", "parameter tp has the bound 'tp'"),
    ("tp: int = 2  # degree | cards | 1 to inf", "parameter tp has the bound 'inf'"),
    ("tp: int = 2  # degree | cards | nan to 8", "parameter tp has the bound 'nan'"),
    ("tp: int = 9  # degree | cards | 1 to 8", "tp is 9; allowed: 1 to 8 cards"),
    ("tp: int = 2  # degree | cards | 8 to 1", "tp is 2; allowed: 8 to 1 cards"),
    ("tp: int = 2.5  # degree | cards | 1 to 8", "tp is 2.5; expected a whole number, 1 to 8 cards"),
    ("tp: int = True  # degree | cards | 1 to 8", "tp is True; expected a whole number"),
    ("tp: int = '2'  # degree | cards | 1 to 8", "parameter tp is '2'; expected a whole number"),
    ("x: float = 1e999  # heat | K | 0 to 8", "x is inf; expected a finite number"),
    ("s: str = 2  # word | a or b", "parameter s is 2; expected text"),
    ("s: str = 'c'  # word | a or b", "s is 'c'; allowed: a or b"),
    ("b: bool = 1  # help", "b is 1; expected true or false"),
    ("b: bool = 'true'  # help", "parameter b is 'true'; expected true or false"),
    ("s: str = 'a'  # word | id of data/nothing.csv", "nothing"),
    ("s: str = 'a'  # word | colour of data/models.csv", "parameter s: data/models.csv has no column colour"),
    ("n: int = 1  # n | n | 0 to 2\nn: int = 1  # n | n | 0 to 2", "parameter n is declared twice"),
])  # fmt: skip
def test_a_malformed_declaration_is_refused(line, said):
    with pytest.raises(InputError) as error:
        declared(line)
    assert said in str(error.value)


def test_a_bound_is_a_number_of_the_cell():
    with pytest.raises(InputError, match="has the bound 'regime'"):
        declared("regime: str = 'a'  # word | a or b\nn: int = 2  # n | rows | regime to 3")


def test_the_first_malformed_declaration_is_told():
    with pytest.raises(InputError, match="parameter second"):
        declared("first: int = 1  # n | rows | 0 to 2\nsecond: int = 1\nthird: int = 1")


def test_defaults_stand_where_nothing_is_given():
    values = check(PARAMETERS, {})
    assert values == DEFAULTS and {name: type(value) for name, value in values.items()} == {
        p.name: TYPES[p.kind] for p in PARAMETERS
    }
    assert check(PARAMETERS, {"tp": 4}) == DEFAULTS | {"tp": 4}
    assert check([], {}) == {}


def test_text_is_cast_as_on_a_command_line():
    given = {"tp": "8", "short": "+2000", "long": "3000", "share": "9e-2", "cold": "-40.5", "owned": "TRUE",
             "regime": "on-demand"}  # fmt: skip
    values = check(PARAMETERS, given)
    assert values == {"model_id": "llama-3.1-70b", "tp": 8, "short": 2000, "long": 3000, "share": 0.09, "cold": -40.5,
                      "owned": True, "regime": "on-demand"}  # fmt: skip
    assert all(type(values[p.name]) is TYPES[p.kind] for p in PARAMETERS)
    assert check(PARAMETERS, {"owned": "false"})["owned"] is False
    share = check(PARAMETERS, {"share": 0})["share"]
    assert share == 0.0 and type(share) is float


def test_both_ends_of_a_range_are_allowed():
    for name, ends in {"tp": (1, 8), "share": (0, 0.99), "cold": (-40.5, 0)}.items():
        assert [check(PARAMETERS, {name: end})[name] for end in ends] == list(ends)
    assert check(PARAMETERS, {"short": 9000, "long": 9000})["long"] == 9000


@pytest.mark.parametrize(("name", "value"), [
    ("tp", "abc"), ("tp", ""), ("tp", "2.5"), ("tp", 2.5), ("tp", True), ("tp", "true"), ("tp", math.nan), ("tp", math.inf),
    ("tp", "nan"), ("tp", None), ("tp", [2]), ("tp", "1e1"), ("tp", "٣"),
    ("share", "abc"), ("share", ""), ("share", True), ("share", "true"), ("share", math.nan), ("share", "nan"),
    ("share", math.inf), ("share", "-inf"), ("share", "Infinity"), ("share", "1e999"), ("share", None), ("share", {}),
    ("owned", 1), ("owned", 0), ("owned", "yes"), ("owned", "1"), ("owned", None), ("owned", 1.0),
    ("regime", 1), ("regime", None), ("regime", True), ("regime", ["spot"]),
])  # fmt: skip
def test_an_ill_typed_value_is_refused_with_what_is_expected(name, value):
    expected = {"tp": "a whole number, 1 to 8 accelerators", "share": "a finite number, 0 to 0.99 share",
                "owned": "true or false", "regime": "text: spot or on-demand"}  # fmt: skip
    assert refused(**{name: value}) == f"{name} is {value!r}; expected {expected[name]}"


@pytest.mark.parametrize(("name", "value", "said"), [
    ("tp", 0, "tp is 0; allowed: 1 to 8 accelerators"),
    ("tp", "9", "tp is 9; allowed: 1 to 8 accelerators"),
    ("tp", "9" * 300, "tp is 1e+300; allowed: 1 to 8 accelerators"),
    ("share", 1, "share is 1; allowed: 0 to 0.99 share"),
    ("share", "0.9900000001", "share is 0.9900000001; allowed: 0 to 0.99 share"),
    ("share", -1e-9, "share is -1e-09; allowed: 0 to 0.99 share"),
    ("cold", -41, "cold is -41; allowed: -40.5 to 0 degrees"),
])  # fmt: skip
def test_a_value_out_of_range_is_refused_with_the_range(name, value, said):
    assert refused(**{name: value}) == said


def test_a_bound_that_names_another_parameter_makes_them_contradict():
    assert refused(short=50000, long=40000) == "long is 40000; allowed: short (50000) to 1e6 tokens"
    assert refused(long="7999") == "long is 7999; allowed: short (8000) to 1e6 tokens"
    both = declared("low: float = 1  # low | m | 0 to high\nhigh: float = 2  # high | m | low to 9")
    assert check(both, {"low": 3, "high": 4}) == {"low": 3.0, "high": 4.0}
    with pytest.raises(InputError, match=r"^low is 3; allowed: 0 to high \(2\) m$"):
        check(both, {"low": 3})


@pytest.mark.parametrize(
    ("name", "value"), [("tp", 10**400), ("tp", -(10**400)), ("share", 10**5000), ("tp", "9" * 301)], ids="abcd"
)
def test_a_whole_number_beyond_all_floats_is_refused(name, value):
    said = refused(**{name: value})
    assert said.startswith(f"{name} is ") and len(said) < 200


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UnknownName, match=r"^unknown parameter 'modelid'; nearest: model_id"):
        check(PARAMETERS, {"modelid": "llama-3.1-8b"})
    with pytest.raises(UnknownName, match=r"^unknown parameter 'tp'; the chapter declares none$"):
        check([], {"tp": 2})


def test_a_word_that_is_not_allowed_is_refused_with_the_nearest():
    said = refused(regime="sport")
    assert said == "regime is 'sport'; allowed: spot or on-demand; nearest: spot"
    with pytest.raises(UnknownName, match=r"allowed: id of data/models\.csv; nearest: .*llama-3\.1-70b"):
        check(PARAMETERS, {"model_id": "llama-3.1-70"})
    assert refused(regime="Spot") and refused(regime="") and refused(regime=" spot")


def word_of(allowed: str, default: str) -> list[str]:
    (parameter,) = declared(f"word: str = {default!r}  # a word | {allowed}")
    return words(parameter)


def test_allowed_words_are_listed_or_stand_in_a_table():
    assert word_of("spot", "spot") == ["spot"]
    assert word_of("spot or on-demand", "spot") == ["spot", "on-demand"]
    assert word_of("a, b or c", "c") == word_of("a, b, or c", "c") == ["a", "b", "c"]
    assert word_of("id of data/models.csv", "llama-3.1-8b") == tables.ids("models")
    regimes = tables.read("measurements")["regime"]
    assert word_of("a regime of data/measurements.csv", regimes[0]) == [name for name in regimes.unique() if name]
    bases = tables.read("models")["published_basis"]
    assert "" in list(bases) and word_of("published_basis of data/models.csv", max(bases)) == [b for b in bases.unique() if b]
    assert word_of("none or id of data/accelerators.csv", "none") == ["none", *tables.ids("accelerators")]


FILED = declared('trace: str = "none"  # requests | none or path of a file')


def test_a_file_is_taken_from_the_folder_in_which_it_is_given_and_handed_on_whole(tmp_path, monkeypatch):
    there = tmp_path / "my requests.csv"
    there.write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    whole = {"trace": str(there.resolve())}
    assert check(FILED, {"trace": "my requests.csv"}) == check(FILED, {"trace": "./my requests.csv"}) == whole
    assert check(FILED, {"trace": str(there)}) == check(FILED, {"trace": "~/my requests.csv"}) == whole
    assert check(FILED, {}) == check(FILED, {"trace": "none"}) == {"trace": "none"}


def test_a_word_goes_before_a_file_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "none").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert check(FILED, {"trace": "none"}) == {"trace": "none"}
    assert check(FILED, {"trace": "./none"}) == {"trace": str((tmp_path / "none").resolve())}


@pytest.mark.parametrize("name", ["path of a file", "nothing.csv", "", ".", "/", "a\x00b", "~nobody-here/x", "x" * 5000])
def test_what_is_no_file_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such file; allowed: none or path of a file$"):
        check(FILED, {"trace": name})


def test_a_default_file_has_to_be_there():
    with pytest.raises(InputError, match="no such file"):
        declared('trace: str = "nothing.csv"  # requests | none or path of a file')


ANYTHING = st.one_of(
    st.text(max_size=20), st.integers(-10, 200_000), st.integers(), st.floats(), st.floats(-50, 2), st.booleans(), st.none(),
    st.integers(-10, 2000).map(str), st.floats().map(str), st.sampled_from(list(DEFAULTS.values())),
    st.sampled_from(["on-demand", "llama-3.1-8b", "true", "False"]), st.lists(st.integers(), max_size=2), st.binary(max_size=3),
)  # fmt: skip


@drawn(given=st.dictionaries(st.sampled_from(list(DEFAULTS)), ANYTHING, max_size=3))
@settings(deadline=None, max_examples=300)
@example(given={"tp": "9" * 300})
@example(given={"tp": "9" * 5000})
@example(given={"short": "-" + "9" * 300})
def test_what_is_accepted_lies_in_its_type_and_range(given):
    try:
        values = check(PARAMETERS, given)
    except InputError:
        return
    assert list(values) == list(DEFAULTS)
    for one in PARAMETERS:
        value = values[one.name]
        assert type(value) is TYPES[one.kind]
        if one.allowed:
            assert value in words(one)
        if one.low:
            low, high = (values[end] if end in values else float(end) for end in (one.low, one.high))
            assert math.isfinite(value) and low <= value <= high
        if one.name not in given:
            assert value == one.default


@drawn(given=st.dictionaries(st.text(max_size=12), ANYTHING, min_size=1, max_size=3))
@settings(deadline=None)
def test_names_are_known_or_refused(given):
    if set(given) <= set(DEFAULTS):
        return
    with pytest.raises(UnknownName):
        check(PARAMETERS, given)


@drawn(source=st.text(max_size=200))
@settings(deadline=None, max_examples=300)
@example(source="x: int = 1\x00")
@example(source="\tx: int = 1")
@example(source="x: int = 1  # a | b | 1 to 2\r# c")
def test_any_text_declares_or_is_refused(source):
    try:
        assert all(one.kind in KINDS for one in declared(source))
    except InputError as error:
        assert str(error)


LITERALS = st.one_of(st.integers(-5, 20), st.floats(), st.booleans(), st.sampled_from(["a", "b", ""])).map(repr)
ENDS = st.one_of(st.integers(-5, 20).map(str), st.floats().map(str), st.sampled_from(["first", "second", "x"]))
PIECES = st.one_of(st.just("help"), st.tuples(ENDS, ENDS).map(" to ".join), st.sampled_from(["m", "a or b", ""]))
LINES = st.builds(
    lambda name, kind, value, pieces: f"{name}: {kind} = {value}  # {' | '.join(pieces)}",
    st.sampled_from(["first", "second"]), st.sampled_from([*KINDS, "list"]), LITERALS, st.lists(PIECES, max_size=4),
)  # fmt: skip


@drawn(lines=st.lists(LINES, min_size=1, max_size=2))
@settings(deadline=None, max_examples=300)
def test_whatever_is_declared_has_defaults_that_hold(lines):
    try:
        found = declared("\n".join(lines))
    except InputError:
        return
    values = check(found, {})
    assert all(type(values[one.name]) is TYPES[one.kind] and one.help for one in found)
    assert all(one.unit and one.range for one in found if one.kind in ("int", "float"))
    assert all(one.allowed for one in found if one.kind == "str")


@pytest.mark.parametrize("page", listed(PROJECT))
def test_every_page_declares_its_parameters(page):
    cells = [cell for cell in read_chapter(PROJECT.source(page)).cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(cells) == 1
    found = declared(cells[0].source)
    assert found and list(check(found, {})) == [one.name for one in found]
    for one in found:
        assert one.kind != "str" or len(words(one)) > 1, f"{page}: {one.name} leaves no choice"
