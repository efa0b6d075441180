"""What a fleet is asked for: levels of load by hand, and the fewest replicas against a plain upward scan."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from test_steady import plain, real

from costpertoken.fleet import demand as asked
from costpertoken.fleet.arrivals import synthetic
from costpertoken.fleet.demand import Demand, best_slots, fewest_replicas, merged, of_rate, of_trace
from costpertoken.fleet.simulate import latencies, policy_of, simulate
from costpertoken.fleet.station import Lengths
from costpertoken.fleet.steady import most_per_s, most_requests_per_s, steady
from costpertoken.fleet.trace import Trace
from costpertoken.model.records import InputError

LENGTHS = Lengths(1000, 300, 0.0, 0.0, 1.0)
#: Replicas that a scan tries before it gives up.
MOST = 400
PLACES = (
    ("llama-3.1-8b", "h100-sxm", 1, "fp8"),
    ("llama-3.1-70b", "h100-sxm", 4, "fp8"),
    ("llama-3.1-8b", "l40s", 1, "fp8"),
)


def trace_of(*arrivals, **lengths) -> Trace:
    """Requests at these seconds; lengths: tokens, one number for all or one each."""
    tokens = {"input_tokens": 100, "output_tokens": 10} | lengths
    return Trace(arrival_s=arrivals, name="made", **{name: np.resize(n, len(arrivals)) for name, n in tokens.items()})


@cache
def placed(number: int):
    """A real replica as a station."""
    return real(*PLACES[number], input_tokens=1000, output_tokens=300, output_cv=1.0)[1]


def scanned(at, demand: Demand, at_least: int = 1) -> int:
    """The first number of replicas, counted upward, that keeps the limits; 0 where none does for long."""
    return next((n for n in range(at_least, MOST + 1) if best_slots(at, demand, n) >= 1), 0)


def problem(seed: int):
    """A random station and a random demand for a few of its replicas."""
    draw = np.random.default_rng(seed)
    if seed % 5 == 0:
        at, unit_s = placed(int(draw.integers(len(PLACES)))), 0.01
    else:
        at = plain(slots=int(draw.integers(1, 25)), step_s=0.01, prompt_s=float(draw.choice([1e-9, 0.02, 0.2])))
        at = replace(
            at, decode_s=at.decode_s * at.flight ** draw.uniform(0.0, 0.9), prompt_cv=draw.uniform(0, 2), output_cv=1.0
        )
        unit_s = float(at.decode_s[0])
    levels = np.sort(most_per_s(at) * draw.uniform(0.02, 6.0, int(draw.integers(1, 5))))
    shares = draw.dirichlet(np.ones(levels.size))
    first_s, steps = (float(draw.choice(values)) for values in ([0.05, 0.3, 2.0, np.inf], [1.5, 3.0, 8.0, np.inf]))
    limits = {"ttft_s": first_s, "tpot_s": unit_s * steps}
    share = float(draw.choice([0.5, 0.9, 0.99]))
    return at, Demand(lengths=LENGTHS, levels_per_s=levels, time_shares=shares, share=share, **limits)


# ---- levels


def test_levels_of_a_profile_by_hand():
    """Five days of 1 and two of a half have the mean 6/7: the levels are 7/12 and 7/6 of it."""
    found = of_rate(12.0, LENGTHS, peak_to_mean=7 / 6, weekend_share=0.5)
    assert found.levels_per_s == pytest.approx([7.0, 14.0]) and found.time_shares == pytest.approx([2 / 7, 5 / 7])
    assert asked.mean_per_s(found) == pytest.approx(12.0)
    assert found.hours_per_s[:120] == pytest.approx(14.0) and found.hours_per_s[120:] == pytest.approx(7.0)


def test_levels_of_a_trace_by_hand(monkeypatch):
    monkeypatch.setattr(asked, "WINDOW_S", 60.0)
    found = of_trace(trace_of(5, 15, 25, 75, 125, input_tokens=[50, 150, 50, 150, 100], output_tokens=[8, 8, 8, 8, 13]))
    assert found.levels_per_s == pytest.approx([2 / 60, 3 / 60]) and found.time_shares == pytest.approx([0.5, 0.5])
    assert found.lengths.input_tokens == 100 and found.lengths.output_tokens == 9
    assert found.lengths.input_cv == pytest.approx(np.sqrt(4 * 50**2 / 5) / 100)
    assert found.lengths.output_cv == pytest.approx(2 / 9) and found.hours_per_s is None


def test_a_quiet_minute_is_a_level_too(monkeypatch):
    monkeypatch.setattr(asked, "WINDOW_S", 60.0)
    found = of_trace(trace_of(0, 1, 2, 179, 180), cached_share=0.5)
    assert found.levels_per_s == pytest.approx([0.0, 2 / 60, 3 / 60], abs=1e-8) and found.lengths.cached_share == 0.5


def test_few_levels_stay_and_many_are_joined():
    levels, shares = merged([3, 1, 1, 2])
    assert levels.tolist() == [1, 2, 3] and shares.tolist() == [0.5, 0.25, 0.25]
    levels, shares = merged(np.arange(1.0, 32.0))  # 30 below the highest, in 15 pairs
    assert levels.tolist() == [*np.arange(1.5, 30.0, 2.0), 31.0]
    assert shares == pytest.approx([2 / 31] * 15 + [1 / 31])


@pytest.mark.parametrize("seed", range(5))
def test_joined_levels_keep_the_mean_and_the_highest(seed):
    load = np.random.default_rng(seed).lognormal(0.0, 1.0, 500)
    levels, shares = merged(load)
    assert (
        levels @ shares == pytest.approx(load.mean())
        and levels.max() == load.max()
        and shares.sum() == pytest.approx(1.0)
    )
    assert len(levels) == asked.MOST_LEVELS and (np.diff(levels) > 0).all()


# ---- the fewest replicas


@pytest.mark.parametrize("seed", range(80))
def test_fewest_replicas_are_those_of_a_scan(seed):
    at, demand = problem(seed)
    at_least = 1 + 2 * (seed % 7 == 0)
    n, slots = fewest_replicas(at, demand, at_least=at_least)
    assert n == scanned(at, demand, at_least)
    if n:
        first, fast, stable, every = asked.shares_kept(at, demand, n)
        chosen = every == slots
        assert stable[chosen].all() and first[chosen] >= demand.share and fast[chosen] >= demand.share
        assert all(best_slots(at, demand, n + more) >= 1 for more in (1, 2, 5))
    else:
        assert np.isnan(slots)


def test_problems_are_of_all_kinds():
    found = [fewest_replicas(*problem(seed))[0] for seed in range(80)]
    assert 0 in found and 1 in found and max(found) > 5 and sum(n > 1 for n in found) > 30


@pytest.mark.parametrize("seed", range(0, 80, 3))
def test_tighter_demands_never_need_fewer(seed):
    at, demand = problem(seed)
    n = fewest_replicas(at, demand)[0] or np.inf
    harder = (
        {"ttft_s": 0.7 * min(demand.ttft_s, 5.0)},
        {"tpot_s": 0.8 * min(demand.tpot_s, 1.0)},
        {"share": 0.5 + 0.5 * demand.share},
        {"levels_per_s": 1.3 * demand.levels_per_s},
    )
    assert all((fewest_replicas(at, replace(demand, **change))[0] or np.inf) >= n for change in harder)


@pytest.mark.parametrize("seed", range(1, 80, 3))
def test_twice_the_load_needs_at_most_twice_as_many(seed):
    at, demand = problem(seed)
    n = fewest_replicas(at, demand)[0]
    twice = fewest_replicas(at, replace(demand, levels_per_s=2.0 * demand.levels_per_s))[0]
    assert n <= twice <= 2 * n


def test_without_limits_it_is_what_the_highest_level_asks_for():
    demand = of_rate(10.0, LENGTHS, peak_to_mean=2.35)  # 23.5 a second at its busiest, 5 to a replica of 5 slots
    assert fewest_replicas(plain(slots=5), demand)[0] == 5


def test_where_no_number_is_enough():
    demand = of_rate(10.0, LENGTHS, tpot_s=0.005)
    assert fewest_replicas(plain(slots=5), demand)[0] == 0
    assert fewest_replicas(replace(plain(slots=5), slots=np.nan), of_rate(10.0, LENGTHS))[0] == 0


def test_replicas_by_the_hour_by_hand():
    at, hours = plain(slots=10), np.array([4.0, 12.0, 25.0, 4.0])  # 10 a second to a replica
    levels, shares = merged(hours)
    demand = Demand(lengths=LENGTHS, levels_per_s=levels, time_shares=shares, hours_per_s=hours)
    assert asked.hourly_replicas(at, demand)[0].tolist() == [2, 3, 3, 1]
    assert asked.hourly_replicas(at, demand, at_least=2)[0].tolist() == [2, 3, 3, 2]
    limits = {"ttft_s": 0.5, "share": 0.9}
    most, slots = most_requests_per_s(at, **limits)
    needed, found = asked.hourly_replicas(at, replace(demand, **limits))
    assert found == slots and needed.tolist() == [np.ceil(load / most) for load in (12, 25, 25, 4)]


def test_no_hours_no_replicas_by_the_hour():
    levels = {"levels_per_s": np.ones(1), "time_shares": np.ones(1)}
    for demand in (
        Demand(lengths=LENGTHS, **levels),
        Demand(lengths=LENGTHS, hours_per_s=np.ones(4), tpot_s=0.001, **levels),
    ):
        needed, slots = asked.hourly_replicas(plain(slots=5), demand)
        assert needed.size == 0 and np.isnan(slots)


# ---- seconds


@pytest.mark.parametrize("seed", [2, 3, 4, 5, 10, 20])
def test_seconds_are_those_that_the_share_keeps(seed):
    at, demand = problem(seed)
    n = 2 + int(np.ceil(demand.levels_per_s.max() / most_per_s(at)))
    slots = float(asked.shares_kept(at, demand, n)[3][-1])
    found = asked.seconds(at, demand, n_replicas=n, slots=slots)
    for name, which in (("ttft_s", 0), ("tpot_s", 1)):
        under, over = (
            asked.shares_kept(at, replace(demand, **{name: found[name] * factor}), n)[which][-1]
            for factor in (0.998, 1.002)
        )
        assert under <= demand.share <= over


def test_seconds_of_too_much_load_are_endless():
    demand = of_rate(30.0, LENGTHS)
    found = asked.seconds(plain(slots=5), demand, n_replicas=2, slots=5)
    assert np.isinf(found["ttft_s"])


# ---- errors


@pytest.mark.parametrize(
    ("asking", "sentence"),
    [
        (lambda: of_rate(0.0, LENGTHS), "requests_per_s is 0; expected a finite number above 0"),
        (lambda: of_rate(1.0, LENGTHS, ttft_s=0.0), "TTFT limit is 0; expected a finite number above 0"),
        (lambda: of_rate(1.0, LENGTHS, tpot_s=-1.0), "TPOT limit is -1; expected a finite number above 0"),
        (lambda: of_rate(1.0, LENGTHS, share=1.0), "share of requests within the limits is 1; expected"),
        (lambda: of_rate(1.0, LENGTHS, share=0.0), "share of requests within the limits is 0; expected"),
        (lambda: of_rate(1.0, LENGTHS, peak_to_mean=0.5), "peak_to_mean is 0.5; expected"),
        (
            lambda: of_trace(trace_of(3, 3, 3)),
            "trace made: all requests come at once; expected arrivals that are spread",
        ),
        (lambda: of_trace(trace_of(0, 9), share=2.0), "share of requests within the limits is 2; expected"),
    ],
)
def test_what_is_refused(asking, sentence):
    with pytest.raises(InputError, match=sentence.replace(".", r"\.")):
        asking()


# ---- prompts of mixtures


@pytest.mark.parametrize("load", [0.02, 0.3])
def test_a_prompt_of_a_mixture_comes_whole(load):
    """Not in as many pieces as the answer has steps, each of which would read all experts again: as the simulator has it."""
    where, lengths = ("mixtral-8x7b", "h100-sxm", 2, "fp8"), {"input_tokens": 3000, "output_tokens": 50}
    deployed, at = real(*where, **lengths, output_cv=0.5)
    rate = load * most_per_s(at)
    drawn = {name: {"mean": mean, "cv": cv} for (name, mean), cv in zip(lengths.items(), (0.0, 0.5), strict=True)}
    trace = synthetic(n_requests=1500, seed=1, rate_per_s=rate, **drawn)
    policy = policy_of(deployed, schedule="chunked", max_batch=int(at.slots), token_budget=8192)
    found = latencies(simulate(trace, deployed, policy)).iloc[200:]
    closed = steady(at, requests_per_s=rate, shares=(0.5, 0.9))
    for name, values in (("ttft_s", closed.ttft_s), ("tpot_s", closed.tpot_s)):
        assert values[0] == pytest.approx(found[name].quantile(0.5), rel=0.1)
        assert values[1] == pytest.approx(found[name].quantile(0.9), rel=0.3)
