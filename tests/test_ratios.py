"""Errors of ratios: pairs are what differs in one thing, a common error cancels, and the record gives the bands."""

import numpy as np
import pandas as pd
import pytest

from costpertoken import tables
from costpertoken.evidence import ratios


def rows(**columns):
    base = {
        "family": "f", "engine_version": "1", "model_id": "m", "weight_precision": "fp8", "regime": "closed-loop",
        "metric": "tpot_ms", "isl": 100.0, "osl": 100.0, "concurrency": 8.0, "accelerator_id": "a", "n_accel": 1.0, "tp": 1.0,
    }  # fmt: skip
    n = max(len(values) for values in columns.values())
    return pd.DataFrame({name: columns.get(name, [value] * n) for name, value in base.items()})


def test_a_common_error_cancels_in_the_ratio():
    frame = rows(accelerator_id=["a", "b"])
    assert ratios.pair_errors(frame, np.array([0.4, 0.4]), "accelerators") == pytest.approx([0, 0])


def test_by_hand_the_difference_both_ways():
    frame = rows(accelerator_id=["a", "b"])
    assert sorted(ratios.pair_errors(frame, np.array([0.1, 0.4]), "accelerators")) == pytest.approx([-0.3, 0.3])


def test_rows_that_differ_in_something_else_are_no_pair():
    assert not len(ratios.pair_errors(rows(accelerator_id=["a", "b"], isl=[100.0, 200.0]), np.array([0.1, 0.4]), "accelerators"))
    assert not len(ratios.pair_errors(rows(accelerator_id=["a", "a"]), np.array([0.1, 0.4]), "accelerators"))
    assert len(ratios.pair_errors(rows(concurrency=[8.0, 16.0]), np.array([0.1, 0.4]), "loads")) == 2


def test_first_tokens_and_prompts_alone_say_nothing_of_rates():
    frame = rows(accelerator_id=["a", "b"], metric=["ttft_ms", "ttft_ms"])
    assert not len(ratios.pair_errors(frame, np.array([0.1, 0.4]), "accelerators"))


@pytest.mark.parametrize("kind", ratios.PAIRS)
def test_bands_are_the_records_and_hold_one(kind):
    low, high = ratios.ratio_band(kind)
    recorded = tables.read("residuals").query("left_out == 'pair'").set_index("kind").loc[f"ratio of {kind}"]
    assert low < 1 < high and low * high == pytest.approx(1)
    assert np.log(high) == pytest.approx(recorded["log_high"]) and recorded["n_rows"] > 500


def test_what_differs_in_several_things_takes_the_widest():
    assert ratios.ratio_band("precisions", "models") == ratios.ratio_band("models")
    assert ratios.ratio_band("models")[1] > ratios.ratio_band("precisions")[1]
