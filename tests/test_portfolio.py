"""The portfolio: closed form, exhaustive search and laws."""

from itertools import product

import numpy as np
import pytest

from costpertoken.answers import portfolio as answers
from costpertoken.evidence import market
from costpertoken.fleet import capacity, portfolio, profiles
from costpertoken.fleet.capacity import Pool
from costpertoken.model.records import InputError

WEEK = np.ceil(8 * profiles.week(peak_to_mean=1.6, weekend_share=0.7) - 1e-9)
FAILS = {"evictions_per_hour": 0.2, "recovery_hours": 0.5, "together_share": 0.4}


def on_demand(usd=4.0, **changed):
    return Pool(**{"provider": "one", "term": "on-demand", "usd_per_hour": usd, **changed})


def committed(usd=2.0, **changed):
    return Pool(**{"provider": "one", "term": "3y", "usd_per_hour": usd, **changed})


def spot(usd=1.0, **changed):
    return Pool(**{"provider": "two", "term": "spot", "usd_per_hour": usd, **FAILS, **changed})


def solved(pools, target=1.0, hourly=WEEK, gap=1e-9):
    return portfolio.cheapest(hourly=hourly, pools=pools, target=target, gap=gap)


def test_on_demand_alone_costs_the_mean_load():
    assert solved([on_demand()]).usd_per_hour == pytest.approx(4.0 * WEEK.mean())


@pytest.mark.parametrize("ratio", [0.1, 0.35, 0.6, 0.8, 0.95])
def test_one_provider_is_the_newsvendor(ratio):
    found = solved([on_demand(), committed(4.0 * ratio)])
    units = portfolio.committed_units(hourly=WEEK, price_ratio=ratio)
    by_hand = 4.0 * ratio * units + 4.0 * np.maximum(WEEK - units, 0).mean()
    assert found.usd_per_hour == pytest.approx(by_hand)
    assert (
        by_hand
        <= min(4.0 * ratio * n + 4.0 * np.maximum(WEEK - n, 0).mean() for n in range(int(WEEK.max()) + 1)) + 1e-9
    )


def test_committed_units_by_hand():
    assert portfolio.committed_units(hourly=[1, 1, 2, 4], price_ratio=0.5) == 1  # used 4, 2, 1, 1 of four hours
    assert portfolio.committed_units(hourly=[1, 1, 2, 4], price_ratio=0.2) == 4


def brute(hourly, pools, target):
    """The cheapest of all mixes of one on-demand, one commitment and two spot pools, level by level, every one tried."""
    levels, counts = np.unique(hourly, return_counts=True)
    share = counts / counts.sum()
    out, down = (np.array([part(p) for p in pools]) for part in (capacity.out_share, capacity.down_share))
    states = list(product(*((0, 1) if q else (1,) for q in out)))
    chance = np.array([np.prod([(1 - q) if s else q for s, q in zip(state, out, strict=True)]) for state in states])
    up = np.array(states) * (1 - down)
    size, usd = (np.array([getattr(p, name) for p in pools]) for name in ("n_accel", "usd_per_hour"))
    fixed = next(i for i, p in enumerate(pools) if p.term == "3y")
    best = np.inf
    for n in range(int(np.ceil(levels.max() / size[fixed])) + 1):
        tops = [
            range(n, n + 1) if i == fixed else range(int(np.ceil(levels.max() / size[i])) + 2)
            for i in range(len(pools))
        ]
        mixes = np.array(list(product(*tops)))
        cost = (mixes * size * usd).sum(axis=1)
        held = (mixes * size) @ up.T
        fronts = []
        for level in levels:
            short = np.maximum(level - held, 0) @ chance
            whole = (mixes * size).sum(axis=1) >= level
            order = np.lexsort((short, cost))
            order = order[whole[order]]
            front, least = [], np.inf
            for at in order:
                if short[at] < least - 1e-12:
                    front.append((cost[at], short[at]))
                    least = short[at]
            fronts.append(front)
        allowed = (1 - target) * (levels @ share) + 1e-9
        for pick in product(*fronts):
            if sum(w * s for w, (_, s) in zip(share, pick, strict=True)) <= allowed:
                best = min(best, sum(w * c for w, (c, _) in zip(share, pick, strict=True)))
    return best


@pytest.mark.parametrize("seed", range(36))
def test_exhaustive_search_finds_nothing_cheaper(seed):
    rng = np.random.default_rng(seed)
    hourly = rng.integers(1, 5, size=rng.integers(2, 4))
    fails = [
        dict(zip(FAILS, (rng.uniform(0.05, 0.5), rng.uniform(0.1, 1.0), rng.uniform(0.3, 1.0)), strict=True))
        for _ in "12"
    ]
    pools = [on_demand(n_accel=int(rng.integers(1, 3))), committed(rng.uniform(1.5, 3.5))]
    pools += [spot(rng.uniform(0.8, 2.5), provider=f"spot {i}", **fail) for i, fail in enumerate(fails)]
    target = float(rng.choice([0.9, 0.97, 0.995]))
    found = solved(pools, target, hourly)
    assert found.usd_per_hour == pytest.approx(brute(hourly, pools, target), rel=1e-6)
    assert found.served_share >= target - 1e-6


MIXED = [on_demand(), committed(2.6), spot(1.0), spot(1.4, provider="three")]


def test_a_higher_target_is_never_cheaper():
    bills = [solved(MIXED, target, gap=1e-6).usd_per_hour for target in (0.9, 0.99, 0.999, 1.0)]
    assert bills == sorted(bills) and bills[0] < bills[-1]


def test_one_more_provider_is_never_dearer():
    assert (
        solved(MIXED, 0.99).usd_per_hour <= solved(MIXED[:3], 0.99).usd_per_hour <= solved(MIXED[:2], 0.99).usd_per_hour
    )


def test_spot_without_evictions_takes_everything():
    found = solved([on_demand(), committed(2.6), spot(1.0, evictions_per_hour=0.0)])
    assert found.by_term_usd_per_hour == pytest.approx({"on-demand": 0.0, "3y": 0.0, "spot": WEEK.mean()})


def test_prices_scale_the_bill():
    dearer = [Pool(**{**vars(pool), "usd_per_hour": 3 * pool.usd_per_hour}) for pool in MIXED]
    assert solved(dearer, 0.99).usd_per_hour == pytest.approx(3 * solved(MIXED, 0.99).usd_per_hour, rel=1e-6)


def test_the_bill_is_the_sum_of_its_terms():
    found = solved(MIXED, 0.99)
    assert sum(found.by_term_usd_per_hour.values()) == pytest.approx(found.usd_per_hour)
    assert found.served_share >= 0.99 - 1e-6 and "availability" in found.binding


def test_two_spot_pools_by_hand():
    together = {**FAILS, "together_share": 1.0}
    q = 0.2 * 0.5 / (1 + 0.2 * 0.5)
    pools = [spot(1.0, **together), spot(1.0, provider="three", **together)]
    found = solved(pools, 1 - q**2, hourly=[4.0])
    assert found.served_share == pytest.approx(1 - q**2)
    assert found.usd_per_hour == pytest.approx(8.0)


def test_no_hour_is_planned_short():
    found = solved(MIXED, 0.9)
    held = np.array([pool.n_accel for pool in MIXED]) @ found.instances
    assert (held >= found.load.accelerators).all()
    assert solved([on_demand()], 0.5).usd_per_hour == pytest.approx(4.0 * WEEK.mean())


def test_rare_scenarios_taken_together_cost_next_to_nothing(monkeypatch):
    pools = [*MIXED, spot(1.2, provider="four", n_accel=2), spot(1.6, provider="five")]
    short = [4.0, 6.0, 6.0, 9.0]
    merged = solved(pools, 0.995, hourly=short, gap=1e-6)
    monkeypatch.setattr(portfolio, "RARE", 0.0)
    full = solved(pools, 0.995, hourly=short, gap=1e-6)
    assert full.usd_per_hour <= merged.usd_per_hour * (1 + 1e-6) <= 1.01 * full.usd_per_hour


def test_the_solver_prints_nothing(capfd):
    solved(MIXED, 0.995)
    assert capfd.readouterr().out == ""


def test_limits_hold_and_are_named():
    found = solved([on_demand(2.0, most=3.0), on_demand(5.0, provider="two")])
    assert found.instances[0].max() == 3 and "limit of one on-demand" in found.binding
    assert found.usd_per_hour == pytest.approx(2 * np.minimum(WEEK, 3).mean() + 5 * np.maximum(WEEK - 3, 0).mean())


def test_what_cannot_be_met_says_what_is_short():
    with pytest.raises(InputError, match=r"out of reach by .*; they have 3 accelerators where the peak needs 13"):
        solved([on_demand(most=3.0)], 0.99)
    with pytest.raises(InputError, match="at least one"):
        solved([])
    with pytest.raises(InputError, match="out of reach"):
        solved([spot()], 0.99999)


def test_dominated_pools_change_nothing():
    more = [
        *MIXED,
        on_demand(4.5, provider="dear"),
        committed(4.2),
        spot(4.4, provider="dear"),
        on_demand(4.0, n_accel=8),
    ]
    assert set(capacity.undominated(more)) == set(MIXED)
    assert solved(capacity.undominated(more), 0.99).usd_per_hour == pytest.approx(solved(more, 0.99).usd_per_hour)


def test_a_limited_pool_dominates_nothing():
    few, many = on_demand(2.0, most=3.0), on_demand(3.0, provider="two")
    assert set(capacity.undominated([few, many])) == {few, many}


def test_fractions_of_machines_are_never_dearer():
    parts = portfolio.cheapest(hourly=WEEK, pools=MIXED, target=0.99, whole=False)
    assert 0.9 * solved(MIXED, 0.99).usd_per_hour < parts.usd_per_hour <= solved(MIXED, 0.99).usd_per_hour
    assert parts.served_share >= 0.99 - 1e-6


CASE = market.Case(accelerator_id="h100-sxm")


def test_pools_of_offers_by_hand():
    found = {capacity.name(pool): pool for pool in market.pools(CASE)}
    assert found["GCP us-central1 3y"].usd_per_hour == pytest.approx(4.858)
    assert found["AWS us-east-1 on-demand"].evictions_per_hour == 0
    assert found["Azure spot"].evictions_per_hour == 0.02 and found["Azure spot"].n_accel == 8
    assert not any(
        pool.provider == "Vast.ai" for pool in market.pools(market.Case(accelerator_id="h100-sxm", sellers="both"))
    )


def test_spot_prices_move_by_their_factor():
    dearer = {
        capacity.name(pool): pool for pool in market.pools(market.Case(accelerator_id="h100-sxm", spot_factor=1.5))
    }
    assert dearer["Azure spot"].usd_per_hour == pytest.approx(1.5 * 2.2713)
    assert dearer["GCP us-central1 3y"].usd_per_hour == pytest.approx(4.858)


def test_falling_rents_make_commitments_dearer():
    fall = market.Case(accelerator_id="h100-sxm", fall_per_year=0.2)
    usd = {capacity.name(pool): pool.usd_per_hour for pool in market.pools(fall)}["GCP us-central1 3y"]
    mean = -(1 - 0.8**3) / np.log(0.8) / 3  # of 0.8 ** t over three years
    assert usd == pytest.approx(4.858 / mean)


def test_several_sellers_never_cost_more_than_one():
    alone = market.singles(CASE)
    assert market.plan(CASE).usd_per_hour <= alone["usd_per_hour"].min() * (1 + market.GAP)
    assert market.saving(CASE) == pytest.approx(
        100 * (1 - market.plan(CASE).usd_per_hour / alone["usd_per_hour"].min())
    )


@pytest.mark.parametrize("sellers", ["hyperscalers", "both"])
def test_the_best_single_seller_is_the_first_of_all(sellers):
    case = market.Case(accelerator_id="h100-sxm", sellers=sellers, mean_replicas=3.0)
    assert market.best_single(case) == tuple(market.singles(case).iloc[0])


def test_the_duration_curve_holds_what_is_held():
    found = market.plan(CASE)
    areas = (
        answers.stacked(found).eval("(end - start) * (high - low)").groupby(answers.stacked(found)["term"]).sum() / 100
    )
    sizes = np.array([pool.n_accel for pool in found.pools])[:, None]
    assert areas.sum() == pytest.approx(float((sizes * found.instances @ np.array(found.load.share)).sum()))
    assert answers.held(found)["bill"].sum() == pytest.approx(100)


def test_prices_by_target_sum_to_the_bill():
    lines = answers.by_target(CASE, [0.99])
    found = market.plan(market.Case(accelerator_id="h100-sxm", target=0.99))
    assert lines["usd"].sum() == pytest.approx(answers.per_needed_hour(found))
