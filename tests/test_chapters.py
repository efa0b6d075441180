"""Every chapter of the book: its form, and that its reference is of the same text."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from bookpress.execute import read_chapter
from bookpress.project import find_project, listed
from bookpress.reference import reference_path
from costpertoken import tables

PROJECT = find_project(Path(__file__).parents[1])
FRONT, *CHAPTERS = listed(PROJECT)
PAGES = [FRONT, *CHAPTERS]
MEMORY_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
NOT_WORDS = re.compile(r"<!--.*?-->|^```\{math\}.*?^```|\$\$.*?\$\$|^:\w+:.*?$", re.DOTALL | re.MULTILINE)


def source(page: str):
    return read_chapter(PROJECT.source(page))


def reference(page: str):
    return nbformat.read(reference_path(PROJECT, page), as_version=4)


def code(page: str) -> list[str]:
    return [cell.source for cell in source(page).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("page", PAGES)
def test_page_is_there_with_its_reference(page):
    assert PROJECT.source(page).is_file()
    assert reference_path(PROJECT, page).is_file(), "run `make reference`"


@pytest.mark.parametrize("page", PAGES)
def test_reference_is_of_this_text(page):
    texts = [[(cell.cell_type, cell.source) for cell in book.cells] for book in (source(page), reference(page))]
    assert texts[0] == texts[1], "the chapter was edited: run `make reference` and look at what moved"


@pytest.mark.parametrize("page", PAGES)
def test_reference_is_small_and_reproducible(page):
    raw = reference_path(PROJECT, page).read_text("utf8")
    assert not MEMORY_ADDRESS.search(raw), "an output shows a memory address"
    assert len(raw) < 200_000


def test_no_reference_without_a_page():
    assert {p for p in PROJECT.references.rglob("*.ipynb")} == {reference_path(PROJECT, page) for page in PAGES}


@pytest.mark.parametrize("page", CHAPTERS)
def test_one_parameters_cell(page):
    tagged = [cell for cell in source(page).cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1


def test_the_front_page_lists_every_chapter_in_order_by_its_title():
    links = re.findall(r"^- \[(.+?)\]\((\S+)\.md\) \S", prose_of(FRONT), re.MULTILINE)
    assert [f"chapters/{path}" for _, path in links] == CHAPTERS
    assert all(f"# {title}" in prose_of(f"chapters/{path}").splitlines() for title, path in links)


@pytest.mark.parametrize("page", PAGES)
def test_cells_are_short_with_at_most_one_function(page):
    assert max((text.count("\n") + 1 for text in code(page)), default=0) <= 20
    trees = [ast.parse(text) for text in code(page)]
    assert sum(isinstance(node, ast.FunctionDef) for tree in trees for node in ast.walk(tree)) <= 1


@pytest.mark.parametrize("page", PAGES)
def test_at_most_six_charts(page):
    outputs = [output for cell in reference(page).cells for output in cell.get("outputs", [])]
    assert sum("chart vl-" in output.get("data", {}).get("text/plain", "") for output in outputs) <= 6


#: What a manager reads in three minutes, at 200 to 300 words a minute.
SUMMARY = "chapters/summary"


@pytest.mark.parametrize("page", CHAPTERS)
def test_length(page):
    prose = "\n".join(cell.source for cell in source(page).cells if cell.cell_type == "markdown")
    least, most = (600, 900) if page == SUMMARY else (1200, 2500)
    assert least <= len(NOT_WORDS.sub(" ", prose).split()) <= most


#: Chapters that argue with the article: all but the summary of all and those on the book's own evidence.
ARGUED = [page for page in CHAPTERS if not page.startswith((SUMMARY, "chapters/evidence/"))]
#: The reader's own traffic, of which the article says nothing.
UNCLAIMED = {"chapters/deployment/your_workload"}
LAST_SECTIONS = ["## How sure?", "## Against the article", "## Exercises", "## Sources"]
EXERCISE = re.compile(
    r":::\{admonition\} Exercise \d\n:class: exercise\n.+?\n:::\s*\n:::\{dropdown\} Answer\n(.+?)\n:::", re.DOTALL
)


def prose_of(page: str) -> str:
    return "\n\n".join(cell.source for cell in source(page).cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("page", ARGUED)
def test_title_is_a_question_and_the_last_sections_come_in_order(page):
    heads = re.findall(r"^##? .*$", prose_of(page), re.MULTILINE)
    assert heads[0].endswith("?") and heads[-len(LAST_SECTIONS) :] == LAST_SECTIONS
    assert 3 <= len(heads) - 1 - len(LAST_SECTIONS) <= 6


@pytest.mark.parametrize("page", ARGUED)
def test_exercises_have_computed_answers_that_are_asserted(page):
    answers = EXERCISE.findall(prose_of(page))
    assert 2 <= len(answers) <= 3
    assert all("{{ " in answer for answer in answers)
    asserts = [node for text in code(page) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assert)]
    assert len(asserts) >= len(answers)


@pytest.mark.parametrize("page", sorted(set(ARGUED) - UNCLAIMED))
def test_the_chapter_shows_the_claims_that_name_it(page):
    asked = re.findall(r'claims\.ledger\(chapter="([\w/]+)"\)', "\n".join(code(page)))
    assert asked == [page.removeprefix("chapters/")]


@pytest.mark.parametrize("page", ARGUED)
def test_what_moves_the_headline_is_shown(page):
    assert any("tornado(" in text for text in code(page))


def test_every_claim_is_shown_in_a_chapter_of_the_book():
    shown = set(tables.read("claims")["chapter"]) - {""}
    assert {f"chapters/{name}" for name in shown} == set(ARGUED) - UNCLAIMED
