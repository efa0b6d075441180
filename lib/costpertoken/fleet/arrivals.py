"""Made-up traffic from a seed: when requests come, how long they are, and what their prompts share.

Every generator has the mean that it is asked for; what it draws depends on its seed alone.
"""

from collections.abc import Callable, Mapping

import numpy as np

from costpertoken.fleet.trace import Trace
from costpertoken.model.records import InputError, UnknownName, check_range
from costpertoken.model.units import DAY_S


def poisson(draw: np.random.Generator, n: int, *, rate_per_s: float) -> np.ndarray:
    """Arrivals that know nothing of each other."""
    return np.cumsum(draw.exponential(1.0 / rate_per_s, n))


def bursty(draw: np.random.Generator, n: int, *, rate_per_s: float, burstiness: float = 2.0) -> np.ndarray:
    """Gamma gaps whose coefficient of variation is `burstiness`: 1 is Poisson, more comes in bursts, less is even."""
    check_range("burstiness", burstiness, exclusive=True, high=50.0)
    return np.cumsum(draw.gamma(burstiness**-2.0, burstiness**2.0 / rate_per_s, n))


def diurnal(
    draw: np.random.Generator, n: int, *, rate_per_s: float, peak_to_mean: float = 1.5, period_s: float = DAY_S
) -> np.ndarray:
    """Poisson arrivals whose rate is a sine over a period, lowest at its ends: a Poisson stream through the inverse of the
    expected number so far, which is monotone."""
    check_range("peak_to_mean", peak_to_mean, low=1.0, high=2.0)
    check_range("period_s", period_s, exclusive=True)
    swing, turn = peak_to_mean - 1.0, 2 * np.pi / period_s
    expected = np.cumsum(draw.exponential(1.0, n))
    grid = np.linspace(
        0.0, (expected[-1] / rate_per_s) + period_s, max(4096, int(256 * expected[-1] / rate_per_s / period_s))
    )
    so_far = rate_per_s * (grid - swing / turn * np.sin(turn * grid))
    return np.interp(expected, so_far, grid)


def backlog(draw: np.random.Generator, n: int) -> np.ndarray:
    """All of them at once."""
    return np.zeros(n)


ARRIVALS: dict[str, Callable] = {"poisson": poisson, "bursty": bursty, "diurnal": diurnal, "backlog": backlog}


def constant(draw: np.random.Generator, n: int, *, mean: float) -> np.ndarray:
    """All alike."""
    return np.full(n, mean)


def uniform(draw: np.random.Generator, n: int, *, mean: float, spread: float = 0.5) -> np.ndarray:
    """Evenly from mean x (1 - spread) to mean x (1 + spread)."""
    check_range("spread", spread, high=1.0)
    return draw.uniform(mean * (1.0 - spread), mean * (1.0 + spread), n)


def geometric(draw: np.random.Generator, n: int, *, mean: float) -> np.ndarray:
    """An answer that ends with the same chance at each token: coefficient of variation close to 1."""
    return draw.geometric(1.0 / mean, n).astype(float)


def lognormal(draw: np.random.Generator, n: int, *, mean: float, cv: float = 1.0) -> np.ndarray:
    """Skewed as lengths mostly are; cv: standard deviation over mean."""
    check_range("cv", cv, high=10.0)
    sigma = np.sqrt(np.log1p(cv**2))
    return draw.lognormal(np.log(mean) - 0.5 * sigma**2, sigma, n)


LENGTHS: dict[str, Callable] = {
    "constant": constant,
    "uniform": uniform,
    "geometric": geometric,
    "lognormal": lognormal,
}


def named(kinds: Mapping[str, Callable], name: str, what: str) -> Callable:
    """A generator by its name."""
    if name not in kinds:
        raise UnknownName(f"{what} is {name!r}; expected one of {', '.join(kinds)}")
    return kinds[name]


def whole(draw: np.random.Generator, lengths: np.ndarray, most: int | None) -> np.ndarray:
    """Whole tokens, at least one: each length rounded up with the chance of its fraction, so that the mean stays."""
    tokens = np.maximum(np.floor(lengths + draw.random(lengths.size)), 1.0)
    return (tokens if most is None else np.minimum(tokens, most)).astype(np.int64)


def drawn(draw: np.random.Generator, n: int, asked: Mapping, what: str) -> np.ndarray:
    """Lengths as asked for: {"kind": ..., "mean": ..., knobs of the kind, "most": longest}."""
    knobs = {name: value for name, value in asked.items() if name not in ("kind", "most")}
    check_range(f"{what} mean", knobs.get("mean", 0.0), low=1.0)
    kind = named(LENGTHS, asked.get("kind", "lognormal"), f"{what} kind")
    try:
        return whole(draw, kind(draw, n, **knobs), asked.get("most"))
    except TypeError:
        raise InputError(f"{what}: {sorted(knobs)} do not fit kind {asked.get('kind', 'lognormal')!r}") from None


def synthetic(
    *,
    n_requests: int,
    input_tokens: Mapping,
    output_tokens: Mapping,
    arrivals: str = "poisson",
    seed: int = 0,
    prefixes=None,
    **load,
) -> Trace:
    """A made-up trace. arrivals: a name of ARRIVALS, whose knobs are `load` (rate_per_s, burstiness, peak_to_mean, period_s).

    input_tokens, output_tokens: as `drawn` has them, such as {"kind": "lognormal", "mean": 1000, "cv": 1.0, "most": 8000}.
    prefixes: None, or {"n_groups": ..., "tokens": ..., "block_tokens": ...}: each prompt begins with its group's prefix.
    """
    check_range("n_requests", n_requests, low=1)
    came = named(ARRIVALS, arrivals, "arrivals")
    if arrivals != "backlog":
        check_range("rate_per_s", load.get("rate_per_s", 0.0), exclusive=True)
    draw, lengths = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    try:
        at = came(draw, int(n_requests), **load)
    except TypeError:
        raise InputError(
            f"arrivals {arrivals}: {sorted(load)} do not fit; see its generator for what can be set"
        ) from None
    prompt, answer = (
        drawn(lengths, int(n_requests), asked, what)
        for asked, what in ((input_tokens, "input_tokens"), (output_tokens, "output_tokens"))
    )
    begun = {} if prefixes is None else grouped(np.random.default_rng([seed, 2]), prompt, **prefixes)
    return Trace(
        arrival_s=at, input_tokens=begun.pop("input_tokens", prompt), output_tokens=answer, name=arrivals, **begun
    )


def grouped(
    draw: np.random.Generator, prompt: np.ndarray, *, n_groups: int, tokens: int, block_tokens: int = 16
) -> dict:
    """Fields of a Trace whose prompts begin with the prefix of one of some groups, drawn evenly; whole blocks are shared. A
    prompt shorter than its prefix is the prefix and one token of its own."""
    check_range("n_groups", n_groups, low=1)
    check_range("prefix tokens", tokens, low=1)
    n_blocks, group = int(tokens) // int(block_tokens), draw.integers(0, int(n_groups), prompt.size)
    ids = (group[:, None] * n_blocks + np.arange(n_blocks)).ravel()
    starts = np.arange(prompt.size + 1) * n_blocks
    longer = np.maximum(prompt, tokens + 1)
    return {
        "prefix_ids": ids,
        "prefix_starts": starts,
        "prefix_block_tokens": int(block_tokens),
        "input_tokens": longer,
    }
