"""How cost grows with batch and context: parts that sum, turning points by hand, Little's law, measured pairs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from given import DEPLOYMENT, IDEAL

from costpertoken.answers import estimate, growth
from costpertoken.model.records import Workload
from costpertoken.model.roofline import step
from costpertoken.model.serving import serve

REQUEST = Workload(input_tokens=100, output_tokens=100)


def test_parts_of_a_decode_step_sum_to_it():
    batch = np.array([1.0, 8.0, 64.0])
    parts = growth.decode_parts_s(DEPLOYMENT, batch=batch, context_tokens=500.0)
    assert sum(parts.values()) == pytest.approx(step(DEPLOYMENT, decode=batch, context_tokens=500.0).step_s)
    assert np.ptp(parts["shared"]) == 0 and parts["cache"][2] == pytest.approx(64 * parts["cache"][0])


def test_half_batch_by_hand():
    """Shared: 130e6 + 1e6 weights of 2 bytes at 1e12 bytes/s; own: 2 FLOP a weight at 100e12 and 500 tokens of 40 kB."""
    shared = 131e6 * 2 / 1e12
    own = 2 * 131e6 / 100e12 + 500 * 40e3 / 1e12
    found = growth.half_batch(DEPLOYMENT, context_tokens=500.0, batch=16)
    assert found == pytest.approx(shared / own)
    costs = [float(step(DEPLOYMENT, decode=b, context_tokens=500.0).step_s / b) for b in (found, 1e9)]
    assert costs[0] == pytest.approx(2 * costs[1], rel=1e-6)


def test_turning_context_by_hand():
    """2 x 131e6 FLOP at 100e12 against 40 kB at 1e12 bytes/s: 65.5 tokens."""
    assert growth.turn_context_tokens(DEPLOYMENT) == pytest.approx(2 * 131e6 / 100e12 / (40e3 / 1e12))


def test_turning_context_behind_a_window():
    """Half of the layers stop at 40 tokens: 65.5 = S / 2 + 20."""
    windowed = replace(DEPLOYMENT, model=replace(DEPLOYMENT.model, window_tokens=40, n_window_layers=5))
    assert growth.turn_context_tokens(windowed) == pytest.approx(2 * (65.5 - 20))
    stopped = replace(DEPLOYMENT, model=replace(DEPLOYMENT.model, window_tokens=40, n_window_layers=10))
    assert np.isinf(growth.turn_context_tokens(stopped))


def test_beyond_the_turn_memory_keeps_more_than_half_of_any_batch():
    turn = growth.turn_context_tokens(DEPLOYMENT)
    wide = np.geomspace(1, 1e7, 20)
    for share, above in ((1.1, True), (0.9, False)):
        taken = step(DEPLOYMENT, decode=wide, context_tokens=share * turn)
        assert bool(np.all(growth.memory_share(DEPLOYMENT, taken) > 0.5)) is above


def test_attention_that_multiplies_longer_than_it_reads_has_no_turn():
    slow = replace(DEPLOYMENT, efficiency=replace(IDEAL, attention_peak=0.001))
    assert growth.attention_multiplies(slow) and not growth.attention_multiplies(DEPLOYMENT)
    assert np.isinf(growth.turn_context_tokens(slow))
    taken = step(slow, decode=1e6, context_tokens=1000.0)
    assert growth.memory_share(slow, taken) < 0.5


def test_added_time_sums_to_the_difference_of_the_steps():
    added = growth.added_s(DEPLOYMENT, REQUEST, batch=20)
    lengths = {"input_tokens": 100, "output_tokens": 100}
    per_token = [b / float(serve(DEPLOYMENT, **lengths, concurrency=b).output_tok_per_s) for b in (1, 20)]
    assert sum(added.values()) == pytest.approx(per_token[1] - per_token[0])
    assert added["reading weights"] == 0


def test_frontier_costs_more_for_faster_tokens_on_one_split():
    curve = growth.frontier(DEPLOYMENT, REQUEST, usd_per_hour=2.0, degrees=[1, 2])
    assert set(curve["tp"]) == {1, 2}
    for _, line in curve.groupby("tp"):
        assert line["tpot_ms"].is_monotonic_increasing and line["usd"].is_monotonic_decreasing
    first = curve.iloc[0]
    rate = float(serve(DEPLOYMENT, input_tokens=100, output_tokens=100, concurrency=1).output_tok_per_s)
    assert first["usd"] == pytest.approx(2.0 / 3600 / rate * 1e6)


def test_cheapest_within_a_limit():
    curve = pd.DataFrame({"tp": [1, 1, 2], "batch": [1, 2, 1], "tpot_ms": [5.0, 8.0, 3.0], "usd": [4.0, 2.0, 9.0]})
    assert growth.within(curve, 6.0)["usd"] == 4.0
    assert growth.within(curve, 8.0)["usd"] == 2.0
    assert growth.within(curve, 1.0) is None


def test_measured_loops_obey_their_own_arithmetic():
    loops = growth.closed_loops()
    one = loops.iloc[0]
    assert one["request_ms"] == pytest.approx(one["ttft_ms"] + (one["output_tokens"] - 1) * one["tpot_ms"])
    pairs = growth.measured_pairs(loops, fewer=4, more=32)
    assert len(pairs) > 100 and (pairs["slower"] > 1).all()


def test_measured_frontier_is_priced_by_littles_law():
    at = estimate.deployment("llama-3.1-70b", "h100-sxm", weights="fp8", tp=2)
    load = Workload(input_tokens=1000, output_tokens=1000)
    loops = growth.closed_loops()
    points = growth.measured_frontier(loops, at, load, usd_per_hour=3.0)
    row = loops.loc[points.index[0]]
    requests_per_s = row["concurrency"] / (row["request_ms"] / 1000)
    usd = row["n_accel"] * 3.0 / 3600 / (requests_per_s * row["output_tokens"]) * 1e6
    assert points["usd"].iloc[0] == pytest.approx(usd)
    none = growth.measured_frontier(loops, replace(at, model=replace(at.model, id="none")), load, usd_per_hour=3.0)
    assert none.empty
