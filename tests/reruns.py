"""Chapters run again with other parameters: whatever a chapter declares must run, fill its prose and move what it computes.

What is asked of each page stands in reruns.yaml; test_reruns_slow_a.py and test_reruns_slow_b.py take half of the pages each.
"""

import importlib
import json
import math
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from bookpress import numbers
from bookpress.engine import NAME
from bookpress.execute import ChapterError, read_chapter, run
from bookpress.project import PressError, find_project, listed
from bookpress.stage import fill_markers
from costpertoken.model.records import InputError
from costpertoken.parameters import Parameter, check, declared, words

PROJECT = find_project(Path(__file__).parents[1])
ENTRIES = Path(__file__).with_name("reruns.yaml")
KEYS = {"sets", "matters", "fixed"}
SHARED = ("numpy", "pandas", "altair", "scipy.optimize", "costpertoken.charts")  # imported once, had by every fork
UNFILLED = re.compile(r"\{\{\s*[A-Za-z_][\w.]*\s*\}\}")
CHART = re.compile(r'<script type="application/json">(.*?)</script>', re.DOTALL)
CELL = re.compile(r'<td class="num">([^<]*)</td>')
IN_WORDS = re.compile(r"(?<![\w.,-])\d[\d,]*(?:\.\d+)?(?!\w|\.\d)")
ECHOES = [10.0**power for power in (-9, -6, -3, -2, 0, 2, 3, 6, 9)]  # a parameter told in its own or a neighbouring unit
MISFIT = re.compile(r"does not run: (InputError|UnknownName): ")
MOST_WORDS = 4  # as many allowed words are tried where none is prescribed
#: Forks of a process with threads: pytest-xdist's worker has one, which waits for its input.
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="cells run in forks, which are safe on Linux only"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@dataclass(frozen=True)
class Rerun:
    """One run: its figures, each (kind, name, number) as often as it occurs, and what stands for the chapter."""

    figures: Counter
    headline: tuple[str, str]


def half(which: int) -> list[str]:
    """The pages of one of the two halves, taken alternately: neighbours take about as long."""
    return listed(PROJECT)[which::2]


@cache
def shared() -> None:
    """Import and read here what every run needs: the forks have it then."""
    for name in SHARED:
        importlib.import_module(name)
    from costpertoken import tables

    for path in sorted(tables.data_dir().glob("*.csv")):
        tables.read(path.stem)


def entry_of(page: str) -> dict:
    """What reruns.yaml asks of a page; a page without an entry fails with what to add."""
    name = page.removeprefix("chapters/")
    entries = yaml.safe_load(ENTRIES.read_text("utf8"))
    assert name in entries, (
        f"{name} has no entry in tests/reruns.yaml; add `{name}:` with `sets:`, two sets of other parameters, and, where the "
        "derived value of a parameter does not fit, `matters: {parameter: value}`"
    )
    entry = entries[name]
    assert not set(entry) - KEYS, f"{name} in tests/reruns.yaml: unknown {sorted(set(entry) - KEYS)}; known: {sorted(KEYS)}"
    assert len(entry.get("sets", [])) == 2, f"{name} in tests/reruns.yaml: `sets` needs two sets of parameters"
    return entry


def numbers_of(notebook) -> Counter:
    """Published values with their bands, numbers in computed words, tables' number columns, charts' data."""
    found: Counter = Counter()
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        data = output.get("data", {})
        for name, number in data.get(numbers.MIME, {}).items():
            found.update(("number", name, number[end]) for end in ("value", "low", "high") if number[end] is not None)
            told = IN_WORDS.findall(number["text"]) if number["value"] is None else []
            found.update(("words", name, float(text.replace(",", ""))) for text in told)
        page = "".join(data.get("text/html", ""))
        found.update(("table", "", float(text.replace(",", ""))) for text in CELL.findall(page) if is_number(text))
        for chart in CHART.findall(page):
            rows = [row for rows in json.loads(chart).get("datasets", {}).values() for row in rows]
            found.update(("chart", column, float(v)) for row in rows for column, v in row.items() if is_number(v))
    return found


def is_number(value) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(str(value).replace(",", "")))
    except ValueError:
        return False


def rerun(page: str, notebook, changed: dict) -> Rerun:
    """Run the page; raises ChapterError, or PressError where a marker of its prose finds no number."""
    source = PROJECT.source(page)
    options = {"engine_name": NAME, "lib": PROJECT.root / "lib"}
    done = run(notebook, docname=page, folder=source.parent, parameters=changed, **options)
    published = numbers.collect(done, page)
    name = numbers.headline(published).partition(" = ")[0]
    found = Rerun(numbers_of(done), (name, published[name]["text"]))
    left = [UNFILLED.findall(cell.source) for cell in fill_markers(done, page).cells if cell.cell_type == "markdown"]
    if any(left):
        raise PressError(f"{page}: unfilled in the prose: {', '.join(sum(left, []))}")
    return found


def is_echo(number: float, value) -> bool:
    """Whether a figure only repeats a parameter, perhaps in per cent or thousands."""
    return is_number(value) and any(math.isclose(number, float(value) * factor, rel_tol=1e-3) for factor in ECHOES)


def moved(before: Rerun, after: Rerun, old=None, new=None) -> list[tuple]:
    """The figures that one of two runs has and the other has not; those that repeat the parameter's value do not count.

    Numbers in words count where the parameter is a number: another model or card has other numbers in its name.
    """
    gone = [figure for figure in before.figures - after.figures if not is_echo(figure[2], old)]
    come = [figure for figure in after.figures - before.figures if not is_echo(figure[2], new)]
    return [figure for figure in gone + come if figure[0] != "words" or is_number(new)]


def other_values(parameter: Parameter, parameters: list[Parameter]) -> list:
    """Values other than the default that the schema allows beside all other defaults, the first to be tried first."""
    default = parameter.default
    if parameter.kind == "bool":
        tried = [not default]
    elif parameter.kind == "str":
        known = words(parameter)
        at = known.index(default)
        tried = (known[at + 1 :] + known[:at])[:MOST_WORDS]
    else:
        tried = [2 * default, default // 2 if parameter.kind == "int" else default / 2]
    return [value for value in tried if value != default and allowed(parameters, {parameter.name: value})]


def allowed(parameters: list[Parameter], given: dict) -> bool:
    try:
        check(parameters, given)
    except InputError:
        return False
    return True


class Page:
    """A page's reruns and the complaints about them."""

    def __init__(self, page: str):
        self.page, self.complaints = page, []
        self.entry = entry_of(page)
        self.notebook = read_chapter(PROJECT.source(page))
        tagged = [cell.source for cell in self.notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        self.parameters = declared(tagged[0])
        self.default = rerun(page, self.notebook, {})

    def complain(self, of: str, what: str) -> None:
        self.complaints.append(f"{self.page}, {of}: {what}")

    def run(self, of: str, changed: dict) -> Rerun | None:
        """The run with these parameters; none where it fails, which is complained of."""
        try:
            return rerun(self.page, self.notebook, check(self.parameters, changed))
        except (PressError, InputError) as error:
            said = f"{error.message}, in `{error.source.strip()[:60]}`" if isinstance(error, ChapterError) else str(error)
            self.complain(of, f"{changed} does not run: {said}")
            return None

    def try_set(self, changed: dict) -> None:
        """Another set of parameters must move the headline, or, where nothing can, some figure."""
        found = self.run("sets", changed)
        if not found:
            return
        if "fixed" not in self.entry and found.headline == self.default.headline:
            self.complain("sets", f"{changed} leaves the headline number at {' = '.join(found.headline)}")
        if not moved(self.default, found):
            self.complain("sets", f"{changed} moves no figure")

    def try_parameter(self, parameter: Parameter) -> None:
        """A parameter changed alone must move something computed."""
        name = parameter.name
        prescribed = self.entry.get("matters", {})
        values = [prescribed[name]] if name in prescribed else other_values(parameter, self.parameters)
        if not values:
            self.complain(name, f"no other value could be derived; add `matters: {{{name}: value}}` in tests/reruns.yaml")
        for value in values:
            seen = len(self.complaints)
            found = self.run(name, {name: value})
            if found:
                if not moved(self.default, found, parameter.default, value):
                    self.complain(name, f"{value!r} in place of {parameter.default!r} moves no figure of the chapter")
                return
            if parameter.kind != "str" or value == values[-1] or not MISFIT.search(self.complaints[-1]):
                return
            del self.complaints[seen:]  # a word that does not fit the other values: the next


def check_page(page: str) -> None:
    """The defaults, both sets, and each parameter alone; all that is wrong is told at once."""
    shared()
    name = page.removeprefix("chapters/")
    from costpertoken.evidence import claims

    real, asked = claims.ledger, {"chapter": name}
    shows = f'claims.ledger(chapter="{name}")' in PROJECT.source(page).read_text("utf8")
    judged = real(**asked) if shows else None  # no parameter changes the ledger: judged once, and had by every fork
    kept = patch.dict(os.environ, {"COSTPERTOKEN_KEPT": str(PROJECT.build / "kept")})  # the whole ledger: judged once too
    with kept, patch.object(claims, "ledger", lambda **given: judged.copy() if shows and given == asked else real(**given)):
        tried = Page(page)
        for unknown in set(tried.entry.get("matters", {})) - {parameter.name for parameter in tried.parameters}:
            tried.complain(unknown, "stands under `matters` in tests/reruns.yaml, but the chapter declares no such parameter")
        for changed in tried.entry["sets"]:
            tried.try_set(changed)
        for parameter in tried.parameters:
            tried.try_parameter(parameter)
    assert not tried.complaints, "\n" + "\n".join(tried.complaints)
