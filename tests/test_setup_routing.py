"""The router of a setup: two pools, each with its own batch, by hand and by law."""

from dataclasses import replace

import numpy as np
import pytest
from given import DEPLOYMENT, IDEAL, MODEL
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from costpertoken.model import setup
from costpertoken.model.records import InputError, Workload
from costpertoken.model.roofline import step
from costpertoken.model.setup import Router, Setup
from costpertoken.model.speculation import with_heads

SMALL = replace(DEPLOYMENT, model=replace(MODEL, id="small", n_layers=2))
WORK = Workload(input_tokens=300, output_tokens=100)
SHARES = st.floats(0.01, 0.99)


def with_router(large=DEPLOYMENT, small=SMALL, concurrency=None, **router) -> Setup:
    return Setup(
        deployment=large, workload=replace(WORK, concurrency=concurrency), router=Router(small=small, **router)
    )


def per_request_s(one: Setup) -> float:
    return float(sum(setup.run(one).accelerator_s))


def alone_s(deployed, concurrency=None) -> float:
    return per_request_s(Setup(deployment=deployed, workload=replace(WORK, concurrency=concurrency)))


def by_hand_s(deployed, batch: float) -> float:
    """Steps of a batch with the prompts of those that replace the finished: output steps for `batch` requests."""
    mixed = {"prefill_tokens": batch * 300 / 100, "pairs_per_token": 150.0}
    taken = step(deployed, decode=batch, context_tokens=350.0, **mixed)
    return 100 * float(taken.step_s) / batch


@pytest.mark.parametrize("concurrency", [None, 1.0, 50.0])
def test_nothing_routed_costs_the_large_model_and_the_router(concurrency):
    at = with_router(share=0.0, router_s=0.25, concurrency=concurrency)
    assert per_request_s(at) == pytest.approx(alone_s(DEPLOYMENT, concurrency) + 0.25)


@pytest.mark.parametrize("concurrency", [None, 1.0, 50.0])
def test_all_routed_and_none_asked_again_costs_the_small_model(concurrency):
    assert per_request_s(with_router(share=1.0, concurrency=concurrency)) == pytest.approx(alone_s(SMALL, concurrency))


@pytest.mark.parametrize("concurrency", [None, 1.0, 50.0])
def test_a_cascade_that_always_asks_again_costs_both_models_and_the_router(concurrency):
    at = with_router(share=1.0, escalated=1.0, router_s=0.25, concurrency=concurrency)
    assert per_request_s(at) == pytest.approx(alone_s(DEPLOYMENT, concurrency) + alone_s(SMALL, concurrency) + 0.25)


def test_each_pool_has_its_own_batch_by_hand():
    """Of 100 in flight 60 are with the small model, and 40 and the 15 that are asked again with the large one."""
    at = with_router(share=0.6, escalated=0.25, router_s=0.001, concurrency=100.0)
    (asked, large), (share, small) = setup.run(at).pools
    assert (asked, share) == pytest.approx((0.55, 0.6))
    assert (float(large.batch), float(small.batch)) == pytest.approx((55.0, 60.0))
    by_hand = 0.55 * by_hand_s(DEPLOYMENT, 55.0) + 0.6 * by_hand_s(SMALL, 60.0) + 0.001
    assert per_request_s(at) == pytest.approx(by_hand)


def test_less_than_one_in_flight_pays_for_the_idle_rest():
    """Of two in flight a quarter keeps the small pool busy half of the time: its request costs two of a lone one's."""
    at = with_router(share=0.25, concurrency=2.0)
    large_s, small_s = setup.run(at).accelerator_s
    assert float(small_s) == pytest.approx(0.25 * 2 * by_hand_s(SMALL, 1.0))
    assert float(large_s) == pytest.approx(0.75 * by_hand_s(DEPLOYMENT, 1.5))


@drawn(share=st.floats(0, 1), escalated=st.floats(0, 1), concurrency=st.sampled_from([None, 1.0, 7.0, 300.0]))
@settings(max_examples=60, deadline=None)
def test_every_request_is_served_once_and_those_asked_again_twice(share, escalated, concurrency):
    (asked, _), (first, _) = setup.run(with_router(share=share, escalated=escalated, concurrency=concurrency)).pools
    assert asked + first == pytest.approx(1 + share * escalated)
    assert first == share and asked >= 1 - share - 1e-12


@drawn(share=SHARES, escalated=st.floats(0, 1), router_s=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_full_pools_cost_the_weighted_mean(share, escalated, router_s):
    """The equation of the chapter: no batch changes where both pools are full."""
    mean = router_s + (1 - share + share * escalated) * alone_s(DEPLOYMENT) + share * alone_s(SMALL)
    assert per_request_s(with_router(share=share, escalated=escalated, router_s=router_s)) == pytest.approx(mean)


@drawn(share=SHARES, concurrency=st.floats(1, 400))
@settings(max_examples=60, deadline=None)
def test_splitting_between_two_of_the_same_model_never_saves(share, concurrency):
    """Each half reads the weights for itself."""
    assert per_request_s(with_router(small=DEPLOYMENT, share=share, concurrency=concurrency)) >= alone_s(
        DEPLOYMENT, concurrency
    ) * (1 - 1e-9)


def test_splitting_a_small_load_costs_more_than_it_saves_and_a_large_one_pays():
    saved = [per_request_s(with_router(share=0.5, concurrency=n)) / alone_s(DEPLOYMENT, n) for n in (1.0, 10_000.0)]
    assert saved[0] > 1 > saved[1]


def test_more_escalation_never_costs_less():
    costs = [per_request_s(with_router(share=0.5, escalated=e)) for e in (0.0, 0.3, 1.0)]
    assert costs == sorted(costs)


def test_the_small_pool_has_no_part_in_the_large_ones_drafts():
    """All that changes with a draft is the large pool."""
    heads = with_heads(DEPLOYMENT, acceptance=0.8, draft_tokens=3, verified_tokens=3)
    plain = with_router(share=0.5, escalated=0.1, concurrency=20.0)
    drafted = setup.run(replace(plain, speculation=heads))
    before = setup.run(plain)
    assert drafted.accelerator_s[1] == pytest.approx(before.accelerator_s[1])
    assert drafted.accelerator_s[0] < before.accelerator_s[0]


def test_loads_broadcast():
    flight = np.array([1.0, 10.0, 100.0])
    many = sum(setup.run(with_router(share=0.4, escalated=0.1, concurrency=flight)).accelerator_s)
    assert many == pytest.approx([per_request_s(with_router(share=0.4, escalated=0.1, concurrency=n)) for n in flight])


def test_a_small_model_that_does_not_fit_has_no_cost():
    huge = replace(SMALL, model=replace(MODEL, n_layers=10_000), efficiency=IDEAL)
    assert np.isnan(per_request_s(with_router(small=huge, share=0.5)))


@pytest.mark.parametrize(
    "bad", [{"share": -0.1}, {"share": 1.1}, {"share": 0.5, "escalated": 2.0}, {"share": 0.5, "router_s": -1.0}]
)
def test_bad_shares_are_refused(bad):
    with pytest.raises(InputError):
        Router(small=SMALL, **bad)
