"""Kinds of requests over tiers, and groups apart: by hand, by brute force and by law."""

from dataclasses import replace
from itertools import product
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costpertoken.fleet import tiers as tiered
from costpertoken.fleet.queueing import erlang_c
from costpertoken.fleet.tiers import Kind, Tier
from costpertoken.model.records import InputError

CHAT = Kind(name="chat", requests_per_s=10.0, output_tokens=100, latency_s=0.3)
LONG = Kind(name="long", requests_per_s=3.0, output_tokens=500, latency_s=5.0, quality=70.0)
EDGE = Tier(name="edge", usd_per_hour=1.0, requests_per_s={"chat": 2.0, "long": 1.0}, latency_s=0.1, quality=8.0, sites=4)
CENTRE = Tier(name="centre", usd_per_hour=6.0, requests_per_s={"chat": 5.0, "long": 2.0}, latency_s=0.2, quality=70.0)


def test_two_tiers_by_hand():
    """Chat at the edge: 5 replicas busy over 4 sites, so 2 each. Long in the centre: 1.5, so 2. All in the centre: 3.5, so 4."""
    plan = tiered.cheapest([CHAT, LONG], [EDGE, CENTRE])
    assert plan.assigned == {"chat": "edge", "long": "centre"}
    assert plan.replicas == {"edge": 8, "centre": 2}
    assert plan.tier_usd_per_hour == {"edge": 8.0, "centre": 12.0} and plan.usd_per_hour == 20.0
    assert tiered.alone([CHAT, LONG], [EDGE, CENTRE]) == {"edge": np.inf, "centre": 24.0}
    assert tiered.usd_per_mtok(plan, [CHAT, LONG]) == pytest.approx(20 / (2500 * 0.0036))


def test_limits_decide():
    """Too far for chat, chat must be at the edge; too urgent for both, nothing serves."""
    far = replace(CENTRE, latency_s={"chat": 0.4, "long": 0.4}, usd_per_hour=0.1)
    assert tiered.cheapest([CHAT, LONG], [EDGE, far]).assigned == {"chat": "edge", "long": "centre"}
    assert tiered.cheapest([replace(CHAT, latency_s=0.05), LONG], [EDGE, far]).usd_per_hour == np.inf
    assert not tiered.serves(far, replace(CHAT, name="new"))
    assert not tiered.serves(replace(CENTRE, requests_per_s={"chat": np.nan}), CHAT)


def test_a_processor_takes_the_small_load():
    """A trickle of short requests on a machine of 0.2 USD, not on a GPU of its own."""
    few = Kind(name="few", requests_per_s=0.1)
    cpu = Tier(name="cpu", usd_per_hour=0.2, requests_per_s={"few": 0.2, "chat": 0.2})
    gpu = Tier(name="gpu", usd_per_hour=2.0, requests_per_s={"few": 5.0, "chat": 5.0})
    assert tiered.cheapest([few], [cpu, gpu]).usd_per_hour == pytest.approx(0.2)
    assert tiered.cheapest([few, CHAT], [cpu, gpu]).assigned == {"few": "cpu", "chat": "gpu"}
    full = tiered.cheapest([few, replace(CHAT, requests_per_s=9.0)], [cpu, gpu])
    assert full.assigned["few"] == "gpu" and full.usd_per_hour == 4.0  # it fits beside the rest


def test_spares_and_an_api():
    """Up with 0.9 each: one of two is up with 0.99, two of three with 0.972."""
    failing = replace(EDGE, availability=0.9, target=0.95)
    assert tiered.replicas(failing, np.array([0.0, 0.1, 4.0, 4.1])).tolist() == [0, 8, 8, 12]
    assert tiered.replicas(failing, 0.1) == 8
    dear = replace(EDGE, site_usd_per_hour=10.0)
    assert tiered.cheapest([CHAT], [dear]).usd_per_hour == 8.0 + 4 * 10.0
    assert tiered.cheapest([CHAT], [dear, CENTRE]).assigned == {"chat": "centre"}
    api = Tier(name="api", usd_per_hour=0.0, requests_per_s={"chat": 1e9}, usd_per_request={"chat": 1e-4})
    plan = tiered.cheapest([CHAT], [api, EDGE])
    assert plan.assigned == {"chat": "api"} and plan.usd_per_hour == pytest.approx(3.6)


def test_too_many_assignments_are_refused():
    kinds = [Kind(name=f"{i}", requests_per_s=1.0) for i in range(25)]
    every = {kind.name: 1.0 for kind in kinds}
    with pytest.raises(InputError, match="assignments"):
        tiered.cheapest(kinds, [Tier(name=name, usd_per_hour=1.0, requests_per_s=every) for name in "ab"])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 10_000))
def test_against_brute_force(n_kinds, n_tiers, seed):
    rng = np.random.default_rng(seed)
    kinds = [
        Kind(name=f"k{i}", requests_per_s=rng.uniform(0.1, 9), latency_s=rng.uniform(0.2, 1), quality=rng.uniform(0, 6))
        for i in range(n_kinds)
    ]
    rooms = [
        Tier(
            name=f"t{i}", usd_per_hour=rng.uniform(0.5, 5), requests_per_s={k.name: rng.uniform(0.5, 4) for k in kinds},
            latency_s=rng.uniform(0, 0.5), quality=rng.uniform(2, 10), sites=int(rng.integers(1, 4)),
        )
        for i in range(n_tiers)
    ]  # fmt: skip
    best = np.inf
    for where in product(rooms, repeat=n_kinds):
        pairs = list(zip(kinds, where, strict=True))
        if all(k.latency_s >= t.latency_s and k.quality <= t.quality for k, t in pairs):
            busy = {t.name: sum(k.requests_per_s / t.requests_per_s[k.name] for k, at in pairs if at is t) for t in rooms}
            best = min(best, sum(t.usd_per_hour * t.sites * ceil(busy[t.name] / t.sites) for t in rooms))
    found = tiered.cheapest(kinds, rooms)
    assert found.usd_per_hour == pytest.approx(best)
    assert found.usd_per_hour <= min(tiered.alone(kinds, rooms).values()) + 1e-9
    assert found.usd_per_hour <= tiered.cheapest(kinds, rooms[:-1] or rooms).usd_per_hour + 1e-9  # a tier more never costs more


def test_one_kind_in_one_tier_is_the_plain_fleet():
    assert tiered.cheapest([CHAT], [CENTRE]).usd_per_hour == 6.0 * ceil(10 / 5)


def test_isolation_by_hand():
    """Two groups of one request in flight each: 3 places each let 9 % wait, 4 for both 17 %, 5 for both 6 %."""
    assert erlang_c(servers=3, load=1.0) == pytest.approx(1 / 11)
    assert erlang_c(servers=4, load=2.0) == pytest.approx(4 / 23)
    of = tiered.isolation(loads=[1.0, 1.0], wait_probability=0.1)
    assert (of.needed_apart.tolist(), of.needed_pooled) == ([3, 3], 5)
    assert tiered.isolation_ratio(of) == pytest.approx(6 / 5)


def test_isolation_with_spares_by_hand():
    """Up with 0.9 each: one of one needs 2 (0.99) for 0.95; the pool's two need 3 (0.972)."""
    of = tiered.isolation(loads=[1.0, 1.0], slots=3, wait_probability=0.1, availability=0.9, target=0.95)
    assert (of.needed_apart.tolist(), of.spares_apart.tolist()) == ([1, 1], [1, 1])
    assert (of.needed_pooled, of.spares_pooled) == (2, 1)
    assert tiered.isolation_ratio(of) == pytest.approx(4 / 3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.05, 50.0), min_size=1, max_size=6), st.floats(0.01, 0.5))
def test_laws_of_isolation(loads, waiting):
    of = tiered.isolation(loads=loads, wait_probability=waiting)
    assert of.needed_apart.sum() >= of.needed_pooled
    assert tiered.isolation_ratio(of) >= 1.0
    assert tiered.isolation_ratio(tiered.isolation(loads=loads[:1], wait_probability=waiting)) == 1.0
