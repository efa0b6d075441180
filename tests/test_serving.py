"""Fit, batch and steady state, by hand and by law."""

from dataclasses import replace

import numpy as np
import pytest
from given import DEPLOYMENT, IDEAL, MODEL
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from costpertoken.answers.estimate import deployment
from costpertoken.model import roofline, serving
from costpertoken.model.records import InputError

WEIGHTS = 2 * (132e6 + 21_000)  # products, embedding, head and norms at two bytes
SEQUENCE = 10 * 2 * 10 * 100 * 2  # cache bytes a token
lengths = st.integers(1, 4000)
batches = st.floats(1, 400)


def test_memory_splits_into_weights_and_cache():
    room = serving.capacity(DEPLOYMENT)
    assert room.weight_bytes == pytest.approx(WEIGHTS)
    assert room.cache_bytes + room.weight_bytes == pytest.approx(10e9)


def test_batch_limit_by_hand():
    limit = serving.batch_limit(DEPLOYMENT, input_tokens=900, output_tokens=100)
    assert limit == pytest.approx((10e9 - WEIGHTS) / (SEQUENCE * 1000))


def test_steady_state_by_hand():
    out = serving.serve(DEPLOYMENT, input_tokens=300, output_tokens=100, concurrency=10)
    step = out.step
    assert step.products_s == pytest.approx((2 * 130e6 * 40 + 2 * 1e6 * 10) / 100e12)
    assert out.tpot_s == step.step_s
    assert out.output_tok_per_s == pytest.approx(10 / step.step_s)
    assert out.input_tok_per_s == pytest.approx(3 * out.output_tok_per_s)
    assert out.requests_per_s == pytest.approx(out.output_tok_per_s / 100)


def test_cached_prefix_is_not_prefilled():
    out = serving.serve(DEPLOYMENT, input_tokens=400, output_tokens=100, concurrency=10, cached_share=0.75)
    assert out.input_tok_per_s == pytest.approx(out.output_tok_per_s)
    assert out.cached_tok_per_s == pytest.approx(3 * out.output_tok_per_s)


def test_first_token_by_hand():
    """Half a step, the own prompt, and past the batch the wait that Little's law gives."""
    prompt = roofline.step(
        DEPLOYMENT, decode=0.0, context_tokens=0.0, prefill_tokens=900.0, pairs_per_token=450.0
    ).step_s
    inside = serving.serve(DEPLOYMENT, input_tokens=900, output_tokens=100, concurrency=20)
    assert inside.ttft_s == pytest.approx(0.5 * inside.step.step_s + prompt)
    room = float(serving.batch_limit(DEPLOYMENT, input_tokens=900, output_tokens=100))
    over = serving.serve(DEPLOYMENT, input_tokens=900, output_tokens=100, concurrency=3 * room)
    assert over.batch == pytest.approx(room)
    assert over.ttft_s == pytest.approx((0.5 + 100 * 2) * over.step.step_s + prompt)


def test_static_batch_by_hand():
    out = serving.serve_static(DEPLOYMENT, input_tokens=100, output_tokens=50, batch=4)
    assert out.requests_per_s == pytest.approx(4 / (out.ttft_s + 50 * out.tpot_s))


def test_what_does_not_fit_is_nan_with_a_status():
    tight = replace(DEPLOYMENT, efficiency=replace(IDEAL, reserve_bytes=9.9e9))
    out = serving.serve(tight, input_tokens=100, output_tokens=100)
    assert np.isnan(out.output_tok_per_s) and serving.STATUS[int(out.status)] == "weights do not fit"
    long = serving.serve(DEPLOYMENT, input_tokens=1e6, output_tokens=100)
    assert np.isnan(long.tpot_s) and serving.STATUS[int(long.status)] == "cache of one request does not fit"
    short = serving.serve(
        replace(DEPLOYMENT, model=replace(MODEL, max_context=1000)), input_tokens=990, output_tokens=100
    )
    assert serving.STATUS[int(short.status)] == "longer than the model's context"


def test_one_point_that_fails_leaves_the_others():
    out = serving.serve(DEPLOYMENT, input_tokens=np.array([100.0, 1e6]), output_tokens=100)
    assert np.isfinite(out.tpot_s[0]) and np.isnan(out.tpot_s[1])


def test_smallest_fit_counts_up():
    tight = replace(DEPLOYMENT, efficiency=replace(IDEAL, reserve_bytes=9.8e9))
    assert serving.smallest_fit(tight, input_tokens=1000, output_tokens=1000) == 2


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("input_tokens", 0),
        ("output_tokens", np.nan),
        ("concurrency", -3),
        ("cached_share", 1.5),
        ("input_tokens", "many"),
    ],
)
def test_bad_values_are_refused_by_name(knob, value):
    asked = {"input_tokens": 10, "output_tokens": 10, knob: value}
    with pytest.raises(InputError, match=knob):
        serving.serve(DEPLOYMENT, **asked)


@pytest.mark.parametrize("degrees", [{"tp": 3}, {"pp": 11}, {"tp": 0}, {"ep": 2}, {"tp": 2.5}])
def test_degrees_that_do_not_divide_are_refused(degrees):
    with pytest.raises(InputError):
        replace(DEPLOYMENT, **degrees)


@drawn(lengths, lengths, batches)
@settings(max_examples=60, deadline=None)
def test_arrays_equal_loops(isl, osl, batch):
    knobs = {
        "input_tokens": np.array([isl, 10.0]),
        "output_tokens": np.array([osl, 20.0]),
        "concurrency": np.array([batch, 3.0]),
    }
    whole = serving.serve(DEPLOYMENT, **knobs)
    for i in range(2):
        one = serving.serve(DEPLOYMENT, **{name: float(value[i]) for name, value in knobs.items()})
        for field in ("batch", "tpot_s", "ttft_s", "output_tok_per_s", "status"):
            np.testing.assert_array_equal(getattr(whole, field)[i], getattr(one, field))


@drawn(lengths, lengths, batches, st.floats(1.01, 3))
@settings(max_examples=60, deadline=None)
def test_faster_memory_and_peak_never_slow_it(isl, osl, batch, factor):
    def speed(**faster):
        machine = replace(DEPLOYMENT, accelerator=replace(DEPLOYMENT.accelerator, **faster))
        return serving.serve(machine, input_tokens=isl, output_tokens=osl, concurrency=batch).output_tok_per_s

    base, peaks = speed(), {k: v * factor for k, v in DEPLOYMENT.accelerator.peak_flop_per_s.items()}
    assert speed(memory_bytes_per_s=1e12 * factor) >= base
    assert speed(peak_flop_per_s=peaks) >= base


@drawn(lengths, lengths)
@settings(max_examples=60, deadline=None)
def test_larger_batches_never_lower_throughput_and_memory_stops_them(isl, osl):
    out = serving.serve(DEPLOYMENT, input_tokens=isl, output_tokens=osl, concurrency=np.arange(1.0, 300.0, 7))
    assert np.all(np.diff(out.output_tok_per_s) >= -1e-9 * out.output_tok_per_s[1:])
    room = serving.batch_limit(DEPLOYMENT, input_tokens=isl, output_tokens=osl)
    assert np.all(out.batch <= room + 1e-9)


@drawn(lengths, lengths, batches)
@settings(max_examples=60, deadline=None)
def test_no_faster_than_the_compute_floor(isl, osl, batch):
    out = serving.serve(DEPLOYMENT, input_tokens=isl, output_tokens=osl, concurrency=batch)
    flop = 2 * 130e6 * (1 + isl / osl) + 2 * 1e6
    assert out.output_tok_per_s <= 100e12 / flop * (1 + 1e-9)


@drawn(lengths, lengths, batches)
@settings(max_examples=60, deadline=None)
def test_step_parts_sum(isl, osl, batch):
    step = serving.serve(replace(DEPLOYMENT, tp=2), input_tokens=isl, output_tokens=osl, concurrency=batch).step
    parts = step.matmul_s + step.cache_s + step.prefill_attention_s + step.activation_s + step.network_s + step.host_s
    assert step.step_s == pytest.approx(parts, rel=1e-12)


PLACES = {"llama-3.1-8b": "l40s", "llama-3.1-70b": "h100-sxm", "deepseek-v3": "h200-sxm", "gpt-oss-120b": "mi300x"}
ENGINES = ("vllm", "sglang", "tensorrt-llm-pytorch", "vllm-2024")
CALIBRATED = [deployment(*place, tp=8, engine=engine) for place in PLACES.items() for engine in ENGINES]


@drawn(st.sampled_from(CALIBRATED), st.integers(1, 6000), lengths, batches, st.floats(1.001, 50))
@settings(max_examples=100, deadline=None)
def test_more_clients_never_lower_throughput_and_never_shorten_a_wait(placed, isl, osl, few, factor):
    """With the calibrated constants, and also past the batch that memory allows."""
    clients = np.array([few, few * factor])
    out = serving.serve(placed, input_tokens=isl, output_tokens=osl, concurrency=clients)
    assert (out.status == 0).all()
    assert out.output_tok_per_s[1] >= out.output_tok_per_s[0] * (1 - 1e-12)
    assert out.tpot_s[1] >= out.tpot_s[0] * (1 - 1e-12)
    assert out.ttft_s[1] > out.ttft_s[0]


def test_serving_stays_where_it_was_regression():
    # Regression test: the figure was made by the function itself.
    out = serving.serve(DEPLOYMENT, input_tokens=1000, output_tokens=500, concurrency=32)
    assert out.output_tok_per_s == pytest.approx(REGRESSION_TOK_PER_S, rel=1e-9)


REGRESSION_TOK_PER_S = 15058.540074539775
