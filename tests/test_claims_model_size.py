"""Checks of the claims on model size, against figures worked out by hand, and the module behind the chapter."""

import math
from dataclasses import replace

import numpy as np
import pytest

from costpertoken import Workload
from costpertoken.answers import estimate as answers
from costpertoken.answers import sizes
from costpertoken.evidence import admissible, claims
from costpertoken.evidence.checks import model_size
from costpertoken.model import transformer

SHORT = {"input_tokens": 100, "output_tokens": 100}
#: Parameters from the papers' dimensions: layers x (4 d^2 + 8 d^2) + vocabulary x d for GPT-3 (arXiv 2005.14165, table 2.1).
GPT3 = 96 * 12 * 12288**2 + 50257 * 12288
#: Llama 2 70B: queries and output d^2 each, keys and values d x 8 x 128 each, three matrices of d x 28672; two vocabularies.
LLAMA70 = 80 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672) + 2 * 32000 * 8192


@pytest.mark.parametrize(
    ("parameters", "model", "weights", "n_bytes", "accelerator", "memory_gb", "expected"),
    [
        (LLAMA70, "llama-2-70b", "fp16", 2, "h100-sxm", 80, 2),  # 138 GB
        (LLAMA70, "llama-2-70b", "fp16", 2, "h200-sxm", 141, 1),
        (LLAMA70, "llama-2-70b", "fp8", 1, "h100-sxm", 80, 1),
        (GPT3, "gpt-3-175b", "fp16", 2, "h100-sxm", 80, 8),  # 349 GB, over 4 x 80
        (GPT3, "gpt-3-175b", "fp16", 2, "mi300x", 192, 2),
    ],
)
def test_fewest_by_hand(parameters, model, weights, n_bytes, accelerator, memory_gb, expected):
    by_hand = next(n for n in (1, 2, 4, 8, 16) if n * memory_gb * 1e9 > parameters * n_bytes)
    assert by_hand == expected
    found = model_size.fewest_accelerators(model=model, accelerator=accelerator, weights=weights, **SHORT)
    assert found == expected


def test_what_two_servers_do_not_hold_is_no_number():
    assert math.isnan(model_size.fewest_accelerators(model="deepseek-v3", accelerator="l40s", weights="fp16", **SHORT))


def test_excess_by_another_route():
    load = {"weights": "fp16", "machines": "fewest", "requests": 1, **SHORT}
    found = model_size.beyond_parameters(step="llama-2-70b to gpt-3-175b", accelerator="h100-sxm", **load)
    one = {}
    for name, tp in (("llama-2-70b", 2), ("gpt-3-175b", 8)):
        at = answers.deployment(name, "h100-sxm", weights="fp16", tp=tp)
        out = answers.serve_workload(at, Workload(**SHORT, concurrency=1.0))
        one[name] = tp * float(out.step.step_s)  # accelerator-seconds a token: a request of n tokens takes n mixed steps
    assert found.value == pytest.approx(one["gpt-3-175b"] / one["llama-2-70b"] / (GPT3 / LLAMA70), rel=1e-3)
    assert found.low < found.value < found.high


def test_condition_of_the_step_holds_by_substitution():
    row = claims.ledger(claim_id="size-step-cost-beyond-linear").iloc[0]
    known = admissible.inputs("size-step-cost-beyond-linear")
    assert row["verdict"] == "holds-under"
    step = row["condition"].removeprefix("step = ").split(" (default")[0]
    found = model_size.beyond_parameters(**{**admissible.defaults(known), "step": step})
    assert 2 - 0.5 <= found.value <= 3 + 0.5


def test_twins_have_the_parameters_and_the_cache():
    model = answers.deployment("qwen3-30b-a3b", "h100-sxm").model
    for like, active in (("total", False), ("active", True)):
        twin = sizes.dense_twin(model, like=like)
        assert sizes.n_parameters(twin) == pytest.approx(sizes.n_parameters(model, active=active), rel=1e-3)
        assert transformer.cache_elements_per_layer(twin) == transformer.cache_elements_per_layer(model)


def test_fewer_key_value_heads_change_the_cache_and_little_else():
    model = answers.deployment("gpt-3-175b", "h100-sxm").model
    grouped = sizes.with_kv_heads(model, 8)
    assert transformer.cache_elements_per_layer(grouped) == transformer.cache_elements_per_layer(model) / 12
    assert 0.8 < sizes.n_parameters(grouped) / sizes.n_parameters(model) < 1
    assert sizes.with_kv_heads(grouped, 8) is grouped


def test_a_deeper_model_grows_by_its_layers():
    model = answers.deployment("llama-2-70b", "h100-sxm").model
    layer = 2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672 + 2 * 8192
    grown = sizes.n_parameters(sizes.deepened(model, 90)) - sizes.n_parameters(model)
    assert grown == pytest.approx(10 * layer)


def test_cheapest_is_no_dearer_than_fewest():
    at = answers.deployment("llama-2-70b", "h100-sxm", weights="fp16")
    row = sizes.fit_row(at, Workload(input_tokens=1000, output_tokens=1000), usd_per_hour=2.0)
    assert row["fewest"] == 2 and row["usd_cheapest"] <= row["usd_fewest"] * 1.001
    fewest = answers.serve_workload(replace(at, tp=2), Workload(input_tokens=1000, output_tokens=1000))
    assert row["usd_fewest"] == pytest.approx(2 * 2.0 / 3600 / float(fewest.output_tok_per_s) * 1e6)


def test_power_law_of_a_power_law():
    x, z = np.array([1.0, 2.0, 5.0, 9.0]), np.array([3.0, 1.0, 4.0, 1.5])
    (a, b), factor, miss = sizes.power_law(7 * x**0.5 * z**0.25, x, z)
    assert (a, b, factor, miss) == pytest.approx((0.5, 0.25, 7.0, 1.0))
