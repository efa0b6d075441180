"""What it costs to give each group of users replicas of its own: the premium over one pool, what softens it, what a limit adds.

The load is analysts times requests an hour, at its busiest hour; groups have uneven shares of it (`fleet.dedicated`). All
fleets keep the same limits and the same promise on failures. USD are rents of the accelerators, at the headline price.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from costpertoken.answers.sensitivity import with_constant
from costpertoken.evidence import places
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.checks import jpmorgan as checks
from costpertoken.evidence.scenario import placed, rent
from costpertoken.fleet import dedicated
from costpertoken.fleet.dedicated import Isolation, Size
from costpertoken.fleet.sites import spares
from costpertoken.fleet.station import Station, at_flight, with_slots
from costpertoken.fleet.steady import most_per_s, most_requests_per_s
from costpertoken.model.records import InputError
from costpertoken.model.units import HOUR_S, HOURS_PER_YEAR, KILO, MONTHS_PER_YEAR, MTOK

HOURS_PER_MONTH = HOURS_PER_YEAR / MONTHS_PER_YEAR
#: Working days of a week; most groups that `most_groups` tries; rank of an adapter and bytes of each of its numbers.
WORKDAYS, MOST_GROUPS, RANK, ADAPTER_BYTES = 5, 1024, 16, 2


@dataclass(frozen=True, kw_only=True)
class Case:
    """Who asks for how much, of which model, how soon: the inputs of one study. Shares as `dedicated.shares` makes them."""

    model: str
    accelerator: str
    weights: str = "fp8"
    analysts: float
    requests_per_hour: float
    active_hours: float
    peak_to_mean: float
    coincidence: float = 1.0
    uneven: float = 0.0
    input_tokens: float
    output_tokens: float
    ttft_ms: float
    tpot_ms: float
    target: float = checks.TARGET


def work(case: Case) -> dict[str, float]:
    """Lengths and limits, as the checks take them."""
    return {name: float(getattr(case, name)) for name in ("input_tokens", "output_tokens", "ttft_ms", "tpot_ms")}


def scenario(case: Case, groups: int) -> dict:
    """All inputs of the premium, as its check takes them."""
    names = ("model", "accelerator", "weights", "analysts", "requests_per_hour", "peak_to_mean")
    names += ("coincidence", "uneven", "target")
    return {**{name: getattr(case, name) for name in names}, "groups": groups, **work(case)}


def sizes(case: Case) -> list[Size]:
    """The sizes of a replica that keep the limits; none where no replica does."""
    return checks.sizes(case.model, case.accelerator, case.weights, **work(case))


def loosened(case: Case) -> tuple[Case, float]:
    """(the case with limits that some replica keeps, by how much both had to be loosened; 1 where it keeps them as asked)."""
    times = 1.0
    while not sizes(at := replace(case, ttft_ms=case.ttft_ms * times, tpot_ms=case.tpot_ms * times)):
        times *= 1.5
        if times > 1e6:
            raise InputError(f"{case.model} at {case.weights} fits no replica of {case.accelerator}; try fewer bits")
    return at, times


def peak_per_s(case: Case) -> float:
    """Requests a second of all groups' busiest hours."""
    return float(checks.peak_per_s(**{name: getattr(case, name) for name in ("analysts", "requests_per_hour", "peak_to_mean")}))


def loads(case: Case, groups: int) -> np.ndarray:
    """Requests a second of each group's busiest hour, the largest first."""
    return peak_per_s(case) * dedicated.shares(groups, case.uneven)


def isolated(case: Case, groups: int) -> Isolation:
    """A fleet for each group and one pool."""
    return dedicated.isolation(sizes(case), loads(case, groups), target=case.target, coincidence=case.coincidence)


def premium(case: Case, groups: int) -> Figure:
    """Accelerators apart over those of one pool, with the interval of its check."""
    return checks.premium_interval(**scenario(case, groups))


def month_usd(case: Case, accelerators) -> float:
    """USD a month of so many accelerators, rented day and night."""
    return accelerators * rent(case.accelerator).usd_per_hour * HOURS_PER_MONTH


def month_mtok(case: Case) -> float:
    """Millions of output tokens that the analysts get in a month."""
    hours = case.active_hours / 24 * WORKDAYS / 7 * HOURS_PER_MONTH
    return case.analysts * case.requests_per_hour * hours * case.output_tokens / MTOK


def surface(case: Case, groups: Sequence[int], analysts: Sequence[float]) -> pd.DataFrame:
    """The premium by groups and analysts: columns groups, analysts, premium, apart and pooled (accelerators)."""
    rows = []
    for users in analysts:
        for n in groups:
            of = isolated(replace(case, analysts=users), n)
            counts = {"apart": of.apart.accelerators, "pooled": of.pool.accelerators}
            rows.append({"groups": n, "analysts": users, "premium": dedicated.premium(of), **counts})
    return pd.DataFrame(rows)


def most_groups(case: Case, most: float) -> int:
    """How many groups can be apart at a premium of at most `most`, at most MOST_GROUPS, taking it to rise with their number."""
    low, high = 1, MOST_GROUPS + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if dedicated.premium(isolated(case, middle)) <= most else (low, middle)
    return low


def shared_spares(case: Case, groups: int) -> int:
    """Accelerators of replicas of each group's own, all of one size, with spare ones that any group may be given."""
    found = []
    for of in sizes(case):
        n = int(dedicated.needed(of, loads(case, groups)).sum())
        found.append(of.accelerators * (n + spares(n, of.availability, case.target)))
    return min(found)


def largest_apart(case: Case, groups: int, own: int) -> int:
    """Accelerators of the `own` largest groups apart and one pool for all others."""
    each, able = loads(case, groups), sizes(case)
    apart = dedicated.fleet(able, each[:own], target=case.target).accelerators if own else 0
    if own == groups:
        return apart
    rest = dedicated.isolation(able, each[own:], target=case.target, coincidence=case.coincidence)
    return apart + rest.pool.accelerators


def most_apart(case: Case, groups: int, most: float) -> int:
    """How many of the largest groups can have their own while all together cost at most `most` times one pool."""
    pool = isolated(case, groups).pool.accelerators
    return max((own for own in range(groups + 1) if largest_apart(case, groups, own) <= most * pool), default=0)


def adapter_bytes(case: Case) -> float:
    """Bytes of one group's adapter: RANK rows and columns beside each matrix of attention and of a dense MLP."""
    of = placed(case.model, case.accelerator, weights=case.weights).model
    heads, kv = of.n_heads * of.head_dim, of.n_kv_heads * of.head_dim
    mlp = 0 if of.n_experts else of.mlp_matrices * (of.d_model + of.d_ff)
    return float(of.n_layers * RANK * (2 * (of.d_model + heads) + 2 * (of.d_model + kv) + mlp) * ADAPTER_BYTES)


def with_adapters(case: Case, groups: int, tp: int) -> Station:
    """A replica whose memory holds every group's adapter and whose steps read those of the groups in flight."""
    at = placed(case.model, case.accelerator, weights=case.weights, tp=tp)
    held = adapter_bytes(case) / tp
    at = with_constant(at, reserve_bytes=at.efficiency.reserve_bytes + groups * held)
    lengths = {"input_tokens": case.input_tokens, "output_tokens": case.output_tokens, "token_budget": checks.BUDGET}
    made = checks.station(at, **lengths, input_cv=checks.LENGTH_CV, output_cv=checks.LENGTH_CV)
    share = dedicated.shares(groups, case.uneven)
    distinct = np.array([np.sum(1.0 - (1.0 - share) ** n) for n in made.flight])
    read_s = distinct * held / (at.accelerator.memory_bytes_per_s * at.efficiency.weight_bandwidth)
    return replace(made, decode_s=made.decode_s + read_s)


def adapter_pool(case: Case, groups: int) -> int | None:
    """Accelerators of one pool in which each group has an adapter of its own; None where no replica holds them in time."""
    limits = {"ttft_s": case.ttft_ms / KILO, "tpot_s": case.tpot_ms / KILO, "share": checks.SHARE}
    able = []
    for tp in checks.degrees(case.model, case.accelerator, case.weights):
        up = places.places(case.accelerator, tp)[0].availability
        made = dedicated.size(with_adapters(case, groups, tp), accelerators=tp, availability=up, **limits)
        able += [made] if made else []
    at_once = dedicated.together(loads(case, groups), case.coincidence) * peak_per_s(case)
    return dedicated.fleet(able, at_once, target=case.target).accelerators if able else None


def softer(case: Case, groups: int, most: float) -> pd.DataFrame:
    """Degrees of isolation from the strictest: columns way, accelerators (at the busiest hour), usd (a month), premium."""
    of = isolated(case, groups)
    own, pool = of.apart.accelerators, of.pool.accelerators
    at_work = case.active_hours / 24 * WORKDAYS / 7
    n = most_apart(case, groups, most)
    held = {
        "own replicas, own spares": (own, 1.0),
        "own replicas, shared spares": (min(own, shared_spares(case, groups)), 1.0),
        f"own for the largest {n}, a pool for the others": (largest_apart(case, groups, n) if 0 < n < groups else None, 1.0),
        "one pool, adapters of their own": (adapter_pool(case, groups), 1.0),
        "one pool": (pool, 1.0),
        "own replicas, given back after work": (own, at_work),
        "one pool, given back after work": (pool, at_work),
    }
    rows = [
        {"way": way, "accelerators": gpus, "usd": month_usd(case, gpus * time), "premium": gpus * time / pool}
        for way, (gpus, time) in held.items()
        if gpus
    ]
    return pd.DataFrame(rows)


def by_limit(case: Case, groups: int, limits_ms: Sequence[float]) -> pd.DataFrame:
    """Bills by TPOT limit: columns tpot_ms, way, usd_per_mtok (the whole bill on output) and premium; no row where nothing
    keeps the limit."""
    rows = []
    for limit in limits_ms:
        at = replace(case, tpot_ms=float(limit))
        if not sizes(at):
            continue
        of = isolated(at, groups)
        for way, gpus in (("groups apart", of.apart.accelerators), ("one pool", of.pool.accelerators)):
            usd = month_usd(at, gpus) / month_mtok(at)
            rows.append({"tpot_ms": float(limit), "way": way, "usd_per_mtok": usd, "premium": dedicated.premium(of)})
    return pd.DataFrame(rows)


def slots(case: Case, tp: int) -> tuple[float, float]:
    """(requests in flight at most on a replica within the limits, seconds that each is served when it is full)."""
    at = checks.replica(case.model, case.accelerator, case.weights, tp, case.input_tokens, case.output_tokens)
    limits = {"ttft_s": case.ttft_ms / KILO, "tpot_s": case.tpot_ms / KILO, "share": checks.SHARE}
    most = most_requests_per_s(at, **limits)[1]
    return most, most / most_per_s(with_slots(at, most))


def in_flight(case: Case, tp: int, requests_per_s) -> np.ndarray:
    """Requests in flight in the mean on a replica at a load that it can take (Little's law)."""
    at = checks.replica(case.model, case.accelerator, case.weights, tp, case.input_tokens, case.output_tokens)
    flights = np.union1d(np.geomspace(0.001, 1.0, 60), at.flight)
    return np.interp(requests_per_s, 1.0 / each_s(at, flights), flights)


def each_s(at: Station, flights) -> np.ndarray:
    """Seconds of a replica that one request takes where so many are in flight, its prompt and its share of the steps."""
    decode_s, prompt_s = (at_flight(at, values, flights) for values in (at.decode_s, at.prompt_s))
    return at.output_tokens * decode_s / flights + prompt_s


def usd_by_batch(case: Case, tp: int, flights) -> np.ndarray:
    """USD per million output tokens (the whole bill) of a replica that always has so many requests in flight."""
    at = checks.replica(case.model, case.accelerator, case.weights, tp, case.input_tokens, case.output_tokens)
    usd_per_s = tp * rent(case.accelerator).usd_per_hour / HOUR_S
    return usd_per_s * each_s(at, np.asarray(flights)) / case.output_tokens * MTOK
