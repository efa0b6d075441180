"""`costpertoken simulate`: a request trace through the scheduler of one replica: latencies, occupancy and cost."""

import json
import math

import click

from costpertoken.answers import estimate as answers
from costpertoken.cli import traces
from costpertoken.cli.cost import chosen_price, known_engine
from costpertoken.cli.terminal import hanging, table
from costpertoken.model.records import InputError, Workload, check_range
from costpertoken.model.units import KILO

#: Options of made-up traffic with their defaults; none of them goes with --trace.
MADE_UP = {"rate": None, "requests": 1000, "arrivals": "poisson", "input_tokens": 1000.0, "output_tokens": 500.0,
           "lengths": "lognormal", "cv": None, "burstiness": None, "peak_to_mean": None, "period_s": None, "seed": 0}  # fmt: skip
#: Option -> (option, value) without which it means nothing.
ONLY_WITH = {
    "burstiness": ("arrivals", "bursty"), "peak_to_mean": ("arrivals", "diurnal"), "period_s": ("arrivals", "diurnal"),
    "cv": ("lengths", "lognormal"), "window_s": ("schedule", "dynamic"), "token_budget": ("schedule", "chunked"),
}  # fmt: skip
KNOBS = ("window_s", "token_budget", "block_tokens", "reserved_tokens", "prefix_cache")
MOST_REQUESTS, MOST_PERIODS = 5_000_000, 10_000
LATENCIES = {"TTFT": "ttft", "TPOT": "tpot", "whole request": "e2e"}


@click.command("simulate", short_help="A request trace through a scheduler: latencies and cost.")
@click.option("-m", "--model", required=True, help="Model id of data/models.csv, such as llama-3.1-8b.")
@click.option("-a", "--accelerator", required=True, help="Accelerator id of data/accelerators.csv, such as h100-sxm.")
@click.option("-w", "--weights", help="Format of the weights, such as bf16, fp8, int4. Default: the checkpoint's own.")
@click.option("--cache", help="Format of the KV cache. Default: what goes with the weights.")
@click.option("--tp", type=int, help="Tensor-parallel degree. Default: the cheapest of 1, 2, 4, 8 at the mean lengths.")
@click.option("--engine", default=answers.ENGINE, show_default=True, help="A family of data/engines.csv.")
@click.option("--trace", help="A trace: Azure's CSV, BurstGPT's CSV, Mooncake's JSONL; plain or gzipped.")
@click.option("--strict", is_flag=True, help="Stop at the trace's first bad row instead of counting them.")
@click.option("--rate", type=float, help="Made-up traffic instead: requests a second.")
@click.option("--requests", type=int, help="How many are made up. Default: 1000.")
@click.option("--arrivals", help="How they come: poisson (the default), bursty, diurnal or backlog.")
@click.option("-i", "--input-tokens", type=float, help="Mean prompt. Default: 1000 tokens.")
@click.option("-o", "--output-tokens", type=float, help="Mean answer. Default: 500 tokens.")
@click.option("--lengths", help="constant, uniform, geometric or lognormal (the default).")
@click.option("--cv", type=float, help="Standard deviation over mean of lognormal lengths. Default: 1.")
@click.option("--burstiness", type=float, help="bursty: coefficient of variation of the gaps. Default: 2.")
@click.option("--peak-to-mean", type=float, help="diurnal: the highest rate over the mean. Default: 1.5.")
@click.option("--period-s", type=float, help="diurnal: seconds of its period. Default: a day.")
@click.option("--seed", type=int, help="Of everything that is drawn. Default: 0.")
@click.option("--schedule", default="chunked", show_default=True, help="static, dynamic, continuous or chunked.")
@click.option("--max-batch", type=int, help="Most sequences at once. Default: the engine's.")
@click.option("--window-s", type=float, help="dynamic: longest wait for a batch to fill. Default: none.")
@click.option("--token-budget", type=int, help="chunked: most tokens of a step. Default: 2048.")
@click.option("--block-tokens", type=int, help="Tokens of a block of the cache. Default: 16.")
@click.option("--reserved-tokens", type=int, help="A stretch of so many tokens for each request instead of blocks.")
@click.option("--prefix-cache", is_flag=True, default=None, help="Keep prefixes for requests that begin alike.")
@click.option("-p", "--price", type=float, help="USD per accelerator-hour. Default: median of the offers on record.")
@click.option("--cloud-class", help="Whose prices: hyperscaler, neocloud or marketplace.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def simulate_command(as_json, **asked) -> None:
    """Each request of a trace through one replica, iteration by iteration.

    Latencies as percentiles over the requests served; USD per million output tokens with the whole bill on output, once for
    all paid time from the first arrival to the last token, once for the busy time alone.

    \b
    Examples:
      costpertoken simulate -m llama-3.1-8b -a h100-sxm --rate 8 --requests 2000 -i 1000 -o 300
      costpertoken simulate -m llama-3.1-70b -a h100-sxm --tp 4 --trace trace.csv.gz --schedule continuous
      costpertoken simulate -m llama-3.1-8b -a l40s --trace mooncake.jsonl --prefix-cache --json
    """
    for option, (other, value) in ONLY_WITH.items():
        if asked[option] is not None and (asked[other] or MADE_UP.get(other)) != value:
            raise InputError(f"{traces.name_of(option)} needs {traces.name_of(other)} {value}")
    record = simulated(asked)
    click.echo(json.dumps(record, indent=2, allow_nan=False) if as_json else drawn(record), nl=as_json)


def simulated(asked: dict) -> dict:
    """What the options ask for, as plain numbers. The compiled scheduler is loaded here: no other command waits for it."""
    from costpertoken.fleet import simulate as fleet

    if asked["schedule"] not in fleet.SCHEDULES:
        raise InputError(f"--schedule is {asked['schedule']!r}; expected one of {', '.join(fleet.SCHEDULES)}")
    trace = traffic(asked)
    where = {"commitment": "on-demand", "cloud_class": asked["cloud_class"], "provider": None, "region": None}
    deployed = placed(asked, trace)
    rent = chosen_price(asked["accelerator"], asked["price"], **where)
    check_range("--price", rent.usd_per_hour, exclusive=True)
    if asked["prefix_cache"] and not trace.prefix_block_tokens:
        raise InputError(
            f"--prefix-cache needs a trace whose prefixes are known, such as Mooncake's; {trace.name} has none"
        )
    knobs = {name: asked[name] for name in KNOBS if asked[name] is not None}
    policy = fleet.policy_of(deployed, schedule=asked["schedule"], max_batch=asked["max_batch"], **knobs)
    found = fleet.simulate(trace, deployed, policy)
    figures = fleet.summary(found, usd_per_hour=rent.usd_per_hour)
    if not figures["n_served"]:
        reasons = "; ".join(f"{n:,} {reason}" for reason, n in figures["refused"].items())
        raise InputError(f"{trace.name}: no request can be served: {reasons}")
    return as_record(deployed, policy, rent, trace, figures)


def traffic(asked: dict):
    """The trace that is read or made up."""
    from costpertoken.fleet.arrivals import synthetic

    trace = traces.given(asked, MADE_UP)
    if trace is not None:
        return trace
    made = {option: default if asked[option] is None else asked[option] for option, default in MADE_UP.items()}
    load = {
        name: made[name] for name in ("burstiness", "peak_to_mean", "period_s") if made[name] is not None
    } | rate_of(made)
    lengths = {"kind": made["lengths"]} | ({} if made["cv"] is None else {"cv": made["cv"]})
    sizes = {name: {"mean": made[name], **lengths} for name in ("input_tokens", "output_tokens")}
    check_range("--seed", made["seed"])
    return synthetic(n_requests=made["requests"], arrivals=made["arrivals"], seed=made["seed"], **sizes, **load)


def rate_of(made: dict) -> dict:
    """The rate of made-up traffic, unless it is a backlog; refuses more requests, or more periods, than make sense."""
    check_range("--requests", made["requests"], low=1, high=MOST_REQUESTS)
    if made["arrivals"] == "backlog":
        if made["rate"] is not None:
            raise InputError("--rate and --arrivals backlog contradict each other: a backlog is there at once")
        return {}
    if made["rate"] is None:
        raise InputError(
            "neither --trace nor --rate is given; expected a file, or requests a second (or --arrivals backlog)"
        )
    check_range("--rate", made["rate"], exclusive=True)
    if made["period_s"] is not None:
        least = made["requests"] / made["rate"] / MOST_PERIODS
        check_range("--period-s", made["period_s"], low=least, exclusive=True)
    return {"rate_per_s": made["rate"]}


def placed(asked: dict, trace):
    """The deployment of one replica; refused if the weights do not fit."""
    asked_for = {"weights": asked["weights"], "cache": asked["cache"], "engine": known_engine(asked["engine"])}
    tp = 1 if asked["tp"] is None else asked["tp"]
    deployed = answers.deployment(asked["model"], asked["accelerator"], tp=tp, **asked_for)
    load = Workload(input_tokens=float(trace.input_tokens.mean()), output_tokens=float(trace.output_tokens.mean()))
    if asked["tp"] is None:
        deployed = answers.replace(deployed, tp=answers.best_tp(deployed, load))
    short = answers.serve_workload(deployed, Workload(input_tokens=1.0, output_tokens=1.0))
    if int(short.status):
        raise InputError(answers.why_not(deployed, short, load))
    return deployed


def as_record(deployed, policy, rent, trace, figures: dict) -> dict:
    """The simulation as plain numbers, for JSON; null for what no request has."""
    engine = {reason: n for reason, n in figures["refused"].items() if reason not in trace.refused}
    numbers = {name: value for name, value in figures.items() if name != "refused"}
    return {
        "model": deployed.model.id,
        "accelerator": deployed.accelerator.id,
        "precision": deployed.precision.id,
        "tp": int(deployed.tp),
        "usd_per_hour": rent.usd_per_hour,
        "price": rent.label,
        "policy": {name: None if value == math.inf else value for name, value in vars(policy).items()},
        "trace": {
            "name": trace.name,
            "n_requests": int(trace.arrival_s.size),
            "n_rows": int(trace.arrival_s.size) + sum(map(len, trace.refused.values())),
            "reordered": trace.reordered,
            "mean_input_tokens": float(trace.input_tokens.mean()),
            "mean_output_tokens": float(trace.output_tokens.mean()),
        },
        "figures": {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in numbers.items()
        },
        "refused": {"by_the_reader": traces.refused_rows(trace), "by_the_engine": engine},
    }


def drawn(record: dict) -> str:
    """The simulation as a table and notes for a terminal."""
    at, figures = record["trace"], record["figures"]
    head = (
        f"{record['model']} at {record['precision'].split('/')[0]} on {record['tp']} x {record['accelerator']}, "
        f"{record['policy']['schedule']} batches of at most {record['policy']['max_batch']:,}\n"
        f"{at['name']}: {at['n_requests']:,} requests; {at['mean_input_tokens']:,.0f} tokens in, "
        f"{at['mean_output_tokens']:,.0f} out on average"
    )
    rows = [[name, *(shown(figures[f"{key}_{p}_s"]) for p in ("p50", "p90", "p99"))] for name, key in LATENCIES.items()]
    grid = table(["milliseconds", "p50", "p90", "p99"], rows)
    return "\n".join([head, grid, "", *(hanging(*note) for note in [*notes(record), *refusals(record)])]) + "\n"


def shown(seconds: float | None) -> str:
    """Milliseconds."""
    return "-" if seconds is None else f"{seconds * KILO:,.1f}" if seconds < 1.0 else f"{seconds * KILO:,.0f}"


def notes(record: dict) -> list[tuple[str, str]]:
    """Speed, occupancy, memory and cost: labels and words."""
    at = record["figures"]
    memory = f"{at['n_preemptions']:,} preemptions; {at['cached_share']:.1%} of the prompts' tokens found in the cache"
    cost = f"{at['usd_per_mtok']:,.3f} USD per million output tokens of all paid time"
    return [
        ("Served", f"{at['n_served']:,} requests in {at['span_s']:,.1f} s, {at['n_iterations']:,} steps"),
        ("Speed", f"{at['output_tok_per_s']:,.0f} output tokens/s, {at['requests_per_s']:,.2f} requests/s"),
        (
            "Occupied",
            f"busy {at['busy_share']:.1%} of the time; slots {at['slot_occupancy']:.1%}, "
            f"of batches as formed {at['batch_occupancy']:.1%}",
        ),
        ("Memory", memory),
        ("Price", f"{record['usd_per_hour']:.2f} USD per accelerator-hour; {record['price']}"),
        ("Cost", f"{cost}, {at['usd_per_mtok_busy']:,.3f} of the busy time"),
    ]


def refusals(record: dict) -> list[tuple[str, str]]:
    """What was refused, by whom and why, and what was put in order."""
    read, engine = record["refused"]["by_the_reader"], record["refused"]["by_the_engine"]
    by_engine = [("Refused", f"{traces.counted(n, 'request')}: {reason}") for reason, n in engine.items()]
    return traces.notes(read, record["trace"]["reordered"]) + by_engine
