"""Claims of the chapter on memory: what fits on how many cards, what a second card costs, and a speed-up at its own limits."""

import math
from dataclasses import replace
from functools import cache

from costpertoken import tables
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.checks.sheet import sheet
from costpertoken.evidence.claims import check, together
from costpertoken.evidence.layouts import best_rates
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import placed, reduction, served, spread
from costpertoken.model.records import Deployment
from costpertoken.model.serving import batch_limit
from costpertoken.model.transformer import weight_bytes
from costpertoken.model.units import GB, KILO

#: Cards of one server.
SERVER = (1, 2, 4, 8)


@check("weights-in-memory")
def weights_in_memory(*, model, weights):
    """Bytes of a model's weights in a format, in GB."""
    return sum(weight_bytes(tables.model(model), tables.precision(weights)).values()) / GB


@check("cards-needed", bound="floor")
def cards_needed(*, model, accelerator, weights, requests, input_tokens, output_tokens, ideal=False):
    """Least of 1, 2, 4 and 8 cards whose memory holds the weights and the caches of some requests; NaN where none does."""
    at = placed(model, accelerator, weights=weights, ideal=ideal)
    lengths = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    held = (tp for tp in SERVER if float(batch_limit(replace(at, tp=tp), **lengths)) >= requests)
    return next(held, math.nan)


@check("cards-instead-of-two")
def cards_instead(*, accelerator, other, **load):
    """Cards needed of one kind where the other kind needs exactly two for the same requests; NaN where it does not."""
    return cards_needed(accelerator=accelerator, **load) if cards_needed(accelerator=other, **load) == 2 else math.nan


@together("h200-single-gpu-70b-body", "70b-needs-two-h100")
def one_and_two(**load):
    """Both count cards for one model, format and load: H200s, and H100s."""
    return cards_needed(**load), cards_needed(**{**load, "accelerator": "h100-sxm"})


@cache
def deployed(model: str, accelerator: str, weights: str, tp: int, engine: str = "vllm") -> Deployment:
    """A deployment by name, under some engine."""
    return tables.deployment(model, accelerator, weights=weights, tp=int(tp), engine=engine)


def cost_ratio(one: Deployment, other: Deployment, *, price_ratio, load, requests, **lengths) -> float:
    """Cost of a token on `one` over that on `other`, at a ratio of their prices an accelerator-hour; NaN where one does not fit.

    load: "in-flight" gives each of them the requests (what memory does not hold waits); "offered" gives both what the
    slower one can finish, and the other one's idle time is paid.
    """
    rates = [float(served(at, **lengths, concurrency=requests).output_tok_per_s) for at in (one, other)]
    paid = price_ratio * one.tp / other.tp
    return paid * (1.0 if load == "offered" and not math.isnan(sum(rates)) else rates[1] / rates[0])


@check("cards-cost-ratio")
def cards_cost_ratio(*, model, accelerator, weights, tp, **load) -> Figure:
    """Cost of a token on tp cards over that on one card of the same kind."""
    many, one = (deployed(model, accelerator, weights, n) for n in (tp, 1))
    return spread(cost_ratio(many, one, price_ratio=1.0, **load), ratio_band("loads"))


@check("cards-cost-saving")
def cards_cost_saving(*, model, accelerator, tp, weights, other, other_tp, other_weights, engine, **load) -> Figure:
    """1 - cost of a token on some cards over that on some cards of another kind, in per cent."""
    one = deployed(model, accelerator, weights, tp, engine)
    two = deployed(model, other, other_weights, other_tp, engine)
    return reduction(cost_ratio(one, two, **load), ratio_band("accelerators"))


@check("network-share")
def network_share(*, model, accelerator, weights, tp, requests, input_tokens, output_tokens):
    """Share of a step that its accelerators spend on talking to one another, in per cent."""
    at = deployed(model, accelerator, weights, tp)
    step = served(at, input_tokens=input_tokens, output_tokens=output_tokens, concurrency=requests).step
    return 100 * float(step.network_s / step.step_s)


@check("speed-at-limits")
def speed_at_limits(*, model, accelerator, weights, other, other_weights, engine, accelerators, tpot_limit_ms, ttft_limit_s,
                    input_tokens, output_tokens) -> Figure:  # fmt: skip
    """Output tokens a second and accelerator over those of another kind, each in its best layout within both limits."""
    rates = [
        best_rates(
            deployed(model, name, fmt, 1, engine), most=int(accelerators), tpot_limit_s=tpot_limit_ms / KILO,
            ttft_limit_s=ttft_limit_s, input_tokens=input_tokens, output_tokens=output_tokens,
        )["tok_per_s"][0]
        for name, fmt in ((accelerator, weights), (other, other_weights))
    ]  # fmt: skip
    return spread(float(rates[0] / rates[1]), ratio_band("accelerators"))


@check("years-until-launch")
def years_until_launch(*, accelerator, year):
    """Year of launch in data/accelerators.csv less the year of the text."""
    return sheet(accelerator=accelerator, column="launch_year") - year
