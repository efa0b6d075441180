"""Intervals: they hold what they say on rows that the fit had not seen, and widen for what is new."""

import numpy as np
import pandas as pd
import pytest

from costpertoken import tables
from costpertoken.evidence import uncertain
from costpertoken.evidence.calibrate import fit, log_errors, usable
from costpertoken.evidence.constants import assignment, efficiency_of
from costpertoken.evidence.observations import observe


@pytest.fixture(scope="module")
def unseen():
    """Log errors on H200 rows of constants that were fitted without any, and the interval made from the other rows."""
    rows = usable(tables.read("measurements")).query("regime == 'offline-max-throughput'")
    away = rows["accelerator_id"] == "h200-sxm"
    fitted = fit(observe(rows[~away].sample(500, random_state=1).sort_values("id")))
    residuals = uncertain.table(fitted, "2026-01").fillna("")
    seen = observe(rows[away].sample(200, random_state=1).sort_values("id"))
    error = log_errors(seen, efficiency_of(fitted.values, assignment(seen, fitted.rows)))
    return error, uncertain.log_interval(["accelerator"], "throughput", "offline-max-throughput", "dense", residuals)


@pytest.mark.slow
def test_intervals_hold_on_an_accelerator_never_seen(unseen):
    # 200 correlated rows of one accelerator: four of five, give or take what one accelerator may differ from the others.
    error, (low, high) = unseen
    held = np.mean((-error >= low) & (-error <= high))
    assert 0.65 <= held <= 0.97


@pytest.mark.parametrize("backlog", [True, False])
@pytest.mark.parametrize("model_id", ["llama-3.1-70b", "kimi-k2", "mixtral-8x7b"])
@pytest.mark.parametrize("accelerator_id", ["h100-sxm", "gb200", "mi300x"])
def test_a_cost_interval_holds_its_own_value(accelerator_id, model_id, backlog):
    (low, high), support = uncertain.cost_interval(accelerator_id, model_id, "vllm", backlog=backlog)
    assert 0 < low <= 1 <= high
    assert (support == "supported") == (accelerator_id == "h100-sxm" and model_id != "kimi-k2")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("h100-sxm", "llama-3.1-70b", "vllm"), ""),
        (("gb200", "llama-3.1-70b", "vllm"), "gb200 never measured"),
        (("mi300x", "llama-3.1-70b", "vllm"), "AMD never measured under vllm"),
        (("h100-sxm", "kimi-k2", "vllm"), "kimi-k2 never measured"),
        (("gb200", "kimi-k2", "vllm"), "gb200 never measured and kimi-k2 never measured"),
    ],
)
def test_what_is_new_is_said(asked, words):
    assert uncertain.novelty(*asked) == words
    assert uncertain.case_of(*asked) == (["release"] if not words else uncertain.case_of(*asked))
    assert ("model" in uncertain.case_of(*asked)) == ("kimi" in words)


def test_more_that_is_new_is_never_surer():
    residuals = tables.read("residuals")
    asked = ("throughput", "offline-max-throughput", "dense", residuals)
    spans = [uncertain.log_interval(case, *asked) for case in (["accelerator"], ["accelerator", "model"])]
    assert spans[1][0] <= spans[0][0] and spans[1][1] >= spans[0][1]


@pytest.mark.parametrize("architecture", ["", "dense"])
def test_an_accelerator_never_seen_is_less_sure_than_one_seen(architecture):
    """The same pool, with each accelerator's rows left out and with nothing left out."""
    asked = ("throughput", "offline-max-throughput", architecture, tables.read("residuals"))
    unseen, seen = (np.diff(uncertain.log_interval([case], *asked))[0] for case in ("accelerator", "none"))
    assert unseen > seen


def test_an_interval_turns_the_errors_round():
    """Predicted 30 % of a log too high at most means measured that much lower, and a cost that much higher."""
    named = {"left_out": "release", "kind": "throughput", "regime": "offline-max-throughput", "architecture": "dense"}
    pool = pd.DataFrame([named | {"n_rows": 100, "log_low": -0.1, "log_high": 0.3}])
    found = uncertain.log_interval(["release"], "throughput", "offline-max-throughput", "dense", pool)
    assert found == (-0.3, 0.1)


def test_a_cost_goes_against_its_throughput_and_with_its_step():
    rows = (
        tables.read("residuals")
        .query("left_out == 'release' and architecture == 'dense'")
        .set_index(["kind", "regime"])
    )
    for backlog, at in ((True, ("throughput", "offline-max-throughput")), (False, ("tpot", "closed-loop"))):
        low, high = np.exp(rows.loc[at, ["log_low", "log_high"]].astype(float)) ** (1 if backlog else -1)
        expected = sorted((low, high))
        found, _ = uncertain.cost_interval("h100-sxm", "llama-3.1-70b", "vllm", backlog=backlog)
        assert found == pytest.approx((min(expected[0], 1), max(expected[1], 1)), rel=1e-6)


def test_summary_by_hand():
    error = np.log(np.array([0.5, 0.8, 1.0, 1.25, 2.0]))
    found = uncertain.summary(error)
    assert found["median_error"] == pytest.approx(0.25) and found["mean_error"] == pytest.approx(
        (0.5 + 0.2 + 0 + 0.25 + 1) / 5
    )
    assert found["bias"] == pytest.approx(0) and found["n_rows"] == 5


def test_small_pools_give_way_to_wider_ones():
    residuals = tables.read("residuals")
    wide = uncertain.log_interval(["release"], "ttft", "single-stream", "moe", residuals)
    assert wide == uncertain.log_interval(["release"], "ttft", "single-stream", "", residuals)
