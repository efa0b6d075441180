"""Checks of the claims on routing and mixtures of experts, against figures worked out by hand or by another route."""

import math
from dataclasses import replace

import pytest

from costpertoken import Workload, tables
from costpertoken.answers.estimate import serve_workload
from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import routing
from costpertoken.evidence.ratios import ratio_band

#: Mixtral 8x7B, arXiv 2401.04088, table 1: width 4096, 32 layers, 32 heads of 128, 8 key-value heads, 8 experts of 14336,
#: two of them a token, vocabulary 32000; the router is one row an expert.
ATTENTION = 2 * 4096**2 + 2 * 4096 * 1024
EXPERT, ROUTER, HEAD = 3 * 4096 * 14336, 8 * 4096, 32000 * 4096
ACTIVE, WHOLE = (32 * (ATTENTION + ROUTER + n * EXPERT) + HEAD for n in (2, 8))
KNOBS = {"models": "llama-3.1-70b to llama-3.1-8b", "priced": "own accelerators", "accelerator": "h100-sxm",
         "router_params_b": 0.0, "input_tokens": 1000, "output_tokens": 300}  # fmt: skip


@pytest.mark.parametrize("context", [0.0, 8000.0])
def test_compute_by_hand(context):
    looked = 32 * 4 * 32 * 128 * context  # scores and values of every head
    by_hand = 100 * (1 - (2 * ACTIVE + looked) / (2 * WHOLE + looked))
    found = routing.compute_saved(model="mixtral-8x7b", context_tokens=context)
    assert found == pytest.approx(by_hand, rel=1e-6)


def test_a_longer_context_leaves_less_to_save():
    found = [routing.compute_saved(model="deepseek-v3", context_tokens=n) for n in (1, 1000, 32000)]
    assert found == sorted(found, reverse=True)


def test_bytes_of_one_token_and_of_many():
    model = tables.model("mixtral-8x7b")
    one, many = (routing.kept_shares(model, tokens=n)["bytes"] for n in (1.0, 1e4))
    assert one == pytest.approx(ACTIVE / WHOLE) and many == pytest.approx(1.0)


def test_scores_by_hand():
    """Mixtral's table 2 and the README of DeepSeek-V2, added up here."""
    mixtral = [70.6, 84.4, 77.2, 83.6, 83.1, 59.7, 30.6, 71.5, 40.2, 60.7, 28.4, 74.4]
    llama = [69.9, 85.4, 80.4, 82.6, 79.9, 56.5, 25.4, 73.0, 29.3, 49.8, 13.8, 69.6]
    found = routing.quality(pair="mixtral-8x7b to llama-2-70b", benchmark="mean of all")
    assert found == pytest.approx(100 * sum(mixtral) / sum(llama))
    same = [
        (45.0, 48.2),
        (38.9, 39.5),
        (40.6, 45.0),
        (42.5, 47.2),
        (26.8, 26.2),
        (39.2, 39.0),
        (18.8, 17.4),
        (4.3, 3.3),
    ]
    by_hand = 100 * sum(moe for moe, _ in same) / sum(dense for _, dense in same)
    assert routing.quality(pair=routing.SAME_CORPUS, benchmark="mean of all") == pytest.approx(by_hand)
    assert routing.quality(pair=routing.SAME_CORPUS, benchmark="MMLU") == pytest.approx(100 * 45.0 / 48.2)


def test_savings_of_the_pairs():
    saved = routing.scores().groupby("pair")["saved"].first()
    dense = 80 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672) + 32000 * 8192
    assert saved["mixtral-8x7b to llama-2-70b"] == pytest.approx(100 * (1 - ACTIVE / dense), rel=1e-6)
    assert saved[routing.SAME_CORPUS] == pytest.approx(100 - 40.5, abs=0.1)  # as its authors print it


def test_every_pair_has_the_benchmarks_that_a_claim_may_ask_for():
    known = admissible.inputs("moe-quality-kept")
    values = [routing.quality(pair=p, benchmark=b) for p in known["pair"].words for b in known["benchmark"].words]
    assert not any(math.isnan(v) for v in values)


def test_routing_by_another_route():
    """Full pools: the weighted mean of what a request takes of each deployment, served alone."""
    load = Workload(input_tokens=1000, output_tokens=300)
    large, small = (routing.place(name, "h100-sxm", load) for name in ("llama-3.1-70b", "llama-3.1-8b"))
    each = [at.tp / float(serve_workload(at, load).requests_per_s) for at in (large, small)]
    by_hand = 100 * (1 - (0.3 + 0.7 * 0.2) - 0.7 * each[1] / each[0])
    found = routing.routing_saved(**KNOBS, share=0.7, escalated=0.2, requests=1e6)
    assert found.value == pytest.approx(by_hand)
    low, high = ratio_band("models")  # the large pool's batch is the same: only the small one's cost is uncertain
    ends = [100 * (0.56 - 0.7 * each[1] / each[0] * factor) for factor in (high, low)]
    assert (found.low, found.high) == pytest.approx(tuple(ends))


def test_widths_add_as_squares():
    assert routing.summed((3.0, (0.9, 1.1)), (4.0, (0.9, 1.1))) == pytest.approx((7.0, 6.5, 7.5))


def test_list_prices_by_hand():
    """One provider of both models: its listed prices, looked up by key."""
    rows = tables.read("api_prices").query("provider == 'deepinfra'").groupby("model_id")
    usd = {name: (rows.get_group(name)[["input_usd_per_mtok", "output_usd_per_mtok"]] * [1000, 300]).sum(axis=1).median()
           for name in ("llama-3.1-70b", "llama-3.1-8b")}  # fmt: skip
    ratios = routing.list_price_ratios("llama-3.1-70b", "llama-3.1-8b", Workload(input_tokens=1000, output_tokens=300))
    assert ratios["deepinfra"] == pytest.approx(usd["llama-3.1-8b"] / usd["llama-3.1-70b"])
    found = routing.routing_saved(**{**KNOBS, "priced": "list prices"}, share=0.5, escalated=0.1, requests=500)
    assert found.value == pytest.approx(100 * 0.5 * (0.9 - ratios.median()))
    assert found.low < found.value < found.high


def test_condition_of_the_saving_holds_by_substitution():
    row = claims.ledger(claim_id="routing-cost-60").iloc[0]
    assert row["verdict"] == "holds-under" and row["condition"].startswith("share = ")
    share = float(row["condition"].split("share = ")[1].split(" ")[0])
    scenario = {**admissible.defaults(admissible.inputs("routing-cost-60")), "share": share}
    assert routing.routing_saved(**scenario).value == pytest.approx(60, abs=0.5)


def test_a_lone_request_is_not_saved_by_a_second_machine():
    assert routing.routing_saved(**KNOBS, share=0.6, escalated=0.1, requests=1).value < 0


def test_both_claims_on_mixtures_of_one_pair():
    kept, saved = routing.quality_and_compute(pair="deepseek-v2 to llama-3-70b", benchmark="MMLU")
    assert (kept, saved) == pytest.approx((100 * 78.5 / 78.9, 70.0), abs=0.1)


def test_place_is_the_cheapest_degree():
    load = Workload(input_tokens=1000, output_tokens=300)
    at = routing.place("llama-3.1-70b", "h100-sxm", load)
    rates = {tp: float(serve_workload(replace(at, tp=tp), load).output_tok_per_s) / tp for tp in (2, 4, 8)}
    assert at.tp == max(rates, key=rates.get)
