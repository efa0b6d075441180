"""Renders the staged folder with Jupyter Book; a warning is an error, and the last good site stays until the next."""

import contextlib
import filecmp
import io
import re
import shutil
from pathlib import Path

from bookpress.project import PressError, Project, data_date
from bookpress.published import finish, site_url
from bookpress.stamp import PRESS, digest, file_digest, tree_digest, write_atomic

OUTLINE = re.compile(r"^(#+ .*|\(.+\)=|\s*:(?:label|name): .*|.*\{#.*)$", re.MULTILINE)
LEFT_OUT = {".map", ".buildinfo", ".bak"}


def outline(project: Project, names: list[str]) -> str:
    """Headings and labels of all chapters: what one page shows of another."""
    import json

    cells = [json.loads((project.stage / f"{name}.ipynb").read_bytes())["cells"] for name in names]
    prose = ["".join(cell["source"]) for book in cells for cell in book if cell["cell_type"] == "markdown"]
    return "\n".join(line for text in prose for line in OUTLINE.findall(text))


def site_key(project: Project, names: list[str]) -> str:
    """What every page depends on. When it changes, the site is made anew, not in part."""
    return digest(
        tree_digest(PRESS),
        file_digest(project.root / "requirements.lock"),
        *(file_digest(project.stage / name) for name in ("_config.yml", "_toc.yml", "references.bib", "favicon.svg")),
        data_date(project),
        site_url(),
        outline(project, names),
    )


def render(project: Project, names: list[str]) -> bool:
    """Bring _build/html up to date; false if it was already. Raises PressError with Sphinx's warnings."""
    work = project.build / "work"
    site, noted = site_key(project, names), work / "rendered"
    whole = digest(site, tree_digest(project.stage))
    pages = [project.html / f"{name}.html" for name in names]
    if noted.is_file() and noted.read_text() == whole and all(page.is_file() for page in pages):
        return False
    if not (work / "site").is_file() or (work / "site").read_text() != site:
        for folder in (work / "html", work / ".doctrees"):
            shutil.rmtree(folder, ignore_errors=True)
    noted.unlink(missing_ok=True)
    (work / "site").unlink(missing_ok=True)
    _sphinx(project, work)
    write_atomic(work / "site", site.encode())
    finish(project, work / "html", names)
    publish(work / "html", project.html)
    write_atomic(noted, whole.encode())
    return True


def _sphinx(project: Project, work: Path) -> None:
    """Run Jupyter Book in this process. Any warning fails, and the next run then starts afresh and says it again."""
    from jupyter_book.sphinx import build_sphinx

    log = io.StringIO()
    overrides = {
        "external_toc_path": (project.stage / "_toc.yml").as_posix(),
        "latex_individualpages": False,
        "nitpicky": True,
        "bookpress_data_date": data_date(project),
        "html_baseurl": site_url(),
    }
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(log):
        result = build_sphinx(
            project.stage,
            work / "html",
            path_config=project.stage / "_config.yml",
            noconfig=True,
            confoverrides=overrides,
            doctreedir=work / ".doctrees",
            warningiserror=True,
            keep_going=True,
            quiet=True,
        )
    if result:
        text = re.sub(r"\x1b\[[0-9;]*m", "", log.getvalue()).replace(f"{project.stage}/", "").strip()
        raise PressError(f"the book did not render:\n{text or result}")


def publish(source: Path, target: Path) -> None:
    """Make `target` equal to `source` but for what readers do not need; unchanged files are left alone."""
    wanted = {p.relative_to(source) for p in source.rglob("*") if p.is_file() and p.suffix not in LEFT_OUT}
    wanted -= {path for path in wanted if path.name in LEFT_OUT}
    for path in sorted(wanted):
        if not (target / path).is_file() or not filecmp.cmp(source / path, target / path):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / path, target / path)
    for path in [p for p in target.rglob("*") if p.is_file()]:
        if path.relative_to(target) not in wanted and path.name != "numbers.json":
            path.unlink()
