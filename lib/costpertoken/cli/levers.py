"""`costpertoken levers`: several optimizations on one baseline, what each saves and in which order, as a table or as JSON."""

import json
import textwrap

import click

from costpertoken.answers import baseline as start
from costpertoken.answers import compose as answers
from costpertoken.answers import levers as named
from costpertoken.cli.cost import chosen_price
from costpertoken.cli.terminal import WIDTH, hanging, table
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.uncertain import cost_interval, joined
from costpertoken.model.records import InputError

BASELINE = "model=ID,accelerator=ID[,weights=FORMAT][,tp=N][,serving=early][,concurrency=N], and so on."


@click.command("levers", short_help="What optimizations give together, in any order.")
@click.option("-b", "--baseline", help=f"What they start from: {BASELINE}")
@click.option(
    "-l", "--lever", "levers", multiple=True, help="A lever, `name` or `name:setting=value,...`; give one or more."
)
@click.option("--order", help="Order of the waterfall: names with commas, or `all` for every order. Default: as given.")
@click.option("-i", "--input-tokens", type=float, default=1000, show_default=True, help="Prompt tokens a request.")
@click.option("-o", "--output-tokens", type=float, default=500, show_default=True, help="Output tokens a request.")
@click.option("-p", "--price", type=float, help="USD per accelerator-hour. Default: median of the offers on record.")
@click.option("--cloud-class", help="Whose prices: hyperscaler, neocloud or marketplace.")
@click.option("--list", "listed", is_flag=True, help="List the levers and their settings, and leave.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the tables.")
def levers_command(baseline, levers, order, input_tokens, output_tokens, price, cloud_class, listed, as_json) -> None:
    """What optimizations save together, each a change of inputs after which everything is computed again.

    A waterfall in USD per million output tokens (the whole bill on output); with `--order all` the least and the most that
    each lever gives over all orders and its Shapley share. The article's product of multipliers stands beside it.

    \b
    Examples:
      costpertoken levers -b model=llama-3.1-70b,accelerator=h100-sxm,weights=bf16,tp=4,serving=early \\
        -l paging -l continuous-batching -l fp8 -l routing:small=llama-3.1-8b,share=0.5 --order all
      costpertoken levers --list
    """
    if listed:
        click.echo(catalogue(), nl=False)
        return
    found = composed(baseline, levers, input_tokens, output_tokens, price, cloud_class)
    names = None if order in (None, "all") else [name.strip() for name in order.split(",")]
    record = as_record(found, names, every=order == "all")
    click.echo(json.dumps(record, indent=2, allow_nan=False) if as_json else drawn(record), nl=as_json)


def composed(baseline, levers, input_tokens, output_tokens, price, cloud_class) -> answers.Composition:
    """The composition that the options ask for."""
    if not baseline:
        raise InputError(f"--baseline is missing; expected {BASELINE}")
    if not levers:
        raise InputError("no --lever is given; `costpertoken levers --list` names them")
    pulled = [named.parse(text) for text in levers]
    setup = start.parse(baseline, input_tokens=input_tokens, output_tokens=output_tokens)
    where = {"commitment": "on-demand", "cloud_class": cloud_class, "provider": None, "region": None}
    rent = chosen_price(setup.deployment.accelerator.id, price, **where)
    return answers.compose(setup, pulled, usd_per_hour=rent.usd_per_hour)


def as_record(found: answers.Composition, order: list[str] | None, *, every: bool) -> dict:
    """The composition as plain values, for JSON."""
    at, steps = found.baseline.deployment, answers.waterfall(found, order)
    ratio = steps["usd"].iloc[0] / steps["usd"].iloc[-1]
    low, high = (ratio * end for end in joined(ratio_band("loads"), ratio_band("precisions")))
    backlog = found.baseline.workload.concurrency is None
    band, support = cost_interval(at.accelerator.id, at.model.id, at.engine, backlog=backlog)
    ends = steps["usd"].iloc[[0, -1]]
    said = answers.naive(found.levers)
    product = {name: float(said[name].iloc[-1]) for name in ("product_low", "product_high")} if len(said) else None
    return {
        "baseline": {
            "model": at.model.id, "accelerator": at.accelerator.id, "precision": at.precision.id, "tp": int(at.tp),
            "schedule": found.baseline.schedule, "input_tokens": found.baseline.workload.input_tokens,
            "output_tokens": found.baseline.workload.output_tokens, "usd_per_hour": found.usd_per_hour,
        },
        "levers": {one.name: dict(one.settings) for one in found.levers},
        "waterfall": steps.to_dict("records"),
        "usd_per_mtok": {
            name: {"value": usd, "low": usd * band[0], "high": usd * band[1]}
            for name, usd in zip(("before", "after"), ends, strict=True)
        },
        "support": support,
        "ratio": {"value": ratio, "low": low, "high": high},
        "all_orders": answers.all_orders(found).to_dict("records") if every else None,
        "article": {"factors": said.to_dict("records"), "product": product},
    }  # fmt: skip


def drawn(record: dict) -> str:
    """Tables and notes for a terminal."""
    at, rows = record["baseline"], record["waterfall"]
    head = (
        f"{at['model']} at {at['precision'].split('/')[0]} on {at['tp']} x {at['accelerator']}, {at['schedule']} batches; "
        f"{at['input_tokens']:,.0f} tokens in, {at['output_tokens']:,.0f} out; USD per million output tokens"
    )
    shown = ("usd", "saved_usd", "at_same_batch_usd", "by_admitting_usd")
    steps = [
        [row["lever"], *(f"{row[name]:,.4f}" for name in shown), f"{row['batch']:,.0f}", row["bound"]] for row in rows
    ]
    heads = ["after", "cost", "saved", "same batch", "more admitted", "batch", "bound"]
    parts = [textwrap.fill(head, WIDTH), table(heads, steps)]
    if record["all_orders"]:
        columns = ("alone", "last", "least", "most", "shapley")
        ranges = [
            [r["lever"], *(f"{r[c]:.3g} x" for c in columns), f"{r['share']:.0f} %"] for r in record["all_orders"]
        ]
        parts.append(table(["cheaper by", "alone", "last", "least", "most", "Shapley", "share"], ranges))
    return "\n".join([*parts, *(hanging(*note) for note in notes(record))]) + "\n"


def notes(record: dict) -> list[tuple[str, str]]:
    """What the total is, what no lever passes, and what the article's arithmetic would say."""
    last, ratio, said = record["waterfall"][-1], record["ratio"], record["article"]["product"]
    spans = [f"{at['value']:.3f} ({at['low']:.3f} to {at['high']:.3f})" for at in record["usd_per_mtok"].values()]
    floors = (
        f"multiplying {last['compute_floor_usd']:.4f}, own cache {last['cache_floor_usd']:.4f} USD at the data sheet"
    )
    found = [
        ("Together", f"{ratio['value']:.3g} times cheaper (80 % interval {ratio['low']:.3g} to {ratio['high']:.3g}, from "
                     "errors on what the fit had not seen; what is assumed of a lever is not in it)"),
        ("Cost", f"from {spans[0]} to {spans[1]} USD at {record['baseline']['usd_per_hour']:.2f} USD an hour; the baseline is "
                 f"{record['support']}"),
        ("Floors", floors),
    ]  # fmt: skip
    if said:
        low, high = f"{said['product_low']:.3g}", f"{said['product_high']:.3g}"
        found.append(("Article", f"its multipliers, multiplied: {low if low == high else f'{low} to {high}'} times"))
    return found


def catalogue() -> str:
    """Every lever with its settings, defaults and ranges."""
    rows = []
    for name, (words, _, _, names) in named.NAMED.items():
        known = named.settings_of(name)
        ranges = [f"{key} {row['value']:g} ({row['low']:g} to {row['high']:g})" for key, row in known.iterrows()]
        rows.append([name, words, ", ".join([f"{key} (a name)" for key in names] + ranges)])
    return table(["lever", "what", "settings, default and range"], rows, right=False) + "\n"
