"""Typed numbers: what is found in prose, and what is no prose; and that no page of the book has any."""

from pathlib import Path

import pytest

from bookpress.execute import read_chapter
from bookpress.lint import check_pages, typed_numbers
from bookpress.project import PressError, Project, find_project, listed

PROJECT = find_project(Path(__file__).parents[1])


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("costs 3 USD a day", ["3 USD"]),
        ("costs $3.50", ["$3.50"]),
        ("USD 12 an hour", ["USD 12"]),
        ("the 80 % interval", ["80 %"]),
        ("a cut of 85%", ["85%"]),
        ("at 16 bits, 4-bit weights", ["16 bits", "4-bit"]),
        ("after 20 ms, 3.35 TB/s", ["20 ms", "3.35 TB/s"]),
        ("3x faster, 2.5 × the price", ["3x", "2.5 ×"]),
        ("32 requests on 8 GPUs", ["32 requests", "8 GPUs"]),
        ("1,000 tokens and 2 million words", ["1,000 tokens", "2 million"]),
        ("**5 days**", ["5 days"]),
        (":::{admonition} In short\nIt takes 5 hours.\n:::", ["5 hours"]),
        ("| a | 7 GB |", ["7 GB"]),
    ],
)
def test_a_digit_with_a_unit_is_found(markdown, found):
    assert typed_numbers(markdown) == found


@pytest.mark.parametrize(
    "markdown",
    [
        "costs {{ usd }} at {{ price.band }}",
        "as of 2026, in chapter 3, FP8 and INT4, Llama 3.1 70B, H100, GPT-4, 8x7B",
        "```\n5 ms\n```",
        "```{math}\n:label: x\nt = 5 ms\n```",
        "`make -j 2 x` and $3 x$ and {cite}`kwon2023 5 ms` and {eq}`x`",
        "[text](https://host/3%20x/80%)",
        "<!-- 5 ms -->",
        ":::{figure}\n:width: 80%\n:::",
        "a four-fold gain; one of ten",
        "3 steps",
    ],
)
def test_what_is_no_typed_quantity_passes(markdown):
    assert typed_numbers(markdown) == []


def test_the_press_refuses_a_page_with_a_typed_number(tmp_path):
    page = tmp_path / "chapters" / "a.md"
    page.parent.mkdir()
    page.write_text("---\nkernel: 3 GB\n---\n\nIt takes 5 ms.\n")
    with pytest.raises(PressError, match=r"chapters/a\.md: 5 ms$"):
        check_pages(Project(tmp_path), ["chapters/a"])


@pytest.mark.parametrize("page", listed(PROJECT))
def test_no_page_types_a_number_with_a_unit(page):
    cells = read_chapter(PROJECT.source(page)).cells
    assert [found for cell in cells if cell.cell_type == "markdown" for found in typed_numbers(cell.source)] == []
