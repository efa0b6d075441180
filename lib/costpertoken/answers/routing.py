"""Less of a model for each token: requests that a smaller model answers, and experts that a token leaves out.

Costs are accelerator seconds, of which every one costs the same: the pools stand on accelerators of one kind.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from costpertoken import tables
from costpertoken.answers import estimate as one
from costpertoken.answers.formats import MEASURED_UNDER
from costpertoken.evidence.checks.routing import SAME_CORPUS as SAME_CORPUS
from costpertoken.evidence.checks.routing import WEIGHTS as WEIGHTS
from costpertoken.evidence.checks.routing import active_matrices as active_matrices
from costpertoken.evidence.checks.routing import at_load as at_load
from costpertoken.evidence.checks.routing import kept_shares as kept_shares
from costpertoken.evidence.checks.routing import list_price_ratios as list_price_ratios
from costpertoken.evidence.checks.routing import place as place
from costpertoken.evidence.checks.routing import routed as routed
from costpertoken.evidence.checks.routing import router_s as router_s
from costpertoken.evidence.checks.routing import scores as scores
from costpertoken.model.records import Deployment, Model, Workload
from costpertoken.model.setup import Setup, run
from costpertoken.model.transformer import parameters
from costpertoken.model.units import GIGA

#: Mixture of experts -> a dense model whose scores stand in the same table of its source.
PEERS = {"mixtral-8x7b": "llama-2-70b", "mixtral-8x22b": "llama-3-70b", "deepseek-v2": "llama-3-70b"}


def cost_ratio(setup: Setup, requests=None):
    """Accelerator time of a request of the mix over that of the large model alone at the same load. Shape of requests."""
    both = at_load(setup, requests)
    return sum(run(both).accelerator_s) / sum(run(replace(both, router=None)).accelerator_s)


def parts_s(setup: Setup) -> dict[str, float]:
    """Accelerator seconds of a request of the mix by what they go to; they sum to run's."""
    router, (large_s, small_s) = setup.router, run(setup).accelerator_s
    again = router.share * router.escalated
    asked = 1.0 - router.share + again
    again_s = float(large_s) * again / asked if asked else 0.0
    return {
        "large model, asked first": float(large_s) - again_s,
        "small model": float(small_s) - router.router_s,
        "large model, asked again": again_s,
        "router": router.router_s,
    }


def full_ratios(setup: Setup) -> tuple[float, float]:
    """(cost of a request on the small model, cost of routing one), both over its cost on the large one, all pools full."""
    (_, large), (_, small) = run(at_load(setup, None)).pools
    large_s = float(large.n_accelerators / large.requests_per_s)
    return float(small.n_accelerators / small.requests_per_s) / large_s, setup.router.router_s / large_s


def share_needed(saved, *, ratio, escalated, router=0.0):
    """Share of requests to send to the small model first for a saving (a share); above 1 or below 0 none is enough.

    ratio, router: of full_ratios.
    """
    kept = 1.0 - escalated - ratio
    return np.where(kept > 0, (saved + router) / np.where(kept > 0, kept, 1.0), np.inf)[()]


def break_even_escalated(setup: Setup) -> float:
    """Share of the first-asked requests that may be asked again before routing costs what the large model alone does, full."""
    ratio, router = full_ratios(setup)
    return 1.0 - ratio - router / setup.router.share if setup.router.share else np.nan


def break_even_requests(setup: Setup, most: float = 1e5) -> float:
    """Requests in flight from which on routing saves; 1 if from the first, infinite if never."""
    tried = np.geomspace(1.0, most, 120)
    dearer = np.flatnonzero(cost_ratio(setup, tried) > 1.0)
    if not len(dearer):
        return 1.0
    last = int(dearer[-1])
    if last == len(tried) - 1:
        return np.inf
    return float(
        np.exp(brentq(lambda log: float(cost_ratio(setup, np.exp(log))) - 1.0, *np.log(tried[last : last + 2])))
    )


def fleets(setup: Setup, requests_per_s) -> pd.DataFrame:
    """Accelerators of whole replicas, each at most full, with and without the router: load, alone, large, small, ratio."""
    alone = run(replace(at_load(setup, None), router=None)).pools[0][1]
    (asked, large), (share, small) = run(at_load(setup, None)).pools
    load = np.asarray(requests_per_s, dtype=float)
    counts = [
        pool.n_accelerators * np.ceil(load * part / float(pool.requests_per_s) - 1e-9)
        for part, pool in ((1.0, alone), (asked, large), (share, small))
    ]
    frame = pd.DataFrame(dict(zip(("load", "alone", "large", "small"), (load, *counts), strict=True)))
    return frame.assign(ratio=(frame["large"] + frame["small"]) / frame["alone"])


def first_saving_per_s(setup: Setup) -> float:
    """Requests per second at which whole replicas with the router are first fewer accelerators than without; infinite if
    not within a hundred full replicas."""
    full = float(run(replace(at_load(setup, None), router=None)).pools[0][1].requests_per_s)
    tried = fleets(setup, np.geomspace(full / 100, 100 * full, 4000))
    saving = tried[tried["ratio"] < 1]
    return float(saving["load"].iloc[0]) if len(saving) else np.inf


def mixtures() -> list[Model]:
    """Every mixture of experts of data/models.csv, those that use least of themselves first."""
    found = [tables.model(name) for name in tables.ids("models")]
    return sorted((m for m in found if m.n_experts), key=lambda m: kept_shares(m, tokens=1.0)["flop"])


def uneven(at: Deployment, fullest: float) -> Deployment:
    """A mixture whose step waits for the accelerator with `fullest` times the mean load of experts: as if all of them read
    and multiplied so much slower."""
    engine = at.efficiency
    slower = {"expert_bandwidth": engine.expert_bandwidth / fullest, "expert_peak": engine.expert_peak / fullest}
    return replace(at, efficiency=replace(engine, **slower))


def dense_over_mixture(mixture: Deployment, dense: Deployment, workload: Workload, requests=None):
    """Cost of a token of a dense model over that of a mixture, each on its own accelerators; NaN where one does not hold the
    requests. Shape of requests."""
    load, rates = replace(workload, concurrency=requests), []
    for at in (mixture, dense):
        out = one.serve_workload(at, load)
        held = True if requests is None else out.batch >= requests
        rates.append(np.where(held, out.output_tok_per_s / out.n_accelerators, np.nan))
    return rates[0] / rates[1]


def measured_ratios(mixture_id: str, dense_id: str) -> pd.DataFrame:
    """Published offline throughput an accelerator of a mixture over a dense model's, all else the same, beside the model's
    own ratio: accelerator_id, tp, isl, osl, weights, source_id, measured, predicted. Medians over releases."""
    rows = tables.read("measurements").query(
        "regime == 'offline-max-throughput' and metric == 'output_tok_s_total' and flag == '' and weight_precision != ''"
    )
    rows = rows[
        rows["tp"].notna() & rows["isl"].notna() & (rows["pp"].fillna(1) == 1) & (rows["tp"] == rows["n_accel"])
    ]
    same = ["source_id", "engine_version", "accelerator_id", "weight_precision", "tp", "isl", "osl"]
    best = [
        rows[rows["model_id"] == name].groupby(same, as_index=False)["value"].max() for name in (mixture_id, dense_id)
    ]
    both = best[0].merge(best[1], on=same, suffixes=("_moe", "_dense"))
    both["measured"] = both["value_moe"] / both["value_dense"]
    found = both.groupby(["accelerator_id", "weight_precision", "tp", "isl", "osl"], as_index=False)
    found = found.agg(measured=("measured", "median"), source_id=("source_id", "first"))
    return found.assign(predicted=[_predicted(mixture_id, dense_id, row) for row in found.itertuples()]).dropna(
        ignore_index=True
    )


def _predicted(mixture_id: str, dense_id: str, row) -> float:
    """The model's ratio for one row of measured_ratios."""
    load = Workload(input_tokens=row.isl, output_tokens=row.osl)
    named = {"weights": row.weight_precision, "tp": int(row.tp), "engine": MEASURED_UNDER}
    pair = [one.deployment(name, row.accelerator_id, **named) for name in (mixture_id, dense_id)]
    return float(dense_over_mixture(*pair, load))


def size_b(model: Model) -> float:
    """All parameters (1e9)."""
    return sum(parameters(model).values()) / GIGA
