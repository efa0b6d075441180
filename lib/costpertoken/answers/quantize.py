"""Methods of quantization side by side: what each stores and multiplies, what it saves at a load and why, what it loses."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers import levers
from costpertoken.answers.compose import cost
from costpertoken.answers.sensitivity import moved_alike
from costpertoken.evidence.checks.quantization import perplexity
from costpertoken.model.counts import math_format
from costpertoken.model.records import Deployment, Workload
from costpertoken.model.setup import Setup, run
from costpertoken.model.transformer import weight_bytes
from costpertoken.model.units import BITS_PER_BYTE, GIGA

#: Words -> levers, as they are typed. W: bits of weights, A: of what is multiplied.
METHODS = {
    "GPTQ or AWQ, 4 bits (W4A16)": ["awq"],
    "AWQ, 3 bits (W3A16)": ["awq:bits=3"],
    "INT8 (W8A8)": ["int8"],
    "FP8 (W8A8)": ["fp8"],
    "4-bit weights, FP8 products (W4A8)": ["awq", "activations:format=fp8"],
    "FP4 (W4A4)": ["fp4"],
}


def quantized(base: Setup, words: str) -> Setup:
    """A setup under one of METHODS."""
    return levers.pull(base, [levers.parse(text) for text in METHODS[words]])


def flights(most: float, n: int = 40) -> np.ndarray:
    """Requests in flight from one to the most, in equal ratios."""
    return np.geomspace(1.0, max(most, 2.0), n)


def ratios(
    deployed: Deployment, workload: Workload, requests: np.ndarray, methods: Iterable[str] = METHODS
) -> pd.DataFrame:
    """Cost of a token under each method over that of the deployment, at the same requests in flight: method, requests, ratio.

    What memory cannot hold waits, for both. NaN where one does not fit.
    """
    base = Setup(deployment=deployed, workload=replace(workload, concurrency=requests))
    plain = sum(run(base).accelerator_s)
    frames = [
        pd.DataFrame(
            {"method": words, "requests": requests, "ratio": sum(run(quantized(base, words)).accelerator_s) / plain}
        )
        for words in methods
    ]
    return pd.concat(frames, ignore_index=True)


def crossing(frame: pd.DataFrame, first: str, second: str) -> float:
    """Requests from which on the second method is cheaper than the first to the end; NaN if never, the least if always."""
    wide = frame.pivot(index="requests", columns="method", values="ratio")
    worse = (wide[second] >= wide[first]).to_numpy()
    if worse[-1]:
        return np.nan
    return float(wide.index[int(np.flatnonzero(worse)[-1]) + 1] if worse.any() else wide.index[0])


def gains(deployed: Deployment, workload: Workload, *, usd_per_hour: float) -> pd.DataFrame:
    """A row a method, all with a backlog: bits a weight, math, weights in GB, requests that fit, USD per million output tokens,
    and the part of the saving that the same batch gives and that more requests add, in per cent of the cost before."""
    base = Setup(deployment=deployed, workload=replace(workload, concurrency=None))
    batch = float(run(base).pools[0][1].batch)
    held = replace(base, workload=replace(workload, concurrency=max(batch, 1.0)))
    before = cost(base, usd_per_hour)
    rows = [row(base, "none", before, before, before, batch)]
    for words in METHODS:
        same, full = (cost(quantized(one, words), usd_per_hour) for one in (held, base))
        rows.append(row(quantized(base, words), words, before, same, full, batch))
    return pd.DataFrame(rows)


def row(setup: Setup, words: str, before: float, same: float, full: float, batch: float) -> dict:
    """One method of `gains`."""
    at, outcome = setup.deployment, run(setup).pools[0][1]
    bytes_a_weight = at.precision.expert_bytes if at.model.n_experts else at.precision.dense_bytes
    return {
        "method": words,
        "bits": bytes_a_weight * BITS_PER_BYTE,
        "math": math_format(at.accelerator, at.precision.dense_math).upper(),
        "weights_gb": sum(weight_bytes(at.model, at.precision).values()) / GIGA,
        "requests": float(outcome.batch),
        "usd": full,
        "same_batch": 100 * (before - same) / before,
        "admitted": 100 * (same - full) / before,
    }


def quality(methods: Iterable[str] = ("round-to-nearest", "gptq", "gptq-reordered", "awq")) -> pd.DataFrame:
    """Probability of the right token that a method keeps, in per cent of half precision's, from perplexities on record:
    method, bits, model, kept."""
    of = sorted(set(tables.read("techniques").query("technique == 'half-precision'")["condition"]))
    rows = [
        {"method": method, "bits": bits, "model": model,
         "kept": 100 * perplexity("half-precision", 16, model) / perplexity(method, bits, model)}
        for method in methods for bits in (4, 3) for model in of
    ]  # fmt: skip
    return pd.DataFrame(rows).dropna(subset=["kept"], ignore_index=True)


def cost_ratio(base: Setup, words: str, **moved: float) -> float:
    """Cost of a token under a method over the base's; moved: constants of the base's engine, moved alike for both."""
    costs = []
    for one in (quantized(base, words), base):
        at = moved_alike(one.deployment, base.deployment, **moved)
        costs.append(float(sum(run(replace(one, deployment=at)).accelerator_s)))
    return costs[0] / costs[1]
