"""Errors of comparisons: how far the predicted ratio of two configurations lies from the measured one.

Much of an error is common to two predictions (the model's own shape, the engine's release) and cancels in their ratio. How
much does is measured: pairs of rows that differ in one thing only, each predicted without its accelerator (or its release).
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence.calibrate import Fit
from costpertoken.evidence.leave_out import errors

#: What is compared -> (case of the leave-outs, columns that both rows share).
SHARED = ["family", "engine_version", "model_id", "weight_precision", "regime", "metric"]
PAIRS = {
    "accelerators": ("accelerator", [*SHARED, "isl", "osl", "concurrency"]),
    "loads": ("release", [*SHARED, "accelerator_id", "n_accel", "tp"]),
    "models": ("model", ["family", "engine_version", "accelerator_id", "regime", "metric", "isl", "osl", "concurrency"]),
    "precisions": ("release", ["family", "engine_version", "model_id", "regime", "metric", "accelerator_id", "n_accel", "tp",
                               "isl", "osl", "concurrency"]),
}  # fmt: skip
#: Two rows of a group are a pair if they differ in this column.
DIFFER = {"accelerators": "accelerator_id", "loads": "load", "models": "model_id", "precisions": "weight_precision"}
LENGTHS = ["isl", "osl", "concurrency"]
#: Regimes that say nothing of an engine's rate under load.
LEFT_OUT = ("prefill-only", "single-stream")


def pair_errors(frame: pd.DataFrame, error: np.ndarray, kind: str) -> np.ndarray:
    """Differences of log errors over the pairs of one kind; each group of n rows gives its n cyclic neighbours."""
    shared, differ = PAIRS[kind][1], DIFFER[kind]
    rows = frame.assign(error=error, load=frame[LENGTHS].map(str).agg("|".join, axis=1))
    rows = rows[~rows["regime"].isin(LEFT_OUT) & rows["metric"].ne("ttft_ms")].sort_values([*shared, differ])
    found = []
    for _, group in rows.groupby(shared, dropna=False):
        if group[differ].nunique() > 1:
            other = np.roll(np.arange(len(group)), 1)
            apart = group[differ].to_numpy() != group[differ].to_numpy()[other]
            found.append((group["error"].to_numpy() - group["error"].to_numpy()[other])[apart])
    return np.concatenate(found) if found else np.array([])


def pair_table(fitted: Fit) -> dict[str, np.ndarray]:
    """Kind of comparison -> log errors of the ratio, mirrored: which of a pair stands above is arbitrary."""
    frame, cases = fitted.observed.predicted, {}
    out = {}
    for kind, (case, _) in PAIRS.items():
        cases.setdefault(case, errors(fitted, case))
        one_way = pair_errors(frame, cases[case], kind)
        out[kind] = np.concatenate([one_way, -one_way])
    return out


def ratio_band(*kinds: str) -> tuple[float, float]:
    """(low, high) factors at the model's level around a predicted ratio of two configurations that differ in `kinds`.

    kinds: of PAIRS. Comparisons that differ in several things take the widest of them.
    """
    widest = max(_log_half_width(tables.data_dir(), kind) for kind in kinds)
    return float(np.exp(-widest)), float(np.exp(widest))


@cache
def _log_half_width(folder: Path, kind: str) -> float:
    rows = tables.read("residuals").query("left_out == 'pair'").set_index("kind")["log_high"]
    return float(rows[f"ratio of {kind}"])
