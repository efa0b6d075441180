"""The cheapest mix of commitments, on-demand and spot that meets a load profile at an availability: a mixed-integer program.

Commitments are paid in every hour, on-demand and spot in the hours in which they are held. Whatever can be evicted is out
either as a whole pool, which makes the scenarios of the program, or unit by unit, which derates its capacity to the mean.
Nothing is bought in answer to an eviction: a machine that is started then comes no sooner than the evicted one is back.
Solved by HiGHS (scipy.optimize.milp).
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from costpertoken.fleet.capacity import COMMITTED, Load, Pool, down_share, load_of, name, scenarios, served_share
from costpertoken.model.door import InputError, check_range

#: Scenarios that are together rarer than this share of what may be left unserved are counted as the worst of them.
RARE = 1e-2
#: Weights so small, of the allowance for each accelerator, are no weights: HiGHS drops them too, and says so on the terminal.
TINY = 1e-8
#: A unit above what is asked that is still no shortage; rounding of the solver.
SLACK = 1e-6


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


def cheapest(*, hourly, pools: Sequence[Pool], target: float, gap: float = 1e-4, whole=True) -> Plan:
    """The cheapest plan that serves at least `target` of the load in expectation, to a relative gap of the cost.

    What may go unserved is for evictions: in no hour is less held than asked for.

    hourly: accelerators needed in each hour. whole: False admits fractions of instances, a floor of the bill that is found
    at once. Raises InputError, with what is short by how much, where no mix can.
    """
    check_range("target", target, high=1.0)
    load, pools = load_of(hourly), tuple(pools)
    _feasible(load, pools, target)
    held = _held(load, pools)
    cost, rows, least, most = _program(load, pools, held, target)
    n_whole = sum(map(len, held))
    with _quiet():
        found = milp(
        cost, constraints=LinearConstraint(rows, least, np.inf), bounds=Bounds(0.0, most),
        integrality=(np.arange(len(cost)) < n_whole) * whole, options={"mip_rel_gap": gap},
    )  # fmt: skip
    if found.x is None:
        raise InputError(f"no mix found: {found.message}")
    instances, at = np.zeros((len(pools), len(load.share))), 0
    for pool, units in enumerate(held):
        instances[pool] = np.round(found.x[at : at + len(units)], 0 if whole else 9)
        at += len(units)
    return plan_of(load=load, pools=pools, instances=instances, target=target)


@contextmanager
def _quiet():
    """HiGHS prints to the terminal when it repairs a solution, whatever it is told: what it prints goes nowhere."""
    sys.stdout.flush()
    terminal, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(terminal, 1)
        os.close(terminal)
        os.close(nowhere)


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
    there = all_of_it[:, 0] @ [pool.n_accel for pool in pools]
    if best < target - SLACK or there < load.accelerators[0] - SLACK:
        raise InputError(
            f"target {target:.6g} is out of reach by {max(target - best, 0.0):.3g}: all pools at their limits serve {best:.6g} "
            f"of the load; they have {there:,.0f} accelerators where the peak needs {load.accelerators[0]:,.0f}"
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

    Rows: capacity + shortfall >= demand in each scenario and level; all that is held >= demand at each level; last, minus
    the expected shortfall >= minus the allowance, both over the allowance, so that no figure is tiny.
    """
    share, asked = np.array(load.share), np.array(load.accelerators)
    chance, up = _fewer(*scenarios(pools), (1.0 - target) * RARE)
    n_levels, n_short = len(share), len(chance) * len(share)
    up, blocks, cost = np.vstack([up, np.ones(len(pools))]), [], []
    for i, pool in enumerate(pools):
        always = pool.term in COMMITTED
        one = np.ones((n_levels, 1)) if always else np.eye(n_levels)
        blocks.append(np.kron(up[:, [i]], one) * pool.n_accel)
        cost.append(pool.usd_per_hour * pool.n_accel * (np.ones(1) if always else share))
    body = np.hstack([*blocks, np.eye(n_short + n_levels, n_short)])
    weight = np.outer(chance, share).ravel() / (asked @ share) / max(1.0 - target, SLACK)
    weight = np.where(weight < TINY, 0.0, weight)
    last = np.concatenate([np.zeros(body.shape[1] - n_short), -weight])
    least = np.append(np.tile(asked, len(chance) + 1), -1.0 if target < 1.0 else 0.0)
    most = np.concatenate([*held, np.tile(asked, len(chance))])
    return np.concatenate([*cost, np.zeros(n_short)]), csr_array(np.vstack([body, last])), least, most
