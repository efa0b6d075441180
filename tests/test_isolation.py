"""Dedicated fleets and their study: replicas by hand, laws of the premium, the queues beside tables and a simulation, the closed
form put back, ways by hand."""

import heapq
from dataclasses import replace
from math import ceil, sqrt

import numpy as np
import pytest
from scipy.stats import binom

from costpertoken.answers import isolation, isolation_ways
from costpertoken.evidence.checks import jpmorgan as checks
from costpertoken.evidence.scenario import rent
from costpertoken.fleet import dedicated, queueing
from costpertoken.fleet.station import with_slots
from costpertoken.fleet.steady import most_requests_per_s, steady

FLAT = dedicated.Size(accelerators=2, each_per_s=np.full(3, 1.5), availability=0.999)
SMALL = dedicated.Size(accelerators=1, each_per_s=np.full(3, 0.5), availability=0.9995)
CASE = isolation.Case(
    model="llama-3.1-8b", accelerator="h100-sxm", analysts=20000, requests_per_hour=6, active_hours=10, peak_to_mean=2,
    coincidence=0.8, uneven=1.0, input_tokens=1000, output_tokens=300, ttft_ms=2000, tpot_ms=50,
)  # fmt: skip


def test_replicas_by_hand():
    assert dedicated.needed(FLAT, [0.1, 1.5, 1.6, 30.0]).tolist() == [1, 1, 2, 20]
    growing = replace(FLAT, each_per_s=np.array([1.0, 2.0, 2.0]))
    n = int(dedicated.needed(growing, 3.9))
    assert n * dedicated.each_per_s(growing, n) >= 3.9 > (n - 1) * dedicated.each_per_s(growing, n - 1)
    assert dedicated.each_per_s(growing, 2) == pytest.approx(1.5)  # halfway between one and four by their logarithm


def test_spares_by_the_binomial():
    found = int(dedicated.fleet([FLAT], 30.0, target=0.9999).spares[0])
    assert binom.sf(19, 20 + found, 0.999) >= 0.9999 > binom.sf(19, 19 + found, 0.999)
    assert dedicated.fleet([FLAT], 30.0).spares[0] == 0
    for n, up in ((1, 0.997), (7, 0.997), (300, 0.997), (12_000, 0.997), (1000, 0.9)):  # the last takes more than are tried first
        k = queueing.spares_for(needed=n, availability=up, target=0.9999)
        assert binom.sf(n - 1, n + k, up) >= 0.9999 > (binom.sf(n - 1, n + k - 1, up) if k else 0.0)
    assert k > queueing.FEW_SPARES and queueing.spares_for(needed=0, availability=0.9, target=0.9999) == 0


def test_each_fleet_takes_the_size_that_makes_it_smallest():
    found = dedicated.fleet([FLAT, SMALL], [0.4, 30.0])
    assert found.per_replica.tolist() == [1, 2] and found.needed.tolist() == [1, 20]
    assert found.accelerators == 41


def test_premium_by_hand_and_its_parts():
    of = dedicated.isolation([FLAT], [1.0, 1.0, 4.0], coincidence=1.0)
    assert of.apart.needed.tolist() == [1, 1, 3] and of.pool.needed[0] == 4
    assert dedicated.premium(of) == pytest.approx(5 / 4)
    parts = dedicated.parts(of)
    assert np.prod(list(parts.values())) == pytest.approx(5 / 4)
    assert parts["busiest hours"] == pytest.approx(1) and parts["spares"] == pytest.approx(1)
    apart = dedicated.isolation([FLAT], [1.5, 1.5], coincidence=0.5)
    assert apart.at_once == pytest.approx(0.75)  # half, and half of what is left as two requests in two are of one group
    assert dedicated.parts(apart)["busiest hours"] == pytest.approx(4 / 3)


@pytest.mark.parametrize("uneven", [0.0, 1.0])
@pytest.mark.parametrize("coincidence", [1.0, 0.6])
def test_laws_of_the_premium(uneven, coincidence):
    """One group costs what one pool does, groups that are split never less, an endless load nothing more than the hours."""

    def premium(groups, load, target=0.9999):
        loads = load * dedicated.shares(groups, uneven)
        return dedicated.isolation([FLAT, SMALL], loads, target=target, coincidence=coincidence)

    assert dedicated.premium(premium(1, 50.0)) == 1
    halves = [np.repeat(50.0 / n, n) for n in (1, 2, 4, 8, 16, 32, 64)]
    apart = [dedicated.isolation([FLAT, SMALL], some, target=0.9999).apart.accelerators for some in halves]
    assert apart == sorted(apart)
    endless = premium(10, 1e5)
    assert dedicated.premium(endless) == pytest.approx(1 / endless.at_once, rel=5e-3)
    assert dedicated.premium(premium(40, 50.0)) > dedicated.premium(premium(40, 5000.0))


def test_shares():
    assert dedicated.shares(4, 0.0).tolist() == [0.25] * 4
    assert dedicated.shares(3, 1.0) == pytest.approx([6 / 11, 3 / 11, 2 / 11])


def test_square_root_rule_beside_erlang():
    apart, pool = (n * queueing.servers_for(load=400.0 / n, wait_probability=0.1) for n in (10, 1))
    rule = dedicated.square_root_premium(groups=10, slots_taken=400.0, beta=queueing.margin(0.1))
    assert rule == pytest.approx(apart / pool, rel=0.02)
    beta = queueing.margin(0.1)
    assert rule == pytest.approx(1 + beta * (sqrt(10) - 1) / sqrt(400), rel=0.02)  # the first-order form


def test_whole_premium_by_hand():
    assert dedicated.whole_premium(groups=20, load=7.0) == pytest.approx(20 / 7)
    assert dedicated.whole_premium(groups=3, load=7.0, spares=1, pool_spares=1) == pytest.approx(3 * (ceil(7 / 3) + 1) / 8)
    of = dedicated.isolation([FLAT], np.full(20, 0.5), coincidence=1.0)
    assert dedicated.premium(of) == pytest.approx(dedicated.whole_premium(groups=20, load=10.0 / 1.5))


def test_a_size_keeps_its_limits_by_substitution():
    at = checks.replica("llama-3.1-8b", "h100-sxm", "fp8", 1, 1000.0, 300.0)
    of = dedicated.size(at, accelerators=1, ttft_s=2.0, tpot_s=0.05, share=0.9)
    rate, slots = most_requests_per_s(at, ttft_s=2.0, tpot_s=0.05, share=0.9)
    assert of.each_per_s[0] == pytest.approx(rate)
    kept = steady(with_slots(at, slots), requests_per_s=rate, shares=(0.9,))
    assert kept.ttft_s[0] <= 2.002 and kept.tpot_s[0] <= 0.05005
    assert dedicated.size(at, accelerators=1, ttft_s=2.0, tpot_s=1e-4, share=0.9) is None


def test_load_and_bill_by_hand():
    assert isolation.peak_per_s(CASE) == pytest.approx(20000 * 6 * 2 / 3600)
    assert isolation.loads(CASE, 7).sum() == pytest.approx(isolation.peak_per_s(CASE))
    assert isolation.month_usd(CASE, 10) == pytest.approx(10 * rent("h100-sxm").usd_per_hour * 730)
    assert isolation.month_mtok(CASE) == pytest.approx(20000 * 6 * 10 * 5 / 7 * 730 / 24 * 300 / 1e6)


def test_ways_lie_between_the_strictest_and_the_pool():
    frame = isolation_ways.softer(CASE, 40, 2.0).set_index("way")
    own, pool = (frame["accelerators"][way] for way in (isolation_ways.OWN, isolation_ways.POOL))
    of = isolation.isolated(CASE, 40)
    assert (own, pool) == (of.apart.accelerators, of.pool.accelerators)
    for way in (isolation_ways.SHARED, isolation_ways.ADAPTERS):
        assert pool <= frame["accelerators"][way] < own
    assert frame["premium"][isolation_ways.OWN] == pytest.approx(own / pool)
    assert (frame["low"] <= frame["premium"]).all() and (frame["premium"] <= frame["high"]).all()
    of_check = isolation.premium(CASE, 40)
    assert (frame["low"].iloc[0], frame["high"].iloc[0]) == pytest.approx((of_check.low, of_check.high))


def test_the_largest_apart_by_hand():
    """Fleets of their own for the largest, one by one, and a fleet for what is left with its own busiest hour."""
    counts, each, able = isolation_ways.by_largest(CASE, 12), isolation.loads(CASE, 12), isolation.sizes(CASE)
    for own in (0, 1, 5, 11, 12):
        alone = sum(dedicated.fleet(able, load, target=CASE.target).accelerators for load in each[:own])
        rest = each[own:]
        left = dedicated.isolation(able, rest, target=CASE.target, coincidence=0.8).pool.accelerators if own < 12 else 0
        assert counts[own] == alone + left
    n = isolation_ways.most_apart(CASE, 100, 2.0)
    counts = isolation_ways.by_largest(CASE, 100)
    assert counts[n] <= 2 * counts[0] and (counts[n + 1 :] > 2 * counts[0]).all()
    sure = isolation_ways.surely_apart(CASE, 100, 2.0)
    ways = [lambda m=m, **change: isolation_ways.by_largest(CASE, 100, **change)[m] for m in (sure, sure + 1)]
    ends = [isolation_ways.over_pool(CASE, 100, way).high for way in ways]
    assert ends[0] <= 2 < ends[1]


def test_shared_spares_by_the_binomial():
    """Replicas of each group's own counted one by one, and the fewest more with which all are up by the binomial."""
    found = []
    for of in isolation.sizes(CASE):
        most = [(n, n * float(dedicated.each_per_s(of, n)) * (1 + 1e-9)) for n in range(1, 200)]
        n = sum(next(n for n, takes in most if takes >= load) for load in isolation.loads(CASE, 30))
        spare = next(k for k in range(99) if binom.sf(n - 1, n + k, of.availability) >= CASE.target)
        found.append(of.accelerators * (n + spare))
    assert isolation_ways.shared_spares(CASE, 30) == min(*found, isolation.isolated(CASE, 30).apart.accelerators)


SIDES = [{}, {"uneven": 0.0}, {"uneven": 2.0}, {"coincidence": 1.0}, {"analysts": 2e3}, {"analysts": 1e6}]


@pytest.mark.parametrize("change", SIDES)
@pytest.mark.parametrize("most", [1.5, 2.0, 4.0])
def test_certain_groups_by_substitution(change, most):
    """The number of the closed form put back into the full count, for each number up to it; and the same with a pool as one."""
    case = replace(CASE, **change)
    found = isolation.certain_groups(case, most)
    tried = sorted({1, 2, found["groups"] // 2 + 1, found["groups"] - 1, found["groups"]} & set(range(1, found["groups"] + 1)))
    for n in tried:
        assert dedicated.premium(isolation.isolated(case, n)) <= most
    if found["groups"] > 1:
        n, x, pool, k = (found[name] for name in ("groups", "load", "pool", "spares"))
        assert x + n * (1 + k) <= most * pool < x + (n + 1) * (1 + k)


def test_certain_groups_by_hand():
    """Twenty replicas of load, a pool of 18 with its spares, one spare each: 2 x 18 - 20 = 16 replicas left for 8 fleets."""
    assert dedicated.certain_groups(load=20.0, pool=18, most=2.0, spares=1) == 8
    assert dedicated.certain_groups(load=20.0, pool=8, most=2.0, spares=1) == 0


def test_most_groups_is_the_last_within_the_premium():
    n = isolation.most_groups(CASE, 2.0)
    assert dedicated.premium(isolation.isolated(CASE, n)) <= 2 < dedicated.premium(isolation.isolated(CASE, n + 1))
    line = isolation.contours(CASE, [2.0], [CASE.analysts]).iloc[0]
    assert line["groups"] == n
    sharing = isolation_ways.most_sharing(CASE, 2.0)
    pools = [isolation.isolated(CASE, m).pool.accelerators for m in (sharing, sharing + 1)]
    counts = [isolation_ways.shared_spares(CASE, m) for m in (sharing, sharing + 1)]
    assert counts[0] <= 2 * pools[0] and counts[1] > 2 * pools[1] and sharing > n


def test_ways_by_groups():
    frame = isolation_ways.by_groups(CASE, [2, 30, 200], 2.0)
    for row in frame.itertuples():
        assert row.mixed <= 2 and row.shared <= row.own and row.low <= row.own <= row.high
        assert row.own == pytest.approx(dedicated.premium(isolation.isolated(CASE, row.groups)))
    harmonic = np.cumsum(1 / np.arange(1, 201))
    assert frame["people"].iloc[2] == pytest.approx(harmonic[frame["largest"].iloc[2] - 1] / harmonic[-1])


def test_cells_of_the_surface_join():
    cells = isolation.edges("groups", [1, 4, 16])
    assert cells["groups_from"].tolist() == [1, 2, 8] and cells["groups_to"].tolist() == [2, 8, 16]


def waits(servers: int, load: float, n: int = 400_000) -> float:
    """Share of simulated arrivals that wait: Poisson arrivals, exponential service of mean 1, one queue."""
    rng = np.random.default_rng(1)
    arrivals, service = np.cumsum(rng.exponential(1 / load, n)), rng.exponential(1.0, n)
    free, waited = [0.0] * servers, 0
    for at, takes in zip(arrivals, service, strict=True):
        first = heapq.heappop(free)
        waited += first > at
        heapq.heappush(free, max(first, at) + takes)
    return waited / n


def test_waiting_beside_textbooks():
    """Two Erlangs on three servers: 4 / 9; six on ten: about one in ten by the printed curves; Halfin and Whitt's beta for one
    in ten: 1.42."""
    assert queueing.erlang_c(servers=3, load=2.0) == pytest.approx(4 / 9)
    assert queueing.erlang_c(servers=10, load=6.0) == pytest.approx(0.10, abs=5e-3)
    assert queueing.margin(0.1) == pytest.approx(1.42, abs=5e-3)


def test_square_root_premium_beside_a_simulation():
    """Servers for four groups apart and for one pool by the rule: one more keeps the waits to one in ten, one fewer does not."""
    beta, load, groups = queueing.margin(0.1), 40.0, 4
    apart, pool = load / groups + beta * sqrt(load / groups), load + beta * sqrt(load)
    assert dedicated.square_root_premium(groups=groups, slots_taken=load, beta=beta) == pytest.approx(groups * apart / pool)
    for servers, offered in ((ceil(apart), load / groups), (ceil(pool), load)):
        assert waits(servers + 1, offered) < 0.1 < waits(servers - 1, offered)
        assert waits(servers, offered) == pytest.approx(queueing.erlang_c(servers=servers, load=offered), abs=0.01)


def test_adapters_by_hand():
    """Llama 3.1 8B: 32 layers, 4,096 wide, 32 heads and 8 of the cache of 128, 14,336 inside the MLP; rank 16 in BF16."""
    layer = 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    assert isolation_ways.adapter_bytes(CASE) == 32 * layer * 2
    none, many = (isolation_ways.with_adapters(CASE, n, 1) for n in (1, 100))
    assert many.slots < none.slots and np.all(many.decode_s[1:20] > none.decode_s[1:20])


def test_cost_by_limit_and_by_batch():
    frame = isolation.by_limit(CASE, 20, [1.0, 20.0, 50.0, 100.0])
    assert frame["tpot_ms"].min() == 20  # a millisecond a token no replica keeps
    for _, way in frame.groupby("way"):
        assert (way.sort_values("tpot_ms")["usd_per_mtok"].diff().dropna() <= 1e-9).all()
    usd = isolation.usd_by_batch(CASE, 1, np.array([1.0, 2.0, 8.0, 32.0]))
    assert (np.diff(usd) < 0).all()


def test_surface_and_distributions():
    frame = isolation.surface(CASE, [1, 20], [2000.0, 200000.0]).set_index(["groups", "analysts"])["premium"]
    assert (frame[1] == 1).all() and frame[20, 2000.0] > frame[20, 200000.0] > 1
    whole = isolation.surface(replace(CASE, uneven=0.0), [20], [20000.0]).iloc[0]
    assert whole["premium"] == pytest.approx(whole["apart"] / whole["pooled"])
    assert whole["apart"] % 20 == 0 and whole["spare"] % 20 == 0  # twenty that are alike
    assert 0 < whole["spare"] < whole["apart"]


def test_limits_are_loosened_until_a_replica_keeps_them():
    assert isolation.loosened(CASE) == (CASE, 1.0)
    strict = replace(CASE, tpot_ms=1.0)
    kept, times = isolation.loosened(strict)
    assert isolation.sizes(kept) and kept.tpot_ms == pytest.approx(times)
    assert not isolation.sizes(replace(strict, tpot_ms=times / 1.5, ttft_ms=2000 * times / 1.5))


def test_in_flight_by_substitution():
    """As many in flight as make the replica finish the load: their number over the seconds that each takes of it."""
    at = checks.replica("llama-3.1-8b", "h100-sxm", "fp8", 1, 1000.0, 300.0)
    for load in (0.2, 2.0, 8.0):
        n = isolation.in_flight(CASE, 1, load)
        assert 1 / isolation.each_s(at, n) == pytest.approx(load, rel=0.01)
