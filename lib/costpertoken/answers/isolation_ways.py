"""What softens isolation: spares that groups share, replicas of their own for the largest only, adapters in one pool.

`change` is what an interval moves: faster and failures, as `evidence.checks.jpmorgan.with_failures` takes them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken.answers import isolation
from costpertoken.answers.isolation import Case
from costpertoken.answers.sensitivity import with_constant
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.checks import jpmorgan as checks
from costpertoken.evidence.scenario import placed
from costpertoken.fleet import dedicated
from costpertoken.fleet.queueing import spares_for
from costpertoken.fleet.station import Station
from costpertoken.model.units import KILO

#: Rank of an adapter and bytes of each of its numbers.
RANK, ADAPTER_BYTES = 16, 2
OWN, SHARED, ADAPTERS, POOL = "own replicas, own spares", "own replicas, shared spares", "one pool, adapters", "one pool"


def shared_spares(case: Case, groups: int, **change) -> int:
    """Accelerators of replicas of each group's own, all of one size, with spare ones that any group may be given; those of
    groups apart where that is fewer."""
    found = [isolation.isolated(case, groups, isolation.sizes(case, **change)).apart.accelerators]
    for of in isolation.sizes(case, **change):
        n = int(dedicated.needed(of, isolation.loads(case, groups)).sum())
        found.append(of.accelerators * (n + spares_for(needed=n, availability=of.availability, target=case.target)))
    return min(found)


def by_largest(case: Case, groups: int, **change) -> np.ndarray:
    """Accelerators if the 0, 1, ... `groups` largest groups have fleets of their own and all others share one pool."""
    able, each = isolation.sizes(case, **change), isolation.loads(case, groups)
    rest, squares = (np.cumsum(each[::-1] ** power)[::-1] for power in (1, 2))
    at_once = case.coincidence + (1.0 - case.coincidence) * squares / rest**2  # `dedicated.together` of those that are left
    apart, pool = (dedicated.fleet(able, load, target=case.target) for load in (each, at_once * rest))
    own, shared = (one.per_replica * (one.needed + one.spares) for one in (apart, pool))
    return np.append(0, np.cumsum(own)) + np.append(shared, 0)


def most_apart(case: Case, groups: int, most: float) -> int:
    """How many of the largest groups can have their own while all together cost at most `most` times one pool."""
    counts = by_largest(case, groups)
    return int(np.flatnonzero(counts <= most * counts[0]).max())


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


def adapter_sizes(case: Case, groups: int) -> list[dedicated.Size]:
    """The sizes of a replica that hold every group's adapter and keep the limits, failures not counted."""
    limits = {"ttft_s": case.ttft_ms / KILO, "tpot_s": case.tpot_ms / KILO, "share": checks.SHARE}
    degrees = checks.degrees(case.model, case.accelerator, case.weights)
    found = [dedicated.size(with_adapters(case, groups, tp), accelerators=tp, **limits) for tp in degrees]
    return [one for one in found if one]


def pooled(case: Case, groups: int, able: Sequence[dedicated.Size]) -> int:
    """Accelerators of one pool for all groups, of such sizes."""
    each = isolation.loads(case, groups)
    at_once = dedicated.together(each, case.coincidence)
    return dedicated.fleet(able, at_once * each.sum(), target=case.target).accelerators


def ways(case: Case, groups: int, own: int) -> dict[str, Callable[..., int]]:
    """Degrees of isolation from the strictest: their accelerators as functions of a change. own: the largest groups of the
    mixed way, which is left out where they are none or all; adapters are left out where no replica holds them in time."""
    bare = adapter_sizes(case, groups)
    few = "the largest" if own == 1 else f"the largest {own}"
    found = {
        OWN: lambda **change: by_largest(case, groups, **change)[-1],
        SHARED: lambda **change: shared_spares(case, groups, **change),
        f"own for {few}, a pool for the others": lambda **change: by_largest(case, groups, **change)[own],
        ADAPTERS: lambda **change: pooled(case, groups, checks.with_failures(bare, case.accelerator, **change)),
        POOL: lambda **change: pooled(case, groups, isolation.sizes(case, **change)),
    }
    absent = {ADAPTERS: not bare, list(found)[2]: own in (0, groups)}
    return {way: count for way, count in found.items() if not absent.get(way)}


def over_pool(case: Case, groups: int, count: Callable[..., int]) -> Figure:
    """The accelerators of a way over those of one pool, with the interval of the premium."""

    def ratio(**change) -> float:
        """Of accelerators, with inputs changed."""
        return float(count(**change) / pooled(case, groups, isolation.sizes(case, **change)))

    return checks.interval(ratio, case.model, case.accelerator, case.weights)


def surely_apart(case: Case, groups: int, most: float) -> int:
    """How many of the largest groups can have their own while the upper end of the interval stays within `most`, too."""

    def upper(own: int) -> float:
        """End of the interval with so many apart."""
        return over_pool(case, groups, lambda **change: by_largest(case, groups, **change)[own]).high

    return isolation.last_within(upper, most, low=0, high=groups)


def most_sharing(case: Case, most: float) -> int:
    """How many groups can have replicas of their own and shared spares at `most` times one pool."""
    able = isolation.sizes(case)
    return isolation.last_within(lambda n: shared_spares(case, n) / pooled(case, n, able), most)


def softer(case: Case, groups: int, most: float) -> pd.DataFrame:
    """Degrees of isolation from the strictest: columns way, accelerators, premium, low and high."""
    rows = []
    for way, count in ways(case, groups, most_apart(case, groups, most)).items():
        of = over_pool(case, groups, count)
        rows.append({"way": way, "accelerators": int(count()), "premium": of.value, "low": of.low, "high": of.high})
    return pd.DataFrame(rows)


def by_groups(case: Case, counts: Sequence[int], most: float) -> pd.DataFrame:
    """Over one pool by number of groups: columns groups, own, low, high, shared, mixed (the largest that `most` allows have
    their own), largest (how many) and people (their share of all)."""
    rows = []
    for n in counts:
        counted, largest = by_largest(case, n), most_apart(case, n, most)
        of = isolation.premium(case, n)
        now = {"groups": n, "own": of.value, "low": of.low, "high": of.high, "shared": shared_spares(case, n) / counted[0]}
        people = float(dedicated.shares(n, case.uneven)[:largest].sum())
        rows.append({**now, "mixed": counted[largest] / counted[0], "largest": largest, "people": people})
    return pd.DataFrame(rows)
