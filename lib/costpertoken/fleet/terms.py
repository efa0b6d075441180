"""The step as one-dimensional terms: tables by tokens and by sequences, and rates for held tokens and pairs.

What `roofline.step_of` computes for a step is a sum of such terms, so thousands of different steps are looked up at once, or
one after the other by a compiled scheduler, without the roofline being written twice.
"""

from dataclasses import dataclass

import numpy as np

from costpertoken.model.counts import count
from costpertoken.model.records import Deployment
from costpertoken.model.roofline import (
    CLASSES,
    activation_seconds,
    class_seconds,
    host_seconds,
    network_seconds,
    overlapped,
    step_of,
)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """step_s = token_s[T] + decode_s[d] + cache_token_s x held tokens + pair_s x query-key pairs of prompts.

    T: decode and prompt tokens of the step; d: decoding sequences; arrays from none to their largest number, beyond which
    they go on in a straight line. Held tokens and pairs are those of a windowed mean layer (`held`).
    """

    token_s: np.ndarray
    decode_s: np.ndarray
    cache_token_s: float
    pair_s: float
    window_share: float
    window_tokens: float


def terms(deployment: Deployment, *, most_tokens: int = 16_384, most_sequences: int = 8_192) -> Terms:
    """Terms of a deployment with scalar degrees; expert coverage is by the step's tokens, whoever they belong to."""
    counts, engine = count(deployment), deployment.efficiency
    tokens, sequences = np.arange(most_tokens + 1.0), np.arange(most_sequences + 1.0)
    token_s = activation_seconds(counts, engine, tokens, 0.0) + network_seconds(counts, engine, tokens, 0.0)
    decode_s = host_seconds(counts, engine, sequences)
    for name in CLASSES:
        at = sequences if name == "head" else tokens
        seconds = overlapped(*class_seconds(counts, engine, name, at, 0.0), engine.overlap)
        token_s, decode_s = (token_s, decode_s + seconds) if name == "head" else (token_s + seconds, decode_s)
    one = {"decode": 1.0, "context_tokens": 1.0, "prefill_tokens": 1.0, "pairs_per_token": 1.0}
    single = step_of(counts, engine, **one)  # one token is inside any window
    return Terms(
        token_s=token_s,
        decode_s=decode_s,
        cache_token_s=float(single.cache_s),
        pair_s=float(single.prefill_attention_s),
        window_share=float(counts.window_share),
        window_tokens=float(counts.window_tokens),
    )
