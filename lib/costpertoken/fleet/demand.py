"""What a fleet is asked for: requests by length, how the load moves, latency limits; and the fewest replicas that keep them."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from costpertoken.fleet import profiles
from costpertoken.fleet.autoscale import ahead
from costpertoken.fleet.facts import variation
from costpertoken.fleet.station import Lengths, Station, with_slots
from costpertoken.fleet.steady import ENDLESS_S, chain, most_per_s, most_requests_per_s, within
from costpertoken.fleet.trace import Trace
from costpertoken.model.records import InputError, check_range
from costpertoken.model.units import HOUR_S

#: Seconds of a trace that make one level of load, long enough that chance alone makes no peaks; levels that are kept apart (the
#: highest always is).
WINDOW_S, MOST_LEVELS = 300.0, 16
#: Requests a second that stand for none.
NONE_PER_S = 1e-9
MOST_REPLICAS = 2**20
#: Numbers of replicas tried one by one; beyond them, more replicas are taken never to be worse.
SINGLY = 4
#: Shares of requests that are as good as the same.
ALIKE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Lengths; levels of the whole load with their shares of the time; and limits that `share` of the requests must keep.

    hours_per_s: the load hour by hour, where it repeats: what a fleet that scales follows.
    """

    lengths: Lengths
    levels_per_s: np.ndarray
    time_shares: np.ndarray
    ttft_s: float = np.inf
    tpot_s: float = np.inf
    share: float = 0.9
    hours_per_s: np.ndarray | None = None


def limits(*, ttft_s: float = np.inf, tpot_s: float = np.inf, share: float = 0.9) -> dict[str, float]:
    """Latency limits, checked."""
    for name, limit in (("TTFT limit", ttft_s), ("TPOT limit", tpot_s)):
        check_range(name, min(limit, ENDLESS_S), exclusive=True)
    check_range("share of requests within the limits", share, low=0.01, high=0.999)
    return {"ttft_s": float(ttft_s), "tpot_s": float(tpot_s), "share": float(share)}


def of_rate(requests_per_s: float, of: Lengths, *, peak_to_mean=1.0, weekend_share=1.0, **kept) -> Demand:
    """A mean rate over a week whose busiest hour is peak_to_mean times as busy."""
    check_range("requests_per_s", requests_per_s, exclusive=True)
    hours = requests_per_s * profiles.week(peak_to_mean=peak_to_mean, weekend_share=weekend_share)
    levels, shares = merged(hours)
    return Demand(lengths=of, levels_per_s=levels, time_shares=shares, hours_per_s=hours, **limits(**kept))


def of_trace(trace: Trace, *, cached_share=0.0, **kept) -> Demand:
    """The load of a trace by WINDOW_S, from the first arrival to the last, and its lengths. A trace that lasts no time is
    refused: its rate cannot be known."""
    since = trace.arrival_s - trace.arrival_s[0]
    if not since[-1] > 0:
        raise InputError(f"trace {trace.name}: all requests come at once; expected arrivals that are spread over some time")
    levels, shares = merged(loads(trace, WINDOW_S)[1])
    cv = [variation(tokens) for tokens in (trace.input_tokens, trace.output_tokens)]
    prompts = trace.input_tokens / trace.input_tokens.mean()
    moments = float((prompts**3).mean()), float((prompts**4).mean())
    of = Lengths(float(trace.input_tokens.mean()), float(trace.output_tokens.mean()), cached_share, *cv, moments)
    return Demand(lengths=of, levels_per_s=levels, time_shares=shares, **limits(**kept))


def loads(trace: Trace, period_s: float) -> tuple[np.ndarray, np.ndarray]:
    """(starts in seconds, requests a second) of the equal periods of at least period_s into which a trace falls."""
    since = trace.arrival_s - trace.arrival_s[0]
    n = max(1, int(since[-1] // period_s))
    counts, edges = np.histogram(since, bins=n, range=(0.0, since[-1]))
    return edges[:-1], counts / (edges[1] - edges[0])


def at_level(demand: Demand, requests_per_s: float = NONE_PER_S) -> Demand:
    """The demand with one load all the time; hardly any, where none is named."""
    return replace(demand, levels_per_s=np.array([requests_per_s]), time_shares=np.ones(1))


def merged(load_per_s) -> tuple[np.ndarray, np.ndarray]:
    """(levels, shares of the time) of a load in equal periods, neighbours joined to their mean until few are left; the highest
    stays as it is."""
    load = np.sort(np.asarray(load_per_s, dtype=float))
    found, counts = np.unique(np.round(load, 12), return_counts=True)
    if found.size > MOST_LEVELS:
        groups = [*np.array_split(load[:-1], MOST_LEVELS - 1), load[-1:]]
        found, counts = np.array([group.mean() for group in groups]), np.array([group.size for group in groups])
    return np.maximum(found, NONE_PER_S), counts / counts.sum()


def mean_per_s(demand: Demand) -> float:
    """Requests a second in the mean."""
    return float(demand.levels_per_s @ demand.time_shares)


def shares_kept(at: Station, demand: Demand, n_replicas: int):
    """(share of all requests whose first token comes in time, share whose tokens do, whether no level is too much, slots), by
    number of slots, where the load is split evenly over so many replicas."""
    found = chain(at, demand.levels_per_s / n_replicas)
    first, fast = within(found, ttft_s=demand.ttft_s, tpot_s=demand.tpot_s)
    requests = demand.levels_per_s * demand.time_shares
    weights = requests / requests.sum()
    return (weights @ first)[1:], (weights @ fast)[1:], (found.drain_per_s > 0).all(axis=0)[1:], found.in_flight[1:]


def best_slots(at: Station, demand: Demand, n_replicas: int) -> float:
    """Slots with which so many replicas keep the limits with the most to spare, the most of those that are ALIKE; NaN where none
    does. With no limit on the first token the most that keep the other one: fewer would only make requests wait."""
    first, fast, stable, slots = shares_kept(at, demand, n_replicas)
    least = np.where(stable, np.minimum(first, fast), -1.0)
    spare = least.max() - ALIKE if np.isfinite(demand.ttft_s) else 0.0
    best = np.flatnonzero(least >= max(spare, demand.share))
    return float(slots[best[-1]]) if best.size else np.nan


def fewest_replicas(at: Station, demand: Demand, *, at_least: int = 1) -> tuple[int, float]:
    """(the fewest replicas that keep the limits, slots of each); (0, NaN) where no number of them does."""
    if not at.slots >= 1 or np.isnan(best_slots(at, at_level(demand), 1)):
        return 0, np.nan
    low = max(at_least, int(np.ceil(demand.levels_per_s.max() / most_per_s(at) - 1e-9)))
    few = next((n for n in range(low, low + SINGLY) if best_slots(at, demand, n) >= 1), 0)
    if few:
        return few, best_slots(at, demand, few)
    high = low = low + SINGLY
    while np.isnan(best_slots(at, demand, high)):
        low, high = high + 1, 2 * high
        if high > MOST_REPLICAS:
            return 0, np.nan
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if best_slots(at, demand, middle) >= 1 else (middle + 1, high)
    return high, best_slots(at, demand, high)


def hourly_replicas(at: Station, demand: Demand, *, at_least: int = 1) -> tuple[np.ndarray, float]:
    """(replicas of each hour, slots) of a fleet that is told an hour ahead and drops nobody: the busier of this hour and the
    next. Each hour keeps the limits by itself. (empty, NaN) where none can."""
    rate, slots = most_requests_per_s(at, ttft_s=demand.ttft_s, tpot_s=demand.tpot_s, share=demand.share)
    if demand.hours_per_s is None or not rate > 0:
        return np.zeros(0), np.nan
    told = {"step_s": HOUR_S, "lag_s": HOUR_S, "replica_per_s": rate, "minimum": at_least}
    return ahead(demand.hours_per_s, **told).paid, slots


def seconds(at: Station, demand: Demand, *, n_replicas: int, slots: float) -> dict[str, float]:
    """TTFT and TPOT that `share` of the requests keep, over all levels of the load."""
    at = with_slots(at, slots)
    found = chain(at, demand.levels_per_s / n_replicas)
    requests = demand.levels_per_s * demand.time_shares

    def surplus(log_s: float, what: str) -> float:
        asked = {"ttft_s": ENDLESS_S, "tpot_s": ENDLESS_S} | {what: np.exp(log_s)}
        share = within(found, **asked)[what == "tpot_s"][:, -1]
        return float(requests @ share / requests.sum()) - demand.share

    def least(what: str) -> float:
        ends = np.log(1e-6), np.log(ENDLESS_S)
        return float(np.exp(brentq(surplus, *ends, args=(what,), xtol=1e-4))) if surplus(ends[1], what) > 0 else np.inf

    return {what: least(what) for what in ("ttft_s", "tpot_s")}
