"""Cold starts, going to zero and following a load late: by hand, by law, and going to zero against a small simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costpertoken.fleet import autoscale
from costpertoken.model.records import InputError

RATE, START, IDLE, SERVICE = 1 / 300, 60.0, 120.0, 10.0


def test_cold_start_by_hand():
    parts = autoscale.cold_start_parts_s(machine_s=30.0, weight_bytes=16e9, bytes_per_s=2e9, compile_s=20.0, engine_s=12.0)
    assert parts == {"machine": 30.0, "weights": 8.0, "compile": 20.0, "engine": 12.0}
    assert sum(parts.values()) == 70.0


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(InputError, match="bytes_per_s"):
        autoscale.cold_start_parts_s(machine_s=0.0, weight_bytes=1.0, bytes_per_s=0.0, compile_s=0.0, engine_s=0.0)


def test_to_zero_by_hand():
    """A request in 300 s, up for 130 s after each: e^(130/300) = 1.5424 a cycle and 0.2 more while it starts."""
    of = autoscale.to_zero(requests_per_s=RATE, start_s=START, idle_s=IDLE, service_s=SERVICE)
    each = 0.2 + np.exp(130 / 300)
    assert of.off == pytest.approx(1 / each)
    assert of.paid == pytest.approx(1 - 1 / each)
    assert of.cold == pytest.approx(1.2 / each)
    assert of.mean_wait_s == pytest.approx((60 + 0.2 * 30) / each)
    assert of.starts_per_s == pytest.approx(RATE / each)
    free = autoscale.to_zero(requests_per_s=RATE, start_s=START, idle_s=IDLE, service_s=SERVICE, start_paid=False)
    assert free.paid == pytest.approx(1 - 1.2 / each)


def simulated(rng: np.random.Generator, n: int, mean_service_s=SERVICE, exponential=False):
    """(share of time paid, waits) of n requests, one by one."""
    arrivals = np.cumsum(rng.exponential(1 / RATE, n))
    services = rng.exponential(mean_service_s, n) if exponential else np.full(n, mean_service_s)
    paid, ready, empty = 0.0, -np.inf, -np.inf  # from when it serves; when the last one in work is done
    on, waits = None, np.zeros(n)
    for i, (at, service) in enumerate(zip(arrivals, services, strict=True)):
        if on is None or at > empty + IDLE:
            paid += 0.0 if on is None else empty + IDLE - on
            on, ready, empty = at, at + START, -np.inf
        waits[i] = max(0.0, ready - at)
        empty = max(empty, max(at, ready) + service)
    return (paid + empty + IDLE - on) / (empty - arrivals[0]), waits


@pytest.mark.parametrize("exponential", [False, True])
def test_to_zero_against_a_simulation(exponential):
    of = autoscale.to_zero(requests_per_s=RATE, start_s=START, idle_s=IDLE, service_s=SERVICE)
    paid, waits = simulated(np.random.default_rng(7), 100_000, exponential=exponential)
    assert paid == pytest.approx(of.paid, abs=0.006)
    assert np.mean(waits > 0) == pytest.approx(of.cold, abs=0.006)
    assert np.mean(waits) == pytest.approx(of.mean_wait_s, rel=0.015)
    for share in (0.1, 0.3, 0.35, 0.9):
        assert np.quantile(waits, share) == pytest.approx(autoscale.added_wait_s(of, share), abs=2.0)


def test_added_wait_by_hand():
    """Of 2 requests a cycle one is first; during the start of 100 s one more comes: waits are uniform below it."""
    of = autoscale.to_zero(requests_per_s=0.01, start_s=100.0, idle_s=0.0)
    assert (of.off, of.cold) == (0.5, 1.0)
    assert autoscale.added_wait_s(of, np.array([0.25, 0.4, 0.5, 0.9])) == pytest.approx([50.0, 80.0, 100.0, 100.0])


def test_money_by_hand():
    assert autoscale.usd_per_request(requests_per_s=0.01, usd_per_hour=3.6) == pytest.approx(0.1)
    assert autoscale.usd_per_mtok(requests_per_s=0.01, usd_per_hour=3.6, tokens=500, paid=0.5) == pytest.approx(100.0)


def test_break_even_by_substitution():
    replica = {"start_s": START, "idle_s": IDLE, "service_s": SERVICE}
    for start_paid in (True, False):
        rate = autoscale.break_even_per_s(on_usd_per_hour=2.0, zero_usd_per_hour=5.0, start_paid=start_paid, **replica)
        assert autoscale.to_zero(requests_per_s=rate, start_paid=start_paid, **replica).paid == pytest.approx(0.4)
    assert autoscale.break_even_per_s(on_usd_per_hour=2.0, zero_usd_per_hour=2.0, **replica) == np.inf
    assert autoscale.break_even_per_s(on_usd_per_hour=0.0, zero_usd_per_hour=2.0, **replica) == 0.0
    never = {"on_usd_per_hour": 1.0, "zero_usd_per_hour": 2.0, "start_s": 0.0, "idle_s": 0.0}
    assert autoscale.break_even_per_s(**never) == np.inf


def test_idle_for_cold_by_substitution():
    idle = autoscale.idle_for_cold_s(requests_per_s=RATE, start_s=START, cold=0.02, service_s=SERVICE)
    assert autoscale.to_zero(requests_per_s=RATE, start_s=START, idle_s=idle, service_s=SERVICE).cold == pytest.approx(0.02)
    assert autoscale.idle_for_cold_s(requests_per_s=RATE, start_s=START, cold=0.999, service_s=SERVICE) == 0.0


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-6, 10), st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 100), st.booleans())
def test_laws_of_going_to_zero(rate, start, idle, service, start_paid):
    replica = {"start_s": start, "idle_s": idle, "service_s": service, "start_paid": start_paid}
    of = autoscale.to_zero(requests_per_s=np.array([rate, 2 * rate]), **replica)
    assert np.all((of.paid >= 0) & (of.paid <= 1 + 1e-12) & (of.cold > 0) & (of.cold <= 1) & (of.mean_wait_s <= start))
    assert of.paid[0] <= of.paid[1] + 1e-12 and of.cold[0] >= of.cold[1] - 1e-12
    longer = autoscale.to_zero(requests_per_s=rate, **{**replica, "idle_s": idle + 10})
    assert longer.paid >= of.paid[0] - 1e-12 and longer.cold <= of.cold[0] + 1e-12
    assert autoscale.added_wait_s(of, 1.0)[0] == start


LOAD = np.array([1.0, 1.0, 5.0, 3.0, 1.0, 0.5])
FLEET = {"step_s": 3600.0, "replica_per_s": 2.0}


def test_ahead_by_hand():
    of = autoscale.ahead(LOAD, lag_s=3600.0, **FLEET)
    assert of.needed.tolist() == [1, 1, 3, 2, 1, 1]
    assert of.paid.tolist() == [1, 3, 3, 2, 1, 1]
    assert autoscale.beyond_share(of) == 0.0
    assert autoscale.replica_hours(of) == {"paid": 11.0, "fixed": 18.0, "perfect": 9.0}


def test_reactive_by_hand():
    of = autoscale.reactive(LOAD, lag_s=1800.0, **FLEET)
    assert of.paid.tolist() == [1, 1, 3, 2, 1, 1]
    assert of.ready.tolist() == [1, 1, 1, 2, 1, 1]
    assert of.beyond_per_s.tolist() == [0, 0, 3, 0, 0, 0]
    assert autoscale.beyond_share(of) == pytest.approx(3 / 11.5)
    kept = autoscale.reactive(LOAD, lag_s=1800.0, keep_s=3600.0, **FLEET)
    assert kept.paid.tolist() == [1, 1, 3, 3, 2, 1] and kept.ready.tolist() == [1, 1, 1, 3, 2, 1]
    spare = autoscale.reactive(LOAD, lag_s=1800.0, headroom=4.0, **FLEET)
    assert spare.paid.tolist() == [3, 3, 13, 8, 3, 2]


def test_finer_by_hand():
    assert autoscale.finer([0.0, 4.0], parts=2).tolist() == [1.0, 1.0, 3.0, 3.0]
    assert autoscale.finer(LOAD, parts=1).tolist() == LOAD.tolist()
    assert autoscale.finer(LOAD, parts=60).mean() == pytest.approx(LOAD.mean())
    assert autoscale.finer(LOAD, parts=60).max() <= LOAD.max()


def test_billing_in_steps_by_hand():
    """One replica throughout (6 h), one for two hours, one for one: in steps of 4 h that is 8 + 4 + 4."""
    of = autoscale.reactive(LOAD, lag_s=0.0, **FLEET)
    assert autoscale.replica_hours(of, billing_s=4 * 3600)["paid"] == 16.0
    around = autoscale.reactive(np.array([3.0, 1.0, 1.0, 3.0]), lag_s=0.0, **FLEET)
    assert autoscale.replica_hours(around, billing_s=2 * 3600)["paid"] == 6.0
    none = autoscale.reactive(np.array([0.0, 1.0]), lag_s=0.0, minimum=0, **FLEET)
    assert autoscale.replica_hours(none)["paid"] == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 100.0), min_size=2, max_size=30), st.floats(0, 20), st.floats(0, 5), st.integers(1, 3))
def test_laws_of_following(loads, lag, headroom, minimum):
    load = np.array(loads) + 0.1
    same = {"step_s": 1.0, "replica_per_s": 7.0, "minimum": minimum}
    seen, blind = autoscale.ahead(load, lag_s=lag, **same), autoscale.reactive(load, lag_s=lag, headroom=headroom, **same)
    hours = autoscale.replica_hours(seen)
    assert hours["perfect"] - 1e-9 <= hours["paid"] <= hours["fixed"] + 1e-9
    assert autoscale.beyond_share(seen) == 0.0 and np.all(blind.ready <= blind.paid)
    sooner = autoscale.reactive(load, lag_s=lag / 2, headroom=headroom, **same)
    assert autoscale.beyond_share(sooner) <= autoscale.beyond_share(blind)
    assert autoscale.replica_hours(blind, billing_s=1.5)["paid"] >= autoscale.replica_hours(blind)["paid"] - 1e-12
    instant = autoscale.reactive(load, lag_s=0.0, **same)
    assert autoscale.replica_hours(instant)["paid"] == pytest.approx(hours["perfect"])
