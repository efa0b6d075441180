"""Where an API's bill and that of own machines cross: curves over the load, regions, idle machines, and what moves the ratio."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers import compare
from costpertoken.answers import estimate as one
from costpertoken.answers import serverless as own
from costpertoken.evidence import ownership, sellers
from costpertoken.fleet import autoscale, profiles
from costpertoken.fleet.autoscale import cold_start_parts_s, to_zero
from costpertoken.model import serving
from costpertoken.model.records import InputError, Workload
from costpertoken.model.units import GB, GIGA, HOUR_S, MTOK
from costpertoken.prose import significant

#: Ends of the bands: the tenth and ninetieth percentile, as the book's prices have them.
ENDS = (0.1, 0.9)
OWN, SOLD, ZERO = "Own machines", "API, median seller", "Own machines that go to zero"
#: Steps into which an hour is cut.
MINUTES = 60
#: Part of a cold start -> scope of its row in data/ownership.csv.
STARTS = {"machine": "warm-host", "weights_rate": "network", "compile": "no-cache", "engine": "rest"}


def curve(of: own.Hosting, drawn: own.Draws, loads: Iterable[float]) -> pd.DataFrame:
    """USD per million output tokens over the load, whole bill: own machines (band: all their unknowns drawn) and the median
    seller (band: tenth to ninetieth percentile of the sellers). Columns: requests_per_s, way, usd, low, high."""
    load = np.asarray(list(loads), dtype=float)
    unknown = own.usd_per_mtok(of, load[:, None], slower=drawn.slower, rent=drawn.rent, staff=drawn.staff)
    ends = np.quantile(unknown, ENDS, axis=1)
    mine = {"requests_per_s": load, "way": OWN, "usd": own.usd_per_mtok(of, load), "low": ends[0], "high": ends[1]}
    low, usd, high = np.quantile(drawn.api_usd_per_mtok, [ENDS[0], 0.5, ENDS[1]])
    sold = {"requests_per_s": load, "way": SOLD, "usd": usd, "low": low, "high": high}
    return pd.concat([pd.DataFrame(mine), pd.DataFrame(sold)], ignore_index=True)


def regions(of: own.Hosting, drawn: own.Draws, loads: Iterable[float], peaks: Iterable[float]) -> pd.DataFrame:
    """Probability that own machines are cheaper, over mean load and peak to mean: requests_per_s, peak_to_mean, chance."""
    loads = list(loads)
    rows = [
        {"requests_per_s": load, "peak_to_mean": peak, "chance": float(chance)}
        for peak in peaks
        for load, chance in zip(
            loads, own.cheaper_probability(replace(of, peak_to_mean=peak), drawn, loads), strict=True
        )
    ]
    return pd.DataFrame(rows)


def full_use(model_id: str, workload: Workload) -> pd.Series:
    """The cheapest machines of all on offer, kept full with no limits, no staff and no spare: a row of `compare.compare`, whole
    bill on output tokens. No own service is cheaper by this model."""
    formats = tuple(dict.fromkeys([tables.model(model_id).native_weights, *compare.FORMATS]))
    found = compare.compare(model_id, compare.on_offer(), workload, allocation="output-only", formats=formats)
    return found.iloc[0]


def penalties(placed: dict[str, tuple[str, str, str | None]], workloads: Iterable[Workload], loads) -> pd.DataFrame:
    """Idle penalty of one replica of several models: who, input_tokens, output_tokens, requests_per_s, penalty.

    placed: words -> (model, accelerator, weights). The replica is the one with the cheapest token at full use.
    """
    rows = []
    for who, (model_id, accelerator_id, weights) in placed.items():
        base = one.deployment(model_id, accelerator_id, weights=weights)
        for work in workloads:
            full = one.requests_at_most(replace(base, tp=one.best_tp(base, work)), work)
            for load in loads:
                busy = max(1.0, np.ceil(load / full - 1e-9)) * full / load
                lengths = {"input_tokens": work.input_tokens, "output_tokens": work.output_tokens}
                rows.append({"who": who, **lengths, "requests_per_s": load, "full_per_s": full, "penalty": busy})
    return pd.DataFrame(rows)


def nearest(rows: pd.DataFrame, penalty: float) -> pd.Series:
    """The row of `penalties` next to a penalty, by ratio."""
    return rows.iloc[int(np.abs(np.log(rows["penalty"] / penalty)).argmin())]


def below(model_id: str, usd_per_mtok: float, workload: Workload) -> pd.DataFrame:
    """Sellers whose whole bill on output tokens is below a cost, cheapest first."""
    load = {"input_tokens": workload.input_tokens, "output_tokens": workload.output_tokens}
    rows = sellers.bills(model_id, **load, cached_share=workload.cached_share)
    return rows[rows["usd_per_mtok"] < usd_per_mtok].reset_index(drop=True)


def ratio(of: own.Hosting, price_usd_per_mtok: float, requests_per_s: float, **changed: float) -> float:
    """Cost of own machines over an API's price at a load. changed: slower, rent (factors), staff_fte, peak_to_mean,
    least_replicas or api_usd_per_mtok in place of what stands."""
    factors = {name: changed.pop(name) for name in ("slower", "rent") if name in changed}
    price = changed.pop("api_usd_per_mtok", price_usd_per_mtok)
    if "staff_fte" in changed:
        hourly = own.staff_usd_per_hour(changed.pop("staff_fte"))
        changed["staff_usd_per_hour"] = hourly
    return float(own.usd_per_mtok(replace(of, **changed), requests_per_s, **factors)) / price


def tokens_per_month(of: own.Hosting, requests_per_s: float) -> float:
    """Tokens in and out in a mean month."""
    work = of.workload
    return requests_per_s * (work.input_tokens + work.output_tokens) * own.MONTH_S


def usd_per_month(usd_per_mtok: float, of: own.Hosting, requests_per_s: float) -> float:
    """USD a month at a price for a million output tokens."""
    return usd_per_mtok / MTOK * of.workload.output_tokens * requests_per_s * own.MONTH_S


def break_evens(model_ids: Iterable[str], accelerator_id: str, workload: Workload, **kept) -> pd.DataFrame:
    """Break-even loads of several models on one kind of machine; kept: the other arguments of `hosting`. Columns: model, n,
    cheapest, median and dearest seller, saturated (own machines, endless load), and requests a second from which own machines
    cost no more than the cheapest, median and dearest seller (infinite: never). Models that do not fit have no row."""
    rows = []
    for model_id in model_ids:
        try:
            of = own.hosting(model_id, accelerator_id, workload, **kept)
        except InputError:
            continue
        sold = own.bills(of, model_id)["usd_per_mtok"]
        prices = {"cheapest": sold.min(), "median": sold.median(), "dearest": sold.max()}
        crossings = {f"from_{name}": own.break_even_requests_per_s(of, usd) for name, usd in prices.items()}
        named = {"model": of.deployed.model.name, "sellers": len(sold), "machines": of.deployed.tp}
        rows.append({**named, **prices, "saturated": own.saturated_usd_per_mtok(of), **crossings})
    return pd.DataFrame(rows)


def start_parts_s(of: own.Hosting) -> dict[str, float]:
    """Seconds of a cold start on a host that stands by with the image: machine, weights over the network, compile, engine."""
    fact = {name: ownership.prior(f"cold_start_{name}", scope).value for name, scope in STARTS.items()}
    weight_bytes = float(serving.capacity(of.deployed).weight_bytes) * of.deployed.tp
    rate = fact["weights_rate"] * GB
    return cold_start_parts_s(
        machine_s=fact["machine"],
        weight_bytes=weight_bytes,
        bytes_per_s=rate,
        compile_s=fact["compile"],
        engine_s=fact["engine"],
    )


def to_zero_usd_per_mtok(of: own.Hosting, requests_per_s, *, premium: float | None = None, idle_s: float | None = None):
    """USD per million output tokens on machines that are paid by the second and stop when nobody asks, staff and egress in it.

    Up to what a replica takes, one goes to zero and starts again; beyond, as many as the mean load fills. premium: of a second
    over an hour's rent. Left out: what those think who meet a cold start.
    """
    load = np.asarray(requests_per_s, dtype=float)
    premium = ownership.prior("serverless_premium", "second-of-accelerator").value if premium is None else premium
    idle_s = ownership.prior("cold_start_idle_timeout", "default").value if idle_s is None else idle_s
    alone = one.serve_workload(of.deployed, replace(of.workload, concurrency=1.0))
    held_s = float(alone.ttft_s + of.workload.output_tokens * alone.tpot_s)
    single = to_zero(requests_per_s=load, start_s=sum(start_parts_s(of).values()), idle_s=idle_s, service_s=held_s)
    paid = np.where(load <= of.capacity_per_s, single.paid, np.ceil(load / of.capacity_per_s - 1e-9))
    hourly = paid * of.usd_per_hour * premium + of.staff_usd_per_hour
    return (hourly / (load * HOUR_S) + of.egress_usd) / of.workload.output_tokens * MTOK


def following(of: own.Hosting, requests_per_s: float, lags_s: Iterable[float]) -> pd.DataFrame:
    """Replicas that follow a week of hours, minute by minute, where one is ready lag_s after it is asked for: lag_s; ahead, what
    is paid where the load is known so long before, and perfect, without a lag, both in per cent of a fixed fleet for the peak;
    late, the requests in per cent that come beyond what is ready where only the present load is known."""
    hours = requests_per_s * profiles.week(peak_to_mean=of.peak_to_mean)
    load, rows = autoscale.finer(hours, parts=MINUTES), []
    for lag_s in lags_s:
        how = {"step_s": HOUR_S / MINUTES, "lag_s": lag_s, "replica_per_s": of.capacity_per_s, "minimum": of.least_replicas}
        told = autoscale.replica_hours(autoscale.ahead(load, **how))
        late = autoscale.beyond_share(autoscale.reactive(load, **how))
        shares = {"ahead": told["paid"] / told["fixed"], "perfect": told["perfect"] / told["fixed"], "late": late}
        rows.append({"lag_s": lag_s, **{name: 100 * share for name, share in shares.items()}})
    return pd.DataFrame(rows)


def met(of: own.Hosting, requests_per_s: float) -> str:
    """A break-even load in words."""
    if not np.isfinite(requests_per_s):
        return "there is none"
    billions = significant(tokens_per_month(of, requests_per_s) / GIGA)
    return f"it is {significant(requests_per_s)} requests a second, or {billions} billion tokens a month"


def seen(row: pd.Series) -> str:
    """A row of `penalties` in words."""
    load = significant(row["requests_per_s"], 2)
    return f"{row['who']} at {load} requests a second, with {row['input_tokens']:,} tokens in and {row['output_tokens']:,} out"
