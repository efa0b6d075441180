"""Groups of users with replicas of their own against one pool for all, at the same promise on latency and on failures.

A fleet is whole replicas of one size, as many as the busiest hour needs within the limits, and spare ones so that enough are
up. Its requests share a queue and go to the replica with the fewest in flight (`steady`). A size is a replica of so many
accelerators; each fleet takes the size with which it has the fewest accelerators.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from costpertoken.fleet.queueing import spares_for
from costpertoken.fleet.station import Station, pooled
from costpertoken.fleet.steady import most_requests_per_s
from costpertoken.model.records import check_range

#: Replicas in one queue at which a size's capacity is computed; between them it is read off by their logarithm.
COUNTS = np.array([1.0, 4.0, 64.0])


@dataclass(frozen=True, kw_only=True)
class Size:
    """A replica of so many accelerators. each_per_s: requests a second that each of COUNTS replicas takes within the limits;
    availability: of one replica."""

    accelerators: int
    each_per_s: np.ndarray
    availability: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Fleets, one an entry: replicas needed and spare, of how many accelerators; exact: accelerators if they had fractions."""

    per_replica: np.ndarray
    needed: np.ndarray
    spares: np.ndarray
    exact: np.ndarray

    @property
    def accelerators(self) -> int:
        """All that are paid for."""
        return int(np.sum(self.per_replica * (self.needed + self.spares)))


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """A fleet for each group, and one for all. at_once: the busiest hour of all together over the sum of theirs."""

    apart: Fleet
    pool: Fleet
    at_once: float = 1.0


def size(at: Station, *, accelerators: int, **limits: float) -> Size | None:
    """A station as a size within limits (ttft_s, tpot_s, share) without failures; None where not one request keeps them."""
    most = [most_requests_per_s(pooled(at, int(n)), **limits)[0] / n for n in COUNTS]
    if not most[0] > 0:
        return None
    return Size(accelerators=accelerators, each_per_s=np.maximum.accumulate(most))


def each_per_s(of: Size, replicas):
    """Requests a second that each of so many replicas takes within the limits."""
    return np.interp(np.log(np.maximum(replicas, 1.0)), np.log(COUNTS), of.each_per_s)


def needed(of: Size, requests_per_s) -> np.ndarray:
    """The fewest replicas that take each load within the limits; at least one."""
    load = np.asarray(requests_per_s, dtype=float) * (1.0 - 1e-9)
    n = np.maximum(1.0, np.ceil(load / of.each_per_s[-1]))
    while np.any(short := n * each_per_s(of, n) < load):
        n = n + short
    return n.astype(int)


def spare(of: Size, replicas, target: float) -> np.ndarray:
    """Spare replicas with which so many are up with the target's chance."""
    each = np.asarray(replicas)
    known = {n: spares_for(needed=n, availability=of.availability, target=target) for n in set(each.ravel().tolist())}
    return np.array([known[n] for n in each.ravel().tolist()]).reshape(each.shape)


def fleet(sizes: Sequence[Size], requests_per_s, *, target: float = 0.0) -> Fleet:
    """The fleet with the fewest accelerators for each load, of the smallest size among equals. target: chance that as many
    replicas are up as are needed."""
    load = np.atleast_1d(np.asarray(requests_per_s, dtype=float))
    check_range("requests_per_s", float(load.min()), exclusive=True)
    able = sorted(sizes, key=lambda one: one.accelerators)
    count = [needed(of, load) for of in able]
    extra = [spare(of, n, target) for of, n in zip(able, count, strict=True)]
    exact = [of.accelerators * load / each_per_s(of, n) for of, n in zip(able, count, strict=True)]
    each = np.array([of.accelerators for of in able])
    best = np.argmin(each[:, None] * (np.array(count) + extra), axis=0), np.arange(load.size)
    return Fleet(
        per_replica=each[best[0]], needed=np.array(count)[best], spares=np.array(extra)[best], exact=np.array(exact)[best]
    )


def isolation(sizes: Sequence[Size], loads, *, target: float = 0.0, coincidence: float = 1.0) -> Isolation:
    """Groups apart and pooled. loads: each group's busiest hour, in requests a second; coincidence: as `together` takes it."""
    at_once = together(loads, coincidence)
    pool = fleet(sizes, at_once * float(np.sum(loads)), target=target)
    return Isolation(apart=fleet(sizes, loads, target=target), pool=pool, at_once=at_once)


def together(loads, coincidence: float) -> float:
    """The busiest hour of all groups together over the sum of theirs: 1 for one group, `coincidence` for many small ones, and
    between them by the chance that two requests are of the same group."""
    check_range("coincidence", coincidence, high=1.0, exclusive=True)
    shares_of = np.asarray(loads, dtype=float) / np.sum(loads)
    return float(coincidence + (1.0 - coincidence) * np.sum(shares_of**2))


def premium(of: Isolation) -> float:
    """Accelerators, and so USD, of the groups apart over those of one pool."""
    return of.apart.accelerators / of.pool.accelerators


def parts(of: Isolation) -> dict[str, float]:
    """The premium as a product: busiest hours that differ, what smaller or fewer replicas take within the limits, whole
    replicas, spare ones."""
    rows = [[one.exact.sum(), (one.per_replica * one.needed).sum(), one.accelerators] for one in (of.apart, of.pool)]
    exact, whole, paid = (float(apart / pool) for apart, pool in zip(*rows, strict=True))
    return {
        "busiest hours": 1.0 / of.at_once,
        "replicas' size": of.at_once * exact,
        "whole replicas": whole / exact,
        "spares": paid / whole,
    }


def shares(groups: int, uneven: float) -> np.ndarray:
    """Shares of so many groups in the load: the k-th largest has k**-uneven of the largest; none uneven: all alike."""
    weight = np.arange(1.0, int(check_range("groups", groups, low=1)) + 1.0) ** -check_range("uneven", uneven)
    return weight / weight.sum()


def square_root_premium(*, groups, slots_taken, beta: float):
    """The premium of queues alone by the square-root rule, servers a + beta sqrt(a) for a load of `slots_taken`; equal groups."""
    a = np.asarray(slots_taken, dtype=float)
    return (a + beta * np.sqrt(groups * a)) / (a + beta * np.sqrt(a))


def whole_premium(*, groups, load, spares: int = 0, pool_spares: int = 0):
    """The premium of whole replicas and spares alone: n (ceil(x / n) + k) / (ceil(x) + k'); load x in full replicas."""
    each, pool = np.ceil(np.divide(load, groups) - 1e-9), np.ceil(np.asarray(load, dtype=float) - 1e-9)
    return groups * (np.maximum(each, 1.0) + spares) / (np.maximum(pool, 1.0) + pool_spares)


def certain_groups(*, load, pool, most, spares=0):
    """So many groups, of whatever sizes, cost at most `most` times a pool of so many replicas: a fleet has less than one
    replica and its spares more than its load, so n fleets at most x + n (1 + k). load x: of all, in replicas of one each."""
    return np.maximum((most * np.asarray(pool, dtype=float) - load) / (1.0 + spares), 0.0)
