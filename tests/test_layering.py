"""The arrows of the house: who may import whom, read from the imports themselves."""

import ast
import dataclasses
from pathlib import Path

import pytest

from costpertoken.fleet.pools import Pools
from costpertoken.model.counts import Counts
from costpertoken.model.roofline import Step
from costpertoken.model.serving import Capacity, Serving
from costpertoken.model.units import SUFFIXES
from costpertoken.money.cost import UnitCost

LIB = Path(__file__).resolve().parents[1] / "lib"
MODEL_ORDER = ["units", "cpu", "door", "records", "transformer", "counts", "roofline", "serving", "speculation",
               "setup", "levers", "audio"]  # fmt: skip
#: A room of costpertoken -> the rooms it may import (its own aside).
MAY = {
    "model": set(),
    "money": {"model"},
    "fleet": {"model", "money"},
    "tables": {"model"},
    "evidence": {"model", "money", "fleet", "tables", "prose"},
    "parameters": {"model", "tables"},
    "answers": {"model", "money", "fleet", "evidence", "tables", "prose", "parameters"},
    "feeds": {"tables", "model"},
    "charts": {"model", "chartkit", "charttext", "prose"},
    "chartkit": {"model", "prose"},
    "charttext": {"model", "prose"},
    "prose": {"model"},
    "cli": {"model", "money", "fleet", "evidence", "answers", "feeds", "tables", "charts", "chartkit", "prose",
            "parameters"},
    "__init__": {"model", "money", "fleet", "tables", "charts", "prose", "parameters"},
}
HEAVY = {"pandas", "altair", "click", "rich"}
FILES = sorted(LIB.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def room(path: Path) -> str:
    return path.relative_to(LIB / "costpertoken").parts[0].removesuffix(".py")


def rooms_used(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("costpertoken.")}


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(LIB / "costpertoken")], ids=lambda p: p.stem)
def test_no_arrow_points_upward(path):
    here = room(path)
    assert here in MAY, f"{path.name}: a new room; declare what it may import"
    named = {name for name in rooms_used(path) if (LIB / "costpertoken" / name).exists() or name in MAY}
    assert named - {here} <= MAY[here]


@pytest.mark.parametrize("path", sorted((LIB / "costpertoken" / "model").glob("*.py")), ids=lambda p: p.stem)
def test_model_is_a_ladder(path):
    if path.stem == "__init__":
        return
    used = {name.split(".")[2] for name in imported(path) if name.startswith("costpertoken.model.")}
    assert all(MODEL_ORDER.index(name) < MODEL_ORDER.index(path.stem) for name in used)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_physics_and_money_stay_light_and_read_no_files(path):
    if not path.is_relative_to(LIB / "costpertoken") or room(path) not in ("model", "money"):
        return
    names = {name.split(".")[0] for name in imported(path)}
    assert not names & (HEAVY | {"pathlib", "os", "io", "csv", "json"})
    assert "open(" not in path.read_text() and "print(" not in path.read_text()


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(LIB / "bookpress")], ids=lambda p: p.stem)
def test_press_knows_no_physics(path):
    assert not rooms_used(path) & {"model", "money", "fleet", "evidence", "answers"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LIB)))
def test_modules_are_small(path):
    assert len(path.read_text().splitlines()) <= 250


def bodies(path: Path):
    """(name, lines of the body without its docstring) of every function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            has_doc = isinstance(node.body[0], ast.Expr) and isinstance(
                getattr(node.body[0], "value", None), ast.Constant
            )
            body = node.body[1:] if has_doc else node.body
            yield node.name, (body[-1].end_lineno - body[0].lineno + 1) if body else 0


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LIB)))
def test_functions_fit_on_a_screen(path):
    assert not [(name, lines) for name, lines in bodies(path) if lines > 25]


def test_model_and_money_fit_their_budget():
    size = sum(
        len(p.read_text().splitlines())
        for wing in ("model", "money")
        for p in (LIB / "costpertoken" / wing).glob("*.py")
    )
    assert size <= 1800


#: Quantities without a unit: counts, degrees, shares and codes, as the nomenclature has them.
BARE = {"batch", "status", "limit", "tp", "pp", "dp", "step", "link_domain", "window_share", "expert_width", "max_context",
        "prefill_per_decode", "allocation"}  # fmt: skip


@pytest.mark.parametrize("kind", [Step, Serving, Capacity, Counts, Pools, UnitCost], ids=lambda kind: kind.__name__)
def test_quantities_end_in_their_unit(kind):
    named = [field.name for field in dataclasses.fields(kind)]
    known = tuple(SUFFIXES)
    assert not [name for name in named if not name.endswith(known) and name not in BARE and not name.startswith("n_")]
