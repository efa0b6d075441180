"""One configuration at one load: Little's law, replicas, the best degree by trying all, ranges taken apart again."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from costpertoken import tables
from costpertoken.answers import estimate as one
from costpertoken.model.records import InputError, Price, Workload
from costpertoken.money.cost import allocate

PRICE = Price(usd_per_hour=2.0, low=1.0, high=5.0)
REQUEST = Workload(input_tokens=1000, output_tokens=500)
DEPLOYED = one.deployment("llama-3.1-8b", "h100-sxm", weights="fp8")
MOST = one.requests_at_most(DEPLOYED, REQUEST)
loads = st.floats(0.002, 8).map(lambda share: share * MOST)


# ---- an offered load


@drawn(loads)
@settings(max_examples=40, deadline=None)
def test_littles_law(load):
    """Requests in flight are requests per second times the seconds that one takes."""
    workload, replicas, busy = one.at_load(DEPLOYED, REQUEST, load)
    out = one.serve_workload(DEPLOYED, workload)
    stay_s = REQUEST.output_tokens * float(
        out.step.step_s
    )  # TPOT leaves out what of the prompts a request does not wait for
    assert workload.concurrency == pytest.approx(load / replicas / busy * stay_s)


@drawn(loads)
@settings(max_examples=40, deadline=None)
def test_the_load_is_carried(load):
    workload, replicas, busy = one.at_load(DEPLOYED, REQUEST, load)
    single = float(one.serve_workload(DEPLOYED, workload).requests_per_s)
    assert replicas * single * busy == pytest.approx(load)
    assert 0 < busy <= 1 and (busy == pytest.approx(1) or workload.concurrency == 1)


@drawn(loads)
@settings(max_examples=40, deadline=None)
def test_no_replica_too_many(load):
    _, replicas, _ = one.at_load(DEPLOYED, REQUEST, load)
    assert load <= replicas * MOST * (1 + 1e-6)
    assert replicas == 1 or load > (replicas - 1) * MOST


def test_whole_replicas_are_not_rounded_up():
    assert [one.at_load(DEPLOYED, REQUEST, n * MOST)[1] for n in (1, 3, 7)] == [1, 3, 7]


def test_a_trickle_has_one_request_in_flight():
    workload, replicas, busy = one.at_load(DEPLOYED, REQUEST, 0.01 * MOST / 100)
    assert (workload.concurrency, replicas) == (1.0, 1) and busy < 0.1


@drawn(loads)
@settings(max_examples=20, deadline=None)
def test_tokens_of_the_load_pay_for_all_replicas(load):
    result = one.estimate(DEPLOYED, REQUEST, PRICE, requests_per_s=load)
    cost, hour = result.cost, load * 3600 / 1e6
    paid = hour * (1000 * float(cost.input_usd_per_mtok) + 500 * float(cost.output_usd_per_mtok))
    assert paid == pytest.approx(result.n_replicas * PRICE.usd_per_hour)


@drawn(st.floats(0.01, 1), st.floats(1.05, 20))
@settings(max_examples=20, deadline=None)
def test_a_busier_replica_makes_cheaper_tokens(share, factor):
    busy, idle = (one.estimate(DEPLOYED, REQUEST, PRICE, requests_per_s=share * MOST / f) for f in (1, factor))
    assert one.ranges(busy)["value"] < one.ranges(idle)["value"]


# ---- the best degree


@pytest.mark.parametrize("model_id", ["llama-3.1-8b", "llama-3.1-70b", "qwen2.5-7b", "deepseek-v3", "gpt-oss-120b"])
@pytest.mark.parametrize("accelerator_id", ["h100-sxm", "l40s", "mi300x", "h200-sxm", "epyc-9965"])
@pytest.mark.parametrize("concurrency", [None, 1.0, 32.0])
def test_best_degree_is_the_cheapest_of_all(model_id, accelerator_id, concurrency):
    asked, placed = replace(REQUEST, concurrency=concurrency), one.deployment(model_id, accelerator_id)
    costs = {}
    for tp in one.degrees_of(placed):
        out = one.serve_workload(replace(placed, tp=tp), asked)
        if int(out.status) == 0:
            costs[tp] = float(allocate(out, usd_per_hour=1.0, allocation="output-only").output_usd_per_mtok)
    expected = min(costs, key=costs.get) if costs else one.degrees_of(placed)[0]
    assert one.best_tp(placed, asked) == expected


@pytest.mark.parametrize(
    ("model_id", "accelerator_id", "degrees"),
    [
        ("llama-3.1-8b", "h100-sxm", [1, 2, 4, 8]),  # 32 heads
        ("qwen2.5-7b", "h100-sxm", [1, 2, 4]),  # 28 heads
        ("llama-3.1-8b", "l40s", [1, 2, 4, 8]),  # PCIe only
        ("llama-3.1-8b", "epyc-9965", [1]),  # a processor stands alone
    ],
)
def test_degrees_by_hand(model_id, accelerator_id, degrees):
    assert one.degrees_of(one.deployment(model_id, accelerator_id)) == degrees


# ---- ranges


def test_ranges_taken_apart():
    """Each end again: the model's by its factors, the market's by the price, joined by the squares of their logs."""
    result = one.estimate(DEPLOYED, REQUEST, PRICE)
    value = float(allocate(one.serve_workload(DEPLOYED, REQUEST), usd_per_hour=2).output_usd_per_mtok)
    low, high = result.interval
    expected = {
        "value": value,
        "model_low": value * low,
        "model_high": value * high,
        "price_low": value / 2,
        "price_high": value * 2.5,
        "low": value * np.exp(-np.sqrt(np.log(low) ** 2 + np.log(2) ** 2)),
        "high": value * np.exp(np.sqrt(np.log(high) ** 2 + np.log(2.5) ** 2)),
    }
    assert one.ranges(result) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["output_usd_per_mtok", "input_usd_per_mtok"])
@pytest.mark.parametrize("load", [None, 0.1 * MOST, 2.5 * MOST])
def test_ranges_hold_their_value(kind, load):
    at = one.ranges(one.estimate(DEPLOYED, REQUEST, PRICE, requests_per_s=load), kind)
    assert at["low"] <= min(at["model_low"], at["price_low"]) <= at["value"]
    assert at["value"] <= max(at["model_high"], at["price_high"]) <= at["high"]


def test_an_accelerator_never_measured_is_less_sure():
    known, new = (one.estimate(one.deployment("llama-3.1-8b", a), REQUEST, PRICE) for a in ("h100-sxm", "gb200"))
    assert known.support == "supported" and "gb200 never measured" in new.support
    assert new.interval[1] / new.interval[0] > known.interval[1] / known.interval[0]


# ---- what is refused


def test_what_does_not_fit_says_what_would():
    placed = one.deployment("llama-3.1-70b", "l40s", weights="bf16")
    with pytest.raises(InputError, match="141.1 GB on each accelerator.*smallest that fits: tp 4"):
        one.estimate(placed, REQUEST, PRICE)
    assert one.estimate(replace(placed, tp=4), REQUEST, PRICE)


def test_the_smallest_alternative_is_the_smallest():
    placed = one.deployment("mixtral-8x22b", "h100-sxm", weights="bf16")
    with pytest.raises(InputError) as refused:
        one.estimate(placed, REQUEST, PRICE)
    tp = int(str(refused.value).rsplit("tp ", 1)[1])
    fits = [int(one.serve_workload(replace(placed, tp=n), REQUEST).status) == 0 for n in (tp // 2, tp)]
    assert fits == [False, True]


@pytest.mark.parametrize("load", [0, -1, np.nan, np.inf])
def test_a_load_out_of_range_is_refused(load):
    with pytest.raises(InputError, match="requests_per_s is"):
        one.estimate(DEPLOYED, REQUEST, PRICE, requests_per_s=load)


def test_a_price_of_nothing_is_refused():
    with pytest.raises(InputError, match="price is 0; expected a finite number above 0"):
        one.estimate(DEPLOYED, REQUEST, Price(usd_per_hour=0, low=0, high=0))


# ---- names and prices


def test_weights_default_to_the_checkpoints_own():
    assert one.deployment("deepseek-v3", "h200-sxm").precision.dense_bytes == 1
    assert one.deployment("gpt-oss-120b", "h200-sxm").precision.expert_bytes == 0.53125
    assert one.deployment("llama-3.1-8b", "h200-sxm").precision.dense_bytes == 2


def sold(accelerator_id: str) -> set[str]:
    """Classes of cloud with an on-demand offer that counts."""
    with (Path(__file__).parents[1] / "data" / "gpu_prices.csv").open(newline="", encoding="utf-8") as lines:
        rows = [r for r in csv.DictReader(lines) if r["commitment"] == "on-demand" and not r["flag"]]
    return {row["cloud_class"] for row in rows if row["accelerator_id"] == accelerator_id}


@pytest.mark.parametrize("accelerator_id", ["h100-sxm", "l40s", "t4", "rtx-4090", "a10g"])
def test_a_headline_price_is_of_one_class(accelerator_id):
    first = next(name for name in ("neocloud", "hyperscaler", "marketplace") if name in sold(accelerator_id))
    assert one.headline_price(accelerator_id) == tables.price(accelerator_id, cloud_class=first)


def test_a_class_or_a_provider_asked_for_is_kept():
    assert one.headline_price("h100-sxm", cloud_class="hyperscaler").label == "hyperscaler on-demand"
    assert one.headline_price("h100-sxm", provider="Azure") == tables.price("h100-sxm", provider="Azure")
