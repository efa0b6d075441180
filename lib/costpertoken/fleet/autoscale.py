"""Capacity that comes when it is asked for: how long a start takes, one replica that goes to zero, and a fleet that follows
its load late. Arrays broadcast.

Loads in requests per second. To zero: Poisson arrivals, every request held for the same time, and places enough for all.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from costpertoken.model.records import check_range
from costpertoken.model.units import HOUR_S, MTOK


def cold_start_parts_s(*, machine_s, weight_bytes, bytes_per_s, compile_s, engine_s) -> dict:
    """Seconds of a cold start by part, one after the other: they sum to the whole.

    machine: until a container runs; weights: weight_bytes read at bytes_per_s, of the network or a local disk, whichever
    holds them; compile: kernels and graphs that no cache holds; engine: everything else until the first request.
    """
    check_range("bytes_per_s", bytes_per_s, exclusive=True)
    weights_s = np.asarray(weight_bytes, dtype=float) / bytes_per_s
    return {"machine": machine_s, "weights": weights_s[()], "compile": compile_s, "engine": engine_s}


@dataclass(frozen=True, kw_only=True)
class ToZero:
    """A replica that goes off after idle_s without work: shares of time and of requests, means over all requests.

    paid and off are shares of time; cold: share of requests that meet a replica which is off or still starting.
    """

    requests_per_s: np.ndarray
    start_s: np.ndarray
    starts_per_s: np.ndarray
    paid: np.ndarray
    off: np.ndarray
    cold: np.ndarray
    mean_wait_s: np.ndarray


def to_zero(*, requests_per_s, start_s, idle_s, service_s=0.0, start_paid: bool = True) -> ToZero:
    """One replica that starts (start_s) at the first request and goes off when none has been in work for idle_s.

    The times between goings-off are alike: off for 1 / rate, starting, then up until a gap of service_s + idle_s (the busy
    period of M/D/inf, (exp(rate x gap) - 1) / rate). Those who come while it starts wait for the rest of the start.
    """
    check_range("requests_per_s", requests_per_s, exclusive=True)
    rate, start = np.asarray(requests_per_s, dtype=float), check_range("start_s", start_s)
    gap = np.minimum(rate * (check_range("service_s", service_s) + check_range("idle_s", idle_s)), 600.0)
    during = rate * start  # requests that come while it starts
    each = during + np.exp(gap)  # requests from one going-off to the next
    paid = (np.expm1(gap) + (during if start_paid else 0.0)) / each
    whole = np.broadcast_arrays(rate, start, rate / each, paid, 1.0 / each, (1.0 + during) / each)
    wait = start * (1.0 + 0.5 * during) / each
    names = ("requests_per_s", "start_s", "starts_per_s", "paid", "off", "cold")
    return ToZero(**{name: value[()] for name, value in zip(names, whole, strict=True)}, mean_wait_s=wait[()])


def added_wait_s(of: ToZero, share):
    """Seconds of added wait that `share` of the requests stay within: nothing, some of the start, or all of it."""
    over = (1.0 - np.asarray(share)) / of.off - 1.0  # requests of a cycle that may wait longer, the first aside
    return np.clip(of.start_s - over / of.requests_per_s, 0.0, of.start_s)[()]


def usd_per_request(*, requests_per_s, usd_per_hour, paid=1.0):
    """USD of a request where a share of the time is paid; 1 is always on."""
    return usd_per_hour * paid / (np.asarray(requests_per_s, dtype=float) * HOUR_S)


def usd_per_mtok(*, requests_per_s, usd_per_hour, tokens, paid=1.0):
    """USD per million tokens at so many a request (output, or all: the caller says)."""
    return usd_per_request(requests_per_s=requests_per_s, usd_per_hour=usd_per_hour, paid=paid) / tokens * MTOK


def break_even_per_s(*, on_usd_per_hour: float, zero_usd_per_hour: float, **replica) -> float:
    """Requests per second from which always on is no dearer than to zero, waits left out.

    Infinite where an hour costs no less always on: then going off saves at any load. replica: of `to_zero`.
    """
    share = check_range("on_usd_per_hour", on_usd_per_hour) / check_range("zero_usd_per_hour", zero_usd_per_hour, exclusive=True)
    if share >= 1:
        return np.inf

    def surplus(log: float) -> float:
        return float(to_zero(requests_per_s=np.exp(log), **replica).paid) - share

    low, high = np.log(1e-12), np.log(1e6)
    if surplus(high) < 0:
        return np.inf  # no idle time is ever paid
    return 0.0 if surplus(low) > 0 else float(np.exp(brentq(surplus, low, high, xtol=1e-12)))


def idle_for_cold_s(*, requests_per_s, start_s, cold, service_s=0.0):
    """Seconds of idle timeout at which at most `cold` of the requests meet a cold start."""
    during = np.asarray(requests_per_s, dtype=float) * start_s
    return np.maximum(np.log((1.0 + during) / cold - during) / requests_per_s - service_s, 0.0)[()]


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A fleet over the steps of a load: replicas needed, paid (from when they are asked for) and ready; the load beyond."""

    step_s: float
    load_per_s: np.ndarray
    needed: np.ndarray
    paid: np.ndarray
    ready: np.ndarray
    beyond_per_s: np.ndarray


def needed(load_per_s, *, replica_per_s, minimum: int = 1, headroom=0.0):
    """Replicas of replica_per_s requests per second each for a load and its headroom (a share of it), at least minimum."""
    check_range("replica_per_s", replica_per_s, exclusive=True)
    asked = np.asarray(load_per_s, dtype=float) * (1.0 + headroom) / replica_per_s
    return np.maximum(np.ceil(asked - 1e-9), minimum)[()]


def finer(load_per_s, *, parts: int):
    """A repeating load with each step cut into `parts`, straight lines between the middles of the steps: the mean stays."""
    load = np.asarray(load_per_s, dtype=float)
    at = (np.arange(len(load) * check_range("parts", parts, low=1)) + 0.5) / parts - 0.5
    return np.interp(at, np.arange(len(load)), load, period=len(load))


def ahead(load_per_s, *, step_s: float, lag_s: float, replica_per_s, minimum: int = 1) -> Followed:
    """The load is known lag_s ahead: replicas are asked for in time, and paid while they start.

    The load repeats (a day, a week). Steps that lag_s only touches count whole.
    """
    load = np.asarray(load_per_s, dtype=float)
    now = needed(load, replica_per_s=replica_per_s, minimum=minimum)
    paid = _window(now, _steps(lag_s, step_s), np.max, later=True)
    return _followed(load, step_s, now, paid, now, replica_per_s)


def reactive(
    load_per_s, *, step_s: float, lag_s: float, replica_per_s, minimum: int = 1, headroom: float = 0.0, keep_s: float = 0.0
) -> Followed:
    """Replicas asked for by the load as it is, with headroom; one asked for now is paid now and ready lag_s later.

    keep_s: how long one is kept after it was last needed. The load repeats.
    """
    load = np.asarray(load_per_s, dtype=float)
    asked = needed(load, replica_per_s=replica_per_s, minimum=minimum, headroom=headroom)
    paid = _window(asked, _steps(keep_s, step_s), np.max)
    ready = _window(paid, _steps(lag_s, step_s), np.min)
    now = needed(load, replica_per_s=replica_per_s, minimum=minimum)
    return _followed(load, step_s, now, paid, ready, replica_per_s)


def _steps(time_s: float, step_s: float) -> int:
    """Steps that a time touches."""
    return int(np.ceil(check_range("time", time_s) / check_range("step_s", step_s, exclusive=True) - 1e-9))


def _window(values: np.ndarray, steps: int, of, *, later: bool = False) -> np.ndarray:
    """Extreme of each step and the `steps` before it (later: after it), around the end."""
    shifts = range(min(steps, len(values) - 1) + 1)
    return of([np.roll(values, -shift if later else shift) for shift in shifts], axis=0)


def _followed(load, step_s, now, paid, ready, replica_per_s) -> Followed:
    """The record, with what is beyond the ready replicas."""
    beyond = np.maximum(load - ready * replica_per_s, 0.0)
    return Followed(step_s=step_s, load_per_s=load, needed=now, paid=paid, ready=ready, beyond_per_s=beyond)


def beyond_share(of: Followed) -> float:
    """Share of the requests that come beyond what is ready: they wait or are turned away."""
    return float(of.beyond_per_s.sum() / of.load_per_s.sum())


def replica_hours(of: Followed, billing_s: float = 0.0) -> dict[str, float]:
    """Replica-hours of the whole load: paid; fixed (the peak's replicas throughout); perfect (what is needed, by the step).

    billing_s: each stretch of one replica is paid in whole steps of it; the last one started stops first.
    """
    hours = of.step_s / HOUR_S
    fixed, perfect = of.needed.max() * len(of.needed) * hours, of.needed.sum() * hours
    levels = range(1, int(of.paid.max()) + 1)
    stretches = np.concatenate([_stretches(of.paid >= level) for level in levels]) * of.step_s if levels else np.zeros(0)
    if billing_s:
        stretches = np.ceil(stretches / billing_s - 1e-9) * billing_s
    return {"paid": float(stretches.sum() / HOUR_S), "fixed": float(fixed), "perfect": float(perfect)}


def _stretches(on: np.ndarray) -> np.ndarray:
    """Lengths of the runs of True, around the end."""
    if on.all():
        return np.array([len(on)])
    from_off = np.roll(on, -int(np.argmin(on)))
    edges = np.diff(np.concatenate([[0], from_off.astype(int), [0]]))
    return np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)
