"""USD per million tokens: what an hour costs over what it makes, with the denominator and the allocation named."""

from dataclasses import dataclass

import numpy as np

from costpertoken.model.records import InputError, check_range
from costpertoken.model.serving import Serving
from costpertoken.model.units import HOUR_S, MTOK

#: How a bill is split between output, fresh input and cached input tokens.
ALLOCATIONS = {
    "output-only": "the whole bill on output tokens",
    "per-token": "one price for every token that passes, cached input too",
    "work": "prompt tokens pay for their share of matrix time and for their attention; output tokens for the rest",
    "list-price": "in the ratio of a price list's output, input and cached-input prices",
}


@dataclass(frozen=True, kw_only=True)
class UnitCost:
    """USD per million tokens of each kind, under one allocation; the parts sum to the bill (`bill_usd_per_hour`)."""

    allocation: str
    output_usd_per_mtok: np.ndarray
    input_usd_per_mtok: np.ndarray
    cached_usd_per_mtok: np.ndarray
    bill_usd_per_hour: np.ndarray


def bill_usd_per_hour(serving: Serving, *, usd_per_hour, utilisation=1.0):
    """USD per hour of saturated work of one replica: idle hours are paid too, so the bill grows as 1 / utilisation."""
    check_range("usd_per_hour", usd_per_hour)
    check_range("utilisation", utilisation, high=1.0, exclusive=True)
    return serving.n_accelerators * usd_per_hour / utilisation + 0.0 * serving.batch


def work_shares(serving: Serving):
    """(output, input, cached) shares of the step: matrix products, network and host by tokens; each its own attention.

    Cached input is not computed again: it pays nothing here, and what reading it costs lies in output's cache time.
    """
    step = serving.step
    tokens = serving.output_tok_per_s + serving.input_tok_per_s
    input_share = serving.input_tok_per_s / tokens
    shared_s = step.matmul_s + step.network_s + step.host_s
    input_s = shared_s * input_share + step.prefill_attention_s
    return 1.0 - input_s / step.step_s, input_s / step.step_s, 0.0 * input_s


def weighted_shares(serving: Serving, output_weight, input_weight, cached_weight):
    """(output, input, cached) shares in proportion to tokens times a weight each."""
    parts = (
        serving.output_tok_per_s * output_weight,
        serving.input_tok_per_s * input_weight,
        serving.cached_tok_per_s * cached_weight,
    )
    total = parts[0] + parts[1] + parts[2]
    return tuple(part / total for part in parts)


def allocate(serving: Serving, *, usd_per_hour, allocation="work", utilisation=1.0, price_ratio=None) -> UnitCost:
    """USD per million output, input and cached-input tokens under a named allocation (ALLOCATIONS).

    utilisation: share of paid time in which the replica works at the batch of `serving`. price_ratio: weights of output,
    input and cached input, needed by "list-price" only. A kind with no tokens has no price (NaN) and no share of the bill.
    """
    rules = {
        "output-only": lambda: weighted_shares(serving, 1.0, 0.0, 0.0),
        "per-token": lambda: weighted_shares(serving, 1.0, 1.0, 1.0),
        "work": lambda: work_shares(serving),
        "list-price": lambda: weighted_shares(serving, *listed(price_ratio)),
    }
    if allocation not in rules:
        raise InputError(f"allocation is {allocation!r}; expected one of {', '.join(ALLOCATIONS)}")
    bill = bill_usd_per_hour(serving, usd_per_hour=usd_per_hour, utilisation=utilisation)
    rates = (serving.output_tok_per_s, serving.input_tok_per_s, serving.cached_tok_per_s)
    prices = [
        usd_per_mtok(usd_per_hour=bill * share, tok_per_s=rate)
        for share, rate in zip(rules[allocation](), rates, strict=True)
    ]
    return UnitCost(
        allocation=allocation,
        output_usd_per_mtok=prices[0],
        input_usd_per_mtok=prices[1],
        cached_usd_per_mtok=prices[2],
        bill_usd_per_hour=bill,
    )


def listed(price_ratio):
    """The weights of "list-price", which have no default."""
    if price_ratio is None:
        raise InputError(
            "price_ratio is missing; expected weights of output, input and cached input, as a price list has them"
        )
    return price_ratio


def usd_per_mtok(*, usd_per_hour, tok_per_s):
    """USD per million tokens of a stream of tok_per_s paid usd_per_hour; NaN where nothing flows."""
    rate = np.where(np.asarray(tok_per_s) > 0, tok_per_s, np.nan)
    return usd_per_hour / (rate * HOUR_S / MTOK)


def usd_per_request(serving: Serving, *, usd_per_hour, utilisation=1.0):
    """USD of one request, prompt and answer together."""
    return bill_usd_per_hour(serving, usd_per_hour=usd_per_hour, utilisation=utilisation) / (
        serving.requests_per_s * HOUR_S
    )


def usd_per_word(*, usd_per_mtok, tokens_per_word):
    """USD per word, a word being tokens_per_word tokens."""
    return usd_per_mtok * check_range("tokens_per_word", tokens_per_word, exclusive=True) / MTOK


def joule_per_token(serving: Serving, *, power_w, pue=1.0):
    """Joules per output token at a power per accelerator; the prompt's energy is in it."""
    check_range("pue", pue, low=1.0)
    return serving.n_accelerators * power_w * pue / serving.output_tok_per_s


def compute_floor_usd_per_mtok(*, active_flop_per_token, peak_flop_per_s, usd_per_hour):
    """USD per million tokens that no batching, caching or scheduling can go below: FLOP at 100 % of peak."""
    return usd_per_mtok(usd_per_hour=usd_per_hour, tok_per_s=peak_flop_per_s / active_flop_per_token)
