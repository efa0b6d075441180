"""Claims of the case study of JPMorgan: what isolation costs, what a strict limit costs, what so many users ask for."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from costpertoken.evidence import places
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.claims import Unverifiable, check
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import inverse, model_band, placed, spread
from costpertoken.fleet import dedicated
from costpertoken.fleet.station import Station, station
from costpertoken.fleet.steady import most_per_s, most_requests_per_s
from costpertoken.model.units import HOUR_S, KILO
from costpertoken.prose import significant

#: Accelerators that a replica may have; share of the requests that keep both limits; most tokens of a step; spread of lengths.
DEGREES = (1, 2, 4, 8)
SHARE, BUDGET, LENGTH_CV = 0.9, 2048, 1.0
#: Chance that as many replicas are up as are needed.
TARGET = 0.9999
#: Assumptions on failures that an interval moves.
FAILURES = ("failure_hours", "centre_repair_hours")


def peak_per_s(*, analysts, requests_per_hour, peak_to_mean):
    """Requests a second in the busiest hour, of analysts who send so many in the mean hour of their working day."""
    return analysts * requests_per_hour * peak_to_mean / HOUR_S


@cache
def replica(model, accelerator, weights, tp, input_tokens, output_tokens) -> Station:
    """A replica of so many accelerators as a station for requests of such lengths."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    lengths = {"input_tokens": float(input_tokens), "output_tokens": float(output_tokens)}
    return station(at, **lengths, token_budget=BUDGET, input_cv=LENGTH_CV, output_cv=LENGTH_CV)


def degrees(model, accelerator, weights) -> list[int]:
    """Accelerators that a replica of this model may have: the heads divide, and there are links between them."""
    one = placed(model, accelerator, weights=weights)
    linked = one.accelerator.link_bytes_per_s or one.accelerator.pcie_bytes_per_s
    return [tp for tp in DEGREES if one.model.n_heads % tp == 0 and (linked or tp == 1)]


@cache
def bare_sizes(model, accelerator, weights, input_tokens, output_tokens, ttft_ms, tpot_ms) -> tuple[dedicated.Size, ...]:
    """Every size of a replica that keeps the limits, failures not counted; those that no load would take are left out."""
    limits = {"ttft_s": ttft_ms / KILO, "tpot_s": tpot_ms / KILO, "share": SHARE}
    found = [
        dedicated.size(replica(model, accelerator, weights, tp, input_tokens, output_tokens), accelerators=tp, **limits)
        for tp in degrees(model, accelerator, weights)
    ]
    return tuple(one for one in found if one)


@cache
def availability(accelerator, tp, **failures) -> float:
    """Of a replica of so many accelerators in a centre."""
    return places.places(accelerator, tp, **failures)[0].availability


def with_failures(bare, accelerator, *, faster: float = 1.0, failures: dict | None = None) -> list[dedicated.Size]:
    """Sizes with the failures of a centre. faster: a factor of what each replica takes; failures: FAILURES changed."""
    up = [availability(accelerator, one.accelerators, **(failures or {})) for one in bare]
    return [replace(one, each_per_s=one.each_per_s * faster, availability=p) for one, p in zip(bare, up, strict=True)]


def sizes(model, accelerator, weights, *, faster: float = 1.0, failures: dict | None = None, **work) -> list[dedicated.Size]:
    """The sizes with the failures of a centre, changed as `with_failures` says."""
    return with_failures(bare_sizes(model, accelerator, weights, **work), accelerator, faster=faster, failures=failures)


def premium(
    model, accelerator, weights, *, groups, uneven, coincidence, target, faster=1.0, failures=None, analysts,
    requests_per_hour, peak_to_mean, **work,
) -> float:  # fmt: skip
    """Accelerators of groups apart over those of one pool; NaN where no replica keeps the limits."""
    able = sizes(model, accelerator, weights, faster=faster, failures=failures, **work)
    if not able:
        return np.nan
    load = peak_per_s(analysts=analysts, requests_per_hour=requests_per_hour, peak_to_mean=peak_to_mean)
    loads = load * dedicated.shares(round(groups), uneven)
    return dedicated.premium(dedicated.isolation(able, loads, target=target, coincidence=coincidence))


def interval(answer: Callable[..., float], model, accelerator, weights) -> Figure:
    """An answer that takes faster and failures, with the model's interval on what a replica takes and the ranges of failures
    and repairs."""
    value, bands = answer(), []
    if np.isnan(value):
        return Figure(np.nan, np.nan, np.nan)
    band = inverse(model_band(placed(model, accelerator, weights=weights), backlog=False))
    ends = places.spans(accelerator)
    moves = [[{"faster": end} for end in band if np.isfinite(end) and end > 0]]
    moves += [[{"failures": {name: end}} for end in ends[name]] for name in FAILURES if name in ends]
    for changes in moves:
        moved = [answer(**change) / value for change in changes]
        bands.append((min(1.0, *moved), max(1.0, *moved)))
    return spread(value, *bands)


@check("isolation-premium")
def isolation_premium(*, model, accelerator, weights, **scenario) -> Figure:
    """Accelerators of a fleet for each group, whole replicas and spares, over those of one pool with the same promises;
    interval: the model's, failures, repairs."""
    return interval(lambda **change: premium(model, accelerator, weights, **scenario, **change), model, accelerator, weights)


@check("strict-latency-cost")
def strict_latency_cost(*, model, accelerator, weights, per_replica, input_tokens, output_tokens, ttft_ms, tpot_ms) -> Figure:
    """Cost of a token within the limits over its cost with nobody's wait minded, on the same replica; NaN where it does not
    keep them; interval: the model's on a ratio of two loads."""
    at = replica(model, accelerator, weights, int(per_replica), input_tokens, output_tokens)
    kept = most_requests_per_s(at, ttft_s=ttft_ms / KILO, tpot_s=tpot_ms / KILO, share=SHARE)[0]
    return spread(most_per_s(at) / kept, ratio_band("loads")) if kept > 0 else Figure(np.nan, np.nan, np.nan)


@check("users-said")
def users_said(*, users, model, accelerator, weights, requests_per_hour, peak_to_mean, active_hours, seconds_each, **work):
    """Not computable: a company's word on its users; the reason says what so many would ask for."""
    load = float(peak_per_s(analysts=users, requests_per_hour=requests_per_hour, peak_to_mean=peak_to_mean))
    able = sizes(model, accelerator, weights, **work)
    told = "which no replica of this model takes within the limits"
    if able:
        pool = dedicated.fleet(able, load, target=TARGET)
        told = f"or {pool.needed[0]:,} replicas of {pool.per_replica[0]} accelerators in one pool and {pool.spares[0]} to spare"
    share = 100 * requests_per_hour * seconds_each / HOUR_S
    raise Unverifiable(
        f"a company's statement on its users; no number of requests, length or machine is printed beside it. If each of "
        f"{users:,.0f} sent {significant(requests_per_hour)} requests in each of {significant(active_hours)} working hours and "
        f"read for {significant(seconds_each)} s each, that were {significant(load)} requests a second in the busiest hour, "
        f"{told}, and {significant(share, 2)}% of a person's day"
    )
