"""A chapter run again with a reader's own parameters: notebook, page, headline numbers and manifest in one folder."""

import difflib
import json
import os
import platform
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

from bookpress import numbers
from bookpress.execute import engine_options, kernel_environment, read_chapter, run, to_bytes
from bookpress.project import Project, listed, titles
from bookpress.results import MANIFEST, Refused, put, sealed, there, workplace
from bookpress.stage import fill_markers
from bookpress.stamp import PRESS, digest, file_digest, tree_digest

KEY_LETTERS = 12


def chapter_of(project: Project, asked: str) -> str:
    """The page that a reader means: its name with or without folder and suffix. Refused, with the nearest, if there is none."""
    pages = listed(project)
    name = asked.removesuffix(".md").strip("/")
    found = [page for page in pages if page == name or page.endswith(f"/{name}")]
    if len(found) == 1 and project.source(found[0]).is_file():
        return found[0]
    short = {page.removeprefix("chapters/").rpartition("/")[2]: page.removeprefix("chapters/") for page in pages}
    near = difflib.get_close_matches(name.rpartition("/")[2], short, n=3, cutoff=0.4) or list(short)
    raise Refused(f"unknown chapter {asked!r}; nearest: {', '.join(short[one] for one in near[:3])}")


def parameters_cell(project: Project, docname: str) -> str:
    """The source of the chapter's cell of parameters; empty where there is none."""
    cells = read_chapter(project.source(docname)).cells
    return next((cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])), "")


def sections(notebook) -> list[str]:
    """For each cell, the heading that it stands under."""
    heading, found = "", []
    for cell in notebook.cells:
        lines = [line for line in cell.source.split("\n") if line.startswith("#")] if cell.cell_type == "markdown" else []
        heading = lines[-1].lstrip("# ") if lines else heading
        found.append(heading)
    return found


def executed(project: Project, docname: str, changed: dict, tell: Callable[[int, int, str], None]):
    """The chapter's notebook, run with the changed parameters; `tell` gets (cell, of how many, its section) as each starts."""
    notebook = read_chapter(project.source(docname))
    heads = sections(notebook)
    code = [number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
    done = []

    def started(cell, cell_index: int) -> None:
        done.append(cell_index)
        tell(min(len(done), len(code)), len(code), heads[min(cell_index, len(heads) - 1)])

    options = {"on_cell_start": started, **engine_options(project.root)}
    with kernel_environment(project.root / "lib"):
        return run(notebook, docname=docname, folder=project.source(docname).parent, parameters=changed, **options)


def manifest(project: Project, docname: str, values: dict, changed: dict) -> dict:
    """All that the result is made from; nothing in it depends on when or where. Its hash is the result's key."""
    packages = {one.metadata["Name"].lower(): one.version for one in distributions()}
    settings = (project.root / name for name in ("_config.yml", "references.bib"))
    noted = {
        "chapter": docname.removeprefix("chapters/"),
        "parameters": values,
        "changed": changed,
        "hashes": {
            "chapter": file_digest(project.source(docname)),
            "code": tree_digest(project.root / "lib" / "costpertoken"),
            "data": tree_digest(Path(os.environ.get("COSTPERTOKEN_DATA") or project.root / "data")),
            "press": tree_digest(PRESS),
            "lock": file_digest(project.root / "requirements.lock"),
            "book": digest(json.dumps(titles(project)), *map(file_digest, settings)),
            "files": digest(*(file_digest(Path(value)) for value in values.values() if is_file(value))),
        },
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items())),
    }
    return {"key": digest(json.dumps(noted))[:KEY_LETTERS], **noted}


def is_file(value) -> bool:
    """Whether a parameter's value is the path of a file: what is in it is then part of what the result is made from."""
    return isinstance(value, str) and Path(value).is_absolute() and Path(value).is_file()


def files_of(project: Project, docname: str, notebook, declared: list, noted: dict) -> dict[str, bytes]:
    """The files of a result but its manifest, from the executed notebook."""
    from bookpress.page import whole
    from bookpress.twin import add_static_twins

    found = numbers.collect(notebook, docname)
    notebook = add_static_twins(fill_markers(notebook, docname), project.build / "twins")
    values, changed = noted["parameters"], noted["changed"]
    rows = [
        {"name": one.name, "value": values[one.name], "default": one.default, "help": one.help, "unit": one.unit,
         "changed": one.name in changed}
        for one in declared
    ]  # fmt: skip
    public = json.dumps(numbers.public({docname: found}), indent=1, ensure_ascii=False) + "\n"
    return {
        "notebook.ipynb": to_bytes(notebook),
        "index.html": whole(project, docname, notebook, rows=rows, key=noted["key"]),
        "numbers.json": public.encode(),
    }


def rerun(project: Project, docname: str, declared: list, values: dict, out: Path, tell=lambda *at: None) -> tuple[Path, bool]:
    """(folder of the result, whether it was there already). values: complete, checked. Raises ChapterError; then, as after a
    crash or an interruption, nothing new is in `out` and what was there is untouched."""
    changed = {one.name: values[one.name] for one in declared if values[one.name] != one.default}
    noted = manifest(project, docname, values, changed)
    target = out / f"{docname.rpartition('/')[2]}-{noted['key']}"
    if there(target):
        return target, True
    with workplace(out) as made:
        notebook = executed(project, docname, changed, tell)
        files = files_of(project, docname, notebook, declared, noted)
        noted["files"] = sealed(files)
        files[MANIFEST] = (json.dumps(noted, indent=1, ensure_ascii=False) + "\n").encode()
        put(files, made, target)
    return target, False
