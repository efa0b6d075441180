"""`costpertoken claims`: the article's claims beside what the model and the data say, with the rule that gives the verdict."""

import json

import click
from rich import box
from rich.console import Console
from rich.table import Table

from costpertoken.evidence import claims, words
from costpertoken.evidence.verdict import VERDICTS

WIDTH = 140


@click.command(name="claims", short_help="The article's claims, computed, with a verdict each.")
@click.option("--chapter", help="Claims of one chapter, such as economics/batching.")
@click.option("--id", "claim_id", help="One claim.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def claims_command(chapter, claim_id, as_json) -> None:
    """Every claim of the article that this book answers: printed, computed with its interval, verdict and reason.

    A verdict is given by a rule, in its order, from the computed figure, the printed one and a tolerance; a condition
    under which a claim is true is solved for.

    \b
    Examples:
      costpertoken claims
      costpertoken claims --chapter economics/batching
      costpertoken claims --id batch32-cost-reduction --json
    """
    rows = claims.ledger(chapter=chapter, claim_id=claim_id)
    click.echo(to_json(rows) if as_json else drawn(rows))


def to_json(rows) -> str:
    """The ledger and the rule in its order, without NaN."""
    plain = {"rule": VERDICTS, "claims": json.loads(rows.to_json(orient="records"))}
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)


def drawn(rows) -> str:
    """The ledger as a table for a terminal, then the counts and the rule."""
    console = Console(width=WIDTH, no_color=True, highlight=False)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, style in (("claim", {"ratio": 5}), ("printed", {"ratio": 2}), ("computed", {"ratio": 3})):
        grid.add_column(name, **style)
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("why", ratio=6)
    shown = words.shown(rows)
    for name, (claim, printed, found, given, why) in zip(rows["id"], shown.itertuples(index=False), strict=True):
        grid.add_row(f"{name}: {claim}", printed, found, given, why)
    with console.capture() as captured:
        console.print(grid)
    table = "\n".join(line.rstrip() for line in captured.get().splitlines())
    return "\n".join([table, "", *footing(rows)])


def footing(rows) -> list[str]:
    """Counts by verdict, and the rule in its order."""
    counts = rows["verdict"].value_counts()
    lines = [f"{len(rows)} claims: " + ", ".join(f"{counts[name]} {name}" for name in VERDICTS if name in counts)]
    lines += ["", "The rule, the first that is met:"]
    lines += [f"  {place}. {name}: {when}" for place, (name, when) in enumerate(VERDICTS.items(), start=1)]
    return lines
