"""The step as one-dimensional terms is the roofline's step."""

import numpy as np
import pytest

from costpertoken.answers.estimate import deployment
from costpertoken.fleet.terms import terms
from costpertoken.model.roofline import step
from costpertoken.model.transformer import windowed_tokens

PLACED = [
    ("llama-3.1-8b", "l40s", "bf16", {}),
    ("llama-3.1-70b", "h100-sxm", "fp8", {"tp": 4}),
    ("gpt-oss-120b", "h100-sxm", "mxfp4", {"tp": 2}),
    ("deepseek-v3", "h200-sxm", "fp8", {"tp": 1, "dp": 8}),
    ("gemma-3-27b", "h100-sxm", "bf16", {"tp": 2}),
    ("llama-3.1-70b", "a100-80gb-sxm", "bf16", {"tp": 2, "pp": 2}),
]


@pytest.mark.parametrize("model, machine, weights, degrees", PLACED)
@pytest.mark.parametrize(
    "decode, context, prompts, pairs", [(1, 10, 0, 0), (64, 3000, 0, 0), (64, 900, 1500, 400), (0, 0, 800, 9000)]
)
def test_terms_sum_to_the_step(model, machine, weights, degrees, decode, context, prompts, pairs):
    placed = deployment(model, machine, weights=weights, **degrees)
    of = terms(placed)
    window = of.window_share, of.window_tokens
    seconds = of.token_s[decode + prompts] + of.decode_s[decode]
    seconds += of.cache_token_s * decode * windowed_tokens(context, *window)
    seconds += of.pair_s * prompts * windowed_tokens(pairs, *window)
    whole = step(
        placed, decode=float(decode), context_tokens=context, prefill_tokens=float(prompts), pairs_per_token=pairs
    )
    assert seconds == pytest.approx(float(whole.step_s), rel=1e-9)


def test_beyond_the_table_the_line_goes_on():
    """Where all experts are read and products take longer than weights, a token more costs the same again and again."""
    placed = deployment("gpt-oss-120b", "h100-sxm", weights="mxfp4", tp=2)
    short, long = terms(placed), terms(placed, most_tokens=40_000)
    straight = short.token_s[-1] + (30_000 - 16_384) * (short.token_s[-1] - short.token_s[-2])
    assert straight == pytest.approx(long.token_s[30_000], rel=1e-9)
    assert np.all(np.diff(long.token_s) > 0)
