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
from costpertoken.model.counts import peak_flop_per_s
from costpertoken.model.records import Deployment, Model, Workload
from costpertoken.model.setup import Router, Setup, run
from costpertoken.model.transformer import attention_flop_per_pair, experts_touched_share, matrix_parameters, parameters
from costpertoken.model.units import GIGA, MTOK

#: Format of weights and products; what an accelerator has no rate for it multiplies in the next wider format.
WEIGHTS = "fp8"
#: Mixture of experts -> a dense model whose scores stand in the same table of its source.
PEERS = {"mixtral-8x7b": "llama-2-70b", "mixtral-8x22b": "llama-3-70b", "deepseek-v2": "llama-3-70b"}
#: Pairs of which one source has scores of both, as data/techniques.csv names them.
SCORED = {
    "mixtral-8x7b to llama-2-70b": ("Mixtral 8x7B v0.1", "Llama 2 70B", "mixtral-2024"),
    "mixtral-8x7b to llama-2-70b, by others": ("Mixtral 8x7B v0.1", "Llama 2 70B", "mixtralkit-repo"),
    "mixtral-8x22b to llama-3-70b": ("Mixtral 8x22B v0.1", "Llama 3 70B", "deepseek-v2-repo"),
    "deepseek-v2 to llama-3-70b": ("DeepSeek-V2 (236B)", "Llama 3 70B", "deepseek-v2-repo"),
    "deepseek-v2 to deepseek-67b": ("DeepSeek-V2 (236B)", "DeepSeek 67B", "deepseek-v2-repo"),
    "deepseek-v2-lite to deepseek-7b": ("DeepSeek-V2-Lite (16B)", "DeepSeek 7B", "deepseek-v2-repo"),
    "deepseek-moe-16b to deepseek-7b": ("DeepSeekMoE 16B", "DeepSeek 7B", "deepseek-v2-repo"),
}
#: The pair whose two models were trained on one corpus.
SAME_CORPUS = "deepseek-moe-16b to deepseek-7b"


def place(model_id: str, accelerator_id: str, workload: Workload, *, weights: str = WEIGHTS) -> Deployment:
    """A model on the number of accelerators of one server on which a backlog's tokens are cheapest."""
    at = one.deployment(model_id, accelerator_id, weights=weights)
    return replace(at, tp=one.best_tp(at, workload))


def router_s(at: Deployment, *, router_params_b: float, input_tokens: float) -> float:
    """Accelerator seconds in which a router of so many parameters (1e9) reads a prompt at the products' rate."""
    flop = 2.0 * router_params_b * GIGA * input_tokens
    return flop / (peak_flop_per_s(at, "dense") * at.efficiency.dense_peak)


def routed(
    large: Deployment, small: Deployment, workload: Workload, *, share, escalated, router_params_b=None
) -> Setup:
    """Requests of which a share is asked of the small model first; the router's size is that of data/levers.csv."""
    known = tables.read("levers").set_index(["lever", "setting"])["value"]
    size = known["routing", "router_params_b"] if router_params_b is None else router_params_b
    seconds = router_s(large, router_params_b=size, input_tokens=workload.input_tokens)
    router = Router(small=small, share=share, escalated=escalated, router_s=seconds)
    return Setup(deployment=large, workload=workload, router=router)


def at_load(setup: Setup, requests) -> Setup:
    """The same with so many requests in flight; None: a backlog."""
    return replace(setup, workload=replace(setup.workload, concurrency=requests))


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


def list_price_ratios(large_id: str, small_id: str, workload: Workload) -> pd.Series:
    """What providers that list both models ask for a request on the small one over the large one; median of their routes."""
    rows = tables.read("api_prices").query("model_id in [@large_id, @small_id]")
    usd = rows["input_usd_per_mtok"] * workload.input_tokens + rows["output_usd_per_mtok"] * workload.output_tokens
    paid = rows.assign(usd=usd / MTOK).query("usd > 0")
    found = (
        paid.groupby(["provider", "model_id"])["usd"].median().unstack("model_id").reindex(columns=[large_id, small_id])
    )
    return (found[small_id] / found[large_id]).dropna().rename("ratio")


def active_matrices(model: Model) -> float:
    """Parameters that one token multiplies with; the embedding is a look-up."""
    found = matrix_parameters(model)
    return found["dense"] + found["head"] + found["expert"] * model.n_experts_active / max(model.n_experts, 1)


def kept_shares(model: Model, *, tokens, context_tokens=0.0) -> dict[str, float]:
    """What a mixture needs of a dense model of all its parameters: FLOP of a token, bytes of weights read by a step of so
    many tokens, and memory for the weights. Shares of one format; routing is uniform."""
    found, looked = matrix_parameters(model), attention_flop_per_pair(model, prefill=True) * context_tokens
    total = sum(found.values())
    touched = experts_touched_share(tokens, max(model.n_experts, 1), model.n_experts_active) if model.n_experts else 1.0
    return {
        "flop": (2.0 * active_matrices(model) + looked) / (2.0 * total + looked),
        "bytes": (found["dense"] + found["head"] + found["expert"] * touched) / total,
        "memory": 1.0,
    }


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


def scores() -> pd.DataFrame:
    """Benchmark scores on record of a mixture and a dense model, of one source each: pair, moe, dense, source, benchmark,
    moe_score, dense_score (per cent), and saved (per cent of the FLOP in the matrices that the dense model takes)."""
    rows = tables.read("techniques").query("technique == 'moe-quality'")
    score = (
        rows[rows["quantity"].str.startswith("score, ")]
        .set_index(["condition", "source", "quantity"])["value"]
        .sort_index()
    )
    found = []
    for pair, (moe, dense, source) in SCORED.items():
        saved = 100 * (1 - used_b(moe) / used_b(dense))
        for quantity in score[moe, source].index:
            ends = {"moe_score": score[moe, source, quantity], "dense_score": score[dense, source, quantity]}
            name = {
                "pair": pair,
                "moe": moe,
                "dense": dense,
                "source": source,
                "benchmark": quantity.removeprefix("score, "),
            }
            found.append({**name, **ends, "saved": saved})
    return pd.DataFrame(found)


def used_b(name: str) -> float:
    """Parameters (1e9) that a token multiplies with: counted for models of data/models.csv, else as they were published."""
    ids = tables.read("models").set_index("name")["id"]
    if name in ids:
        return active_matrices(tables.model(ids[name])) / GIGA
    rows = tables.read("techniques").query("technique == 'moe-quality' and quantity == 'parameters a token uses'")
    return float(rows.set_index("condition").at[name, "value"])


def size_b(model: Model) -> float:
    """All parameters (1e9)."""
    return sum(parameters(model).values()) / GIGA
