"""Simulated evictions against their expectation, and both against the program's."""

import numpy as np
import pytest

from costpertoken.fleet import capacity, evictions, portfolio
from costpertoken.fleet.capacity import Pool
from costpertoken.model.records import InputError

HOURLY = np.array([2.0, 4.0, 4.0, 6.0] * 6)


def pool(provider, **changed):
    fails = {"evictions_per_hour": 0.5, "recovery_hours": 0.4, "together_share": 1.0}
    return Pool(**{"provider": provider, "term": "spot", "usd_per_hour": 1.0, **fails, **changed})


def mix(pools, *counts):
    """So many instances of each pool, in all hours."""
    load = capacity.load_of(HOURLY)
    held = np.repeat(np.array(counts, float)[:, None], len(load.share), axis=1)
    return portfolio.plan_of(load=load, pools=pools, instances=held, target=0.9)


@pytest.mark.parametrize("together", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("counts", [(6, 0), (3, 3), (5, 4)])
def test_simulation_agrees_with_expectation(together, counts):
    plan = mix([pool("a", together_share=together), pool("b", together_share=together, n_accel=2)], *counts)
    found = evictions.simulate(plan, hourly=HOURLY, weeks=400, seed=3)
    assert abs(found.served_share - evictions.expected_served_share(plan)) < 4 * found.standard_error + 1e-12


def test_pools_that_fall_as_a_whole_are_what_the_program_counts():
    plan = mix([pool("a"), pool("b", n_accel=2)], 4, 2)
    assert evictions.expected_served_share(plan) == pytest.approx(plan.served_share, abs=1e-12)


def test_single_evictions_serve_at_most_the_programs_mean():
    plan = mix([pool("a", together_share=0.0)], 6)
    assert evictions.expected_served_share(plan) < plan.served_share


def test_one_machine_by_hand():
    plan = mix([pool("a", together_share=0.0)], 1)
    up = 1 / (1 + 0.5 * 0.4)
    assert evictions.expected_served_share(plan) == pytest.approx(up / HOURLY.mean())


def test_firm_capacity_serves_every_hour():
    plan = mix([pool("a", evictions_per_hour=0.0)], 6)
    found = evictions.simulate(plan, hourly=HOURLY, weeks=3, seed=1)
    assert found.served_share == 1 and (found.hour_served == 1).all() and found.standard_error == 0


def test_a_seed_repeats_itself_and_another_does_not():
    plan = mix([pool("a"), pool("b")], 3, 3)
    one, again, other = (evictions.simulate(plan, hourly=HOURLY, weeks=20, seed=s).served_share for s in (1, 1, 2))
    assert one == again != other


def test_outages_of_a_whole_pool_make_worse_hours():
    apart, together = (mix([pool("a", together_share=share)], 6) for share in (0.0, 1.0))
    worst = [
        np.quantile(evictions.simulate(p, hourly=HOURLY, weeks=100, seed=1).hour_served, 0.05)
        for p in (apart, together)
    ]
    assert worst[1] < worst[0]


def test_another_load_is_refused():
    with pytest.raises(InputError, match="no level of 9"):
        evictions.simulate(mix([pool("a")], 3), hourly=[9.0], weeks=2, seed=1)
