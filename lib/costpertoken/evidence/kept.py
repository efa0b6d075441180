"""What has been judged is kept where $COSTPERTOKEN_KEPT names a folder, so that all chapters of a book share one evaluation.

A folder of its own holds each state of code, tables and libraries: another state is judged anew, and what was judged while
the state changed is not kept. Without the variable nothing is kept. The press sets it.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from costpertoken import tables

PACKAGE = Path(__file__).parents[1]
BENEATH = ("numpy", "pandas", "scipy")


def files(tables_at: Path) -> Iterator[tuple[Path, Path]]:
    """(folder, file) of all that a verdict depends on, in a fixed order."""
    for folder, pattern in ((PACKAGE, "*.py"), (tables_at, "*.csv")):
        yield from ((folder, path) for path in sorted(folder.rglob(pattern)))


@cache
def state(tables_at: Path) -> str:
    """A hash of the package's code, the tables, and the libraries beneath, as this process found them first."""
    dates(tables_at)
    total = hashlib.sha256(" ".join([platform.python_version(), *map(version, BENEATH)]).encode())
    for folder, path in files(tables_at):
        content = path.read_bytes()
        total.update(f"{path.relative_to(folder)} {len(content)} ".encode() + content)
    return total.hexdigest()[:16]


def dates_now(tables_at: Path) -> list[tuple[str, int]]:
    """The same files with the time of their last change: quicker to see than what they hold."""
    return [(str(path), path.stat().st_mtime_ns) for _, path in files(tables_at)]


dates = cache(dates_now)


def kept(name: str, make: Callable[[], dict]) -> dict:
    """What `make` gives, JSON's types only: read if it was kept in this state, else made and kept."""
    root = os.environ.get("COSTPERTOKEN_KEPT")
    if not root:
        return make()
    path = Path(root, state(tables.data_dir()), f"{name}.json")
    found = _read(path)
    if found is None:
        found = make()
        if dates(tables.data_dir()) == dates_now(tables.data_dir()):
            _keep(path, json.dumps(found))
    return found


def _read(path: Path) -> dict | None:
    """What a file keeps; None if it is not there, or not whole."""
    try:
        found = json.loads(path.read_text("utf8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _keep(path: Path, text: str) -> None:
    """Write the file whole or not at all, and drop other states; a folder that may not be written is no failure."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            for other in set(path.parents[1].iterdir()) - {path.parent}:
                shutil.rmtree(other, ignore_errors=True)
        part.write_text(text, "utf8")
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
