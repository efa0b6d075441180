"""Predictions of measured rows: the public functions' own answers, whatever stands in the other rows."""

import numpy as np
import pandas as pd
import pytest

from costpertoken import serve, serve_static, tables
from costpertoken.answers.estimate import deployment
from costpertoken.evidence import predict as predicting
from costpertoken.evidence.constants import calibrated
from costpertoken.evidence.observations import METRICS, observe

BASE = {
    "model_id": "llama-3.1-8b", "accelerator_id": "h100-sxm", "engine": "vLLM", "n_accel": 2, "tp": 2, "isl": 1000, "osl": 500,
    "concurrency": 16, "weight_precision": "fp8", "value": 1,
}  # fmt: skip


def predicted(*changed) -> np.ndarray:
    seen = observe(
        pd.DataFrame([BASE | {"id": str(i)} | row for i, row in enumerate(changed)]).astype(str).replace("nan", "")
    )
    return predicting.predict(seen, calibrated(seen))


@pytest.fixture(scope="module")
def placed():
    return deployment("llama-3.1-8b", "h100-sxm", weights="fp8", tp=2)


def test_closed_loop_is_serve_at_drawn_lengths(placed):
    got = predicted(
        *({"regime": "closed-loop", "metric": m} for m in ("tpot_ms", "ttft_ms", "output_tok_s_total", "requests_s"))
    )
    lengths = {
        "input_tokens": 1000 * tables.convention("drawn_length"),
        "output_tokens": 500 * tables.convention("drawn_length"),
    }
    out = serve(placed, **lengths, concurrency=16)
    expected = [out.tpot_s * 1e3, out.ttft_s * 1e3, out.output_tok_per_s, out.requests_per_s]
    assert got == pytest.approx([float(value) for value in expected])


def test_offline_is_serve_with_a_backlog(placed):
    row = {"regime": "offline-max-throughput", "concurrency": ""}
    total, each, both = predicted(
        *(row | {"metric": m} for m in ("output_tok_s_total", "output_tok_s_per_gpu", "total_tok_s_total"))
    )
    out = serve(placed, input_tokens=1000, output_tokens=500)
    assert total == pytest.approx(float(out.output_tok_per_s))
    assert each == pytest.approx(total / 2) and both == pytest.approx(3 * total)


def test_replicas_add_up():
    one, four = predicted(
        *({"regime": "offline-max-throughput", "metric": "output_tok_s_total", "n_accel": n} for n in (2, 8))
    )
    assert four == pytest.approx(4 * one)


def test_static_batch_is_serve_static(placed):
    got = predicted(
        {"regime": "static-batch", "metric": "output_tok_s_total"},
        {"regime": "single-stream", "metric": "ttft_ms", "concurrency": ""},
    )
    many, one = (serve_static(placed, input_tokens=1000, output_tokens=500, batch=b) for b in (16, 1))
    assert got == pytest.approx([float(many.output_tok_per_s), float(one.ttft_s) * 1e3])


def test_tighter_limits_mean_smaller_batches():
    rows = (
        {"regime": r, "metric": "tpot_ms", "concurrency": ""}
        for r in ("interactive", "server", "offline-max-throughput")
    )
    tight, server, offline = predicted(*rows)
    assert tight < server < offline


def test_prompts_alone_by_hand(placed):
    """Prompts in steps of some tokens: as many tokens a second as one step has, over its time."""
    row = {"regime": "prefill-only", "osl": "", "concurrency": "", "isl": 300}
    rate, first = predicted(row | {"metric": "total_tok_s_total"}, row | {"metric": "ttft_ms"})
    assert first == pytest.approx(300 / rate * 1e3)
    alone = serve_static(placed, input_tokens=300, output_tokens=1, batch=1)
    assert first == pytest.approx(float(alone.ttft_s) * 1e3, rel=0.05)


LENGTHS = ("", "0", "100")


@pytest.mark.parametrize("regime", predicting.PREDICTORS)
def test_every_row_without_a_reason_has_a_prediction(regime):
    """A row that is called predictable is predicted, whatever lengths it lacks."""
    metrics = [name for name in METRICS if name != "audio_x_realtime"]
    rows = [
        BASE | {"id": "x", "regime": regime, "metric": m, "isl": i, "osl": o}
        for m in metrics
        for i in LENGTHS
        for o in LENGTHS
    ]
    seen = observe(pd.DataFrame(rows).astype(str))
    value = predicting.predict(seen, calibrated(seen))
    assert len(value) >= 2 and np.isfinite(value).all() and (value > 0).all()


def test_rows_do_not_know_each_other():
    changed = [
        {"regime": "closed-loop", "metric": "tpot_ms"},
        {
            "regime": "static-batch",
            "metric": "ttft_ms",
            "model_id": "deepseek-v3",
            "accelerator_id": "h200-sxm",
            "tp": 8,
            "n_accel": 8,
        },
        {"regime": "prefill-only", "metric": "total_tok_s_total", "engine": "llama.cpp", "n_accel": 1, "tp": 1},
        {
            "regime": "offline-max-throughput",
            "metric": "output_tok_s_total",
            "engine": "SGLang",
            "accelerator_id": "mi300x",
        },
    ]
    together = predicted(*changed)
    assert np.isfinite(together).all()
    assert list(together) == [predicted(row)[0] for row in changed]


def test_some_rows_only():
    seen = observe(tables.read("measurements").iloc[::400].astype(object).fillna(""))
    constants, only = calibrated(seen), np.array([0, 3])
    part, whole = predicting.predict(seen, constants, only), predicting.predict(seen, constants)
    assert list(np.flatnonzero(~np.isnan(part))) == [0, 3] and list(part[only]) == list(whole[only])
