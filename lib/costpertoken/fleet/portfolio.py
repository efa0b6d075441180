"""The cheapest mix of commitments, on-demand and spot that meets a load profile at an availability: a mixed-integer program.

Commitments are paid in every hour, on-demand and spot in the hours in which they are held. Whatever can be evicted is out
either as a whole pool, which makes the scenarios of the program, or unit by unit, which derates its capacity to the mean.
Nothing is bought in answer to an eviction: a machine that is started then comes no sooner than the evicted one is back.
Solved by HiGHS (scipy.optimize.milp).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from costpertoken.model.door import InputError, at_least, check, check_range

#: Terms that are paid in every hour.
COMMITTED = ("1y", "3y")
#: Pools that can be out at once: each doubles the scenarios.
MOST_EVICTED = 8
#: Scenarios that are together rarer than this share of what may be left unserved are counted as the worst of them.
RARE = 1e-2
#: A unit above what is asked that is still no shortage; rounding of the solver.
SLACK = 1e-6


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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A mix and what it does. instances[pool][level]: instances held; a commitment's are the same at all levels.

    usd_per_hour and by_term are means over the week; served_share is the expected share of the accelerator-hours asked for.
    binding: what a dollar more could relax (the target, limits of pools).
    """

    load: Load
    pools: tuple[Pool, ...]
    instances: np.ndarray
    usd_per_hour: float
    by_term_usd_per_hour: dict[str, float]
    served_share: float
    binding: tuple[str, ...]


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


def cheapest(*, hourly, pools: Sequence[Pool], target: float, gap: float = 1e-4) -> Plan:
    """The cheapest plan that serves at least `target` of the load in expectation, to a relative gap of the cost.

    hourly: accelerators needed in each hour. Raises InputError, with what is short by how much, where no mix can.
    """
    check_range("target", target, high=1.0)
    load, pools = load_of(hourly), tuple(pools)
    _feasible(load, pools, target)
    held = _held(load, pools)
    cost, rows, least, most = _program(load, pools, held, target)
    n_whole = sum(map(len, held))
    found = milp(
        cost, constraints=LinearConstraint(rows, least, np.inf), bounds=Bounds(0.0, most),
        integrality=np.arange(len(cost)) < n_whole, options={"mip_rel_gap": gap},
    )  # fmt: skip
    if found.x is None:
        raise InputError(f"no mix found: {found.message}")
    instances, at = np.zeros((len(pools), len(load.share))), 0
    for pool, units in enumerate(held):
        instances[pool] = np.round(found.x[at : at + len(units)])
        at += len(units)
    return plan_of(load=load, pools=pools, instances=instances, target=target)


def plan_of(*, load: Load, pools: Sequence[Pool], instances: np.ndarray, target: float) -> Plan:
    """The bill and the expected service of a given mix."""
    price = np.array([pool.usd_per_hour * pool.n_accel for pool in pools])
    paid = price * (instances @ np.array(load.share))
    served = served_share(load, pools, instances)
    by_term = {term: float(sum(paid[i] for i, p in enumerate(pools) if p.term == term)) for term in _terms(pools)}
    fullest = instances.max(axis=1) * [pool.n_accel for pool in pools]
    limits = [
        f"limit of {name(pool)}"
        for pool, used in zip(pools, fullest, strict=True)
        if pool.most is not None and used + pool.n_accel > pool.most
    ]
    smallest = min(pool.n_accel for pool in pools) / np.dot(load.accelerators, load.share) * min(load.share)
    bound = ["availability"] if served - target < smallest else []
    return Plan(
        load=load, pools=tuple(pools), instances=instances, usd_per_hour=float(paid.sum()), by_term_usd_per_hour=by_term,
        served_share=served, binding=tuple(bound + limits),
    )  # fmt: skip


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


def committed_units(*, hourly, price_ratio: float) -> int:
    """Accelerators worth committing to, one provider: those needed in more than price_ratio of the hours (the newsvendor).

    price_ratio: committed over on-demand price. Of units needed in just that share of the hours either way costs the same.
    """
    hours = np.asarray(hourly, float)
    used = (hours[:, None] >= np.arange(1, int(hours.max()) + 1)).mean(axis=0)
    return int((used > price_ratio).sum())


def _terms(pools: Sequence[Pool]) -> list[str]:
    """The terms of some pools, each once."""
    return list(dict.fromkeys(pool.term for pool in pools))


def _limits(load: Load, pool: Pool) -> np.ndarray:
    """Most instances that make sense at each level: alone they carry it, no more than there are."""
    alone = np.ceil(np.array(load.accelerators) / (pool.n_accel * (1.0 - down_share(pool))) - SLACK)
    there = np.inf if pool.most is None else np.floor(pool.most / pool.n_accel + SLACK)
    return np.minimum(alone, there)


def _held(load: Load, pools: Sequence[Pool]) -> list[np.ndarray]:
    """Upper bounds of the whole numbers of each pool: one for a commitment, else one a level."""
    bounds = [_limits(load, pool) for pool in pools]
    return [most[:1] if pool.term in COMMITTED else most for pool, most in zip(pools, bounds, strict=True)]


def _feasible(load: Load, pools: Sequence[Pool], target: float) -> None:
    """Raise where even all that is to be had serves too little."""
    if not pools:
        raise InputError("no pool to rent from; expected at least one")
    all_of_it = np.array([_limits(load, pool) for pool in pools])
    best = served_share(load, pools, all_of_it)
    if best < target - SLACK:
        firm = all_of_it[:, 0] @ [pool.n_accel for pool in pools]
        raise InputError(
            f"target {target:.6g} is out of reach by {target - best:.3g}: all pools at their limits serve {best:.6g} of the "
            f"load; they have {firm:,.0f} accelerators where the peak needs {load.accelerators[0]:,.0f}"
        )


def _fewer(chance: np.ndarray, up: np.ndarray, rare: float) -> tuple[np.ndarray, np.ndarray]:
    """The scenarios less the rarest, which together are no more likely than `rare` and count as if all of them were the worst."""
    order = np.argsort(chance, kind="stable")
    merged = order[np.cumsum(chance[order]) <= rare]
    kept = np.setdiff1d(np.arange(len(chance)), merged)
    if len(merged) < 2:
        return chance, up
    return np.append(chance[kept], chance[merged].sum()), np.vstack([up[kept], up[merged].min(axis=0)])


def _program(load: Load, pools: Sequence[Pool], held: list[np.ndarray], target: float):
    """(cost, matrix, lower ends of its rows, upper bounds): whole numbers of instances, then shortfalls by scenario and level.

    Rows: capacity + shortfall >= demand in each scenario and level; last, minus the expected shortfall >= minus the allowance.
    """
    share, asked = np.array(load.share), np.array(load.accelerators)
    chance, up = _fewer(*scenarios(pools), (1.0 - target) * RARE)
    n_levels, n_short = len(share), len(chance) * len(share)
    blocks, cost = [], []
    for i, pool in enumerate(pools):
        always = pool.term in COMMITTED
        one = np.ones((n_levels, 1)) if always else np.eye(n_levels)
        blocks.append(np.kron(up[:, [i]], one) * pool.n_accel)
        cost.append(pool.usd_per_hour * pool.n_accel * (np.ones(1) if always else share))
    body = np.hstack([*blocks, np.eye(n_short)])
    weight = np.outer(chance, share).ravel() / (asked @ share) / max(1.0 - target, SLACK)  # of the allowance: no tiny figures
    last = np.concatenate([np.zeros(body.shape[1] - n_short), -weight])
    least = np.append(np.tile(asked, len(chance)), -1.0 if target < 1.0 else 0.0)
    most = np.concatenate([*held, np.tile(asked, len(chance))])
    return np.concatenate([*cost, np.zeros(n_short)]), csr_array(np.vstack([body, last])), least, most
