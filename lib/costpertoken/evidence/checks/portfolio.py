"""Claims of the chapter on portfolios: what spot and commitments take off, how available spot is, what several clouds save."""

import math

import numpy as np

from costpertoken import tables
from costpertoken.evidence import market
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.claims import check
from costpertoken.fleet.capacity import Pool, down_share

#: Replicas in the mean, peak over mean and weekend of the load on which clouds are compared: small, so that it is quick.
LOAD = {"mean_replicas": 2.0, "peak_to_mean": 1.5, "weekend_share": 1.0}


@check("spot-discount")
def spot_discount(*, accelerator, provider, region):
    """What a provider's spot takes off its on-demand price in a region, in per cent; spot as its cheapest region has it."""
    hourly = tables.price_rows(accelerator, provider=provider, region=region)["value"]
    spot = tables.price_rows(accelerator, provider=provider, commitment="spot")["value"]
    return 100 * (1 - spot.min() / hourly.median()) if len(hourly) and len(spot) else math.nan


@check("spot-availability")
def spot_availability(*, read_as, evictions_per_hour, recovery_hours):
    """Share of the hours in which one spot machine is up, or chance that an hour passes without an eviction, in per cent."""
    if read_as == "hour-survived":
        return 100 * math.exp(-evictions_per_hour)
    fails = {"evictions_per_hour": evictions_per_hour, "recovery_hours": recovery_hours, "together_share": 0.0}
    return 100 * (1 - down_share(Pool(provider="", term="spot", usd_per_hour=0.0, **fails)))


@check("commitment-discount")
def commitment_discount(*, accelerator, provider, term) -> Figure:
    """What a commitment takes off the on-demand price of the same instance and region, in per cent: median and extremes."""
    rows = tables.read("gpu_prices").query("flag == '' and accelerator_id == @accelerator and provider == @provider")
    same = ["region", "instance"]
    both = rows.query("commitment == @term").merge(rows.query("commitment == 'on-demand'"), on=same)
    off = 100 * (1 - both["value_x"] / both["value_y"])
    return (
        Figure(*(float(end) for end in (off.median(), off.min(), off.max()))) if len(off) else Figure(*[math.nan] * 3)
    )


@check("several-clouds-saving")
def several_clouds_saving(*, accelerator, sellers, target, evictions_per_hour):
    """What the cheapest mix of all sellers saves on that of the best single one at the same availability, in per cent.

    Evictions are independent between sellers and regions; recovery and common evictions at their typical values. Nothing is
    charged for using several clouds: an upper end.
    """
    typical = {name: one.value for name, one in market.assumed().items()} | {"evictions_per_hour": evictions_per_hour}
    case = market.Case(accelerator_id=accelerator, sellers=sellers, target=target, **typical, **LOAD)
    return float(np.maximum(market.saving(case), 0.0))
