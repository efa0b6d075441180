"""Checks of the chapter on scheduling: each worked out by another route, and its inverse by substitution."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import scheduling as checks
from costpertoken.evidence.scenario import placed
from costpertoken.model.roofline import step

AT = {"model": "llama-3.1-70b", "accelerator": "h100-sxm", "weights": "bf16", "tp": 4}
LOAD = {"input_tokens": 800, "output_tokens": 400}


def longest(cv: float, n: float) -> float:
    """Expected longest of n lognormal lengths of mean 1: the integral of the chance that not all are shorter."""
    sigma = math.sqrt(math.log1p(cv**2))
    lengths = stats.lognorm(sigma, scale=math.exp(-(sigma**2) / 2))
    return integrate.quad(lambda x: 1 - lengths.cdf(x) ** n, 0, 60 * (1 + cv), limit=400)[0]


def seconds(**carried) -> float:
    """One step by the roofline, for a batch of 16."""
    at = placed("llama-3.1-70b", "h100-sxm", weights="bf16", tp=4)
    return float(step(at, **{"decode": 0.0, "context_tokens": 0.0, "pairs_per_token": 400.0, **carried}).step_s)


@pytest.mark.parametrize("cv", [0.3, 0.8, 1.5])
@pytest.mark.parametrize("batch", [4, 16, 64])
def test_a_static_batch_is_occupied_by_mean_over_longest(cv, batch):
    share = checks.static_occupancy(**AT, **LOAD, batch=batch, output_cv=cv, filled=1.0, counted="decode steps")
    assert share == pytest.approx(100 / longest(cv, batch), rel=0.01)


def test_batches_that_start_half_full_are_smaller_batches_in_twice_the_slots():
    knobs = {**AT, **LOAD, "output_cv": 0.8, "counted": "decode steps"}
    half = checks.static_occupancy(**knobs, batch=16, filled=0.5)
    assert half == pytest.approx(checks.static_occupancy(**knobs, batch=8, filled=1.0) / 2)


def test_the_whole_time_of_a_static_batch_by_hand():
    knobs = {**AT, **LOAD, "output_cv": 0.8, "batch": 16, "filled": 1.0}
    decoding = checks.static_occupancy(**knobs, counted="decode steps")
    slots = 400 / (decoding / 100)
    steps = slots * seconds(decode=16.0, context_tokens=800 + slots / 2)
    whole = checks.static_occupancy(**knobs, counted="whole time")
    assert whole == pytest.approx(decoding * steps / (steps + seconds(prefill_tokens=16.0 * 800)))


def test_a_backlog_fills_every_slot_and_prompts_of_their_own_stop_them():
    knobs = {**AT, **LOAD, "batch": 16, "load": 1.0}
    for counted in ("decode steps", "whole time"):
        assert checks.continuous_occupancy(**knobs, schedule="chunked", counted=counted) == pytest.approx(100)
    steps = 400 * seconds(decode=16.0, context_tokens=1000.0)
    share = checks.continuous_occupancy(**knobs, schedule="continuous", counted="whole time")
    assert share == pytest.approx(100 * steps / (steps + 16 * seconds(prefill_tokens=800.0)))


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_the_slots_taken_at_a_load_finish_that_share_of_the_most(load):
    knobs = {**AT, **LOAD, "schedule": "chunked"}
    share = checks.continuous_occupancy(**knobs, batch=16, load=load, counted="decode steps")
    flight = 16 * share.value / 100
    rates = [16 / n * n for n in (16, flight)]  # slots; requests a second are in flight over the time of one
    times = [400 * seconds(decode=n, context_tokens=1000.0, prefill_tokens=2.0 * n) for n in (16.0, flight)]
    assert flight / times[1] == pytest.approx(load * rates[0] / times[0], rel=1e-3)
    assert share.low < share.value < share.high <= 100 and share.value < 100 * load


def test_the_saving_by_hand():
    """Static: all prompts, then steps to the longest. Continuous: as many steps as an answer has tokens, prompts aboard."""
    saved = checks.saving(**AT, **LOAD, batch=16, output_cv=0.8, schedule="chunked")
    slots = 400 * longest(0.8, 16)
    static = seconds(prefill_tokens=16.0 * 800) + slots * seconds(decode=16.0, context_tokens=800 + slots / 2)
    continuous = 400 * seconds(decode=16.0, context_tokens=1000.0, prefill_tokens=16.0 * 800 / 400)
    assert saved.value == pytest.approx(100 * (1 - continuous / static), abs=0.3)
    assert saved.low < saved.value < saved.high


def test_equal_lengths_leave_nothing_to_gain_but_the_shared_reading():
    equal, spread = (checks.saving(**AT, **LOAD, batch=16, output_cv=cv, schedule="continuous").value for cv in (0.0, 0.8))
    assert equal < 0.0 < 50 < spread  # prompts one by one even cost: each reads the weights for itself
    assert 0 < checks.saving(**AT, **LOAD, batch=16, output_cv=0.0, schedule="chunked").value < 10


def test_saving_and_occupancy_are_of_one_scenario():
    knobs = {**AT, **LOAD, "batch": 16, "output_cv": 0.8}
    both = checks.saving_and_occupancy(**knobs, schedule="chunked")
    alone = checks.static_occupancy(**knobs, filled=1.0, counted="decode steps")
    assert both == pytest.approx((checks.saving(**knobs, schedule="chunked").value, alone))


def test_what_does_not_fit_is_no_number():
    knobs = {**AT, "model": "llama-2-70b", "tp": 2, "input_tokens": 4000, "output_tokens": 90, "batch": 64}
    assert math.isnan(checks.static_occupancy(**knobs, output_cv=0.8, filled=1.0, counted="decode steps"))
    assert math.isnan(checks.continuous_occupancy(**knobs, load=0.5, schedule="chunked", counted="decode steps"))
    assert math.isnan(checks.saving(**knobs, output_cv=0.8, schedule="chunked").value)


def test_the_condition_of_the_printed_forty_per_cent_by_substitution():
    row = claims.ledger(claim_id="static-batching-util-40").iloc[0]
    found = admissible.solve(
        claims.function_of(claims.CHECKS["static-batching-occupancy"]),
        admissible.inputs("static-batching-util-40"),
        40.0,
        (36.0, 44.0),
    )
    assert row["verdict"] == "holds-under" and set(found.changed) == {"output_cv"}
    assert np.isclose(100 / longest(found.changed["output_cv"], 16), 40, rtol=0.01)


def simulated_backlog(schedule: str, **load):
    """Requests of one deployment through the scheduler, with 16 slots."""
    from costpertoken import Workload
    from costpertoken.answers import simulated

    at = placed("llama-3.1-70b", "h100-sxm", weights="bf16", tp=4)
    carried = {"output_cv": 0.8, "requests_per_s": np.inf, "n_requests": 16_000} | load
    return simulated.replay(at, Workload(**LOAD), schedule=schedule, slots=16, load=carried)


def test_the_simulator_agrees_on_static_slots():
    from costpertoken.fleet.simulate import summary

    share = checks.static_occupancy(**AT, **LOAD, batch=16, output_cv=0.8, filled=1.0, counted="decode steps")
    assert 100 * summary(simulated_backlog("static"))["batch_occupancy"] == pytest.approx(share, rel=0.03)


@pytest.mark.parametrize("schedule", ["chunked", "continuous"])
def test_the_simulator_agrees_on_the_saving(schedule):
    from costpertoken.answers.simulated import saturation

    saved = checks.saving(**AT, **LOAD, batch=16, output_cv=0.8, schedule=schedule).value
    before, after = (saturation(simulated_backlog(one)) for one in ("static", schedule))
    assert 100 * (1 - before / after) == pytest.approx(saved, abs=2.0)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_the_simulator_agrees_on_slots_at_a_load(load):
    """Little's law needs no even arrivals: the mean number in the slots follows from the rate, nearly."""
    from costpertoken.answers.simulated import saturation, shares

    most = saturation(simulated_backlog("chunked"))
    found = simulated_backlog("chunked", requests_per_s=load * most, n_requests=6000)
    share = checks.continuous_occupancy(**AT, **LOAD, batch=16, load=load, schedule="chunked", counted="whole time").value
    busy = shares(found)
    assert 100 * busy["slots"] * busy["busy"] == pytest.approx(share, rel=0.06)


def test_the_simulator_agrees_on_the_time_that_prompts_of_their_own_take():
    from costpertoken.answers.simulated import shares

    share = checks.continuous_occupancy(**AT, **LOAD, batch=16, load=1.0, schedule="continuous", counted="whole time")
    assert 100 * shares(simulated_backlog("continuous"))["slots"] == pytest.approx(share, rel=0.03)
