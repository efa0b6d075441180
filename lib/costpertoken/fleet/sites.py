"""One load served by n equal sites: machines of each by waiting and by failures, how far they are used, what they cost.

Load is in replicas: requests a second over what one replica finishes with all its slots taken. A replica is `slots` servers in
the sense of `queueing`, each at its speed in a full batch, which is slower than it is in truth when some are free.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from costpertoken.fleet import profiles
from costpertoken.fleet.queueing import erlang_c, most_load, spares_for
from costpertoken.model.records import at_least, check_range
from costpertoken.model.units import HOURS_PER_YEAR, MONTHS_PER_YEAR


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What is asked of all sites together. load: mean, in full replicas. zone_hours: width of the time zones of all users.
    wait_probability: chance of finding no free slot in the busiest hour. target: chance that enough replicas are up."""

    load: float = at_least(0.0)
    slots: float = at_least(1.0)
    models: int = at_least(1)
    peak_to_mean: float = at_least(1.0)
    zone_hours: float = at_least(0.0, below=24.001)
    wait_probability: float = at_least(0.0, below=1.0)
    target: float = at_least(0.0, below=1.0)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a kind of site is like. availability: of one replica. fixed_usd_per_hour: of a site, however small."""

    availability: float = at_least(0.0, below=1.0)
    usd_per_replica_hour: float = at_least(0.0)
    fixed_usd_per_hour: float = at_least(0.0)


@dataclass(frozen=True, kw_only=True)
class Sites:
    """n sites: peak over mean that each sees, replicas that its peak needs, its spares, share used over the week, the bill."""

    sites: int
    peak_to_mean: float
    needed: int
    spares: int
    utilisation: float
    usd_per_hour: float


def occupancy(*, servers, wait_probability: float):
    """Largest share of servers taken at which at most wait_probability of the requests find none free."""
    most = [most_load(servers=float(n), wait_probability=wait_probability) / n for n in np.ravel(servers)]
    return np.reshape(most, np.shape(servers))[()]


@cache
def replicas_for(*, load: float, slots: float, wait_probability: float) -> int:
    """The fewest replicas behind one queue that take a load (in full replicas) with at most wait_probability of waiting."""
    check_range("load", load, exclusive=True)

    def short(n: int) -> bool:
        return erlang_c(servers=n * slots, load=load * slots) > wait_probability

    low, high = 0, max(1, int(np.ceil(load)))
    while short(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return high


@cache
def exact_replicas(*, load: float, slots: float, wait_probability: float) -> float:
    """The same with fractions of a replica: what the queue asks for before machines come whole."""

    def surplus(n: float) -> float:
        return wait_probability - erlang_c(servers=n * slots, load=load * slots)

    return float(brentq(surplus, load, load + 2.0 + 20.0 * np.sqrt(load / slots) + 20.0 / slots, xtol=1e-9))


def seen_peak(demand: Demand, sites: int) -> float:
    """Peak over mean of one of n sites: in a grid of sites each has the zones of its column, and pools them."""
    return spread_peak(demand.peak_to_mean, float(demand.zone_hours / np.sqrt(sites)))


@cache
def spread_peak(peak_to_mean: float, width_hours: float) -> float:
    """Peak over mean of people spread evenly over zones of so many hours: the mean over a window damps each harmonic."""
    day = np.fft.rfft(profiles.week(peak_to_mean=peak_to_mean)[: profiles.DAY])
    window = np.sinc(np.arange(len(day)) * width_hours / profiles.DAY)
    return profiles.peak_to_mean(np.fft.irfft(day * window, profiles.DAY))


@cache
def spares_within(replicas: int, availability: float, target: float) -> int:
    """How many of so many replicas have to count as spares, for the others to be up with at least the target's probability;
    all of them where none can be promised."""
    spares = np.arange(replicas)
    enough = binom.sf(replicas - 1 - spares, replicas, availability) >= target
    return int(spares[np.argmax(enough)]) if enough.any() else replicas


def availability(*, hours_between_failures, repair_hours, accelerators: int = 1):
    """Share of time that a replica is up: all of its accelerators must be."""
    return (hours_between_failures / (hours_between_failures + repair_hours)) ** accelerators


def fixed_usd_per_hour(*, staff, staff_usd_per_year, usd_per_month):
    """What a site costs in an hour however small it is: its share of people, its lines and routers."""
    return staff * staff_usd_per_year / HOURS_PER_YEAR + usd_per_month * MONTHS_PER_YEAR / HOURS_PER_YEAR


def serve_from(demand: Demand, place: Place, sites: int) -> Sites:
    """The machines of n equal sites, each with its own queue for each model and its own spares."""
    check_range("sites", sites, low=1)
    peak, mean = seen_peak(demand, sites), demand.load / sites
    each = replicas_for(load=mean * peak / demand.models, slots=demand.slots, wait_probability=demand.wait_probability)
    needed = demand.models * each
    spare = spares_for(needed=needed, availability=place.availability, target=demand.target)
    paid = needed + spare
    bill = sites * (paid * place.usd_per_replica_hour + place.fixed_usd_per_hour)
    return Sites(
        sites=sites, peak_to_mean=peak, needed=needed, spares=spare, utilisation=mean / paid, usd_per_hour=bill
    )


def cost_ratio(demand: Demand, centre: Place, edge: Place, sites: int) -> float:
    """What a token costs from n sites over what it costs from one: the tokens are the same."""
    return serve_from(demand, edge, sites).usd_per_hour / serve_from(demand, centre, 1).usd_per_hour


def ratio_parts(demand: Demand, centre: Place, edge: Place, sites: int) -> dict[str, float]:
    """Factors whose product is `cost_ratio`: peaks that no longer cancel, shorter queues, machines that come whole, spares,
    dearer machine-hours, and what each site costs however small."""
    far, near = serve_from(demand, centre, 1), serve_from(demand, edge, sites)
    whole = near.needed * sites / far.needed
    queues = [asked_by_queue(demand, at) for at in (far, near)]
    parts = {
        "peaks of the day": near.peak_to_mean / far.peak_to_mean,
        "queues": queues[1] / queues[0],
        "whole replicas": 1.0,
        "spares": (1 + near.spares / near.needed) / (1 + far.spares / far.needed),
        "dearer machine-hours": edge.usd_per_replica_hour / centre.usd_per_replica_hour,
    }
    parts["whole replicas"] = whole / (parts["peaks of the day"] * parts["queues"])
    bills = near.usd_per_hour / far.usd_per_hour
    return parts | {"fixed costs of a site": bills / (whole * parts["spares"] * parts["dearer machine-hours"])}


def asked_by_queue(demand: Demand, at: Sites) -> float:
    """Replicas, not rounded, over the load of the busiest hour: 1 without any queueing."""
    load = demand.load / at.sites * at.peak_to_mean / demand.models
    return exact_replicas(load=load, slots=demand.slots, wait_probability=demand.wait_probability) / load
