"""A reader's own traffic: which fleet serves it, what one replica does, and what more or less load, or haste, costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from costpertoken.answers import plan
from costpertoken.answers.offers import offers
from costpertoken.answers.plan import Fleet, Rules
from costpertoken.answers.planned import Confirmed, replays
from costpertoken.answers.traffic import peaked, scaled
from costpertoken.fleet.demand import Demand, at_level, mean_per_s, seconds
from costpertoken.fleet.replicas import made_up, replayed, with_hits
from costpertoken.fleet.station import Station, slowed, stations, with_slots
from costpertoken.fleet.steady import most_per_s, most_requests_per_s, steady
from costpertoken.fleet.trace import Trace
from costpertoken.model.counts import count
from costpertoken.model.records import Deployment, InputError
from costpertoken.model.units import KILO
from costpertoken.money.cost import usd_per_mtok
from costpertoken.prose import significant

CLASSES = ("hyperscaler", "neocloud", "marketplace")
#: Where limits cannot be kept: how far beyond the quickest answer they are set instead, one after the other until they can.
MARGINS = (1.25, 2.0, 4.0, 16.0)
#: Loads of one replica that are drawn and simulated, as shares of the most within the limits; latencies beyond so many times
#: the longer limit are not drawn.
DRAWN, SIMULATED, HIGHEST = (*np.linspace(0.05, 0.9, 16), *np.linspace(0.92, 1.1, 10)), (0.3, 0.6, 0.8, 0.9, 1.0), 10.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """The cheapest fleets, and the demand that they serve; times: how much looser its limits are than asked, by name."""

    fleets: list[Fleet]
    demand: Demand
    times: dict[str, float]


def offered(seller: str, term: str) -> pd.DataFrame:
    """Offers of all hyperscalers and neoclouds ("any"), of one kind of cloud, or of one provider, for a term."""
    if seller == "any":
        return offers(terms=(term,))
    return offers(**{"classes" if seller in CLASSES else "providers": (seller,)}, terms=(term,))


def cheapest(placed: Sequence, offered: pd.DataFrame, demand: Demand, rules: Rules, *, top: int) -> Found:
    """The cheapest fleets within the limits; where there is none, within limits loosened by the least of MARGINS that can be
    kept. Raises InputError where nothing fits at all."""
    if fleets := plan.search(placed, offered, demand, rules, top=top):
        return Found(fleets=fleets, demand=demand, times={})
    asked = {"ttft_s": demand.ttft_s, "tpot_s": demand.tpot_s}
    quick = quickest(placed, demand)
    for margin in MARGINS:
        limits = {name: max(limit, margin * quick[name]) for name, limit in asked.items()}
        looser = replace(demand, **limits)
        if fleets := plan.search(placed, offered, looser, rules, top=top):
            times = {name: limits[name] / asked[name] for name in asked if limits[name] > asked[name]}
            return Found(fleets=fleets, demand=looser, times=times)
    raise InputError("no fleet serves these requests, however long they may take; a smaller model or shorter requests might do")


def quickest(placed: Sequence, demand: Demand) -> dict[str, float]:
    """TTFT and TPOT, with hardly any load, of the placement that comes nearest to the limits. Raises InputError where the model
    fits nowhere."""
    near = [seconds(at, at_level(demand), n_replicas=1, slots=at.slots) for _, at in placed if at.slots >= 1]
    if not near:
        raise InputError("the model with these requests fits into no server that is offered: another model, seller or lengths")
    return min(near, key=lambda one: max(one["ttft_s"] / demand.ttft_s, one["tpot_s"] / demand.tpot_s))


def replayed_first(
    fleets: Sequence[Fleet], demand: Demand, rules: Rules, offered: pd.DataFrame, trace: Trace | None, *, first: int = 3
) -> list[tuple[Fleet, Confirmed | None]]:
    """(fleet, its replay or None), cheapest first, with the replicas that replays ask for; at least the `first` are replayed, and
    more until the cheapest is. Those whose replay does not keep the limits stand last."""
    done = replays(fleets, demand, rules, offered, trace, at_least=first) if first else []
    pairs = [(one.fleet, one) for one in done] + [(fleet, None) for fleet in fleets[len(done) :]]
    return sorted(pairs, key=lambda pair: (pair[1] is not None and not pair[1].is_kept, pair[0].usd_per_hour))


def most_within(fleet: Fleet, demand: Demand) -> tuple[float, float]:
    """(the largest steady load of one replica within the limits, in requests a second; its slots). Where next to none is too
    much, as with limits kept over all time only, what a replica of the fleet gets at most."""
    limits = {"ttft_s": demand.ttft_s, "tpot_s": demand.tpot_s, "share": demand.share}
    most, slots = most_requests_per_s(fleet.station, **limits)
    return (most, slots) if most > 0 else (float(demand.levels_per_s.max()) / fleet.n_replicas, fleet.slots)


def latency_by_load(at: Station, demand: Demand, *, slots: float, most: float) -> pd.DataFrame:
    """Closed form of one replica: requests_per_s, what (TTFT, TPOT), ms that the share asked for keeps. Loads that it cannot
    finish, or only after very long, are left out."""
    narrow, rows = with_slots(at, slots), []
    for load in np.array(DRAWN) * most:
        found = steady(narrow, requests_per_s=load, shares=(demand.share,))
        rows += [(load, "TTFT", KILO * found.ttft_s[0]), (load, "TPOT", KILO * found.tpot_s[0])]
    frame = pd.DataFrame(rows, columns=["requests_per_s", "what", "ms"])
    return frame[frame["ms"] <= HIGHEST * KILO * max(demand.ttft_s, demand.tpot_s)]


def latency_simulated(deployed: Deployment, demand: Demand, *, slots: float, most: float, token_budget: int) -> pd.DataFrame:
    """The same by simulation of made-up requests at some shares of the most: requests_per_s, what, ms."""
    rows = []
    for load in np.array(SIMULATED) * most:
        trace = made_up(at_level(demand, load), n_replicas=1, most_tokens=deployed.model.max_context)
        trace = with_hits(trace, demand.lengths.cached_share)
        found = replayed(deployed, [trace], slots=slots, token_budget=token_budget)
        rows += [
            {"requests_per_s": load, "what": what, "ms": KILO * float(found[name].fillna(0.0).quantile(demand.share))}
            for what, name in (("TTFT", "ttft_s"), ("TPOT", "tpot_s"))
        ]
    frame = pd.DataFrame(rows)
    return frame[np.isfinite(frame["ms"])]


def by_load(placed, offered, demand: Demand, rules: Rules, *, loads) -> pd.DataFrame:
    """The cheapest fleet at each mean load: requests_per_s, usd, machine, n_replicas, utilisation in per cent."""
    rows = []
    for load in loads:
        for fleet in plan.search(placed, offered, scaled(demand, load / mean_per_s(demand)), rules, top=1):
            rows.append(
                {"requests_per_s": load, "usd": fleet.usd_per_mtok, "machine": machine(fleet.deployment),
                 "n_replicas": fleet.n_replicas, "utilisation": 100 * fleet.utilisation}
            )  # fmt: skip
    return pd.DataFrame(rows)


def by_tpot(placed, offered, demand: Demand, rules: Rules, *, limits_s) -> pd.DataFrame:
    """The cheapest fleet at each limit of TPOT: limit_ms, usd, machine, n_replicas; no row where none keeps it."""
    rows = []
    for limit in limits_s:
        for fleet in plan.search(placed, offered, replace(demand, tpot_s=limit), rules, top=1):
            rows.append((KILO * limit, fleet.usd_per_mtok, machine(fleet.deployment), fleet.n_replicas))
    return pd.DataFrame(rows, columns=["limit_ms", "usd", "machine", "n_replicas"])


def machine(deployed: Deployment) -> str:
    """A placement in words."""
    many = f"{int(deployed.tp)} × " if deployed.tp > 1 else ""
    return f"{many}{deployed.accelerator.name}, {deployed.precision.id.split('/')[0].upper()}"


def as_much(ratio: float) -> str:
    """A ratio of two costs in words."""
    return "as much" if abs(ratio - 1.0) < 0.005 else f"{significant(ratio)} times as much"


def full_usd_per_mtok(deployed: Deployment, at: Station, usd_per_accelerator_hour: float) -> float:
    """USD per million output tokens of a replica that finishes all it can, day and night, with nobody's wait minded."""
    rate = most_per_s(at) * at.output_tokens
    return float(usd_per_mtok(usd_per_hour=int(deployed.tp) * usd_per_accelerator_hour, tok_per_s=rate))


def fullest(placed, offered: pd.DataFrame) -> tuple[float, str]:
    """(USD per million output tokens of the cheapest full machine of all, its name)."""
    rents = offered.groupby("accelerator_id")["usd_per_useful_hour"].min()
    costs = [
        (full_usd_per_mtok(deployed, at, rents[deployed.accelerator.id]), machine(deployed))
        for deployed, at in placed if at.slots >= 1
    ]  # fmt: skip
    return min(costs)


def factors(fleet: Fleet, demand: Demand, rules: Rules) -> dict[str, float]:
    """What takes a fleet's cost from that of a full machine (USD per million output tokens, "full") to its own, in factors: the
    latency limits; the busiest time over the mean, where the fleet is fixed; and whole replicas and instances, spares, hours
    ahead, with what a fleet gains by keeping limits over all its time and not in each level of load."""
    most = most_within(fleet, demand)[0]
    peak = demand.levels_per_s.max() / mean_per_s(demand) if rules.scaling == "fixed" else 1.0
    rent = fleet.offer["usd_per_useful_hour"]
    full = full_usd_per_mtok(fleet.deployment, fleet.station, rent)
    latency = most_per_s(fleet.station) / most
    return {"full": full, "latency": latency, "peak": peak, "whole": fleet.usd_per_mtok / (full * latency * peak)}


def changed(fleet: Fleet, demand: Demand, rules: Rules, *, slower=1.0, rent=1.0, load=1.0, peak=1.0, input_tokens=1.0,
            output_tokens=1.0, ttft=1.0, tpot=1.0) -> float:  # fmt: skip
    """USD per million output tokens of the fleet's placement, sized again with inputs that many times as large; NaN where no
    number of replicas keeps the limits. peak: of the levels above the mean."""
    of = demand.lengths
    other = of._replace(input_tokens=of.input_tokens * input_tokens, output_tokens=of.output_tokens * output_tokens)
    at = stations(count(fleet.deployment), fleet.deployment.efficiency, other, token_budget=rules.token_budget)[0]
    row = {name: fleet.offer[name] * rent if name == "usd_per_useful_hour" else fleet.offer[name] for name in fleet.offer}
    limits = {"ttft_s": demand.ttft_s * ttft, "tpot_s": demand.tpot_s * tpot}
    asked = peaked(scaled(replace(demand, lengths=other, **limits), load), peak)
    found = plan.sized(fleet.deployment, slowed(at, slower), pd.DataFrame([row]), asked, rules)
    return found.usd_per_mtok if found else np.nan
