"""The references that nbval compares with: executed chapters with their plain-text outputs only."""

import json

from bookpress import numbers
from bookpress.execute import to_bytes
from bookpress.project import Project
from bookpress.stage import load
from bookpress.stamp import write_changed

KEPT_MIME = "text/plain"
COUNT = 1  # nbval asks for one; the same everywhere, so that a new cell does not renumber the others


def strip(notebook):
    """Keep each output's plain text: it holds the values, stays small and can be read in a diff."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = COUNT
            cell.outputs = [_plain(output) for output in cell.outputs]
    return notebook


def _plain(output):
    if "execution_count" in output:
        output.execution_count = COUNT
    if "data" in output:
        output.data = {key: value for key, value in output.data.items() if key == KEPT_MIME}
    return output


def reference_path(project: Project, docname: str):
    """Where a chapter's reference lies."""
    return project.references / f"{docname.removeprefix('chapters/')}.ipynb"


def renew(project: Project, names: list[str]) -> list[str]:
    """Write all references from the executed chapters; which numbers moved, one line each."""
    found = {}
    for name in names:
        notebook = load(project, name)
        found[name] = numbers.collect(notebook, name)
        write_changed(reference_path(project, name), to_bytes(strip(notebook)))
    wanted = {reference_path(project, name) for name in names}
    for path in set(project.references.rglob("*.ipynb")) - wanted:
        path.unlink()
    book = project.references / "numbers.json"
    before = json.loads(book.read_text("utf8")) if book.is_file() else []
    after = numbers.public(found)
    write_changed(book, (json.dumps(after, indent=1) + "\n").encode())
    return moved(before, after) or ["no number moved"]


def moved(before: list[dict], after: list[dict]) -> list[str]:
    """The numbers, and computed words, that differ between two books."""
    old, new = ({(n["chapter"], n["name"]): _shown(n) for n in book} for book in (before, after))
    return [
        f"{chapter.removeprefix('chapters/')}  {name}: {old.get((chapter, name))} -> {new.get((chapter, name))}"
        for chapter, name in sorted(old.keys() | new.keys())
        if old.get((chapter, name)) != new.get((chapter, name))
    ]


def _shown(number: dict) -> str:
    return f"{number['value']:.6g}" if number["value"] is not None else str(number.get("text"))
