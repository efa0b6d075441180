"""What has been judged is kept where $COSTPERTOKEN_KEPT names a folder, so that all chapters of a book share one evaluation.

A folder of its own holds each state of code, tables and libraries: another state is judged anew. Without the variable
nothing is kept. The press sets it.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from costpertoken import tables

PACKAGE = Path(__file__).parents[1]
BENEATH = ("numpy", "pandas", "scipy")


@cache
def state(tables_at: Path) -> str:
    """A hash of the package's code, the tables, and the libraries beneath."""
    total = hashlib.sha256(" ".join([platform.python_version(), *map(version, BENEATH)]).encode())
    for folder, pattern in ((PACKAGE, "*.py"), (tables_at, "*.csv")):
        for path in sorted(folder.rglob(pattern)):
            content = path.read_bytes()
            total.update(f"{path.relative_to(folder)} {len(content)} ".encode() + content)
    return total.hexdigest()[:16]


def kept(name: str, make: Callable[[], dict]) -> dict:
    """What `make` gives, JSON's types only: read if it was kept in this state, else made and kept."""
    root = os.environ.get("COSTPERTOKEN_KEPT")
    if not root:
        return make()
    path = Path(root, state(tables.data_dir()), f"{name}.json")
    try:
        return json.loads(path.read_text("utf8"))
    except (OSError, ValueError):
        made = make()
    _keep(path, json.dumps(made))
    return made


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
        part.unlink(missing_ok=True)
