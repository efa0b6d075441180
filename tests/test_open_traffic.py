"""Measured open traffic beside simulated: how it is read, and how near it comes."""

import numpy as np
import pytest

from costpertoken import tables
from costpertoken.answers import open_traffic


def test_rates_are_those_of_the_answers_tokens_below_overload():
    rows = open_traffic.rows(model_id="llama-3.1-70b", accelerator_id="h100-sxm")
    at = rows.query("isl == 467 and osl == 256")
    assert at["requests_per_s"].tolist() == pytest.approx([498 / 256, 973 / 256, 1860 / 256, 3164 / 256])
    assert at["ttft_ms"].tolist() == [62, 68, 92, 175] and at["tpot_ms"].tolist() == [21, 24, 32, 66]
    assert (open_traffic.rows()["ttft_ms"] < open_traffic.OVERLOADED_MS).all()


def test_every_row_has_a_source_of_the_book():
    assert set(open_traffic.rows()["source"]) <= set(tables.read("sources")["id"])


def test_simulated_waits_are_near_the_measured_ones():
    """A regression test: medians within a tenth for TPOT, a fifth for TTFT without the service's base."""
    found = open_traffic.beside_simulated(open_traffic.rows())
    tpot = found["tpot_simulated_ms"] / found["tpot_ms"]
    ttft = (found["ttft_simulated_ms"] - found["base_ms"]) / found["ttft_ms"]
    assert abs(np.median(tpot) - 1) < 0.1 and abs(np.median(ttft) - 1) < 0.2
    assert np.quantile(np.abs(tpot - 1), 0.8) < 0.3 and np.quantile(np.abs(ttft - 1), 0.8) < 0.35


def test_latency_rises_with_the_rate_in_both():
    found = open_traffic.beside_simulated(open_traffic.rows(model_id="llama-3.1-8b", accelerator_id="h200-sxm"))
    for _, at in found.groupby(["isl", "osl"]):
        for column in ("tpot_ms", "tpot_simulated_ms", "ttft_simulated_ms"):
            assert np.all(np.diff(at.sort_values("requests_per_s")[column]) > -0.5)
