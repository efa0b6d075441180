"""Speculation of one placement: what is published, where it stops paying, trees and the frontier; by hand and by law."""

from dataclasses import replace

import numpy as np
import pytest
from given import DEPLOYMENT, IDEAL, MODEL
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from costpertoken import Workload
from costpertoken.answers import compose, speculate
from costpertoken.answers.estimate import deployment
from costpertoken.model import speculation as drafts
from costpertoken.model.setup import Setup

PLACED = replace(DEPLOYMENT, efficiency=replace(IDEAL, max_batch=1e9))
SMALL = replace(PLACED, model=replace(MODEL, id="small", n_layers=1))
#: Microseconds: a step's shared reading, a token's products, a cached token; the same of a drafting pass.
T0, W, K, D0, D, DK = 262, 2.62, 0.04, 28, 0.28, 0.004
RECORD = {"acceptance": 0.7, "levels": 4, "tree_nodes": 16, "chain_tokens": 2.7731, "tree_tokens": 3.4731}


def chain(acceptance, n):
    return drafts.with_draft_model(SMALL, acceptance=acceptance, draft_tokens=n)


def yielded(a, n):
    return sum(a**i for i in range(n + 1))


@drawn(acceptance=st.floats(0.01, 0.99), n=st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_the_implied_acceptance_yields_the_tokens(acceptance, n):
    found = speculate.implied_acceptance(accepted_tokens=yielded(acceptance, n), draft_tokens=n)
    assert found == pytest.approx(acceptance, abs=1e-6)


def test_texts_on_record():
    texts = speculate.by_text()
    assert texts.at["EAGLE-3 on Llama 3.3 70B", "code"] == 6.52 and texts.at["EAGLE-3 on Llama 3.3 70B", "chat"] == 5.63
    assert set(texts) == {"chat", "code", "mathematics", "instructions", "summaries"}


def test_gain_by_hand():
    """A chain of two on ten requests of 500 tokens: three products, one reading of weights and cache, two drafting passes."""
    a, b, s = 0.6, 10, 500
    step = T0 + b * (W + K * s)
    whole = T0 + b * (3 * W + K * s) + 2 * (D0 + b * (D + DK * s))
    found = speculate.gain(PLACED, chain(a, 2), batch=10.0, context_tokens=500.0)
    assert found == pytest.approx(1.96 * step / whole)
    assert speculate.round_s(PLACED, chain(a, 2), batch=10.0, context_tokens=500.0) == pytest.approx(whole * 1e-6)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_break_even_and_the_context_past_which_there_is_none_by_the_chapters_equations(n):
    a, s = 0.7, 20.0
    kept, d0, d, dk = yielded(a, n), n * D0, n * D, n * DK
    by_hand = ((kept - 1) * T0 - d0) / ((n + 1 - kept) * W + d + dk * s - (kept - 1) * s * K)
    assert speculate.break_even_batch(PLACED, chain(a, n), context_tokens=s) == pytest.approx(by_hand, rel=0.002)
    always = ((n + 1 - kept) * W + d) / ((kept - 1) * K - dk)
    assert speculate.always_context(PLACED, chain(a, n)) == pytest.approx(always, rel=0.001)
    assert np.isinf(speculate.break_even_batch(PLACED, chain(a, n), context_tokens=1.01 * always))
    assert np.isfinite(speculate.break_even_batch(PLACED, chain(a, n), context_tokens=0.9 * always))


def test_guesses_that_never_pay_have_no_break_even():
    assert np.isnan(speculate.break_even_batch(PLACED, chain(0.01, 4), context_tokens=20.0))
    assert np.isnan(speculate.always_context(PLACED, chain(0.01, 4)))


def test_the_best_length_is_the_best_of_all_and_falls_with_the_batch():
    batches = np.array([1.0, 8.0, 64.0, 512.0])
    best, gains = speculate.best_length(lambda n: chain(0.8, n), PLACED, batch=batches, context_tokens=50.0)
    for b, n, most in zip(batches, best, gains, strict=True):
        each = [float(speculate.gain(PLACED, chain(0.8, m), batch=b, context_tokens=50.0)) for m in range(1, 17)]
        assert most == pytest.approx(max(each)) and each[n - 1] == pytest.approx(most)
    assert list(best) == sorted(best, reverse=True) and best[0] > best[-1]


def test_trees_pass_through_the_record_and_a_short_one_is_a_chain():
    tokens = {n: float(speculate.tree_tokens(n, **RECORD)) for n in (1, 2, 4, 8, 16, 64)}
    assert tokens[1] == pytest.approx(1.7) and tokens[2] == pytest.approx(yielded(0.7, 2))
    assert tokens[4] == pytest.approx(yielded(0.7, 4)) and tokens[16] == pytest.approx(3.4731)
    assert tokens[8] - tokens[4] == pytest.approx(0.35) and tokens[64] - tokens[16] == pytest.approx(0.7)
    for n in (1, 3, 16, 60):
        one = speculate.tree(PLACED, n, record=RECORD)
        assert float(speculate.yielded_tokens(one)) == pytest.approx(float(speculate.tree_tokens(n, **RECORD)))
        assert one.verified_tokens == n


def test_the_record_is_that_of_the_paper():
    found = speculate.tree_record()
    assert (found["chain_tokens"], found["tree_tokens"]) == (3.12, 3.81)
    assert yielded(found["acceptance"], found["levels"]) == pytest.approx(3.12)


def test_the_best_tree_shrinks_with_the_batch():
    found = speculate.trees(PLACED, range(1, 65), batch=np.array([1.0, 10.0, 100.0, 1000.0]), context_tokens=50.0, record=RECORD)
    best = found.loc[found.groupby("batch")["gain"].idxmax(), "nodes"].tolist()
    assert best == sorted(best, reverse=True) and best[0] > 4 * best[-1]


def test_flop_of_a_kept_token_by_hand():
    """Four guesses at acceptance 0.5 and no context: five tokens of 262 MFLOP and four of 28, for 1.9375 kept."""
    found = speculate.flop_ratio(PLACED, chain(0.5, 4), context_tokens=0.0)
    assert found == pytest.approx((5 * 262 + 4 * 28) / 262 / 1.9375)


def test_a_draft_is_split_where_its_pass_is_shortest():
    at = deployment("llama-3.1-70b", "h100-sxm", weights="fp8", tp=4)
    assert [one.tp for one in speculate.splits(at, "llama-3.2-1b")] == [1, 2, 4]
    assert speculate.beside(at, "llama-3.2-1b", context_tokens=1000.0).tp == 1
    assert speculate.beside(at, "llama-3.2-1b", batch=500.0, context_tokens=4000.0).tp == 4
    of = {"acceptance": 0.7, "draft_tokens": 2}
    each = [drafts.with_draft_model(one, **of) for one in speculate.splits(at, "llama-3.2-1b")]
    found = speculate.furthest(at, "llama-3.2-1b", context_tokens=500.0, **of)
    assert found == max(speculate.break_even_batch(at, one, context_tokens=500.0) for one in each)
    assert speculate.always(at, "llama-3.2-1b", **of) == min(speculate.always_context(at, one) for one in each)
    grid = speculate.break_even(at, "llama-3.2-1b", acceptance=0.7, lengths=(1, 2), contexts=(500.0,))
    assert grid["batch"].iloc[1] == found


def test_published_speed_ups_come_with_the_models_own():
    found = speculate.published()
    assert len(found) == 4 and found["source"].tolist() == ["medusa-2024", "medusa-2024", "eagle-2024", "eagle-3"]
    assert (found["low"] < found["value"]).all() and (found["value"] < found["high"]).all()
    assert found["said"].iloc[-1] == 1.38 and found["said_high"].iloc[2] == 3.5


def test_the_frontier_takes_the_cheapest_guess_at_each_batch():
    base = Setup(deployment=PLACED, workload=Workload(input_tokens=50, output_tokens=50))
    batches = np.array([1.0, 30.0, 2000.0, 1e6])
    ways = {"none": [None], "chain": [chain(0.7, n) for n in (1, 2, 4, 8)]}
    found = speculate.frontier(base, ways, batch=batches, usd_per_hour=2.0)
    assert found["batch"].max() == 2000.0  # a million do not fit
    row = found[(found["way"] == "chain") & (found["batch"] == 30.0)].iloc[0]
    at = replace(base, workload=replace(base.workload, concurrency=30.0))
    each = {n: compose.cost(replace(at, speculation=chain(0.7, n)), 2.0) for n in (1, 2, 4, 8)}
    assert row["usd"] == pytest.approx(min(each.values())) and row["verified"] == min(each, key=each.get)
    plain = found[(found["way"] == "none") & (found["batch"] == 30.0)]["usd"].iloc[0]
    assert plain == pytest.approx(compose.cost(at, 2.0))
