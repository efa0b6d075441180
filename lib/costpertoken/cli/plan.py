"""`costpertoken plan`: traffic and limits in, the cheapest fleets out: as a table with a chart, as JSON, as a page."""

import json
import math
from datetime import date
from pathlib import Path

import click

from costpertoken import tables
from costpertoken.answers import estimate as answers
from costpertoken.answers import plan as search
from costpertoken.answers.offers import offers
from costpertoken.cli import planpage, traces
from costpertoken.cli.cost import known_engine
from costpertoken.cli.plantext import drawn, named
from costpertoken.model.records import InputError, check_range
from costpertoken.model.units import KILO

#: Options of made-up traffic with their defaults; none of them goes with --trace.
MADE_UP = {"rate": None, "input_tokens": 1000.0, "output_tokens": 300.0, "input_cv": 1.0, "output_cv": 1.0,
           "peak_to_mean": 1.0, "weekend_share": 1.0}  # fmt: skip
#: Fleets found before the first are confirmed: bursts may make a later one the cheapest.
CANDIDATES = 30
MANY = {"multiple": True, "metavar": "NAME"}


@click.command("plan", short_help="The cheapest fleets for your traffic and limits.")
@click.option("-m", "--model", "models", required=True, multiple=True, help="Model id of data/models.csv; several compete.")
@click.option("--trace", help="Your requests: Azure's CSV, BurstGPT's CSV, Mooncake's JSONL; plain or gzipped.")
@click.option("--strict", is_flag=True, help="Stop at the trace's first bad row instead of counting them.")
@click.option("--rate", type=float, help="Instead of a trace: requests a second in the mean.")
@click.option("-i", "--input-tokens", type=float, help="Mean prompt. Default: 1000 tokens.")
@click.option("-o", "--output-tokens", type=float, help="Mean answer. Default: 300 tokens.")
@click.option("--input-cv", type=float, help="Standard deviation of prompts over their mean. Default: 1.")
@click.option("--output-cv", type=float, help="Standard deviation of answers over their mean. Default: 1.")
@click.option("--peak-to-mean", type=float, help="Busiest hour of the week over the mean. Default: 1.")
@click.option("--weekend-share", type=float, help="Load of a weekend day over another day's. Default: 1.")
@click.option("--cached-share", type=float, default=0.0, show_default=True, help="Share of prompt tokens found in a cache.")
@click.option("--ttft-ms", type=float, help="Longest time to the first token. Default: no limit.")
@click.option("--tpot-ms", type=float, help="Longest time for each further token. Default: no limit.")
@click.option("--percentile", type=float, default=90.0, show_default=True, help="Of the requests that keep each limit.")
@click.option("-a", "--accelerator", "accelerators", help="Only these accelerators.", **MANY)
@click.option("-w", "--weights", "formats", help="Only these formats. Default: the checkpoint's, bf16, fp8.", **MANY)
@click.option("--vendor", "vendors", help="Only accelerators of these vendors.", **MANY)
@click.option("--provider", "providers", help="Only these providers.", **MANY)
@click.option("--region", "regions", help="Only these regions.", **MANY)
@click.option("--cloud-class", "classes", help="Default: hyperscaler and neocloud; marketplace on request.", **MANY)
@click.option("--term", "terms", help="on-demand (the default), spot, 1y, 3y.", **MANY)
@click.option("--max-price", type=float, help="Most USD per accelerator-hour.")
@click.option("--budget", type=float, help="Most USD per month.")
@click.option("--min-replicas", type=int, default=1, show_default=True, help="Fewest replicas at any time.")
@click.option("--spares", type=int, default=0, show_default=True, help="Replicas beyond what the load needs (N + k).")
@click.option("--scaling", default="fixed", show_default=True, help="fixed, or hourly: replicas follow the hours of a week.")
@click.option("--engine", default=answers.ENGINE, show_default=True, help="A family of data/engines.csv.")
@click.option("--top", type=click.IntRange(1, 50), default=8, show_default=True, help="Fleets that are shown.")
@click.option("--replay", type=click.IntRange(0, 50), default=3, show_default=True, help="Fleets confirmed by simulation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option("--html", "page", type=click.Path(dir_okay=False), help="Also write one page with chart and table, offline.")
def plan_command(as_json, page, **asked) -> None:
    """The cheapest fleets that serve your traffic within your limits.

    Every accelerator, weight format, tensor-parallel degree, batch and offer is searched; each replica is a queue whose speed
    depends on its load. The first fleets are confirmed by replaying the requests, iteration by iteration, and get the replicas
    that the replay needs. USD per million output tokens carries the whole bill, idle time included.

    \b
    Examples:
      costpertoken plan -m llama-3.1-70b --rate 20 --peak-to-mean 2 --ttft-ms 1000 --tpot-ms 50
      costpertoken plan -m llama-3.1-8b -m gpt-oss-20b --trace requests.csv.gz --provider aws --provider gcp --term 3y
      costpertoken plan -m deepseek-v3 --rate 5 --scaling hourly --peak-to-mean 3 --spares 1 --html plan.html
    """
    record = found(asked)
    if page:
        planpage.write(Path(page), record)
    click.echo(json.dumps(plain(record), indent=2, allow_nan=False) if as_json else drawn(record), nl=as_json)


def found(asked: dict) -> dict:
    """The plan that the options ask for. The compiled scheduler is loaded here: no other command waits for it."""
    from costpertoken.answers import planned

    demand, trace = demanded(asked)
    rules = ruled(asked, trace)
    names = {name: asked[name] for name in ("accelerators", "vendors", "providers", "regions", "classes")}
    offered = offers(**names, terms=asked["terms"] or ("on-demand",), max_usd_per_hour=asked["max_price"])
    machines = {"token_budget": rules.token_budget, "formats": asked["formats"], "engine": known_engine(asked["engine"])}
    placed = list(search.placements(asked["models"], offered["accelerator_id"].unique(), demand.lengths, **machines))
    fleets = search.search(placed, offered, demand, rules, top=max(asked["top"], CANDIDATES))
    if not fleets:
        raise InputError(planned.why_none(placed, demand))
    rows = described(fleets, asked, demand, rules, offered, trace)
    within_budget(asked, rows[0])
    return as_record(asked, demand, rules, trace, rows, n_placements=len(placed), n_offers=len(offered))


def ruled(asked: dict, trace) -> search.Rules:
    """What the fleet must have, checked."""
    if asked["scaling"] not in search.SCALINGS:
        raise InputError(f"--scaling is {asked['scaling']!r}; expected one of {', '.join(search.SCALINGS)}")
    if asked["scaling"] == "hourly" and trace is not None:
        raise InputError("--scaling hourly needs a week: --rate with --peak-to-mean; a trace is served by a fixed fleet")
    for name, low in (("min_replicas", 1), ("spares", 0)):
        check_range(traces.name_of(name), asked[name], low=low, high=100_000)
    wanted = {name: asked[name] for name in ("min_replicas", "spares", "scaling")}
    return search.Rules(**wanted, token_budget=int(tables.convention("token_budget")))


def within_budget(asked: dict, best: dict) -> None:
    """Refuse a budget that the cheapest fleet is above, and say by how much."""
    if asked["budget"] is not None and best["usd_per_month"] > check_range("--budget", asked["budget"], exclusive=True):
        over = best["usd_per_month"] - asked["budget"]
        raise InputError(
            f"--budget is {asked['budget']:,.0f} USD a month; the cheapest fleet costs {best['usd_per_month']:,.0f}, "
            f"{over:,.0f} more: {named(best, asked['models'])}"
        )


def demanded(asked: dict):
    """(the demand, the trace or None)."""
    from costpertoken.fleet import demand

    given_ms = {"ttft_s": asked["ttft_ms"], "tpot_s": asked["tpot_ms"]}
    limits = {name: math.inf if given is None else given / KILO for name, given in given_ms.items()}
    kept = limits | {"share": check_range("--percentile", asked["percentile"], low=1.0, high=99.9) / 100}
    check_range("--cached-share", asked["cached_share"], high=0.999)
    trace = traces.given(asked, MADE_UP)
    if trace is None:
        return made_up(asked, kept), None
    return demand.of_trace(trace, cached_share=asked["cached_share"], **kept), trace


def made_up(asked: dict, kept: dict):
    """The demand of a rate and of lengths, checked."""
    from costpertoken.fleet import demand

    if asked["rate"] is None:
        raise InputError("neither --trace nor --rate is given; expected a file of requests, or requests a second")
    made = {option: default if asked[option] is None else asked[option] for option, default in MADE_UP.items()}
    for option, ends in {"input_tokens": {"low": 1.0}, "output_tokens": {"low": 1.0}, "input_cv": {"high": 10.0},
                         "output_cv": {"high": 10.0}, "rate": {"exclusive": True}}.items():  # fmt: skip
        check_range(traces.name_of(option), made[option], **ends)
    lengths = {name: made[name] for name in ("input_tokens", "output_tokens", "input_cv", "output_cv")}
    of = demand.Lengths(**lengths, cached_share=asked["cached_share"])
    shape = {name: made[name] for name in ("peak_to_mean", "weekend_share")}
    return demand.of_rate(made["rate"], of, **shape, **kept)


def described(fleets, asked: dict, demand, rules, offered, trace) -> list[dict]:
    """The fleets as plain numbers, the first ones with their replay, cheapest first; what each costs more than the best."""
    from costpertoken.answers import planned, workload

    pairs = workload.replayed_first(fleets, demand, rules, offered, trace, first=asked["replay"])
    today = date.today()
    rows = [planned.described(one, demand, rules, on=today, replay=replay) for one, replay in pairs[: asked["top"]]]
    return [row | {"usd_per_month_over_best": row["usd_per_month"] - rows[0]["usd_per_month"]} for row in rows]


def as_record(asked, demand, rules, trace, rows, **counts) -> dict:
    """The whole answer as plain values."""
    from costpertoken.fleet.demand import mean_per_s

    of = demand.lengths
    return {
        "traffic": {
            "trace": None if trace is None else trace.name,
            "n_requests": None if trace is None else int(trace.arrival_s.size),
            "refused": {} if trace is None else traces.refused_rows(trace),
            "reordered": 0 if trace is None else trace.reordered,
            "requests_per_s": mean_per_s(demand), "peak_requests_per_s": float(demand.levels_per_s.max()), **of._asdict(),
        },
        "limits": {"ttft_s": demand.ttft_s, "tpot_s": demand.tpot_s, "share": demand.share},
        "rules": {"models": list(asked["models"]), **vars(rules)},
        "searched": counts,
        "marketplace_left_out": not (asked["classes"] or asked["providers"]),
        "as_of": date.today().isoformat(),
        "api": search.api_bills(asked["models"], demand),
        "fleets": rows,
    }  # fmt: skip


def plain(value):
    """Numbers that JSON has no word for become null."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
