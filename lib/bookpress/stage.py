"""The folder that Sphinx reads: executed notebooks with their numbers in the prose, and the book's settings."""

import json
import re

from bookpress import numbers
from bookpress.execute import to_bytes
from bookpress.project import Project
from bookpress.stamp import PRESS, digest, file_digest, read_record, tree_digest, write_changed, write_record

# Chapters are written as .md and staged as .ipynb: a link between them follows.
CHAPTER_LINK = re.compile(r"(\]\((?!\w+:)[^)\s#]+)\.md((?:#[^)\s]*)?\))")
#: Where the tables lie in the staged folder; Sphinx makes _static/data of it.
TABLES = "_tables/data"
SETTINGS = ("_config.yml", "_toc.yml", "references.bib", "favicon.svg")


def load(project: Project, docname: str):
    """One executed notebook."""
    import nbformat

    return nbformat.read(project.notebook(docname), as_version=4)


def fill_markers(notebook, docname: str):
    """The executed notebook as it is published: its numbers in the prose, no longer among the outputs."""
    found = numbers.collect(notebook, docname)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = CHAPTER_LINK.sub(r"\1.ipynb\2", numbers.fill(cell.source, found, docname))
        else:
            cell.outputs = [output for output in cell.outputs if not _only_numbers(output)]
    return notebook


def _only_numbers(output) -> bool:
    """Whether an output says nothing to a reader: what it published stands in the prose."""
    data = output.get("data", {})
    if numbers.MIME not in data:
        return False
    del data[numbers.MIME]
    return not set(data) - {"text/plain"}


def stage_chapter(project: Project, docname: str, press: str) -> dict[str, dict]:
    """Put one chapter into the staged folder unless it is there already; its numbers."""
    target = project.build / "finished" / f"{docname}.ipynb"
    key = digest(press, file_digest(project.notebook(docname)))
    noted = read_record(target, key)
    if not noted:
        from bookpress.twin import add_static_twins

        notebook = load(project, docname)
        found = numbers.collect(notebook, docname)
        notebook = add_static_twins(fill_markers(notebook, docname), project.build / "twins")
        write_record(target, to_bytes(notebook), key, numbers=found)
        noted = {"numbers": found}
    write_changed(project.stage / f"{docname}.ipynb", target.read_bytes())
    return noted["numbers"]


def stage_all(project: Project, names: list[str]) -> dict[str, dict[str, dict]]:
    """Bring the staged folder level with the project; every chapter's numbers."""
    press = tree_digest(PRESS)
    found = {name: stage_chapter(project, name, press) for name in names}
    for name in SETTINGS:
        source, target = project.root / name, project.stage / name
        if source.is_file():
            write_changed(target, source.read_bytes())
        else:
            target.unlink(missing_ok=True)
    wanted = {f"{name}.ipynb" for name in names} | set(SETTINGS) | _stage_media(project) | _stage_tables(project)
    for path in [path for path in project.stage.rglob("*") if path.is_file()]:
        if path.relative_to(project.stage).as_posix() not in wanted:
            path.unlink()
    return found


def _stage_media(project: Project) -> set[str]:
    """Copy the pictures that lie beside the chapters."""
    chapters = project.root / "chapters"
    media = [p for p in chapters.rglob("*") if p.suffix in {".svg", ".png", ".csv"}] if chapters.is_dir() else []
    for path in media:
        write_changed(project.stage / path.relative_to(project.root), path.read_bytes())
    return {path.relative_to(project.root).as_posix() for path in media}


def _stage_tables(project: Project) -> set[str]:
    """Each table of data/ twice: as it is, for download, and as a classic script, which a page may load from a file too."""
    for path in sorted((project.root / "data").glob("*.csv")):
        name, text = json.dumps(path.stem), json.dumps(path.read_text("utf-8-sig"), ensure_ascii=False)
        write_changed(project.stage / TABLES / path.name, path.read_bytes())
        write_changed(project.stage / TABLES / f"{path.stem}.js", f"(window.bookTables ??= {{}})[{name}] = {text};\n".encode())
    return {f"{TABLES}/{path.stem}{kind}" for path in (project.root / "data").glob("*.csv") for kind in (".csv", ".js")}


def write_numbers(project: Project, found: dict[str, dict[str, dict]]) -> None:
    """Publish all chapters' numbers beside the pages."""
    text = json.dumps(numbers.public(found), indent=1, sort_keys=True) + "\n"
    write_changed(project.html / "numbers.json", text.encode())
