"""Which conversations a printed bill pays for, and what they would cost at a seller of tokens."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from costpertoken.answers.conversations import Service, levers, month_usd, per_day
from costpertoken.evidence import sellers
from costpertoken.evidence.conversations import lengths

#: How many times as long messages are among which a bill is looked for.
SCALES = (0.02, 20.0)


def scaled(of: Service, times: float) -> Service:
    """The service with messages of users and answers so many times as long; the instructions stay."""
    one = of.of
    return replace(of, of=replace(one, user_tokens=one.user_tokens * times, answer_tokens=one.answer_tokens * times))


def by_scale(of: Service, *, n: int = 7) -> pd.DataFrame:
    """times, tokens_per_day (of answers), what (before, after), usd a month (parts of replicas): messages as they are and longer
    by SCALES."""
    rows = []
    for times in sorted({1.0, *np.geomspace(*SCALES, n)}):
        other = scaled(of, float(times))
        for what, pulled in (("before", ()), ("after", levers(of))):
            rows.append((float(times), per_day(other)["output"], what, month_usd(other, pulled, whole=False)))
    return pd.DataFrame(rows, columns=["times", "tokens_per_day", "what", "usd"]).dropna(ignore_index=True)


def meets(curve: pd.DataFrame, what: str, usd: float) -> float:
    """The scale at which a month costs usd, read off `by_scale`'s curve between its points; NaN beyond its ends."""
    rows = curve[curve["what"] == what]
    ends = np.log(np.maximum.accumulate(rows["usd"].to_numpy()))
    if not len(rows):
        return np.nan
    return float(np.exp(np.interp(np.log(usd), ends, np.log(rows["times"]), left=np.nan, right=np.nan)))


def scale_for(of: Service, curve: pd.DataFrame, what: str, usd: float) -> float:
    """How many times as long messages are where a month costs usd, solved near where `meets`
    reads it; NaN where none is."""
    near, pulled = meets(curve, what, usd), () if what == "before" else levers(of)
    if np.isnan(near):
        return near
    known = curve.loc[curve["what"] == what, "times"]
    ends = max(near / 2, known.min()), min(near * 2, known.max())
    return solved(lambda times: month_usd(scaled(of, times), pulled, whole=False), usd, *ends)


def solved(month, usd: float, low: float, high: float) -> float:
    """The argument between low and high with which month(argument) is usd; NaN where neither end lies on each side of it."""
    ends = month(low) - usd, month(high) - usd
    if not ends[0] * ends[1] <= 0:
        return np.nan
    return float(brentq(lambda at: month(at) - usd, low, high, rtol=1e-6))


def weaker(of: Service, times: float, usd: float) -> tuple[str, float]:
    """(which lever, its strength) that makes the month after cost usd with messages so many times as long: the share routed, else
    the share of histories found without routing; ("", NaN) where neither does."""
    other, pulled = scaled(of, times), levers(of)
    share = solved(lambda x: month_usd(replace(other, routed=x), pulled, whole=False), usd, 0.0, 1.0)
    if share == share:
        return "routed", share
    alone = replace(other, routed=0.0)
    found = solved(lambda x: month_usd(replace(alone, returned=x), pulled, whole=False), usd, 0.0, 1.0)
    return ("returned", found) if found == found else ("", np.nan)


def hosted(of: Service, model_id: str, *, cached: bool) -> pd.Series:
    """USD of a conversation at each seller of a model, cheapest first; cached: what the cache finds at its price."""
    load = lengths(of.of, returned=of.returned if cached else None)
    kept = {"input_tokens": load.input_tokens, "output_tokens": load.output_tokens, "cached_share": load.cached_share}
    rows = sellers.bills(model_id, **kept).query("usd_per_request > 0")
    return rows.set_index("seller")["usd_per_request"] * int(of.of.turns)
