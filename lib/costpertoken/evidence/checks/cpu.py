"""Claims of the chapter on CPUs: what an instance has, what its tokens cost, and when an idle GPU costs more."""

from dataclasses import replace
from functools import cache

import numpy as np

from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.assumed import rate_band
from costpertoken.evidence.claims import check
from costpertoken.evidence.scenario import IDEAL, inverse, market, model_band, placed, spread, usd_per_mtok
from costpertoken.fleet.machines import capacity_tok_per_s, cheapest_usd_per_hour, fleet_usd_per_hour
from costpertoken.model.units import KILO, MTOK
from costpertoken.tables.cpus import instance, single_price, vcpu_price, vcpu_sizes

#: Who pays, as the claims' inputs name it -> allocation.
PAYS = {"output": "output-only", "token": "per-token"}
#: The load at which the band of an instance's rate is taken.
TYPICAL = {"input_tokens": 300, "output_tokens": 200, "batch": 32}


@cache
def typical_band(model, cpu, weights, n_vcpus) -> tuple[float, float]:
    """Factors of the rate of an instance under a usual load: they hardly move with it."""
    return rate_band(instance(model, cpu, weights=weights, n_vcpus=n_vcpus), **TYPICAL)


@check("cpu-vcpus")
def vcpus(*, cpu):
    """The largest size in which instances of the processor are rented (data/cpus.csv)."""
    return float(vcpu_sizes(cpu)[-1])


@check("cpu-cost-per-1k", bound="floor")
def cost_per_1k(*, cpu, model, weights, n_vcpus, batch, input_tokens, output_tokens, per, ideal=False):
    """Rent of the instance over the tokens it makes with `batch` requests in flight, per thousand."""
    at = instance(model, cpu, weights=weights, n_vcpus=n_vcpus)
    load = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    rent = vcpu_price(cpu)
    if ideal:
        at = replace(at, efficiency=IDEAL)
    usd = usd_per_mtok(at, n_vcpus * rent.usd_per_hour, allocation=PAYS[per], concurrency=batch, **load) * KILO / MTOK
    if ideal or np.isnan(usd):
        return usd
    return spread(usd, inverse(typical_band(model, cpu, weights, n_vcpus)), market(rent))


@check("price-against-idle-gpu")
def price_against_idle(*, usd_per_1k, gpu, model, weights, utilisation, input_tokens, output_tokens, per):
    """The printed price over what a GPU's token costs if the GPU works `utilisation` of the time at a full batch."""
    at, rent = placed(model, gpu, weights=weights), single_price(gpu)
    load = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    usd = usd_per_mtok(at, rent.usd_per_hour, allocation=PAYS[per], **load) / utilisation
    return spread(usd_per_1k * MTOK / KILO / usd, inverse(model_band(at, backlog=True)), inverse(market(rent)))


@cache
def carried(model, cpu, weights, **limits) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """(capacities, rents, band of a capacity) over the sizes of a processor's instances."""
    of_size = [instance(model, cpu, weights=weights, n_vcpus=n) for n in vcpu_sizes(cpu)]
    found = [capacity_tok_per_s(at, **limits) for at in of_size]
    rents = np.array(vcpu_sizes(cpu)) * vcpu_price(cpu).usd_per_hour
    lengths = {"input_tokens": limits["input_tokens"], "output_tokens": limits["output_tokens"]}
    band = next(
        (rate_band(at, batch=b, **lengths) for at, (_, b) in zip(of_size, found, strict=True) if b >= 1), (1.0, 1.0)
    )
    return np.array([rate for rate, _ in found]), rents, band


@cache
def gpu_carried(model, gpu, weights, **limits) -> float:
    """Tokens per second of one GPU within the limits."""
    return capacity_tok_per_s(placed(model, gpu, weights=weights), **limits)[0]


def bill(peak_usd_per_hour, idle_usd_per_hour, peak_to_mean, held):
    """Mean USD per hour of traffic that stands at its peak for 1 / peak_to_mean of the time and is nothing else."""
    busy = 1.0 / peak_to_mean
    return peak_usd_per_hour if held == "held" else busy * peak_usd_per_hour + (1.0 - busy) * idle_usd_per_hour


@check("uneven-bill")
def uneven(*, cpu, gpu, model, weights, mean_tok_per_s, peak_to_mean, cpu_fleet, gpu_fleet, **limits):
    """Bill of a fleet of CPU instances over that of GPUs, both for the peak; a fleet that follows keeps one machine idle."""
    capacities, rents, band = carried(model, cpu, weights, **limits)
    one, rent = gpu_carried(model, gpu, weights, **limits), single_price(gpu)
    if np.isnan(capacities).all() or np.isnan(one):
        return np.nan
    peak = mean_tok_per_s * peak_to_mean
    other = fleet_usd_per_hour(load_tok_per_s=peak, capacity_tok_per_s=one, usd_per_hour=rent.usd_per_hour)
    other = bill(other, rent.usd_per_hour, peak_to_mean, gpu_fleet)
    least = rents[~np.isnan(capacities)].min()
    ratios = [
        bill(
            float(cheapest_usd_per_hour(load_tok_per_s=peak, capacities_tok_per_s=capacities * factor, usd_per_hour=rents)),
            least, peak_to_mean, cpu_fleet,
        ) / float(other)
        for factor in (1.0, band[1], band[0])
    ]  # fmt: skip
    prices = spread(1.0, market(vcpu_price(cpu)), inverse(market(rent)))
    return Figure(ratios[0], ratios[1] * prices.low, ratios[2] * prices.high)
