"""Methods of quantization beside each other, by hand and by law."""

from dataclasses import replace

import numpy as np
import pytest

from costpertoken import Workload
from costpertoken.answers import estimate, quantize
from costpertoken.answers.compose import cost
from costpertoken.model.setup import Setup

PLACED = estimate.deployment("llama-3.1-70b", "h100-sxm", weights="bf16", tp=4)
LOAD = Workload(input_tokens=1000, output_tokens=500)
FOUR, EIGHT = "GPTQ or AWQ, 4 bits (W4A16)", "FP8 (W8A8)"


def test_weight_only_methods_store_narrow_and_multiply_wide():
    base = Setup(deployment=PLACED, workload=LOAD)
    stored = {words: quantize.quantized(base, words).deployment.precision for words in quantize.METHODS}
    assert stored[FOUR].dense_bytes == 4.15625 / 8 and stored[FOUR].dense_math == "bf16"
    assert stored["AWQ, 3 bits (W3A16)"].dense_bytes == 3.15625 / 8
    both = stored["4-bit weights, FP8 products (W4A8)"]
    assert (both.dense_bytes, both.dense_math, both.cache_bytes) == (4.15625 / 8, "fp8", 2.0)


def test_gains_split_the_saving_between_the_same_batch_and_admitted_requests():
    table = quantize.gains(PLACED, LOAD, usd_per_hour=2.5).set_index("method")
    none = table.loc["none"]
    saved = 100 * (1 - table["usd"] / none["usd"])
    assert (table["same_batch"] + table["admitted"]).to_numpy() == pytest.approx(saved.to_numpy())
    assert none["usd"] == pytest.approx(cost(Setup(deployment=PLACED, workload=LOAD), 2.5))
    assert (table["requests"].iloc[1:] > none["requests"]).all()


def test_the_saving_falls_with_the_load_for_weights_alone():  # as far as both hold it
    flight = quantize.flights(350)
    found = quantize.ratios(PLACED, LOAD, flight).pivot(index="requests", columns="method", values="ratio")
    assert (np.diff(found[FOUR]) > 0).all()
    assert found[FOUR].iloc[0] < found[EIGHT].iloc[0] and found[FOUR].iloc[-1] > found[EIGHT].iloc[-1]


def test_the_crossing_is_where_the_second_becomes_cheaper():
    flight = quantize.flights(500, 200)
    frame = quantize.ratios(PLACED, LOAD, flight)
    at = quantize.crossing(frame, FOUR, EIGHT)
    wide = frame.pivot(index="requests", columns="method", values="ratio")
    above, below = wide[wide.index >= at], wide[wide.index < at]
    assert (above[EIGHT] < above[FOUR]).all() and below[EIGHT].iloc[-1] >= below[FOUR].iloc[-1]
    assert np.isnan(quantize.crossing(frame[frame["requests"] < at], FOUR, EIGHT))


def test_constants_move_both_alike():
    base = Setup(deployment=PLACED, workload=replace(LOAD, concurrency=8.0))
    plain = quantize.cost_ratio(base, FOUR)
    assert quantize.cost_ratio(base, FOUR, weight_bandwidth=PLACED.efficiency.weight_bandwidth) == pytest.approx(plain)
    slower = quantize.cost_ratio(base, FOUR, weight_bandwidth=0.5 * PLACED.efficiency.weight_bandwidth)
    assert slower < plain  # more of the step is reading weights, so narrow ones save more


def test_quality_is_a_ratio_of_published_perplexities():
    kept = quantize.quality().set_index(["method", "bits", "model"])["kept"]
    assert kept["awq", 3, "Llama-2-70B"] == pytest.approx(100 * 3.32 / 3.74)
    assert kept["gptq", 4, "LLaMA-7B"] == pytest.approx(100 * 5.68 / 6.22)
    assert len(kept) == 4 * 2 * 7
