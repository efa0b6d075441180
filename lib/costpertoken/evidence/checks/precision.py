"""Claims of the chapter on precision: bytes, cost at a load, quality on record, and precision's rank among single levers."""

import math
from dataclasses import replace

import numpy as np

from costpertoken import tables
from costpertoken.evidence.claims import check
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import placed, reduction, rent, served
from costpertoken.model.serving import smallest_fit
from costpertoken.model.transformer import cache_bytes, weight_bytes
from costpertoken.model.units import HOUR_S

#: Ways in which engines split a model within one server.
SERVER = (1, 2, 4, 8)
#: Formats that a served model is narrowed to.
NARROW = ("fp8", "int8", "int4", "fp4")


def step_bytes(*, model, weights, requests, context_tokens) -> float:
    """Bytes that a step reads: all weights once, and the cache of its requests."""
    at = placed(model, "h100-sxm", weights=weights)  # bytes are the same on every accelerator
    return sum(weight_bytes(at.model, at.precision).values()) + requests * float(
        cache_bytes(at.model, at.precision, context_tokens)
    )


@check("bytes-ratio")
def bytes_ratio(*, baseline, narrow, **load):
    """Bytes that a step reads in one format over those in another, group metadata and unquantized parts included."""
    return step_bytes(weights=baseline, **load) / step_bytes(weights=narrow, **load)


def usd_per_token(*, model, accelerator, weights, tp, requests, input_tokens, output_tokens, usd_per_hour=1.0) -> float:
    """USD of an output token (the whole bill) with some requests in flight; NaN where it does not fit."""
    at = placed(model, accelerator, weights=weights)
    if at.model.n_heads % tp:
        return math.nan
    load = {"input_tokens": input_tokens, "output_tokens": output_tokens, "concurrency": requests}
    out = served(replace(at, tp=int(tp)), **load)
    return float(tp * usd_per_hour / HOUR_S / out.output_tok_per_s)


def fewest(*, model, accelerator, weights, input_tokens, output_tokens, **_) -> int | None:
    """Fewest accelerators of a server that hold the weights and one request."""
    at = placed(model, accelerator, weights=weights)
    return smallest_fit(at, input_tokens=input_tokens, output_tokens=output_tokens, degrees=SERVER)


def cheapest_usd(*, machines, shared, **load) -> float:
    """USD of a token on as many accelerators as `machines` says: same (`shared`), fewest that hold it, or cheapest."""
    least = fewest(**load)
    if least is None or shared is None:
        return math.nan
    degrees = {"same": [shared], "fewest": [least]}.get(machines, SERVER)
    found = [usd_per_token(tp=tp, **load) for tp in degrees]
    return float(np.nanmin(found)) if np.isfinite(found).any() else math.nan


@check("quantization-cost-cut")
def cost_cut(*, baseline, narrow, machines, **load):
    """1 - cost in the narrow format over cost in the baseline's, in per cent, on one kind of accelerator at one load."""
    shared = fewest(weights=baseline, **load)
    costs = [cheapest_usd(machines=machines, shared=shared, weights=weights, **load) for weights in (narrow, baseline)]
    return reduction(costs[0] / costs[1], ratio_band("precisions", "loads"))


@check("quality-kept")
def quality_kept(*, method, of):
    """Mean probability given to the right token (the inverse of perplexity), quantized over half precision, in per cent."""
    rows = tables.read("techniques")
    rows = rows[(rows["technique"] == method) & (rows["condition"] == of) & rows["quantity"].str.contains("perplexity")]
    full = rows["quantity"].str.endswith("FP16")
    if full.sum() != 1 or (~full).sum() != 1:
        return math.nan
    return 100 * float(rows.loc[full, "value"].iloc[0] / rows.loc[~full, "value"].iloc[0])


def lever_factors(
    *, model, accelerator, older, baseline, tp, requests, input_tokens, output_tokens
) -> dict[str, float]:
    """How many times cheaper a token gets by one change alone, from the same start; NaN where a lever has no start."""
    start = {"model": model, "accelerator": accelerator, "weights": baseline, "tp": tp, "requests": requests,
             "input_tokens": input_tokens, "output_tokens": output_tokens}  # fmt: skip
    now = usd_per_token(**start)
    halved = {"input_tokens": max(1, input_tokens / 2), "output_tokens": output_tokens}
    generation = usd_per_token(**{**start, "accelerator": older}, usd_per_hour=rent(older).usd_per_hour)
    return {
        "precision": now / best([usd_per_token(**{**start, "weights": narrow}) for narrow in NARROW]),
        "batch": now / best([usd_per_token(**{**start, "requests": more}) for more in (requests, 1e6)]),
        "generation": generation / (now * rent(accelerator).usd_per_hour),
        "split": now / best([usd_per_token(**{**start, "tp": other}) for other in SERVER]),
        "context": now / usd_per_token(**{**start, **halved}),
        "price": price_factor(accelerator),
    }


def best(usd: list[float]) -> float:
    """The least of some costs; NaN where there is none."""
    return float(np.nanmin(usd)) if np.isfinite(usd).any() else math.nan


def price_factor(accelerator: str) -> float:
    """Highest over lowest median of the classes of cloud that rent an accelerator on demand."""
    rows = tables.price_rows(accelerator)
    medians = [rent(accelerator, cloud_class=name).usd_per_hour for name in sorted(set(rows["cloud_class"]))]
    return max(medians) / min(medians)


@check("precision-rank")
def precision_rank(**knobs):
    """Rank of precision (1: the largest factor) among six single changes from one start, where the start fits."""
    factors = lever_factors(**knobs)
    if math.isnan(factors["precision"]):
        return math.nan
    return 1 + sum(factor > factors["precision"] for factor in factors.values())
