"""How good the predictions are, on record: bars that must not rot unseen. Figures are of data/, made by `make calibrate`."""

import pandas as pd
import pytest

from costpertoken import tables
from costpertoken.evidence import quality
from costpertoken.evidence.validate import errors, figures, validate


@pytest.fixture(scope="module")
def checked():
    measured = tables.read("measurements")
    return validate(measured.astype(object).where(measured.notna(), ""))


def left_out(case: str, kind: str, regime: str) -> pd.Series:
    rows = tables.read("residuals")
    at = (rows["left_out"] == case) & (rows["kind"] == kind) & (rows["regime"] == regime) & (rows["architecture"] == "")
    return rows[at].iloc[0]


@pytest.mark.parametrize("case", ["none", "release", "accelerator", "model"])
def test_offline_throughput(case):
    assert left_out(case, "throughput", "offline-max-throughput")["median_error"] <= 0.10


def test_offline_throughput_of_another_release():
    assert left_out("release", "throughput", "offline-max-throughput")["mean_error"] <= 0.18


def test_time_per_output_token():
    at = left_out("none", "tpot", "closed-loop")
    assert at["median_error"] <= 0.12 and at["mean_error"] <= 0.20


@pytest.mark.parametrize("case", ["none", "release", "accelerator", "model"])
def test_time_to_first_token(case):
    assert left_out(case, "ttft", "closed-loop")["median_error"] <= 0.30


def test_dense_llama_in_fp8_on_hopper(checked):
    family = checked["id"].str.split("-").str[0].isin(["trt015", "trt020"])  # the newest two releases of the table
    dense = checked["model_id"].str.startswith("llama-3") & (checked["weight_precision"] == "fp8")
    rows = checked[family & dense & checked["accelerator_id"].isin(["h100-sxm", "h200-sxm"])]
    assert len(rows) > 150 and figures(rows.assign(value=rows["value"].astype(float)))["mean_error"] <= 0.08


def test_no_peer_is_nearer_on_its_own_rows(checked):
    beside = quality.peers(checked)
    assert len(beside) == 10
    assert (beside["own_mean_error"] < beside["mean_error"]).all()
    assert (beside["own_median_error"] < beside["median_error"]).all()


def test_peers_by_hand(monkeypatch):
    theirs = pd.DataFrame({"measurement_id": ["a", "b", "gone"], "peer": "p", "predicted": [1.5, 2.1, 9.0]})
    monkeypatch.setattr(quality.tables, "read", lambda name: theirs)
    rows = pd.DataFrame({"id": ["b", "a", "c"], "value": ["2.0", "1.0", "7.0"], "predicted": [1.8, 0.8, 7.0]})
    at = quality.peers(rows).iloc[0]
    assert (at["n"], at["mean_error"], at["closer"]) == (2, pytest.approx(0.275), 0.5)
    assert at["own_mean_error"] == pytest.approx(0.15)


def test_intervals_hold_on_the_record(checked):
    # In sample, so a little more than the four of five that they are made for.
    assert 0.75 <= errors(checked)["coverage"].iloc[0] <= 0.90


def test_few_rows_are_refused(checked):
    tried = checked["support"] != "not scorable"
    assert (checked.loc[tried, "support"] == "refused").mean() <= 0.05


def test_repeats_by_hand():
    same = dict.fromkeys(quality.SAME, "x") | {"engine": "e", "flag": ""}
    rows = [same | {"engine_version": v, "value": value} for v, value in (("1", 90.0), ("1", 110.0), ("2", 150.0))]
    found = quality.repeats(pd.DataFrame(rows)).set_index("compared")["median"]
    assert found["one release"] == pytest.approx(0.1)
    assert found["several releases"] == pytest.approx(30 / (350 / 3))


def test_the_worst_come_first(checked):
    worst = quality.worst(checked, ["regime", "model_id"], 20)
    assert worst["median_error"].is_monotonic_decreasing and (worst["n"] >= 20).all()
