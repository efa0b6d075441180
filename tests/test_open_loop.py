"""Measured runs at an offered rate beside the simulation: how they are read, and how near it comes."""

import numpy as np
import pytest

from costpertoken import tables
from costpertoken.evidence import open_loop


@pytest.fixture(scope="module")
def frame():
    return open_loop.compared()


def test_runs_hold_each_metric_once_and_their_offered_rate():
    rows = open_loop.measured()
    runs = rows.groupby([*open_loop.CONFIGURED, "run"])
    assert (runs["metric"].nunique() == 5).all() and (runs.size() == 5).all()
    for _, at in rows[rows["metric"] == "requests_s"].groupby(open_loop.CONFIGURED):
        assert at["offered_per_s"].tolist() == [2, 4, 8, 16, 32, np.inf]
        assert (at["value"] <= at["offered_per_s"]).all() and at["value"].is_monotonic_increasing


def test_a_run_that_lacks_a_metric_is_refused(monkeypatch):
    whole = tables.read("measurements")
    lacking = whole[whole["id"] != "trtsrv-0003"]
    monkeypatch.setattr(open_loop.tables, "read", lambda table: lacking)
    with pytest.raises(open_loop.InputError, match="trtsrv-0001: a run holds .* expected"):
        open_loop.measured()


def test_every_measured_value_has_a_prediction(frame):
    rows = tables.read("measurements").query("regime == 'open-loop'")
    assert set(frame["id"]) == set(rows["id"]) and len(frame) == len(rows)
    assert np.isfinite(frame["predicted"]).all() and (frame["predicted"] > 0).all()


def test_a_draw_keeps_its_rate():
    trace = open_loop.traffic(467, 256, 8.0, 3)
    assert trace.arrival_s.size / trace.arrival_s[-1] == pytest.approx(8.0)
    assert set(trace.input_tokens) == {467} and set(trace.output_tokens) == {256}
    gaps = np.diff(trace.arrival_s)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.15)
    assert (open_loop.traffic(467, 256, np.inf, 3).arrival_s == 0).all()


def test_the_same_seed_gives_the_same_figures(frame):
    at = open_loop.deployment(open_loop.measured().iloc[0][open_loop.PLACED].to_dict())
    once, again = (open_loop.simulated(at, open_loop.traffic(467, 256, 2.0, 0)) for _ in range(2))
    assert once == again
    found = frame[frame["id"] == "trtsrv-0003"]["predicted"].item()
    assert found == pytest.approx(once["tpot_ms"])


def test_errors_are_those_found(frame):
    """A regression test. The service's base of a first token, fitted elsewhere, is too long here."""
    found = open_loop.errors(frame).set_index(["load", "metric"])
    assert found["n"].to_dict() == {
        (load, metric): n for load, n in (("backlog", 12), ("poisson", 60)) for metric in open_loop.METRICS
    }
    error = found["median_error"]
    assert error["poisson"]["output_tok_s_total"] == pytest.approx(0.02, abs=0.01)
    assert error["poisson"]["tpot_ms"] == pytest.approx(0.15, abs=0.02)
    assert error["poisson"]["ttft_ms"] == pytest.approx(1.15, abs=0.1)
    assert found["median_error_without_base"]["poisson"]["ttft_ms"] == pytest.approx(0.12, abs=0.03)
    assert error["backlog"]["output_tok_s_total"] == pytest.approx(0.09, abs=0.02)
    assert error["backlog"]["ttft_ms"] == pytest.approx(0.06, abs=0.02)
    assert error["backlog"]["tpot_ms"] == pytest.approx(0.43, abs=0.05)


def test_latency_rises_with_the_offered_rate(frame):
    at = frame[frame["metric"].isin(["ttft_ms", "tpot_ms"]) & np.isfinite(frame["offered_per_s"])]
    for _, run in at.groupby(["model_id", "accelerator_id", "isl", "osl", "metric"]):
        assert run.sort_values("offered_per_s")["predicted"].is_monotonic_increasing
