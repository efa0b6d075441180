"""Capacity to rent: pools of accelerators, how often they are there, what a mix of them serves, and which are worth a look."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from costpertoken.model.door import InputError, at_least, check

#: Terms that are paid in every hour.
COMMITTED = ("1y", "3y")
#: Pools that can be out at once: each doubles the scenarios.
MOST_EVICTED = 8


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Accelerators of one provider, region and term.

    evictions_per_hour: of one instance while it is up. together_share: the share of them that take the whole pool at once.
    """

    provider: str
    term: str  # on-demand, spot, 1y or 3y
    region: str = ""
    usd_per_hour: float = at_least(0.0)  # of one accelerator
    n_accel: int = at_least(1, default=1)  # accelerators of an instance, taken or left as a whole
    most: float | None = at_least(0.0, default=None)  # accelerators to be had; None: without limit
    evictions_per_hour: float = at_least(0.0, default=0.0)
    recovery_hours: float = at_least(0.0, default=0.0)  # lost to an eviction: machine, weights, requests in flight
    together_share: float = at_least(0.0, below=1.0, default=1.0)

    __post_init__ = check


@dataclass(frozen=True, kw_only=True)
class Load:
    """Accelerators needed, and the share of the week's hours that need so many; highest first."""

    accelerators: tuple[float, ...]
    share: tuple[float, ...]


def load_of(hourly) -> Load:
    """A profile of accelerators by hour as levels with weights; equal hours are one level."""
    levels, counts = np.unique(np.asarray(hourly, float), return_counts=True)
    if len(levels) == 0 or levels[0] < 0 or levels[-1] <= 0:
        raise InputError("a load needs hours with accelerators, none below zero")
    return Load(accelerators=tuple(levels[::-1].tolist()), share=tuple((counts[::-1] / counts.sum()).tolist()))


def out_share(pool: Pool) -> float:
    """Share of the time in which the whole pool is out: up for 1 / rate in the mean, then recovering."""
    lost = pool.evictions_per_hour * pool.together_share * pool.recovery_hours
    return lost / (1.0 + lost)


def down_share(pool: Pool) -> float:
    """Share of the time in which one instance is down by an eviction of its own."""
    lost = pool.evictions_per_hour * (1.0 - pool.together_share) * pool.recovery_hours
    return lost / (1.0 + lost)


def scenarios(pools: Sequence[Pool]) -> tuple[np.ndarray, np.ndarray]:
    """(probability of each scenario, capacity of each pool in it as a share of what is held)."""
    out = np.array([out_share(pool) for pool in pools])
    can = np.flatnonzero(out)
    if len(can) > MOST_EVICTED:
        raise InputError(f"{len(can)} pools can be evicted; at most {MOST_EVICTED}: leave out the dearest")
    up = np.ones((2 ** len(can), len(pools)))
    up[:, can] = list(product((1.0, 0.0), repeat=len(can)))
    chance = np.where(up > 0, 1.0 - out, out)[:, can].prod(axis=1)
    return chance, up * (1.0 - np.array([down_share(pool) for pool in pools]))


def served_share(load: Load, pools: Sequence[Pool], instances: np.ndarray) -> float:
    """Expected share of the load that a mix serves, single evictions at their mean."""
    chance, up = scenarios(pools)
    held = np.asarray(instances) * np.array([[pool.n_accel] for pool in pools])
    asked = np.array(load.accelerators)
    short = np.maximum(asked - up @ held, 0.0)
    return 1.0 - float(chance @ short @ np.array(load.share) / (asked @ np.array(load.share)))


def name(pool: Pool) -> str:
    """A pool in words."""
    return " ".join(filter(None, [pool.provider, pool.region, pool.term]))


def undominated(pools: Sequence[Pool]) -> tuple[Pool, ...]:
    """The pools that some load could want: less another that never fails, is no dearer, as fine and without limit.

    A commitment is beaten by what is rented by the hour, not the other way round.
    """
    kept: list[Pool] = []
    for pool in sorted(pools, key=lambda p: (p.usd_per_hour, p.n_accel, p.most is not None, name(p))):
        if not any(_beats(other, pool) for other in kept):
            kept.append(pool)
    return tuple(kept)


def _beats(one: Pool, other: Pool) -> bool:
    """Whether a pool is never worse than another that costs no less."""
    firm = one.evictions_per_hour * one.recovery_hours == 0 and one.most is None
    hourly = one.term not in COMMITTED or other.term in COMMITTED
    return firm and hourly and other.n_accel % one.n_accel == 0
