"""Checks of the claims on precision, against figures worked out by hand, and the module behind the chapter."""

import math

import numpy as np
import pytest

from costpertoken import Workload, tables
from costpertoken.answers import estimate as answers
from costpertoken.answers import formats
from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import precision
from costpertoken.model import transformer

#: Llama 2 70B: layers, two vocabularies of 32000 x 8192, norms (two a layer and a final one).
LAYERS = 80 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672)
REST = 2 * 32000 * 8192 + 161 * 8192
LOAD = {"input_tokens": 1000, "output_tokens": 500}
START = {"model": "llama-2-70b", "accelerator": "h100-sxm", "tp": 4, "requests": 32, **LOAD}


def test_bytes_by_hand():
    """INT8 narrows the layers; vocabulary and norms stay at 16 bits."""
    found = precision.bytes_ratio(baseline="fp32", narrow="int8", model="llama-2-70b", requests=0, context_tokens=1000)
    assert found == pytest.approx(4 * (LAYERS + REST) / (LAYERS + 2 * REST), rel=1e-6)


def test_the_cache_draws_the_ratio_of_bytes_to_two():
    """Keys and values: 80 layers x 2 x 8 x 128 numbers of 4 and of 2 bytes; with many requests only they count."""
    cache = 80 * 2 * 8 * 128 * 1000
    found = precision.bytes_ratio(baseline="fp32", narrow="int8", model="llama-2-70b", requests=256, context_tokens=1000)
    assert found == pytest.approx((4 * (LAYERS + REST) + 256 * 4 * cache) / (LAYERS + 2 * REST + 256 * 2 * cache), rel=1e-6)
    assert 2 < found < 4


@pytest.mark.parametrize(
    ("method", "of", "full", "narrow"),
    [("weight-quant-4bit", "LLaMA-7B", 5.68, 6.09), ("w8a8-int8", "Llama-2-70B", 3.320, 3.359)],
)
def test_quality_as_printed(method, of, full, narrow):
    assert precision.quality_kept(method=method, of=of) == pytest.approx(100 * full / narrow)


def test_quality_that_nobody_printed_is_no_number():
    assert math.isnan(precision.quality_kept(method="w8a8-int8", of="LLaMA-7B"))


def test_cost_cut_by_another_route():
    found = precision.cost_cut(baseline="fp16", narrow="fp8", machines="same", requests=1000, model="llama-2-70b",
                               accelerator="h100-sxm", **LOAD)  # fmt: skip
    placed = [answers.deployment("llama-2-70b", "h100-sxm", weights=weights, tp=2) for weights in ("fp16", "fp8")]
    rates = [float(answers.serve_workload(at, Workload(**LOAD)).output_tok_per_s) for at in placed]
    assert found.value == pytest.approx(100 * (1 - rates[0] / rates[1]), rel=1e-6)
    assert found.low < found.value < found.high


def test_conditions_hold_by_substitution():
    checks = {"quantization-cost-cut-75": precision.cost_cut, "precision-largest-optimization": precision.precision_rank}
    for claim, function in checks.items():
        row, known = claims.ledger(claim_id=claim).iloc[0], admissible.inputs(claim)
        assert row["verdict"] == "holds-under"
        changed = dict(part.split(" (default")[0].split(" = ") for part in row["condition"].split(", "))
        assert all(known[name].words for name in changed), "a word is expected; numbers would be rounded in the condition"
        value = claims.figure(function(**{**admissible.defaults(known), **changed})).value
        assert value == pytest.approx(1) if claim.startswith("precision") else 67.5 <= value <= 82.5


def test_levers_against_their_parts():
    factors = precision.lever_factors(older="a100-80gb-sxm", baseline="fp16", **START)
    now = precision.usd_per_token(weights="fp16", **START)
    assert factors["context"] == pytest.approx(now / precision.usd_per_token(weights="fp16", **{**START, "input_tokens": 500}))
    medians = tables.price_rows("h100-sxm").groupby("cloud_class")["value"].median()
    assert factors["price"] == pytest.approx(medians.max() / medians.min())
    assert factors["batch"] >= 1 and factors["split"] >= 1
    assert precision.lever_factors(older="a100-80gb-sxm", baseline="fp16", **{**START, "requests": 1e6})["batch"] == 1


def test_rank_counts_what_is_larger():
    factors = precision.lever_factors(older="a100-80gb-sxm", baseline="fp16", **START)
    above = [name for name, factor in factors.items() if factor > factors["precision"]]
    assert precision.precision_rank(older="a100-80gb-sxm", baseline="fp16", **START) == 1 + len(above)


def test_a_start_that_does_not_fit_has_no_rank():
    assert math.isnan(precision.precision_rank(older="a100-80gb-sxm", baseline="fp32", **{**START, "tp": 1}))


@pytest.fixture(name="wide")
def _wide():
    return answers.deployment("llama-3.1-70b", "h100-sxm", weights="bf16", tp=4)


@pytest.mark.parametrize("load", [1.0, 32.0, None])
@pytest.mark.parametrize("name", formats.NARROW)
def test_causes_sum_to_the_saving(wide, name, load):
    request = Workload(**LOAD, concurrency=load)
    narrow = formats.in_formats(wide, (name,))[name]
    total = 100 * (1 - formats.cost_share(wide, narrow, request))
    assert formats.causes(wide, narrow, request)["saved"].sum() == pytest.approx(total)


def test_moving_a_constant_by_nothing_changes_nothing(wide):
    narrow = formats.in_formats(wide, ("fp8",))["fp8"]
    request = Workload(**LOAD)
    same = formats.cost_share(wide, narrow, request, dense_peak=wide.efficiency.dense_peak)
    assert same == pytest.approx(formats.cost_share(wide, narrow, request))


def test_crossing_is_where_the_costs_meet(wide):
    tried = np.geomspace(1, 400, 300)
    at = formats.crossing(wide, Workload(**LOAD), tried, first="int4", second="fp8")
    ratios = formats.cost_ratios(wide, Workload(**LOAD), np.array([at * 0.9, at * 1.1]), formats=("int4", "fp8"))
    both = ratios.pivot(index="requests", columns="format", values="ratio")
    assert both["INT4"].iloc[0] < both["FP8"].iloc[0] and both["INT4"].iloc[1] > both["FP8"].iloc[1]


def test_bits_carry_their_metadata(wide):
    table = formats.format_table(wide, Workload(**LOAD), usd_per_hour=2.0)
    bits = table.set_index("id")["bits"]
    assert bits["int4"] == 4 + (16 + 4) / 128 and bits["fp4"] == 4 + 8 / 16
    assert formats.cuts(table, "bits", "fp32").iloc[3] == 75


def test_measured_pairs_differ_in_format_only():
    pairs = formats.measured_pairs("h100-sxm").set_index(["model_id", "tp", "isl", "osl"])
    rows = tables.read("measurements").query(
        "accelerator_id == 'h100-sxm' and model_id == 'llama-2-70b' and tp == 2 and isl == 1000 and osl == 1000 "
        "and regime == 'offline-max-throughput' and metric == 'output_tok_s_total'"
    )
    best = rows.groupby("weight_precision")["value"].max()
    assert pairs.at[("llama-2-70b", 2.0, 1000.0, 1000.0), "ratio"] == pytest.approx(best["fp8"] / best["fp16"])


def test_filled_share_by_hand():
    pairs = formats.measured_pairs("h100-sxm").query("model_id == 'llama-2-70b' and tp == 2")
    found = formats.predicted_pairs(pairs, "h100-sxm").iloc[0]
    at = answers.deployment("llama-2-70b", "h100-sxm", weights="fp16", tp=2, engine=formats.MEASURED_UNDER)
    weights = sum(transformer.weight_bytes(at.model, at.precision).values())
    assert found["filled"] == pytest.approx(100 * weights / (2 * 80e9 * at.efficiency.memory_usable))
