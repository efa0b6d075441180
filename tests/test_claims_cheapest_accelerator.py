"""The checks of the claims on H100 and A100, 70B on one card and Gaudi 3; and two accelerators side by side."""

import math

import numpy as np
import pytest

from costpertoken import tables
from costpertoken.answers import rivals
from costpertoken.evidence import claims
from costpertoken.evidence.admissible import defaults, inputs, scenarios, solve
from costpertoken.evidence.checks import cheapest_accelerator as checks
from costpertoken.evidence.checks import sheet
from costpertoken.evidence.scenario import decode_s, placed, served, usd_per_mtok
from costpertoken.model.records import InputError

PAIR = {"model": "llama-2-70b", "form": "sxm", "weights_h100": "bf16", "weights_a100": "bf16", "tp": 4, "batch": 32}
LOAD = {"input_tokens": 1000, "output_tokens": 500}
ONE = {"model": "llama-2-70b", "accelerator": "h100-sxm", "tp": 1, "context_tokens": 1000}


def test_sheet_reads_a_cell_and_refuses_what_is_not_there():
    assert sheet.sheet(accelerator="h100-sxm", column="tdp_w") == 700
    assert sheet.bandwidth(accelerator="h100-sxm") == pytest.approx(3.35)
    assert math.isnan(sheet.sheet(accelerator="gaudi3-pcie", column="link_gb_s"))
    with pytest.raises(InputError, match="nearest: memory_gb"):
        sheet.sheet(accelerator="h100-sxm", column="memory")
    with pytest.raises(InputError, match="nearest: h100"):
        sheet.sheet(accelerator="h100-sx", column="memory_gb")


def test_one_request_is_bound_by_bandwidth_over_bytes():
    ideal = checks.tokens_per_second(**ONE, weights="fp8", rate="single-stream", batch=1, ideal=True)
    assert ideal == pytest.approx(3350 / 69.0, rel=0.02)  # GB/s over about a byte a parameter
    real = checks.tokens_per_second(**ONE, weights="fp8", rate="single-stream", batch=1)
    assert real.low < real.value < real.high and real.value < ideal


def test_sixteen_bits_do_not_fit_one_card_and_the_batch_counts_only_in_an_aggregate():
    assert math.isnan(checks.tokens_per_second(**ONE, weights="bf16", rate="single-stream", batch=1).value)
    alone = checks.tokens_per_second(**ONE, weights="fp8", rate="single-stream", batch=32).value
    assert alone == checks.tokens_per_second(**ONE, weights="fp8", rate="aggregate", batch=1).value
    assert checks.tokens_per_second(**ONE, weights="fp8", rate="aggregate", batch=32).value > 20 * alone


@pytest.mark.parametrize("claim", ["h100-70b-100tps", "a100-70b-60tps"])
def test_the_batch_that_was_solved_for_makes_the_printed_speed(claim):
    row = claims.claim_rows(claim_id=claim).iloc[0]
    known, printed = inputs(claim), float(row["printed_low"])
    claims.load_checks()
    f = claims.function_of(claims.CHECKS[row["check"]])
    found = solve(f, known, printed, (0.9 * printed, 1.1 * printed))
    base = defaults(known) | found.changed
    at = placed(base["model"], base["accelerator"], weights=base["weights"])
    assert base["batch"] / decode_s(at, batch=base["batch"], context_tokens=base["context_tokens"]) == pytest.approx(printed)


def test_speed_up_is_a_quotient_of_two_rates_and_the_gap_is_it_less_one():
    rates = [
        float(served(placed("llama-2-70b", name, weights="bf16", tp=4), concurrency=32, **LOAD).output_tok_per_s)
        for name in ("h100-sxm", "a100-80gb-sxm")
    ]
    assert checks.speed_up(**PAIR, **LOAD).value == pytest.approx(rates[0] / rates[1])
    assert checks.gap(**PAIR, **LOAD).value == pytest.approx(100 * (rates[0] / rates[1] - 1))


def test_a_speed_up_lies_between_the_ratios_of_bandwidth_and_of_peak_in_one_format():
    for batch in (1, 8, 64, 256):
        assert 1.0 < checks.rate_ratio(**{**PAIR, "batch": batch}, **LOAD) < 989 / 312


def test_price_ratio_is_the_median_over_sellers_of_both():
    offers = {
        name: tables.price_rows(name, cloud_class="neocloud").groupby("provider")["value"].median()
        for name in ("h100-sxm", "a100-80gb-sxm")
    }
    both = sorted(set(offers["h100-sxm"].index) & set(offers["a100-80gb-sxm"].index))
    ratios = [offers["h100-sxm"][seller] / offers["a100-80gb-sxm"][seller] for seller in both]
    found = checks.price_ratio(form="sxm", basis="neocloud")
    assert found.value == pytest.approx(np.median(ratios)) and min(ratios) <= found.low <= found.high <= max(ratios)


def test_purchase_is_read_for_modules_and_unknown_for_cards():
    assert checks.price_ratio(form="sxm", basis="purchase") == pytest.approx((30 / 15, 25 / 15, 40 / 15))
    assert math.isnan(checks.price_ratio(form="pcie", basis="purchase").value)
    assert math.isnan(checks.price_ratio(form="pcie", basis="hyperscaler").value)


def test_cost_ratio_is_what_two_bills_at_that_price_give():
    found = checks.cost_ratio(basis="neocloud", **PAIR, **LOAD)
    dear = checks.price_ratio(form="sxm", basis="neocloud").value
    bills = [
        usd_per_mtok(placed("llama-2-70b", name, weights="bf16", tp=4), usd, concurrency=32, **LOAD)
        for name, usd in (("h100-sxm", dear), ("a100-80gb-sxm", 1.0))
    ]
    assert found.value == pytest.approx(bills[0] / bills[1])


def test_no_scenario_gives_both_printed_speeds_of_the_pair():
    for scenario in scenarios(inputs("h100-vs-a100-performance")):
        ratio, gap = checks.speed_and_gap(**scenario)
        assert gap == pytest.approx(100 * (ratio - 1), nan_ok=True)
        assert not (2.5 <= ratio <= 3.5 and 60.3 <= gap <= 73.7)


def test_gaudi_total_cost_by_hand():
    own = {"server_usd": 0.0, "life_years": 4, "cost_of_capital": 0.0, "usd_per_kwh": 0.0}
    knobs = {"form": "oam", "model": "llama-2-70b", "weights": "fp8", "tp": 2, "batch": 32, **LOAD}
    dear, cheap = (checks.gaudi3_tco(**knobs, **own, h100_usd=h100, gaudi3_usd=15625) for h100 in (40000, 25000))
    assert dear.value > cheap.value and dear.low < dear.value < dear.high
    # free cards on a free server: what is left is hosting and staff, and the same for both, so the saving is that of speed
    at = [checks.placed("llama-2-70b", name, weights="fp8", tp=2) for name in ("gaudi3-oam", "h100-sxm")]
    rates = [float(checks.served(one, **LOAD, concurrency=32).output_tok_per_s) for one in at]
    free = checks.gaudi3_tco(**knobs, **own, h100_usd=0.0, gaudi3_usd=0.0)
    hosted = [(watts + 10200 / 8 - 700) / 1000 * 184.06 * 12 / 8760 + 250000 * 5 / 1000 / 8760 for watts in (900, 700)]
    assert free.value == pytest.approx(100 * (1 - hosted[0] / rates[0] / (hosted[1] / rates[1])), rel=1e-3)


def test_rate_ratios_agree_with_the_check():
    pair = ("h100-sxm", "a100-80gb-sxm")
    frame = rivals.rate_ratios("llama-2-70b", pair, {"both": ("bf16", "bf16")}, tp=4, batch=[1, 32], **LOAD)
    assert frame["ratio"].iloc[1] == pytest.approx(checks.rate_ratio(**PAIR, **LOAD))
    assert frame["ratio"].iloc[1] > frame["ratio"].iloc[0]


def test_price_ratios_leave_out_what_is_not_on_record():
    assert set(rivals.price_ratios(("h100-sxm", "a100-80gb-sxm"))["basis"]) == set(rivals.BASES)
    assert set(rivals.price_ratios(("h100-pcie", "a100-80gb-pcie"))["basis"]) == {"neocloud", "marketplace"}


def test_common_degree_is_the_fewest_at_which_both_hold_the_model():
    pair = ("h100-sxm", "a100-80gb-sxm")
    assert rivals.common_degree("llama-3.1-8b", pair, **LOAD) == 1
    assert rivals.common_degree("llama-3.1-70b", pair, fewest=1.0, **LOAD) == 2
    assert rivals.common_degree("deepseek-v3", pair, **LOAD) is None


def test_ways_to_a_speed_by_substitution():
    ways = rivals.ways_to_speed(
        "llama-2-70b", "h100-sxm", 100.0, formats=("bf16", "fp8", "int4"), usd_per_hour=3.0, context_tokens=1000
    ).set_index("weights")
    assert math.isnan(ways.at["bf16", "alone_tok_per_s"])
    together = ways.at["fp8", "requests"]
    at = placed("llama-2-70b", "h100-sxm", weights="fp8")
    assert together / decode_s(at, batch=together, context_tokens=1000) == pytest.approx(100.0, rel=0.01)
    cards = int(ways.at["int4", "n_cards"])
    speed = {n: 1 / decode_s(placed("llama-2-70b", "h100-sxm", weights="int4", tp=n), batch=1, context_tokens=1000)
             for n in (cards // 2, cards)}  # fmt: skip
    assert speed[cards // 2] < 100 <= speed[cards]
    assert ways.at["int4", "usd_per_mtok"] == pytest.approx(cards * 3.0 / (speed[cards] * 3600) * 1e6)
