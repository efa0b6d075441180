"""Executes the chapters that need it, side by side, and keeps the others."""

import contextlib
import importlib
import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from bookpress.execute import ChapterError, execute_chapter
from bookpress.project import Project
from bookpress.stamp import chapter_key, read_record, shared_key, write_record

#: A chapter's head that asks to be started after all others, because it reads what they keep.
LAST = re.compile(r"\A---\n(?:(?!---\n).*\n)*?start: last\n")


@dataclass(frozen=True)
class Run:
    """One chapter's execution: seconds it took when it last ran, and whether that was now."""

    docname: str
    seconds: float
    cached: bool


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _end_with_parent() -> None:
    """Leave no worker, and so no kernel, behind a press that was killed."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def warm() -> None:
    """Import what chapters need: the forks of this process have it then."""
    for name in ("jupytext", "papermill", "altair", "pandas", "scipy.optimize", "scipy.stats", "numba", "bookpress.engine"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _pool(size: int) -> ProcessPoolExecutor:
    if sys.platform == "linux":  # elsewhere forking is not safe
        warm()
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    return ProcessPoolExecutor(max_workers=size, mp_context=context, initializer=_end_with_parent)


def _ignore(name: str) -> None:
    return None


def execute_all(
    project: Project,
    names: list[str],
    start: Callable[[int], Callable[[str], None]] = lambda n_todo: _ignore,
) -> tuple[list[Run], list[ChapterError]]:
    """Bring every chapter's executed notebook up to date. A chapter that fails keeps its earlier notebook.

    `start` is told how many chapters will run and gives back what to call as each one ends.
    """
    shared = shared_key(project)
    keys = {name: chapter_key(project, name, shared) for name in names}
    known = {name: read_record(project.notebook(name), key) for name, key in keys.items()}
    runs = {name: Run(name, noted["seconds"], True) for name, noted in known.items() if noted}
    todo = in_order(project, [name for name in names if name not in runs])
    failures = []
    if todo:
        for name, result in _execute(project, todo, start):
            if isinstance(result, ChapterError):
                failures.append(result)
                continue
            content, seconds = result
            write_record(project.notebook(name), content, keys[name], seconds=seconds)
            runs[name] = Run(name, seconds, False)
    return [runs[name] for name in names if name in runs], failures


def in_order(project: Project, names: list[str]) -> list[str]:
    """The chapters as they are started: those whose head says `start: last` after the others."""
    return sorted(names, key=lambda name: bool(LAST.match(project.source(name).read_text("utf8"))))


def _execute(project: Project, todo: list[str], start):
    with _pool(min(_cores(), len(todo))) as pool:
        # Submit first: the workers fork before the progress bar starts its thread.
        futures = {pool.submit(execute_chapter, project.root, name, {}): name for name in todo}
        ended = start(len(todo))
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except ChapterError as error:
                yield futures[future], error
            ended(futures[future])
