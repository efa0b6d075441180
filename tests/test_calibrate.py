"""The fit: it finds what made the data, gives the same digits twice, and shrugs at absurd rows."""

from dataclasses import replace

import numpy as np
import pytest

from costpertoken import tables
from costpertoken.evidence import calibrate, leave_out, ratios
from costpertoken.evidence.calibrate import fit, usable
from costpertoken.evidence.constants import assignment, efficiency_of
from costpertoken.evidence.observations import observe
from costpertoken.evidence.predict import predict

pytestmark = pytest.mark.slow
MADE = {"weight_bandwidth": 0.7, "dense_peak": 0.5, "cache_bandwidth": 0.6}


@pytest.fixture(scope="module")
def observed():
    rows = usable(tables.read("measurements"))
    rows = rows[rows["regime"].isin(["offline-max-throughput", "static-batch"]) & rows["engine"].eq("TensorRT-LLM")]
    return observe(rows.sample(400, random_state=0).sort_values("id"))


@pytest.fixture(scope="module")
def fitted(observed):
    return fit(observed)


def test_the_same_rows_give_the_same_digits(observed, fitted):
    assert list(fit(observed).values) == list(fitted.values)


def test_constants_keep_within_their_bounds(fitted):
    slack = 1 + 1e-5
    assert (fitted.values <= fitted.rows["high"] * slack).all()
    assert (fitted.values * slack >= np.minimum(fitted.rows["low"], fitted.values)).all()


def test_what_no_row_informs_stays_assumed(fitted):
    frame = calibrate.table(fitted, "2026-01")
    alone = frame["n_rows"] == 0
    assert alone.any() and (frame.loc[alone, "basis"] == "assumed").all()
    assert frame.loc[alone, "value"].to_numpy() == pytest.approx(fitted.rows.loc[alone, "value"].to_numpy(), rel=1e-4)


def test_known_constants_are_found_again(observed, monkeypatch):
    """Values made by the model with other constants: with next to no prior the fit gives those back."""
    monkeypatch.setattr(calibrate, "PRIOR_WEIGHT", 0.05)
    rows = tables.read("efficiency")
    made = rows["value"].to_numpy(float).copy()
    for name, value in MADE.items():
        made[(rows["constant"] == name) & (rows[["engine", "vendor", "format"]] == "").all(axis=1)] = value
    values = predict(observed, efficiency_of(made, assignment(observed, rows)))
    again = fit(replace(observed, value=values))
    for name, value in MADE.items():
        at = (rows["constant"] == name) & (rows[["engine", "vendor", "format"]] == "").all(axis=1)
        assert float(again.values[at][0]) == pytest.approx(value, rel=0.05), name
    assert np.median(np.abs(again.residuals)) < 0.01


def test_an_absurd_row_moves_little(observed, fitted):
    value = observed.value.copy()
    value[:4] *= 1000
    moved = fit(replace(observed, value=value))
    rest = slice(4, None)
    shift = moved.residuals[rest] - fitted.residuals[rest]
    assert np.median(np.abs(shift)) < 0.03


def test_leaving_out_by_a_step_agrees_with_a_refit(observed, fitted):
    """The Gauss-Newton step against a true fit without the group, on the group's own errors."""
    frame = observed.predicted.reset_index(drop=True)
    left = (frame["accelerator_id"] == "h200-sxm").to_numpy()
    stepped = leave_out.errors(fitted, "accelerator")[left]
    true = fit(observe(frame[~left]))
    assigned = assignment(observed, true.rows)
    refitted = calibrate.log_errors(observed, efficiency_of(true.values, assigned))[left]
    assert left.sum() > 30
    assert np.median(np.abs(stepped - refitted)) < 0.05


def test_tables_on_record_belong_together():
    keys = ["constant", "engine", "vendor", "format"]
    prior, fitted = tables.read("efficiency"), tables.read("calibration")
    assert prior[keys].equals(fitted[keys])
    assert (fitted["low"] <= fitted["value"]).all() and (fitted["value"] <= fitted["high"]).all()
    assert (fitted["n_rows"] <= usable(tables.read("measurements")).shape[0]).all()


def test_residuals_on_record_are_whole():
    """Every way of leaving out is judged on the same rows, and pools add up to what they pool."""
    record = tables.read("residuals")
    frame = record[record["left_out"] != "pair"]
    assert set(record.loc[record["left_out"] == "pair", "kind"]) == {f"ratio of {kind}" for kind in ratios.PAIRS}
    keys = ["kind", "regime", "architecture"]
    counts = {case: group.set_index(keys)["n_rows"].to_dict() for case, group in frame.groupby("left_out")}
    assert set(counts) == {"none", *leave_out.CASES} and not frame.duplicated(["left_out", *keys]).any()
    assert all(found == counts["none"] for found in counts.values())
    parts = (
        frame[(frame["left_out"] == "none") & (frame["architecture"] != "")].groupby(["kind", "regime"])["n_rows"].sum()
    )
    assert all(counts["none"][(*at, "")] == n for at, n in parts.items())
    assert all(counts["none"][(kind, "", "")] == n for kind, n in parts.groupby("kind").sum().items())


def test_the_record_is_level_with_the_measurements():
    """data/calibration.csv is what the fit gives today; another processor's last digits may end the search a little elsewhere."""
    fitted = calibrate.fit_measurements()
    assert fitted.values == pytest.approx(tables.read("calibration")["value"].to_numpy(), rel=0.01), (
        "run `make calibrate`"
    )
