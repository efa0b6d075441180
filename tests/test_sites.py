"""Sites: by hand, by the parts' product, and the laws of pooling."""

from dataclasses import replace

import numpy as np
import pytest

from costpertoken.fleet import queueing, sites

DEMAND = sites.Demand(load=100, slots=64, models=1, peak_to_mean=2.0, zone_hours=6, wait_probability=0.05, target=0.999)
CENTRE = sites.Place(availability=0.999, usd_per_replica_hour=4.0, fixed_usd_per_hour=50.0)
EDGE = sites.Place(availability=0.995, usd_per_replica_hour=5.0, fixed_usd_per_hour=8.0)


def test_replicas_are_the_fewest():
    for load in (0.05, 0.7, 3.3, 41.0):
        n = sites.replicas_for(load=load, slots=16, wait_probability=0.05)
        assert queueing.erlang_c(servers=16 * n, load=16 * load) <= 0.05
        assert n == 1 or queueing.erlang_c(servers=16 * (n - 1), load=16 * load) > 0.05
    one_each = sites.replicas_for(load=7.0, slots=1, wait_probability=0.05)
    assert one_each == queueing.servers_for(load=7.0, wait_probability=0.05)


def test_occupancy_by_another_route():
    found = sites.occupancy(servers=np.array([1, 10]), wait_probability=0.05)
    assert found[0] == pytest.approx(0.05)  # one server: the chance of waiting is the load
    terms = np.cumprod(np.concatenate([[1.0], found[1] * 10 / np.arange(1, 11)]))
    at = terms[-1] / (1 - found[1])
    assert at / (terms[:-1].sum() + at) == pytest.approx(0.05)  # Erlang's sum, term by term


def test_two_sites_by_hand():
    flat = replace(DEMAND, peak_to_mean=1.0, load=10.0, slots=1.0, wait_probability=0.5, target=0.9)
    sure = sites.Place(availability=0.999999, usd_per_replica_hour=2.0, fixed_usd_per_hour=3.0)
    found = sites.serve_from(flat, sure, 2)
    needed = queueing.servers_for(load=5.0, wait_probability=0.5)
    assert (found.needed, found.spares, found.peak_to_mean) == (needed, 0, pytest.approx(1.0))
    assert found.utilisation == pytest.approx(5 / needed) and found.usd_per_hour == 2 * (2 * needed + 3)


def test_parts_multiply_to_the_ratio():
    for n in (1, 3, 40, 100):
        parts = sites.ratio_parts(DEMAND, CENTRE, EDGE, n)
        assert np.prod(list(parts.values())) == pytest.approx(sites.cost_ratio(DEMAND, CENTRE, EDGE, n))
    same = sites.ratio_parts(DEMAND, CENTRE, CENTRE, 1)
    assert list(same.values()) == pytest.approx([1.0] * 6)


def test_more_sites_are_never_used_more():
    used = [sites.serve_from(DEMAND, EDGE, n).utilisation for n in (1, 2, 4, 16, 64, 256)]
    assert all(b <= a + 1e-12 for a, b in zip(used, used[1:], strict=False))
    many = sites.serve_from(replace(DEMAND, models=5), EDGE, 64)
    assert many.utilisation <= sites.serve_from(DEMAND, EDGE, 64).utilisation


def test_zones_flatten_the_centre_only():
    wide = replace(DEMAND, zone_hours=24.0)
    assert sites.seen_peak(wide, 1) == pytest.approx(1.0)
    assert sites.seen_peak(replace(DEMAND, zone_hours=0.0), 1) == pytest.approx(2.0)
    assert sites.seen_peak(DEMAND, 1) < sites.seen_peak(DEMAND, 9) < 2.0
    assert sites.seen_peak(DEMAND, 10_000) == pytest.approx(2.0, rel=1e-3)


def test_availability_and_fixed_costs_by_hand():
    assert sites.availability(hours_between_failures=990, repair_hours=10) == pytest.approx(0.99)
    assert sites.availability(hours_between_failures=990, repair_hours=10, accelerators=2) == pytest.approx(0.9801)
    # 0.1 of 87,600 a year is 1 an hour; 730 a month is 1 an hour
    found = sites.fixed_usd_per_hour(staff=0.1, staff_usd_per_year=87_600, usd_per_month=730)
    assert found == pytest.approx(2.0)


def test_peak_of_a_window_by_integration():
    day = np.linspace(-3, 3, 20_001) * 2 * np.pi / 24
    full = np.exp(1.0 * np.cos(np.linspace(-np.pi, np.pi, 20_001)))
    ratio = np.e / np.trapezoid(full, dx=1 / 20_000)
    by_hand = np.trapezoid(np.exp(np.cos(day)), dx=1 / 20_000) / np.trapezoid(full, dx=1 / 20_000)
    assert sites.spread_peak(float(ratio), 6.0) == pytest.approx(by_hand, rel=1e-6)


def test_replicas_before_they_come_whole():
    for load in (0.05, 0.7, 41.0):
        exact = sites.exact_replicas(load=load, slots=16, wait_probability=0.05)
        assert queueing.erlang_c(servers=16 * exact, load=16 * load) == pytest.approx(0.05, rel=1e-6)
        assert exact <= sites.replicas_for(load=load, slots=16, wait_probability=0.05) < exact + 1


def test_spares_within_are_the_same_spares():
    for replicas in (1, 5, 40, 500):
        within = sites.spares_within(replicas, 0.998, 0.999)
        if within < replicas:
            assert queueing.spares_for(needed=replicas - within, availability=0.998, target=0.999) <= within
            assert within == 0 or queueing.spares_for(needed=replicas - within + 1, availability=0.998, target=0.999) > within - 1
    assert sites.spares_within(1, 0.5, 0.9) == 1 and sites.spares_within(3, 0.999999, 0.9) == 0
