"""Two accelerators side by side: how much faster one is over the load, what it may cost, and what a wanted speed needs."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from costpertoken.answers import estimate as one
from costpertoken.evidence.checks.cheapest_accelerator import price_ratio_of
from costpertoken.evidence.scenario import decode_s, placed
from costpertoken.model.serving import batch_limit, serve
from costpertoken.model.units import HOUR_S, MTOK

#: What a price ratio is read from: a class of cloud, or cards bought new.
BASES = ("neocloud", "hyperscaler", "marketplace", "purchase")


def common_degree(model_id: str, accelerator_ids: Iterable[str], *, input_tokens, output_tokens, fewest=64.0) -> int | None:
    """The smallest tensor-parallel degree of one server at which BF16 weights and `fewest` requests fit on each; else None."""
    for tp in one.degrees_of(placed(model_id, next(iter(accelerator_ids)))):
        rooms = [
            float(batch_limit(placed(model_id, name, tp=tp), input_tokens=input_tokens, output_tokens=output_tokens))
            for name in accelerator_ids
        ]
        if min(rooms) >= fewest:
            return tp
    return None


def rate_ratios(
    model_id: str, pair: tuple[str, str], regimes: Mapping[str, tuple[str, str]], *, tp, batch, input_tokens, output_tokens
) -> pd.DataFrame:
    """Output tokens a second of the first accelerator over the second's: batch, regime, ratio; requests beyond memory wait.

    regimes: words -> (weights on the first, weights on the second).
    """
    load = {"input_tokens": input_tokens, "output_tokens": output_tokens, "concurrency": np.asarray(batch, dtype=float)}
    found = []
    for regime, formats in regimes.items():
        first, second = (
            serve(placed(model_id, name, weights=weights, tp=tp), **load).output_tok_per_s
            for name, weights in zip(pair, formats, strict=True)
        )
        found.append(pd.DataFrame({"batch": load["concurrency"], "regime": regime, "ratio": first / second}))
    return pd.concat(found, ignore_index=True)


def price_ratios(pair: tuple[str, str]) -> pd.DataFrame:
    """Price of the first over the second: basis, ratio, low, high; a basis without both prices on record has no row."""
    rows = [{"basis": basis, **dict(zip(("ratio", "low", "high"), price_ratio_of(*pair, basis), strict=True))} for basis in BASES]
    return pd.DataFrame(rows).dropna(subset=["ratio"]).reset_index(drop=True)


def batch_for(deployed, tok_per_s: float, *, context_tokens) -> float:
    """Requests that together decode tok_per_s on a deployment; NaN where memory holds too few of them."""
    most = float(batch_limit(deployed, input_tokens=context_tokens, output_tokens=1.0))
    if most < 1:
        return np.nan
    tried = np.geomspace(1.0, most, 60)
    rates = np.array([n / decode_s(deployed, batch=n, context_tokens=context_tokens) for n in tried])
    return float(np.interp(tok_per_s, rates, tried)) if rates[-1] >= tok_per_s else np.nan


def ways_to_speed(
    model_id: str, accelerator_id: str, tok_per_s: float, *, formats: Iterable[str], usd_per_hour: float, context_tokens: float
) -> pd.DataFrame:
    """What a decode speed needs, a format a row: weights; alone_tok_per_s, one request on one card; requests that reach the
    speed together on one card; n_cards that give it to one request; usd_per_mtok of that request. NaN: not in one server."""
    rows = []
    for weights in formats:
        degrees = one.degrees_of(placed(model_id, accelerator_id, weights=weights))
        at = {tp: placed(model_id, accelerator_id, weights=weights, tp=tp) for tp in degrees}
        alone = {tp: 1 / decode_s(where, batch=1.0, context_tokens=context_tokens) for tp, where in at.items()}
        cards = next((tp for tp, speed in alone.items() if speed >= tok_per_s), np.nan)
        usd = cards * usd_per_hour / (alone[cards] * HOUR_S) * MTOK if cards == cards else np.nan
        together = batch_for(at[1], tok_per_s, context_tokens=context_tokens)
        speeds = {"alone_tok_per_s": alone[1], "requests": together, "n_cards": cards, "usd_per_mtok": usd}
        rows.append({"weights": weights, **speeds})
    return pd.DataFrame(rows)
