"""Content stamps: a result is fresh only while everything that it was made from is unchanged."""

import contextlib
import fcntl
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bookpress.project import Project

PRESS = Path(__file__).parent
EXECUTION_CODE = ("engine.py", "execute.py", "stamp.py")
SKIPPED = {"__pycache__", ".ipynb_checkpoints"}


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves either the old one or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_changed(path: Path, content: bytes) -> bool:
    """Write only a real change, so that file times stay put for tools that look at them."""
    if path.is_file() and path.read_bytes() == content:
        return False
    write_atomic(path, content)
    return True


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock that ends with this process; false where another process has it and there is no waiting."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One press at a time in a build folder: a second one says so and waits until the first has ended."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", wait=False) as free:
        if free:
            yield
            return
    print("another press is at work in this folder: waiting for it", file=sys.stderr)
    with locked(folder / ".lock"):
        yield


def digest(*parts: bytes | str) -> str:
    """One hash over parts; lengths keep ('ab', 'c') and ('a', 'bc') apart."""
    total = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        total.update(f"{len(raw)}:".encode() + raw)
    return total.hexdigest()


def tree_digest(folder: Path) -> str:
    """The hash of every file's name and content below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not SKIPPED & set(path.parts))
    return digest(*(part for path in files for part in (path.relative_to(folder).as_posix(), path.read_bytes())))


def file_digest(path: Path) -> str:
    """The hash of one file; of nothing where there is none."""
    return digest(path.read_bytes()) if path.is_file() else ""


def shared_key(project: Project) -> str:
    """What every execution depends on: the library, the data, the locked packages, Python, the code that executes."""
    return digest(
        tree_digest(project.root / "lib" / "costpertoken"),
        tree_digest(project.root / "data"),
        file_digest(project.root / "requirements.lock"),
        "{}.{}".format(*sys.version_info),
        *(file_digest(PRESS / name) for name in EXECUTION_CODE),
    )


def chapter_key(project: Project, docname: str, shared: str) -> str:
    """The stamp of one chapter's execution."""
    return digest(shared, docname, file_digest(project.source(docname)))


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.stamp.json")


def read_record(path: Path, key: str) -> dict | None:
    """What was noted when `path` was made from `key`; None if it was made from something else or changed since."""
    try:
        noted = json.loads(_record(path).read_text("utf8"))
    except (OSError, ValueError):
        return None
    if not isinstance(noted, dict) or noted.get("key") != key or noted.get("content") != file_digest(path):
        return None
    return noted


def write_record(path: Path, content: bytes, key: str, **notes) -> None:
    """Write a result, then its stamp: a crash between the two makes the result again, never trusts it."""
    write_atomic(path, content)
    noted = {"key": key, "content": digest(content), **notes}
    write_atomic(_record(path), json.dumps(noted, sort_keys=True).encode())
