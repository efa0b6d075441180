"""What a composition shows a reader: the fewest accelerators that hold all of it, its cheapest subset, each lever's worth by
load, its falls as bars, the article's figures beside the computed ones, and the same levers on other accelerators.

Costs are USD per million output tokens, the whole bill on them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers.baseline import early
from costpertoken.answers.compose import Composition, all_orders, compose, cost, naive, shapley
from costpertoken.answers.estimate import DEGREES, degrees_of
from costpertoken.answers.levers import Lever, consistent, lever, parse, pull
from costpertoken.evidence import words
from costpertoken.evidence.uncertain import cost_interval, joined
from costpertoken.model.records import Deployment, InputError, Price, Workload
from costpertoken.model.setup import Setup

#: Kinds of a waterfall's bars, in the order in which they are drawn.
LEFT, SAME, ADMITTED, SMALLER, DEARER = (
    "cost that is left",
    "saved, same batch",
    "saved, requests let in",
    "saved, smaller model",
    "added",
)

#: Levers in short, for axes.
SHORT = {
    "flash-attention": "FlashAttention", "paging": "paging", "continuous-batching": "continuous batching", "fp8": "FP8",
    "int8": "INT8", "fp4": "FP4", "gptq": "GPTQ weights", "awq": "AWQ weights", "cache": "cache in FP8",
    "prefix-caching": "prefix caching", "speculation": "drafting", "medusa": "Medusa", "eagle": "EAGLE",
    "routing": "routing", "baseline": "as it was",
}  # fmt: skip
#: What can be pulled on a served model without another one in its place, in the order in which it came to engines.
ALWAYS = ("flash-attention", "paging", "continuous-batching", "{format}", "cache:format=fp8", "prefix-caching")


def usual(*, format: str, decoding: str, small: str, routing: bool) -> list[Lever]:
    """The levers of today's engines on one model, in the order in which they came; format and decoding: a lever or "none"."""
    drafts = {"speculation": f"speculation:draft={small}"}.get(decoding, decoding)
    texts = [text.format(format=format) for text in ALWAYS] + [drafts] + [f"routing:small={small}"] * routing
    return [parse(text) for text in texts if text != "none"]


def short(names: Iterable[str]) -> list[str]:
    """Names of levers in short."""
    return [SHORT.get(name, name) for name in names]


def listed(words: Iterable[str]) -> str:
    """Words as a sentence lists them: a, b and c; "nothing" where there are none."""
    *most, last = [*words] or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last


def fewest(baseline: Callable[[int], Setup], levers: Sequence[Lever], *, usd_per_hour: float) -> Composition:
    """The composition on the fewest accelerators of a server that hold every subset; baseline: of a tensor-parallel degree.

    Raises InputError, with the reason on the most accelerators, where none do.
    """
    consistent(levers)
    why = None
    for tp in degrees_of(baseline(1).deployment):
        try:
            return compose(baseline(tp), levers, usd_per_hour=usd_per_hour)
        except InputError as error:
            why = error
    raise InputError(f"on up to {DEGREES[-1]} accelerators: {why}")


def cheapest(of: Composition) -> tuple[str, ...]:
    """The levers of the cheapest subset, in the order in which they were given; the fewest of them where some tie."""
    least = min(of.usd, key=lambda some: (round(of.usd[some], 9), len(some)))
    return tuple(one.name for one in of.levers if one.name in least)


def loaded(setup: Setup, requests) -> Setup:
    """The setup with other requests in flight (None: a backlog)."""
    return replace(setup, workload=replace(setup.workload, concurrency=requests))


def with_requests(of: Composition, requests) -> Composition:
    """The same composition with other requests in flight; of an array of them, all costs are arrays."""
    return compose(loaded(of.baseline, requests), of.levers, usd_per_hour=of.usd_per_hour)


def picked(of: Composition, at: int) -> Composition:
    """A composition over an array of requests in flight at one of them."""
    requests = float(of.baseline.workload.concurrency[at])
    return replace(
        of, baseline=loaded(of.baseline, requests), usd={some: float(usd[at]) for some, usd in of.usd.items()}
    )


def by_load(of: Composition) -> pd.DataFrame:
    """Shapley share of each lever over an array of requests in flight: lever, requests, factor (cost divided by it)."""
    requests = of.baseline.workload.concurrency
    rows = [{"lever": one.name, "requests": requests, "factor": np.exp(-shapley(of, one.name))} for one in of.levers]
    return pd.concat([pd.DataFrame(row) for row in rows], ignore_index=True)


def falls(steps: pd.DataFrame) -> pd.DataFrame:
    """A waterfall's bars: lever, kind, start and end in USD. The first and the last row stand on nothing; what a lever adds
    to the cost is one bar, what it saves is split into its parts where neither is below zero."""
    rows = [{"lever": steps["lever"].iloc[0], "kind": LEFT, "start": 0.0, "end": steps["usd"].iloc[0]}]
    for _, row in steps.iloc[1:].iterrows():
        before = row["usd"] + row["saved_usd"]
        parts = {SMALLER if "rout" in row["lever"] or row["lever"] == "cascade" else SAME: row["at_same_batch_usd"],
                 ADMITTED: row["by_admitting_usd"]}  # fmt: skip
        if row["saved_usd"] < 0:
            parts = {DEARER: row["saved_usd"]}
        elif min(parts.values()) < 0:
            parts = {max(parts, key=parts.get): row["saved_usd"]}
        ends = [before, *accumulate(parts.values(), lambda at, part: at - part, initial=before)][1:]
        for (kind, part), start in zip(parts.items(), ends, strict=False):
            if part:
                rows.append({"lever": row["lever"], "kind": kind, "start": start, "end": start - part})
    rows.append({"lever": "what is left", "kind": LEFT, "start": 0.0, "end": steps["usd"].iloc[-1]})
    return pd.DataFrame(rows)


def beside_article(of: Composition) -> pd.DataFrame:
    """The article's figure for each lever that has one: lever, printed, of (what it is a figure of), factor (printed, taken
    as cost), and least, shapley and most as computed, cost divided by."""
    said, rows = naive(of.levers), tables.read("claims").set_index("id")
    found = said.merge(all_orders(of), on="lever", how="left")
    claims = [rows.loc[claim] for claim in found["claim"]]
    return found.assign(
        printed=[words.printed(row) for row in claims], of=[row["quantity"] for row in claims], factor=found["high"]
    )[["lever", "printed", "of", "factor", "alone", "last", "least", "shapley", "most"]]


def gain_with(deployed: Deployment, workload: Workload, levers: Iterable[Lever], **changed: float) -> float:
    """How many times cheaper the levers make early serving, with settings of the start, of a lever, or lengths changed."""
    known = tables.read("levers").query("lever == 'baseline'")["setting"]
    work = replace(
        workload, **{name: value for name, value in changed.items() if name in ("input_tokens", "output_tokens")}
    )
    start = early(deployed, work, **{name: value for name, value in changed.items() if name in set(known)})
    again = [lever(one.name, **{key: changed.get(key, value) for key, value in one.settings.items()}) for one in levers]
    return cost(start, 1.0) / cost(pull(start, again), 1.0)


def cheapest_degree(setup_of: Callable[[Deployment], Setup], deployed: Deployment, usd_per_hour: float):
    """(USD per Mtok, accelerators) of a setup on the best number of accelerators of a server; NaN where none holds it."""
    found = []
    for tp in degrees_of(deployed):
        try:
            usd = cost(setup_of(replace(deployed, tp=tp)), usd_per_hour)
        except InputError:  # heads of a draft that so many accelerators do not split
            continue
        found.append((usd, tp))
    kept = [one for one in found if not np.isnan(one[0])]
    return min(kept) if kept else (np.nan, 0)


def on_machines(
    deployments: Mapping[str, Deployment], workload: Workload, levers: Iterable[Lever], rent: Callable[[str], Price]
) -> pd.DataFrame:
    """Early serving, and the levers on it, on each accelerator at its rent and its best number: accelerator, serving, usd,
    low and high of the model, price_low and price_high of the market, n_accelerators. What does not fit has no row."""
    pulled, rows = list(levers), []
    kinds = {
        "as it was": lambda at: early(at, workload),
        "with the levers": lambda at: pull(early(at, workload), pulled),
    }
    for accelerator_id, deployed in deployments.items():
        price = rent(accelerator_id)
        band, _ = cost_interval(
            accelerator_id, deployed.model.id, deployed.engine, backlog=workload.concurrency is None
        )
        market = price.low / price.usd_per_hour, price.high / price.usd_per_hour
        for kind, setup_of in kinds.items():
            usd, n = cheapest_degree(setup_of, deployed, price.usd_per_hour)
            ends = {"low": band[0], "high": band[1], "price_low": market[0], "price_high": market[1]}
            both = joined(band, market)
            rows.append(
                {"accelerator_id": accelerator_id, "accelerator": deployed.accelerator.name, "serving": kind, "usd": usd,
                 "n_accelerators": n, "both_low": both[0] * usd, "both_high": both[1] * usd}
                | {name: usd * end for name, end in ends.items()}
            )  # fmt: skip
    return pd.DataFrame(rows).dropna(ignore_index=True)
