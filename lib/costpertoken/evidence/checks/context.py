"""Claims of the chapter on context: what grows with its length, how fast, and what price lists make of it.

Costs are in seconds of the whole replica; lengths beyond the model's own limit are computed as if it had none.
"""

import math

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence.claims import check
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import market, model_band, placed, rent, spread
from costpertoken.model.roofline import step
from costpertoken.model.serving import batch_limit
from costpertoken.model.transformer import cache_bytes
from costpertoken.model.units import HOUR_S, KILO, MTOK

#: A price key ends in the window, in thousands of tokens, beyond which it holds; windows shorter than this are variants.
TIER, SHORTEST_TIER = r"-(\d+)k$", 100
#: Half a per cent to each side: the step over which a growth exponent is taken.
STEP = 0.005


def prompt_s(at, tokens):
    """Seconds that a prompt of so many tokens takes alone: products, and attention to half of its length in the mean."""
    return step(at, decode=0.0, context_tokens=0.0, prefill_tokens=tokens, pairs_per_token=tokens / 2).step_s


def held_requests(at, tokens):
    """Requests of so many tokens whose caches fill the memory, at most the engine's cap; NaN where not one fits."""
    room = np.minimum(batch_limit(at, input_tokens=tokens, output_tokens=1.0), at.efficiency.max_batch)
    return np.where(room >= 1, room, np.nan)


def output_token_s(at, context_tokens):
    """Seconds of decode steps that an output token takes while the memory is full of requests of this context."""
    full = held_requests(at, context_tokens)
    return step(at, decode=full, context_tokens=context_tokens).step_s / full


def request_s(at, input_tokens, output_tokens):
    """Seconds of a request: its prompt, and its output tokens at the mean context, in a full memory."""
    return prompt_s(at, input_tokens) + output_tokens * output_token_s(at, input_tokens + output_tokens / 2)


def taken_s(at, quantity: str, tokens, output_tokens):
    """Seconds of a prompt, of an output token or of a whole request at a context length."""
    costs = {
        "prompt": lambda: prompt_s(at, tokens),
        "output token": lambda: output_token_s(at, tokens),
        "request": lambda: request_s(at, tokens, output_tokens),
    }
    return costs[quantity]()


def exponent(at, quantity: str, tokens, output_tokens) -> float:
    """Growth exponent d ln cost / d ln length at a length: 1 for a line, 2 for a square, without bound for an exponential."""
    low, high = (float(taken_s(at, quantity, tokens * factor, output_tokens)) for factor in (1 - STEP, 1 + STEP))
    return math.log(high / low) / math.log((1 + STEP) / (1 - STEP))


@check("context-cost-exponential")
def cost_exponent(*, model, accelerator, weights, tp, quantity, context_tokens, output_tokens):
    """d ln cost / d ln length of a prompt, an output token or a request; no interval: the law's terms bound it."""
    return exponent(placed(model, accelerator, weights=weights, tp=tp), quantity, context_tokens, output_tokens)


@check("context-2000-attention-quadratic")
def attention_exponent(*, model, context_tokens, kernel):
    """d ln bytes / d ln length of what a layer's attention keeps in memory: keys and values, and the N x N matrix of each
    head where the kernel writes it out."""
    at = placed(model, "h100-sxm")

    def kept_bytes(tokens: float) -> float:
        matrix = at.model.n_heads * tokens**2 * at.precision.activation_bytes if kernel == "written out" else 0.0
        return float(cache_bytes(at.model, at.precision, tokens)) / at.model.n_layers + matrix

    return math.log(kept_bytes(context_tokens * (1 + STEP)) / kept_bytes(context_tokens)) / math.log(1 + STEP)


@check("context-128k-vs-8k-cost")
def cost_ratio(*, model, accelerator, weights, tp, quantity, short_tokens, long_tokens, output_tokens):
    """Seconds of a prompt, an output token or a request at the long context over those at the short one."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    short, long = (float(taken_s(at, quantity, tokens, output_tokens)) for tokens in (short_tokens, long_tokens))
    return spread(long / short, ratio_band("loads"))


@check("gpt4-context-128k")
def window(*, model, **windows):
    """The window of one model of the family, as the price file of the time gives it."""
    return float(windows[model.replace("-", "_")])


def newest_prices() -> pd.DataFrame:
    """The last price of each key in data/api_price_history.csv: input and output, USD per million tokens, by key."""
    rows = tables.read("api_price_history")
    dated = rows.assign(day=rows["effective_from"].fillna("")).sort_values("day", kind="stable")
    return dated.drop_duplicates("price_key", keep="last").set_index("price_key")


def long_tiers() -> pd.DataFrame:
    """Prices of today's tiers for long prompts: key, from_tokens, input and output price, and how many times the price below."""
    prices = newest_prices()
    window_k = pd.to_numeric(prices.index.to_series().str.extract(TIER)[0])
    tiers = prices[(window_k >= SHORTEST_TIER).to_numpy()]
    base = prices.reindex(tiers.index.str.replace(TIER, "", regex=True)).set_axis(tiers.index)
    kinds = ["input_usd_per_mtok", "output_usd_per_mtok"]
    ratios = (tiers[kinds] / base[kinds]).set_axis(["input_ratio", "output_ratio"], axis=1)
    return tiers[[*kinds, "source"]].join(ratios).assign(from_tokens=window_k * KILO).dropna().reset_index()


@check("openai-long-context-premium")
def price_ratio(*, pair, kind, **listed):
    """List price a token of the model or tier with the longer window over that of the shorter one."""
    prices = newest_prices()[f"{kind}_usd_per_mtok"]
    long, short = (listed.get(f"{key.replace('-', '_')}_{kind}_usd_per_mtok") or prices[key] for key in pair.split(" over "))
    return float(long / short)


@tables.of_tables
def tier_price(kind: str) -> tuple[float, float, float]:
    """(median, p10, p90) of the long tiers' price of a token kind, USD per million."""
    return tuple(float(end) for end in long_tiers()[f"{kind}_usd_per_mtok"].quantile([0.5, 0.1, 0.9]))


@check("million-token-context-uneconomic")
def over_list_price(*, model, accelerator, weights, tp, context_tokens, output_tokens):
    """Rent of one request in a full memory over what the long tiers list for its tokens."""
    at, price = placed(model, accelerator, weights=weights, tp=tp), rent(accelerator)
    seconds = float(request_s(at, context_tokens, output_tokens))
    listed = [context_tokens * i + output_tokens * o for i, o in zip(tier_price("input"), tier_price("output"), strict=True)]
    usd = seconds / HOUR_S * tp * price.usd_per_hour
    tiers = listed[0] / listed[2], listed[0] / listed[1]
    return spread(usd / (listed[0] / MTOK), model_band(at, backlog=True), market(price), tiers)
