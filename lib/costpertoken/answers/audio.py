"""An hour of speech: the work of a window by model, where its time goes, what each optimization brings, what a bill implies."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence import audio
from costpertoken.evidence.scenario import IDEAL
from costpertoken.model.audio import POSITIONS, halves
from costpertoken.model.records import Deployment, InputError
from costpertoken.model.transformer import parameters
from costpertoken.model.units import GIGA, KILO, TERA

#: Optimization -> what it changes of a batch, in the order in which the article names them.
LEVERS = ("INT8", "continuous batching", "FlashAttention")


def bare(model_id: str, accelerator_id: str, weights: str = "fp16") -> Deployment:
    """A deployment at 100 % of its data sheet."""
    return replace(tables.deployment(model_id, accelerator_id, weights=weights), efficiency=IDEAL)


def work(model_ids: Sequence[str], accelerator_id: str, *, tokens: float) -> pd.DataFrame:
    """A row a model: parameters_b, hearing_tflop of a window, writing_tflop of its text, weights_gb and positions_gb read for one
    token (16 bits), and least_windows, in flight, at which the positions are as many bytes as the weights."""
    rows = []
    for model_id in model_ids:
        at = bare(model_id, accelerator_id)
        hears, writes = halves(at)
        matrices = hears.dense_flop_per_token + POSITIONS * hears.prefill_flop_per_pair
        token = writes.dense_flop_per_token + writes.head_flop_per_token + POSITIONS * writes.decode_flop_per_pair
        read, kept = writes.dense_bytes + writes.head_bytes, POSITIONS * writes.cache_bytes_per_token
        rows.append(
            {"model": at.model.name, "parameters_b": sum(parameters(at.model).values()) / GIGA,
             "hearing_tflop": POSITIONS * matrices / TERA, "writing_tflop": tokens * token / TERA,
             "weights_gb": read / GIGA, "positions_gb": kept / GIGA, "least_windows": read / kept}
        )  # fmt: skip
    return pd.DataFrame(rows)


def causes_ms(at: Deployment, windows: Sequence[int], **text) -> pd.DataFrame:
    """A row a number of windows in flight and cause: milliseconds of one window, where they fit."""
    rows = []
    for n in windows:
        found = audio.hear(at, windows=n, **text)
        if math.isnan(found.x_realtime):
            continue
        writing = found.writing
        parts = {
            "hearing": found.hearing.step_s,
            "positions": writing.cache_s,
            "weights": writing.matmul_s,
            "host and rest": writing.step_s - writing.cache_s - writing.matmul_s,
        }
        rows += [{"windows": n, "cause": cause, "ms": float(KILO * seconds / n)} for cause, seconds in parts.items()]
    return pd.DataFrame(rows)


def speed_with(pulled: Sequence[str], plain: Deployment, small: Deployment, **text) -> float:
    """Seconds of audio a second with some of LEVERS, the others not."""
    at = small if "INT8" in pulled else plain
    schedule = audio.CONTINUOUS if "continuous batching" in pulled else audio.STATIC
    return audio.hear(at, schedule=schedule, fused="FlashAttention" in pulled, **text).x_realtime


def composed(plain: Deployment, small: Deployment, **text) -> pd.DataFrame:
    """A row a lever: alone and last (speed with it over speed without, before and after all others) and fair (the geometric mean
    over all orders): the product of the fair shares is the whole. text: windows, tokens, output_cv."""
    known = {}

    def speed(pulled) -> float:
        key = frozenset(pulled)
        if key not in known:
            known[key] = speed_with(tuple(key), plain, small, **text)
        return known[key]

    orders = list(permutations(LEVERS))
    rows = []
    for one in LEVERS:
        before = [order[: order.index(one)] for order in orders]
        gains = [speed((*some, one)) / speed(some) for some in before]
        others = [name for name in LEVERS if name != one]
        rows.append(
            {"lever": one, "alone": speed((one,)) / speed(()), "last": speed(LEVERS) / speed(others),
             "fair": float(np.exp(np.mean(np.log(gains))))}
        )  # fmt: skip
    return pd.DataFrame(rows)


def speeds(model_ids: Sequence[str], accelerator_id: str, *, windows: int, **text) -> pd.DataFrame:
    """A row a model: model, and seconds of audio a second of one window alone (alone), of so many in flight (batch), and of these
    with INT8 (int8), all with fused attention and continuous batching; NaN where they do not fit. text: tokens."""
    rows = []
    for model_id in model_ids:
        plain, small = (tables.deployment(model_id, accelerator_id, weights=weights) for weights in ("fp16", "int8"))
        tried = {"alone": (plain, 1), "batch": (plain, windows), "int8": (small, windows)}
        found = {name: audio.hear(at, windows=n, **text).x_realtime for name, (at, n) in tried.items()}
        rows.append({"model": plain.model.name} | found)
    return pd.DataFrame(rows)


def steps(plain: Deployment, small: Deployment, *, windows: int, **text) -> pd.DataFrame:
    """A row a step, each with all above it: step, x_realtime. A batch that starts and ends together, then LEVERS in the article's
    order. text: tokens, output_cv."""
    rows = {f"batch of {windows}": speed_with((), plain, small, windows=windows, **text)}
    for n, lever in enumerate(LEVERS, 1):
        rows[lever] = speed_with(LEVERS[:n], plain, small, windows=windows, **text)
    return pd.DataFrame({"step": list(rows), "x_realtime": list(rows.values())})


def implied(bills: dict[str, float], *, audio_hours, usd_per_hour, x_realtime: dict[str, float], utilisation) -> pd.DataFrame:
    """A row a bill: usd_per_audio_hour, and the one thing that would make it true with the rest as it is: speed over all paid
    time (x_realtime), the rent of an accelerator-hour (usd_per_hour), the hours of audio a day (audio_hours), or the share of
    the paid time used (utilisation). x_realtime: of an accelerator at work, by bill."""
    if not audio_hours > 0:
        raise InputError(f"audio_hours is {audio_hours:g}; expected more than 0")
    rows = []
    for name, usd in bills.items():
        paid = x_realtime[name] * utilisation
        needed = audio.implied_x_realtime(usd_per_day=usd, audio_hours=audio_hours, usd_per_hour=usd_per_hour)
        rows.append(
            {"bill": name, "usd_per_audio_hour": usd / audio_hours, "x_realtime": needed,
             "usd_per_hour": usd / audio_hours * paid, "audio_hours": usd * paid / usd_per_hour,
             "utilisation": needed / x_realtime[name]}
        )  # fmt: skip
    return pd.DataFrame(rows)
