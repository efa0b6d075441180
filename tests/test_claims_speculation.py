"""Checks of the chapter on speculative decoding: each by another route, the inverse by substitution."""

import math

import pytest

from costpertoken import Workload, tables
from costpertoken.answers import compose, levers
from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import speculation as checks
from costpertoken.evidence.scenario import placed
from costpertoken.model.setup import Setup

PLACE = {"model": "llama-3.1-70b", "accelerator": "h100-sxm", "weights": "fp8", "tp": 4}
LOAD = {"input_tokens": 800, "output_tokens": 400}
GUESS = {"acceptance": 0.7, "draft_tokens": 4}


def by_levers(lever: str, batch: float) -> float:
    """Cost without over cost with a lever, as the levers command has it."""
    at = placed("llama-3.1-70b", "h100-sxm", weights="fp8", tp=4)
    plain = Setup(deployment=at, workload=Workload(**LOAD, concurrency=batch))
    return compose.cost(plain, 1.0) / compose.cost(levers.pull(plain, [levers.parse(lever)]), 1.0)


@pytest.mark.parametrize("batch", [1, 20])
@pytest.mark.parametrize(
    "draft, lever",
    [
        ("Medusa heads", "medusa:acceptance=0.7,draft_tokens=4,verified_tokens=30"),
        ("EAGLE layer", "eagle:acceptance=0.7,draft_tokens=4,verified_tokens=30"),
    ],
)
def test_the_gain_is_that_of_the_bill(draft, lever, batch):
    found = checks.speed_up(**PLACE, **LOAD, **GUESS, draft=draft, verified_tokens=30, batch=batch)
    assert found.value == pytest.approx(by_levers(lever, float(batch)))
    assert found.low < found.value < found.high


def test_a_draft_model_is_placed_where_it_gains_most():
    found = checks.speed_up(**PLACE, **LOAD, **GUESS, draft="llama-3.2-1b", batch=1)
    split = by_levers("speculation:draft=llama-3.2-1b,acceptance=0.7,draft_tokens=4", 1.0)
    assert found.value > split  # on one accelerator it waits for no other
    many = checks.speed_up(**PLACE, **LOAD, **GUESS, draft="llama-3.2-1b", batch=400)
    assert many.value == pytest.approx(by_levers("speculation:draft=llama-3.2-1b,acceptance=0.7,draft_tokens=4", 400.0))


def test_the_gain_falls_with_the_batch_and_what_does_not_fit_is_no_number():
    gains = [checks.speed_up(**PLACE, **LOAD, **GUESS, draft="llama-3.2-1b", batch=b).value for b in (1, 8, 64, 256)]
    assert gains == sorted(gains, reverse=True) and gains[-1] < 1.0 < gains[0]
    narrow = {**PLACE, "tp": 1, "weights": "bf16"}
    assert math.isnan(checks.speed_up(**narrow, **LOAD, **GUESS, draft="EAGLE layer", batch=1).value)


def test_whole_guesses_are_drafted_and_a_tree_holds_its_levels():
    half = checks.speed_up(**PLACE, **LOAD, acceptance=0.7, draft_tokens=3.6, draft="EAGLE layer", verified_tokens=1.0, batch=1)
    four = checks.speed_up(**PLACE, **LOAD, acceptance=0.7, draft_tokens=4, draft="EAGLE layer", verified_tokens=4, batch=1)
    assert half == four


def test_code_against_other_texts_by_hand():
    best = {"against": "the best other text"}
    assert checks.code_over(method="EAGLE-3 on Llama 3.3 70B", **best) == pytest.approx(6.52 / 6.15)
    assert checks.code_over(method="EAGLE-3 on Llama 3.3 70B", against="chat") == pytest.approx(6.52 / 5.63)
    assert checks.code_over(method="EAGLE-3 on DeepSeek R1 Distill 8B", **best) == pytest.approx(6.38 / 6.93)
    assert checks.code_over(method="text copied from the prompt on Vicuna 13B", **best) == pytest.approx(1.93 / 2.50)
    assert math.isnan(checks.code_over(method="EAGLE on Llama 2 70B", against="summaries"))


def test_all_methods_on_record_are_admissible():
    named = set(admissible.inputs("speculative-good-for-structured")["method"].words)
    rows = tables.read("techniques")
    assert named == set(rows[rows["quantity"] == "accepted tokens a round: code"]["condition"])


def test_the_inverse_solution_of_medusa_holds_when_put_back():
    row = next(claims.claim_rows(claim_id="medusa-2-8x").itertuples())
    claims.load_checks()
    one, known, printed = claims.CHECKS[row.check], admissible.inputs("medusa-2-8x"), claims.printed_of(row)
    f = claims.function_of(one)
    now = f(admissible.defaults(known))
    found = admissible.solve(f, known, claims.target(printed, now.value), printed.band())
    put_back = one.function(**{**admissible.defaults(known), **found.changed})
    assert printed.low - printed.tolerance <= put_back.value <= printed.high + printed.tolerance
