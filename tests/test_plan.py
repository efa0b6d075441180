"""The search against brute force, and laws of what fleets cost."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from costpertoken import tables
from costpertoken.answers import plan
from costpertoken.answers.offers import offers
from costpertoken.answers.plan import Rules, floor_usd_per_hour, placements, search, sized
from costpertoken.fleet.demand import Demand, best_slots, merged, of_rate
from costpertoken.fleet.station import Lengths
from costpertoken.fleet.steady import most_per_s, most_requests_per_s
from costpertoken.model.units import HOUR_S

LENGTHS = (Lengths(1000, 300, 0.0, 0.0, 1.0), Lengths(200, 100, 0.5, 1.0, 0.0), Lengths(3000, 50, 0.0, 0.5, 0.5))
BUDGET, TERMS = 8192, ("on-demand", "spot", "1y")
ONE = Rules(token_budget=BUDGET)
MODELS = ("llama-3.1-8b", "gemma-2-27b", "gpt-oss-20b")
MACHINES = ("h100-sxm", "l40s", "a100-80gb-sxm", "mi300x", "h200-sxm", "a10", "l4")
#: Replicas that brute force counts up to.
MOST = 300


@cache
def everything(kind: int) -> list:
    """All placements of a few models on a few machines, for one kind of lengths."""
    return list(placements(MODELS, MACHINES, LENGTHS[kind], token_budget=BUDGET))


@cache
def market() -> pd.DataFrame:
    """All that is on offer of those machines."""
    return offers(accelerators=MACHINES, terms=TERMS)


def problem(seed: int):
    """A few placements, offers, a demand for which the slowest placement needs a few replicas, and rules."""
    draw = np.random.default_rng([7, seed])
    kind = seed % len(LENGTHS)
    every = everything(kind)
    placed = [every[i] for i in draw.choice(len(every), 8, replace=False)]
    rows = market()
    there = sorted({deployed.accelerator.id for deployed, _ in placed})
    own = [rows[rows["accelerator_id"] == name] for name in there]
    offered = pd.concat(
        [at.iloc[draw.choice(len(at), min(len(at), 6), replace=False)] for at in own], ignore_index=True
    )
    rates = [most_per_s(at) for _, at in placed if at.slots >= 1]
    load = float(min(rates) * draw.uniform(0.05, 6.0))
    hours = load * np.repeat(draw.uniform(0.1, 2.0, 6), 4)
    levels, shares = merged(hours)
    limits = {
        "ttft_s": float(draw.choice([0.15, 0.5, 3.0, np.inf])),
        "tpot_s": float(draw.choice([0.01, 0.03, 0.1, np.inf])),
    }
    demand = Demand(
        lengths=LENGTHS[kind],
        levels_per_s=levels,
        time_shares=shares,
        hours_per_s=hours,
        share=float(draw.choice([0.5, 0.9])),
        **limits,
    )
    how = {"min_replicas": int(draw.integers(1, 5)), "spares": int(draw.integers(0, 3))}
    return placed, offered, demand, Rules(scaling=plan.SCALINGS[seed % 2], token_budget=BUDGET, **how)


def bill(offer, n: int, tp: int) -> float:
    """USD an hour of n replicas at one offer; infinite where one does not fit into its instance."""
    size = offer.n_accel
    if offer.instance and size < tp:
        return np.inf
    paid = size * np.ceil(n / (size // tp)) if offer.instance else n * tp
    return paid * offer.usd_per_useful_hour


def numbers(at, demand: Demand, rules: Rules) -> list[int]:
    """Replicas of a placement, one number or one an hour, counted up from the fewest allowed; empty where none is enough."""
    least = max(1, rules.min_replicas - rules.spares)
    if not at.slots >= 1:
        return []
    if rules.scaling == "fixed" and np.isnan(best_slots(at, demand, MOST)):
        return []
    if rules.scaling == "fixed":
        return [rules.spares + next(n for n in range(least, MOST + 1) if best_slots(at, demand, n) >= 1)]
    rate = most_requests_per_s(at, ttft_s=demand.ttft_s, tpot_s=demand.tpot_s, share=demand.share)[0]
    if np.isnan(rate):
        return []
    found = []
    for hour, now in enumerate(demand.hours_per_s):
        n, soon = least, demand.hours_per_s[(hour + 1) % len(demand.hours_per_s)]
        while n * rate < max(now, soon) * (1 - 1e-9):
            n += 1
        found.append(n + rules.spares)
    return found


def brute(placed, offered, demand: Demand, rules: Rules) -> list[float]:
    """The cheapest bill of every placement that has one, cheapest first: every offer and number of replicas tried."""
    bills = []
    for deployed, at in placed:
        counted = numbers(at, demand, rules)
        own = offered[offered["accelerator_id"] == deployed.accelerator.id].itertuples()
        tried = [np.mean([bill(offer, n, deployed.tp) for n in counted]) for offer in own if counted]
        bills += [min(tried)] if tried and min(tried) < np.inf else []
    return sorted(bills)


# ---- against brute force


@pytest.mark.parametrize("seed", range(60))
def test_search_is_brute_force(seed):
    placed, offered, demand, rules = problem(seed)
    by_hand = brute(placed, offered, demand, rules)
    for top in (1, 3, 20):
        found = search(placed, offered, demand, rules, top=top)
        assert [fleet.usd_per_hour for fleet in found] == pytest.approx(by_hand[:top])


def test_problems_are_of_all_kinds():
    found = [len(brute(*problem(seed))) for seed in range(0, 60, 2)]
    assert min(found) <= 3 and max(found) >= 7


@pytest.mark.parametrize("seed", range(60))
def test_no_fleet_is_cheaper_than_its_floor(seed):
    placed, offered, demand, rules = problem(seed)
    for deployed, at in placed:
        own = offered[offered["accelerator_id"] == deployed.accelerator.id]
        fleet = sized(deployed, at, own, demand, rules) if at.slots >= 1 else None
        if fleet:
            assert fleet.usd_per_hour >= floor_usd_per_hour(deployed, at, own, demand, rules) * (1 - 1e-12)


def test_a_fleet_that_scales_may_have_fewer_replicas_in_the_mean_than_its_mean_load_asks_for():
    """Half the time 0.9 of a replica's load, half 3.3: mean 2.1, which three carry; but one and four are 2.5 in the mean."""
    deployed, at = next(pair for pair in everything(0) if pair[1].slots >= 1)
    hours = most_per_s(at) * np.repeat([0.9, 3.3], 84)
    levels, shares = merged(hours)
    demand = Demand(lengths=LENGTHS[0], levels_per_s=levels, time_shares=shares, hours_per_s=hours)
    own = market().query("accelerator_id == @deployed.accelerator.id")
    rules = Rules(token_budget=8192, scaling="hourly")
    fleet = sized(deployed, at, own, demand, rules)
    assert fleet.paid_replicas == pytest.approx((83 * 1 + 85 * 4) / 168) and fleet.n_replicas == 4
    assert floor_usd_per_hour(deployed, at, own, demand, rules) <= fleet.usd_per_hour


@pytest.mark.parametrize("seed", range(40))
def test_what_is_left_unsized_is_never_among_the_cheapest(monkeypatch, seed):
    """Made-up floors, costs at or a little above them, some placements without a fleet or without room."""
    draw = np.random.default_rng([11, seed])
    n, top = int(draw.integers(1, 40)), int(draw.integers(1, 6))
    floors = np.round(draw.uniform(1.0, 9.0, n), 1)
    costs = floors * (1.0 + draw.choice([0.0, 0.02, 0.2, 3.0], n))
    costs[draw.random(n) < 0.2] = np.nan
    floors[draw.random(n) < 0.1] = np.inf
    unsized = []

    def size(deployed, which, *rest):
        unsized.remove(which)
        return None if np.isnan(costs[which]) else SimpleNamespace(usd_per_hour=costs[which])

    monkeypatch.setattr(plan, "floor_usd_per_hour", lambda deployed, which, *rest: floors[which])
    monkeypatch.setattr(plan, "sized", size)
    unsized += range(n)
    machine = SimpleNamespace(accelerator=SimpleNamespace(id="any"))
    found = search(
        [(machine, which) for which in range(n)], pd.DataFrame({"accelerator_id": ["any"]}), None, ONE, top=top
    )
    there = sorted(costs[np.isfinite(floors) & np.isfinite(costs)])
    assert [fleet.usd_per_hour for fleet in found] == there[:top]
    if len(there) >= top:
        assert all(floors[which] >= there[top - 1] for which in unsized)
        assert set(np.flatnonzero(floors > there[top - 1])) <= set(unsized), "the floors spare work"


# ---- what a fleet says of itself


def only(rate: float, *, rules=ONE, model="llama-3.1-8b", machine="h100-sxm", weights="fp8", tp=1, price=2.0, **how):
    """(the fleet of one placement at one price, its station, its demand)."""
    row = market().query("accelerator_id == @machine").iloc[:1]
    own = row.assign(instance="", value=price, usd_per_useful_hour=price)
    placed = [
        p for p in placements([model], [machine], LENGTHS[0], token_budget=BUDGET, formats=[weights]) if p[0].tp == tp
    ]
    demand = of_rate(rate, LENGTHS[0], **how)
    return search(placed, own, demand, rules)[0], placed[0][1], demand


def test_a_fleets_figures_agree():
    fleet, at, _ = only(200.0, peak_to_mean=1.5, tpot_s=0.03)
    assert fleet.usd_per_hour == pytest.approx(2.0 * fleet.n_replicas) and fleet.paid_replicas == fleet.n_replicas
    assert fleet.usd_per_month == pytest.approx(fleet.usd_per_hour * 730.0)
    assert fleet.usd_per_mtok == pytest.approx(fleet.usd_per_hour / (200.0 * 300 * 3600) * 1e6)
    assert fleet.utilisation == pytest.approx(200.0 / (fleet.n_replicas * most_per_s(at)))
    assert fleet.n_accelerators == pytest.approx(fleet.n_replicas)


def test_cost_diverges_as_the_load_goes():
    """One replica's bill is all there is: USD per million tokens times tokens is what it costs, whatever the load."""
    for rate in (1e-3, 1e-5, 1e-7):
        fleet, *_ = only(rate)
        assert fleet.n_replicas == 1 and fleet.usd_per_mtok * rate * 300 * HOUR_S / 1e6 == pytest.approx(2.0)


def test_cost_tends_to_the_saturated_cost_from_above():
    saturated = 2.0 / (most_per_s(only(1.0)[1]) * 300 * HOUR_S / 1e6)
    costs = [only(rate)[0].usd_per_mtok for rate in 30.7 * 4.0 ** np.arange(-3, 7)]
    over = np.array(costs) / saturated
    assert (over >= 1).all() and over[0] > 5 and over[-1] < 1.01


@pytest.mark.parametrize("seed", range(0, 24, 3))
def test_more_constraints_are_never_cheaper(seed):
    placed, offered, demand, rules = problem(seed)
    cheapest = (brute(placed, offered, demand, rules) or [np.inf])[0]

    def cost(placed=placed, offered=offered, rules=rules, **change) -> float:
        found = search(placed, offered, replace(demand, **change), rules, top=1)
        return found[0].usd_per_hour if found else np.inf

    harder = [
        cost(ttft_s=0.5 * min(demand.ttft_s, 2.0)),
        cost(tpot_s=0.7 * min(demand.tpot_s, 0.2)),
        cost(share=0.97),
        cost(rules=replace(rules, spares=rules.spares + 1)),
        cost(rules=replace(rules, min_replicas=rules.min_replicas + 2)),
        cost(placed=placed[:5]),
        cost(offered=offered.assign(usd_per_useful_hour=1.1 * offered["usd_per_useful_hour"])),
        cost(offered=offered.groupby("accelerator_id").tail(3)),
    ]
    assert min(harder) >= cheapest * (1 - 1e-12)


def test_following_the_load_is_never_dearer_where_hours_have_room():
    fixed, *_ = only(300.0, peak_to_mean=2.0)
    hourly, *_ = only(300.0, peak_to_mean=2.0, rules=Rules(token_budget=8192, scaling="hourly"))
    assert hourly.usd_per_hour < fixed.usd_per_hour and hourly.paid_replicas < hourly.n_replicas
    assert hourly.utilisation > fixed.utilisation


def test_spares_and_the_fewest_allowed():
    least, *_ = only(200.0)
    n = least.n_replicas
    assert only(200.0, rules=Rules(token_budget=8192, spares=2))[0].n_replicas == n + 2
    assert only(200.0, rules=Rules(token_budget=8192, min_replicas=n + 3))[0].n_replicas == n + 3
    # Spares are among them.
    assert only(200.0, rules=Rules(token_budget=8192, min_replicas=n + 3, spares=2))[0].n_replicas == n + 3
    assert only(200.0, rules=Rules(token_budget=8192, min_replicas=2, spares=5))[0].n_replicas == n + 5
    hourly, *_ = only(1e-3, rules=Rules(token_budget=8192, min_replicas=4, spares=1, scaling="hourly"))
    assert hourly.n_replicas == hourly.paid_replicas == 4


def test_whole_instances_are_billed():
    """A replica of two on an instance of eight: one replica pays for eight, and the dearer single one is cheaper."""
    deployed, at = next(
        p for p in everything(0) if p[0].accelerator.id == "h100-sxm" and p[0].tp == 2 and p[1].slots >= 1
    )
    row = market().query("accelerator_id == 'h100-sxm'").iloc[:1]
    eight = row.assign(instance="eight", n_accel=8.0, provider="eight", value=2.0, usd_per_useful_hour=2.0)
    apart = row.assign(instance="", n_accel=1.0, provider="apart", value=3.0, usd_per_useful_hour=3.0)
    both, most = pd.concat([eight, apart], ignore_index=True), most_per_s(at)
    cases = {0.5: ("apart", 6.0, 2), 1.5: ("apart", 12.0, 4), 2.5: ("eight", 16.0, 8), 4.5: ("eight", 32.0, 16)}
    for share, (provider, usd, n_accelerators) in cases.items():
        if share == 4.5:
            both = both[both["provider"] == "eight"]
        fleet = search([(deployed, at)], both, of_rate(share * most, LENGTHS[0]), Rules(token_budget=8192))[0]
        assert (fleet.offer["provider"], fleet.usd_per_hour) == (provider, pytest.approx(usd))
        assert fleet.n_accelerators == pytest.approx(n_accelerators)


def test_what_fits_nowhere_is_no_fleet():
    row = market().query("accelerator_id == 'h100-sxm'").iloc[:1].assign(instance="single", n_accel=1.0)
    wide = [p for p in everything(0) if p[0].accelerator.id == "h100-sxm" and p[0].tp > 1]
    assert search(wide, row, of_rate(1.0, LENGTHS[0]), Rules(token_budget=8192)) == []
    assert search(wide, market(), of_rate(1.0, LENGTHS[0], tpot_s=1e-5), Rules(token_budget=8192)) == []


def test_placements_are_all_of_them():
    made = list(placements(["llama-3.1-8b"], ["h100-sxm", "a100-80gb-sxm"], LENGTHS[0], token_budget=BUDGET))
    found = {(d.accelerator.id, d.precision.id.split("/")[0], int(d.tp)) for d, _ in made}
    assert found == {
        (*on, tp)
        for on in (("h100-sxm", "bf16"), ("h100-sxm", "fp8"), ("a100-80gb-sxm", "bf16"))
        for tp in (1, 2, 4, 8)
    }
    asked = placements(["llama-3.1-8b"], ["a100-80gb-sxm"], LENGTHS[0], token_budget=BUDGET, formats=["int4"])
    assert {d.precision.id.split("/")[0] for d, _ in asked} == {"int4"}


def test_requests_of_a_month():
    assert plan.requests_per_month(of_rate(2.0, LENGTHS[0], peak_to_mean=2.0)) == pytest.approx(2 * 3600 * 730)


# ---- against what was published


def test_the_published_penalty_of_idleness_lies_in_the_planners_range():
    """USD a token at 1 to 10 requests a second over the saturated one, on one kind of machine: 2.5 to 24 (arXiv 2606.11690)."""
    rows = tables.read("ownership").query("quantity == 'idle_penalty'").set_index("scope")["value"]
    printed = rows["moderate-load"], rows["light-load"]
    assert printed == (2.5, 24)
    places = [
        ("llama-3.1-8b", "bf16", 1),
        ("llama-3.1-8b", "fp8", 1),
        ("gpt-oss-20b", "mxfp4", 1),
        ("qwen3-30b-a3b", "fp8", 1),
        ("llama-3.1-70b", "fp8", 4),
        ("llama-3.1-70b", "bf16", 8),
    ]
    penalty = {rate: [] for rate in (1.0, 10.0)}
    for rate, found in penalty.items():
        for model, weights, tp in places:
            fleet, at, _ = only(rate, model=model, weights=weights, tp=tp)
            saturated = 2.0 * tp / (most_per_s(at) * 300 * HOUR_S / 1e6)
            found.append(fleet.usd_per_mtok / saturated)
    assert min(penalty[10.0]) <= printed[0] and max(penalty[1.0]) >= printed[1]
    assert max(penalty[10.0]) < max(penalty[1.0])
