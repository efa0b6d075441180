"""The press on the command line: python -m bookpress book | reference | serve | browser."""

import sys

import click
from rich.console import Console

from bookpress.project import PressError, Project, docnames, find_project
from bookpress.stamp import alone

# A log has no width of its own: wide enough for the table.
CONSOLE = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 140)


@click.group()
@click.option("--root", type=click.Path(exists=True, file_okay=False), help="The book's folder.")
@click.pass_context
def cli(context: click.Context, root: str | None) -> None:
    """Execute, render and serve the book."""
    context.obj = find_project(root)


@cli.command()
@click.pass_obj
def book(project: Project) -> None:
    """Execute what changed, then render the site into _build/html."""
    from bookpress import report
    from bookpress.render import render
    from bookpress.stage import stage_all, write_numbers

    names = docnames(project)
    with alone(project.build):
        runs = _execute(project, names)
        numbers = stage_all(project, names)
        with CONSOLE.status("rendering"):
            render(project, names)
        write_numbers(project, numbers)
    CONSOLE.print(report.table(runs, numbers))
    CONSOLE.print(f"{project.html / 'index.html'}", markup=False)


def _execute(project: Project, names: list[str]) -> list:
    from bookpress import report
    from bookpress.lint import check_pages
    from bookpress.schedule import execute_all

    check_pages(project, names)
    with report.execution_bar(CONSOLE) as start:
        runs, failures = execute_all(project, names, start)
    for failure in failures:
        report.show_failure(CONSOLE, failure)
    if failures:
        raise PressError(f"{len(failures)} of {len(names)} chapters failed; the earlier site is unchanged")
    return runs


@cli.command()
@click.pass_obj
def reference(project: Project) -> None:
    """Renew tests/reference and say which numbers moved."""
    from bookpress.reference import renew

    names = docnames(project)
    with alone(project.build):
        _execute(project, names)
        for line in renew(project, names):
            CONSOLE.print(line, markup=False)


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.pass_obj
def serve(project: Project, port: int) -> None:
    """Show _build/html on this machine."""
    from bookpress.serve import serve_site

    serve_site(project.html, port)


@cli.command()
@click.option("--install", is_flag=True, help="Install it where that is possible.")
def browser(install: bool) -> None:
    """Find the Chromium that the browser tests use."""
    from bookpress.browser import HELP, find_browser, install_browser

    found = install_browser() if install else find_browser()
    CONSOLE.print(found or f"no Chromium found: {HELP}", markup=False)
    sys.exit(0 if found else 1)


def main() -> None:
    """Run the command; a failure that has an explanation is told in a line, without a traceback."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except PressError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(str(error), markup=False, style="red")
        sys.exit(1)


if __name__ == "__main__":
    main()
