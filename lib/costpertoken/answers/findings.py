"""Ten findings of the book, each one number with its interval, computed as the chapter that shows it computes it.

CASES holds what a chapter's case has of its own; what chapters share (model, accelerator, prompt, ...) is asked for. A test
holds both equal to the chapters' parameters, and each finding equal to the number that its chapter publishes.
"""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd

from costpertoken import prose, tables
from costpertoken.answers import (
    baseline,
    compare,
    compose,
    crossing,
    edge,
    estimate,
    formats,
    ledger,
    serverless,
    together,
)
from costpertoken.evidence import ownership, scenario
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.checks.context import taken_s
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.uncertain import joined
from costpertoken.fleet import sites as fleets
from costpertoken.model.records import Workload

#: Chapter -> the inputs of its case that the findings do not share; tokens, degrees, shares, hours.
CASES: dict[str, dict] = {
    "economics/token_cost": {"weights": "fp8", "tp": 2, "output_tokens": 500},
    "economics/batching": {"weights": "fp8", "tp": 2, "output_tokens": 1000},
    "economics/context": {
        "accelerator_id": "h200-sxm", "weights": "fp8", "tp": 8, "short_tokens": 8000, "output_tokens": 500,
    },
    "economics/precision": {"baseline": "bf16", "tp": 4, "output_tokens": 1000},
    "hardware/cheapest_accelerator": {"output_tokens": 500},
    "hardware/rent_or_own": {"load": "mixed-serving", "life_years": 5.0, "cost_of_capital": 0.1},
    "software/composition": {
        "small_id": "llama-3.1-8b", "format": "fp8", "decoding": "speculation", "routing": True, "output_tokens": 300,
    },
    "deployment/serverless": {
        "weights": "fp8", "output_tokens": 500, "cached_share": 0.0, "peak_to_mean": 2.0, "staff_fte": 0.5,
    },
    "deployment/centre_or_edge": {
        "accelerators": 500.0, "models": 1, "peak_to_mean": 2.0, "zone_hours": 6.0, "wait_probability": 0.05,
    },
    "evidence/ledger": {},
}  # fmt: skip
#: Replicas that an own service keeps at least.
LEAST_REPLICAS = 2
#: Levers that every engine of today has.
TODAY = frozenset({"flash-attention", "paging", "continuous-batching"})


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One number with its interval. chapter: where it is shown; name: what it is of; unit as `prose.number` takes it."""

    chapter: str
    name: str
    figure: Figure
    unit: str
    digits: int = 3
    facts: dict = field(default_factory=dict)

    def number(self, headline: bool = False) -> prose.Number:
        """The finding as prose shows it."""
        return prose.number(*self.figure[:1], self.unit, *self.figure[1:], digits=self.digits, headline=headline)


def _at(chapter: str, input_tokens: float, **more) -> Workload:
    """A request of a chapter's case."""
    return Workload(input_tokens=input_tokens, output_tokens=CASES[chapter]["output_tokens"], **more)


def _placed(chapter: str, model_id: str, accelerator_id: str):
    """The deployment of a chapter's case."""
    own = CASES[chapter]
    return estimate.deployment(model_id, accelerator_id, weights=own.get("weights", own.get("baseline")), tp=own["tp"])


def _name(deployed) -> str:
    """A placement in words: 2 × H100 SXM."""
    return f"{deployed.tp} × {deployed.accelerator.name}" if deployed.tp > 1 else deployed.accelerator.name


def token(*, model_id: str, accelerator_id: str, cloud_class: str, input_tokens: float) -> Finding:
    """USD per Mtok of output on a full machine (allocation "work"), and with one request at a time."""
    chapter = "economics/token_cost"
    placed, request = _placed(chapter, model_id, accelerator_id), _at(chapter, input_tokens)
    price = estimate.headline_price(accelerator_id, cloud_class=cloud_class)
    full = estimate.ranges(estimate.estimate(placed, request, price))
    single = estimate.estimate(placed, replace(request, concurrency=1.0), price)
    facts = {"model": placed.model.name, "machine": _name(placed), "alone_usd": float(single.cost.output_usd_per_mtok)}
    figure = Figure(full["value"], full["low"], full["high"])
    return Finding(chapter=chapter, name="A million output tokens", figure=figure, unit="USD", facts=facts)


def batching(*, model_id: str, accelerator_id: str, input_tokens: float, batch: int) -> Finding:
    """How many times cheaper a token is with `batch` requests in flight than with one, and how much slower (ratio)."""
    chapter = "economics/batching"
    placed, request = _placed(chapter, model_id, accelerator_id), _at(chapter, input_tokens)
    held = max(1, min(batch, int(estimate.serve_workload(placed, replace(request, concurrency=None)).batch)))
    alone, many = (estimate.serve_workload(placed, replace(request, concurrency=float(n))) for n in (1, held))
    slower = held * float(alone.requests_per_s) / float(many.requests_per_s)
    figure = scenario.spread(held / slower, ratio_band("loads"))
    return Finding(chapter=chapter, name="Cheaper by batching", figure=figure, unit="", facts={"held": held, "slower": slower})


def context(*, model_id: str, long_tokens: int) -> Finding:
    """How many times a long prompt costs what a short one costs (ratio)."""
    chapter = "economics/context"
    own = CASES[chapter]
    placed = _placed(chapter, model_id, own["accelerator_id"])
    long, short = (float(taken_s(placed, "prompt", n, own["output_tokens"])) for n in (long_tokens, own["short_tokens"]))
    facts = {"short": own["short_tokens"], "fold": long_tokens / own["short_tokens"], "machine": _name(placed)}
    figure = scenario.spread(long / short, ratio_band("loads"))
    return Finding(chapter=chapter, name="Long prompt over short one", figure=figure, unit="", facts=facts)


def precision(*, model_id: str, accelerator_id: str, input_tokens: float) -> Finding:
    """What FP8 saves of the cost of a token on a full machine (per cent), and with one request."""
    chapter = "economics/precision"
    placed, request = _placed(chapter, model_id, accelerator_id), _at(chapter, input_tokens)
    price = estimate.headline_price(accelerator_id)
    table = formats.format_table(placed, request, usd_per_hour=price.usd_per_hour)
    at = table["format"].eq("FP8")
    wide = CASES[chapter]["baseline"]
    full, alone = (float(formats.cuts(table, f"usd_{load}", wide)[at].iloc[0]) for load in ("full", "alone"))
    figure = scenario.reduction(1 - full / 100, ratio_band("precisions"))
    facts = {"alone": alone, "machine": _name(placed)}
    return Finding(chapter=chapter, name="Saved by eight bits", figure=figure, unit="%", digits=2, facts=facts)


def cheapest(*, model_id: str, accelerator_id: str, input_tokens: float) -> Finding:
    """The cheapest output of all accelerators on offer, USD per Mtok, and what clouds ask for the same machine (ratio)."""
    chapter = "hardware/cheapest_accelerator"
    request = _at(chapter, input_tokens)
    served = compare.compare(model_id, compare.on_offer(), request)
    lead = served.iloc[0]
    offers = tables.read("gpu_prices").query("commitment == 'on-demand' and flag == '' and accelerator_id == @accelerator_id")
    asked = [estimate.headline_price(accelerator_id, cloud_class=one).usd_per_hour for one in offers["cloud_class"].unique()]
    facts = {
        "accelerator": lead["accelerator"], "n": len(served), "spread": max(asked) / min(asked), "n_clouds": len(asked),
        "overlap": int((served["output_low"].iloc[1:] <= lead["output_high"]).sum()),
    }  # fmt: skip
    figure = Figure(lead["output_value"], lead["output_low"], lead["output_high"])
    return Finding(chapter=chapter, name="Cheapest machine", figure=figure, unit="USD", facts=facts)


def owning(*, accelerator_id: str, cloud_class: str) -> Finding:
    """The share of all hours from which an owned accelerator costs less than a rented one (per cent)."""
    chapter = "hardware/rent_or_own"
    own = CASES[chapter]
    scopes = {**ownership.SCOPES, "power_drawn_share": own["load"]}
    terms = {name: own[name] for name in ("life_years", "cost_of_capital")}
    bought = ownership.ownership(accelerator_id, scopes=scopes, **terms)
    cost = ownership.with_range(bought, ownership.ends(accelerator_id, scopes=scopes))
    hourly = ownership.rents(accelerator_id).query("commitment == 'on-demand'").set_index("cloud")
    cloud = cloud_class if cloud_class in hourly.index else hourly.index[0]
    rent = hourly.loc[cloud]
    share = 100 * cost.value / rent["value"]
    band = joined((cost.low / cost.value, cost.high / cost.value), (rent["value"] / rent["high"], rent["value"] / rent["low"]))
    facts = {"own_usd": cost.value, "rent_usd": float(rent["value"]), "cloud": cloud, "life_years": own["life_years"]}
    figure = Figure(share, share * band[0], share * band[1])
    return Finding(chapter=chapter, name="Use at which owning pays", figure=figure, unit="%", digits=2, facts=facts)


def together_gain(*, model_id: str, accelerator_id: str, input_tokens: float) -> Finding:
    """How many times cheaper the cheapest set of levers makes a token, and what the article's figures multiply to (ratio)."""
    chapter = "software/composition"
    own, request = CASES[chapter], _at(chapter, input_tokens)
    whole = partial(estimate.deployment, model_id, accelerator_id, weights="bf16")
    pulled = together.usual(format=own["format"], decoding=own["decoding"], small=own["small_id"], routing=own["routing"])
    price = estimate.headline_price(accelerator_id)
    found = together.fewest(lambda tp: baseline.early(whole(tp=tp), request), pulled, usd_per_hour=price.usd_per_hour)
    best, said = together.cheapest(found), compose.naive(pulled)
    product = tuple(float(said[f"product_{end}"].iloc[-1]) for end in ("low", "high"))
    kinds = ("loads", "precisions", "models") if "routing" in best else ("loads", "precisions")
    before, after = found.usd[frozenset()], found.usd[frozenset(best)]
    facts = {"n": len(pulled), "before_usd": before, "after_usd": after, "said": product, "n_said": len(said)}
    facts["today_usd"] = found.usd[TODAY]
    figure = scenario.spread(before / after, *(ratio_band(kind) for kind in kinds))
    return Finding(chapter=chapter, name="All levers together", figure=figure, unit="", digits=2, facts=facts)


def hosting(*, hosted_id: str, accelerator_id: str, input_tokens: float, requests_per_s: float) -> Finding:
    """The whole bill of own rented machines over the median seller's (ratio); the load from which they cost less."""
    chapter = "deployment/serverless"
    own = CASES[chapter]
    work = _at(chapter, input_tokens, cached_share=own["cached_share"])
    kept = {name: own[name] for name in ("weights", "peak_to_mean", "staff_fte")}
    mine = serverless.hosting(hosted_id, accelerator_id, work, least_replicas=LEAST_REPLICAS, **kept)
    sold = serverless.bills(mine, hosted_id)["usd_per_mtok"]
    drawn = serverless.draws(mine, sold)
    value = float(serverless.usd_per_mtok(mine, requests_per_s)) / sold.median()
    unknown = serverless.usd_per_mtok(mine, requests_per_s, slower=drawn.slower, rent=drawn.rent, staff=drawn.staff)
    low, high = np.quantile(unknown / drawn.api_usd_per_mtok, crossing.ENDS)
    even = float(serverless.break_even_requests_per_s(mine, sold.median()))
    facts = {"model": mine.deployed.model.name, "even_per_s": even, "dearest": sold.max() / sold.min()}
    figure = Figure(value, min(low, value), max(high, value))
    return Finding(chapter=chapter, name="Renting over a seller", figure=figure, unit="", digits=2, facts=facts)


def spread_out(*, model_id: str, accelerator_id: str, sites: int) -> Finding:
    """What the same tokens cost from many sites over one centre (ratio)."""
    chapter = "deployment/centre_or_edge"
    case = edge.case(model_id, accelerator_id, **CASES[chapter])
    centre, far = edge.both(case)
    parts = fleets.ratio_parts(case.demand, centre, far, sites)
    largest = max(parts, key=parts.get)
    facts = {"largest": largest, "factor": float(parts[largest]), "queues": float(parts["queues"])}
    figure = edge.ratio_interval(case, sites)
    return Finding(chapter=chapter, name="Many sites over one centre", figure=figure, unit="", facts=facts)


def article() -> Finding:
    """The share of the article's claims, of those that can be decided, that hold as printed (per cent); ends: close calls."""
    rows = ledger.everything()
    hold, decided = ledger.holding(rows)
    close = rows.loc[rows["close_call"], "verdict"].eq("holds")
    ends = hold - int(close.sum()), hold + int((~close).sum())
    under = int(rows["verdict"].eq("holds-under").sum())
    facts = {"decided": decided, "hold": hold, "under": under, "wrong": decided - hold - under}
    figure = Figure(*(100 * n / decided for n in (hold, *ends)))
    return Finding(chapter="evidence/ledger", name="Claims that hold as printed", figure=figure, unit="%", digits=2, facts=facts)


def picture(found: list[Finding]) -> pd.DataFrame:
    """One row a finding: its number and name, what is shown of it, and its interval as factors of the value."""
    numbers = [one.number() for one in found]
    return pd.DataFrame({
        "finding": [f"{n}. {one.name}" for n, one in enumerate(found, 1)], "middle": 1.0,
        "low": [one.figure.low / one.figure.value for one in found],
        "high": [one.figure.high / one.figure.value for one in found],
        "says": [f"{n.text}{' times' * (not n.unit)}  ({n.band})" for n in numbers],
    })  # fmt: skip
