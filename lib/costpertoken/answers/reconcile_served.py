"""What the book's model says of the accounts' machines: rates of pools of many accelerators, and what lies between rent and
owning."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence import ownership as own
from costpertoken.evidence.uncertain import cost_interval
from costpertoken.model.records import Deployment, Workload
from costpertoken.model.roofline import Step, step
from costpertoken.model.serving import batch_limit, serve
from costpertoken.money.price import ownership_usd_per_hour

#: Batches tried, in equal ratios from one request a rank to the most that fits.
POINTS = 60
#: Accelerators of a pool: the power of two, which experts can be spread over, next below the operator's decode pools of 144.
RANKS = 128


class Rates(NamedTuple):
    """Tokens per second of a node of a prefill pool (cache hits counted) and of a decode pool."""

    prefill: float
    decode: float


def pool(model_id: str, accelerator_id: str) -> Deployment:
    """A pool of RANKS accelerators: attention of each request on one of them, experts spread over all."""
    return tables.deployment(model_id, accelerator_id, weights="fp8", tp=1, dp=RANKS, ep=RANKS)


def step_s(at: Step, *, exchange: bool):
    """Seconds of a step, with the exchange between accelerators in the open or hidden without a cost."""
    return at.step_s if exchange else at.step_s - at.network_s


def rates(of: Deployment, work: Workload, *, user_tok_per_s: float, node: int, exchange: bool) -> Rates:
    """Rates of two pools of one deployment; NaN where the model does not fit.

    Decode: the most within user_tok_per_s of each request. Prefill: full steps of the token budget a rank, prompts whose hits
    (cached_share) are read, not computed. node: accelerators of one.
    """
    nodes, isl = of.tp * of.pp * of.dp / node, work.input_tokens
    sizes = {"input_tokens": isl, "output_tokens": work.output_tokens}
    most = float(batch_limit(of, **sizes))
    if not most >= of.dp:
        return Rates(float("nan"), float("nan"))
    batch = np.geomspace(of.dp, most, POINTS)
    seconds = step_s(step(of, decode=batch, context_tokens=isl + work.output_tokens / 2), exchange=exchange)
    kept = np.where(seconds <= 1 / user_tok_per_s, batch / seconds, np.nan)
    chunk = tables.convention("token_budget") * of.dp
    seen = isl * (1 + work.cached_share) / 2  # tokens that a fresh one looks back on: all hits, and half of the fresh
    prompts = step(of, decode=0.0, context_tokens=0.0, prefill_tokens=chunk, pairs_per_token=seen)
    fresh = chunk / float(step_s(prompts, exchange=exchange))
    decode = float(np.nanmax(kept)) if np.isfinite(kept).any() else float("nan")
    return Rates(fresh / (1 - work.cached_share) / nodes, decode / nodes)


def cost_band(of: Deployment) -> tuple[float, float]:
    """The model's interval of a pool's cost, as factors, for a number of requests in flight."""
    return cost_interval(of.accelerator.id, of.model.id, of.engine, backlog=False)[0]


def flight_at(of: Deployment, work: Workload, tok_per_s: float) -> dict[str, float]:
    """Where one replica makes so many output tokens per second and accelerator: flight (requests), user_tok_per_s, and full:
    what each accelerator makes with a backlog. NaN where it is never that slow or that fast."""
    sizes = {"input_tokens": work.input_tokens, "output_tokens": work.output_tokens, "cached_share": work.cached_share}
    most = float(serve(of, **sizes).batch)
    tried = np.geomspace(1.0, most, POINTS)
    out = serve(of, **sizes, concurrency=tried)
    each = out.output_tok_per_s / (of.tp * of.pp * of.dp)
    inside = each[0] <= tok_per_s <= each[-1]
    flight = float(np.exp(np.interp(np.log(tok_per_s), np.log(each), np.log(tried)))) if inside else float("nan")
    return {"flight": flight, "user_tok_per_s": float(np.interp(flight, tried, 1 / out.tpot_s)), "full": float(each[-1])}


def rent_gap(accelerator_id: str, rents: Mapping[str, float], *, utilisation: float) -> pd.DataFrame:
    """What lies between a rent and the cost of owning, in USD an hour: capital, running, idle (hours that an owner pays for and
    does not sell), rest; they sum to the rent. even: share of hours sold at which nothing is left.

    rents: name of a price -> USD per accelerator-hour. rest is left for profit, sales, taxes and risk; it may be negative.
    """
    parts = ownership_usd_per_hour(own.ownership(accelerator_id))
    owned = sum(parts.values())
    fixed = {"owning": owned, "capital": parts["capital"], "running": owned - parts["capital"]}
    fixed["idle"] = owned / utilisation - owned
    rows = [
        {"price": name, "rent": rent, **fixed, "rest": rent - owned / utilisation, "even": owned / rent}
        for name, rent in rents.items()
    ]
    return pd.DataFrame(rows).assign(rest_share=lambda at: at["rest"] / at["rent"])
