"""What the terminal shows: a bar while chapters run, then the table."""

from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bookpress.execute import ChapterError
from bookpress.numbers import headline
from bookpress.schedule import Run


@contextmanager
def execution_bar(console: Console):
    """A progress bar that starts with the first chapter: gives what `execute_all` calls."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    bar = Progress(*columns, console=console, transient=True)

    def start(n_todo: int):
        bar.start()
        task = bar.add_task("executing chapters", total=n_todo)
        return lambda name: bar.update(task, advance=1, description=f"executed {name}")

    try:
        yield start
    finally:
        bar.stop()


def table(runs: list[Run], numbers: dict[str, dict[str, dict]]) -> Table:
    """Chapter, seconds, headline number."""
    shown = Table("chapter", "seconds", "headline", box=None, header_style="bold", pad_edge=False)
    for run in runs:
        seconds = "cached" if run.cached else f"{run.seconds:.1f}"
        shown.add_row(run.docname.removeprefix("chapters/"), seconds, headline(numbers.get(run.docname, {})))
    return shown


def show_failure(console: Console, error: ChapterError) -> None:
    """The chapter, its cell, the exception's last line."""
    console.print(f"{error.docname}.md failed", style="bold red")
    if error.source:
        console.print("\n".join(f"    {line}" for line in error.source.rstrip().split("\n")), markup=False)
    console.print(error.message.strip().split("\n")[-1], markup=False, style="red")
