"""Speech to text in the terms of a bill: speed over real time, a day's cost, what sellers ask, what a printed bill implies."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence.scenario import model_band
from costpertoken.model.audio import POSITIONS, WINDOW_S, halves, transcribe
from costpertoken.model.records import Deployment, check_range
from costpertoken.model.roofline import Step
from costpertoken.model.serving import room_of
from costpertoken.model.setup import longest_tokens
from costpertoken.model.units import HOUR_S

#: Tokens of a window that are no words: start, language, task, end.
MARKS = 4
MINUTE_S = 60.0
STATIC, CONTINUOUS = "static", "continuous"
FILES, LIVE = "transcription_price", "transcription_price_live"
#: English read aloud, as byte pairs write it: what the measured rows, which do not say, are computed with.
WORDS_PER_MINUTE, TOKENS_PER_WORD = 150.0, 1.33
METRIC = "audio_x_realtime"


class Heard(NamedTuple):
    """A batch of windows on one deployment: windows in flight, steps written, seconds by cause, seconds of audio a second."""

    windows: float
    steps: float
    hearing: Step
    writing: Step
    x_realtime: float


def unfused_passes() -> float:
    """Times that unfused attention moves its scores through memory (data/levers.csv)."""
    return _unfused_passes(tables.data_dir())


@cache
def _unfused_passes(folder: Path) -> float:
    rows = tables.read("levers").set_index(["lever", "setting"])["value"]
    return float(rows["baseline", "score_passes"])


def tokens_per_window(*, words_per_minute, tokens_per_word):
    """Tokens that a window's speech is written in, with its marks."""
    return words_per_minute * WINDOW_S / MINUTE_S * tokens_per_word + MARKS


def tokens_per_day(*, audio_hours, words_per_minute, tokens_per_word):
    """Tokens of words in so many hours of audio."""
    return audio_hours * HOUR_S / MINUTE_S * words_per_minute * tokens_per_word


def steps_of(*, tokens, output_cv, windows, schedule):
    """Steps of a batch: continuous, the mean of its windows; static, its longest."""
    if schedule == CONTINUOUS:
        return tokens
    return float(longest_tokens(output_tokens=tokens, output_cv=output_cv, batch=windows))


def most_windows(at: Deployment) -> int:
    """Windows in flight whose keys and values fit, each with the longest text that the model writes."""
    return int(room_of(halves(at)[1], at.efficiency, POSITIONS + at.model.max_context))


def hear(at: Deployment, *, windows, tokens, output_cv=0.0, schedule=CONTINUOUS, fused=True) -> Heard:
    """A batch of windows; x_realtime is NaN where their keys and values do not fit, or a text is longer than the model's."""
    check_range("windows", windows, low=1)
    steps = min(steps_of(tokens=tokens, output_cv=output_cv, windows=windows, schedule=schedule), at.model.max_context)
    both, passes = halves(at), 0.0 if fused else unfused_passes()
    hearing, writing = transcribe(at, windows=windows, tokens=steps, score_passes=passes, counted=both)
    fits = room_of(both[1], at.efficiency, POSITIONS + steps) >= windows and tokens <= at.model.max_context
    speed = windows * WINDOW_S / (hearing.step_s + writing.step_s)
    return Heard(windows, steps, hearing, writing, float(np.where(fits, speed, np.nan)))


def usd_per_audio_hour(*, usd_per_hour, x_realtime, utilisation=1.0):
    """USD of an hour of audio: an accelerator-hour over what it hears in one, idle time paid too."""
    check_range("utilisation", utilisation, high=1.0, exclusive=True)
    return usd_per_hour / (x_realtime * utilisation)


def implied_x_realtime(*, usd_per_day, audio_hours, usd_per_hour):
    """Seconds of audio a second, over all paid time, at which a day's bill is what it is printed to be."""
    return audio_hours * usd_per_hour / usd_per_day


def retail(quantity: str = FILES) -> pd.DataFrame:
    """What sellers ask for an hour of audio, cheapest first: seller, usd, source, as_of. quantity: FILES or LIVE."""
    rows = tables.read("ownership").query("quantity == @quantity").sort_values("value", kind="stable")
    return rows.rename(columns={"scope": "seller", "value": "usd"})[["seller", "usd", "source", "as_of"]].reset_index(
        drop=True
    )


def readings() -> pd.DataFrame:
    """The measured rows of speech beside this book's figure for the same model, accelerator and number in flight: reading,
    windows, measured, computed (both in seconds of audio a second), source, as_of."""
    return _readings(tables.data_dir()).copy()


@cache
def _readings(folder: Path) -> pd.DataFrame:
    found = []
    tokens = tokens_per_window(words_per_minute=WORDS_PER_MINUTE, tokens_per_word=TOKENS_PER_WORD)
    for row in tables.read("measurements").query("metric == @METRIC").itertuples():
        at = tables.deployment(row.model_id, row.accelerator_id, weights="fp16")
        computed = hear(at, windows=int(row.concurrency), tokens=tokens).x_realtime
        found.append(
            {"reading": f"{at.model.name} on {at.accelerator.name}", "windows": int(row.concurrency), "measured": row.value,
             "computed": computed, "source": row.source_id, "as_of": row.as_of}
        )  # fmt: skip
    return pd.DataFrame(found)


@tables.of_tables
def _off() -> tuple[float, float]:
    """Least and most of computed over measured."""
    off = readings()["computed"] / readings()["measured"]
    return off.min(), off.max()


def cost_band(at: Deployment) -> tuple[float, float]:
    """(low, high) factors of a cost: the model's own for such a deployment, widened until it holds all readings of speech."""
    low, high = model_band(at, backlog=True)
    least, most = _off()
    return min(low, least), max(high, most)
