"""Numbers that someone typed: a digit with a unit in prose, which data or the model should have given."""

import re

from bookpress.numbers import MARKER, step_fences
from bookpress.project import PressError, Project

UNITS = (
    "%|per ?cent|percent|x|×|times|USD|dollars?|cents?|[kMGT]i?B(?:/s)?|bytes?|bits?|W|kW|MW|kWh|watts?|J|joules?|kJ|MJ|"
    "ms|µs|us|ns|s|h|seconds?|milliseconds?|microseconds?|minutes?|hours?|days?|weeks?|months?|years?|"
    "[kMGTPE]?FLOP(?:S|/s)?|TOPS|tok/s|[kM]?tok(?:ens?)?|words?|requests?|users?|sequences?|GPUs?|accelerators?|cards?|"
    "nodes?|servers?|layers?|heads?|experts?|million|billion|trillion|Mtok"
)
TYPED = re.compile(
    rf"(?:USD|[$€£])\s?\d[\d,.]*|(?<![\w.{{/-])\d[\d,.]*(?:[\s-]|&nbsp;)?(?:{UNITS})(?![\w-])", re.IGNORECASE
)
#: What is no prose: code, maths, roles (citations, references), link targets, comments, options of directives.
QUIET = re.compile(
    r"\{[\w:-]+\}`[^`]*`|``.*?``|`[^`]*`|\$[^$\n]+\$|\]\([^)\s]*\)|<!--.*?-->|<[^>]+>|^\s*:[\w-]+:.*$", re.MULTILINE
)


def prose_of(markdown: str) -> str:
    """The Markdown without fenced code and maths, its inlined values and all else that is no prose."""
    lines, fences = [], []
    for line in markdown.split("\n"):
        closed = step_fences(line, fences)
        lines.append("" if closed or (fences and fences[-1][1]) else line)
    return QUIET.sub(" ", MARKER.sub(" ", "\n".join(lines)))


def typed_numbers(markdown: str) -> list[str]:
    """Every digit with a unit that stands in the prose as typed."""
    return [found[0].strip() for found in TYPED.finditer(prose_of(markdown))]


def check_pages(project: Project, names: list[str]) -> None:
    """Refuse a book of which a page has typed numbers; they are named by page."""
    found = {name: typed_numbers(prose(project.source(name).read_text("utf8"))) for name in names}
    if bad := [f"{name}.md: {', '.join(numbers)}" for name, numbers in found.items() if numbers]:
        raise PressError("numbers with a unit are typed in the prose; inline what the code computed:\n" + "\n".join(bad))


def prose(page: str) -> str:
    """A chapter's text without its header."""
    return re.sub(r"\A---\n.*?\n---\n", "", page, flags=re.DOTALL)
