"""Evictions of a mix, simulated over many weeks, beside their exact expectation.

Each pool, and each instance in it, is up for an exponential time (its evictions) and then down for one (its recovery); the
mean of the recovery is what counts, its distribution only for how long the worst hours last. What is down is paid for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.stats import binom

from costpertoken.fleet.capacity import Load, Pool, down_share, out_share
from costpertoken.fleet.portfolio import Plan
from costpertoken.model.door import InputError, check_range

WEEK = 168


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What weeks of evictions did. week_served: share of the accelerator-hours asked for, one a week; hour_served[week, hour]."""

    served_share: float
    standard_error: float
    week_served: np.ndarray
    hour_served: np.ndarray


def simulate(plan: Plan, *, hourly, weeks: int, seed: int, steps_per_hour: int = 4) -> Simulated:
    """A plan through `weeks` independent weeks, looked at steps_per_hour times an hour; each starts in the steady state.

    hourly: the accelerators needed in each hour, of which the plan was made.
    """
    check_range("weeks", weeks, low=2)
    hourly, rng = np.asarray(hourly, float), np.random.default_rng(seed)
    level = _levels(plan.load, hourly)
    short = np.zeros((weeks, len(hourly)))
    machines = [
        _Machines(pool, int(row.max()), weeks, rng) for pool, row in zip(plan.pools, plan.instances, strict=True)
    ]
    for hour, at in enumerate(level):
        for _ in range(steps_per_hour):
            there = sum(one.up(int(plan.instances[i, at])) for i, one in enumerate(machines))
            short[:, hour] += np.maximum(hourly[hour] - there, 0.0) / steps_per_hour
            for one in machines:
                one.step(1.0 / steps_per_hour)
    week_served = 1.0 - short.sum(axis=1) / hourly.sum()
    hour_served = 1.0 - short / np.where(hourly > 0, hourly, 1.0)
    return Simulated(
        served_share=float(week_served.mean()), standard_error=float(week_served.std(ddof=1) / np.sqrt(weeks)),
        week_served=week_served, hour_served=hour_served,
    )  # fmt: skip


class _Machines:
    """A pool's state in all weeks at once: the pool up or out, each instance up or down."""

    def __init__(self, pool: Pool, n: int, weeks: int, rng: np.random.Generator):
        self.pool, self.rng = pool, rng
        rate, together = pool.evictions_per_hour, pool.together_share
        self.rates = (rate * together, rate * (1.0 - together)) if pool.recovery_hours > 0 else (0.0, 0.0)
        self.pool_up = rng.random((weeks, 1)) >= out_share(pool)
        self.each_up = rng.random((weeks, n)) >= down_share(pool)

    def up(self, held: int) -> np.ndarray:
        """Accelerators that serve, a week each, of the first `held` instances."""
        return self.pool.n_accel * (self.pool_up[:, 0] * self.each_up[:, :held].sum(axis=1))

    def step(self, hours: float) -> None:
        """Let some time pass: the exact transition of a two-state process."""
        if self.rates[0]:
            self.pool_up = self._next(self.pool_up, self.rates[0], hours)
        if self.rates[1]:
            self.each_up = self._next(self.each_up, self.rates[1], hours)

    def _next(self, up: np.ndarray, rate: float, hours: float) -> np.ndarray:
        back = 1.0 / self.pool.recovery_hours
        stay, share = np.exp(-(rate + back) * hours), back / (rate + back)
        return self.rng.random(up.shape) < np.where(up, share + (1.0 - share) * stay, share * (1.0 - stay))


def _levels(load: Load, hourly: np.ndarray) -> np.ndarray:
    """The level of each hour; raises InputError for an hour that the plan's load does not have."""
    known = {level: at for at, level in enumerate(load.accelerators)}
    missing = [hour for hour in hourly if hour not in known]
    if missing:
        raise InputError(f"the plan has no level of {missing[0]:g} accelerators; give it the load that it was made for")
    return np.array([known[hour] for hour in hourly])


def expected_served_share(plan: Plan) -> float:
    """Expected share of the load that a plan serves, exactly: the distribution of what is up, pool by pool.

    At most what the program counts, which takes single evictions at their mean: where they leave more than is asked at one
    time and less at another, the surplus does not help.
    """
    asked, share = np.array(plan.load.accelerators), np.array(plan.load.share)
    short = [_expected_short(plan.pools, plan.instances[:, at], need) for at, need in enumerate(asked)]
    return 1.0 - float(np.dot(short, share) / np.dot(asked, share))


def _expected_short(pools: Sequence[Pool], instances: np.ndarray, asked: float) -> float:
    """Expected accelerators short of what is asked."""
    chance = reduce(np.convolve, (_capacity(pool, int(n)) for pool, n in zip(pools, instances, strict=True)))
    return float(chance @ np.maximum(asked - np.arange(len(chance)), 0.0))


def _capacity(pool: Pool, n: int) -> np.ndarray:
    """Probability of each number of accelerators that a pool has up."""
    out, spread = out_share(pool), np.zeros(n * pool.n_accel + 1)
    spread[:: pool.n_accel] = (1.0 - out) * binom.pmf(np.arange(n + 1), n, 1.0 - down_share(pool))
    spread[0] += out
    return spread
