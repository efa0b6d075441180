"""Checks, layouts and capacities of the chapter on memory: each worked out by another route, its inverse by substitution."""

import math
from dataclasses import replace

import numpy as np
import pytest

from costpertoken import Workload, serve, tables
from costpertoken.answers import capacity
from costpertoken.evidence import admissible, claims, layouts
from costpertoken.evidence.checks import memory
from costpertoken.evidence.scenario import placed, rent, served, usd_per_mtok

LOAD = {"input_tokens": 1000, "output_tokens": 500}
SEVENTY = {"model": "llama-3.1-70b", **LOAD}
ONE = {"model": "llama-3.1-70b", "accelerator": "h100-sxm", "weights": "fp8", "tp": 2, "requests": 2000, **LOAD}
H200 = {
    "model": "llama-3.1-70b", "accelerator": "h200-sxm", "tp": 1, "weights": "fp8", "other": "h100-sxm", "other_tp": 2,
    "other_weights": "fp8", "engine": "vllm", "price_ratio": 1.2, "load": "in-flight", "requests": 2000, **LOAD,
}  # fmt: skip
POINT = {"tpot_limit_s": np.array([0.02, 0.05, 0.2]), "input_tokens": 4000, "output_tokens": 500}


def test_weights_are_two_bytes_a_parameter_in_16_bits():
    published = tables.read("models").set_index("id").at["llama-2-70b", "params_total_b"]
    assert memory.weights_in_memory(model="llama-2-70b", weights="fp16") == pytest.approx(2 * published, rel=1e-3)


def test_cards_by_the_weights_alone():
    """141.1 GB of weights: two cards of 80, two of 141, one of 192; in FP8 one of each."""
    cards = ("h100-sxm", "h200-sxm", "mi300x")
    by = {w: [memory.cards_needed(accelerator=c, weights=w, requests=1, **SEVENTY) for c in cards] for w in ("fp16", "fp8")}
    assert by == {"fp16": [2, 2, 1], "fp8": [1, 1, 1]}
    assert math.isnan(memory.cards_needed(model="kimi-k2", accelerator="h100-sxm", weights="bf16", requests=1, **LOAD))


def test_full_data_sheet_lets_llama_2_into_one_h200():
    """137.95 GB of weights and 8 heads x 2 x 128 x 80 layers x 2 bytes x 1,250 tokens of cache are less than 141 GB."""
    at = {"model": "llama-2-70b", "accelerator": "h200-sxm", "weights": "fp16", **LOAD}
    room = (141e9 - 137.95e9) / (8 * 2 * 128 * 80 * 2 * 1250)
    assert memory.cards_needed(requests=math.floor(room), ideal=True, **at) == 1
    assert memory.cards_needed(requests=math.ceil(room) + 1, ideal=True, **at) == 2


def test_one_instead_of_two_needs_a_load_between_the_cards():
    """In FP8 an H100 holds (80 - 0.48 - 72.7) GB of cache, 28 requests of 1,457 tokens; with one request one card is enough."""
    at = {"accelerator": "h200-sxm", "other": "h100-sxm", "weights": "fp8", **SEVENTY}
    assert math.isnan(memory.cards_instead(requests=1, **at))
    assert memory.cards_instead(requests=40, **at) == 1
    assert memory.cards_instead(requests=300, **at) == 2
    assert memory.one_and_two(model="llama-3.1-70b", accelerator="h200-sxm", weights="fp8", requests=40, **LOAD) == (1, 2)


def test_doubling_is_twice_the_cards_over_the_ratio_of_tokens():
    found = memory.cards_cost_ratio(load="in-flight", **ONE).value
    rates = [float(served(placed("llama-3.1-70b", "h100-sxm", weights="fp8", tp=n), **LOAD).output_tok_per_s) for n in (1, 2)]
    assert found == pytest.approx(2 * rates[0] / rates[1])
    assert memory.cards_cost_ratio(load="offered", **ONE).value == 2
    assert math.isnan(memory.cards_cost_ratio(load="offered", **{**ONE, "weights": "bf16"}).value)


def test_saving_is_that_of_two_bills_and_its_inverse_holds():
    bills = [
        usd_per_mtok(placed("llama-3.1-70b", name, weights="fp8", tp=n), usd, **LOAD, concurrency=2000)
        for name, n, usd in (("h200-sxm", 1, 3.6), ("h100-sxm", 2, 3.0))
    ]
    found = memory.cards_cost_saving(**H200)
    assert found.value == pytest.approx(100 * (1 - bills[0] / bills[1])) and found.low < found.value < found.high
    needed = 0.55 / (bills[0] / bills[1]) * 1.2
    assert memory.cards_cost_saving(**{**H200, "price_ratio": needed}).value == pytest.approx(45)


def test_at_a_load_that_both_carry_the_saving_counts_cards():
    """One card at 1.1 times the rent in place of two: 1 - 1.1 / 2."""
    assert memory.cards_cost_saving(**{**H200, "load": "offered", "price_ratio": 1.1}).value == pytest.approx(45)


def test_network_share_by_hand():
    """Two all-reduces a layer: a latency, and 2 (n - 1) / n of the step's vectors over the link one way."""
    at = placed("llama-3.1-70b", "h100-sxm", weights="fp8", tp=2)
    out = serve(at, **LOAD, concurrency=10.0)
    vectors = (10 + 10 * 1000 / 500) * 8192 * 2
    rate = at.accelerator.link_bytes_per_s * at.efficiency.link_bandwidth
    seconds = 2 * 80 * (at.efficiency.link_latency_s + vectors / rate)
    found = memory.network_share(**{**ONE, "requests": 10})
    assert found == pytest.approx(100 * seconds / float(out.step.step_s))


def test_layouts_agree_with_a_search_by_hand():
    at = tables.deployment("llama-3.1-70b", "h100-sxm", weights="fp8")
    found = layouts.best_rates(at, most=4, ttft_limit_s=5.0, **POINT)
    for i, limit in enumerate(POINT["tpot_limit_s"]):
        best = 0.0
        for tp, pp in ((1, 1), (2, 1), (4, 1), (1, 2), (2, 2), (1, 4)):
            tried = np.geomspace(1, 3000, 20_000)
            out = serve(replace(at, tp=tp, pp=pp), input_tokens=4000, output_tokens=500, concurrency=tried)
            within = (out.tpot_s <= limit) & (out.ttft_s <= 5.0) & (out.limit == 0)
            best = max(best, float(np.max(out.output_tok_per_s, where=within, initial=0.0)) / (tp * pp))
        assert found["tok_per_s"][i] == pytest.approx(best, rel=0.01)


def test_layouts_within_limits_and_none_below_them():
    at = tables.deployment("deepseek-v3", "h200-sxm", weights="fp8")
    found = layouts.best_rates(at, most=32, ttft_limit_s=5.0, **POINT)
    assert np.all(np.diff(found["tok_per_s"]) >= 0) and np.all(found["tp"] * found["pp"] * found["dp"] <= 32)
    for i, limit in enumerate(POINT["tpot_limit_s"]):
        one = replace(at, **{name: int(found[name][i]) for name in ("tp", "pp", "dp", "ep")})
        out = serve(one, input_tokens=4000, output_tokens=500, concurrency=float(found["batch"][i]))
        assert float(out.tpot_s) <= limit * 1.01 and float(out.ttft_s) <= 5.0 * 1.01
    none = layouts.best_rates(at, most=32, **{**POINT, "tpot_limit_s": 1e-4})
    assert np.isnan(none["tok_per_s"]).all()


def test_a_speed_up_over_itself_is_one():
    same = {"model": "deepseek-v3", "weights": "fp8", "other_weights": "fp8", "engine": "vllm", "accelerators": 32}
    limits = {"tpot_limit_ms": 50, "ttft_limit_s": 5, **LOAD}
    assert memory.speed_at_limits(accelerator="h200-sxm", other="h200-sxm", **same, **limits).value == pytest.approx(1)


def test_the_thirtyfold_comes_out_at_its_solution():
    row = claims.ledger(claim_id="blackwell-30x-inference").iloc[0]
    assert row["verdict"] == "holds-under"
    known = admissible.inputs("blackwell-30x-inference")
    limit_ms = float(row["condition"].split(" = ")[1].split()[0])
    found = memory.speed_at_limits(**{**admissible.defaults(known), "tpot_limit_ms": limit_ms}).value
    assert found == pytest.approx(30, rel=0.02)


def test_launch_is_behind_the_text():
    assert memory.years_until_launch(accelerator="h200-sxm", year=2025) == 2024 - 2025


def test_next_gb_leaves_the_price_of_a_token():
    at, request = placed("llama-3.1-70b", "h100-sxm", weights="fp8"), Workload(**LOAD)
    worth = float(capacity.next_gb_usd_per_hour(at, request, usd_per_hour=3.0, memory_bytes=80e9))
    assert usd_per_mtok(capacity.with_memory(at, 81e9), 3.0 + worth, **LOAD) == pytest.approx(usd_per_mtok(at, 3.0, **LOAD))
    later = capacity.next_gb_usd_per_hour(at, request, usd_per_hour=3.0, memory_bytes=np.array([80e9, 100e9, 141e9, 250e9]))
    assert np.all(np.diff(later) < 0) and later[-1] > 0


def test_capacity_first_and_the_rest_last_make_the_whole():
    small, large = (placed("llama-3.1-70b", name, weights="fp8") for name in ("h100-sxm", "h200-sxm"))
    first, last = capacity.share_of_capacity(small, large, Workload(**LOAD))
    narrow = capacity.with_memory(large, 80e9)
    rates = [float(served(at, **LOAD).output_tok_per_s) for at in (small, narrow, large)]
    assert last == pytest.approx(np.log(rates[2] / rates[1]) / np.log(rates[2] / rates[0]))
    assert 0.5 < last < first < 1


def test_measured_pairs_as_their_source_prints_them():
    """TensorRT-LLM 0.20, Llama 3.3 70B FP8, 128 in and out: 3128.33 on one H100, 6216.91 on two, 3605.47 on one H200."""
    rows = capacity.pairs().query("model_id == 'llama-3.3-70b' and accelerator_id == 'h100-sxm' and tp == 1")
    rows = rows.query("isl == 128 and osl == 128")
    assert rows["cost"].tolist() == pytest.approx([2 * 3128.33 / 6216.91], rel=1e-4)
    swapped = capacity.swaps("h200-sxm", "h100-sxm", tp=1, other_tp=2, weights="fp8", other_weights="fp8")
    assert swapped.min() == pytest.approx(3605.47 / 6216.91, rel=1e-4)
    found = capacity.doublings()
    assert found["n_pairs"].sum() == len(capacity.pairs()) and (found["low"] <= found["cost"]).all()


def test_a_row_of_the_table_by_hand():
    row = capacity.row("llama-3.1-70b", "h100-sxm", "fp8", 2, Workload(**LOAD), usd_per_hour=3.0)
    assert row["usd_per_mtok"] == pytest.approx(2 * 3.0 / (2 * row["each_tok_per_s"] * 3600) * 1e6)
    held = memory.weights_in_memory(model="llama-3.1-70b", weights="fp8")
    assert row["left_gb"] == pytest.approx(2 * (80 - 0.481) - held, abs=0.1)
    assert math.isnan(capacity.row("llama-3.1-70b", "h100-sxm", "bf16", 1, Workload(**LOAD), usd_per_hour=3.0)["usd_per_mtok"])


@pytest.mark.parametrize(("claim_id", "card"), [("h200-cost-reduction-45", "h200-sxm"), ("mi300x-cost-30pct-lower", "mi300x")])
def test_default_ratios_of_rents_are_those_of_the_offers_on_record(claim_id, card):
    """When prices move, the default scenario has to move with them."""
    ratio = rent(card).usd_per_hour / rent("h100-sxm").usd_per_hour
    assert admissible.inputs(claim_id)["price_ratio"].value == pytest.approx(ratio, rel=0.01)
