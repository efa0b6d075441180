"""A service of conversations: its month with and without each of its levers, what each saves, and which tokens a bill pays for.

A fleet stands all month and is sized for the day's peak within latency limits; early serving, whose batches start and end
together, is sized by what it finishes with a backlog, which flatters it.
"""

from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers.compose import Composition, all_orders
from costpertoken.answers.levers import Lever
from costpertoken.evidence import conversations
from costpertoken.evidence.conversations import DAY_S as DAY_S
from costpertoken.evidence.conversations import DAYS_PER_MONTH as DAYS_PER_MONTH
from costpertoken.evidence.conversations import HOURS_PER_MONTH as HOURS_PER_MONTH
from costpertoken.evidence.conversations import Conversation as Conversation
from costpertoken.evidence.conversations import accelerators, found_tokens, lengths, prompt_tokens, totals
from costpertoken.evidence.uncertain import cost_interval
from costpertoken.fleet.station import slowed, stations
from costpertoken.fleet.steady import most_per_s, most_requests_per_s
from costpertoken.model.counts import count
from costpertoken.model.records import InputError
from costpertoken.model.setup import Setup
from costpertoken.model.units import GIGA, TERA

#: Lever -> its words. The first is one only where the month before is served as early engines did.
LEVERS = {"engine": "today's engine", "caching": "prefix caching", "routing": "routing"}
#: Limits, by how much they are loosened until the slowest fleet keeps them.
LOOSER = (1, 2, 5, 10, 20, 50, 100, 1000)


@dataclass(frozen=True, kw_only=True)
class Service:
    """Conversations a day, what they are, what serves them, and what the levers do where they are pulled: the share of histories
    that are found, the share of conversations that the small model is asked first."""

    of: Conversation
    per_day: float
    large_id: str
    small_id: str
    accelerator_id: str
    weights: str
    returned: float
    routed: float
    escalated: float
    before: str
    peak_to_mean: float
    usd_per_hour: float
    output_cv: float
    token_budget: int
    ttft_s: float = 1.0
    tpot_s: float = 0.05
    share: float = 0.9


def turns_per_s(of: Service) -> float:
    """Turns a second in the mean."""
    return of.per_day * int(of.of.turns) / DAY_S


def levers(of: Service) -> tuple[str, ...]:
    """Names of the levers between the month before and the month after."""
    return tuple(name for name in LEVERS if name != "engine" or of.before == "early")


def within_limits(of: Service, model_id: str, *, returned: float | None, slower: float = 1.0) -> tuple[int, float]:
    """(degree, requests a second of a replica within the limits) of the degree with most an accelerator; NaN where none is."""
    load = lengths(of.of, returned=returned, output_cv=of.output_cv)
    limits = of.ttft_s, of.tpot_s, of.share
    return _within(model_id, of.accelerator_id, of.weights, load, limits, of.token_budget, slower)


@cache
def _within(model_id, accelerator_id, weights, load, limits, token_budget, slower) -> tuple[int, float]:
    at = conversations.wide(model_id, accelerator_id, weights)
    found = [slowed(one, slower) for one in stations(count(at), at.efficiency, load, token_budget=token_budget)]
    kept = dict(zip(("ttft_s", "tpot_s", "share"), limits, strict=True))
    ceiling = {tp: most_per_s(one) / tp if one.slots >= 1 else 0.0 for tp, one in zip(at.tp, found, strict=True)}
    best, each = (1, np.nan), 0.0
    for tp, one in sorted(zip(at.tp, found, strict=True), key=lambda pair: -ceiling[pair[0]]):
        if ceiling[tp] <= each:  # nothing that comes now can be better
            break
        rate = np.nan_to_num(most_requests_per_s(one, **kept)[0])
        if rate / tp > each:
            best, each = (int(tp), float(rate)), rate / tp
    return best


def pool(of: Service, model_id: str, pulled, slower: float = 1.0) -> tuple[int, float]:
    """(degree, requests a second of a replica) of a model with some levers pulled."""
    returned = of.returned if "caching" in pulled else None
    if of.before == "early" and "engine" not in pulled:
        at, load = conversations.wide(model_id, of.accelerator_id, of.weights), lengths(of.of, returned=returned)
        longest = float(prompt_tokens(of.of).max()) + of.of.answer_tokens
        tp, rate = conversations.full_per_s(at, load, serving="early", longest_tokens=longest)
        return tp, rate / slower
    return within_limits(of, model_id, returned=returned, slower=slower)


def pools(of: Service, pulled, slower: float = 1.0) -> list[tuple[float, int, float]]:
    """(share of the turns, degree, requests a second of a replica) of the large model and, with routing, the small one."""
    if "routing" not in pulled or not of.routed:
        return [(1.0, *pool(of, of.large_id, pulled, slower))]
    shares = conversations.pool_shares(routed=of.routed, escalated=of.escalated)
    asked = zip(shares, (of.large_id, of.small_id), strict=True)
    return [(share, *pool(of, name, pulled, slower)) for share, name in asked if share > 0]


def n_accelerators(of: Service, pulled, *, slower: float = 1.0, whole: bool = True) -> float:
    """Accelerators of the fleet with some levers pulled; NaN where no fleet keeps the limits."""
    found = pools(of, pulled, slower)
    load = {"turns_per_s": turns_per_s(of), "peak_to_mean": of.peak_to_mean}
    return accelerators(found, **load, whole=whole) if all(rate > 0 for *_, rate in found) else np.nan


def month_usd(of: Service, pulled, *, slower: float = 1.0, whole: bool = True) -> float:
    """USD a month of the fleet with some levers pulled."""
    return conversations.usd_per_month(n_accelerators(of, pulled, slower=slower, whole=whole), of.usd_per_hour)


def months_usd(of: Service, *, whole: bool = True) -> dict[frozenset[str], float]:
    """USD a month with every subset of the levers."""
    names = levers(of)
    subsets = (some for n in range(len(names) + 1) for some in combinations(names, n))
    return {frozenset(some): month_usd(of, some, whole=whole) for some in subsets}


def feasible(of: Service) -> tuple[Service, float, dict[frozenset[str], float]]:
    """The service with its limits loosened by the least of LOOSER with which every month has a fleet, that factor, and the months
    by subset of the levers. Raises InputError where nothing serves."""
    for factor in LOOSER:
        looser = replace(of, ttft_s=of.ttft_s * factor, tpot_s=of.tpot_s * factor)
        usd = months_usd(looser)
        if not np.isnan(list(usd.values())).any():
            return looser, float(factor), usd
    raise InputError(f"{of.large_id} or {of.small_id} at {of.weights} does not serve these turns on {of.accelerator_id}; "
                     "fewer tokens, a narrower format or smaller models might do")  # fmt: skip


def shares(of: Service, usd: dict[frozenset[str], float]) -> pd.DataFrame:
    """A row a lever: alone, last, shapley (cost before over after) and share of the log of the whole, in per cent."""
    stand_in = [Lever(name=name, words=LEVERS[name], aspects=(), settings={}, apply=lambda setup: setup) for name in levers(of)]
    at = conversations.placed(of.large_id, of.accelerator_id, weights=of.weights)
    nothing = Setup(deployment=at, workload=conversations.Workload(input_tokens=1, output_tokens=1))
    made = Composition(baseline=nothing, levers=tuple(stand_in), usd_per_hour=of.usd_per_hour, usd=usd)
    return all_orders(made).assign(words=[one.words for one in stand_in])


def per_conversation(of: Service, usd: float) -> float:
    """USD of one conversation in a month of so many."""
    return usd / (of.per_day * DAYS_PER_MONTH)


def interval(of: Service, pulled, market: tuple[float, float]) -> tuple[float, float]:
    """(low, high) of the month: the fleet sized again with all steps shorter and longer by the model's interval, joined with the
    market's range of rents (factors). Infinite where the slow end keeps no limits."""
    at = conversations.placed(of.large_id, of.accelerator_id, weights=of.weights)
    factors, value = cost_interval(of.accelerator_id, of.large_id, at.engine, backlog=False)[0], month_usd(of, pulled)
    ends = [month_usd(of, pulled, slower=factor) / value for factor in factors]
    model = min(1.0, ends[0]), max(1.0, ends[1]) if ends[1] == ends[1] else 1e300
    low, high = conversations.joined(model, market)
    return value * low, value * high if high < 1e100 else np.inf


def by_turn(of: Conversation, *, returned: float) -> pd.DataFrame:
    """turn, what, tokens: of the prompt, of its part that a cache does not find in the mean, and of the answer."""
    turn, prompts = np.arange(1, int(of.turns) + 1), prompt_tokens(of)
    parts = {"prompt": prompts, "to compute, with a cache": prompts - found_tokens(of, returned=returned),
             "answer": np.full(turn.size, of.answer_tokens)}  # fmt: skip
    return pd.concat([pd.DataFrame({"turn": turn, "what": name, "tokens": n}) for name, n in parts.items()], ignore_index=True)


def by_turns(of: Service, turns) -> pd.DataFrame:
    """turns, lever, factor: what a month is divided by, in the mean over all orders, with other numbers of turns and parts of
    replicas; without those that no fleet serves within the limits."""
    rows = []
    for n in turns:
        other = replace(of, of=replace(of.of, turns=int(n)))
        usd = months_usd(other, whole=False)
        if not np.isnan(list(usd.values())).any():
            rows += [(int(n), row.words, row.shapley) for row in shares(other, usd).itertuples()]
    return pd.DataFrame(rows, columns=["turns", "lever", "factor"])


def held_bytes(of: Service, *, gap_s: float, lifetime_s: float) -> float:
    """Bytes of cache that wait for their next turn, in the mean, on both models."""
    waiting = {"conversations_per_s": of.per_day / DAY_S, "gap_s": gap_s, "lifetime_s": lifetime_s}
    return mean_bytes_per_token(of) * conversations.held_tokens(of.of, **waiting)


def found_bytes_per_s(of: Service) -> float:
    """Bytes a second of the histories that are found again in the busiest hour, on both models: what a second store would copy
    back if nothing were still at hand."""
    histories = totals(of.of, returned=of.returned)["found"] - int(of.of.turns) * of.of.system_tokens
    return of.peak_to_mean * of.per_day / DAY_S * histories * mean_bytes_per_token(of)


def mean_bytes_per_token(of: Service) -> float:
    """Bytes of cache of a token, of each model as often as it is asked."""
    asked = zip(conversations.pool_shares(routed=of.routed, escalated=of.escalated), (of.large_id, of.small_id), strict=True)
    return sum(share * bytes_per_token(of, model_id) for share, model_id in asked)


def bytes_per_token(of: Service, model_id: str) -> float:
    """Bytes of cache of a token of a model, unsplit."""
    return float(count(conversations.placed(model_id, of.accelerator_id, weights=of.weights)).cache_bytes_per_token)


def by_lifetime(of: Service, *, gap_s: float, lifetimes_s) -> pd.DataFrame:
    """What holding histories longer finds, takes and saves: lifetime_s, found (per cent of the prompts' tokens), held_tb, gb an
    accelerator of that fleet, gb_s an accelerator that are found in the busiest hour, usd a conversation."""
    rows = []
    for lifetime_s in lifetimes_s:
        other = replace(of, returned=conversations.returned_share(gap_s=gap_s, lifetime_s=lifetime_s))
        one, n = totals(other.of, returned=other.returned), n_accelerators(other, levers(of))
        held = held_bytes(other, gap_s=gap_s, lifetime_s=lifetime_s)
        usd = per_conversation(other, conversations.usd_per_month(n, of.usd_per_hour))
        rows.append({"lifetime_s": lifetime_s, "found": 100 * one["found"] / one["input"], "held_tb": held / TERA,
                     "gb": held / n / GIGA, "gb_s": found_bytes_per_s(other) / n / GIGA, "usd": usd})  # fmt: skip
    return pd.DataFrame(rows)


def output_cv() -> float:
    """Spread over mean of the answers in a public trace of conversations."""
    rows = tables.read("traces").query("trace == 'azure-conversation-2023'").set_index("quantity")
    return float(rows.at["output_tokens_cv", "value"])


def per_day(of: Service) -> dict[str, float]:
    """Tokens of a day: input, found, computed, output."""
    one = totals(of.of, returned=of.returned)
    return {name: value * of.per_day for name, value in one.items()}
