"""Several deployments for one load: which kind of request goes where, and what it costs to keep groups of users apart.

A tier's replicas share their time between the kinds that it gets: each takes the share of a replica that it would keep busy
alone. Left out: what a larger pool gains, and requests that come to the wrong tier first (that is a router's, see `model`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from costpertoken.fleet.queueing import servers_for, spares_for
from costpertoken.model.records import InputError, check_range
from costpertoken.model.units import HOUR_S, MTOK

#: Most assignments that are tried.
MOST_TRIED = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Requests that are alike: their load, lengths, the latency they accept and the quality they need (a tier's is compared)."""

    name: str
    requests_per_s: float
    input_tokens: float = 1.0
    output_tokens: float = 1.0
    latency_s: float = np.inf
    tpot_s: float = np.inf
    quality: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Tier:
    """A deployment of whole replicas at so many sites, the load spread evenly over them.

    requests_per_s: the most that one replica takes of a kind alone, by its name; a kind that is not named, or NaN, is not
    served. latency_s: of a kind without load, distance included, or one for all. usd_per_request: paid beside the replicas,
    by kind (an API's, with replicas that cost nothing). site_usd_per_hour: of each site, however small, where it is used.
    availability: of one replica; target: chance that as many are up on a site as it needs, for which it has spares.
    """

    name: str
    usd_per_hour: float
    requests_per_s: Mapping[str, float]
    latency_s: Mapping[str, float] | float = 0.0
    quality: float = np.inf
    sites: int = 1
    site_usd_per_hour: float = 0.0
    availability: float = 1.0
    target: float = 0.0
    usd_per_request: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where each kind goes, replicas by tier, and USD per hour: all of it and by tier. Infinite where a kind finds no tier."""

    assigned: Mapping[str, str]
    replicas: Mapping[str, int]
    tier_usd_per_hour: Mapping[str, float]
    usd_per_hour: float


def serves(tier: Tier, kind: Kind) -> bool:
    """Whether a tier is near, fast and good enough for a kind."""
    latency = tier.latency_s.get(kind.name, np.inf) if isinstance(tier.latency_s, Mapping) else tier.latency_s
    return tier.requests_per_s.get(kind.name, 0.0) > 0 and latency <= kind.latency_s and tier.quality >= kind.quality


def replicas(tier: Tier, busy):
    """Whole replicas of a tier, spares among them, on all its sites, for `busy` of them busy in all; none where none is."""
    each = np.maximum(np.ceil(np.asarray(busy, dtype=float) / tier.sites - 1e-9), np.asarray(busy) > 0)
    sizes, at = np.unique(each, return_inverse=True)
    up = {"availability": tier.availability, "target": tier.target}
    whole = np.array([size + spares_for(needed=int(size), **up) if size else 0.0 for size in sizes])
    return tier.sites * whole[at].reshape(np.shape(busy))[()]


def cheapest(kinds: Sequence[Kind], tiers: Sequence[Tier]) -> Plan:
    """The cheapest assignment of whole kinds to tiers that serve them, of all there are; the first of equals."""
    able = [[at for at, tier in enumerate(tiers) if serves(tier, kind)] for kind in kinds]
    if not all(able):
        return Plan(assigned={}, replicas={}, tier_usd_per_hour={}, usd_per_hour=np.inf)
    count = int(np.prod([len(some) for some in able], dtype=float))
    if count > MOST_TRIED:
        raise InputError(f"{count:,} assignments of {len(kinds)} kinds; expected at most {MOST_TRIED:,}: join some of them")
    tried = np.stack([axis.ravel() for axis in np.meshgrid(*able, indexing="ij")], axis=-1)
    bills = np.stack([_bill(tier, kinds, tried == at) for at, tier in enumerate(tiers)], axis=-1)
    return planned(kinds, tiers, tried[int(np.argmin(bills.sum(axis=-1)))])


def planned(kinds: Sequence[Kind], tiers: Sequence[Tier], where: Sequence[int]) -> Plan:
    """The plan that puts each kind at a tier (its index), whether or not it serves it well."""
    here = [np.asarray(where) == at for at in range(len(tiers))]
    bills = {tier.name: float(_bill(tier, kinds, mask)) for tier, mask in zip(tiers, here, strict=True)}
    counts = {tier.name: int(replicas(tier, mask @ _busy(tier, kinds))) for tier, mask in zip(tiers, here, strict=True)}
    assigned = {kind.name: tiers[at].name for kind, at in zip(kinds, where, strict=True)}
    return Plan(assigned=assigned, replicas=counts, tier_usd_per_hour=bills, usd_per_hour=sum(bills.values()))


def _busy(tier: Tier, kinds: Sequence[Kind]) -> np.ndarray:
    """Replicas that each kind would keep busy; 0 where the tier does not serve it at all."""
    rates = np.array([tier.requests_per_s.get(kind.name, np.inf) for kind in kinds])
    return np.array([kind.requests_per_s for kind in kinds]) / np.where(rates > 0, rates, np.inf)


def _bill(tier: Tier, kinds: Sequence[Kind], here: np.ndarray) -> np.ndarray:
    """USD per hour of a tier that gets the kinds marked on the last axis."""
    by_request = np.array([kind.requests_per_s * HOUR_S * tier.usd_per_request.get(kind.name, 0.0) for kind in kinds])
    busy = here @ _busy(tier, kinds)
    return replicas(tier, busy) * tier.usd_per_hour + (busy > 0) * tier.sites * tier.site_usd_per_hour + here @ by_request


def alone(kinds: Sequence[Kind], tiers: Sequence[Tier]) -> dict[str, float]:
    """USD per hour of each tier with every kind on it; infinite where it does not serve all of them."""
    return {tier.name: cheapest(kinds, [tier]).usd_per_hour for tier in tiers}


def usd_per_mtok(plan: Plan, kinds: Sequence[Kind]) -> float:
    """The whole bill on the output tokens of all kinds, USD per million."""
    return plan.usd_per_hour / (sum(kind.requests_per_s * kind.output_tokens for kind in kinds) * HOUR_S / MTOK)


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """Replicas of groups: needed and spare ones of each group apart (arrays), and of all of them in one pool."""

    needed_apart: np.ndarray
    spares_apart: np.ndarray
    needed_pooled: int
    spares_pooled: int


def isolation(*, loads, slots: int = 1, wait_probability: float, availability: float = 1.0, target: float = 0.0) -> Isolation:
    """Groups with replicas of their own against one pool, at the same chance of waiting and of having enough replicas up.

    loads: requests in flight of each group (arrivals a second times seconds of service); slots: places of a replica, all of
    whose replicas share a queue. availability: of one replica; target: chance that as many are up as are needed.
    """
    check_range("slots", slots, low=1)
    each = np.atleast_1d(np.asarray(loads, dtype=float))

    def fleet(load: float) -> tuple[int, int]:
        needed = int(np.ceil(servers_for(load=float(load), wait_probability=wait_probability) / slots))
        return needed, spares_for(needed=needed, availability=availability, target=target)

    apart, pooled = np.array([fleet(load) for load in each]), fleet(each.sum())
    return Isolation(
        needed_apart=apart[:, 0], spares_apart=apart[:, 1], needed_pooled=pooled[0], spares_pooled=pooled[1]
    )


def isolation_ratio(of: Isolation) -> float:
    """Replicas, and so USD, of groups apart over those of one pool."""
    return float(of.needed_apart.sum() + of.spares_apart.sum()) / (of.needed_pooled + of.spares_pooled)
