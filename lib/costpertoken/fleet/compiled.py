"""The compiler, with a cache on disk that knows all its sources: numba's own notices a change in a function's file only."""

import hashlib
import tempfile
from pathlib import Path

import numba

HERE = Path(__file__).parent
#: Modules whose code is compiled, or compiled in.
SOURCES = ("compiled", "state", "queues", "admission", "loop", "batches")


def folder() -> Path:
    """Where compiled code of these very sources lies: beside their byte code, else where the machine keeps what may go."""
    together = b"".join((HERE / f"{name}.py").read_bytes() for name in SOURCES)
    sources = hashlib.sha256(together).hexdigest()[:12]
    for base in (HERE / "__pycache__", Path(tempfile.gettempdir()) / "costpertoken"):
        try:
            (base / f"numba-{sources}").mkdir(parents=True, exist_ok=True)
            return base / f"numba-{sources}"
        except OSError:
            continue
    raise OSError(f"no folder for compiled code: neither {HERE} nor {tempfile.gettempdir()} can be written")


FOLDER = str(folder())


def _njit(function, **options):
    """Divisors are never zero here, so no code is made for that."""
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, FOLDER
    try:
        return numba.njit(cache=True, error_model="numpy", **options)(function)
    finally:
        numba.config.CACHE_DIR = before


def compiled(function):
    """A function that Python calls: compiled at its first call, or read from the cache."""
    return _njit(function)


def part(function):
    """A function that only compiled ones call: without the way in from Python, which takes a third of the compiling."""
    return _njit(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)
