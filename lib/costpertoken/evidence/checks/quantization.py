"""Claims of the chapter on quantization: bits with their metadata, bytes of a step, quality on record, cost at a load."""

import math

from costpertoken import tables
from costpertoken.evidence.checks.precision import cheapest_usd, fewest
from costpertoken.evidence.claims import check
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import placed, reduction, spread
from costpertoken.model.levers import grouped_bits
from costpertoken.model.transformer import cache_bytes, matrix_parameters, weight_bytes
from costpertoken.model.units import BITS_PER_BYTE

#: Quality on record, by model: how the source names what data/models.csv has as an id.
ON_RECORD = {"llama-2-7b": "Llama-2-7B", "llama-2-13b": "Llama-2-13B", "llama-2-70b": "Llama-2-70B"}


@tables.of_tables
def metadata(setting: str) -> float:
    """Default of a setting of group quantization in data/levers.csv."""
    rows = tables.read("levers").query("lever == 'awq'").set_index("setting")["value"]
    return float(rows[setting])


def bits_of(bits: float, group_size: float) -> float:
    """Bits of a quantized weight with its share of scale and zero point."""
    return grouped_bits(
        bits=bits, group_size=group_size, scale_bits=metadata("scale_bits"), zero_bits=metadata("zero_bits")
    )


def parts_bytes(model: str, bits: float, group_size: float) -> tuple[float, float]:
    """(bytes of the quantized layers, bytes of the rest at 16 bits)."""
    at = placed(model, "h100-sxm")  # bytes are the same on every accelerator
    products, stored = matrix_parameters(at.model), weight_bytes(at.model, at.precision)
    layers = (products["dense"] + products["expert"]) * bits_of(bits, group_size) / BITS_PER_BYTE
    return layers, stored["head"]


@check("bits-a-weight")
def bits_a_weight(*, bits, group_size, counted, model):
    """Bits of a weight with its group's metadata; of the whole model with vocabulary and norms at 16 bits."""
    if counted == "layers":
        return bits_of(bits, group_size)
    layers, rest = parts_bytes(model, bits, group_size)
    n_weights = layers * BITS_PER_BYTE / bits_of(bits, group_size) + rest / 2
    return (layers + rest) * BITS_PER_BYTE / n_weights


@tables.of_tables
def perplexity(technique: str, bits: int, of: str) -> float:
    """WikiText-2 perplexity on record of one model under one method; NaN where there is none."""
    rows = tables.read("techniques")
    wanted = f"WikiText-2 ppl, {int(bits)} bit"
    found = rows[(rows["technique"] == technique) & (rows["quantity"] == wanted) & (rows["condition"] == of)]["value"]
    return float(found.iloc[0]) if len(found) else math.nan


@check("quality-lost")
def quality_lost(*, method, bits, of):
    """1 - half-precision perplexity over the quantized model's, in per cent: the fall of the mean probability of the right
    token."""
    return 100 * (1 - perplexity("half-precision", 16, of) / perplexity(method, bits, of))


@check("weights-wider")
def weights_wider(*, variant):
    """Share of the weights that AWQ's paper stores at 16 bits, in per cent, looked up."""
    rows = tables.read("techniques").query("technique == 'awq' and quantity == 'weights stored at 16 bits'")
    return float(rows.set_index("condition").loc[variant, "value"])


@check("bytes-cut")
def bytes_cut(*, bits, group_size, baseline, counted, model, requests, context_tokens):
    """1 - bytes that a step reads with quantized layers over those in the baseline's format, in per cent."""
    at = placed(model, "h100-sxm", weights=baseline)
    stored, (layers, rest) = weight_bytes(at.model, at.precision), parts_bytes(model, bits, group_size)
    before, after = stored["dense"] + stored["expert"], layers
    if counted != "layers":
        before, after = before + stored["head"], after + rest
    if counted == "with the cache":  # quantizing weights leaves the cache as it is served at 16 bits
        cache = requests * float(
            cache_bytes(at.model, placed(model, "h100-sxm", weights="bf16").precision, context_tokens)
        )
        before, after = before + cache, after + cache
    return 100 * (1 - after / before)


def cost_ratio(*, baseline, narrow, machines, **load) -> float:
    """Cost of a token in the baseline's format over that in the narrow one."""
    shared = fewest(weights=baseline, **load)
    costs = [cheapest_usd(machines=machines, shared=shared, weights=weights, **load) for weights in (baseline, narrow)]
    return costs[0] / costs[1]


@check("cost-ratio-quantized")
def cost_ratio_quantized(**knobs):
    """Cost of a token in the wide format over that in the narrow one, at one load on one kind of accelerator."""
    return spread(cost_ratio(**knobs), ratio_band("precisions", "loads"))


@check("cut-that-keeps-quality")
def cut_that_keeps_quality(*, quality_floor, model, **knobs):
    """Cost saved by 4-bit weights, in per cent; no number where the best 4-bit method on record keeps less quality than asked."""
    of = ON_RECORD[model]
    kept = max(100 - quality_lost(method=method, bits=4, of=of) for method in ("gptq", "gptq-reordered", "awq"))
    if kept < quality_floor:
        return math.nan
    return reduction(1 / cost_ratio(model=model, **knobs), ratio_band("precisions", "loads"))
