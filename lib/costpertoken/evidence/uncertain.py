"""Intervals that are earned: from the errors on accelerators, models and releases that the fit had not seen.

A prediction's interval is that of its kind of figure and regime, under the case that describes it: an accelerator that was
never measured, a model that was never measured, or, where both are known, another release of the software.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence import ratios
from costpertoken.evidence.calibrate import Fit
from costpertoken.evidence.leave_out import CASES, errors

#: Metric -> what it measures, for pooling errors.
KIND = {
    "output_tok_s_total": "throughput", "output_tok_s_per_gpu": "throughput", "total_tok_s_total": "throughput",
    "requests_s": "throughput", "tpot_ms": "tpot", "ttft_ms": "ttft", "audio_x_realtime": "throughput",
}  # fmt: skip
#: Regimes that are judged by the errors of another one, having none of their own.
LIKE = {"server": "offline-max-throughput", "interactive": "offline-max-throughput"}
#: Fewer rows than this do not make an interval; the next wider pool does.
FEWEST = 40
LEVEL = 0.80


def architecture(model_ids) -> np.ndarray:
    """'moe' or 'dense' for each model id."""
    found = {name: "moe" if tables.model(name).n_experts else "dense" for name in set(model_ids)}
    return np.array([found[name] for name in model_ids])


def pools(frame: pd.DataFrame) -> pd.DataFrame:
    """Kind of figure, regime and architecture of rows."""
    regime = frame["regime"].replace(LIKE)
    return pd.DataFrame(
        {
            "kind": frame["metric"].map(KIND).to_numpy(),
            "regime": regime.to_numpy(),
            "architecture": architecture(frame["model_id"]),
        }
    )


def summary(error: np.ndarray) -> dict[str, float]:
    """Size and quantiles of log errors, as they stand in data/residuals.csv."""
    share = np.abs(np.expm1(error))
    tail = (1 - LEVEL) / 2
    return {
        "n_rows": len(error),
        "median_error": float(np.median(share)),
        "mean_error": float(np.mean(share)),
        "bias": float(np.expm1(np.median(error))),
        "log_low": float(np.quantile(error, tail)),
        "log_high": float(np.quantile(error, 1 - tail)),
    }


def table(fitted: Fit, as_of: str) -> pd.DataFrame:
    """data/residuals.csv: errors by case, kind, regime and architecture, and pooled over the last two (''); and of the
    ratios of two rows that differ in one thing ("pair")."""
    pool = pools(fitted.observed.predicted)
    rows = []
    for case in ("none", *CASES):
        error = fitted.residuals if case == "none" else errors(fitted, case)
        for keys in (["kind"], ["kind", "regime"], ["kind", "regime", "architecture"]):
            for names, at in pool.groupby(keys).indices.items():
                named = dict(zip(keys, names if isinstance(names, tuple) else (names,), strict=True))
                rows.append({"left_out": case, "regime": "", "architecture": "", **named, **summary(error[at])})
    pairs = ratios.pair_table(fitted)
    rows += [
        {"left_out": "pair", "kind": f"ratio of {kind}", "regime": "", "architecture": "", **summary(error)}
        for kind, error in pairs.items()
        if len(error)
    ]
    order = ["left_out", "kind", "regime", "architecture"]
    frame = pd.DataFrame(rows).sort_values(order, ignore_index=True)
    figures = [name for name in frame if name not in (*order, "n_rows")]
    return (
        frame[[*order, "n_rows", *figures]]
        .round(dict.fromkeys(figures, 4))
        .assign(level=LEVEL, basis="derived", source="calibration", as_of=as_of)
    )


def joined(*bands: tuple[float, float]) -> tuple[float, float]:
    """(low, high) factors of independent causes together: the logs of their half-widths add as squares, on each side."""
    low, high = (np.sqrt(np.sum([np.log(band[end]) ** 2 for band in bands])) for end in (0, 1))
    return float(np.exp(-low)), float(np.exp(high))


def seen() -> dict[str, set]:
    """Accelerators and models that were measured, and under which engine families each vendor's accelerators were."""
    return _seen(tables.data_dir())


@cache
def _seen(folder: Path) -> dict[str, set]:
    measured = tables.read("measurements")
    columns = ["accelerator_id", "engine", "engine_version", "source_date"]
    rows = measured[columns].drop_duplicates().itertuples(index=False)
    pairs = {(tables.maker(tables.accelerator(row[0])), tables.engine_family(*row[1:])) for row in rows}
    return {"accelerator": set(measured["accelerator_id"]), "model": set(measured["model_id"]), "software": pairs}


def case_of(accelerator_id: str, model_id: str, family: str) -> list[str]:
    """What is new about a prediction: the cases whose errors it is judged by. A vendor's accelerator under an engine that
    was never measured on one counts as a new accelerator."""
    known, software = seen(), (tables.maker(tables.accelerator(accelerator_id)), family)
    new = ["accelerator"] if accelerator_id not in known["accelerator"] or software not in known["software"] else []
    return new + (["model"] if model_id not in known["model"] else []) or ["release"]


def novelty(accelerator_id: str, model_id: str, family: str) -> str:
    """What is new about a prediction, in words; '' if nothing."""
    known, vendor = seen(), tables.maker(tables.accelerator(accelerator_id))
    new = [f"{accelerator_id} never measured"] if accelerator_id not in known["accelerator"] else []
    if not new and (vendor, family) not in known["software"]:
        new = [f"{vendor} never measured under {family or 'this engine'}"]
    return " and ".join(new + ([f"{model_id} never measured"] if model_id not in known["model"] else []))


def log_interval(case: list[str], kind: str, regime: str, arch: str, residuals: pd.DataFrame) -> tuple[float, float]:
    """(low, high) of log(measured / predicted) at LEVEL: the narrowest pool with enough rows, the widest of its cases."""
    ends, like = [], LIKE.get(regime, regime)
    for left_out in case:
        for wanted in ((like, arch), (like, ""), ("", "")):
            at = residuals.loc[
                (residuals["left_out"] == left_out) & (residuals["kind"] == kind)
                & (residuals["regime"] == wanted[0]) & (residuals["architecture"] == wanted[1])
            ]  # fmt: skip
            if len(at) and at["n_rows"].iat[0] >= FEWEST:
                ends.append((-at["log_high"].iat[0], -at["log_low"].iat[0]))
                break
    return min(low for low, _ in ends), max(high for _, high in ends)


def cost_interval(accelerator_id: str, model_id: str, engine: str, *, backlog: bool) -> tuple[tuple[float, float], str]:
    """(low, high) as factors of a cost at LEVEL, and what the model has seen of it. A backlog is judged by the errors of
    offline throughput, a number of requests in flight by those of closed-loop TPOT; a factor never excludes 1.
    """
    return _cost_interval(tables.data_dir(), accelerator_id, model_id, engine, backlog)


@cache
def _cost_interval(folder: Path, accelerator_id, model_id, engine, backlog) -> tuple[tuple[float, float], str]:
    kind, regime = ("throughput", "offline-max-throughput") if backlog else ("tpot", "closed-loop")
    case, residuals = case_of(accelerator_id, model_id, engine), tables.read("residuals")
    low, high = log_interval(case, kind, regime, architecture([model_id])[0], residuals)
    if backlog:  # cost goes with the inverse of throughput
        low, high = -high, -low
    new = novelty(accelerator_id, model_id, engine)
    return (float(np.exp(min(low, 0.0))), float(np.exp(max(high, 0.0)))), f"extrapolated: {new}" if new else "supported"
