"""Made-up traffic: means and spreads as asked, a seed's own, bad knobs refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costpertoken.fleet.arrivals import LENGTHS, at_rate, resampled, synthetic
from costpertoken.model.records import InputError

N = 40_000
SHORT = {"input_tokens": {"kind": "constant", "mean": 100}, "output_tokens": {"kind": "constant", "mean": 10}}


def gaps(**load) -> np.ndarray:
    return np.diff(synthetic(n_requests=N, **SHORT, **load).arrival_s)


def cv(values) -> float:
    return values.std() / values.mean()


@pytest.mark.parametrize(
    "arrivals, knobs, spread",
    [("poisson", {}, 1), ("bursty", {"burstiness": 3}, 3), ("bursty", {"burstiness": 0.5}, 0.5)],
)
def test_rates_and_bursts(arrivals, knobs, spread):
    found = gaps(arrivals=arrivals, rate_per_s=4.0, **knobs)
    assert 1 / found.mean() == pytest.approx(4.0, rel=0.03)
    assert cv(found) == pytest.approx(spread, rel=0.05)


def test_a_day_has_its_peak_in_the_middle():
    trace = synthetic(n_requests=N, **SHORT, arrivals="diurnal", rate_per_s=N / (10 * 86_400), peak_to_mean=1.8)
    hour = (trace.arrival_s % 86_400) // 3600
    by_hour = np.bincount(hour.astype(int), minlength=24) / (N / 24)
    assert by_hour.max() == pytest.approx(1.8, rel=0.08) and by_hour.argmax() in (11, 12)
    assert by_hour.min() == pytest.approx(0.2, abs=0.08)
    assert trace.arrival_s[-1] == pytest.approx(10 * 86_400, rel=0.02)


def test_a_backlog_is_there_at_once():
    assert not synthetic(n_requests=9, **SHORT, arrivals="backlog").arrival_s.any()


@pytest.mark.parametrize("kind", LENGTHS)
def test_lengths_have_their_mean(kind):
    trace = synthetic(
        n_requests=N,
        input_tokens={"kind": kind, "mean": 321.5},
        output_tokens={"kind": kind, "mean": 20},
        rate_per_s=1.0,
    )
    assert trace.input_tokens.mean() == pytest.approx(321.5, rel=0.02)
    assert trace.output_tokens.mean() == pytest.approx(20, rel=0.03)
    assert trace.input_tokens.min() >= 1


def test_spreads_and_the_longest():
    trace = synthetic(
        n_requests=N,
        input_tokens={"mean": 500, "cv": 0.7},
        output_tokens={"kind": "geometric", "mean": 200, "most": 300},
        rate_per_s=1.0,
    )
    assert cv(trace.input_tokens) == pytest.approx(0.7, rel=0.05)
    assert trace.output_tokens.max() == 300


def test_a_seed_is_a_trace():
    one, same, other = (synthetic(n_requests=50, **SHORT, rate_per_s=1.0, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.arrival_s, same.arrival_s) and not np.array_equal(one.arrival_s, other.arrival_s)


def test_prompts_of_a_group_begin_alike():
    trace = synthetic(
        n_requests=2000, **SHORT, rate_per_s=1.0, prefixes={"n_groups": 4, "tokens": 64, "block_tokens": 16}
    )
    first = trace.prefix_ids.reshape(2000, 4)
    assert len(np.unique(first, axis=0)) == 4 and len(np.unique(first)) == 16
    assert (trace.input_tokens > 64).all()


@given(rate=st.floats(0.01, 1e4), n=st.integers(2, 300), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_resampling_keeps_requests_whole_and_gives_the_rate(rate, n, seed):
    base = synthetic(n_requests=60, input_tokens={"mean": 100}, output_tokens={"mean": 50}, rate_per_s=2.0, seed=seed)
    known = set(zip(base.input_tokens, base.output_tokens, strict=True))
    made = resampled(base, n_requests=n, rate_per_s=rate, seed=seed)
    assert set(zip(made.input_tokens, made.output_tokens, strict=True)) <= known
    faster = at_rate(base, rate_per_s=rate)
    assert 59 / (faster.arrival_s[-1] - faster.arrival_s[0]) == pytest.approx(rate)
    assert np.array_equal(faster.output_tokens, base.output_tokens)


@pytest.mark.parametrize(
    "bad, words",
    [
        ({"arrivals": "poison"}, "arrivals is 'poison'; expected one of poisson"),
        ({"rate_per_s": 0.0}, "rate_per_s is 0"),
        ({"n_requests": 0}, "n_requests is 0"),
        ({"arrivals": "bursty", "burstiness": -1}, "burstiness is -1"),
        ({"arrivals": "diurnal", "peak_to_mean": 3.0}, "peak_to_mean is 3"),
        ({"arrivals": "poisson", "burstiness": 2.0}, "do not fit"),
        ({"input_tokens": {"kind": "normal", "mean": 5}}, "input_tokens kind is 'normal'"),
        ({"input_tokens": {"kind": "constant", "mean": 0}}, "input_tokens mean is 0"),
        ({"output_tokens": {"kind": "constant", "mean": 5, "cv": 1}}, "do not fit kind 'constant'"),
        ({"prefixes": {"n_groups": 0, "tokens": 16}}, "n_groups is 0"),
    ],
)
def test_bad_knobs_are_refused(bad, words):
    with pytest.raises(InputError, match=words):
        synthetic(**({"n_requests": 10, "rate_per_s": 1.0} | SHORT | bad))


def test_a_trace_without_a_rate_cannot_be_sped_up():
    with pytest.raises(InputError, match="no rate to change"):
        at_rate(synthetic(n_requests=5, **SHORT, arrivals="backlog"), rate_per_s=2.0)
