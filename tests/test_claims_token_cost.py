"""The checks of the claims on what a token costs, against arithmetic by hand and by substitution."""

import numpy as np
import pytest

from costpertoken import tables
from costpertoken.evidence import claims
from costpertoken.evidence.admissible import defaults, inputs, solve
from costpertoken.evidence.checks import token_cost as checks
from costpertoken.evidence.scenario import placed, rent, served

LOAD = {"input_tokens": 1000, "output_tokens": 500}
LLAMA = {"model": "llama-3.1-70b", "accelerator": "h100-sxm", "weights": "bf16", "tp": 8}


def test_bills_are_plain_products():
    assert checks.annual_bill(tokens_per_day=1e9, usd_per_token=0.001) == pytest.approx(365e6)
    month = checks.price_gap(tokens_per_day=1e9, usd_per_token_low=0.0001, usd_per_token_high=0.001)
    assert month == pytest.approx(900e3 * 365 / 12)
    assert checks.demand(users=1e6, requests_per_user_day=2, counted="all", **LOAD) == 3e9
    assert checks.demand(users=1e6, requests_per_user_day=2, counted="output", **LOAD) == 1e9


def test_a_word_costs_rent_over_speed():
    knobs = {"model": "llama-2-70b", "accelerator": "h100-sxm", "weights": "bf16", "tp": 8, "cloud_class": "neocloud"}
    found = checks.cost_per_word(**knobs, concurrency=16, tokens_per_word=2.0, **LOAD)
    speed = float(served(placed("llama-2-70b", "h100-sxm", weights="bf16", tp=8), concurrency=16, **LOAD).output_tok_per_s)
    assert found.value == pytest.approx(8 * rent("h100-sxm", cloud_class="neocloud").usd_per_hour / 3600 / speed * 2.0)
    assert found.low < found.value < found.high


def test_training_takes_six_operations_a_parameter_and_token():
    seconds = checks.training_s(model="llama-3.1-70b", training_tokens=15.6e12, accelerator="h100-sxm", mfu=0.4)
    assert seconds == pytest.approx(6 * 70.55e9 * 15.6e12 / (989e12 * 0.4), rel=0.005)  # 70.55e9 parameters by its config


def test_serving_and_training_are_equal_after_the_days_that_were_solved_for():
    common = {**LLAMA, **LOAD, "mfu": 0.4, "counted": "output", "tokens_per_day": 1e9}
    days = checks.days_to_match(**common, training_tokens=15.6e12)
    share = checks.inference_share(**common, days=days, llama2_tokens=2e12, llama3_tokens=15.6e12)
    assert share.value == pytest.approx(50.0)
    old = checks.days_to_match(**{**common, "model": "llama-2-70b"}, training_tokens=2e12)
    assert 15.6 / 2 * 0.8 < days / old < 15.6 / 2 * 1.2  # nearly the same model, other training tokens


def test_counting_prompts_too_spreads_the_same_hours_over_more_tokens():
    at = placed("llama-3.1-70b", "h100-sxm", weights="bf16", tp=8)
    one, every = (checks.serving_s_per_token(at, counted=counted, **LOAD) for counted in ("output", "all"))
    assert one / every == pytest.approx(3.0)  # 1500 tokens a request instead of 500


@pytest.mark.parametrize(("weights", "bytes_each"), [("fp32", 4.0), ("bf16", 2.0), ("fp8", 1.0)])
def test_bytes_a_parameter_are_its_width_over_the_batch(weights, bytes_each):
    one, many = (checks.bytes_per_parameter(model="llama-2-70b", weights=weights, batch=batch) for batch in (1, 32))
    assert one == pytest.approx(bytes_each, rel=0.02)  # the embedding is a look-up and is not read; the head keeps 16 bits
    assert many == pytest.approx(one / 32)


def test_a_sparse_model_reads_its_active_experts_alone():
    assert checks.bytes_per_parameter(model="mixtral-8x7b", weights="bf16", batch=1) == pytest.approx(2 * 12.9 / 46.7, rel=0.02)


def test_bytes_a_token_are_weights_and_the_own_cache():
    cache = 1000 * 2 * 80 * 8 * 128 * 2 / 1e9  # tokens x (K, V) x layers x KV heads x width x bytes
    none, some = (checks.bytes_per_token(model="llama-2-70b", weights="bf16", batch=1, context_tokens=n) for n in (0, 1000))
    assert some - none == pytest.approx(cache)
    assert none == pytest.approx(2 * (68.98 - 0.26), rel=0.005)  # 68.98e9 parameters less 32000 x 8192 of the embedding


def test_moved_bytes_are_most_of_a_lone_step_and_less_of_a_full_one():
    knobs = {"model": "llama-2-70b", "accelerator": "h100-sxm", "weights": "bf16", "tp": 2, "context_tokens": 1000}
    alone, full = (checks.moved_bytes_share(batch=batch, **knobs) for batch in (1, 256))
    assert alone.value > full.value > 0
    assert alone.low < alone.value < alone.high < 100


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ("anthropic-daily-serving-cost", "985,000,000|986,000,000"),
        ("anthropic-infra-share-of-revenue", "1,160,000,000"),
        ("gemini-infra-cost", "5,000,000,000"),
        ("gemini-free-tier-limits-cause", "USD a month"),
    ],
)
def test_private_books_are_unverifiable_and_the_reason_still_computes(claim, says):
    row = claims.ledger(claim_id=claim).iloc[0]
    assert row["verdict"] == "unverifiable"
    assert any(part in row["reason"] for part in says.split("|"))


def test_what_a_spend_rents_is_the_spend_over_the_rent():
    hours = 1e9 / rent("h100-sxm").usd_per_hour
    assert f"{float(f'{hours / 8760:.1e}'):,.0f} H100" in checks.words_of_spend(1e9, "h100-sxm")


@pytest.mark.parametrize("claim", ["chatgpt-cost-per-word", "inference-exceeds-training-spend"])
def test_the_solved_condition_gives_the_printed_value(claim):
    row = claims.claim_rows(claim_id=claim).iloc[0]
    known, printed = inputs(claim), float(row["printed_low"])
    claims.load_checks()
    f = claims.function_of(claims.CHECKS[row["check"]])
    found = solve(f, known, printed, (printed * 0.99, printed * 1.01))
    assert f({**defaults(known), **found.changed}).value == pytest.approx(printed, rel=1e-6)


def test_every_claim_of_the_chapter_has_a_verdict():
    ledger = claims.ledger(chapter="economics/token_cost")
    rows = tables.read("claims").query("chapter == 'economics/token_cost'")
    assert set(ledger["id"]) == set(rows["id"])
    assert np.isfinite(ledger.query("verdict != 'unverifiable'")["computed"]).all()
