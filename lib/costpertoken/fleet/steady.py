"""A station under Poisson arrivals: who waits, when the first token comes, and how fast the others follow.

Requests in flight share the steps, so that each one's speed depends on how many they are: a birth and death chain, Erlang's
delay system with a service rate of its own in each state. Up to the last slot it is processor sharing, whose states depend on
the lengths' means alone (Kelly 1979); beyond, requests wait in order of arrival, as if lengths were exponential. Prompts form
a second queue: while some wait, a step carries as many of their tokens as its budget leaves; its waits are taken as
exponential with the mean of Pollaczek and Khinchine.

Left out: memory that requests of uneven length hold unevenly, preemption, failures, bursts of arrivals (see `simulate`).
"""

from dataclasses import dataclass

import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.optimize import brentq
from scipy.special import gammainc, ndtr

from costpertoken.fleet.queueing import erlang_c
from costpertoken.fleet.station import Station, at_flight, pooled, prompt_seconds
from costpertoken.model.records import check_range

#: States of a chain that are computed; where there are more slots, those between them are interpolated.
STATES = 200
#: No limit at all, in seconds.
ENDLESS_S = 1e9
#: Loads tried between none and the most, and how often the best one's neighbourhood is.
LOADS, ZOOMS = 32, 3


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Loads (first axis) by requests in flight on all replicas (second axis, from none to all slots).

    Every column is also a number of slots: a chain that ends there, with those who wait beyond it. weight: chance of a state,
    up to a factor of its load. waiting: chance that all slots are taken. drain_per_s: how fast those who wait get fewer.
    """

    requests_per_s: np.ndarray
    in_flight: np.ndarray
    weight: np.ndarray
    whole: np.ndarray
    queued: np.ndarray
    waiting: np.ndarray
    drain_per_s: np.ndarray
    decode_s: np.ndarray
    lumps: np.ndarray
    lump_s: np.ndarray
    before_s: np.ndarray
    own_s: np.ndarray
    own_cv: float
    prompt_waits: np.ndarray
    prompt_drain_per_s: np.ndarray


def chain(at: Station, requests_per_s) -> Chain:
    """The chain of a station at loads of all its replicas together. Where a load is too much for the slots, all wait for ever."""
    load = np.atleast_1d(np.asarray(requests_per_s, dtype=float))[:, None]
    each, in_flight = load / at.n_replicas, states(at)
    flight, active = np.maximum(in_flight / at.n_replicas, 1.0), np.minimum(in_flight, at.n_replicas)
    decode_s, prompt_s = (at_flight(at, values, flight) for values in (at.decode_s, at.prompt_s))
    left = np.maximum(1.0 - each * prompt_s, 1e-9)  # of the time, for decoding
    finish_per_s = active * flight * left / (at.output_tokens * decode_s)
    log_weight = np.zeros_like(finish_per_s)
    log_weight[:, 1:] = summed(np.log(load) - np.log(finish_per_s[:, 1:]), in_flight[1:])
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    spare = 1.0 - each * prompt_seconds(at, flight)
    drain = np.where(np.maximum.accumulate(spare, axis=1) > 0, np.maximum(finish_per_s - load, 0.0), 0.0)
    queued = weight * load / np.where(drain > 0, drain, np.nan)
    whole = summed(weight, in_flight) + queued
    waiting = np.nan_to_num((weight + queued) / whole, nan=1.0)
    queue = {"weight": weight, "whole": whole, "queued": queued, "waiting": waiting, "drain_per_s": drain}
    return Chain(requests_per_s=load[:, 0], in_flight=in_flight, **queue, **pace(at, each, flight, left, spare))


def pace(at: Station, each, flight, left, spare) -> dict[str, np.ndarray | float]:
    """What a request meets in each state: seconds to its first token, with the wait for other prompts, and of its tokens.

    Of a request's tokens some come in steps that carry prompts: a compound Poisson number of lumps, taken as gamma.
    """
    decode_s, prompt_s, chunk = (at_flight(at, values, flight) for values in (at.decode_s, at.prompt_s, at.chunk_tokens))
    uneven = (1.0 + at.prompt_cv**2) * (1.0 + at.output_cv**2)
    own_s = prompt_s + decode_s * np.maximum(1.0, at.prompt_tokens / chunk)
    return {
        "decode_s": decode_s,
        "lumps": each * at.output_tokens * decode_s / left / uneven,
        "lump_s": prompt_s * uneven / at.output_tokens,
        "before_s": at.base_s + 0.5 * decode_s,
        "own_s": own_s,
        "own_cv": at.prompt_cv,
        "prompt_waits": erlang_c(servers=at.n_replicas, load=np.minimum(each * own_s, 1.0) * at.n_replicas),
        "prompt_drain_per_s": 2.0 * at.n_replicas * np.maximum(spare, 1e-3) / (own_s * (1.0 + at.prompt_cv**2)),
    }


def states(at: Station) -> np.ndarray:
    """Numbers of requests in flight on all replicas: all of them while they are few, then in even ratios."""
    slots = max(1.0, np.floor(at.slots)) * at.n_replicas
    if slots < STATES:
        return np.arange(slots + 1.0)
    few = STATES // 2
    return np.unique(np.round(np.concatenate([np.arange(few), np.geomspace(few, slots, STATES - few)])))


def summed(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Running sums over all whole numbers up to each of `at`, by trapezoids: exact where no number is left out."""
    return cumulative_trapezoid(values, at, initial=0.0) + 0.5 * (values + values[:, :1])


def within(found: Chain, *, ttft_s: float, tpot_s: float) -> tuple[np.ndarray, np.ndarray]:
    """(share of the requests whose first token comes in ttft_s, share of time in flight at tpot_s or less a token), by load and
    number of slots; 0 where the load is too much."""
    room_s = np.clip(ttft_s - found.before_s, 1e-9, ENDLESS_S)
    left_s = np.maximum(room_s - found.own_s, 0.0)
    early = taken_in(found, room_s) * (1.0 - found.prompt_waits * np.exp(-found.prompt_drain_per_s * left_s))
    admitted = summed(found.weight * early, found.in_flight) - found.weight * early
    in_time = -np.expm1(-found.drain_per_s * left_s) * early
    first = (admitted + (found.weight + found.queued) * in_time) / found.whole
    room = np.clip(tpot_s - found.decode_s, 0.0, ENDLESS_S) / found.lump_s
    fast, taken = gammainc(found.lumps, room), found.weight * found.in_flight
    queued = found.queued * found.in_flight
    kept = (summed(taken * fast, found.in_flight) + queued * fast) / (summed(taken, found.in_flight) + queued)
    return np.nan_to_num(first), np.nan_to_num(kept)


def taken_in(found: Chain, room_s: np.ndarray) -> np.ndarray:
    """Share of the prompts whose own work takes room_s or less: lognormal, all alike where they do not vary."""
    if found.own_cv < 1e-6:
        return np.where(room_s < found.own_s, 0.0, 1.0)
    sigma = np.sqrt(np.log1p(found.own_cv**2))
    return ndtr(np.log(room_s / found.own_s) / sigma + 0.5 * sigma)


def keeps(at: Station, loads, *, ttft_s=np.inf, tpot_s=np.inf, share=0.9) -> tuple[np.ndarray, np.ndarray]:
    """(whether both limits are kept for `share`, by load and number of slots; those numbers of slots on all replicas)."""
    found = chain(at, loads)
    first, fast = within(found, ttft_s=ttft_s, tpot_s=tpot_s)
    return ((first >= share) & (fast >= share) & (found.drain_per_s > 0))[:, 1:], found.in_flight[1:]


def most_requests_per_s(at: Station, *, ttft_s=np.inf, tpot_s=np.inf, share=0.9) -> tuple[float, float]:
    """(largest load of all replicas that keeps both limits for `share` of its requests, slots of a replica that it takes);
    NaN where not even a single request does."""
    check_range("share", share, high=0.9999, exclusive=True)
    if not at.slots >= 1:
        return np.nan, np.nan
    low, high, best = 0.0, most_per_s(at), (np.nan, np.nan)
    for _ in range(ZOOMS):
        loads = low + (high - low) * np.arange(1, LOADS + 1) / LOADS
        good, slots = keeps(at, loads, ttft_s=ttft_s, tpot_s=tpot_s, share=share)
        kept = np.flatnonzero(good.any(axis=1))
        if kept.size:
            best = float(loads[kept[-1]]), float(slots[np.argmax(good[kept[-1]])]) / at.n_replicas
        low, high = (loads[kept[-1]], min(high, loads[kept[-1]] + (high - low) / LOADS)) if kept.size else (low, loads[0])
    return best


def most_per_s(at: Station) -> float:
    """The most requests a second that all replicas finish, with any number of slots, at whatever number in flight is best."""
    flight = np.union1d(at.flight[at.flight <= at.slots], states(pooled(at, 1))[1:])
    decode_s, prompt_s = (at_flight(at, values, flight) for values in (at.decode_s, at.prompt_s))
    each = np.maximum(at.output_tokens * decode_s / flight + prompt_s, prompt_seconds(at, flight))
    return at.n_replicas / float(each.min())


@dataclass(frozen=True, kw_only=True)
class Steady:
    """A station at one load. utilisation: of what it can finish; waiting: chance that a request finds no free slot. ttft_s,
    tpot_s: at each of the shares asked for, infinite where the load is too much."""

    utilisation: float
    in_flight: float
    waiting: float
    ttft_s: np.ndarray
    tpot_s: np.ndarray


def steady(at: Station, *, requests_per_s: float, shares=(0.5, 0.9, 0.99)) -> Steady:
    """A station at a load of all its replicas together, with all its slots."""
    check_range("requests_per_s", requests_per_s, exclusive=True)
    found = chain(at, requests_per_s)
    utilisation = requests_per_s / most_per_s(at)
    if not found.drain_per_s[0, -1] > 0:
        endless = np.full(len(shares), np.inf)
        return Steady(utilisation=utilisation, in_flight=np.inf, waiting=1.0, ttft_s=endless, tpot_s=endless)
    taken = found.weight * found.in_flight
    beyond = 1.0 + requests_per_s / np.where(found.drain_per_s > 0, found.drain_per_s, np.nan)  # mean of those who wait, if any
    mean = (summed(taken, found.in_flight) + found.queued * (found.in_flight + beyond)) / found.whole
    return Steady(
        utilisation=utilisation,
        in_flight=float(mean[0, -1]),
        waiting=float(found.waiting[0, -1]),
        ttft_s=np.array([quantile(found, "ttft_s", share) for share in shares]),
        tpot_s=np.array([quantile(found, "tpot_s", share) for share in shares]),
    )


def quantile(found: Chain, what: str, share: float) -> float:
    """Seconds within which `share` of the requests have their first token ("ttft_s"), or of the time in flight a token
    ("tpot_s"), with all slots."""
    ends = {"ttft_s": np.inf, "tpot_s": np.inf}

    def surplus(log_s: float) -> float:
        first, fast = within(found, **(ends | {what: np.exp(log_s)}))
        return (first if what == "ttft_s" else fast)[0, -1] - share

    return float(np.exp(brentq(surplus, np.log(1e-9), np.log(ENDLESS_S), xtol=1e-6)))
