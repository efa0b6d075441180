"""What traffic is like: a trace's or a made-up load over time, its lengths and bursts; and more, less or evener of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import ndtri

from costpertoken.fleet import profiles, readers
from costpertoken.fleet.demand import NONE_PER_S, Demand, loads, mean_per_s, of_rate, of_trace
from costpertoken.fleet.facts import variation
from costpertoken.fleet.station import Lengths
from costpertoken.fleet.trace import Trace
from costpertoken.model.units import HOUR_S

#: Periods of a chart of the load at most, and quantiles of the lengths.
PERIODS, QUANTILES = 240, {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def traffic(path: str, *, requests_per_s, of: Lengths, peak_to_mean, **limits) -> tuple[Demand, Trace | None]:
    """(demand, trace) of a file, or (demand, None) of a rate whose busiest hour is peak_to_mean times as busy. of: lengths of
    what is made up, and the share of the prompts that is cached of either."""
    if path == "none":
        return of_rate(requests_per_s, of, peak_to_mean=peak_to_mean, **limits), None
    trace = readers.read(path)
    return of_trace(trace, cached_share=of.cached_share, **limits), trace


def load_over_time(demand: Demand, trace: Trace | None) -> tuple[pd.DataFrame, str]:
    """(hours from the start, requests_per_s) of a trace or of a made-up day; and the length of a period in words."""
    if trace is None:
        day = demand.hours_per_s[: profiles.DAY]
        return pd.DataFrame({"hours": np.arange(day.size, dtype=float), "requests_per_s": day}), "hour"
    since = trace.arrival_s - trace.arrival_s[0]
    period_s = next((s for s in (60.0, 600.0, HOUR_S) if since[-1] < PERIODS * s), since[-1] / PERIODS)
    starts_s, found = loads(trace, period_s)
    words = {60.0: "minute", 600.0: "ten minutes", HOUR_S: "hour"}.get(period_s, f"{period_s / HOUR_S:.3g} hours")
    return pd.DataFrame({"hours": starts_s / HOUR_S, "requests_per_s": found}), words


def lengths_of(demand: Demand, trace: Trace | None) -> pd.DataFrame:
    """Prompts and answers in tokens: what, mean, cv, p50, p90, p99; of made-up ones, those of their lognormal distribution."""
    of, rows = demand.lengths, []
    for what, mean, cv in (("Prompt", of.input_tokens, of.input_cv), ("Answer", of.output_tokens, of.output_cv)):
        row = {"what": what, "mean": mean, "cv": cv}
        if trace is None:
            rows.append(row | {name: lognormal_quantile(mean=mean, cv=cv, q=q) for name, q in QUANTILES.items()})
            continue
        tokens = trace.input_tokens if what == "Prompt" else trace.output_tokens
        rows.append(row | {name: float(np.quantile(tokens, q)) for name, q in QUANTILES.items()})
    return pd.DataFrame(rows)


def lognormal_quantile(*, mean: float, cv: float, q: float) -> float:
    """A quantile of a lognormal length in tokens, from its mean and its standard deviation over that."""
    sigma = np.sqrt(np.log1p(cv**2))
    return float(mean * np.exp(sigma * ndtri(q) - 0.5 * sigma**2))


def burstiness(trace: Trace) -> float:
    """Standard deviation over mean of the gaps between arrivals: 1 where they know nothing of each other."""
    return variation(np.diff(trace.arrival_s))


def scaled(demand: Demand, factor: float) -> Demand:
    """The same traffic, so many times as dense."""
    hours = None if demand.hours_per_s is None else demand.hours_per_s * factor
    return replace(demand, levels_per_s=np.maximum(demand.levels_per_s * factor, NONE_PER_S), hours_per_s=hours)


def peaked(demand: Demand, factor: float) -> Demand:
    """The load with what is above or below its mean that many times as far away, nothing below none."""
    mean = mean_per_s(demand)

    def moved(load):
        return np.maximum(mean + factor * (load - mean), NONE_PER_S)

    hours = None if demand.hours_per_s is None else moved(demand.hours_per_s)
    return replace(demand, levels_per_s=moved(demand.levels_per_s), hours_per_s=hours)
