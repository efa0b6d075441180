"""`costpertoken rerun`: a chapter of the book with a reader's own numbers."""

import contextlib
import sys
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from costpertoken import parameters
from costpertoken.answers import estimate as answers
from costpertoken.model.records import InputError, Workload

WIDTH = 110


@click.command(short_help="A chapter of the book with your own numbers.")
@click.argument("chapter")
@click.option("-p", "--parameter", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter; may be given again.")
@click.option("-f", "--file", "file", type=click.Path(dir_okay=False), help="A YAML file of parameters; -p goes before it.")
@click.option("--out", type=click.Path(file_okay=False), default="reruns", show_default=True, help="Folder of the results.")
@click.option("--help-parameters", is_flag=True, help="List the chapter's parameters with unit, range and default.")
def rerun(chapter, pairs, file, out, help_parameters) -> None:
    """Run CHAPTER again with parameters of your own.

    The result is a folder named by its content: the executed notebook, a page that needs nothing beside it, the headline
    numbers as JSON and a manifest of what they were made from. What is unknown, out of range or contradictory is refused
    before anything runs. Needs a checkout of the book.

    \b
    Examples:
      costpertoken rerun token_cost --help-parameters
      costpertoken rerun token_cost -p model_id=llama-3.1-8b -p weights=bf16 -p tp=1
      costpertoken rerun hardware/cpu -f mine.yaml --out results
    """
    try:
        printed(chapter, pairs, file, Path(out), help_parameters)
    except KeyboardInterrupt:
        sys.exit(130)


def printed(chapter, pairs, file, out: Path, help_parameters) -> None:
    """The list of parameters, or the result's page."""
    press, project, docname = found(chapter)
    declared = parameters.declared(press.parameters_cell(project, docname))
    if help_parameters:
        click.echo(listed(declared), nl=False)
        return
    values = parameters.check(declared, {**from_file(file), **from_pairs(pairs)})
    check_deployment(values)
    result, known = executed(press, project, docname, declared, values, out)
    click.echo(f"{'already there: ' if known else ''}{result / 'index.html'}")


def found(chapter: str):
    """(the press, the book around this folder, the page that is meant)."""
    try:
        from bookpress import rerun as press
        from bookpress.project import PressError, find_project
    except ImportError as error:
        raise InputError(f"rerun needs the package's extra `book`: {error.name} is not installed") from None
    try:
        project = find_project()
        return press, project, press.chapter_of(project, chapter)
    except PressError as error:
        raise InputError(str(error)) from None


def from_pairs(pairs) -> dict[str, str]:
    """The values of -p by name."""
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"-p {pair!r}; expected NAME=VALUE")
        if given.setdefault(name, value) != value:
            raise InputError(f"-p {name} is given twice, as {given[name]!r} and as {value!r}: they contradict each other")
    return given


def from_file(path: str | None) -> dict:
    """The parameters of a YAML file."""
    if path is None:
        return {}
    import yaml

    try:
        tree = yaml.compose(Path(path).read_text("utf-8"), Loader=yaml.BaseLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{where}: no YAML: {getattr(error, 'problem', None) or error}") from None
    given: dict[str, str] = {}
    for name, value in pairs_of(tree, path):
        if given.setdefault(name.value, value.value) != value.value:
            line = name.start_mark.line + 1
            raise InputError(f"{path}, line {line}: {name.value} stands there twice, with different values: they contradict")
    return given


def pairs_of(tree, path: str) -> list[tuple]:
    """The nodes of a file's names and values, all of them plain."""
    if tree is None:
        return []
    pairs = tree.value if tree.id == "mapping" else [(tree, tree)]
    for name, value in pairs:
        if name.id != "scalar" or value.id != "scalar" or tree.id != "mapping":
            raise InputError(f"{path}, line {name.start_mark.line + 1}: expected lines of `name: value`")
    return pairs


def check_deployment(values: dict) -> None:
    """Refuse parameters that contradict each other in memory or in the model's heads, where a chapter names a deployment."""
    if not {"model_id", "accelerator_id", "tp"} <= values.keys():
        return
    placed = {name: values[name] for name in ("weights", "tp") if name in values}
    deployed = answers.deployment(values["model_id"], values["accelerator_id"], **placed)
    lengths = {name: values.get(name, 1) for name in ("input_tokens", "output_tokens")}
    request = Workload(**lengths)
    served = answers.serve_workload(deployed, request)
    if int(served.status):
        raise InputError(answers.why_not(deployed, served, request))


def listed(declared) -> str:
    """The parameters as a table for a terminal."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("parameter", "type", "default", "allowed", "meaning"):
        grid.add_column(head, no_wrap=head in ("parameter", "type"))
    for one in declared:
        allowed = f"{one.range} {one.unit}".strip() or one.allowed or "true or false"
        default = f"{one.default:.12g}" if one.kind == "float" else str(one.default)
        grid.add_row(one.name, one.kind, default, allowed, one.help)
    console = Console(width=WIDTH, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def executed(press, project, docname, declared, values, out: Path):
    """Run it under a bar that names the current cell."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("", total=None)

    def tell(cell: int, of: int, section: str) -> None:
        bar.start()  # its thread only after the cells' process has been forked
        bar.update(task, total=of, completed=cell, description=section)

    try:
        with failures_told(docname, out):
            return press.rerun(project, docname, declared, values, out, tell)
    finally:
        if bar.live.is_started:
            bar.stop()


@contextlib.contextmanager
def failures_told(docname: str, out: Path):
    """End the command in words: status 2 for what was refused before anything ran, 1 for a chapter that failed."""
    from bookpress.execute import ChapterError
    from bookpress.project import PressError
    from bookpress.results import Refused

    try:
        yield
    except Refused as error:
        raise InputError(str(error)) from None
    except ChapterError as error:
        source = "\n".join(f"    {line}" for line in error.source.rstrip().splitlines())
        click.echo(f"{docname}.md failed\n{source}\n{error.message.strip().splitlines()[-1]}", err=True)
        sys.exit(1)
    except PressError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from None
