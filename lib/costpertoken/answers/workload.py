"""A reader's own traffic: what it is like, what one replica does with it, and what more or less of it, or of haste, costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from costpertoken.answers import plan
from costpertoken.answers.offers import offers
from costpertoken.answers.plan import Fleet, Rules
from costpertoken.fleet import profiles, readers
from costpertoken.fleet.demand import NONE_PER_S, Demand, mean_per_s, of_rate, of_trace, seconds
from costpertoken.fleet.replicas import made_up, replayed
from costpertoken.fleet.station import Lengths, Station, stations, with_slots
from costpertoken.fleet.steady import most_per_s, most_requests_per_s, steady
from costpertoken.fleet.trace import Trace
from costpertoken.model.counts import count
from costpertoken.model.records import Deployment, InputError
from costpertoken.model.units import HOUR_S, KILO
from costpertoken.money.cost import usd_per_mtok

CLASSES = ("hyperscaler", "neocloud", "marketplace")
#: Where limits cannot be kept: how far beyond the quickest answer they are set instead, one after the other until they can.
MARGINS = (1.25, 2.0, 4.0, 16.0)
#: Periods of a chart of the load at most, and quantiles of the lengths.
PERIODS, QUANTILES = 240, {"p50": 0.5, "p90": 0.9, "p99": 0.99}
#: Loads of one replica that are drawn and simulated, as shares of the most within the limits; latencies beyond so many times
#: the longer limit are not drawn.
DRAWN, SIMULATED, HIGHEST = (*np.linspace(0.05, 0.9, 16), *np.linspace(0.92, 1.1, 10)), (0.3, 0.6, 0.8, 0.9, 1.0), 10.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """The cheapest fleets, and the demand that they serve; times: how much looser its limits are than asked, by name."""

    fleets: list[Fleet]
    demand: Demand
    times: dict[str, float]


def traffic(path: str, *, requests_per_s, of: Lengths, peak_to_mean, **limits) -> tuple[Demand, Trace | None]:
    """(demand, trace) of a file, or (demand, None) of a rate whose busiest hour is peak_to_mean times as busy."""
    if path == "none":
        return of_rate(requests_per_s, of, peak_to_mean=peak_to_mean, **limits), None
    trace = readers.read(path)
    return of_trace(trace, **limits), trace


def load_over_time(demand: Demand, trace: Trace | None) -> tuple[pd.DataFrame, str]:
    """(hours from the start, requests_per_s) of a trace or of a made-up day; and the length of a period in words."""
    if trace is None:
        day = demand.hours_per_s[: profiles.DAY]
        return pd.DataFrame({"hours": np.arange(day.size, dtype=float), "requests_per_s": day}), "hour"
    since = trace.arrival_s - trace.arrival_s[0]
    period_s = next((s for s in (60.0, 600.0, HOUR_S) if since[-1] < PERIODS * s), since[-1] / PERIODS)
    n = max(1, int(since[-1] // period_s))
    counts, edges = np.histogram(since, bins=n, range=(0.0, since[-1]))
    words = {60.0: "minute", 600.0: "ten minutes", HOUR_S: "hour"}.get(period_s, f"{period_s / HOUR_S:.3g} hours")
    return pd.DataFrame({"hours": edges[:-1] / HOUR_S, "requests_per_s": counts / (edges[1] - edges[0])}), words


def lengths_of(demand: Demand, trace: Trace | None) -> pd.DataFrame:
    """Prompts and answers in tokens: what, mean, cv, p50, p90, p99; of made-up ones, those of their lognormal distribution."""
    of, rows = demand.lengths, []
    for what, mean, cv in (("Prompt", of.input_tokens, of.input_cv), ("Answer", of.output_tokens, of.output_cv)):
        row = {"what": what, "mean": mean, "cv": cv}
        if trace is None:
            rows.append(row | {name: lognormal_quantile(mean=mean, cv=cv, q=q) for name, q in QUANTILES.items()})
            continue
        tokens = trace.input_tokens if what == "Prompt" else trace.output_tokens
        rows.append(row | {name: float(np.quantile(tokens, q)) for name, q in QUANTILES.items()})
    return pd.DataFrame(rows)


def lognormal_quantile(*, mean: float, cv: float, q: float) -> float:
    """A quantile of a lognormal length in tokens, from its mean and its standard deviation over that."""
    from scipy.special import ndtri

    sigma = np.sqrt(np.log1p(cv**2))
    return float(mean * np.exp(sigma * ndtri(q) - 0.5 * sigma**2))


def burstiness(trace: Trace) -> float:
    """Standard deviation over mean of the gaps between arrivals: 1 where they know nothing of each other."""
    gaps = np.diff(trace.arrival_s)
    return float(gaps.std() / gaps.mean())


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
    quiet = replace(demand, levels_per_s=np.full(1, NONE_PER_S), time_shares=np.ones(1))
    near = [seconds(at, quiet, n_replicas=1, slots=at.slots) for _, at in placed if at.slots >= 1]
    if not near:
        raise InputError("the model with these requests fits into no server that is offered: another model, seller or lengths")
    return min(near, key=lambda one: max(one["ttft_s"] / demand.ttft_s, one["tpot_s"] / demand.tpot_s))


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
        flat = replace(demand, levels_per_s=np.array([load]), time_shares=np.ones(1))
        trace = made_up(flat, n_replicas=1, most_tokens=deployed.model.max_context)
        found = replayed(deployed, [trace], slots=slots, token_budget=token_budget)
        rows += [
            {"requests_per_s": load, "what": what, "ms": KILO * float(found[name].fillna(0.0).quantile(demand.share))}
            for what, name in (("TTFT", "ttft_s"), ("TPOT", "tpot_s"))
        ]
    frame = pd.DataFrame(rows)
    return frame[np.isfinite(frame["ms"])]


def scaled(demand: Demand, factor: float) -> Demand:
    """The same traffic, so many times as dense."""
    hours = None if demand.hours_per_s is None else demand.hours_per_s * factor
    return replace(demand, levels_per_s=np.maximum(demand.levels_per_s * factor, NONE_PER_S), hours_per_s=hours)


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
    at = replace(at, decode_s=at.decode_s * slower, prompt_s=at.prompt_s * slower)
    row = {name: fleet.offer[name] * rent if name == "usd_per_useful_hour" else fleet.offer[name] for name in fleet.offer}
    limits = {"ttft_s": demand.ttft_s * ttft, "tpot_s": demand.tpot_s * tpot}
    asked = peaked(scaled(replace(demand, lengths=other, **limits), load), peak)
    found = plan.sized(fleet.deployment, at, pd.DataFrame([row]), asked, rules)
    return found.usd_per_mtok if found else np.nan


def peaked(demand: Demand, factor: float) -> Demand:
    """The load with what is above or below its mean that many times as far away, nothing below none."""
    mean = mean_per_s(demand)

    def moved(load):
        return np.maximum(mean + factor * (load - mean), NONE_PER_S)

    hours = None if demand.hours_per_s is None else moved(demand.hours_per_s)
    return replace(demand, levels_per_s=moved(demand.levels_per_s), hours_per_s=hours)
