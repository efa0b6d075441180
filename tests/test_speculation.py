"""Speculative decoding: each part by hand with round records, then laws; the gain at one request from steps, not setup.run."""

from dataclasses import replace

import numpy as np
import pytest
from given import DEPLOYMENT, IDEAL, MODEL, MOE
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from costpertoken import tables
from costpertoken.model import speculation as drafts
from costpertoken.model.counts import count
from costpertoken.model.records import InputError, Workload
from costpertoken.model.roofline import step, step_of
from costpertoken.model.setup import Setup, run

#: Prompts that nobody waits for, so that the time of a token is that of decoding alone.
PLACED = replace(DEPLOYMENT, efficiency=replace(IDEAL, prefill_stall=0.0, max_batch=1e9))
#: One layer of the ten: 13e6 parameters and the head's 1e6.
SMALL = replace(PLACED, model=replace(MODEL, id="small", n_layers=1))
WORK = Workload(input_tokens=300, output_tokens=100, concurrency=1.0)
PLAIN = Setup(deployment=PLACED, workload=WORK)
ROOMY = replace(PLAIN, deployment=replace(PLACED, accelerator=replace(PLACED.accelerator, memory_bytes=1e18)))
MICRO = 1e-6


def chain(acceptance=0.8, draft_tokens=4, draft=SMALL):
    return drafts.with_draft_model(draft, acceptance=acceptance, draft_tokens=draft_tokens)


def pool(speculation=None, setup=PLAIN):
    return run(replace(setup, speculation=speculation)).pools[0][1]


def at_batch(batch, speculation=None, **lengths):
    return pool(speculation, replace(PLAIN, workload=replace(WORK, concurrency=batch, **lengths)))


def test_accepted_tokens_by_hand():
    assert drafts.accepted_tokens(acceptance=0.5, draft_tokens=3) == pytest.approx(1 + 0.5 + 0.25 + 0.125)
    assert drafts.accepted_tokens(acceptance=0.0, draft_tokens=7) == 1.0
    assert drafts.accepted_tokens(acceptance=1.0, draft_tokens=7) == 8.0
    many = drafts.accepted_tokens(acceptance=np.array([[0.0], [0.5], [1.0]]), draft_tokens=np.array([1, 2]))
    assert many == pytest.approx(np.array([[1, 1], [1.5, 1.75], [2, 3]]))


@drawn(acceptance=st.floats(0, 1), n=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_round_yields_one_token_at_least_and_each_level_less_than_the_last(acceptance, n):
    three = [float(drafts.accepted_tokens(acceptance=acceptance, draft_tokens=m)) for m in (n, n + 1, n + 2)]
    assert 1.0 <= three[0] <= n + 1 + 1e-9
    assert three[0] <= three[1] + 1e-9 and three[2] - three[1] <= three[1] - three[0] + 1e-9


def test_accepted_tokens_are_those_of_drawn_rounds():
    """A round's levels drawn one by one: accepted until the first miss, then the verifying pass's own token."""
    hits = np.random.default_rng(0).random((200_000, 6)) < 0.7
    yielded = np.cumprod(hits, axis=1).sum(axis=1) + 1
    assert drafts.accepted_tokens(acceptance=0.7, draft_tokens=6) == pytest.approx(yielded.mean(), rel=0.005)


def test_more_candidates_of_a_level():
    assert drafts.widened(acceptance=0.5, n_candidates=2) == pytest.approx(0.75)
    assert drafts.widened(acceptance=0.3, n_candidates=1) == pytest.approx(0.3)


def test_drafting_by_hand():
    """Four passes of a small model: 28 MB of weights, 0.28 us a token, 4 ns a cached token."""
    taken = drafts.drafting(chain(), decode=3.0, context_tokens=500.0)
    assert taken.weights_s == pytest.approx(4 * 28 * MICRO)
    assert taken.products_s == pytest.approx(4 * 3 * 0.28 * MICRO)
    assert taken.cache_s == pytest.approx(4 * 3 * 500 * 4e-9)
    assert taken.step_s == pytest.approx(taken.weights_s + taken.products_s + taken.cache_s)


def test_drafting_pays_neither_scheduler_nor_sampling_but_its_launches():
    host = replace(IDEAL, host_step_s=1.0, host_sequence_s=1.0, host_layer_s=0.001)
    slow = chain(draft=replace(SMALL, efficiency=host))
    assert drafts.drafting(slow, decode=3.0, context_tokens=0.0).host_s == pytest.approx(4 * 0.001)


def test_a_tree_of_a_layer_grows_a_level_in_a_pass():
    """Five passes for 25 nodes: the first multiplies for the root, the others for five nodes each."""
    layer = drafts.with_layer(PLACED, acceptance=0.8, draft_tokens=5, verified_tokens=25)
    taken = drafts.drafting(layer, decode=1.0, context_tokens=0.0)
    per_token = 2 * (13e6 + 2e6 + 1e6) / 100e12
    assert taken.products_s == pytest.approx((1 + 4 * 5) * per_token)
    assert taken.weights_s == pytest.approx(5 * 2 * 16e6 / 1e12)


def test_heads_by_hand():
    """Three heads: a block of 1e6 and a vocabulary of 1e6 each, read once for all levels, nothing cached."""
    heads = drafts.with_heads(PLACED, acceptance=0.6, draft_tokens=3, verified_tokens=20)
    assert heads.draft.held_bytes == pytest.approx(2 * 3 * 2e6)
    taken = drafts.drafting(heads, decode=2.0, context_tokens=1000.0)
    assert taken.step_s == pytest.approx(2 * 3 * 2e6 / 1e12 + 2 * 2 * 3 * 2e6 / 100e12)
    assert heads.draft.cache_bytes_per_token == 0


@pytest.mark.parametrize("model, billions", [("llama-2-7b", 0.24), ("llama-2-13b", 0.37), ("llama-2-70b", 0.99)])
def test_the_layer_has_as_many_parameters_as_its_paper_counts(model, billions):
    """Trainable parameters as the EAGLE paper prints them (arXiv 2401.15077, section 4)."""
    at = tables.deployment(model, "h100-sxm", weights="bf16")
    layer = drafts.with_layer(at, acceptance=0.8, draft_tokens=5, verified_tokens=25)
    assert layer.draft.held_bytes / 2 / 1e9 == pytest.approx(billions, abs=0.0051)
    assert layer.draft.head_bytes == count(at).head_bytes


def test_a_mixture_is_drafted_by_a_dense_layer():
    layer = drafts.with_layer(replace(PLACED, model=MOE), acceptance=0.8, draft_tokens=2, verified_tokens=2).draft
    assert layer.expert_bytes == 0 and layer.n_moe_layers == 0
    assert layer.dense_bytes == pytest.approx(2 * (4e6 + 3 * 1000 * 2000 + 2e6))


def test_the_gain_at_one_request_from_steps():
    """Acceptance 0.8 and four levels: (1 - 0.8^5) / 0.2 tokens for one verifying step and four drafts."""
    plain, fast = pool(), pool(chain())
    context = {"decode": 1.0, "context_tokens": 350.0}
    verify = step_of(count(PLACED), PLACED.efficiency, queries=5.0, **context).step_s
    drafted, alone = 4 * step(SMALL, **context).step_s, step(PLACED, **context).step_s
    gain = (1 - 0.8**5) / (1 - 0.8) / ((verify + drafted) / alone)
    assert plain.tpot_s / fast.tpot_s == pytest.approx(gain)
    assert alone == pytest.approx((262 + 2.62 + 14) * MICRO)
    assert verify == pytest.approx((262 + 5 * 2.62 + 14) * MICRO)
    assert drafted == pytest.approx(4 * (28 + 0.28 + 1.4) * MICRO)


@pytest.mark.parametrize("kind", ["model", "heads", "layer"])
def test_acceptance_of_nothing_costs_and_of_everything_yields_all_levels(kind):
    tree = {"draft_tokens": 4, "verified_tokens": 12}
    for acceptance, yielded in ((0.0, 1.0), (1.0, 5.0)):
        made = {
            "model": lambda a: chain(acceptance=a),
            "heads": lambda a: drafts.with_heads(PLACED, acceptance=a, **tree),
            "layer": lambda a: drafts.with_layer(PLACED, acceptance=a, **tree),
        }[kind](acceptance)
        found = pool(made)
        assert found.n_tokens_per_round == yielded
        assert (found.requests_per_s < pool().requests_per_s) == (acceptance == 0.0)


def gain_at(batch, speculation, **lengths):
    """Time of a token without speculation over that with it, memory permitting."""
    loaded = replace(ROOMY, workload=Workload(**lengths, concurrency=batch))
    return float(pool(None, loaded).tpot_s / pool(speculation, loaded).tpot_s)


@drawn(batch=st.floats(1, 1e5), acceptance=st.floats(0.05, 0.95), n=st.integers(1, 8), isl=st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
def test_the_gain_moves_one_way_with_the_batch(batch, acceptance, n, isl):
    """Times are linear in the batch here: from the gain on what is shared to the gain on what each request does alone."""
    lengths = {"input_tokens": isl, "output_tokens": 100}
    first, here, more, last = (gain_at(b, chain(acceptance, n), **lengths) for b in (1.0, batch, 2 * batch, 1e7))
    rises = last > first
    assert (more >= here - 1e-9) if rises else (more <= here + 1e-9)
    assert min(first, last) - 1e-9 <= here <= max(first, last) + 1e-9


def test_the_gain_falls_and_short_contexts_lose_at_large_batches_but_long_ones_never():
    """The cache is read once for all drafted tokens: the longer the context, the more of the work a chain shares."""
    short, long = {"input_tokens": 10, "output_tokens": 10}, {"input_tokens": 4000, "output_tokens": 10}
    gains = [gain_at(b, chain(0.7), **short) for b in (1, 10, 100, 1e3, 1e5)]
    assert gains == sorted(gains, reverse=True) and gains[0] > 1 > gains[-1]
    # At an endless batch only what each request does alone is left: products, and its cache once a round.
    yielded = (1 - 0.7**5) / 0.3
    by_hand = (2.62 + 15 * 0.04) * yielded / (5 * 2.62 + 15 * 0.04 + 4 * (0.28 + 15 * 0.004))
    assert gains[-1] == pytest.approx(by_hand, rel=0.002)
    assert gain_at(1e5, chain(0.7), **long) > 1.5


def test_the_answer_is_as_long_and_flop_are_counted():
    """Rounds times tokens is the answer; each round multiplies for one token and four drafts, and for the drafts' passes."""
    found = pool(chain(), replace(PLAIN, schedule="continuous"))
    rounds = 100 / float(found.n_tokens_per_round)
    prompt = 300 * (2.60 + 0.26) * MICRO  # dense products of the prompt, by the model and by its draft
    assert found.spent.products_s == pytest.approx(prompt + rounds * (5 * 2.62 + 4 * 0.28) * MICRO)
    assert found.n_tokens_per_round * rounds == pytest.approx(WORK.output_tokens)


def test_the_host_hands_out_every_token():
    at = replace(PLACED, efficiency=replace(PLACED.efficiency, host_sequence_s=1e-3))
    setup = replace(PLAIN, deployment=at)
    told = pool(chain(draft=replace(SMALL, efficiency=at.efficiency)), setup)
    assert told.spent.host_s == pytest.approx(WORK.output_tokens * 1e-3)
    assert told.spent.host_s == pytest.approx(pool(None, setup).spent.host_s)


def test_the_draft_takes_memory():
    backlog = replace(PLAIN, workload=replace(WORK, concurrency=None))
    room = pool(chain(), backlog).room
    held, sequence = 2 * (132e6 + 21e3) + 2 * (13e6 + 2e6 + 3e3), 400 * (40_000 + 4_000)
    assert room == pytest.approx((10e9 - held) / sequence)


def test_knobs_broadcast_over_lengths_and_requests():
    flight, lengths = np.array([1.0, 10.0, 100.0]), np.array([[1], [2], [4]])
    load = replace(PLAIN, workload=replace(WORK, concurrency=flight))
    many = pool(chain(draft_tokens=lengths), load).tpot_s
    assert many.shape == (3, 3)
    assert many[2, 1] == pytest.approx(at_batch(10.0, chain(draft_tokens=4)).tpot_s)


def test_fewer_verified_tokens_than_levels_are_refused():
    with pytest.raises(InputError, match="verified_tokens is 2, draft_tokens 3"):
        drafts.with_heads(PLACED, acceptance=0.5, draft_tokens=3, verified_tokens=2)
    with pytest.raises(InputError, match="acceptance"):
        chain(acceptance=1.1)
