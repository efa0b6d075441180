"""The module behind the chapter on the KV cache, by hand and by law."""

from dataclasses import replace

import numpy as np
import pytest

from costpertoken import Workload
from costpertoken.answers import baseline, estimate, kv_cache, levers
from costpertoken.model.levers import share_heads
from costpertoken.model.setup import run

PLACED = estimate.deployment("llama-2-70b", "h100-sxm", weights="bf16", tp=4)
LOAD = Workload(input_tokens=500, output_tokens=300)
BASE = replace(share_heads(baseline.early(PLACED, LOAD), n_kv_heads=64), schedule="chunked", score_passes=0.0)


def test_cache_by_split_by_hand():
    """80 layers x 2 x 128 numbers of two bytes a head: 40.96 kB; eight heads split eight ways are one on each."""
    found = kv_cache.by_split(PLACED).set_index(["kind", "tp"])["kb"]
    assert found["multi-head, 64 heads", 1] == pytest.approx(64 * 40.96)
    assert found["grouped, 8 heads", 4] == pytest.approx(2 * 40.96)
    assert found["grouped, 8 heads", 8] == found["multi-query, 1 head", 8] == pytest.approx(40.96)
    assert found["latent", 1] == found["latent", 8] == pytest.approx(80 * 576 * 2 / 1e3)


def test_the_ladder_only_adds_room_and_ends_where_all_levers_are():
    pulled = [levers.parse(name) for name in ("paging", "gqa", "cache:format=fp8")]
    steps = kv_cache.ladder(BASE, pulled, usd_per_hour=2.0, few=4.0)
    assert (steps["users"].diff().dropna() > 0).all()
    assert steps["users"].iloc[-1] == pytest.approx(float(run(levers.pull(BASE, pulled)).pools[0][1].room))
    assert steps["users"].iloc[2] / steps["users"].iloc[1] > 8  # shared heads free weights too
    assert steps["usd_few"].iloc[0] == pytest.approx(steps["usd_few"].iloc[1])  # nobody waits for memory


def test_block_waste_by_hand():
    assert kv_cache.block_waste(np.array([1, 17]), tokens=92.0) == pytest.approx([0.0, 8.0])


def test_the_same_memory_holds_more_requests_in_blocks():
    lengths = {
        "input_tokens": {"mean": 400, "cv": 0.5, "most": 1000},
        "output_tokens": {"mean": 300, "cv": 0.8, "most": 1000},
    }
    memory = {"memory_tokens": 24_576, "reserved_tokens": 2048, "block_tokens": 16}
    both = kv_cache.replayed(PLACED, lengths=lengths, **memory)
    first, second = kv_cache.pictures(*both, **memory)
    inside = [one.loc[one["request"] >= 0, "request"].nunique() for one in (first, second)]
    assert inside[0] == 12 and inside[1] > 24
    rows = kv_cache.wrapped(second, memory_tokens=24_576, first_row=0)
    width = (rows["right"] - rows["left"]).groupby(rows["row"]).sum()
    assert width.to_numpy() == pytest.approx(np.full(kv_cache.ROWS, 100.0))


def test_prefix_savings_by_hand():
    setup = levers.pull(BASE, [levers.parse("paging")])
    found = kv_cache.prefix_savings(
        setup, np.array([0.0, 0.5]), usd_per_hour=2.0, cached_over_input=0.1, output_over_input=5.0
    )
    half = found[found["hit"] == 50].set_index("saved_of")["saved"]
    assert half["prompt tokens to compute"] == 50
    assert half["bill by list price"] == pytest.approx(100 * 0.9 * 0.5 * 500 / (500 + 5 * 300))
    assert 0 < half["own machines, full"] < half["prompt tokens to compute"]
    assert found.loc[found["hit"] == 0, "saved"].to_numpy() == pytest.approx(np.zeros(4), abs=1e-9)


def test_list_ratios_are_of_listed_prices():
    rows = kv_cache.list_ratios()
    assert (rows["cached"] > 0).all() and len(rows) > 50
    one = rows[rows["model_id"] == "claude-3-haiku-20240307"].iloc[0]
    assert one["cached"] == pytest.approx(0.03 / 0.25) and one["output"] == pytest.approx(5.0)
