"""Erlang's formulas: servers, the load offered to them, and who waits. Arrays broadcast.

A server is whatever serves one request at a time: a slot of a batch, a replica, a site. Load is in Erlangs: arrivals a second
times the seconds that one is served, so that load / servers is the utilisation. Arrivals are Poisson. The continuous forms
hold between whole numbers of servers too. What a slot's speed owes to the other slots is `station`.
"""

from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, gammaincc, gammaln, ndtr, xlogy

from costpertoken.model.records import InputError, check_range

#: Spare servers tried at first, and at most.
FEW_SPARES, MOST_SPARES = 64, 10_000


def erlang_b(*, servers, load):
    """Share of arrivals that find all servers taken and leave (loss system; Erlang 1917)."""
    servers, load = np.broadcast_arrays(np.asarray(servers, float), np.asarray(load, float))
    below = gammaincc(servers + 1.0, load)
    at = np.exp(xlogy(servers, load) - load - gammaln(servers + 1.0))
    swamped = below < 1e-280  # so far above the servers that nearly all are lost
    return np.where(swamped, 1.0 - servers / np.where(load > 0, load, 1.0), at / np.where(swamped, 1.0, below))[()]


def erlang_c(*, servers, load):
    """Share of arrivals that wait (queue without end, first come first served); 1 where the load is no less than the servers."""
    servers, load = np.broadcast_arrays(np.asarray(servers, float), np.asarray(load, float))
    lost = erlang_b(servers=servers, load=load)
    free = servers - load * (1.0 - lost)
    return np.where(load < servers, servers * lost / np.where(free > 0, free, 1.0), 1.0)[()]


def mean_wait_s(*, servers, load, service_s):
    """Mean seconds of wait over all requests; infinite where the load is no less than the servers."""
    spare = np.asarray(servers, float) - load
    waits = erlang_c(servers=servers, load=load)
    return np.where(spare > 0, waits * service_s / np.where(spare > 0, spare, 1.0), np.inf)[()]


def wait_s(*, servers, load, service_s, share):
    """Seconds that `share` of the requests wait at most: the wait of those that wait is exponential."""
    waits, spare = erlang_c(servers=servers, load=load), np.asarray(servers, float) - load
    over = np.log(np.maximum(waits, 1e-300) / (1.0 - share))
    return np.where(spare > 0, np.maximum(over, 0.0) * service_s / np.where(spare > 0, spare, 1.0), np.inf)[()]


def most_load(*, servers: float, wait_probability: float) -> float:
    """The largest load in Erlangs at which at most wait_probability of the requests wait (at most half a server per cent off)."""
    check_range("servers", servers, exclusive=True)
    check_range("wait_probability", wait_probability, low=1e-9, high=1.0 - 1e-9)
    return float(brentq(lambda load: erlang_c(servers=servers, load=load) - wait_probability, 0.0, servers, xtol=1e-9 * servers))


def servers_for(*, load: float, wait_probability: float) -> int:
    """The fewest servers at which at most wait_probability of the requests wait."""
    check_range("load", load, exclusive=True)
    high = int(np.ceil(load)) + 1
    while erlang_c(servers=high, load=load) > wait_probability:
        high *= 2
    tried = np.arange(int(np.floor(load)), high + 1)
    return int(tried[np.argmax(erlang_c(servers=tried, load=load) <= wait_probability)])


def square_root_servers(*, load, wait_probability: float):
    """Servers by the square-root rule (Halfin and Whitt 1981), load + beta x sqrt(load): beta is of wait_probability alone."""
    check_range("wait_probability", wait_probability, low=1e-6, high=1.0 - 1e-6)
    return load + margin(wait_probability) * np.sqrt(load)


def margin(wait_probability: float) -> float:
    """beta of the square-root rule: P(wait) = 1 / (1 + beta Phi(beta) / phi(beta))."""

    def surplus(beta: float) -> float:
        density = np.exp(-0.5 * beta**2) / np.sqrt(2.0 * np.pi)
        return 1.0 / (1.0 + beta * ndtr(beta) / density) - wait_probability

    return float(brentq(surplus, 1e-9, 10.0))


@cache
def spares_for(*, needed: int, availability: float, target: float) -> int:
    """The k of N + k: the fewest spares at which `needed` servers are up with at least the target's probability.

    Each is up independently with `availability`; the binomial's tail as an incomplete beta function, which is quicker. Raises
    InputError where not even many spares reach the target.
    """
    check_range("availability", availability, high=1.0, exclusive=True)
    if needed < 1:
        return 0
    for most in (FEW_SPARES, MOST_SPARES):
        enough = betainc(needed, 1.0 + np.arange(most), availability) >= target
        if enough.any():
            return int(np.argmax(enough))
    raise InputError(f"availability {availability:g} of each of {needed} never makes {target:g} together; expected more")
