"""Executes one chapter in a fresh kernel; the same inputs give the same bytes."""

import contextlib
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from bookpress.project import PressError

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python", "pygments_lexer": "ipython3"}
KEPT_CELL_METADATA = ("tags", "mystnb")


class ChapterError(PressError):
    """A chapter that did not run: its name, the source of the cell, the exception's last line."""

    def __init__(self, docname: str, source: str, message: str):
        super().__init__(docname, source, message)
        self.docname, self.source, self.message = docname, source, message


def read_chapter(path: Path):
    """The notebook of a MyST chapter, with cell ids that do not change between reads."""
    import jupytext

    notebook = jupytext.reads(path.read_text("utf8"), fmt="md:myst")
    notebook.metadata = {"kernelspec": KERNELSPEC, "language_info": LANGUAGE}
    return clean(notebook)


def clean(notebook):
    """Drop what differs between two runs: random ids, times, the order in which a stream's pieces came."""
    for number, cell in enumerate(notebook.cells):
        cell.id = f"c{number:03d}"
        cell.metadata = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if cell.metadata.get(key)}
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    notebook.metadata.update(kernelspec=KERNELSPEC, language_info=LANGUAGE)
    for key in set(notebook.metadata) - {"kernelspec", "language_info"}:
        del notebook.metadata[key]
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _joined(outputs: list) -> list:
    kept = []
    for output in outputs:
        last = kept[-1] if kept else {}
        if output["output_type"] == "stream" == last.get("output_type") and output["name"] == last["name"]:
            last["text"] += output["text"]
        else:
            kept.append(output)
    return kept


def to_bytes(notebook) -> bytes:
    """The notebook as it is written to disk."""
    import nbformat

    return (nbformat.writes(notebook, version=4) + "\n").encode()


@contextlib.contextmanager
def kernel_environment(lib: Path):
    """The kernels' surroundings: this project's library, no IPython profile, a run-time folder, what other chapters judged."""
    with tempfile.TemporaryDirectory(prefix="press-") as scratch:
        Path(scratch, "run").mkdir()
        changes = {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(lib), os.environ.get("PYTHONPATH")])),
            "IPYTHONDIR": f"{scratch}/ipython",
            "JUPYTER_RUNTIME_DIR": f"{scratch}/run",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "COSTPERTOKEN_KEPT": str(lib.parent / "_build" / "kept"),
        }
        before = {name: os.environ.get(name) for name in changes}
        os.environ.update(changes)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def _client_options() -> dict:
    from traitlets.config import Config

    quiet = {"extra_arguments": ["--log-level=CRITICAL"]}
    if sys.platform != "linux":
        return quiet
    # Sockets in this kernel's own folder: two that start together can then never be given one port.
    address = f"{os.environ['JUPYTER_RUNTIME_DIR']}/k"
    return quiet | {"config": Config({"KernelManager": {"transport": "ipc", "ip": address}})}


def engine_options(root: Path) -> dict:
    """What makes papermill run cells in a fork of this process, where forking is safe; elsewhere a kernel runs them."""
    if sys.platform != "linux":
        return {}
    from bookpress.engine import NAME

    return {"engine_name": NAME, "lib": root / "lib"}


def run(notebook, *, docname: str, folder: Path, parameters: dict, **options):
    """Run a notebook's cells in its own folder; raises ChapterError. `options` go to papermill and its engine."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from bookpress.engine import CELL_TIMEOUT_S

    # A kernel that is shut down after a failed cell may close a socket that the event loop still writes to; the failure
    # itself is raised below, and a traceback of the loop's beside it would only hide it.
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    try:
        done = papermill.execute_notebook(
            notebook,
            None,
            parameters=parameters,
            kernel_name=KERNELSPEC["name"],
            progress_bar=False,
            cwd=folder,
            execution_timeout=CELL_TIMEOUT_S,
            **(options if "engine_name" in options else options | _client_options()),
        )
    except PapermillExecutionError as error:
        raise ChapterError(docname, error.source, f"{error.ename}: {error.evalue}") from None
    except Exception as error:
        raise ChapterError(docname, "", f"{type(error).__name__}: {error}") from None
    return clean(done)


def execute_chapter(root: Path, docname: str, parameters: dict) -> tuple[bytes, float]:
    """Execute one chapter of the project at `root`: the notebook's bytes and the seconds it took."""
    start = time.perf_counter()
    source = root / f"{docname}.md"
    notebook = read_chapter(source)
    if any(cell.cell_type == "code" for cell in notebook.cells):
        with kernel_environment(root / "lib"):
            notebook = run(notebook, docname=docname, folder=source.parent, parameters=parameters, **engine_options(root))
    return to_bytes(notebook), time.perf_counter() - start
