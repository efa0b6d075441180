"""Claims of the chapter on speculative decoding: the gain of guessing ahead, and the texts that are guessed best."""

import math
from dataclasses import replace
from functools import cache

import numpy as np

from costpertoken import tables
from costpertoken.evidence.claims import check
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import placed, spread
from costpertoken.model import speculation as drafts
from costpertoken.model.records import Workload
from costpertoken.model.setup import Setup, run

#: Drafts that are parts of the model itself.
HEADS, LAYER = "Medusa heads", "EAGLE layer"
#: Stands for the kind of text, other than code, of which most tokens are accepted.
BEST_OTHER = "the best other text"


def speculations(at, *, draft, acceptance, draft_tokens, verified_tokens):
    """The draft in each place where it may be: a part of the model, or a model on one accelerator or split over all."""
    levels = {"acceptance": acceptance, "draft_tokens": round(draft_tokens)}
    tree = {**levels, "verified_tokens": max(round(verified_tokens), round(draft_tokens))}
    if draft == HEADS:
        return [drafts.with_heads(at, **tree)]
    if draft == LAYER:
        return [drafts.with_layer(at, **tree)]
    small = replace(at, model=tables.model(draft))
    return [drafts.with_draft_model(replace(small, tp=tp), **levels) for tp in {1, at.tp}]


def request_s(setup: Setup) -> float:
    """Accelerator seconds of a request; NaN where as many as asked do not fit."""
    out = run(setup)
    return float(out.accelerator_s[0]) if out.pools[0][1].batch >= setup.workload.concurrency else math.nan


@cache
def plain(model, accelerator, weights, tp, batch, input_tokens, output_tokens) -> tuple[Setup, float]:
    """A placement without speculation under a load, and the accelerator seconds of its requests."""
    load = Workload(input_tokens=input_tokens, output_tokens=output_tokens, concurrency=float(batch))
    setup = Setup(deployment=placed(model, accelerator, weights=weights, tp=tp), workload=load)
    return setup, request_s(setup)


@check("speculation-speedup")
def speed_up(*, model, accelerator, weights, tp, batch, input_tokens, output_tokens, verified_tokens=1.0, **guess):
    """Seconds of a request without speculation over those with it, prompt included, with as many requests in flight."""
    setup, alone_s = plain(model, accelerator, weights, tp, batch, input_tokens, output_tokens)
    tried = speculations(setup.deployment, verified_tokens=verified_tokens, **guess)
    times = [request_s(replace(setup, speculation=one)) for one in tried]
    return spread(alone_s / float(np.fmin.reduce(times)), ratio_band("loads"))


@check("speculation-by-text")
def code_over(*, method, against):
    """Tokens of code that a round accepts over those of another kind of text, same model and draft, as published."""
    rows = tables.read("techniques").query("condition == @method and unit == 'tokens'")
    accepted = rows.assign(text=rows["quantity"].str.partition("accepted tokens a round: ")[2]).set_index("text")["value"]
    others = accepted.drop(["code", ""], errors="ignore")
    if against != BEST_OTHER and against not in others:
        return math.nan
    return float(accepted["code"] / (others.max() if against == BEST_OTHER else others[against]))
