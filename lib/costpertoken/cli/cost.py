"""`costpertoken cost`: one configuration, its speed and its USD per million tokens, as a table or as JSON."""

import json
from dataclasses import asdict

import click

from costpertoken import tables
from costpertoken.answers import estimate as answers
from costpertoken.cli.terminal import hanging, table
from costpertoken.model.records import InputError, Price, UnknownName, Workload
from costpertoken.model.roofline import BOUNDS, binding
from costpertoken.model.serving import LIMITS, Serving
from costpertoken.money.cost import ALLOCATIONS

KINDS = {"output": "output_usd_per_mtok", "input": "input_usd_per_mtok", "cached input": "cached_usd_per_mtok"}


def chosen_price(accelerator, price, **where) -> Price:
    """The price given, else the headline price of the offers on record."""
    if price is not None:
        if given := [name for name in ("provider", "region", "cloud_class") if where[name] is not None]:
            option = "--" + given[0].replace("_", "-")
            raise InputError(
                f"--price and {option} contradict each other: one is the price, the other looks it up; give one"
            )
        return Price(usd_per_hour=price, low=price, high=price, label="as given")
    return answers.headline_price(accelerator, **where)


@click.command(short_help="What a token costs on one configuration.")
@click.option("-m", "--model", required=True, help="Model id of data/models.csv, such as llama-3.1-70b.")
@click.option("-a", "--accelerator", required=True, help="Accelerator id of data/accelerators.csv, such as h100-sxm.")
@click.option("-w", "--weights", help="Format of the weights, such as bf16, fp8, int4. Default: the checkpoint's own.")
@click.option("--activations", help="Format of the products. Default: the weights' own.")
@click.option("--cache", help="Format of the KV cache. Default: what goes with the weights.")
@click.option("-i", "--input-tokens", type=float, default=1000, show_default=True, help="Prompt tokens a request.")
@click.option("-o", "--output-tokens", type=float, default=500, show_default=True, help="Output tokens a request.")
@click.option(
    "--cached-share", type=float, default=0.0, show_default=True, help="Share of prompt tokens found in a prefix cache."
)
@click.option(
    "-c", "--concurrency", type=float, help="Requests in flight on a replica. Default: a backlog, memory decides."
)
@click.option("-r", "--requests-per-s", type=float, help="Offered load instead: sets replicas, batch and utilisation.")
@click.option("-u", "--utilisation", type=float, default=1.0, show_default=True, help="Share of the paid time in use.")
@click.option("--tp", type=int, help="Tensor-parallel degree. Default: the cheapest of 1, 2, 4, 8.")
@click.option("--pp", type=int, default=1, show_default=True, help="Pipeline stages.")
@click.option(
    "--dp", type=int, default=1, show_default=True, help="Attention data-parallel ranks (mixture of experts)."
)
@click.option(
    "--ep",
    type=int,
    default=1,
    show_default=True,
    help="Ranks that whole experts are spread over; they read and multiply what slices would.",
)
@click.option(
    "--engine", default=answers.ENGINE, show_default=True, help="Serving engine: a family of data/engines.csv."
)
@click.option("-p", "--price", type=float, help="USD per accelerator-hour. Default: median of the offers on record.")
@click.option(
    "--commitment", default="on-demand", show_default=True, help="Term of the price: on-demand, spot, 1y or 3y."
)
@click.option(
    "--cloud-class",
    help="Whose prices: hyperscaler, neocloud or marketplace. Default: neocloud where it sells the part.",
)
@click.option("--provider", help="One provider's offers only.")
@click.option("--region", help="One region's offers only.")
@click.option("--allocation", default="work", show_default=True, help="Who pays: " + ", ".join(ALLOCATIONS) + ".")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def cost(as_json, **asked) -> None:
    """What a million tokens cost, input and output apart.

    The model's 80 % interval (from its errors on measurements that it had not seen) and the market's range of prices
    are shown apart, then joined.

    \b
    Examples:
      costpertoken cost -m llama-3.1-70b -a h100-sxm -w fp8
      costpertoken cost -m llama-3.1-8b -a l40s -i 2000 -o 200 --requests-per-s 4
      costpertoken cost -m deepseek-v3 -a h200-sxm --tp 8 --price 3.20 --json
    """
    result = estimated(**asked)
    click.echo(json.dumps(as_record(result), indent=2, allow_nan=False) if as_json else drawn(result), nl=as_json)


def estimated(
    *, model, accelerator, weights, activations, cache, input_tokens, output_tokens, cached_share, concurrency,
    requests_per_s, utilisation, tp, pp, dp, ep, engine, price, commitment, cloud_class, provider, region, allocation,
) -> answers.Estimate:  # fmt: skip
    """The estimate that the options ask for."""
    if concurrency is not None and requests_per_s is not None:
        raise InputError("--concurrency and --requests-per-s contradict each other: one load sets the other; give one")
    if requests_per_s is not None and utilisation != 1.0:
        raise InputError("--utilisation and --requests-per-s contradict each other: the load decides it; give one")
    lengths = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cached_share": cached_share}
    load = Workload(**lengths, concurrency=concurrency)
    deployed = answers.deployment(
        model,
        accelerator,
        weights=weights,
        activations=activations,
        cache=cache,
        tp=1 if tp is None else tp,
        pp=pp,
        dp=dp,
        ep=ep,
        engine=known_engine(engine),
    )
    if tp is None:
        deployed = answers.replace(deployed, tp=answers.best_tp(deployed, load))
    where = {"commitment": commitment, "cloud_class": cloud_class, "provider": provider, "region": region}
    rent = chosen_price(accelerator, price, **where)
    asked = {"allocation": allocation, "requests_per_s": requests_per_s, "utilisation": utilisation}
    return answers.estimate(deployed, load, rent, **asked)


def known_engine(engine: str) -> str:
    """The engine family, if there is one of that name."""
    families = sorted(set(tables.read("engines")["family"]))
    if engine not in families:
        raise UnknownName(f"unknown engine {engine!r}; nearest: {tables.nearest(engine, families)}")
    return engine


def as_record(result: answers.Estimate) -> dict:
    """The estimate as plain numbers, for JSON."""
    serving, deployed = result.serving, result.deployment
    return {
        "model": deployed.model.id,
        "accelerator": deployed.accelerator.id,
        "precision": deployed.precision.id,
        "parallelism": {name: int(getattr(deployed, name)) for name in ("tp", "pp", "dp", "ep")},
        "n_accelerators": int(serving.n_accelerators) * result.n_replicas,
        "n_replicas": result.n_replicas,
        "workload": asdict(result.workload),
        "utilisation": result.utilisation,
        "price": asdict(result.price),
        "allocation": result.allocation,
        "usd_per_mtok": costs(result),
        "support": result.support,
        "per_replica": speed(serving),
        "data_date": tables.data_date(),
    }


def costs(result: answers.Estimate) -> dict:
    """USD per million tokens of each kind with its ranges; null for a kind of token that does not flow."""
    flows = dict(zip(KINDS, ("output_tok_per_s", "input_tok_per_s", "cached_tok_per_s"), strict=True))
    return {
        kind: answers.ranges(result, name) if getattr(result.serving, flows[kind]) else None
        for kind, name in KINDS.items()
    }


def speed(serving: Serving) -> dict:
    """What one replica delivers, and what holds it back."""
    figures = ("batch", "output_tok_per_s", "requests_per_s", "tpot_s", "ttft_s")
    bounds = {"batch_limit": LIMITS[int(serving.limit)], "bound": BOUNDS[int(binding(serving.step))]}
    return {name: float(getattr(serving, name)) for name in figures} | bounds


def drawn(result: answers.Estimate) -> str:
    """The estimate as a table for a terminal."""
    plain = as_record(result)
    rows = []
    ends = (("model_low", "model_high"), ("price_low", "price_high"), ("low", "high"))
    for kind, at in plain["usd_per_mtok"].items():
        if at:
            rows.append([kind, f"{at['value']:,.3f}", *(f"{at[low]:,.3f} to {at[high]:,.3f}" for low, high in ends)])
    grid = table(["USD per million tokens", "typical", "model's interval", "market's range", "joined"], rows)
    notes = "\n".join(hanging(*note) for note in footing(plain))
    return f"{headline(plain)}\n{grid}\n\n{notes}\n"


def headline(plain: dict) -> str:
    """What is priced: model, accelerators, lengths, load."""
    degrees = ", ".join(f"{name} {n}" for name, n in plain["parallelism"].items() if n > 1)
    work = plain["workload"]
    return (
        f"{plain['model']} at {plain['precision'].split('/')[0]} on {plain['n_accelerators']} x {plain['accelerator']}"
        + (
            f" ({plain['n_replicas']} replicas of {degrees or 'one'})"
            if plain["n_replicas"] > 1
            else f" ({degrees})"
            if degrees
            else ""
        )
        + f"; {work['input_tokens']:,.0f} tokens in, {work['output_tokens']:,.0f} out"
    )


def footing(plain: dict) -> list[tuple[str, str]]:
    """Speed, batch, price and what the figures rest on: labels and words."""
    per, rent = plain["per_replica"], plain["price"]
    offers = f", {rent['n_offers']} offers, the latest of {rent['as_of']}" if rent["as_of"] else ""
    speeds = f"{per['output_tok_per_s']:,.0f} output tokens/s a replica; TPOT {per['tpot_s'] * 1e3:.1f} ms"
    span = f"{rent['low']:.2f} to {rent['high']:.2f}; {rent['label']}{offers}"
    batch = f"{per['batch']:,.0f} requests in flight, set by {per['batch_limit']}; the step is bound by {per['bound']}"
    return [
        ("Speed", f"{speeds}, TTFT {per['ttft_s'] * 1e3:,.0f} ms"),
        ("Batch", batch),
        ("Price", f"{rent['usd_per_hour']:.2f} USD per accelerator-hour ({span}); {plain['utilisation']:.0%} used"),
        ("Split", f"{plain['allocation']}: {ALLOCATIONS[plain['allocation']]}"),
        (
            "Model",
            f"{plain['support']}; interval 80 %, from errors on what the fit had not seen; data of {plain['data_date']}",
        ),
    ]
