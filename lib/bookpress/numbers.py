"""Numbers that a chapter publishes, and their place in its prose: {{ name }}, {{ name.band }}, {{ name.low }}."""

import difflib
import re

from bookpress.project import PressError

MIME = "application/vnd.costpertoken.numbers+json"
MARKER = re.compile(r"\{\{\s+([A-Za-z_][\w.]*)\s+\}\}")
FENCE = re.compile(r"^\s*(?:>\s*)*(`{3,}|~{3,}|:{3,})\s*([^`]*?)\s*$")
LITERAL = {"{math}", "{code}", "{code-block}", "{code-cell}", "{literalinclude}", "{raw}"}
FIELDS = {"text": "text", "band": "band", "low": "low_text", "high": "high_text", "unit": "unit", "value": "value"}


def collect(notebook, docname: str) -> dict[str, dict]:
    """Every number that the notebook's cells published, in order."""
    found: dict[str, dict] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for name, number in output.get("data", {}).get(MIME, {}).items():
                if name in found and found[name] != number:
                    raise PressError(f"{docname}: the number '{name}' is published twice with different values")
                found[name] = dict(number)
    return found


def headline(numbers: dict[str, dict]) -> str:
    """The number that stands for the chapter: the first one flagged, else the first."""
    flagged = [name for name, number in numbers.items() if number.get("headline")]
    if not numbers:
        return ""
    name = (flagged or list(numbers))[0]
    band = numbers[name].get("band")
    return f"{name} = {numbers[name]['text']}" + (f" ({band})" if band else "")


def _resolve(name: str, numbers: dict[str, dict], docname: str) -> str:
    stem, _, field = name.rpartition(".")
    stem, field = (stem, field) if stem and stem in numbers else (name, "text")
    known = list(numbers) + [f"{n}.{f}" for n in numbers for f in FIELDS]
    if stem not in numbers or field not in FIELDS:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        hint = f"; the nearest name is '{near[0]}'" if near else "; the chapter publishes no number"
        raise PressError(f"{docname}: unknown number in the prose: {{{{ {name} }}}}{hint}")
    shown = numbers[stem].get(FIELDS[field])
    if shown in (None, ""):
        raise PressError(f"{docname}: {{{{ {name} }}}}: the number '{stem}' has no {field}")
    return f"{shown:.6g}" if isinstance(shown, float) else str(shown)


def fill(markdown: str, numbers: dict[str, dict], docname: str) -> str:
    """Put the numbers into prose, directives' bodies included; code and display math stay as they are."""
    lines, fences = [], []
    for line in markdown.split("\n"):
        closed = step_fences(line, fences)
        if not closed and not (fences and fences[-1][1]):
            line = MARKER.sub(lambda m: _resolve(m[1], numbers, docname), line)
        lines.append(line)
    return "\n".join(lines)


def step_fences(line: str, fences: list[tuple[str, bool]]) -> bool:
    """Follow one line into or out of the open fences, each (mark, literal); true if it closed one."""
    fence = FENCE.match(line)
    if not fence:
        return False
    mark, info = fence[1], fence[2]
    if fences and not info and mark.startswith(fences[-1][0]):
        fences.pop()
        return True
    if not (fences and fences[-1][1]):
        directive = info.split("}")[0] + "}" if info.startswith("{") else ""
        fences.append((mark, directive in LITERAL if directive else mark[0] != ":"))
    return False


def public(numbers: dict[str, dict[str, dict]]) -> list[dict]:
    """All chapters' numbers for readers and programs, sorted by chapter and name."""
    fields = ("value", "low", "high", "unit", "text")
    return [
        {"chapter": docname, "name": name, **{field: number.get(field) for field in fields}}
        for docname, found in sorted(numbers.items())
        for name, number in sorted(found.items())
    ]
