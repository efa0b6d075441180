"""Checks of the claims on the KV cache, against figures worked out by hand."""

import math

import pytest

from costpertoken.evidence import claims
from costpertoken.evidence.checks import kv_cache as checks
from costpertoken.evidence.scenario import placed
from costpertoken.model.transformer import weight_bytes

USERS = {"model": "llama-2-70b", "accelerator": "h100-sxm", "weights": "fp16", "tp": 4, "reserved_tokens": 2048,
         "fragmentation": 0.1, "input_tokens": 500, "output_tokens": 300}  # fmt: skip


@pytest.mark.parametrize("tp, n_kv_heads, fold", [(1, 1, 64), (1, 8, 8), (8, 1, 8), (8, 8, 8), (4, 8, 8), (8, 64, 1)])
def test_heads_by_hand(tp, n_kv_heads, fold):
    """64 heads: split over eight accelerators each keeps eight of them, or a copy of the one."""
    assert checks.heads_ratio(model="llama-2-70b", tp=tp, n_kv_heads=n_kv_heads) == fold


def test_heads_that_a_split_does_not_divide_have_no_ratio():
    assert math.isnan(checks.heads_ratio(model="llama-2-13b", tp=8, n_kv_heads=3))


def test_waste_by_reading():
    assert checks.waste_cut(before=60, after=5, reading=checks.OF_MEMORY) == 55
    assert checks.waste_cut(before=80, after=4, reading=checks.OF_ITSELF) == 95
    assert checks.waste_cut(before=80, after=4, reading=checks.SHARED) == 55


def test_users_by_hand():
    """Memory less weights and reserve, over a stretch of all heads or over prompt, output's share and half a block of one."""
    at = placed("llama-2-70b", "h100-sxm", weights="fp16")
    engine, width = at.efficiency, 80 * 2 * 128 * 2
    held = sum(weight_bytes(at.model, at.precision).values())
    spread = 2 * 80 * 2 * 8192 * 128  # bytes of the projections of one key-value head more
    tokens = 500 + engine.output_reserved * 300 + 7.5
    room = {n: 4 * (80e9 * engine.memory_usable - engine.reserve_bytes) - held - (n - 8) * spread for n in (1, 64)}
    before = 0.9 * room[64] / (2048 * 64 * width)
    after = 0.9 * room[1] / (tokens * 4 * width)  # the one head is copied on each of the four
    found = checks.users_ratio(n_kv_heads="1", **USERS)
    assert found == pytest.approx(after / before / 0.9, rel=1e-3)  # blocks have no gaps between them


def test_the_models_own_heads_and_one_head_differ():
    own, eight = (checks.users_ratio(n_kv_heads=n, **USERS) for n in ("own", "8"))
    assert own == eight  # the model has eight
    assert math.isnan(checks.users_ratio(n_kv_heads="1", **(USERS | {"tp": 1})))


def test_the_conditions_are_true():
    rows = claims.ledger(chapter="software/kv_cache").set_index("id")
    assert "tp = 8" in rows.at["mqa-8x", "condition"]
    assert checks.heads_ratio(model="llama-2-70b", tp=8, n_kv_heads=1) == 8
    assert checks.SHARED in rows.at["pagedattention-55pct", "condition"]
