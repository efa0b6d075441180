"""Rows into observations: what is needed, what is defaulted and said, and why a row is not predicted."""

import numpy as np
import pandas as pd
import pytest

from costpertoken.evidence.observations import METRICS, OPTIONAL, REGIMES, REQUIRED, observe, typed
from costpertoken.model.records import InputError

ROW = {
    "id": "a", "model_id": "llama-3.1-8b", "accelerator_id": "h100-sxm", "regime": "closed-loop", "metric": "tpot_ms",
    "value": "10", "engine": "vLLM", "n_accel": "2", "tp": "2", "isl": "1000", "osl": "500", "concurrency": "16",
    "weight_precision": "fp8",
}  # fmt: skip


def rows(**changed) -> pd.DataFrame:
    """One good row, and the same with other cells."""
    return pd.DataFrame([ROW, ROW | {"id": "b"} | changed])


def reason(**changed) -> str:
    return observe(rows(**changed)).frame["reason"].iloc[1]


def test_a_good_row_has_no_reason():
    seen = observe(pd.DataFrame([ROW]))
    assert seen.frame["reason"].tolist() == [""] and seen.keys == (("vllm", "NVIDIA", ("fp8", "fp8", "bf16")),)
    assert (seen.isl[0], seen.osl[0], seen.concurrency[0], seen.n_replicas[0]) == (1000, 500, 16, 1)


@pytest.mark.parametrize("name", REQUIRED)
def test_required_columns_are_named(name):
    with pytest.raises(InputError, match=f"column '{name}' is missing"):
        typed(pd.DataFrame([ROW]).drop(columns=name))


def test_optional_columns_may_be_missing():
    few = pd.DataFrame([{k: v for k, v in ROW.items() if k in REQUIRED or k in ("isl", "osl", "concurrency", "tp")}])
    assert set(OPTIONAL) <= set(typed(few).columns)
    assert observe(few).frame["noted"].tolist() == ["weights taken as bf16"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"isl": ""}, "not scorable: isl not in the row"),
        ({"isl": "", "osl": ""}, "not scorable: isl, osl not in the row"),
        ({"concurrency": ""}, "not scorable: concurrency not in the row"),
        ({"tp": "", "n_accel": ""}, "not scorable: tp or n_accel not in the row"),
        ({"regime": "open-loop"}, "not scorable: the arrival rate"),
        ({"metric": "audio_x_realtime"}, "not scorable: speech"),
        ({"regime": "closed"}, "unknown regime 'closed'; nearest: closed-loop"),
        ({"metric": "tpot"}, "unknown metric 'tpot'; nearest: tpot_ms"),
        ({"model_id": "llama-3.1-8"}, "unknown model 'llama-3.1-8'; nearest: llama-3.1-8b"),
        ({"accelerator_id": "h100"}, "unknown accelerator 'h100'"),
        ({"weight_precision": "fp7"}, "unknown precision 'fp7'"),
        ({"isl": "many"}, "bad row: isl is many"),
        ({"value": "-3"}, "bad row: value is -3"),
        ({"osl": "inf"}, "bad row: osl is inf"),
        ({"tp": "0.5"}, "bad row: tp is 0.5; expected a whole number"),
        ({"n_accel": "2.5"}, "bad row: n_accel is 2.5; expected a whole number"),
        ({"regime": "single-stream", "isl": ""}, "not scorable: isl not in the row"),
        ({"regime": "single-stream", "metric": "ttft_ms", "isl": "0"}, "not scorable: isl not in the row"),
        ({"regime": "offline-max-throughput", "metric": "ttft_ms", "osl": ""}, "not scorable: osl not in the row"),
        ({"regime": "prefill-only"}, "not scorable: prompts alone have no tpot_ms"),
        ({"regime": "other"}, "not scorable: regime"),
        (
            {"model_id": "llama-3.1-405b", "tp": "1", "n_accel": "1"},
            "weights need 410.1 GB on each accelerator, 80.0 GB",
        ),
    ],
)
def test_reasons(changed, says):
    assert reason(**changed).startswith(says)


def test_one_bad_row_stops_nothing():
    seen = observe(rows(isl="many"))
    assert len(seen.value) == 1 and seen.frame["reason"].tolist()[0] == ""


def test_no_good_row_is_an_error():
    with pytest.raises(InputError, match="no row can be predicted"):
        observe(pd.DataFrame([ROW | {"isl": ""}]))


def test_degrees_stated_defaulted_and_cut():
    frame = pd.DataFrame(
        [
            ROW | {"tp": "", "n_accel": "4"},
            ROW | {"tp": "2", "n_accel": "8"},
            ROW | {"accelerator_id": "inferentia2", "engine": "Transformers NeuronX", "tp": "24", "n_accel": "12"},
            ROW | {"engine": "llama.cpp", "tp": "", "n_accel": "4", "weight_precision": "q4_k_m"},
        ]
    )
    seen = observe(frame)
    assert list(seen.counts.tp) == [4, 2, 12, 1] and list(seen.counts.pp) == [1, 1, 1, 4]
    assert list(seen.n_replicas) == [1, 4, 1, 1]


@pytest.mark.parametrize(
    ("changed", "tp"),
    [
        ({}, 1),
        ({"pp": "4"}, 1),
        ({"n_accel": "2"}, 1),
        ({"weight_precision": "bf16", "model_id": "llama-3.1-70b"}, 4),
        ({"model_id": "llama-3.1-405b", "pp": "8"}, 1),
    ],
)
def test_runs_for_throughput_take_few_accelerators_a_replica(changed, tp):
    """140 GB of weights leave half of 80 GB free on four; never more than the stages leave of the accelerators."""
    seen = observe(rows(**{"regime": "offline-max-throughput", "tp": "", "n_accel": "8"} | changed))
    pp = float(changed.get("pp", 1))
    assert (seen.counts.tp[1], seen.counts.pp[1]) == (tp, pp)
    assert seen.n_replicas[1] == float(changed.get("n_accel", 8)) / (tp * pp)
    assert f"tp taken as {tp}" in seen.frame["noted"].iloc[1]


def test_a_file_without_rows_says_so():
    with pytest.raises(InputError, match="no row can be predicted: there is none"):
        observe(pd.DataFrame([ROW]).iloc[:0])


@pytest.mark.parametrize(
    ("changed", "held_gb"),
    [
        ({"weight_precision": "nvfp4"}, 3.2),
        ({"weight_precision": "FP16"}, 8.0),
        ({"weight_precision": "fp8_e4m3"}, 4.5),
    ],
)
def test_other_names_of_formats(changed, held_gb):
    assert observe(rows(**changed)).counts.held_bytes[1] / 1e9 == pytest.approx(held_gb, rel=0.1)


def test_mlperf_entries_take_the_narrowest_format():
    entry = {"engine": "TensorRT 10.2", "regime": "server", "weight_precision": "", "accelerator_id": "b200-sxm"}
    assert observe(rows(**entry)).frame["noted"].iloc[1] == "weights taken as fp4"


def test_every_regime_and_metric_is_described():
    assert all(REGIMES.values()) and all(METRICS.values()) and np.unique(list(REGIMES.values())).size == len(REGIMES)
