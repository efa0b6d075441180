"""A replica as a queue: against hand-made stations, Erlang's formulas, the closed form of serving, and the simulator."""

from dataclasses import replace

import numpy as np
import pytest

from costpertoken.answers import estimate as answers
from costpertoken.fleet import queueing, steady
from costpertoken.fleet.arrivals import synthetic
from costpertoken.fleet.simulate import latencies, policy_of, simulate
from costpertoken.fleet.station import Lengths, Station, pooled, slowed, station, with_slots, work_cv
from costpertoken.model.serving import serve

BUDGET = 8192
#: Of the simulated median, and of the ninetieth percentile: how far the closed form may lie from it.
NEAR, TAIL = 0.08, 0.30


def plain(*, slots: int, step_s=0.01, output_tokens=100.0, prompt_s=1e-9, n_replicas=1) -> Station:
    """A station whose steps are as long for many as for one, so that its slots are servers of Erlang's."""
    flight = np.geomspace(1.0, slots, 20)
    return Station(
        slots=slots, flight=flight, decode_s=np.full(20, step_s), prompt_s=np.full(20, prompt_s), chunk_tokens=np.full(20, 1e12),
        prompt_tokens=1.0, output_tokens=output_tokens, n_replicas=n_replicas,
    )  # fmt: skip


@pytest.mark.parametrize(("slots", "load"), [(1, 0.5), (2, 1.0), (5, 3.0), (10, 8.0), (100, 90.0), (600, 580.0)])
def test_slots_that_do_not_slow_each_other_are_erlangs_servers(slots, load):
    found = steady.steady(plain(slots=slots), requests_per_s=load)  # a request takes 100 x 0.01 s: one Erlang a request a second
    assert found.waiting == pytest.approx(queueing.erlang_c(servers=slots, load=load), rel=5e-3)
    waits = queueing.erlang_c(servers=slots, load=load)
    assert found.in_flight == pytest.approx(load + waits * load / (slots - load), rel=5e-3)
    assert found.utilisation == pytest.approx(load / slots, rel=1e-6)


def test_wait_for_a_slot_is_erlangs():
    found = steady.steady(plain(slots=5), requests_per_s=4.5, shares=(0.9,))
    waited = queueing.wait_s(servers=5, load=4.5, service_s=1.0, share=0.9)
    assert found.ttft_s[0] == pytest.approx(waited + 1.5 * 0.01, rel=0.01)


def test_equal_shares_of_one_speed_are_processor_sharing():
    # Steps as long as there are requests: one server shared by all, whose requests in flight are load / (1 - load) in the mean.
    flight = np.arange(1.0, 400.0)
    columns = {"decode_s": 0.01 * flight, "prompt_s": np.full(399, 1e-9), "chunk_tokens": np.full(399, 1e12)}
    shared = replace(plain(slots=399), flight=flight, **columns)
    assert steady.steady(shared, requests_per_s=0.8).in_flight == pytest.approx(4.0, rel=0.01)


def test_too_much_load_waits_for_ever():
    found = steady.steady(plain(slots=5), requests_per_s=5.5)
    assert found.waiting == 1.0 and np.isinf(found.ttft_s).all() and found.utilisation > 1
    assert not steady.keeps(plain(slots=5), [5.5])[0].any()


def real(model="llama-3.1-8b", accelerator="h100-sxm", tp=1, weights="bf16", **asked) -> tuple:
    deployed = answers.deployment(model, accelerator, tp=tp, weights=weights)
    return deployed, station(deployed, token_budget=BUDGET, **asked)


def test_most_is_what_serving_finishes():
    deployed, at = real(input_tokens=1000, output_tokens=300)
    served = serve(deployed, input_tokens=1000, output_tokens=300)
    assert at.slots == pytest.approx(float(served.batch))
    assert steady.most_per_s(at) == pytest.approx(float(served.requests_per_s), rel=0.02)  # a prompt's steps come on top


CASES = {
    "8b, quiet": (("llama-3.1-8b", "h100-sxm", 1, "bf16"), 1000, 300, 0.0, 1.0, 0.4, None),
    "8b, busy": (("llama-3.1-8b", "h100-sxm", 1, "bf16"), 1000, 300, 0.0, 1.0, 0.85, None),
    "70b, few slots": (("llama-3.1-70b", "h100-sxm", 4, "fp8"), 1000, 300, 0.0, 1.0, 0.6, 64),
    "mixture": (("mixtral-8x7b", "h200-sxm", 2, "bf16"), 500, 500, 0.0, 0.5, 0.85, 256),
    "small card": (("llama-3.1-8b", "l40s", 1, "fp8"), 200, 100, 0.5, 1.0, 0.7, 48),
}


@pytest.mark.parametrize("case", CASES)
def test_closed_form_is_near_the_simulator(case):
    where, isl, osl, input_cv, output_cv, load, slots = CASES[case]
    deployed, at = real(*where, input_tokens=isl, output_tokens=osl, input_cv=input_cv, output_cv=output_cv, slots=slots)
    rate = load * steady.most_per_s(at)
    lengths = {"input_tokens": {"mean": isl, "cv": input_cv}, "output_tokens": {"mean": osl, "cv": output_cv}}
    trace = synthetic(n_requests=6000, seed=1, rate_per_s=rate, **lengths)
    policy = policy_of(deployed, schedule="chunked", max_batch=int(at.slots), token_budget=BUDGET)
    found = latencies(simulate(trace, deployed, policy)).iloc[1000:]
    closed = steady.steady(at, requests_per_s=rate, shares=(0.5, 0.9))
    assert closed.in_flight == pytest.approx(found["e2e_s"].mean() * rate, rel=NEAR)
    for name, values in (("ttft_s", closed.ttft_s), ("tpot_s", closed.tpot_s)):
        assert values[0] == pytest.approx(found[name].quantile(0.5), rel=NEAR)
        assert values[1] == pytest.approx(found[name].quantile(0.9), rel=TAIL)


def test_a_full_queue_is_long_in_both():
    deployed, at = real("llama-3.1-70b", "h100-sxm", 4, "fp8", input_tokens=1000, output_tokens=300, output_cv=1.0, slots=64)
    closed = steady.steady(at, requests_per_s=0.95 * steady.most_per_s(at), shares=(0.9,))
    assert closed.waiting > 0.2 and closed.ttft_s[0] > 10 * steady.steady(at, requests_per_s=1.0, shares=(0.9,)).ttft_s[0]


def test_most_load_keeps_its_limits_and_no_more():
    _, at = real(input_tokens=1000, output_tokens=300, output_cv=1.0)
    limits = {"ttft_s": 0.2, "tpot_s": 0.02, "share": 0.9}
    rate, slots = steady.most_requests_per_s(at, **limits)
    capped = with_slots(at, slots)
    assert steady.keeps(capped, [rate], **limits)[0][0, -1]
    assert not steady.keeps(at, [1.01 * rate], **limits)[0].any()
    assert steady.most_requests_per_s(at)[0] == pytest.approx(steady.most_per_s(at), rel=0.01)
    assert np.isnan(steady.most_requests_per_s(at, tpot_s=1e-4)[0])


def test_tighter_limits_never_carry_more():
    _, at = real(input_tokens=1000, output_tokens=300, output_cv=1.0)
    for name, ends in (("ttft_s", (0.05, 0.1, 0.5, np.inf)), ("tpot_s", (0.008, 0.012, 0.03, np.inf))):
        rates = [steady.most_requests_per_s(at, **{name: end})[0] for end in ends]
        assert np.all(np.diff(np.nan_to_num(rates)) >= 0)


def test_one_queue_for_several_replicas_waits_less():
    one = plain(slots=4)
    four = pooled(one, 4)
    assert steady.most_per_s(four) == pytest.approx(4 * steady.most_per_s(one))
    alone, together = steady.steady(one, requests_per_s=3.4), steady.steady(four, requests_per_s=13.6)
    assert together.waiting == pytest.approx(queueing.erlang_c(servers=16, load=13.6), rel=2e-3)
    assert together.waiting < alone.waiting


def test_slower_steps_carry_less_in_proportion():
    _, at = real(input_tokens=1000, output_tokens=300)
    assert steady.most_per_s(slowed(at, 2.0)) == pytest.approx(steady.most_per_s(at) / 2)


def test_work_of_prompts_by_their_moments():
    def lengths(cv, moments=None):
        return Lengths(1000.0, 100.0, input_cv=cv, input_moments=moments)

    assert work_cv(lengths(0.0), 0.5) == 0.0
    assert work_cv(lengths(1.0), 0.0) == pytest.approx(1.0)  # all of it in proportion to the length
    draw = np.random.default_rng(0).lognormal(-0.5 * np.log(1.25), np.sqrt(np.log(1.25)), 2_000_000)
    work = 0.7 * draw + 0.3 * draw**2 / 1.25
    assert work_cv(lengths(0.5), 0.3) == pytest.approx(work.std() / work.mean(), rel=0.01)
    # Half of them 0.5 and half 1.5 times the mean: E x^2 = 1.25, E x^3 = 1.75, E x^4 = 2.5625; all work with the square:
    # 0.2 or 1.8 of its mean.
    assert work_cv(lengths(0.5, (1.75, 2.5625)), 1.0) == pytest.approx(0.8)


def test_nothing_fits_is_nan():
    _, at = real("llama-3.1-70b", "l40s", 1, "bf16", input_tokens=100, output_tokens=100)
    assert np.isnan(at.slots) and np.isnan(steady.most_requests_per_s(at)[0])
