"""The setup that levers change: today's defaults are `serve`, and each knob by hand."""

from dataclasses import replace

import numpy as np
import pytest
from given import DEPLOYMENT, IDEAL, MODEL
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from costpertoken.answers.estimate import deployment
from costpertoken.model import levers, setup
from costpertoken.model.counts import count
from costpertoken.model.records import InputError, Workload
from costpertoken.model.roofline import step
from costpertoken.model.serving import serve
from costpertoken.model.setup import Memory, Setup

WORK = Workload(input_tokens=300, output_tokens=100, concurrency=10)
PLAIN = Setup(deployment=DEPLOYMENT, workload=WORK)
SEQUENCE = 10 * 2 * 10 * 100 * 2  # cache bytes a token
CACHE = 10e9 - 2 * (132e6 + 21_000)


def per_request_s(one: Setup) -> float:
    return float(sum(setup.run(one).accelerator_s))


@pytest.mark.parametrize(
    "model, machine, weights, degrees",
    [
        ("llama-3.1-70b", "h100-sxm", "fp8", {"tp": 2}),
        ("deepseek-v3", "h200-sxm", "fp8", {"tp": 1, "dp": 8}),
        ("gpt-oss-120b", "h100-sxm", "mxfp4", {"tp": 2}),
        ("llama-3.1-8b", "l40s", "bf16", {"pp": 2}),
    ],
)
@pytest.mark.parametrize("concurrency", [None, 1.0, 40.0])
@pytest.mark.parametrize("cached_share", [0.0, 0.6])
def test_the_defaults_are_serve(model, machine, weights, degrees, concurrency, cached_share):
    placed = deployment(model, machine, weights=weights, **degrees)
    load = {"input_tokens": 1200.0, "output_tokens": 400.0, "concurrency": concurrency, "cached_share": cached_share}
    pool = setup.run(Setup(deployment=placed, workload=Workload(**load))).pools[0][1]
    served = serve(placed, **load)
    for name in ("batch", "tpot_s", "requests_per_s"):
        assert getattr(pool, name) == pytest.approx(getattr(served, name), rel=1e-12)


def test_knobs_broadcast():
    flight = np.array([1.0, 10.0, 100.0])
    many = setup.run(replace(PLAIN, workload=replace(WORK, concurrency=flight)))
    alone = [per_request_s(replace(PLAIN, workload=replace(WORK, concurrency=n))) for n in flight]
    assert many.accelerator_s[0] == pytest.approx(alone)


def test_a_reserved_stretch_by_hand():
    at = replace(
        PLAIN, workload=replace(WORK, concurrency=None), memory=Memory(reserved_tokens=2000, fragmentation=0.2)
    )
    assert setup.run(at).pools[0][1].room == pytest.approx(0.8 * CACHE / (2000 * SEQUENCE))
    short = replace(at, memory=Memory(reserved_tokens=10))  # a stretch is never shorter than its sequence
    assert setup.run(short).pools[0][1].room == pytest.approx(CACHE / (400 * SEQUENCE))


def test_half_a_block_is_lost():
    at = replace(PLAIN, memory=Memory(block_tokens=17))
    assert setup.run(at).pools[0][1].room == pytest.approx(CACHE / (408 * SEQUENCE))


def test_a_shared_prefix_is_held_once_and_many_fill_the_memory():
    one = levers.cache_prefixes(PLAIN, cached_share=0.5, n_prefixes=1)
    assert setup.run(one).pools[0][1].room == pytest.approx((CACHE - 150 * SEQUENCE) / (250 * SEQUENCE))
    own = levers.cache_prefixes(PLAIN, cached_share=0.5, n_prefixes=0)
    assert setup.run(own).pools[0][1].room == pytest.approx(CACHE / (400 * SEQUENCE))
    many = levers.cache_prefixes(PLAIN, cached_share=0.5, n_prefixes=1000)
    assert setup.run(many).pools[0][1].room == pytest.approx((CACHE - 150_000 * SEQUENCE) / (250 * SEQUENCE))


def test_static_batch_by_hand():
    """All prompts at once, then steps to the longest answer; of equal answers all slots make tokens."""
    pool = setup.run(replace(PLAIN, schedule="static")).pools[0][1]
    prompts = step(DEPLOYMENT, decode=0.0, context_tokens=0.0, prefill_tokens=3000.0, pairs_per_token=150.0)
    decode = step(DEPLOYMENT, decode=10.0, context_tokens=350.0)
    assert pool.requests_per_s == pytest.approx(10 / (prompts.step_s + 100 * decode.step_s))
    assert pool.slot_occupancy == pytest.approx(1.0)


def test_continuous_batching_by_hand():
    """Between the decode steps each prompt has a step of its own, which everyone waits for."""
    pool = setup.run(replace(PLAIN, schedule="continuous")).pools[0][1]
    prompt = step(DEPLOYMENT, decode=0.0, context_tokens=0.0, prefill_tokens=300.0, pairs_per_token=150.0)
    decode = step(DEPLOYMENT, decode=10.0, context_tokens=350.0)
    work_s = 10 * prompt.step_s + 100 * decode.step_s
    assert pool.requests_per_s == pytest.approx(10 / work_s)
    assert pool.tpot_s == pytest.approx(work_s / 100)


def test_longest_answer_against_draws():
    """Expected maximum of lognormal answers, against a hundred thousand batches drawn."""
    draw = np.random.default_rng(1)
    for cv, batch in ((0.5, 8), (1.0, 32)):
        sigma = np.sqrt(np.log1p(cv**2))
        lengths = draw.lognormal(np.log(200) - sigma**2 / 2, sigma, (100_000, batch))
        found = setup.longest_tokens(output_tokens=200.0, output_cv=cv, batch=batch)
        assert found == pytest.approx(lengths.max(axis=1).mean(), rel=0.02)
        assert setup.longest_tokens(output_tokens=200.0, output_cv=cv, batch=1) == pytest.approx(200, rel=0.01)


def test_unequal_answers_leave_static_slots_idle_and_no_others():
    for schedule in setup.SCHEDULES:
        pool = setup.run(replace(PLAIN, schedule=schedule, output_cv=1.0)).pools[0][1]
        assert (pool.slot_occupancy < 0.5) == (schedule == "static")


def test_scores_by_hand():
    """Decode writes and reads a row a sequence, a prompt a full square; one prompt's scores of a layer take room."""
    plain = replace(PLAIN, schedule="continuous")
    fused, unfused = (setup.run(one).pools[0][1] for one in (plain, levers.write_scores(plain, passes=4)))
    per_pair = 10 * 10 * 2 * 4 / 1e12  # layers, heads, bytes, passes over bandwidth
    assert unfused.spent.step_s - fused.spent.step_s == pytest.approx((10 * 300 * 300 + 100 * 10 * 350) * per_pair)
    assert fused.room - unfused.room == pytest.approx(300**2 * 10 * 2 / (400 * SEQUENCE))


@drawn(
    batch=st.floats(1, 300),
    cv=st.floats(0, 2),
    isl=st.integers(10, 2000),
    osl=st.integers(1, 1000),
    hit=st.floats(0, 0.9),
)
@settings(max_examples=60, deadline=None)
def test_mixing_prompts_in_is_never_slower_than_apart_nor_apart_than_static(batch, cv, isl, osl, hit):
    """Reading hidden behind multiplying and weights read once for both; prompts of a static batch share their step,
    so it is the idle slots that cost, and equal answers leave none."""
    load = Workload(input_tokens=isl, output_tokens=osl, concurrency=batch, cached_share=hit)
    placed = replace(DEPLOYMENT, efficiency=replace(IDEAL, max_batch=1e9))
    at = [Setup(deployment=placed, workload=load, schedule=kind, output_cv=cv) for kind in ("chunked", "continuous")]
    mixed, apart = (per_request_s(one) for one in at)
    assert mixed <= apart * (1 + 1e-9)
    static = [per_request_s(replace(at[0], schedule="static", output_cv=v)) for v in (0.0, cv)]
    assert static[0] <= static[1] * (1 + 1e-9)
    assert mixed <= static[0] * (1 + 1e-9)


def test_what_does_not_fit_is_nan_with_its_reason():
    big = replace(PLAIN, workload=Workload(input_tokens=2_000_000, output_tokens=10))
    pool = setup.run(big).pools[0][1]
    assert np.isnan(pool.requests_per_s) and pool.status == 2


def test_heads_shrink_the_unsharded_cache():
    wide = replace(DEPLOYMENT, model=replace(MODEL, n_heads=64, n_kv_heads=64))
    at = replace(PLAIN, deployment=wide)
    whole = count(wide).cache_bytes_per_token
    for n, fold in ((1, 64), (8, 8), (64, 1)):
        assert whole / count(levers.share_heads(at, n_kv_heads=n).deployment).cache_bytes_per_token == fold


def test_latents_by_hand():
    at = levers.compress_cache(PLAIN, rank=50, rope_dim=10)
    assert count(at.deployment).cache_bytes_per_token == 10 * (50 + 10) * 2


@pytest.mark.parametrize("n", [0, 3, 11])
def test_heads_that_do_not_divide_are_refused(n):
    with pytest.raises(InputError, match=f"n_kv_heads is {n}; expected a divisor of 10"):
        levers.share_heads(PLAIN, n_kv_heads=n)


def test_bits_with_metadata():
    assert levers.grouped_bits(bits=4, group_size=128, scale_bits=16, zero_bits=4) == 4.15625
    assert levers.grouped_bits(bits=3, group_size=32, scale_bits=16, zero_bits=4) == 3.625


@pytest.mark.parametrize("bad", [{"schedule": "dynamc"}, {"score_passes": -1}, {"output_cv": -0.1}, {"n_prefixes": -1}])
def test_bad_knobs_are_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Setup(deployment=DEPLOYMENT, workload=WORK, **bad)


def test_floors_by_hand():
    flop = 400 * 2 * 130e6 + 100 * 2 * 1e6 + (300 * 150 + 100 * 350) * 10 * 4 * 10 * 100
    assert levers.compute_floor_s(PLAIN) == pytest.approx(flop / 100e12)
    assert levers.cache_floor_s(PLAIN) == pytest.approx(100 * 350 * SEQUENCE / 1e12)
    weights = 131e6 * 2
    assert levers.byte_floor_s(PLAIN, batch=10) == pytest.approx(
        100 * weights / 10 / 1e12 + 100 * 350 * SEQUENCE / 1e12
    )
