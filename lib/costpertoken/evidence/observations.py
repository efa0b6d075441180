"""Rows of measurements into arrays that the model can predict: one place for defaults, and for reasons why not.

A row needs id, model_id, accelerator_id, regime, metric and value. What else is missing is defaulted and said in `noted`, or,
where nothing could stand in for it, the row gets a reason and is not predicted.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.model.counts import Counts, count, stack
from costpertoken.model.records import Deployment, Efficiency, InputError
from costpertoken.model.transformer import weight_bytes
from costpertoken.model.units import GB

REQUIRED = ("id", "model_id", "accelerator_id", "regime", "metric", "value")
OPTIONAL = (
    "engine", "engine_version", "source_date", "n_accel", "tp", "pp", "ep", "dp", "weight_precision", "kv_precision", "isl",
    "osl", "concurrency", "flag",
)  # fmt: skip
COUNTS = ("n_accel", "tp", "pp", "ep", "dp")
NUMBERS = (*COUNTS, "isl", "osl", "concurrency", "value")
#: Metric -> its unit. Defined once, for the table, the command and the chapters.
METRICS = {
    "output_tok_s_total": "output tokens a second of all accelerators together",
    "output_tok_s_per_gpu": "output tokens a second an accelerator",
    "total_tok_s_total": "input and output tokens a second of all accelerators together",
    "tpot_ms": "milliseconds an output token after the first",
    "ttft_ms": "milliseconds to the first output token",
    "requests_s": "requests a second",
    "audio_x_realtime": "seconds of audio a second",
}
REGIMES = {
    "offline-max-throughput": "a backlog; the engine chooses the batch",
    "static-batch": "prompts of one batch together, then its outputs",
    "closed-loop": "a fixed number of clients, each sending its next request when the last is answered",
    "open-loop": "requests arrive at a stated rate, whatever the engine does",
    "server": "MLPerf: the highest rate within its latency limits",
    "interactive": "MLPerf: as server, with tighter limits",
    "single-stream": "one request at a time",
    "prefill-only": "prompts only",
    "other": "none of these",
}
#: Column in which a reader of files marks rows that it could not take apart.
MARK = "(bad row)"
#: Regimes whose first token waits for no request but those of its own batch, and the metrics that prompts alone have.
PROMPT_FIRST = ("static-batch", "single-stream", "prefill-only")
OF_PROMPTS = ("total_tok_s_total", "ttft_ms")
#: Regimes in which whoever measured chose the placement for throughput.
FOR_THROUGHPUT = ("offline-max-throughput", "server", "interactive")
#: Other names of number formats, as benchmarks print them.
NAMES = {
    "f16": "fp16", "float16": "fp16", "half": "fp16", "bfloat16": "bf16", "f32": "fp32", "float32": "fp32", "nvfp4": "fp4",
    "fp8_e4m3": "fp8", "e4m3": "fp8", "w8a8": "int8", "w4a16": "int4", "gptq": "int4", "awq": "int4-awq",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Measurements ready to be predicted. `frame` holds every row with `reason` ('' where predicted) and `noted`; the
    other fields hold the predicted rows only, in order."""

    frame: pd.DataFrame
    regime: np.ndarray
    metric: np.ndarray
    value: np.ndarray
    counts: Counts
    isl: np.ndarray
    osl: np.ndarray
    concurrency: np.ndarray
    n_replicas: np.ndarray
    keys: tuple  # (engine family, vendor, number formats) of each predicted row

    @property
    def predicted(self) -> pd.DataFrame:
        """Rows of `frame` that are predicted."""
        return self.frame[self.frame["reason"] == ""]


def observe(rows: pd.DataFrame) -> Observations:
    """Measurements from a frame with at least the REQUIRED columns; unknown names and missing fields become reasons."""
    frame = typed(rows)
    made = [_prepare(row) for row in frame.itertuples(index=False)]
    frame = frame.assign(
        family=[m["family"] for m in made], reason=[m["reason"] for m in made], noted=[m["noted"] for m in made]
    )
    good = [m for m in made if not m["reason"]]
    if not good:
        why = "; ".join(sorted(set(frame["reason"]))[:3]) or "there is none"
        raise InputError(f"no row can be predicted: {why}")
    column = {
        name: np.array([m[name] for m in good], dtype=float) for name in ("isl", "osl", "concurrency", "n_replicas")
    }
    kept = frame[frame["reason"] == ""]
    column |= {name: kept[name].to_numpy() for name in ("regime", "metric", "value")}
    counts = stack([m["counts"] for m in good])
    return Observations(frame=frame, counts=counts, keys=tuple(m["keys"] for m in good), **column)


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with every known column, numbers as floats; a number that is none becomes NaN with `bad` naming the field."""
    missing = [name for name in REQUIRED if name not in rows]
    if missing:
        raise InputError(f"column {missing[0]!r} is missing; needed are {', '.join(REQUIRED)}")
    frame = rows.reindex(columns=[*rows.columns, *(name for name in OPTIONAL if name not in rows)])
    bad = frame.pop(MARK) if MARK in frame else pd.Series("", index=frame.index)
    for name in frame.columns:
        text = frame[name].astype(object).where(frame[name].notna(), "").astype(str).str.strip()
        if name in NUMBERS:
            frame[name] = pd.to_numeric(text.replace("", None), errors="coerce").astype(float)
            wrong = ((text != "") & frame[name].isna()) | np.isinf(frame[name]) | (frame[name] < 0)
            wrong |= (name in COUNTS) & (frame[name] % 1 > 0)
            wanted = "a whole number" if name in COUNTS else "a number"
            bad = bad.mask(wrong & (bad == ""), f"{name} is " + text + f"; expected {wanted} that is not negative")
        else:
            frame[name] = text
    return frame.assign(bad=bad)


def _prepare(row) -> dict:
    """Counts, lengths and keys of one row, or the reason why it is not predicted."""
    made = {"reason": "", "noted": "", "family": tables.engine_family(row.engine, row.engine_version, row.source_date)}
    made["reason"] = unusable(row)
    if made["reason"]:
        return made
    try:
        weights, noted = _weights(row)
        degrees, placed = _degrees(row, made["family"], weights)
        counts, formats, vendor = _counted(row.model_id, row.accelerator_id, weights, row.kv_precision, *degrees)
    except InputError as error:
        return made | {"reason": str(error)}
    if counts.held_bytes > counts.memory_bytes:
        held, there = counts.held_bytes / GB, counts.memory_bytes / GB
        return made | {"reason": f"weights need {held:,.1f} GB on each accelerator, {there:,.1f} GB are there"}
    tp, pp, dp = degrees
    n_accel = row.n_accel if row.n_accel > 0 else float(tp * pp * dp)
    return made | {
        "noted": "; ".join(filter(None, [noted, placed])),
        "counts": counts,
        "keys": (made["family"], vendor, formats),
        "isl": row.isl,
        "osl": row.osl if row.osl > 0 else 0.0,
        "concurrency": row.concurrency if row.concurrency > 0 else np.nan,
        "n_replicas": max(1.0, n_accel / (tp * pp * dp)),
    }


def unusable(row) -> str:
    """Why a row cannot be predicted at all, or ''."""
    if row.bad:
        return f"bad row: {row.bad}"
    if row.regime not in REGIMES:
        return f"unknown regime {row.regime!r}; nearest: {tables.nearest(row.regime, REGIMES)}"
    if row.metric not in METRICS:
        return f"unknown metric {row.metric!r}; nearest: {tables.nearest(row.metric, METRICS)}"
    if row.metric == "audio_x_realtime":
        return "not scorable: speech models are not predicted yet"
    if row.regime in ("open-loop", "other"):
        return (
            "not scorable: the arrival rate is not in the row" if row.regime == "open-loop" else "not scorable: regime"
        )
    if row.regime == "prefill-only" and row.metric not in OF_PROMPTS:
        return f"not scorable: prompts alone have no {row.metric}"
    return missing_fields(row)


def missing_fields(row) -> str:
    """The lengths or counts that the prediction of a row needs and does not have, as a reason, or ''.

    A first token waits for its prompt only, unless other requests run beside it; a single stream may start from nothing.
    """
    alone = row.regime in PROMPT_FIRST
    needed = ["isl"] if alone and (row.metric == "ttft_ms" or row.regime == "prefill-only") else ["isl", "osl"]
    if row.regime in ("static-batch", "closed-loop"):
        needed.append("concurrency")
    from_nothing = row.regime == "single-stream" and row.metric != "ttft_ms" and row.isl == 0
    lacking = [name for name in needed if not (getattr(row, name) > 0 or (name == "isl" and from_nothing))]
    if not (row.tp > 0 or row.n_accel > 0):
        lacking.append("tp or n_accel")
    return f"not scorable: {', '.join(lacking)} not in the row" if lacking else ""


def _weights(row) -> tuple[str, str]:
    """Format of the weights and what was assumed of it: as stated, else the checkpoint's own; MLPerf entries use the
    narrowest format that the accelerator multiplies in."""
    model = tables.model(row.model_id)
    stated = NAMES.get(row.weight_precision.lower(), row.weight_precision.lower())
    if stated:
        return ("mxfp4" if stated == "fp4" and model.native_expert_weights == "mxfp4" else stated), ""
    if row.engine.lower().startswith(("tensorrt", "cuda")) and row.regime in (
        "offline-max-throughput",
        "server",
        "interactive",
    ):
        rates = tables.accelerator(row.accelerator_id).peak_flop_per_s
        weights = next((name for name in ("fp4", "fp8") if name in rates), tables.native_precision(model))
        return weights, f"weights taken as {weights}"
    return tables.native_precision(model), f"weights taken as {tables.native_precision(model)}"


def _degrees(row, family: str, weights: str) -> tuple[tuple[int, int, int], str]:
    """((tp, pp, dp), what was assumed of it): as stated, else all accelerators in tensor parallel. llama.cpp splits by
    layers; a run for throughput takes as few accelerators a replica as leave room to the cache. A degree
    counted in cores (Neuron) is cut to the accelerators."""
    pp, dp = (int(value) if value > 0 else 1 for value in (row.pp, row.dp))
    n_accel = int(row.n_accel) if row.n_accel > 0 else 0
    if row.tp > 0:
        return (min(int(row.tp), n_accel or int(row.tp)), pp, dp), ""
    if family == "llama.cpp":
        return (1, n_accel, 1), ""
    most = max(1, n_accel // (pp * dp))
    if row.regime not in FOR_THROUGHPUT:
        return (most, pp, dp), ""
    stored = sum(weight_bytes(tables.model(row.model_id), tables.precision(weights)).values()) / (pp * dp)
    room = tables.accelerator(row.accelerator_id).memory_bytes * tables.convention("weights_share")
    tp = next((n for n in (1, 2, 4, 8) if n <= most and stored / n <= room), most)
    return (tp, pp, dp), f"tp taken as {tp}"


@cache
def _counted(model_id, accelerator_id, weights, kv, tp, pp, dp) -> tuple[Counts, tuple, str]:
    """(counts, number formats, vendor) of a placement; heads that do not divide are padded, as engines do."""
    model, accelerator = tables.model(model_id), tables.accelerator(accelerator_id)
    if model.n_heads % tp:
        model = replace(model, n_heads=-(-model.n_heads // tp) * tp)
    precision = tables.precision(weights, cache=NAMES.get(kv.lower(), kv.lower()) or None)
    placed = Deployment(
        model=model, accelerator=accelerator, precision=precision, efficiency=IDEAL, tp=tp, pp=pp, dp=dp
    )
    return count(placed), tables.formats(accelerator, precision), tables.maker(accelerator)


#: Counts do not depend on efficiencies; a deployment needs some all the same.
IDEAL = Efficiency(**dict.fromkeys(Efficiency.__dataclass_fields__, 1.0))
