"""Claims of the chapter on the cheapest accelerator: H100 against A100 in speed, price and cost; 70B on one card; Gaudi 3."""

from functools import cache

import numpy as np

from costpertoken import tables
from costpertoken.evidence.claims import check, together
from costpertoken.evidence.ownership import owned_usd_per_hour, ownership
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import Figure, decode_s, inverse, model_band, placed, reduction, served, spread
from costpertoken.tables.prices import PRICE_HIGH, PRICE_LOW


@check("tokens-per-second", bound="ceiling")
def tokens_per_second(*, model, accelerator, weights, tp, rate, batch, context_tokens, ideal=False):
    """Decode speed of one request alone ("single-stream"), or of `batch` requests together ("aggregate"); 1/t(1) or b/t(b)."""
    at = placed(model, accelerator, weights=weights, tp=tp, ideal=ideal)
    n = batch if rate == "aggregate" else 1.0
    speed = n / decode_s(at, batch=n, context_tokens=context_tokens)
    return speed if ideal else spread(speed, inverse(model_band(at, backlog=False)))


def ids(form: str) -> tuple[str, str]:
    """The H100 and the A100 of a form factor, 80 GB each."""
    return f"h100-{form}", f"a100-80gb-{form}"


@cache
def rate_ratio(*, model, form, weights_h100, weights_a100, tp, batch, input_tokens, output_tokens) -> float:
    """Output tokens per second of an H100 over those of an A100, at the same number of each and of requests in flight."""
    load = {"input_tokens": input_tokens, "output_tokens": output_tokens, "concurrency": batch}
    both = [
        served(placed(model, name, weights=weights, tp=tp), **load).output_tok_per_s
        for name, weights in zip(ids(form), (weights_h100, weights_a100), strict=True)
    ]
    return float(both[0] / both[1])


@check("h100-a100-speed-up")
def speed_up(**knobs):
    """Served output tokens per second of H100 over A100 under the same load."""
    return spread(rate_ratio(**knobs), ratio_band("accelerators"))


@check("h100-a100-gap")
def gap(**knobs):
    """Served output tokens per second of H100 over A100 under the same load, less one, in per cent."""
    return Figure(*(100 * (end - 1) for end in speed_up(**knobs)))


def seller_ratios(one_id: str, other_id: str, cloud_class: str) -> np.ndarray:
    """Price of one accelerator over another's at each seller of a class of cloud that rents both (medians of a seller)."""
    one, other = (
        tables.price_rows(name, cloud_class=cloud_class).groupby("provider")["value"].median()
        for name in (one_id, other_id)
    )
    return (one / other).dropna().to_numpy()


@cache
def price_ratio_of(one_id: str, other_id: str, basis: str) -> Figure:
    """Price ratio: median over the sellers of a class of cloud that rent both, with p10 and p90; NaN where none does.

    basis "purchase": new cards; of the A100 only the 40 GB module has a price on record, and no PCIe card has one.
    """
    if basis != "purchase":
        found = seller_ratios(one_id, other_id, basis)
        ends = np.quantile(found, [0.5, PRICE_LOW, PRICE_HIGH]) if len(found) else [np.nan] * 3
        return Figure(*(float(end) for end in ends))
    rows = tables.read("ownership").query("quantity == 'gpu_purchase' and scope == 'new'").set_index("accelerator_id")
    pair = [one_id, other_id.replace("80gb", "40gb")]
    if not set(pair) <= set(rows.index):
        return Figure(np.nan, np.nan, np.nan)
    one, other = rows.loc[pair[0]], rows.loc[pair[1]]
    low, high = (one["value"] if np.isnan(one[end]) else one[end] for end in ("low", "high"))
    return Figure(*(float(end / other["value"]) for end in (one["value"], low, high)))


@check("h100-a100-price")
def price_ratio(*, form, basis):
    """Price of an H100 over an A100's: same seller's rents of one class of cloud, or purchase of new cards."""
    return price_ratio_of(*ids(form), basis)


@check("h100-a100-cost")
def cost_ratio(*, basis, form, **knobs):
    """Price ratio over throughput ratio: cost of a token on H100 over that on A100."""
    price = price_ratio(form=form, basis=basis)
    market = price.low / price.value, price.high / price.value
    return spread(price.value / rate_ratio(form=form, **knobs), ratio_band("accelerators"), market)


@together("h100-vs-a100-performance", "h100-a100-throughput-gap")
def speed_and_gap(**knobs):
    """Both are of one ratio of speeds: gap = 100 (ratio - 1)."""
    ratio = rate_ratio(**knobs)
    return ratio, 100 * (ratio - 1)


@together("h100-lower-cost-proportional", "h100-a100-throughput-gap")
def cost_and_gap(*, basis, **knobs):
    """cost ratio = price ratio / (1 + gap)."""
    ratio = rate_ratio(**knobs)
    return price_ratio(form=knobs["form"], basis=basis).value / ratio, 100 * (ratio - 1)


@together("h100-lower-cost-proportional", "h100-vs-a100-cost-ratio")
def two_cost_ratios(*, basis, **knobs):
    """Two printed values of one quantity."""
    ratio = price_ratio(form=knobs["form"], basis=basis).value / rate_ratio(**knobs)
    return ratio, ratio


@check("gaudi3-tco")
def gaudi3_tco(*, form, model, weights, tp, batch, input_tokens, output_tokens, gaudi3_usd, h100_usd, server_usd, **own):
    """1 - ownership a token on Gaudi 3 over that on H100 (OAM beside SXM, or both as PCIe cards), in per cent."""
    names = ("gaudi3-oam", "h100-sxm") if form == "oam" else ("gaudi3-pcie", "h100-pcie")
    at = [placed(model, name, weights=weights, tp=tp) for name in names]
    load = {"input_tokens": input_tokens, "output_tokens": output_tokens, "concurrency": batch}
    usd = [
        owned_usd_per_hour(ownership(one.accelerator.id, purchase_usd=paid + server_usd, **own))
        / float(served(one, **load).output_tok_per_s)
        for one, paid in zip(at, (gaudi3_usd, h100_usd), strict=True)
    ]
    bands = [model_band(one, backlog=False) for one in at]
    return reduction(usd[0] / usd[1], bands[0], inverse(bands[1]))
