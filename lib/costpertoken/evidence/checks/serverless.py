"""Claims of the chapter on serverless or self-hosted: a list price, its multiple, what own machines save, what a premium buys."""

import numpy as np

from costpertoken.evidence import ownership, sellers
from costpertoken.evidence.claims import check
from costpertoken.evidence.scenario import Figure, market, model_band, placed, reduction, rent, served, spread
from costpertoken.model.units import HOUR_S, HOURS_PER_YEAR, KILO, MTOK


@check("hosted-price")
def hosted_price(*, seller, model, kind):
    """Look-up: USD per thousand tokens of a seller's route to a model: input, output or their mean; interval: input to output."""
    rows = sellers.routes(model)
    row = rows[rows["seller"] == seller].iloc[0]
    ends = sorted((row["input"] / KILO, row["output"] / KILO))
    return Figure(float({**row, "mean": np.mean([row["input"], row["output"]])}[kind]) / KILO, *ends)


def own_usd_per_request(at, accelerator, *, input_tokens, output_tokens, utilisation=1.0, concurrency=None) -> float:
    """USD of a request on rented machines that work so much of the time; NaN where it does not fit."""
    full = served(at, input_tokens=input_tokens, output_tokens=output_tokens, concurrency=concurrency)
    hourly = float(full.n_accelerators) * rent(accelerator).usd_per_hour / utilisation
    return hourly / (float(full.requests_per_s) * HOUR_S)


@check("hosted-over-own")
def hosted_over_own(
    *, usd_per_1k, counted, model, accelerator, weights, tp, concurrency, utilisation, input_tokens, output_tokens
):
    """A hosted price for all tokens, or for output alone, over the model's bill of the same request on rented machines."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    load = {"input_tokens": input_tokens, "output_tokens": output_tokens, "concurrency": concurrency}
    own = own_usd_per_request(at, accelerator, utilisation=utilisation, **load)
    tokens = output_tokens + (input_tokens if counted == "all" else 0.0)
    band = model_band(at, backlog=False)
    return spread(usd_per_1k / KILO * tokens / own, inverted(band), inverted(market(rent(accelerator))))


def inverted(band):
    """Factors of a ratio whose denominator has these."""
    return 1 / band[1], 1 / band[0]


def staffed(usd: float, *, staff_fte, requests_per_s) -> float:
    """USD of a request with its share of a staff that does not grow with the load."""
    yearly = staff_fte * ownership.prior("staff_cost", "us-loaded").value
    return usd + yearly / (HOURS_PER_YEAR * HOUR_S * requests_per_s)


@check("own-saving")
def own_saving(
    *, model, seller, accelerator, weights, tp, utilisation, requests_per_s, staff_fte, input_tokens, output_tokens
):
    """1 - bill on rented machines, staff in it, over a seller's bill for the same requests, in per cent."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    lengths = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    machines = own_usd_per_request(at, accelerator, utilisation=utilisation, **lengths)
    own = staffed(machines, staff_fte=staff_fte, requests_per_s=requests_per_s)
    sold = sellers.price_of(model, seller, **lengths) * output_tokens / MTOK
    return reduction(own / sold, model_band(at, backlog=True), market(rent(accelerator)))


@check("premium-worth")
def premium_worth(
    *,
    model,
    seller,
    accelerator,
    weights,
    tp,
    requests_per_s,
    peak_to_mean,
    replicas,
    staff_fte,
    input_tokens,
    output_tokens,
):
    """Bill on whole machines for the peak, staff in it, over a seller's bill for the same requests."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    lengths = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    full_per_s = float(served(at, **lengths).requests_per_s)
    if np.isnan(full_per_s):
        return np.nan
    number = max(replicas, np.ceil(peak_to_mean * requests_per_s / full_per_s))
    machines = own_usd_per_request(at, accelerator, utilisation=requests_per_s / (number * full_per_s), **lengths)
    own = staffed(machines, staff_fte=staff_fte, requests_per_s=requests_per_s)
    sold = sellers.price_of(model, seller, **lengths) * output_tokens / MTOK
    return spread(own / sold, model_band(at, backlog=True), market(rent(accelerator)))
