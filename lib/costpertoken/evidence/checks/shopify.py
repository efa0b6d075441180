"""Claims of the case study of Shopify: what its figures say of each other, and what a month of such conversations costs."""

import math
from functools import cache

from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.claims import Unverifiable, check, together
from costpertoken.evidence.conversations import (
    DAY_S,
    Conversation,
    accelerators,
    full_per_s,
    lengths,
    pool_shares,
    prompt_tokens,
    wide,
)
from costpertoken.evidence.conversations import usd_per_month as month_of
from costpertoken.evidence.scenario import market, model_band, placed, rent, spread
from costpertoken.model.units import GIGA
from costpertoken.prose import significant

#: What the article prints of the month before (USD).
PRINTED_BEFORE = 2.1e6


@check("tokens-of-turns")
def tokens_of_turns(*, conversations_per_day, turns, answer_tokens, counted):
    """Conversations x turns x tokens of an answer, in billions; where both sides' messages are turns, half are answers."""
    return conversations_per_day * turns * answer_tokens * (0.5 if counted == "messages" else 1.0) / GIGA


@check("turns-of-tokens")
def turns_of_tokens(*, conversations_per_day, tokens_per_day, answer_tokens, counted):
    """Tokens a day over conversations and tokens of an answer; twice as many where both sides' messages are counted."""
    return tokens_per_day / conversations_per_day / answer_tokens * (2.0 if counted == "messages" else 1.0)


@together("shopify-turns", "shopify-tokens")
def turns_and_tokens(*, conversations_per_day, tokens_per_day, answer_tokens, counted):
    """(turns that the tokens leave, billions of tokens that the printed turns make) with the same answers."""
    same = {"conversations_per_day": conversations_per_day, "answer_tokens": answer_tokens, "counted": counted}
    return turns_of_tokens(tokens_per_day=tokens_per_day, **same), tokens_of_turns(turns=20, **same)


@check("known-to-company")
def known_to_company(*, conversations_per_day, turns, what):
    """Nobody else counts these; what they imply is said instead."""
    per_s = conversations_per_day * turns / DAY_S
    said = f"{what} are known to the company alone; "
    begun = f"{conversations_per_day / DAY_S:.0f} conversations would begin a second"
    raise Unverifiable(f"{said}{begun}, and {significant(per_s)} turns would be answered")


@check("architecture-known")
def architecture_known(*, conversations_per_day, turns, tokens_per_day, accelerator, usd_per_month):
    """What runs there is the company's to know; how many accelerators the bill rents, and what each would do, is computed."""
    hourly = rent(accelerator).usd_per_hour
    n = usd_per_month / month_of(1.0, hourly)
    each = conversations_per_day * turns / DAY_S / n
    raise Unverifiable(
        f"what runs is known to the company alone; the month after would rent {n:.0f} of them at {hourly:.2f} USD an hour, "
        f"each answering {each:.1f} turns a second and making {tokens_per_day / DAY_S / n:.0f} tokens"
    )


@check("saving-of-bills")
def saving_of_bills(*, before, after):
    """Arithmetic: 1 - one printed bill over the other, in per cent."""
    return 100 * (1 - after / before)


@cache
def rate(model, accelerator, weights, serving, one: Conversation, returned):
    """(degree, turns a second of a replica with a backlog)."""
    longest = float(prompt_tokens(one).max()) + one.answer_tokens
    return full_per_s(wide(model, accelerator, weights), lengths(one, returned=returned), serving=serving, longest_tokens=longest)


def talk(*, conversations_per_day, turns, tokens_per_day, user_tokens, system_tokens) -> Conversation:
    """A conversation whose answers are what the printed tokens leave for each turn."""
    answer = tokens_per_day / (conversations_per_day * turns)
    return Conversation(turns=int(turns), user_tokens=user_tokens, answer_tokens=answer, system_tokens=system_tokens)


def bill(pools, *, turns_per_s, room, peak_to_mean, accelerator, cloud_class) -> float:
    """USD a month of pools that may be filled to `room` of what they finish, at the day's peak."""
    if any(math.isnan(per_s) for *_, per_s in pools):
        return math.nan
    pools = [(share, tp, per_s * room) for share, tp, per_s in pools]
    n = accelerators(pools, turns_per_s=turns_per_s, peak_to_mean=peak_to_mean)
    return month_of(n, rent(accelerator, cloud_class=cloud_class).usd_per_hour)


def banded(usd: float, model, accelerator, weights, cloud_class) -> Figure:
    """A month with the model's interval and the market's range."""
    at = placed(model, accelerator, weights=weights)
    return spread(usd, model_band(at, backlog=True), market(rent(accelerator, cloud_class=cloud_class)))


@check("plain-month")
def plain_month(*, conversations_per_day, turns, tokens_per_day, user_tokens, system_tokens, model, accelerator, weights, serving,
                room, peak_to_mean, cloud_class):  # fmt: skip
    """Month of accelerators for the peak, one model, nothing cached; answers as long as the printed tokens leave them."""
    said = {"conversations_per_day": conversations_per_day, "turns": turns, "tokens_per_day": tokens_per_day}
    one = talk(**said, user_tokens=user_tokens, system_tokens=system_tokens)
    pools = [(1.0, *rate(model, accelerator, weights, serving, one, None))]
    load = {"turns_per_s": conversations_per_day * turns / DAY_S, "room": room, "peak_to_mean": peak_to_mean}
    usd = bill(pools, **load, accelerator=accelerator, cloud_class=cloud_class)
    return banded(usd, model, accelerator, weights, cloud_class)


@check("cached-month")
def cached_month(*, conversations_per_day, turns, tokens_per_day, user_tokens, system_tokens, returned, routed, escalated, model,
                 small, accelerator, weights, room, peak_to_mean, cloud_class):  # fmt: skip
    """Month of accelerators for the peak with a prefix cache and a small model that is asked first."""
    said = {"conversations_per_day": conversations_per_day, "turns": turns, "tokens_per_day": tokens_per_day}
    one = talk(**said, user_tokens=user_tokens, system_tokens=system_tokens)
    asked = zip(pool_shares(routed=routed, escalated=escalated), (model, small), strict=True)
    pools = [(share, *rate(name, accelerator, weights, "plain", one, returned)) for share, name in asked if share > 0]
    load = {"turns_per_s": conversations_per_day * turns / DAY_S, "room": room, "peak_to_mean": peak_to_mean}
    usd = bill(pools, **load, accelerator=accelerator, cloud_class=cloud_class)
    return banded(usd, model, accelerator, weights, cloud_class)


@together("shopify-optimized-cost", "shopify-unoptimized-cost")
def both_months(*, returned, routed, escalated, small, **same) -> tuple[float, float]:
    """(month after, month before) of the same conversations on the same machines, at the admissible peak over mean with which the
    month before comes nearest to what is printed: both months grow with it alike."""
    levers = {"returned": returned, "routed": routed, "escalated": escalated, "small": small}
    flat = same | {"peak_to_mean": 1.0}
    peak = min(max(PRINTED_BEFORE / plain_month(**flat, serving="plain").value, 1.0), 4.0)
    if math.isnan(peak):
        return math.nan, math.nan
    now = same | {"peak_to_mean": peak}
    return cached_month(**now, **levers).value, plain_month(**now, serving="plain").value
