"""Claims of the chapter on routing: what a router saves, what a mixture of experts leaves out, and what that does to scores."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.claims import check, together
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import placed, served
from costpertoken.model.counts import peak_flop_per_s
from costpertoken.model.records import Deployment, Model, Workload
from costpertoken.model.setup import Router, Setup, run
from costpertoken.model.transformer import attention_flop_per_pair, experts_touched_share, matrix_parameters
from costpertoken.model.units import GIGA, MTOK

#: Whose cost is compared: of accelerators that one rents, or of an API's tokens.
OWN = "own accelerators"
#: Format of weights and products; what an accelerator has no rate for it multiplies in the next wider format.
WEIGHTS = "fp8"
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


def place(model_id: str, accelerator_id: str, workload: Workload) -> Deployment:
    """A model on the number of accelerators of one server on which a backlog's tokens are cheapest: split by tensor
    parallelism, or, where attention caches latents that every one would have to copy, the requests split over them."""
    at = placed(model_id, accelerator_id, weights=WEIGHTS)
    ways = [(tp, 1) for tp in (1, 2, 4, 8) if at.model.n_heads % tp == 0]
    ways += [(1, dp) for dp in (2, 4, 8)] if at.model.attention == "mla" else []
    tp, dp = (np.array(degrees) for degrees in zip(*ways, strict=True))
    lengths = {"input_tokens": workload.input_tokens, "output_tokens": workload.output_tokens}
    out = served(replace(at, tp=tp, dp=dp), **lengths)
    best = int(np.argmax(np.nan_to_num(out.output_tok_per_s / out.n_accelerators)))
    return replace(at, tp=ways[best][0], dp=ways[best][1])


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


@cache
def _listed(large_id: str, small_id: str) -> pd.DataFrame:
    return tables.read("api_prices").query("model_id in [@large_id, @small_id] and output_usd_per_mtok > 0")


def list_price_ratios(large_id: str, small_id: str, workload: Workload) -> pd.Series:
    """What providers that list both models ask for a request on the small one over the large one; median of their routes."""
    rows = _listed(large_id, small_id)
    usd = rows["input_usd_per_mtok"] * workload.input_tokens + rows["output_usd_per_mtok"] * workload.output_tokens
    found = (usd / MTOK).groupby([rows["provider"], rows["model_id"]]).median().unstack("model_id")
    found = found.reindex(columns=[large_id, small_id])
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


@cache
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


@check("moe-compute")
def compute_saved(*, model, context_tokens):
    """1 - FLOP of a token over those of a dense model of all its parameters, in per cent: experts left out, attention not."""
    kept = kept_shares(tables.model(model), tokens=1.0, context_tokens=context_tokens)
    return 100 * (1 - kept["flop"])


@tables.of_tables
def score_kept(*, pair, benchmark) -> float:
    """Score of the mixture over the dense model's, in per cent: of one benchmark, or of the means of its source's table."""
    rows = scores().query("pair == @pair")
    rows = rows if benchmark == "mean of all" else rows[rows["benchmark"] == benchmark]
    return 100 * rows["moe_score"].mean() / rows["dense_score"].mean()


@check("moe-quality")
def quality(*, pair, benchmark):
    """Score of a mixture over that of a dense model in the same table of one source, in per cent."""
    return score_kept(pair=pair, benchmark=benchmark)


@together("moe-quality-kept", "moe-compute-85")
def quality_and_compute(*, pair, benchmark):
    """Both are of one pair: what it keeps of the dense model's score, and what it saves of that model's FLOP."""
    return score_kept(pair=pair, benchmark=benchmark), float(scores().query("pair == @pair")["saved"].iloc[0])


def by_list_price(large, small, workload, *, share, escalated) -> Figure:
    """Saving in per cent at what providers ask for both models; its range: their tenth to ninetieth percentile."""
    found = list_price_ratios(large, small, workload).quantile([0.5, 0.9, 0.1])
    return Figure(*(100 * share * (1.0 - escalated - ratio) for ratio in found))


def summed(*parts: tuple[float, tuple[float, float]]) -> Figure:
    """A sum of parts, each with the factors that its interval ends at: independent, so that their widths add as squares."""
    value = sum(part for part, _ in parts)
    down, up = (np.sqrt(sum((part * (band[end] - 1.0)) ** 2 for part, band in parts)) for end in (0, 1))
    return Figure(value, float(value - down), float(value + up))


@check("routing-cost")
def routing_saved(
    *, models, priced, accelerator, share, escalated, router_params_b, requests, input_tokens, output_tokens
):
    """1 - cost of a request of the mix over that of the large model alone, in per cent, each pool with its own batch."""
    large, small = models.split(" to ")
    workload = Workload(input_tokens=input_tokens, output_tokens=output_tokens)
    if priced != OWN:
        return by_list_price(large, small, workload, share=share, escalated=escalated)
    pair = (place(large, accelerator, workload), place(small, accelerator, workload))
    mix = routed(*pair, workload, share=share, escalated=escalated, router_params_b=router_params_b)
    setup = at_load(mix, requests)
    alone, both = run(replace(setup, router=None)), run(setup)
    kept, moved = (float(seconds / alone.accelerator_s[0]) for seconds in both.accelerator_s)
    same_batch = float(both.pools[0][1].batch) == float(alone.pools[0][1].batch)
    cost = summed((kept, (1.0, 1.0) if same_batch else ratio_band("loads")), (moved, ratio_band("models")))
    return Figure(100 * (1 - cost.value), 100 * (1 - cost.high), 100 * (1 - cost.low))
