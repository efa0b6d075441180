"""What is said of a planned fleet: intervals, what binds, what replays show, and why there is none."""

import json
import re
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from test_plan import LENGTHS, ONE, only

from costpertoken.answers import planned
from costpertoken.answers.plan import Rules, placements, search
from costpertoken.answers.planned import ceiling, confirmed, described, fewest_by, interval, what_binds, why_none
from costpertoken.evidence.uncertain import cost_interval
from costpertoken.fleet.arrivals import synthetic
from costpertoken.fleet.demand import limits, of_rate, of_trace, seconds
from costpertoken.fleet.station import with_slots
from costpertoken.fleet.steady import most_per_s, steady
from costpertoken.model.roofline import BOUNDS, binding
from costpertoken.model.serving import serve
from costpertoken.tables.shelf import latest_day

TRAFFIC = {"input_tokens": {"mean": 1000, "cv": 0.0}, "output_tokens": {"mean": 300, "cv": 1.0}}


def offered(fleet) -> pd.DataFrame:
    """The fleet's offer as the only one."""
    return pd.DataFrame([fleet.offer])


# ---- the interval


@pytest.mark.parametrize("asked", [{}, {"tpot_s": 0.02}, {"ttft_s": 0.1}, {"rules": Rules(token_budget=8192, scaling="hourly")}])
def test_interval_holds_the_value(asked):
    fleet, _, demand = only(300.0, peak_to_mean=1.5, **asked)
    ends, value = interval(fleet, demand, asked.get("rules", ONE)), fleet.usd_per_mtok
    assert ends["low"] <= ends["model_low"] <= value <= ends["model_high"] <= ends["high"]
    assert ends["low"] <= ends["price_low"] <= value <= ends["price_high"] <= ends["high"]


def test_interval_widens_with_the_models(monkeypatch):
    fleet, _, demand = only(300.0, tpot_s=0.03)
    found = []
    for factors in ((1.0, 1.0), (0.9, 1.1), (0.7, 1.5), (0.5, 3.0), (0.5, 50.0)):
        monkeypatch.setattr(planned, "cost_interval", lambda *names, factors=factors, backlog: (factors, "supported"))
        found.append(interval(fleet, demand, ONE))
    for part in ("model_", ""):
        assert (np.diff([ends[f"{part}low"] for ends in found]) <= 0).all() and found[3][f"{part}low"] < found[0][
            f"{part}low"
        ]
        assert (np.diff([ends[f"{part}high"] for ends in found[:4]]) > 0).all()
        assert np.isinf(found[4][f"{part}high"]), "where no number of replicas keeps the limits at the slow end"
    assert len({(ends["price_low"], ends["price_high"]) for ends in found}) == 1
    assert found[0]["model_low"] == found[0]["model_high"] == fleet.usd_per_mtok
    assert (found[0]["low"], found[0]["high"]) == pytest.approx((found[0]["price_low"], found[0]["price_high"]))


def test_interval_of_a_large_fleet_without_limits_is_the_steps():
    fleet, _, demand = only(20_000.0)
    low, high = cost_interval("h100-sxm", "llama-3.1-8b", fleet.deployment.engine, backlog=False)[0]
    ends = interval(fleet, demand, ONE)
    assert ends["model_low"] / fleet.usd_per_mtok == pytest.approx(low, rel=0.01)
    assert ends["model_high"] / fleet.usd_per_mtok == pytest.approx(high, rel=0.01)


# ---- what binds


def binds(rate: float, **asked) -> str:
    """What binds the fleet of one placement."""
    fleet, _, demand = only(rate, **asked)
    return what_binds(fleet, demand, asked.get("rules", ONE))


def test_what_binds_by_construction():
    assert binds(200.0, tpot_s=0.012, ttft_s=10.0) == "TPOT"
    assert binds(200.0, ttft_s=0.045, tpot_s=0.5) == "TTFT"
    assert binds(200.0, tpot_s=0.012) == "TPOT" and binds(200.0, ttft_s=0.045) == "TTFT"
    assert binds(0.01, tpot_s=0.012, ttft_s=1.0) == binds(0.01) == "whole replicas"
    assert binds(0.01, rules=Rules(token_budget=8192, spares=3)) == "whole replicas"
    assert (
        binds(0.01, rules=Rules(token_budget=8192, min_replicas=3))
        == binds(200.0, rules=Rules(token_budget=8192, min_replicas=40, spares=2))
        == "min replicas"
    )
    assert binds(0.01, rules=Rules(token_budget=8192, min_replicas=2, spares=1)) == "whole replicas"  # the spare is the second


def test_without_limits_the_step_binds():
    fleet, at, demand = only(2000.0)
    full = serve(fleet.deployment, input_tokens=1000, output_tokens=300, concurrency=float(at.slots)).step
    assert what_binds(fleet, demand, ONE) == f"{BOUNDS[int(binding(full))]} of a full batch"


def test_a_cached_prompt_is_not_multiplied_again():
    """Long prompts and one-token answers bind by compute; where all but a thousandth is in the cache, by memory."""
    found = {}
    for hit in (0.0, 0.998):
        of = LENGTHS[0]._replace(input_tokens=4000, output_tokens=20, cached_share=hit, output_cv=0.0)
        placed = placements(["llama-3.1-8b"], ["h100-sxm"], of, token_budget=8192, formats=["fp8"])
        fleet = search(list(placed)[:1], offered(only(1.0)[0]), of_rate(20_000.0, of), ONE)[0]
        found[hit] = what_binds(fleet, of_rate(20_000.0, of), ONE)
    assert found == {0.0: "compute of a full batch", 0.998: "memory of a full batch"}


# ---- replays


def traffic(**load):
    """A trace of 300 seconds, its demand under limits, and the fleet that the closed form asks for."""
    trace = synthetic(n_requests=24_000, seed=2, rate_per_s=80.0, **TRAFFIC, **load)
    demand = of_trace(trace, ttft_s=0.1, tpot_s=0.012)
    first, at, _ = only(1.0)
    return trace, demand, search([(first.deployment, at)], offered(first), demand, ONE)[0]


def test_a_poisson_trace_is_near_the_closed_form():
    trace, demand, fleet = traffic()
    found = confirmed(fleet, demand, ONE, offered(fleet), trace)
    assert found.is_kept and abs(found.fleet.n_replicas - fleet.n_replicas) <= 1
    assert found.first_replicas == fleet.n_replicas and found.ttft_s <= 0.1 and found.tpot_s <= 0.012
    made = confirmed(fleet, demand, ONE, offered(fleet))  # of made-up requests, which are Poisson too
    assert made.is_kept and abs(made.fleet.n_replicas - fleet.n_replicas) <= 1


def test_a_bursty_trace_needs_more():
    trace, demand, fleet = traffic(arrivals="bursty", burstiness=8.0)
    found = confirmed(fleet, demand, ONE, offered(fleet), trace)
    assert found.is_kept and found.fleet.n_replicas > fleet.n_replicas
    assert found.fleet.usd_per_hour == pytest.approx(fleet.usd_per_hour * found.fleet.n_replicas / fleet.n_replicas)
    good, seen = planned.replay(fleet, demand, ONE, trace, found.fleet.n_replicas)
    assert good and (seen["ttft_s"] <= 0.1).mean() >= 0.9 and (seen["tpot_s"].fillna(0) <= 0.012).mean() >= 0.9
    assert seen["ttft_s"].quantile(0.9) == found.ttft_s and len(seen) == found.n_requests
    assert not planned.replay(fleet, demand, ONE, trace, found.fleet.n_replicas - 1)[0]


@pytest.mark.parametrize("asked", [{}, {"tpot_s": 0.05}, {"ttft_s": 5.0}])
def test_too_few_are_never_enough_limits_or_not(asked):
    """A replay of so many requests ends, and with it a queue that would grow for ever."""
    fleet, at, demand = only(100.0, peak_to_mean=2.0, machine="l40s", **asked)
    found = confirmed(fleet, demand, ONE, offered(fleet)).fleet
    assert found.n_replicas >= demand.levels_per_s.max() / most_per_s(at) and found.utilisation < 1
    assert np.isfinite(list(seconds(at, demand, n_replicas=found.n_replicas, slots=at.slots).values())).all()


def test_a_replay_finds_in_the_cache_what_the_closed_form_does():
    of = LENGTHS[0]._replace(input_tokens=4000.0, cached_share=0.9)
    placed = list(placements(["llama-3.1-8b"], ["h100-sxm"], of, token_budget=8192, formats=["fp8"]))[:1]
    rows, demand = offered(only(1.0)[0]), of_rate(60.0, of, ttft_s=0.2, tpot_s=0.02)
    fleet = search(placed, rows, demand, ONE)[0]
    found = confirmed(fleet, demand, ONE, rows)
    assert found.is_kept and abs(found.fleet.n_replicas - fleet.n_replicas) <= 1
    uncached = replace(demand, lengths=of._replace(cached_share=0.0))
    assert confirmed(fleet, uncached, ONE, rows).fleet.n_replicas > found.fleet.n_replicas


def test_spares_are_not_replayed():
    rules = Rules(token_budget=8192, spares=2)
    fleet, _, demand = only(40.0, rules=rules, tpot_s=0.012, ttft_s=0.2)
    bare, _, _ = only(40.0, tpot_s=0.012, ttft_s=0.2)
    with_spares, without = (confirmed(at, demand, how, offered(at)) for at, how in ((fleet, rules), (bare, ONE)))
    assert with_spares.fleet.n_replicas == without.fleet.n_replicas + 2
    assert (with_spares.ttft_s, with_spares.tpot_s) == (without.ttft_s, without.tpot_s)


def test_a_fleet_that_scales_grows_in_every_hour(monkeypatch):
    rules = Rules(token_budget=8192, scaling="hourly")
    fleet, _, demand = only(100.0, rules=rules, peak_to_mean=1.5, tpot_s=0.012)
    first = fleet.n_replicas

    def failing(fleet, demand, rules, trace, n):
        return n > first, pd.DataFrame({"ttft_s": [1.0], "tpot_s": [1.0]})

    monkeypatch.setattr(planned, "replay", failing)
    found = confirmed(fleet, demand, rules, offered(fleet))
    assert found.is_kept and found.fleet.n_replicas == first + 1 and found.first_replicas == first
    grown = found.fleet.paid_replicas / fleet.paid_replicas
    assert 1.0 < grown < (first + 1) / first + 1 / fleet.paid_replicas  # whole replicas in each hour


@pytest.mark.parametrize(
    ("first", "least", "needed", "expected"),
    [
        (5, 1, 5, (5, True)),
        (5, 1, 3, (3, True)),
        (5, 4, 1, (4, True)),
        (5, 1, 7, (7, True)),
        (5, 1, 100, (100, True)),
        (5, 1, 10**9, (260, False)),  # eight tries that double
        (64, 1, 61, (64, True)),  # by steps of four
        (64, 1, 66, (68, True)),
        (1, 1, 1, (1, True)),
    ],
)
def test_fewest_by_replay(first, least, needed, expected):
    tried = []

    def replay(n: int) -> tuple[bool, int]:
        tried.append(n)
        return n >= needed, n

    n, good, found = fewest_by(replay, first, least)
    assert (n, good) == expected and found == n and min(tried) >= least and len(tried) == len(set(tried)) <= 15


def test_more_are_confirmed_while_they_look_cheaper(monkeypatch):
    fleet, _, demand = only(40.0)
    fleets = [
        replace(fleet, usd_per_hour=usd, n_replicas=n) for n, usd in enumerate((1.0, 2.0, 3.0, 4.0, 9.0), start=1)
    ]
    dearer = {1: 3.5, 2: 5.0, 3: 3.2, 4: 4.0, 5: 9.0}

    def made(fleet, *rest):
        at = replace(fleet, usd_per_hour=dearer[fleet.n_replicas])
        sizes = {"n_requests": 1, "n_replayed": 1, "first_replicas": fleet.n_replicas}
        return planned.Confirmed(fleet=at, ttft_s=0.0, tpot_s=0.0, is_kept=fleet.n_replicas != 1, **sizes)

    monkeypatch.setattr(planned, "confirmed", made)

    def how_many(at_least: int) -> int:
        return len(planned.replays(fleets, demand, ONE, offered(fleet), None, at_least=at_least))

    assert [how_many(n) for n in (1, 2, 4, 5)] == [3, 3, 4, 5]
    monkeypatch.setattr(planned, "PATIENCE", 1)
    assert how_many(1) == 2


# ---- as plain numbers


def test_described_is_plain_and_agrees():
    rules = Rules(token_budget=8192, spares=1)
    fleet, at, demand = only(100.0, rules=rules, tpot_s=0.02, ttft_s=0.5)
    replay = confirmed(fleet, demand, rules, offered(fleet))
    found = described(replay.fleet, demand, rules, on=date(2030, 1, 1), replay=replay)
    assert json.loads(json.dumps(found)) == found and found["price_is_stale"] is True
    kept = seconds(at, demand, n_replicas=replay.fleet.n_replicas - 1, slots=replay.fleet.slots)
    assert (found["ttft_s"], found["tpot_s"]) == (kept["ttft_s"], kept["tpot_s"])
    assert found["ttft_s"] <= 0.5 and found["tpot_s"] <= 0.02 and found["simulated"]["is_kept"] is True
    assert found["usd_per_mtok_low"] <= found["usd_per_mtok"] <= found["usd_per_mtok_high"]
    assert (found["model"], found["accelerator"], found["weights"], found["tp"]) == (
        "llama-3.1-8b",
        "h100-sxm",
        "fp8",
        1,
    )
    assert found["simulated"]["n_replicas_of_closed_form"] == fleet.n_replicas and found["support"] == "supported"
    fresh = described(fleet, demand, rules, on=latest_day(fleet.offer["as_of"]))
    assert fresh["price_is_stale"] is False and fresh["simulated"] is None


def test_seconds_of_a_fleet_that_scales_are_those_of_its_busiest_hour():
    rules = Rules(token_budget=8192, scaling="hourly")
    fleet, at, demand = only(300.0, rules=rules, peak_to_mean=2.0, tpot_s=0.02, ttft_s=0.5)
    found = described(fleet, demand, rules, on=date(2026, 6, 1), replay=confirmed(fleet, demand, rules, offered(fleet)))
    busiest = steady(with_slots(at, fleet.slots), requests_per_s=600.0 / fleet.n_replicas, shares=(0.9,))
    assert found["ttft_s"] == pytest.approx(busiest.ttft_s[0], rel=1e-3)
    assert found["tpot_s"] == pytest.approx(busiest.tpot_s[0], rel=1e-3) and found["tpot_s"] <= 0.02
    assert found["simulated"]["tpot_s"] == pytest.approx(found["tpot_s"], rel=0.35)


# ---- why there is none


MACHINES = ("h100-sxm", "l40s")


def none_of(**asked) -> tuple[list, str]:
    """Placements, and why none of them keeps the limits."""
    placed = list(placements(["llama-3.1-8b", "gpt-oss-20b"], MACHINES, LENGTHS[0], token_budget=8192))
    return placed, why_none(placed, of_rate(10.0, LENGTHS[0], **asked))


@pytest.mark.parametrize(
    "asked",
    [{"tpot_s": 0.0002}, {"ttft_s": 0.01}, {"tpot_s": 0.0005, "ttft_s": 0.02}, {"tpot_s": 0.001, "share": 0.99}],
)
def test_the_nearest_that_is_named_is_feasible(asked):
    placed, sentence = none_of(**asked)
    market = pd.concat([offered(only(1.0)[0]).assign(accelerator_id=name) for name in MACHINES], ignore_index=True)
    assert search(placed, market, of_rate(1e-6, LENGTHS[0], **asked), ONE) == []
    named = {f"{name}_s": float(ms) / 1e3 for name, ms in re.findall(r"--(ttft|tpot)-ms ([\d.]+)", sentence)}
    assert named and set(named) <= set(asked) and all(named[name] > asked[name] for name in named)
    assert search(placed, market, of_rate(1e-6, LENGTHS[0], **(asked | named)), ONE)
    tighter = {name: 0.98 * limit for name, limit in named.items()}
    if len(asked) == 1:
        assert search(placed, market, of_rate(1e-6, LENGTHS[0], **(asked | tighter)), ONE) == []
    for name, limit in named.items():
        factor = float(re.search(rf"{name[:4].upper()} is .*?([\d.]+) times the limit", sentence)[1])
        assert (
            factor == pytest.approx(limit / asked[name], rel=0.02)
            and f"{1e3 * asked[name]:,.3g} ms are asked" in sentence
        )


def test_the_sentence_names_limit_share_and_place():
    _, sentence = none_of(tpot_s=0.0002, ttft_s=5.0)
    assert sentence.startswith(
        "no deployment keeps the limits for 90% of the requests, even with hardly any load: nearest is "
    )
    assert re.search(r"nearest is (llama-3.1-8b|gpt-oss-20b) at \w+ on \d x (h100-sxm|l40s), whose TPOT is ", sentence)
    assert "TTFT" not in sentence and "--ttft-ms" not in sentence


def test_nothing_fits_says_what_was_needed():
    placed = [
        pair
        for pair in placements(["llama-3.1-70b"], ["l4"], LENGTHS[0], token_budget=8192, formats=["bf16"])
        if pair[0].tp < 8
    ]
    sentence = why_none(placed, of_rate(1.0, LENGTHS[0]))
    assert (
        sentence.startswith("nothing fits; the last that was tried: llama-3.1-70b at bf16 on 4 x l4: ")
        and "GB" in sentence
    )


def test_seconds_of_hardly_any_load_are_those_of_one_request():
    _, at, _ = only(1.0)
    quiet = of_rate(1e-7, LENGTHS[0], share=0.9)
    found, alone = seconds(at, quiet, n_replicas=1, slots=at.slots), steady(at, requests_per_s=1e-7, shares=(0.9,))
    assert found["ttft_s"] == pytest.approx(alone.ttft_s[0], rel=1e-3)
    assert found["tpot_s"] == pytest.approx(alone.tpot_s[0], rel=1e-3)


@pytest.mark.parametrize("value", [0.00012345, 1.0, 12.31, 99.95, 123.0, 123.4, 98765.4])
def test_ceiling_is_no_less_and_hardly_more(value):
    assert value * (1 - 1e-9) <= float(ceiling(value)) <= 1.0101 * value
    assert limits(ttft_s=float(ceiling(value)))["ttft_s"] >= value * (1 - 1e-9)


def test_ceiling_by_hand():
    assert [ceiling(value) for value in (12.31, 12.3, 123.4, 1234.0, 0.004561)] == [
        "12.4",
        "12.3",
        "124",
        "1240",
        "0.00457",
    ]
