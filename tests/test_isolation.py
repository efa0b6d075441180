"""Dedicated fleets and their study: replicas by hand, laws of the premium, the square-root rule beside Erlang's, ways by hand."""

from dataclasses import replace
from math import ceil, sqrt

import numpy as np
import pytest
from scipy.stats import binom

from costpertoken.answers import isolation
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
    frame = isolation.softer(CASE, 40, 2.0).set_index("way")
    own, pool = frame["accelerators"]["own replicas, own spares"], frame["accelerators"]["one pool"]
    assert isolation.largest_apart(CASE, 40, 40) == own and isolation.largest_apart(CASE, 40, 0) == pool
    assert pool <= frame["accelerators"]["own replicas, shared spares"] <= own
    assert pool <= frame["accelerators"]["one pool, adapters of their own"] < own
    n = isolation.most_apart(CASE, 40, 2.0)
    assert isolation.largest_apart(CASE, 40, n) <= 2 * pool
    assert all(isolation.largest_apart(CASE, 40, k) > 2 * pool for k in range(n + 1, 41))
    at_work = frame["usd"]["own replicas, given back after work"] / frame["usd"]["own replicas, own spares"]
    assert at_work == pytest.approx(50 / 168)


def test_most_groups_is_the_last_within_the_premium():
    n = isolation.most_groups(CASE, 2.0)
    assert dedicated.premium(isolation.isolated(CASE, n)) <= 2 < dedicated.premium(isolation.isolated(CASE, n + 1))


def test_adapters_by_hand():
    """Llama 3.1 8B: 32 layers, 4,096 wide, 32 heads and 8 of the cache of 128, 14,336 inside the MLP; rank 16 in BF16."""
    layer = 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    assert isolation.adapter_bytes(CASE) == 32 * layer * 2
    none, many = (isolation.with_adapters(CASE, n, 1) for n in (1, 100))
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
    assert whole["apart"] % 20 == 0  # twenty that are alike


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
