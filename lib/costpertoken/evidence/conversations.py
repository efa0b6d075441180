"""Conversations: tokens of each turn, of which a prefix cache finds a part, and the machines that a day of them keeps busy.

Turn k sends the system prompt, all that was said before (or the last kept_turns of it) and what the user says now. A history
that only grows is a prefix of its next prompt and is found again if its next turn comes in time; one whose oldest turns are
dropped begins differently each time, and of it only the system prompt, which all conversations share, is found.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence.scenario import placed
from costpertoken.evidence.uncertain import joined as joined
from costpertoken.fleet.station import Lengths
from costpertoken.model.levers import reserve, write_scores
from costpertoken.model.records import Deployment, InputError, Workload, check_range
from costpertoken.model.setup import Setup, run
from costpertoken.model.units import HOUR_S, HOURS_PER_YEAR, MONTHS_PER_YEAR

DAY_S, HOURS_PER_MONTH = 24 * HOUR_S, HOURS_PER_YEAR / MONTHS_PER_YEAR
DAYS_PER_MONTH = HOURS_PER_MONTH * HOUR_S / DAY_S
DEGREES = (1, 2, 4, 8)
#: plain: an engine of today. early: static batches, a reserved stretch a request, attention scores written.
SERVINGS = ("plain", "early")
#: The claim whose inputs say what its article does not; what data/ownership.csv says of conversations: name -> (quantity, scope).
CLAIM, HELD = "shopify-unoptimized-cost", {"gap_s": ("turn_gap", "conversation"), "lifetime_s": ("history_lifetime", "cache")}


def assumed(*names: str) -> pd.DataFrame:
    """A row a name that the book assumes of a service of conversations: name, value, range in words, low, high (NaN where it is a
    word), unit, note."""
    inputs = tables.read("claim_inputs").query("claim_id == @CLAIM").set_index("name")
    held = tables.read("ownership").set_index(["quantity", "scope"])
    rows = []
    for name in names:
        row = held.loc[HELD[name]] if name in HELD else inputs.loc[name]
        words = "" if name in HELD else row["words"]
        span = words.replace("|", " or ") if words else f"{row['low']:,g} to {row['high']:,g}"
        value = row["value"] if words else float(row["value"])
        rows.append({"name": name, "value": value, "range": span} | row[["low", "high", "unit", "note"]].to_dict())
    return pd.DataFrame(rows)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Turns of equal length: tokens that a user and an answer have in each, of the system prompt before them, and how many
    earlier turns a prompt carries (infinite: all)."""

    turns: int
    user_tokens: float
    answer_tokens: float
    system_tokens: float = 0.0
    kept_turns: float = np.inf

    def __post_init__(self) -> None:
        check_range("turns", self.turns, low=1)
        check_range("user_tokens", self.user_tokens, exclusive=True)
        check_range("answer_tokens", self.answer_tokens, exclusive=True)
        check_range("system_tokens", self.system_tokens)


def before(of: Conversation) -> np.ndarray:
    """Turns said before each turn: 0, 1, 2, ..."""
    return np.arange(int(of.turns), dtype=float)


def prompt_tokens(of: Conversation) -> np.ndarray:
    """Tokens of each turn's prompt."""
    kept = np.minimum(before(of), of.kept_turns)
    return of.system_tokens + of.user_tokens + kept * (of.user_tokens + of.answer_tokens)


def found_tokens(of: Conversation, *, returned: float) -> np.ndarray:
    """Of each turn's prompt, tokens found in a prefix cache in the mean: the system prompt, and the history with the chance
    `returned` that it is still held, as long as nothing of it was dropped."""
    check_range("returned", returned, high=1.0)
    whole = before(of) <= of.kept_turns
    return of.system_tokens + returned * whole * before(of) * (of.user_tokens + of.answer_tokens)


def totals(of: Conversation, *, returned: float | None) -> dict[str, float]:
    """Tokens of a conversation: input, of which found, computed and output; returned None: without a cache."""
    asked = float(prompt_tokens(of).sum())
    found = 0.0 if returned is None else float(found_tokens(of, returned=returned).sum())
    return {"input": asked, "found": found, "computed": asked - found, "output": int(of.turns) * of.answer_tokens}


def returned_share(*, gap_s: float, lifetime_s: float) -> float:
    """Chance that a next turn comes before its history is dropped; gaps are exponential with mean gap_s."""
    check_range("gap_s", gap_s, exclusive=True)
    check_range("lifetime_s", lifetime_s)
    return float(0.0 - np.expm1(-lifetime_s / gap_s))


def held_tokens(of: Conversation, *, conversations_per_s: float, gap_s: float, lifetime_s: float) -> float:
    """Tokens of history that wait in the cache for their next turn, in the mean (Little's law): after each turn but the last for
    the mean of the shorter of gap and lifetime, after the last for the whole lifetime."""
    left = prompt_tokens(of) + of.answer_tokens - of.system_tokens
    seconds = np.full(left.size, gap_s * returned_share(gap_s=gap_s, lifetime_s=lifetime_s))
    seconds[-1] = lifetime_s
    return conversations_per_s * float(left @ seconds)


def lengths(of: Conversation, *, returned: float | None, output_cv: float = 0.0) -> Lengths:
    """The turns of a conversation as requests: mean prompt, answer, share found, spread of the prompts over the turns."""
    prompts, all_of = prompt_tokens(of), totals(of, returned=returned)
    spread = float(prompts.std() / prompts.mean())
    return Lengths(float(prompts.mean()), of.answer_tokens, all_of["found"] / all_of["input"], spread, output_cv)


@cache
def baseline(folder: Path) -> dict[str, float]:
    """Settings of early serving (data/levers.csv)."""
    return tables.read("levers").query("lever == 'baseline'").set_index("setting")["value"].to_dict()


def early(at: Deployment, load: Workload, *, longest_tokens: float) -> Setup:
    """Serving before paging and iteration-level scheduling, from data/levers.csv, with stretches that hold the longest."""
    known = baseline(tables.data_dir())
    setup = Setup(deployment=at, workload=load, schedule="static", output_cv=known["output_cv"])
    stretch = max(known["reserved_tokens"], longest_tokens)
    setup = reserve(setup, reserved_tokens=stretch, fragmentation=known["fragmentation"])
    return write_scores(setup, passes=known["score_passes"])


@cache
def wide(model_id: str, accelerator_id: str, weights: str) -> Deployment:
    """A model on an accelerator, on one to eight of them at once."""
    at = placed(model_id, accelerator_id, weights=weights)
    return replace(at, tp=np.array([tp for tp in DEGREES if at.model.n_heads % tp == 0]))


def full_per_s(at: Deployment, of: Lengths, *, serving: str, longest_tokens: float) -> tuple[int, float]:
    """(tensor-parallel degree, requests a second of a replica with a backlog), of the degree with most an accelerator; NaN where
    none fits."""
    if serving not in SERVINGS:
        raise InputError(f"serving is {serving!r}; expected one of {', '.join(SERVINGS)}")
    load = Workload(input_tokens=of.input_tokens, output_tokens=of.output_tokens, cached_share=of.cached_share)
    setup = early(at, load, longest_tokens=longest_tokens) if serving == "early" else Setup(deployment=at, workload=load)
    rate = np.nan_to_num(np.asarray(run(setup).pools[0][1].requests_per_s))
    best = int(np.argmax(rate / at.tp))
    return int(at.tp[best]), float(rate[best]) or np.nan


def accelerators(pools, *, turns_per_s: float, peak_to_mean: float, whole: bool = True) -> float:
    """Accelerators of pools, each (share of the turns, degree, turns a second of a replica), for the day's peak. whole: whole
    replicas; else as many as the load asks for exactly."""
    needed = [share * turns_per_s * peak_to_mean / rate for share, _, rate in pools]
    counts = [np.ceil(n - 1e-9) if whole else n for n in needed]
    return float(sum(n * tp for n, (_, tp, _) in zip(counts, pools, strict=True)))


def pool_shares(*, routed: float, escalated: float) -> tuple[float, float]:
    """Shares of the turns that the large and the small model answer; those asked again count twice."""
    return 1.0 - routed * (1.0 - escalated), routed


def usd_per_month(n_accelerators: float, usd_per_hour: float) -> float:
    """USD of accelerators that are there all month."""
    return n_accelerators * usd_per_hour * HOURS_PER_MONTH
