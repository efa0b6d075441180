"""An API's bill beside that of machines of one's own: where they cross, and how likely the cheaper one is the cheaper one.

Own machines: whole replicas for the peak, at least some of them, each loaded to what its latency limits allow; a share of
staff that does not grow with the load; bytes that leave the cloud. Left out: failures, retries, and growth.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from costpertoken import tables
from costpertoken.answers import estimate as one
from costpertoken.evidence import ownership, sellers
from costpertoken.evidence.ownership import Prior
from costpertoken.evidence.uncertain import LEVEL, cost_interval
from costpertoken.fleet.station import pooled, station
from costpertoken.fleet.steady import most_requests_per_s
from costpertoken.model.records import Deployment, InputError, Workload, check_range
from costpertoken.model.units import DAY_S, DAYS_PER_YEAR, GIGA, HOUR_S, HOURS_PER_YEAR, MONTHS_PER_YEAR, MTOK

#: Limits that a request of a chat keeps, and the share of requests that must keep them.
TTFT_LIMIT_S, TPOT_LIMIT_S, SHARE = 2.0, 0.05, 0.9
#: Most tokens of a step; standard deviation over mean of prompts and answers.
TOKEN_BUDGET, LENGTHS_CV = 8192, 0.5
MONTH_S = DAY_S * DAYS_PER_YEAR / MONTHS_PER_YEAR
DRAWS, SEED = 4000, 17


@dataclass(frozen=True, kw_only=True)
class Hosting:
    """Own machines for one kind of request.

    capacity_per_s: requests a second of one replica within the limits; full_per_s: with a backlog and no limits. egress_usd: of
    one request. peak_to_mean: replicas are kept for so many times the mean load. interval: the model's, as factors of a cost.
    """

    deployed: Deployment
    workload: Workload
    capacity_per_s: float
    full_per_s: float
    usd_per_hour: float
    staff_usd_per_hour: float
    egress_usd: float
    peak_to_mean: float = 1.0
    least_replicas: int = 1
    interval: tuple[float, float] = (1.0, 1.0)
    rents_usd_per_hour: tuple[float, ...] = ()


def capacity_per_s(
    deployed: Deployment, workload: Workload, *, ttft_s=TTFT_LIMIT_S, tpot_s=TPOT_LIMIT_S, n_replicas=1
) -> float:
    """Requests a second that each of n replicas behind one queue takes under Poisson arrivals with both limits kept for SHARE;
    NaN where it cannot."""
    at = station(
        deployed, input_tokens=workload.input_tokens, output_tokens=workload.output_tokens, cached_share=workload.cached_share,
        token_budget=TOKEN_BUDGET, input_cv=LENGTHS_CV, output_cv=LENGTHS_CV,
    )  # fmt: skip
    return most_requests_per_s(pooled(at, n_replicas), ttft_s=ttft_s, tpot_s=tpot_s, share=SHARE)[0] / n_replicas


def placement(model_id: str, accelerator_id: str, workload: Workload, *, weights=None) -> tuple[Deployment, float]:
    """(deployment, requests a second of a replica within the limits) at the tensor-parallel degree with the cheapest request.

    Where no degree keeps the limits, the one with the cheapest token without them. Raises InputError where nothing fits.
    """
    base = one.deployment(model_id, accelerator_id, weights=weights)
    allowed = one.degrees_of(base)
    rates = np.array([capacity_per_s(replace(base, tp=tp), workload) for tp in allowed])
    if np.all(np.isnan(rates)):
        found = replace(base, tp=one.best_tp(base, workload))
        first = one.serve_workload(found, workload)
        if int(first.status):
            raise InputError(one.why_not(found, first, workload))
        return found, float(first.requests_per_s)
    best = int(np.nanargmax(rates / np.array(allowed)))
    return replace(base, tp=allowed[best]), float(rates[best])


def hosting(
    model_id: str, accelerator_id: str, workload: Workload, *, weights=None, cloud_class=None, peak_to_mean=1.0, least_replicas=1,
    staff_fte=0.0,
) -> Hosting:  # fmt: skip
    """Own machines by name: rented at the headline price of one class of cloud, with its price of egress."""
    check_range("peak_to_mean", peak_to_mean, low=1.0)
    check_range("staff_fte", staff_fte)
    deployed, rate = placement(model_id, accelerator_id, workload, weights=weights)
    price = one.headline_price(accelerator_id, cloud_class=cloud_class)
    offers = tables.price_rows(accelerator_id, cloud_class=price.label.split()[0])
    band, _ = cost_interval(accelerator_id, model_id, deployed.engine, backlog=True)
    return Hosting(
        deployed=deployed,
        workload=workload,
        capacity_per_s=rate,
        full_per_s=one.requests_at_most(deployed, workload),
        usd_per_hour=deployed.tp * price.usd_per_hour,
        staff_usd_per_hour=staff_usd_per_hour(staff_fte),
        egress_usd=egress_usd_per_request(workload, price.label),
        peak_to_mean=peak_to_mean,
        least_replicas=int(least_replicas),
        interval=band,
        rents_usd_per_hour=tuple(deployed.tp * offers["value"]),
    )


def staff_usd_per_hour(fte: float) -> float:
    """USD an hour of so many full-time engineers, every hour of the year."""
    return fte * ownership.prior("staff_cost", "us-loaded").value / HOURS_PER_YEAR


def egress_usd_per_request(workload: Workload, cloud: str) -> float:
    """USD for the bytes of a streamed answer that leave the cloud; clouds of other classes count as neoclouds."""
    scope = "hyperscaler" if "hyperscaler" in cloud else "neocloud"
    sent_bytes = workload.output_tokens * ownership.prior("streamed_bytes", "token").value
    return sent_bytes / GIGA * ownership.prior("egress_price", scope).value


def replicas(of: Hosting, requests_per_s, *, slower=1.0):
    """Whole replicas that carry the peak, at least the least; `slower`: steps take so many times as long as computed."""
    need = of.peak_to_mean * np.asarray(requests_per_s) * slower / of.capacity_per_s
    return np.maximum(of.least_replicas, np.ceil(need - 1e-9))


def usd_per_request(of: Hosting, requests_per_s, *, slower=1.0, rent=1.0, staff=1.0):
    """USD of a request on own machines at a mean load; slower, rent, staff: factors of what is computed."""
    hourly = replicas(of, requests_per_s, slower=slower) * of.usd_per_hour * rent + of.staff_usd_per_hour * staff
    return hourly / (np.asarray(requests_per_s) * HOUR_S) + of.egress_usd


def usd_per_mtok(of: Hosting, requests_per_s, **factors):
    """USD per million output tokens, the whole bill on them."""
    return usd_per_request(of, requests_per_s, **factors) / of.workload.output_tokens * MTOK


def parts_usd_per_month(of: Hosting, requests_per_s: float) -> dict[str, float]:
    """The monthly bill of own machines: work, what stands idle for peaks and for whole replicas, staff and egress."""
    rent = float(replicas(of, requests_per_s)) * of.usd_per_hour * MONTH_S / HOUR_S
    work = min(rent, requests_per_s / of.capacity_per_s * of.usd_per_hour * MONTH_S / HOUR_S)
    staff = of.staff_usd_per_hour * MONTH_S / HOUR_S
    return {"work": work, "idle": rent - work, "staff": staff, "egress": of.egress_usd * requests_per_s * MONTH_S}


def saturated_usd_per_mtok(of: Hosting) -> float:
    """What the cost tends to as the load grows: replicas full at the peak, staff shared by endless tokens."""
    hourly = of.peak_to_mean * of.usd_per_hour / (of.capacity_per_s * HOUR_S)
    return (hourly + of.egress_usd) / of.workload.output_tokens * MTOK


def break_even_requests_per_s(of: Hosting, api_usd_per_mtok: float, *, slower=1.0, rent=1.0, staff=1.0) -> float:
    """The smallest mean load at which own machines cost no more than an API; infinite where they never do.

    n replicas cost n r + s an hour and carry n c; an API earns a on each request. The first n with n r + s <= a n c has the
    crossing, at (n r + s) / a. Beyond it a further replica can turn the order round for a while.
    """
    gain = (
        api_usd_per_mtok / MTOK * of.workload.output_tokens - of.egress_usd
    ) * HOUR_S  # USD/h for each request a second
    each, fixed = of.usd_per_hour * rent, of.staff_usd_per_hour * staff
    carried = of.capacity_per_s / (of.peak_to_mean * slower)
    margin = gain * carried - each
    least = of.least_replicas
    if gain <= 0 or (margin <= 0 and least * margin < fixed):
        return np.inf
    n = least if margin <= 0 else max(least, int(np.ceil(fixed / margin - 1e-9)))
    return max((n * each + fixed) / gain, (n - 1) * carried if n > least else 0.0)


def idle_penalty(of: Hosting, requests_per_s):
    """Times that the machines' cost of a token at a load is that of the same machines with a backlog: whole replicas only."""
    load = np.asarray(requests_per_s, dtype=float)
    return np.maximum(of.least_replicas, np.ceil(load / of.full_per_s - 1e-9)) * of.full_per_s / load


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Draws of what is not known, one entry a draw: factors of the model's cost, of the rent and of staff; an API's price."""

    slower: np.ndarray
    rent: np.ndarray
    staff: np.ndarray
    api_usd_per_mtok: np.ndarray


def two_piece(at: np.ndarray, low: float, high: float, level: float = LEVEL) -> np.ndarray:
    """Factors around one from standard normal draws: log-normal on either side, with ends that hold `level` between them."""
    reach = norm.ppf(0.5 + level / 2)
    return np.exp(np.where(at < 0, -np.log(low), np.log(high)) * at / reach)


def draws(of: Hosting, prices_usd_per_mtok, *, n: int = DRAWS, seed: int = SEED) -> Draws:
    """Seeded draws: the model's error from its earned interval, the rent and the API's price from the offers on record, each as
    likely as the other; staff from its range."""
    chance, staff = np.random.default_rng(seed), staff_range()
    return Draws(
        slower=two_piece(chance.standard_normal(n), *of.interval),
        rent=chance.choice(np.array(of.rents_usd_per_hour or [of.usd_per_hour]), n) / of.usd_per_hour,
        staff=two_piece(chance.standard_normal(n), staff.low / staff.value, staff.high / staff.value),
        api_usd_per_mtok=chance.choice(np.asarray(prices_usd_per_mtok, dtype=float), n),
    )


def staff_range() -> Prior:
    """FTE that one served model takes."""
    return ownership.prior("staff_per_service", "self-hosted")


def cheaper_probability(of: Hosting, drawn: Draws, requests_per_s):
    """Probability that own machines cost less than the API at a mean load, all unknowns drawn; an array over the loads."""
    load = np.asarray(requests_per_s, dtype=float)[..., None]
    own = usd_per_mtok(of, load, slower=drawn.slower, rent=drawn.rent, staff=drawn.staff)
    return np.mean(own < drawn.api_usd_per_mtok, axis=-1)


def choice(of: Hosting, prices_usd_per_mtok, requests_per_s: float, drawn: Draws | None = None) -> tuple[str, float]:
    """(the cheaper at typical values, "API" or "own machines", against the median seller; the probability that it is)."""
    own = float(usd_per_mtok(of, requests_per_s)) < float(np.median(prices_usd_per_mtok))
    drawn = draws(of, prices_usd_per_mtok) if drawn is None else drawn
    chance = float(cheaper_probability(of, drawn, requests_per_s))
    return ("own machines", chance) if own else ("API", 1.0 - chance)


def bills(of: Hosting, model_id: str, **load):
    """`sellers.bills` for the requests of a Hosting."""
    work = of.workload
    return sellers.bills(
        model_id,
        input_tokens=work.input_tokens,
        output_tokens=work.output_tokens,
        cached_share=work.cached_share,
        **load,
    )
