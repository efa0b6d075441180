"""Claims of the chapter on model size: how many accelerators hold a model, and what a larger one costs beyond its size."""

import math
from dataclasses import replace

import numpy as np

from costpertoken.evidence.claims import check
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import placed, served, spread
from costpertoken.model.serving import smallest_fit
from costpertoken.model.transformer import parameters

#: Ways in which engines split a model over accelerators; within one server, and over two.
SERVER, TWO_SERVERS = (1, 2, 4, 8), (1, 2, 4, 8, 16)


@check("fewest-accelerators", bound="floor")
def fewest_accelerators(*, model, accelerator, weights, input_tokens, output_tokens, ideal=False):
    """Least of 1, 2, 4, 8 and 16 accelerators whose memory holds the weights and the cache of one request."""
    at = placed(model, accelerator, weights=weights, ideal=ideal)
    found = smallest_fit(at, input_tokens=input_tokens, output_tokens=output_tokens, degrees=TWO_SERVERS)
    return math.nan if found is None else found


def rate_tok_per_s(*, model, accelerator, weights, machines, requests, input_tokens, output_tokens) -> float:
    """Output tokens per second and accelerator with some requests in flight, on the fewest accelerators of a server that
    hold the model or on the number that makes most of each; NaN where none does."""
    at, lengths = placed(model, accelerator, weights=weights), {"input_tokens": input_tokens, "output_tokens": output_tokens}
    least = smallest_fit(at, **lengths, degrees=SERVER)
    if least is None:
        return math.nan
    degrees = [least] if machines == "fewest" else [tp for tp in SERVER if tp >= least and at.model.n_heads % tp == 0]
    out = served(replace(at, tp=np.array(degrees)), **lengths, concurrency=requests)
    return float(np.nanmax(out.output_tok_per_s / out.n_accelerators))


@check("cost-beyond-parameters")
def beyond_parameters(*, step, **load):
    """Ratio of accelerator time a token of two models over the ratio of their parameters, on one kind of accelerator."""
    small, large = step.split(" to ")
    cost = rate_tok_per_s(model=small, **load) / rate_tok_per_s(model=large, **load)
    sizes = [sum(parameters(placed(name, load["accelerator"]).model).values()) for name in (small, large)]
    return spread(cost * sizes[0] / sizes[1], ratio_band("models"))
