"""A replica as a queueing system sees it: how long its steps are with so many requests in flight, and what a prompt adds."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from costpertoken.model.counts import Counts, count
from costpertoken.model.records import Deployment, Efficiency, check_range
from costpertoken.model.roofline import step_of
from costpertoken.model.serving import steady_batch

#: Requests in flight at which a replica is computed, from one to all slots in even ratios.
FLIGHTS = 48


class Lengths(NamedTuple):
    """Mean prompt and answer, share of the prompt that is in the cache, and standard deviations over means.

    input_moments: means of the prompts' third and fourth powers over those of their mean; none: as if lognormal.
    """

    input_tokens: float
    output_tokens: float
    cached_share: float = 0.0
    input_cv: float = 0.0
    output_cv: float = 0.0
    input_moments: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Station:
    """A replica by requests in flight (arrays over `flight`); n_replicas of them share one queue.

    decode_s: a step without prompts. prompt_s: what a prompt adds to the steps that carry it, in the mean; prompt_cv: its
    standard deviation over that. chunk_tokens: prompt tokens that a step can carry. base_s: the service's share of TTFT.
    """

    slots: float
    flight: np.ndarray
    decode_s: np.ndarray
    prompt_s: np.ndarray
    chunk_tokens: np.ndarray
    prompt_tokens: float
    output_tokens: float
    prompt_cv: float = 0.0
    output_cv: float = 0.0
    base_s: float = 0.0
    n_replicas: int = 1


def station(
    deployed: Deployment, *, input_tokens, output_tokens, token_budget, cached_share=0.0, input_cv=0.0, output_cv=0.0, slots=None
) -> Station:
    """A replica of a deployment as a Station; slots: most requests at once, None for what memory allows.

    token_budget: most tokens of a step. input_cv, output_cv: standard deviations of the lengths over their means. NaN slots
    where nothing fits.
    """
    for name, value in (("input_cv", input_cv), ("output_cv", output_cv)):
        check_range(name, value)
    check_range("token_budget", token_budget, low=1)
    asked = np.inf if slots is None else float(check_range("slots", slots, low=1))
    lengths = Lengths(input_tokens, output_tokens, cached_share, input_cv, output_cv)
    return stations(count(deployed), deployed.efficiency, lengths, token_budget=token_budget, asked=asked)[0]


def stations(counts: Counts, efficiency: Efficiency, of: Lengths, *, token_budget: float, asked=np.inf) -> list[Station]:
    """`station` for each of several degrees (counts' first axis), unchecked.

    Long answers are in flight for longer: of those in flight, the mean answer is output x (1 + output_cv^2). Long prompts
    have more pairs: a token of a prompt looks at (1 + input_cv^2) times as many in the mean.
    """
    isl, osl, hit = of.input_tokens, of.output_tokens, of.cached_share
    held = osl * (1.0 + of.output_cv**2)
    most = np.atleast_1d(steady_batch(counts, efficiency, isl, held, asked)[0])
    most = np.minimum(most, max(1.0, token_budget - 1.0))
    flight = np.geomspace(1.0, np.where(most >= 1, most, 1.0), FLIGHTS)
    fresh, context = isl * (1.0 - hit), isl + 0.5 * held
    pairs = (isl * hit + 0.5 * fresh) * (1.0 + of.input_cv**2)
    # A prompt comes whole, or as much of it as a step can carry; several at once where they come faster than steps.
    whole = np.maximum(flight * fresh / osl, np.minimum(fresh, token_budget - flight))
    carried = {"prefill_tokens": whole, "pairs_per_token": pairs}
    decode_s = step_of(counts, efficiency, decode=flight, context_tokens=context).step_s
    mixed = step_of(counts, efficiency, decode=flight, context_tokens=context, **carried)
    added_s = mixed.step_s - decode_s
    cv = work_cv(of, np.broadcast_to(mixed.prefill_attention_s / added_s, added_s.shape)[-1])
    return [
        Station(
            slots=float(most[one]) if most[one] >= 1 else np.nan, flight=flight[:, one], decode_s=decode_s[:, one],
            prompt_s=(added_s * fresh / whole)[:, one], chunk_tokens=token_budget - flight[:, one], prompt_tokens=fresh,
            output_tokens=osl, prompt_cv=float(cv[one]), output_cv=of.output_cv, base_s=float(efficiency.ttft_base_s),
        )
        for one in range(most.size)
    ]  # fmt: skip


def work_cv(of: Lengths, attention_share):
    """Standard deviation over mean of the prompts' work, of which a share goes with the square of their length."""
    spread, rest = 1.0 + of.input_cv**2, 1.0 - attention_share
    third, fourth = of.input_moments or (spread**3, spread**6)
    squares = rest**2 * spread + 2.0 * rest * attention_share * third / spread + (attention_share / spread) ** 2 * fourth
    return np.sqrt(np.maximum(squares - 1.0, 0.0))


def pooled(at: Station, n_replicas: int) -> Station:
    """So many replicas behind one queue, each request going to the one with the fewest in flight."""
    return replace(at, n_replicas=int(check_range("n_replicas", n_replicas, low=1)))


def slowed(at: Station, factor: float) -> Station:
    """The station with every step `factor` times as long."""
    return replace(at, decode_s=at.decode_s * factor, prompt_s=at.prompt_s * factor)


def with_slots(at: Station, slots: float) -> Station:
    """The station with at most so many requests in flight on a replica."""
    return replace(at, slots=min(at.slots, float(check_range("slots", slots, low=1))))


def at_flight(at: Station, values: np.ndarray, flight) -> np.ndarray:
    """A quantity of the station at other numbers of requests in flight."""
    return np.interp(flight, at.flight, values)


def prompt_seconds(at: Station, flight):
    """Seconds in which a replica takes in one prompt while others wait: its own work and the steps that carry it."""
    decode_s, prompt_s, chunk = (
        at_flight(at, values, flight) for values in (at.decode_s, at.prompt_s, at.chunk_tokens)
    )
    return prompt_s + decode_s * at.prompt_tokens / chunk
