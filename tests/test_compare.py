"""Placements beside one another: the cheapest one equals the best of all that were tried one by one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from costpertoken import tables
from costpertoken.answers import compare as many
from costpertoken.answers import estimate as one
from costpertoken.model.records import Workload

REQUEST = Workload(input_tokens=800, output_tokens=200)
PAIRS = [
    ("llama-3.1-8b", "h100-sxm"),
    ("llama-3.1-70b", "l40s"),
    ("gpt-oss-20b", "mi300x"),
    ("deepseek-v3", "h200-sxm"),
]
pairs = pytest.mark.parametrize(("model_id", "accelerator_id"), PAIRS)


def tried(model_id, accelerator_id, steps, tpot_limit_s=np.inf, ttft_limit_s=np.inf):
    """(tokens per second and accelerator, weights, tp, batch) of every placement within the limits, one by one."""
    for weights in many.FORMATS:
        first = one.deployment(model_id, accelerator_id, weights=weights)
        if weights == "fp8" and "fp8" not in first.accelerator.peak_flop_per_s:
            continue
        for deployed in (replace(first, tp=tp) for tp in one.degrees_of(first)):
            most = float(one.serve_workload(deployed, REQUEST).batch)
            if not most >= 1:
                continue
            for batch in np.geomspace(1, most, steps):
                out = one.serve_workload(deployed, replace(REQUEST, concurrency=batch))
                if out.tpot_s <= tpot_limit_s and out.ttft_s <= ttft_limit_s:
                    yield float(out.output_tok_per_s) / deployed.tp, weights, deployed.tp, batch


def rate(found) -> float:
    deployed, workload = found
    return float(one.serve_workload(deployed, workload).output_tok_per_s) / deployed.tp


@pairs
@pytest.mark.parametrize(
    "limits", [{}, {"tpot_limit_s": 0.03}, {"ttft_limit_s": 0.2}, {"tpot_limit_s": 0.02, "ttft_limit_s": 0.5}]
)
def test_cheapest_placement_equals_trying_all(monkeypatch, model_id, accelerator_id, limits):
    monkeypatch.setattr(many, "BATCH_STEPS", 7)
    found = many.cheapest_placement(model_id, accelerator_id, REQUEST, **limits)
    every = list(tried(model_id, accelerator_id, 7, **limits))
    assert (found is None) == (not every)
    if every:
        speed, weights, tp, batch = max(every)
        deployed, workload = found
        assert (deployed.precision.id.split("/")[0], int(deployed.tp)) == (weights, tp)
        assert workload.concurrency == pytest.approx(batch) and rate(found) == pytest.approx(speed)


@pairs
def test_at_most_one_step_between_batches_is_lost(model_id, accelerator_id):
    """Throughput grows no faster than the batch, so the ratio of neighbouring batches bounds what a finer grid finds."""
    limits = {"tpot_limit_s": 0.04}
    found = many.cheapest_placement(model_id, accelerator_id, REQUEST, **limits)
    best, *_ = max(tried(model_id, accelerator_id, 4 * many.BATCH_STEPS, **limits))
    most = float(one.serve_workload(found[0], REQUEST).batch)
    assert best / most ** (1 / (many.BATCH_STEPS - 1)) <= rate(found) <= best * (1 + 1e-9)


@drawn(st.sampled_from(PAIRS), st.floats(0.004, 0.2), st.floats(0.02, 3))
@settings(max_examples=40, deadline=None)
def test_limits_are_kept(pair, tpot_limit_s, ttft_limit_s):
    found = many.cheapest_placement(*pair, REQUEST, tpot_limit_s=tpot_limit_s, ttft_limit_s=ttft_limit_s)
    if found:
        out = one.serve_workload(*found)
        assert out.tpot_s <= tpot_limit_s and out.ttft_s <= ttft_limit_s


@drawn(st.sampled_from(PAIRS), st.sampled_from(["tpot_limit_s", "ttft_limit_s"]), st.floats(0.005, 1), st.floats(1, 20))
@settings(max_examples=40, deadline=None)
def test_a_looser_limit_never_costs_more(pair, limit, tight, factor):
    narrow, wide = (many.cheapest_placement(*pair, REQUEST, **{limit: value}) for value in (tight, tight * factor))
    if narrow:
        assert rate(wide) >= rate(narrow) * (1 - 1e-12)


def test_the_order_of_formats_does_not_matter():
    found = [
        many.cheapest_placement("llama-3.1-8b", "h100-sxm", REQUEST, formats=f)
        for f in (("bf16", "fp8"), ("fp8", "bf16"))
    ]
    assert found[0] == found[1]


def test_what_fits_nowhere_is_none():
    assert many.cheapest_placement("llama-3.1-405b", "t4", REQUEST) is None
    assert many.cheapest_placement("llama-3.1-8b", "h100-sxm", REQUEST, tpot_limit_s=1e-6) is None


@pytest.mark.parametrize(
    ("accelerator_id", "weights", "yes"),
    [("h100-sxm", "fp8", True), ("a100-80gb-sxm", "fp8", False), ("t4", "bf16", True), ("a100-80gb-sxm", "int4", True)],
)
def test_who_multiplies_in_what(accelerator_id, weights, yes):
    assert many.multiplies_in(tables.accelerator(accelerator_id), weights) is yes


# ---- tables of them


@pytest.fixture(scope="module")
def frame():
    return many.compare("llama-3.1-70b", ["h100-sxm", "l40s", "mi300x", "t4"], REQUEST, tpot_limit_s=0.1)


def test_rows_are_sorted_and_what_does_not_fit_has_none(frame):
    assert sorted(frame["accelerator_id"]) == ["h100-sxm", "l40s", "mi300x"]
    assert frame["output_value"].is_monotonic_increasing
    assert (frame["tpot_ms"] <= 100).all()


def test_rows_are_estimates_of_their_placement(frame):
    for row in frame.to_dict("records"):
        placed = one.deployment(
            "llama-3.1-70b", row["accelerator_id"], weights=row["weights"], tp=row["n_accelerators"]
        )
        price = one.headline_price(row["accelerator_id"])
        result = one.estimate(placed, replace(REQUEST, concurrency=row["batch"]), price)
        assert row["output_value"] == pytest.approx(one.ranges(result)["value"])
        assert row["input_high"] == pytest.approx(one.ranges(result, "input_usd_per_mtok")["high"])
        assert row["usd_per_hour"] == price.usd_per_hour


def test_ranges_of_rows_are_finite_and_ordered(frame):
    for kind in ("output", "input"):
        ends = frame[[f"{kind}_low", f"{kind}_model_low", f"{kind}_value", f"{kind}_model_high", f"{kind}_high"]]
        assert np.isfinite(ends.to_numpy()).all() and (np.diff(ends.to_numpy(), axis=1) >= 0).all()


def test_nothing_within_the_limits_is_an_empty_table():
    assert many.compare("llama-3.1-70b", ["h100-sxm"], REQUEST, ttft_limit_s=1e-6).empty


def test_on_offer_is_what_can_be_priced():
    names = many.on_offer()
    assert "h100-sxm" in names and "h20" not in names
    assert all(one.headline_price(name).n_offers for name in names)
