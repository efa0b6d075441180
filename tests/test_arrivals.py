"""Made-up traffic: means and spreads as asked, a seed's own, bad knobs refused."""

import numpy as np
import pytest

from costpertoken.fleet.arrivals import LENGTHS, synthetic
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
