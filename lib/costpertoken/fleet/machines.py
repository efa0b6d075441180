"""Whole machines for a load: nobody rents a third of one, so a small load pays for what it leaves idle.

Loads and capacities in output tokens per second. Left out: queueing and peaks; the load is steady.
"""

import numpy as np

from costpertoken.model.records import Deployment
from costpertoken.model.serving import serve

#: Batches tried, from one request to the most that fits.
BATCH_STEPS = 80


def capacity_tok_per_s(deployed: Deployment, *, input_tokens, output_tokens, tpot_limit_s=np.inf, ttft_limit_s=np.inf):
    """(output tokens per second, batch) of the best batch within both limits; NaN where none is or nothing fits. The limits
    may be arrays, which gives arrays."""
    lengths = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    tpot_s, ttft_s = (np.asarray(limit, dtype=float)[..., None] for limit in (tpot_limit_s, ttft_limit_s))
    most = float(serve(deployed, **lengths).batch)
    tried = np.geomspace(1.0, most if most >= 1 else 1.0, BATCH_STEPS)
    out = serve(deployed, concurrency=tried, **lengths)
    allowed = (out.tpot_s <= tpot_s) & (out.ttft_s <= ttft_s) & (most >= 1)
    rate = np.where(allowed, out.output_tok_per_s, -1.0)
    at, best = np.argmax(rate, axis=-1), np.max(rate, axis=-1)
    return np.where(best > 0, best, np.nan)[()], np.where(best > 0, tried[at], np.nan)[()]


def fleet_usd_per_hour(*, load_tok_per_s, capacity_tok_per_s, usd_per_hour):
    """USD per hour of as many whole machines of one kind as a load needs, at least one. Arrays broadcast."""
    return usd_per_hour * np.maximum(1.0, np.ceil(np.asarray(load_tok_per_s) / capacity_tok_per_s - 1e-9))


def cheapest_usd_per_hour(*, load_tok_per_s, capacities_tok_per_s, usd_per_hour):
    """USD per hour of the cheapest fleet of one size of machine: capacities and rents are arrays over the sizes."""
    load = np.asarray(load_tok_per_s, dtype=float)[..., None]
    bills = fleet_usd_per_hour(load_tok_per_s=load, capacity_tok_per_s=capacities_tok_per_s, usd_per_hour=usd_per_hour)
    return np.min(np.where(np.isnan(bills), np.inf, bills), axis=-1)


def crossing_tok_per_s(*, capacities_tok_per_s, usd_per_hour, other_usd_per_hour):
    """The largest load that a fleet of small machines carries for at most the rent of one larger one; 0 where none does.

    As many of each size (the last axis) as that rent buys, at their capacity. Beyond the larger one's own capacity it only
    says that the small ones are cheaper throughout.
    """
    carried = np.floor(other_usd_per_hour / np.asarray(usd_per_hour) + 1e-9) * capacities_tok_per_s
    return np.max(np.nan_to_num(carried), axis=-1, initial=0.0)[()]
