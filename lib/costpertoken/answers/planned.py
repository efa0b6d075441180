"""What is said of a planned fleet: its interval, what binds it, what a replay of the requests shows; and why there is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers import estimate as one
from costpertoken.answers.plan import Fleet, Rules, fleet_of, sized
from costpertoken.evidence.uncertain import cost_interval, joined
from costpertoken.fleet.demand import Demand, at_level, hourly_replicas, mean_per_s, seconds
from costpertoken.fleet.replicas import kept, made_up, parts, replayed, with_hits
from costpertoken.fleet.station import Station, slowed, with_slots
from costpertoken.fleet.steady import most_per_s, most_requests_per_s
from costpertoken.fleet.trace import Trace
from costpertoken.model.records import Deployment, Workload
from costpertoken.model.roofline import BOUNDS, binding, step
from costpertoken.model.units import KILO
from costpertoken.tables.shelf import is_stale

#: Numbers of replicas tried by replay, and how much a limit must cost before it is said to bind.
TRIES, MATTERS = 8, 1.02
#: Share of what the replicas may be given below which it is their being whole that costs.
FILLED = 0.7
#: Requests replayed in one plan before only the fleets that were asked for are confirmed.
PATIENCE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A fleet with as many replicas as the replay of its requests asks for; the replay's seconds, at the share asked for."""

    fleet: Fleet
    ttft_s: float
    tpot_s: float
    n_requests: int
    n_replayed: int
    is_kept: bool
    first_replicas: int


def interval(fleet: Fleet, demand: Demand, rules: Rules) -> dict[str, float]:
    """USD per million output tokens as the model's interval and the market's range leave them; an infinite end where, at the
    slow end of the interval, no number of replicas keeps the limits.

    The fleet is sized again with all steps shorter and longer by the model's interval. Market: tenth to ninetieth percentile of
    the same term's offers of that kind of cloud.
    """
    deployed, offer = fleet.deployment, pd.DataFrame([fleet.offer])
    factors = cost_interval(deployed.accelerator.id, deployed.model.id, deployed.engine, backlog=False)[0]
    ends = [sized(deployed, slowed(fleet.station, factor), offer, demand, rules) for factor in factors]
    usd = [end.usd_per_mtok if end else np.inf for end in ends]
    low, high = min(usd[0], fleet.usd_per_mtok), max(usd[1], fleet.usd_per_mtok)
    price = tables.price(deployed.accelerator.id, commitment=fleet.offer["commitment"], cloud_class=fleet.offer["cloud_class"])
    paid = fleet.offer["value"]
    market = min(1.0, price.low / paid), max(1.0, price.high / paid)
    both = joined((low / fleet.usd_per_mtok, min(high / fleet.usd_per_mtok, 1e300)), market)
    return {
        "low": fleet.usd_per_mtok * both[0],
        "high": np.inf if np.isinf(high) else fleet.usd_per_mtok * both[1],
        "model_low": low,
        "model_high": high,
        "price_low": fleet.usd_per_mtok * market[0],
        "price_high": fleet.usd_per_mtok * market[1],
    }


def what_binds(fleet: Fleet, demand: Demand, rules: Rules) -> str:
    """The constraint without which a fleet would be smaller: the smallest number allowed, whole replicas, a latency limit, or
    what a saturated step waits for."""
    at, limits = fleet.station, {"ttft_s": demand.ttft_s, "tpot_s": demand.tpot_s}
    most = most_requests_per_s(at, **limits, share=demand.share)[0]
    needed = demand.levels_per_s.max() / most
    if fleet.n_replicas > rules.spares + max(1, np.ceil(needed)) and fleet.n_replicas == rules.min_replicas:
        return "min replicas"
    if needed < FILLED * (fleet.n_replicas - rules.spares):
        return "whole replicas"
    without = {
        name: most_requests_per_s(at, **(limits | {name: np.inf}), share=demand.share)[0] / most for name in limits
    }
    name = max(without, key=without.get)
    if without[name] > MATTERS:
        return name.removesuffix("_s").upper()
    if most_per_s(at) / most > MATTERS:
        return "TTFT and TPOT"
    of = demand.lengths
    carried = {"decode": fleet.slots, "context_tokens": of.input_tokens + 0.5 * of.output_tokens}
    fresh = of.input_tokens * (1.0 - of.cached_share)
    pairs = of.input_tokens - 0.5 * fresh
    prompts = {"prefill_tokens": fleet.slots * fresh / of.output_tokens, "pairs_per_token": pairs}
    return f"{BOUNDS[int(binding(step(fleet.deployment, **carried, **prompts)))]} of a full batch"


def confirmed(fleet: Fleet, demand: Demand, rules: Rules, offered: pd.DataFrame, trace: Trace | None = None) -> Confirmed:
    """The fewest replicas with which a replay keeps the limits, looked for around what the closed form asks for; of the trace,
    else of made-up requests in all levels of the demand. A fleet that scales is replayed at its fullest, and gets as many times
    more replicas in every hour."""
    first = fleet.n_replicas - rules.spares
    load = demand.levels_per_s.max() if trace is None else mean_per_s(demand)  # fewer would wait for ever, limits or not
    finished = int(np.ceil(load / most_per_s(with_slots(fleet.station, fleet.slots)) - 1e-9))
    scales, allowed = rules.scaling == "hourly", max(1, rules.min_replicas - rules.spares)
    least = first if scales else max(allowed, finished)
    seen: list[int] = []

    def tried(n: int) -> tuple[bool, pd.DataFrame]:
        good, found = replay(fleet, demand, rules, trace, n)
        seen.append(len(found))
        return good, found

    n, good, found = fewest_by(tried, first, least)
    if n != first:
        needed = np.ceil(hourly_replicas(fleet.station, demand, at_least=allowed)[0] * n / first) if scales else n
        rows = offered[offered["accelerator_id"] == fleet.deployment.accelerator.id]
        sizes = {"n_replicas": needed + rules.spares, "slots": fleet.slots}
        fleet = fleet_of(fleet.deployment, fleet.station, rows, demand, **sizes) or fleet
    at = {name: float(found[name].fillna(0.0).quantile(demand.share)) for name in ("ttft_s", "tpot_s")}
    counts = {"n_requests": len(found), "n_replayed": sum(seen), "first_replicas": first + rules.spares}
    return Confirmed(fleet=fleet, **at, **counts, is_kept=good)


def replays(
    fleets: Sequence[Fleet], demand: Demand, rules: Rules, offered: pd.DataFrame, trace: Trace | None, *, at_least: int
) -> list[Confirmed]:
    """The first fleets confirmed, at_least so many, and more while one that is left looks cheaper than the cheapest confirmed:
    the closed form sees no bursts. Ends when so many requests were replayed that waiting for more is not worth it."""
    found: list[Confirmed] = []
    for fleet in fleets:
        best = min((one.fleet.usd_per_hour for one in found if one.is_kept), default=np.inf)
        if len(found) >= at_least and (fleet.usd_per_hour >= best or sum(one.n_replayed for one in found) > PATIENCE):
            break
        found.append(confirmed(fleet, demand, rules, offered, trace))
    return found


def at_its_fullest(demand: Demand, rules: Rules) -> Demand:
    """The load that all replicas of a fleet together are there for: the highest level where it scales, else every level."""
    if rules.scaling == "fixed":
        return demand
    return at_level(demand, float(demand.levels_per_s[-1]))


def replay(fleet: Fleet, demand: Demand, rules: Rules, trace: Trace | None, n_replicas: int) -> tuple[bool, pd.DataFrame]:
    """(whether so many replicas keep the limits, seconds of the requests replayed)."""
    deployed = fleet.deployment
    if trace is not None:
        seen = parts(trace, n_replicas)
    else:
        seen = [made_up(at_its_fullest(demand, rules), n_replicas=n_replicas, most_tokens=deployed.model.max_context)]
    seen = [with_hits(part, demand.lengths.cached_share) for part in seen]
    found = replayed(deployed, seen, slots=fleet.slots, token_budget=rules.token_budget)
    return kept(found, demand), found


def fewest_by(replay: Callable, first: int, least: int) -> tuple[int, bool, pd.DataFrame]:
    """(fewest replicas whose replay is good, whether one was, its requests), to a sixteenth of the first: down by so many while
    it is good, or up by steps that double until it is and half way back. TRIES at most each way."""
    pace, tried = max(1, first // 16), {}

    def good(n: int) -> bool:
        tried[n] = replay(n)
        return tried[n][0]

    n = first
    if good(first):
        while n - pace >= least and len(tried) <= TRIES and good(n - pace):
            n -= pace
        return n, *tried[n]
    low, n, step = first, first + pace, pace
    while not good(n) and len(tried) <= TRIES:
        low, n, step = n, n + 2 * step, 2 * step
    while tried[n][0] and n - low > pace:
        middle = (low + n) // 2
        low, n = (low, middle) if good(middle) else (middle, n)
    return n, *tried[n]


def described(fleet: Fleet, demand: Demand, rules: Rules, *, on: date, replay: Confirmed | None = None) -> dict:
    """A fleet as plain numbers. TTFT and TPOT at the share asked for, from the closed form and from the replay; of a fleet that
    scales, at its fullest."""
    deployed, offer = fleet.deployment, fleet.offer
    support = cost_interval(deployed.accelerator.id, deployed.model.id, deployed.engine, backlog=False)[1]
    sizes = {"n_replicas": fleet.n_replicas - rules.spares, "slots": fleet.slots}
    named = ("n_replicas", "paid_replicas", "n_accelerators", "usd_per_month", "usd_per_mtok", "utilisation")
    return {
        "model": deployed.model.id,
        "accelerator": deployed.accelerator.id,
        "weights": deployed.precision.id.split("/")[0],
        "tp": int(deployed.tp),
        "slots": int(fleet.slots),
        **{name: getattr(fleet, name) for name in named},
        **{name: offer[name] for name in ("provider", "region", "instance", "cloud_class")},
        "term": offer["commitment"],
        "usd_per_accelerator_hour": offer["usd_per_useful_hour"],
        "price_as_of": offer["as_of"],
        "price_is_stale": is_stale(offer["as_of"], on),
        **{f"usd_per_mtok_{end}": float(value) for end, value in interval(fleet, demand, rules).items()},
        **seconds(fleet.station, at_its_fullest(demand, rules), **sizes),
        "simulated": shown(replay),
        "binding": what_binds(fleet, demand, rules),
        "support": support,
    }


def shown(replay: Confirmed | None) -> dict | None:
    """What a replay showed, as plain numbers."""
    named = {"ttft_s": "ttft_s", "tpot_s": "tpot_s", "is_kept": "is_kept", "n_requests": "n_requests",
             "first_replicas": "n_replicas_of_closed_form"}  # fmt: skip
    return None if replay is None else {words: getattr(replay, name) for name, words in named.items()}


def why_none(placed: Sequence[tuple[Deployment, Station]], demand: Demand) -> str:
    """Why no fleet keeps the limits: the placement that comes nearest with hardly any load, and by how much it fails."""
    near = [(seconds(at, at_level(demand), n_replicas=1, slots=at.slots), deployed) for deployed, at in placed if at.slots >= 1]
    if not near:
        deployed = placed[-1][0]
        load = Workload(input_tokens=demand.lengths.input_tokens, output_tokens=demand.lengths.output_tokens)
        served = one.serve_workload(deployed, load)
        return f"nothing fits; the last that was tried: {one.why_not(deployed, served, load)}"
    asked = {"ttft_s": demand.ttft_s, "tpot_s": demand.tpot_s}
    found, deployed = min(near, key=lambda pair: max(pair[0][name] / asked[name] for name in asked))
    where = f"{deployed.model.id} at {deployed.precision.id.split('/')[0]} on {int(deployed.tp)} x {deployed.accelerator.id}"
    beyond = [name for name in asked if found[name] > asked[name]]
    failing = [
        f"{name.removesuffix('_s').upper()} is {KILO * found[name]:,.3g} ms where {KILO * asked[name]:,.3g} ms are asked, "
        f"{found[name] / asked[name]:.2f} times the limit"
        for name in beyond
    ]
    nearest = " ".join(f"--{name.removesuffix('_s')}-ms {ceiling(KILO * found[name])}" for name in beyond)
    if not failing:
        return f"no number of replicas keeps the limits; nearest with hardly any load: {where}"
    return (
        f"no deployment keeps the limits for {demand.share:.0%} of the requests, even with hardly any load: nearest is {where}, "
        f"whose {' and whose '.join(failing)}; nearest feasible: {nearest}"
    )


def ceiling(value: float) -> str:
    """A number rounded up to three digits."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 2)
    return f"{np.ceil(value / unit) * unit:.6g}"
