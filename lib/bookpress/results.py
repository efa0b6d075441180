"""Results that are whole or not there: a folder is made beside its place and renamed into it, whatever kills its maker."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from bookpress.project import PressError
from bookpress.stamp import digest, locked, write_atomic

PARTIAL, MANIFEST = ".partial-", "manifest.json"


class Refused(PressError):
    """What is told before anything has run: nothing was made, nothing was touched."""


def _sweep(out: Path) -> None:
    """Remove what dead runs left behind; a live run holds the lock in its folder."""
    for folder in out.glob(f"{PARTIAL}*"):
        # One that ends now removes its folder itself.
        with contextlib.suppress(OSError), locked(folder / ".lock", wait=False) as dead:
            if dead:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """An empty folder inside `out`, gone afterwards with all that was not renamed out of it."""
    out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with locked(out / ".lock"):  # no sweep between a folder and its lock
            _sweep(out)
            folder = Path(tempfile.mkdtemp(dir=out, prefix=PARTIAL))
            held.enter_context(locked(folder / ".lock"))
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        (folder / "result").mkdir()
        yield folder / "result"


def sealed(files: Mapping[str, bytes]) -> dict[str, str]:
    """Name -> hash of each file of a result, for its manifest."""
    return {name: digest(content) for name, content in sorted(files.items())}


def is_whole(target: Path) -> bool:
    """Whether a result holds the files that its manifest names, unchanged."""
    try:
        seals = json.loads((target / MANIFEST).read_text("utf8"))["files"]
        return bool(seals) and all(digest((target / name).read_bytes()) == seal for name, seal in seals.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def there(target: Path) -> bool:
    """Whether a result is there, whole. One that somebody changed since is refused: it may hold their work."""
    if is_whole(target):
        return True
    if os.path.lexists(target):
        raise Refused(f"{target} was changed since it was made: move it away, or give another --out")
    return False


def put(files: Mapping[str, bytes], made: Path, target: Path) -> None:
    """Write the files and move them into place at once. Where an equal run was first, its result stays as it is."""
    for name, content in files.items():
        write_atomic(made / name, content)
    with locked(target.parent / ".lock"):
        if not there(target):
            os.rename(made, target)
