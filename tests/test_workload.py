"""A reader's traffic: what a trace or a rate gives, one replica's latency, costs by load and limit, each against a hand sum."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from costpertoken import InputError
from costpertoken.answers import plan, planned, traffic, workload
from costpertoken.fleet.demand import mean_per_s, seconds
from costpertoken.fleet.station import Lengths, with_slots
from costpertoken.fleet.steady import most_per_s, steady

BURSTS = Path(__file__).with_name("traces") / "bursts.csv"
OF = Lengths(1000.0, 300.0, 0.0, 1.0, 1.0)
LIMITS = {"ttft_s": 1.0, "tpot_s": 0.05, "share": 0.9}
RULES = plan.Rules(token_budget=8192)
MODEL = "llama-3.1-8b"


@pytest.fixture(scope="module")
def offered():
    return workload.offered("DigitalOcean", "on-demand")


@pytest.fixture(scope="module")
def demand():
    return traffic.traffic("none", requests_per_s=20.0, of=OF, peak_to_mean=2.0, **LIMITS)[0]


@pytest.fixture(scope="module")
def placed(offered, demand):
    return list(plan.placements([MODEL], offered["accelerator_id"].unique(), demand.lengths, token_budget=8192))


@pytest.fixture(scope="module")
def best(placed, offered, demand):
    return plan.search(placed, offered, demand, RULES, top=1)[0]


def test_made_up_traffic_has_its_rate_and_its_peak(demand):
    found, period = traffic.load_over_time(demand, None)
    assert len(found) == 24 and period == "hour"
    assert np.isclose(found["requests_per_s"].mean(), 20.0) and np.isclose(found["requests_per_s"].max(), 40.0)


def test_a_trace_is_counted_whole():
    demand, trace = traffic.traffic(str(BURSTS), requests_per_s=1.0, of=OF, peak_to_mean=1.0, **LIMITS)
    rows = BURSTS.read_text().strip().split("\n")[1:]
    found, period = traffic.load_over_time(demand, trace)
    each_s = 3600 * found["hours"].iloc[1]
    assert period == "minute" and len(found) == 12 and np.isclose(12 * each_s, trace.arrival_s[-1])
    assert np.isclose((found["requests_per_s"] * each_s).sum(), len(rows))
    answers = np.array([int(row.split(",")[2]) for row in rows])
    sizes = traffic.lengths_of(demand, trace).set_index("what")
    assert np.isclose(sizes.at["Answer", "mean"], answers.mean())
    assert np.isclose(sizes.at["Answer", "cv"], answers.std() / answers.mean())
    assert sizes.at["Answer", "p50"] == np.median(answers)
    assert traffic.burstiness(trace) > 1.5


def test_a_day_of_a_long_trace_has_few_periods():
    _, trace = traffic.traffic(str(BURSTS), requests_per_s=1.0, of=OF, peak_to_mean=1.0, **LIMITS)
    for times, words in ((30.0, "ten minutes"), (500.0, "hour"), (5000.0, "4.21 hours")):
        long = replace(trace, arrival_s=trace.arrival_s * times)
        found, period = traffic.load_over_time(None, long)
        assert period == words and len(found) <= traffic.PERIODS
        assert np.isclose(found["requests_per_s"].mean(), trace.arrival_s.size / long.arrival_s[-1], rtol=0.1)


def test_quantiles_of_made_up_lengths():
    draw = np.random.default_rng(0)
    sigma = np.sqrt(np.log(2.0))
    drawn = draw.lognormal(np.log(300.0) - sigma**2 / 2, sigma, 400_000)
    for q in (0.5, 0.9, 0.99):
        assert np.isclose(traffic.lognormal_quantile(mean=300.0, cv=1.0, q=q), np.quantile(drawn, q), rtol=0.02)
    assert traffic.lognormal_quantile(mean=300.0, cv=0.0, q=0.9) == 300.0


def test_sellers():
    assert set(workload.offered("any", "on-demand")["cloud_class"]) == {"hyperscaler", "neocloud"}
    assert set(workload.offered("marketplace", "on-demand")["cloud_class"]) == {"marketplace"}
    assert set(workload.offered("DigitalOcean", "on-demand")["provider"]) == {"DigitalOcean"}
    with pytest.raises(InputError):
        workload.offered("DigitalOcean", "3y")


def test_the_largest_load_of_one_replica_is_where_a_limit_is_reached(best, demand):
    most, slots = workload.most_within(best, demand)
    at = with_slots(best.station, slots)
    found = steady(at, requests_per_s=most, shares=(0.9,))
    assert found.ttft_s[0] <= 1.0001 and found.tpot_s[0] <= 0.050005
    curve = workload.latency_by_load(best.station, demand, slots=slots, most=most)
    near = curve[np.isclose(curve["requests_per_s"], 0.9 * most)].set_index("what")["ms"]
    hand = steady(at, requests_per_s=0.9 * most, shares=(0.9,))
    assert np.isclose(near["TTFT"], 1000 * hand.ttft_s[0]) and np.isclose(near["TPOT"], 1000 * hand.tpot_s[0])
    assert (curve.groupby("what")["ms"].diff().dropna() > -1e-6).all()


def test_simulation_and_closed_form_agree_at_moderate_load(best, demand):
    most, slots = workload.most_within(best, demand)
    dots = workload.latency_simulated(best.deployment, demand, slots=slots, most=most, token_budget=8192)
    low = dots[np.isclose(dots["requests_per_s"], 0.6 * most)].set_index("what")["ms"]
    hand = steady(with_slots(best.station, slots), requests_per_s=0.6 * most, shares=(0.9,))
    assert np.isclose(low["TPOT"], 1000 * hand.tpot_s[0], rtol=0.25) and np.isclose(low["TTFT"], 1000 * hand.ttft_s[0], rtol=0.4)


def test_cost_far_below_one_replica_goes_with_the_inverse_of_the_load(placed, offered, demand):
    found = workload.by_load(placed, offered, demand, RULES, loads=[0.001, 0.01])
    cheapest = min(tp_rent(deployed, offered) for deployed, at in placed if at.slots >= 1)
    assert np.allclose(found["usd"], [cheapest / (load * 300 * 3600) * 1e6 for load in (0.001, 0.01)])
    assert (found["n_replicas"] == 1).all()


def tp_rent(deployed, offered) -> float:
    return deployed.tp * offered.loc[offered["accelerator_id"] == deployed.accelerator.id, "value"].min()


def test_a_tighter_limit_is_never_cheaper(placed, offered, demand):
    found = workload.by_tpot(placed, offered, demand, RULES, limits_s=[1e-5, 0.01, 0.02, 0.05, 0.2])
    assert len(found) == 4 and (found["usd"].diff().dropna() <= 1e-9).all()


def test_a_full_machine(best):
    rent, rate = 2.0, most_per_s(best.station)
    hand = best.deployment.tp * rent / (rate * 300 * 3600 / 1e6)
    assert np.isclose(workload.full_usd_per_mtok(best.deployment, best.station, rent), hand)


def test_no_fleet_is_cheaper_than_the_cheapest_full_machine(placed, offered, demand, best):
    floor, machine = workload.fullest(placed, offered)
    own = workload.full_usd_per_mtok(best.deployment, best.station, best.offer["usd_per_useful_hour"])
    assert floor <= own < best.usd_per_mtok
    assert machine in {workload.machine(deployed) for deployed, _ in placed}


def test_factors_multiply_to_the_cost(best, demand):
    found = workload.factors(best, demand, RULES)
    assert np.isclose(np.prod(list(found.values())), best.usd_per_mtok)
    assert np.isclose(found["peak"], 2.0) and found["latency"] >= 1.0
    most = workload.most_within(best, demand)[0]
    hand = best.n_replicas * best.deployment.tp * most / (40.0 * best.deployment.tp)  # whole instances aside
    assert np.isclose(found["whole"], hand * best.n_accelerators / (best.n_replicas * best.deployment.tp))
    assert workload.factors(best, demand, replace(RULES, scaling="hourly"))["peak"] == 1.0


def test_limits_that_nobody_keeps_are_loosened_by_the_least_margin(placed, offered, demand):
    tight = replace(demand, ttft_s=1e-4, tpot_s=0.05)
    found = workload.cheapest(placed, offered, tight, RULES, top=2)
    quick = workload.quickest(placed, tight)
    assert found.times.keys() == {"ttft_s"} and found.fleets
    assert found.demand.tpot_s == 0.05 and np.isclose(found.demand.ttft_s / quick["ttft_s"], workload.MARGINS).any()
    assert workload.cheapest(placed, offered, demand, RULES, top=2).times == {}
    kept = seconds(found.fleets[0].station, found.demand, n_replicas=found.fleets[0].n_replicas, slots=found.fleets[0].slots)
    assert kept["ttft_s"] <= found.demand.ttft_s * 1.001


def test_what_fits_nowhere_is_refused(offered, demand):
    small = list(plan.placements(["llama-3.1-405b"], ["l4"], demand.lengths, token_budget=8192))
    with pytest.raises(InputError, match="fits into no server"):
        workload.quickest(small, demand)


def test_the_first_of_the_list_are_replayed_and_stay_cheapest(placed, offered):
    bursts, trace = traffic.traffic(str(BURSTS), requests_per_s=1.0, of=OF, peak_to_mean=1.0, **LIMITS)
    bursts = replace(bursts, tpot_s=0.02)
    fleets = plan.search(placed, offered, bursts, RULES, top=5)
    pairs = workload.replayed_first(fleets, bursts, RULES, offered, trace, first=2)
    assert len(pairs) == len(fleets) and sum(done is not None for _, done in pairs) >= 2
    assert pairs[0][1] is not None and pairs[0][1].is_kept
    good = [fleet.usd_per_hour for fleet, done in pairs if done is None or done.is_kept]
    assert good == sorted(good)
    again = planned.confirmed(next(f for f in fleets if f.deployment == pairs[0][0].deployment), bursts, RULES, offered, trace)
    assert again.fleet.n_replicas == pairs[0][0].n_replicas


def test_a_cached_share_goes_with_a_trace_and_is_simulated(offered, demand):
    found, _ = traffic.traffic(str(BURSTS), requests_per_s=1.0, of=OF._replace(cached_share=0.8), peak_to_mean=1.0, **LIMITS)
    assert found.lengths.cached_share == 0.8 and found.lengths.input_tokens > 1200
    cached = replace(demand, lengths=OF._replace(cached_share=0.8))
    placed = list(plan.placements([MODEL], ["mi300x"], cached.lengths, token_budget=8192, formats=["fp8"]))[:1]
    shown = [workload.latency_simulated(placed[0][0], one, slots=32, most=5.0, token_budget=8192) for one in (demand, cached)]
    first = [frame[frame["what"] == "TTFT"]["ms"].iloc[0] for frame in shown]
    assert first[1] < 0.8 * first[0]


def test_ratios_in_words():
    assert workload.as_much(1.004) == "as much" and workload.as_much(1.5) == "1.50 times as much"


def test_one_thing_changed_is_the_fleet_sized_again(best, demand, offered):
    assert np.isclose(workload.changed(best, demand, RULES), best.usd_per_mtok)
    assert np.isclose(workload.changed(best, demand, RULES, rent=1.5), 1.5 * best.usd_per_mtok)
    rows = offered[offered["accelerator_id"] == best.deployment.accelerator.id]
    twice = plan.sized(best.deployment, best.station, rows, traffic.scaled(demand, 2.0), RULES)
    assert np.isclose(workload.changed(best, demand, RULES, load=2.0), twice.usd_per_mtok)
    assert workload.changed(best, demand, RULES, slower=2.0) >= best.usd_per_mtok
    assert np.isnan(workload.changed(best, demand, RULES, tpot=1e-6))


def test_peaks_are_moved_about_the_mean(demand):
    assert np.isclose(mean_per_s(traffic.peaked(demand, 0.5)), 20.0)
    assert np.isclose(traffic.peaked(demand, 0.5).levels_per_s.max(), 30.0)
    assert np.allclose(traffic.peaked(demand, 0.0).levels_per_s, 20.0)
    assert (traffic.peaked(demand, 3.0).levels_per_s > 0).all()
