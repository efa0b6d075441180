"""Schedules beside one another: by hand, by the model's other routes, and by laws."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from costpertoken import Workload, allocate, serve, tables
from costpertoken.answers import scheduling
from costpertoken.fleet.pools import disaggregate
from costpertoken.model.serving import serve_static

DEPLOYED = tables.deployment("llama-3.1-70b", "h100-sxm", weights="fp8", tp=2)
WORK = Workload(input_tokens=1000, output_tokens=300)
SIZES = {"input_tokens": 1000, "output_tokens": 300}


def test_occupancy_of_one_is_whole_and_falls_with_batch_and_spread():
    assert scheduling.occupancy(batch=np.array([1.0, 7.0, 90.0]), output_cv=0.0) == pytest.approx([1, 1, 1])
    falling = scheduling.occupancy(batch=np.array([1.0, 4.0, 32.0]), output_cv=0.8)
    assert falling[0] == pytest.approx(1) and np.all(np.diff(falling) < 0)
    assert scheduling.occupancy(batch=16, output_cv=1.5) < scheduling.occupancy(batch=16, output_cv=0.3)


def test_occupancy_of_two_by_hand():
    """The longer of two lognormal lengths of mean 1 is 2 N(sigma / sqrt 2) in the mean."""
    from scipy.stats import norm

    for cv in (0.3, 0.8, 1.5):
        sigma = np.sqrt(np.log1p(cv**2))
        assert 1 / scheduling.occupancy(batch=2, output_cv=cv) == pytest.approx(2 * norm.cdf(sigma / np.sqrt(2)), rel=0.005)


def test_the_table_of_schedules_is_the_model_s_own_serving():
    table = scheduling.beside(DEPLOYED, WORK, slots=16, output_cv=0.0, usd_per_hour=3.0).set_index("schedule")
    chunked, static = serve(DEPLOYED, **SIZES, concurrency=16), serve_static(DEPLOYED, **SIZES, batch=16)
    usd = allocate(chunked, usd_per_hour=3.0, allocation="output-only").output_usd_per_mtok
    assert table.at["chunked", "usd"] == pytest.approx(float(usd))
    assert table.at["chunked", "tpot_ms"] == pytest.approx(1e3 * float(chunked.tpot_s))
    assert table.at["static", "requests_per_s"] == pytest.approx(float(static.requests_per_s))
    assert table["occupied"].tolist() == pytest.approx([100, 100, 100])


def test_share_of_peak_by_hand():
    """Requests a second times two FLOP a parameter and token, over the peaks of both accelerators; attention is little."""
    row = scheduling.beside(DEPLOYED, WORK, slots=16, output_cv=0.8, usd_per_hour=3.0).set_index("schedule").loc["chunked"]
    flop = 2 * 69.5e9 * 1300
    peak = 2 * tables.accelerator("h100-sxm").peak_flop_per_s["fp8"]
    assert row["mfu"] == pytest.approx(100 * row["requests_per_s"] * flop / peak, rel=0.05)


def test_static_slots_are_fewer_where_memory_holds_the_longest():
    long = replace(WORK, output_tokens=4000)
    fits = scheduling.slots_that_fit(DEPLOYED, long, slots=250, output_cv=0.8)
    assert 1 <= fits < 250
    assert scheduling.slots_that_fit(DEPLOYED, WORK, slots=8, output_cv=0.8) == 8


def test_frontiers_are_those_of_the_two_models():
    curves = scheduling.frontiers(DEPLOYED, WORK, usd_per_hour=3.0, transfer_bytes_per_s=50e9)
    for kind, n in (("chunked", 7), ("two pools", 50)):
        at = curves[curves["kind"] == kind].iloc[n]
        load = {**SIZES, "concurrency": at["flight"]}
        if kind == "chunked":
            out, tpot_s = serve(DEPLOYED, **load), serve(DEPLOYED, **load).step.step_s
        else:
            out = disaggregate(DEPLOYED, DEPLOYED, **load, transfer_bytes_per_s=50e9)
            tpot_s = out.tpot_s
        assert at["tpot_ms"] == pytest.approx(1e3 * float(tpot_s))
        assert at["usd"] == pytest.approx(3.0 * float(out.n_accelerators / out.output_tok_per_s) * 1e6 / 3600)


def made(chunked: list[float], pools: list[float]) -> pd.DataFrame:
    """Curves over TPOT limits of 10, 20, 30 ms."""
    rows = {"kind": ["chunked"] * 3 + ["two pools"] * 3, "tpot_ms": [10.0, 20.0, 30.0] * 2, "usd": chunked + pools}
    return pd.DataFrame(rows)


def test_the_cheapest_within_a_limit():
    curves = made([9.0, 5.0, 6.0], [7.0, 5.5, 5.5])
    assert scheduling.cheapest_usd(curves, "chunked", [5, 10, 25, 99]).tolist() == [np.inf, 9.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("chunked", "pools", "expected"),
    [([9, 5, 4], [7, 6, 5], 20.0), ([9, 8, 7], [7, 6, 5], np.inf), ([6, 5, 4], [7, 6, 5], 0.0), ([9, 5, 5], [9, 4, 5], np.inf)],
)
def test_where_one_pool_becomes_the_cheaper_one(chunked, pools, expected):
    curves = made([float(x) for x in chunked], [float(x) for x in pools])
    assert scheduling.crossing_ms(curves) == expected
