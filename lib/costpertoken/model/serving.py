"""What fits, how large the batch gets, and what the engine then delivers.

The main function is `serve`: continuous batching in steady state. It broadcasts over its knobs; what does not fit is NaN,
with the reason in `status`.
"""

from dataclasses import dataclass, replace

import numpy as np

from costpertoken.model import transformer
from costpertoken.model.records import Deployment, InputError, check_range
from costpertoken.model.roofline import Step, step

#: Serving.status: 0 serves, otherwise why not.
STATUS = ("ok", "weights do not fit", "cache of one request does not fit", "longer than the model's context")
#: Serving.limit: what stopped the batch from growing.
LIMITS = ("demand", "memory", "engine")


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Bytes of one accelerator: usable memory, weights, what is left for the cache; and the cache bytes of one token."""

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
    model, precision, efficiency = deployment.model, deployment.precision, deployment.efficiency
    parts = transformer.weight_bytes(model, precision)
    ranks = deployment.tp * deployment.pp
    held = (parts["dense"] + parts["head"]) / ranks + parts["expert"] / (ranks * deployment.dp)
    usable = deployment.accelerator.memory_bytes * efficiency.memory_usable
    return Capacity(
        usable_bytes=usable + 0.0 * held, weight_bytes=held, cache_bytes=usable - efficiency.reserve_bytes - held
    )


def batch_limit(deployment: Deployment, *, input_tokens, output_tokens):
    """Sequences whose cache fits in one replica, each held at its prompt and the reserved share of its output.

    Left out: what sharing a cached prefix between sequences frees (each is counted whole).
    """
    held_tokens = input_tokens + deployment.efficiency.output_reserved * output_tokens
    sequence = transformer.cache_bytes(deployment.model, deployment.precision, held_tokens)
    local = sequence / transformer.cache_shards(deployment.model, deployment.tp) / deployment.pp
    return capacity(deployment).cache_bytes / local * deployment.dp


def fit_status(deployment: Deployment, batch_max, *, input_tokens, output_tokens):
    """Index into STATUS."""
    no_weights = capacity(deployment).cache_bytes <= 0
    too_long = input_tokens + output_tokens > deployment.model.max_context
    return np.where(too_long, 3, np.where(no_weights, 1, np.where(batch_max < 1.0, 2, 0)))


def serve(deployment: Deployment, *, input_tokens, output_tokens, concurrency=None, cached_share=0.0) -> Serving:
    """Steady state of continuous batching: every step decodes the batch and prefills what replaces finished requests.

    concurrency: requests in flight at once, or None for a backlog (memory and the engine decide). cached_share: share
    of input tokens whose prefix is already in the cache. In a steady state a batch b finishes b / output requests a
    step, so it prefills b x input x (1 - cached) / output tokens. Queueing before admission is left out.
    """
    isl, osl = check_range("input_tokens", input_tokens, low=1), check_range("output_tokens", output_tokens, low=1)
    hit = check_range("cached_share", cached_share, high=0.999)
    batch, status, limit = steady_batch(deployment, isl, osl, concurrency)
    fresh, context = isl * (1.0 - hit), isl + 0.5 * osl
    pairs = transformer.prefill_pairs_per_token(deployment.model, fresh, isl * hit)
    prompts = {"prefill_tokens": batch * fresh / osl, "pairs_per_token": pairs}
    mixed = step(deployment, decode=batch, context_tokens=context, **prompts)
    requests = batch / (osl * mixed.step_s)
    return Serving(
        n_accelerators=deployment.tp * deployment.pp * deployment.dp,
        batch=batch,
        step=mixed,
        tpot_s=mixed.step_s,
        ttft_s=first_token_seconds(deployment, mixed, batch, fresh, pairs, context),
        requests_per_s=requests,
        output_tok_per_s=requests * osl,
        input_tok_per_s=requests * fresh,
        cached_tok_per_s=requests * isl * hit,
        status=status,
        limit=limit,
    )


def steady_batch(deployment: Deployment, input_tokens, output_tokens, concurrency):
    """(batch, status, limit): the smallest of demand, memory and the engine's cap; NaN where nothing fits."""
    demand = np.inf if concurrency is None else check_range("concurrency", concurrency, low=1)
    room = batch_limit(deployment, input_tokens=input_tokens, output_tokens=output_tokens)
    status = fit_status(deployment, room, input_tokens=input_tokens, output_tokens=output_tokens)
    engine = deployment.efficiency.max_batch * deployment.dp
    batch = np.where(status == 0, np.minimum(np.minimum(demand, room), engine), np.nan)
    return batch, status, np.where(demand <= np.minimum(room, engine), 0, np.where(room <= engine, 1, 2))


def first_token_seconds(deployment: Deployment, mixed: Step, batch, fresh, pairs, context_tokens):
    """TTFT of an admitted request: half a step of waiting, then the steps that carry its prompt chunk by chunk."""
    chunk = np.minimum(fresh, deployment.efficiency.chunk_tokens)
    own = step(deployment, decode=batch, context_tokens=context_tokens, prefill_tokens=chunk, pairs_per_token=pairs)
    return 0.5 * mixed.step_s + own.step_s * fresh / chunk


def serve_static(deployment: Deployment, *, input_tokens, output_tokens, batch) -> Serving:
    """A static batch: prefill all prompts, then decode all sequences to the last token, then start the next batch.

    The batch is given, and is not cut down to memory: where it does not fit the figures are NaN and status is 2.
    """
    isl, osl = check_range("input_tokens", input_tokens, low=1), check_range("output_tokens", output_tokens, low=1)
    check_range("batch", batch, low=1)
    room = batch_limit(deployment, input_tokens=isl, output_tokens=osl)
    status = fit_status(deployment, np.where(room >= batch, room, 0.0), input_tokens=isl, output_tokens=osl)
    held = np.where(status == 0, batch, np.nan)
    pairs = transformer.prefill_pairs_per_token(deployment.model, isl)
    first = step(deployment, decode=0.0, context_tokens=isl, prefill_tokens=held * isl, pairs_per_token=pairs)
    decode = step(deployment, decode=held, context_tokens=isl + 0.5 * osl)
    requests = held / (first.step_s + osl * decode.step_s)
    return Serving(
        n_accelerators=deployment.tp * deployment.pp * deployment.dp,
        batch=held,
        step=decode,
        tpot_s=decode.step_s,
        ttft_s=first.step_s,
        requests_per_s=requests,
        output_tok_per_s=requests * osl,
        input_tok_per_s=requests * isl,
        cached_tok_per_s=0.0 * requests,
        status=status,
        limit=np.zeros_like(status),
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
