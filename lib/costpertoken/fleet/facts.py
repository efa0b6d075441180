"""What a trace is like, in a few numbers: rate, burstiness, lengths, and how much of the prompts had been seen before."""

import numpy as np

from costpertoken.fleet.trace import Trace
from costpertoken.model.records import InputError

MINUTE_S = 60.0
LENGTHS = ("input_tokens", "output_tokens")
PERCENTILES = (50, 90, 99)


def facts(trace: Trace) -> dict[str, tuple[float, str]]:
    """Quantity -> (value, unit). Rates and gaps from the first arrival to the last; variations are standard deviations over
    means; by_minute: over the whole minutes. Prefix shares stand there where the trace knows its prefixes. Raises InputError
    for a trace of less than a minute."""
    span_s, n = float(trace.arrival_s[-1] - trace.arrival_s[0]), trace.arrival_s.size
    if span_s < MINUTE_S:
        raise InputError(f"trace {trace.name}: it lasts {span_s:g} s; expected at least {MINUTE_S:g} s")
    found = {
        "n_requests": (float(n), "request"),
        "span_s": (span_s, "s"),
        "requests_per_s": ((n - 1) / span_s, "request/s"),
        "gap_cv": (variation(np.diff(trace.arrival_s)), "ratio"),
        "peak_to_mean_by_minute": (peak_to_mean(trace.arrival_s, MINUTE_S), "ratio"),
    }
    for name in LENGTHS:
        tokens = getattr(trace, name)
        found |= {f"{name}_mean": (float(tokens.mean()), "token"), f"{name}_cv": (variation(tokens), "ratio")}
        found |= {f"{name}_p{p}": (float(np.percentile(tokens, p)), "token") for p in PERCENTILES}
    return found | (prefix_shares(trace) if trace.prefix_block_tokens else {})


def variation(values: np.ndarray) -> float:
    """Standard deviation over mean."""
    return float(values.std() / values.mean())


def peak_to_mean(arrival_s: np.ndarray, period_s: float) -> float:
    """Requests of the busiest whole period over the mean of the whole periods."""
    since = arrival_s - arrival_s[0]
    whole = int(since[-1] // period_s)
    counts = np.bincount((since // period_s).astype(int), minlength=whole)[:whole]
    return float(counts.max() / counts.mean())


def prefix_shares(trace: Trace) -> dict[str, tuple[float, str]]:
    """Of all prefix blocks, and of all prompt tokens, those that stood in an earlier request: what an endless cache hits that
    has every prompt at once."""
    n_blocks = np.diff(trace.prefix_starts)
    owner = np.repeat(np.arange(n_blocks.size), n_blocks)
    _, first, which = np.unique(trace.prefix_ids, return_index=True, return_inverse=True)
    seen = owner > owner[first][which]
    place = np.arange(owner.size) - trace.prefix_starts[owner]
    left = trace.input_tokens[owner] - place * trace.prefix_block_tokens
    tokens = np.clip(left, 0, trace.prefix_block_tokens)
    return {
        "prefix_blocks_seen_before": (float(seen.mean()) if seen.size else 0.0, "ratio"),
        "prefix_tokens_seen_before": (float(tokens[seen].sum() / trace.input_tokens.sum()), "ratio"),
    }
