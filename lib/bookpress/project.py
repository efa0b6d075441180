"""Where everything lies, and which chapters the book has."""

import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path

import yaml


class PressError(Exception):
    """A failure that the reader of the terminal can act on; printed without a traceback."""


@dataclass(frozen=True)
class Project:
    """The folders of one book, all below its root."""

    root: Path

    @property
    def build(self) -> Path:
        return self.root / "_build"

    @property
    def executed(self) -> Path:
        return self.build / "executed"

    @property
    def stage(self) -> Path:
        return self.build / "stage"

    @property
    def html(self) -> Path:
        return self.build / "html"

    @property
    def references(self) -> Path:
        return self.root / "tests" / "reference"

    def source(self, docname: str) -> Path:
        return self.root / f"{docname}.md"

    def notebook(self, docname: str) -> Path:
        return self.executed / f"{docname}.ipynb"


def find_project(root: str | Path | None = None) -> Project:
    """The project at `root`, else at BOOKPRESS_ROOT, else at the nearest folder above that holds a _toc.yml."""
    given = root or os.environ.get("BOOKPRESS_ROOT")
    here = Path(given or Path.cwd()).resolve()
    for folder in [here] if given else [here, *here.parents]:
        if (folder / "_toc.yml").is_file() and (folder / "_config.yml").is_file():
            return Project(folder)
    raise PressError(f"no book here: {here} has no _toc.yml and _config.yml")


def _walk(node) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _walk(item)]
    if not isinstance(node, dict):
        return []
    own = [str(node[key]) for key in ("root", "file") if key in node]
    return own + [name for key, item in node.items() if key not in ("root", "file") for name in _walk(item)]


def listed(project: Project) -> list[str]:
    """The pages that the table of contents names, in reading order, without suffix."""
    contents = yaml.safe_load((project.root / "_toc.yml").read_text("utf8"))
    return [name.removesuffix(".md") for name in _walk(contents)]


def docnames(project: Project) -> list[str]:
    """The listed pages, all of which are there."""
    names = listed(project)
    missing = [name for name in names if not project.source(name).is_file()]
    if missing:
        raise PressError(f"in _toc.yml but not there: {', '.join(f'{name}.md' for name in missing)}")
    return names


def titles(project: Project) -> dict[str, str]:
    """File name -> title of every page that is there: what a link to it is called where the page is not."""
    there = [project.source(name) for name in listed(project) if project.source(name).is_file()]
    heads = {path.stem: re.search(r"^# (.+)$", path.read_text("utf8"), re.MULTILINE) for path in there}
    return {name: head[1] for name, head in heads.items() if head}


def data_date(project: Project) -> str:
    """The newest date in any `as_of` column of the data: the edition's date. Empty where there is none."""
    newest = ""
    for table in sorted((project.root / "data").rglob("*.csv")):
        with table.open(newline="", encoding="utf8") as lines:
            newest = max([newest, *(row.get("as_of") or "" for row in csv.DictReader(lines))])
    return newest
