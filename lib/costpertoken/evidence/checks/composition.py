"""Claims of the chapter on the composition: whether quantization cuts the cost of a token more than other accelerators do."""

import math
from dataclasses import replace
from functools import cache

import numpy as np

from costpertoken import tables
from costpertoken.evidence.checks.precision import NARROW, SERVER
from costpertoken.evidence.claims import check
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import Figure, market, placed, rent, spread
from costpertoken.model.counts import count
from costpertoken.model.serving import steady_state
from costpertoken.model.units import HOUR_S, MTOK

#: What a server is upgraded to: data-centre accelerators of a newer generation, or of the other vendor.
UPGRADES = ("h100-sxm", "h200-sxm", "b200-sxm", "mi300x")


@cache
def counted(model: str, accelerator: str, weights: str):
    """(counts, engine's constants, accelerators) over the numbers of accelerators of one server that split the model."""
    at = placed(model, accelerator, weights=weights)
    ways = np.array([tp for tp in SERVER if at.model.n_heads % tp == 0])
    return count(replace(at, tp=ways)), at.efficiency, ways


def least_usd(accelerator: str, weights: str, *, model, requests, input_tokens, output_tokens) -> float:
    """USD per million output tokens (the whole bill) on the best number of accelerators of a server; NaN where none holds
    the model."""
    counts, engine, ways = counted(model, accelerator, weights)
    made = steady_state(counts, engine, input_tokens, output_tokens, requests)
    usd = ways * rent(accelerator).usd_per_hour / HOUR_S * MTOK / made.output_tok_per_s
    return float(np.nanmin(usd)) if np.isfinite(usd).any() else math.nan


def best(costs: dict[str, float]) -> tuple[float, str]:
    """The least of some costs and its name; (NaN, '') where there is none."""
    there = {name: usd for name, usd in costs.items() if not math.isnan(usd)}
    name = min(there, key=there.get, default="")
    return there.get(name, math.nan), name


def upgrades(accelerator: str, vendor: str) -> list[str]:
    """Accelerators other than the own one, of its vendor or of any."""
    own = tables.accelerator(accelerator).vendor
    others = [name for name in UPGRADES if name != accelerator]
    return [name for name in others if vendor == "any" or tables.accelerator(name).vendor == own]


def contest(*, accelerator, baseline, vendor, **load) -> dict[str, tuple[float, str]]:
    """Cost at the start, with the best narrow format on the same accelerator, and on the best other accelerator."""
    start = least_usd(accelerator, baseline, **load)
    narrow = {name: least_usd(accelerator, name, **load) for name in NARROW}
    other = {name: least_usd(name, baseline, **load) for name in upgrades(accelerator, vendor)}
    return {"start": (start, baseline), "format": best(narrow), "accelerator": best(other)}


@check("quantization-or-hardware")
def quantization_over_hardware(*, accelerator, **knobs) -> Figure:
    """What the best narrow format divides the cost by, over what the best other accelerator does at its rent."""
    found = contest(accelerator=accelerator, **knobs)
    usd, name = found["accelerator"]
    ratio = usd / found["format"][0]
    if math.isnan(found["start"][0] * ratio):
        return Figure(math.nan, math.nan, math.nan)
    own = market(rent(accelerator))
    return spread(
        ratio, ratio_band("precisions"), ratio_band("accelerators"), market(rent(name)), (1 / own[1], 1 / own[0])
    )
