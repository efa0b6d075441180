"""Measured runs with an offered rate of requests, beside the same runs through the scheduler simulation.

Nothing is fitted to them: the engine's constants are those of the other regimes. Offered rates and the number of requests are
the source's, held as conventions; lengths are taken as constant, arrivals as Poisson, the schedule as chunked. What the source
does not say stays at the policy's defaults.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.fleet.arrivals import synthetic
from costpertoken.fleet.simulate import latencies, policy_of, simulate
from costpertoken.fleet.trace import Trace
from costpertoken.model.records import Deployment, InputError
from costpertoken.model.units import KILO

#: What a run prints, each once.
METRICS = ("requests_s", "ttft_ms", "tpot_ms", "total_tok_s_total", "output_tok_s_total")
PLACED = ["engine", "engine_version", "source_date", "model_id", "accelerator_id", "tp", "weight_precision"]
CONFIGURED = [*PLACED, "isl", "osl"]


def measured() -> pd.DataFrame:
    """The rows of regime `open-loop` with `run`, its place among those of its configuration, and `offered_per_s`, the rate at
    which requests came; infinite for the last run, a backlog. Rows of one run stand together in the order of their ids."""
    rows = tables.read("measurements").query("regime == 'open-loop'").sort_values("id").reset_index(drop=True)
    runs = rows.groupby(CONFIGURED).cumcount() // len(METRICS)
    rows = rows.assign(run=runs)
    for _, of_run in rows.groupby([*CONFIGURED, "run"]):
        if sorted(of_run["metric"]) != sorted(METRICS):
            raise InputError(
                f"data/measurements.csv, {of_run['id'].iloc[0]}: a run holds {list(of_run['metric'])}; expected {METRICS}"
            )
    last = rows.groupby(CONFIGURED)["run"].transform("max")
    rate = tables.convention("open_loop_first_rate") * tables.convention("open_loop_rate_step") ** rows["run"]
    return rows.assign(offered_per_s=rate.where(rows["run"] < last, np.inf))


def compared(*, seed: int = 0) -> pd.DataFrame:
    """Tidy: model_id, accelerator_id, isl, osl, offered_per_s, metric, measured, predicted, and base_ms, what the service's
    constant adds to a predicted first token; one row a measured value."""
    parts = []
    for placed, rows in measured().groupby(PLACED):
        at = deployment(dict(zip(PLACED, placed, strict=True)))
        for (isl, osl, rate), run in rows.groupby(["isl", "osl", "offered_per_s"]):
            figures = simulated(at, traffic(isl, osl, rate, seed))
            base_ms = (run["metric"] == "ttft_ms") * KILO * float(at.efficiency.ttft_base_s)
            parts.append(run.assign(predicted=run["metric"].map(figures), base_ms=base_ms))
    kept = [
        "id",
        "model_id",
        "accelerator_id",
        "isl",
        "osl",
        "offered_per_s",
        "metric",
        "value",
        "predicted",
        "base_ms",
    ]
    return pd.concat(parts)[kept].rename(columns={"value": "measured"}).sort_values("id").reset_index(drop=True)


def deployment(row: dict) -> Deployment:
    """The replica that a row describes, with its engine family's constants."""
    family = tables.engine_family(row["engine"], row["engine_version"], row["source_date"])
    placed = {"weights": row["weight_precision"], "tp": int(row["tp"]), "engine": family}
    return tables.deployment(row["model_id"], row["accelerator_id"], **placed)


def traffic(isl: float, osl: float, rate_per_s: float, seed: int) -> Trace:
    """A run's requests: all at once, or Poisson at its rate. The draw is stretched to that rate on average, as a Poisson stream
    of so many requests in so much time is: no error comes from the luck of a draw."""
    load = {"arrivals": "backlog"} if np.isinf(rate_per_s) else {"rate_per_s": rate_per_s}
    lengths = {name: {"kind": "constant", "mean": n} for name, n in (("input_tokens", isl), ("output_tokens", osl))}
    drawn = synthetic(n_requests=int(tables.convention("open_loop_requests")), seed=seed, **lengths, **load)
    stretch = 1.0 if np.isinf(rate_per_s) else drawn.arrival_s.size / rate_per_s / drawn.arrival_s[-1]
    return replace(drawn, arrival_s=drawn.arrival_s * stretch)


def simulated(at: Deployment, trace: Trace) -> dict[str, float]:
    """A run's figures by metric: means over its requests, and rates from its first arrival to its last token."""
    found = simulate(trace, at, policy_of(at, schedule="chunked"))
    means, served = latencies(found).mean(), found.status == 0
    span_s = np.nanmax(found.finish_s) - trace.arrival_s[0]
    output, prompt = trace.output_tokens[served].sum() / span_s, trace.input_tokens[served].sum() / span_s
    return {
        "requests_s": served.sum() / span_s,
        "ttft_ms": KILO * means["ttft_s"],
        "tpot_ms": KILO * means["tpot_s"],
        "total_tok_s_total": prompt + output,
        "output_tok_s_total": output,
    }


def errors(frame: pd.DataFrame) -> pd.DataFrame:
    """Of `compared`, by load (poisson or backlog) and metric: n, median_error (|predicted / measured - 1|), the same without
    the service's base, median_ratio."""
    load = np.where(np.isinf(frame["offered_per_s"]), "backlog", "poisson")
    ratio = frame["predicted"] / frame["measured"]
    bare = (frame["predicted"] - frame["base_ms"]) / frame["measured"]
    of = frame.assign(load=load, ratio=ratio, error=(ratio - 1.0).abs(), bare_error=(bare - 1.0).abs())
    return (
        of.groupby(["load", "metric"])
        .agg(
            n=("ratio", "size"),
            median_error=("error", "median"),
            median_error_without_base=("bare_error", "median"),
            median_ratio=("ratio", "median"),
        )
        .reset_index()
    )
