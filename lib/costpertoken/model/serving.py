"""What fits, how large the batch gets, and what the engine then delivers.

The main function is `serve`: continuous batching in steady state. It broadcasts over its knobs; what does not fit is NaN,
with the reason in `status`.
"""

from dataclasses import dataclass, replace

import numpy as np

from costpertoken.model.counts import Counts, count
from costpertoken.model.records import Deployment, Efficiency, InputError, check_range
from costpertoken.model.roofline import Step, held_tokens, step_of

#: Serving.status: 0 serves, otherwise why not.
STATUS = ("ok", "weights do not fit", "cache of one request does not fit", "longer than the model's context")
#: Serving.limit: what stopped the batch from growing.
LIMITS = ("demand", "memory", "engine")


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Bytes of one accelerator: usable memory, weights, what is left for the cache."""

    usable_bytes: np.ndarray
    weight_bytes: np.ndarray
    cache_bytes: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Steady state of one replica (tp x pp x dp accelerators). Arrays of the knobs' shape; NaN where status is not 0."""

    n_accelerators: np.ndarray
    batch: np.ndarray
    step: Step
    tpot_s: np.ndarray
    ttft_s: np.ndarray
    requests_per_s: np.ndarray
    output_tok_per_s: np.ndarray
    input_tok_per_s: np.ndarray
    cached_tok_per_s: np.ndarray
    status: np.ndarray
    limit: np.ndarray


def capacity(deployment: Deployment) -> Capacity:
    """Memory of one accelerator: usable share, less weights, less the reserve (activations, graphs, buffers)."""
    return capacity_of(count(deployment), deployment.efficiency)


def capacity_of(counts: Counts, efficiency: Efficiency) -> Capacity:
    """`capacity` from counts."""
    usable = counts.memory_bytes * efficiency.memory_usable
    left = usable - efficiency.reserve_bytes - counts.held_bytes
    return Capacity(usable_bytes=usable + 0.0 * left, weight_bytes=counts.held_bytes, cache_bytes=left)


def batch_limit(deployment: Deployment, *, input_tokens, output_tokens):
    """Sequences whose cache fits in one replica, each held at its prompt and the reserved share of its output.

    Left out: what sharing a cached prefix between sequences frees (each is counted whole).
    """
    return batch_limit_of(count(deployment), deployment.efficiency, input_tokens, output_tokens)


def batch_limit_of(counts: Counts, efficiency: Efficiency, input_tokens, output_tokens):
    """`batch_limit` from counts."""
    return room_of(counts, efficiency, input_tokens + efficiency.output_reserved * output_tokens)


def room_of(counts: Counts, efficiency: Efficiency, full):
    """Sequences of `full` tokens that the cache holds; each stage of a pipeline holds its layers' share of every sequence."""
    held = efficiency.window_held * full + (1.0 - efficiency.window_held) * held_tokens(counts, full)
    local = held * counts.cache_bytes_per_token / counts.pp
    return capacity_of(counts, efficiency).cache_bytes / local * counts.dp


def fit_status(counts: Counts, efficiency: Efficiency, batch_max, input_tokens, output_tokens):
    """Index into STATUS."""
    no_weights = capacity_of(counts, efficiency).cache_bytes <= 0
    too_long = input_tokens + output_tokens > counts.max_context
    return np.where(too_long, 3, np.where(no_weights, 1, np.where(batch_max < 1.0, 2, 0)))


def serve(deployment: Deployment, *, input_tokens, output_tokens, concurrency=None, cached_share=0.0) -> Serving:
    """Steady state of continuous batching: every step decodes the batch and prefills what replaces finished requests.

    concurrency: requests in flight at once, or None for a backlog (memory and the engine decide). cached_share: share
    of input tokens whose prefix is already in the cache. Requests beyond the batch wait for a place, which is in TTFT;
    queueing of uneven arrivals is left out. Raises InputError for a knob out of range, with its name.
    """
    check_range("input_tokens", input_tokens, low=1)
    check_range("output_tokens", output_tokens, low=1)
    check_range("cached_share", cached_share, high=0.999)
    demand = np.inf if concurrency is None else check_range("concurrency", concurrency, low=1)
    return steady_state(count(deployment), deployment.efficiency, input_tokens, output_tokens, demand, cached_share)


def steady_state(counts: Counts, efficiency: Efficiency, isl, osl, demand, hit=0.0) -> Serving:
    """`serve` from counts, unchecked. A batch b finishes b / osl requests a step, and prefills what replaces them.

    TPOT is the decode step with the share of the prompt work that it waits for; the rate counts all of that work.
    """
    batch, status, limit = steady_batch(counts, efficiency, isl, osl, demand)
    fresh, context = isl * (1.0 - hit), isl + 0.5 * osl
    pairs = isl * hit + 0.5 * fresh
    prompts = {"prefill_tokens": batch * fresh / osl, "pairs_per_token": pairs}
    mixed = step_of(counts, efficiency, decode=batch, context_tokens=context, **prompts)
    decode_s = step_of(counts, efficiency, decode=batch, context_tokens=context).step_s
    requests = batch / (osl * mixed.step_s)
    return Serving(
        n_accelerators=counts.tp * counts.pp * counts.dp,
        batch=batch,
        step=mixed,
        tpot_s=decode_s + efficiency.prefill_stall * (mixed.step_s - decode_s),
        ttft_s=first_token_seconds(counts, efficiency, mixed.step_s, batch, fresh, pairs, osl, demand),
        requests_per_s=requests,
        output_tok_per_s=requests * osl,
        input_tok_per_s=requests * fresh,
        cached_tok_per_s=requests * isl * hit,
        status=status,
        limit=limit,
    )


def steady_batch(counts: Counts, efficiency: Efficiency, isl, osl, demand):
    """(batch, status, limit): the smallest of demand, memory and the engine's cap; NaN where nothing fits."""
    room = batch_limit_of(counts, efficiency, isl, osl)
    status = fit_status(counts, efficiency, room, isl, osl)
    engine = efficiency.max_batch * counts.dp
    batch = np.where(status == 0, np.minimum(np.minimum(demand, room), engine), np.nan)
    return batch, status, np.where(demand <= np.minimum(room, engine), 0, np.where(room <= engine, 1, 2))


def first_token_seconds(counts: Counts, efficiency: Efficiency, step_s, batch, fresh, pairs, osl, demand):
    """TTFT: the service's base, the steps waited for, the own prompt, the prompts ahead of it, and the wait for a place.

    Requests in flight beyond the batch wait for a place; Little's law gives osl x step x (demand / batch - 1). With a
    backlog the queue is as long as one likes, so that wait is left out.
    """
    prompt = {"prefill_tokens": fresh, "pairs_per_token": pairs}
    prompt_s = step_of(counts, efficiency, decode=0.0, context_tokens=0.0, **prompt).step_s
    over = np.where(np.isinf(demand), 0.0, np.maximum(demand / batch - 1.0, 0.0))
    queue_s = osl * step_s * over
    ahead = efficiency.ttft_own + efficiency.ttft_burst * batch
    return efficiency.ttft_base_s + efficiency.ttft_steps * step_s + ahead * prompt_s + efficiency.ttft_queue * queue_s


def serve_static(deployment: Deployment, *, input_tokens, output_tokens, batch) -> Serving:
    """A static batch: prefill all prompts, then decode all sequences to the last token, then start the next batch.

    A batch larger than memory holds runs in waves of what fits.
    """
    check_range("input_tokens", input_tokens, low=1)
    check_range("output_tokens", output_tokens, low=1)
    check_range("batch", batch, low=1)
    return static_state(count(deployment), deployment.efficiency, input_tokens, output_tokens, batch)


def static_state(counts: Counts, efficiency: Efficiency, isl, osl, batch) -> Serving:
    """`serve_static` from counts, unchecked."""
    held, status, limit = steady_batch(counts, efficiency, isl, osl, batch)
    first = step_of(
        counts, efficiency, decode=0.0, context_tokens=isl, prefill_tokens=held * isl, pairs_per_token=0.5 * isl
    )
    decode = step_of(counts, efficiency, decode=held, context_tokens=isl + 0.5 * osl)
    requests = held / (first.step_s + osl * decode.step_s)
    return Serving(
        n_accelerators=counts.tp * counts.pp * counts.dp,
        batch=held,
        step=decode,
        tpot_s=decode.step_s,
        ttft_s=first.step_s,
        requests_per_s=requests,
        output_tok_per_s=requests * osl,
        input_tok_per_s=requests * isl,
        cached_tok_per_s=0.0 * requests,
        status=status,
        limit=limit,
    )


def smallest_fit(deployment: Deployment, *, input_tokens, output_tokens, degrees=(1, 2, 4, 8, 16)) -> int | None:
    """Smallest tensor-parallel degree at which one request fits, or None."""
    for tp in degrees:
        try:
            wider = replace(deployment, tp=tp)
        except InputError:
            continue
        if np.all(batch_limit(wider, input_tokens=input_tokens, output_tokens=output_tokens) >= 1.0):
            return tp
    return None
