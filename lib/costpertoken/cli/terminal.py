"""How results look in a terminal: tables and labelled notes, as wide as a page of code."""

import textwrap

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 96


def table(heads: list[str], rows: list[list[str]], *, right: bool = True) -> str:
    """A table's lines; the first column stands left, the others right where they hold numbers."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, words in enumerate(heads):
        grid.add_column(words, justify="right" if right and i else "left", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    console = Console(width=WIDTH, no_color=True, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())


def hanging(label: str, words: str) -> str:
    """A labelled note, its further lines under the first."""
    return textwrap.fill(words, WIDTH, initial_indent=f"{label:<9}", subsequent_indent=" " * 9)
