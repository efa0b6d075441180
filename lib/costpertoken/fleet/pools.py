"""Disaggregated serving: one pool of replicas prefills, another decodes, and the cache crosses the network between them."""

from dataclasses import dataclass

import numpy as np

from costpertoken.model.counts import count
from costpertoken.model.records import Deployment, InputError, check_range
from costpertoken.model.roofline import held_tokens, step_of
from costpertoken.model.serving import steady_batch


@dataclass(frozen=True, kw_only=True)
class Pools:
    """Steady state of one decode replica with the share of a prefill replica that feeds it. Rates are of that unit."""

    prefill_per_decode: np.ndarray  # prefill replicas for each decode replica, so that both are busy
    n_accelerators: np.ndarray  # of both pools, for one decode replica
    batch: np.ndarray
    tpot_s: np.ndarray
    ttft_s: np.ndarray
    transfer_s: np.ndarray
    requests_per_s: np.ndarray
    output_tok_per_s: np.ndarray
    status: np.ndarray


def disaggregate(
    prefill: Deployment, decode: Deployment, *, input_tokens, output_tokens, transfer_bytes_per_s, concurrency=None
) -> Pools:
    """Two pools in balance: as many prefill replicas as keep a decode replica's batch full.

    A prefill replica runs one prompt after another; a decode replica decodes only, at the batch that its memory, the engine
    or the concurrency (of one decode replica) allows. The prompt's cache is sent once, at transfer_bytes_per_s for each
    accelerator of the sending replica; it delays the first token, and a link slower than the prompts stretches them. Left
    out: queueing between the pools. NaN where a pool does not fit (status, as in serving.STATUS).
    """
    demand = np.inf if concurrency is None else check_range("concurrency", concurrency, low=1)
    check_pools(prefill, decode, input_tokens, output_tokens, transfer_bytes_per_s)
    isl, osl, counts = input_tokens, output_tokens, count(decode)
    prompt_s, transfer_s, sending = prefill_pool(prefill, isl, transfer_bytes_per_s)
    batch, status, _ = steady_batch(counts, decode.efficiency, isl, osl, demand)
    step_s = step_of(counts, decode.efficiency, decode=batch, context_tokens=isl + 0.5 * osl).step_s
    requests = np.where(sending == 0, batch / (osl * step_s), np.nan)
    ratio = requests * np.maximum(prompt_s, transfer_s)
    return Pools(
        prefill_per_decode=ratio,
        n_accelerators=ratio * prefill.tp * prefill.pp * prefill.dp + decode.tp * decode.pp * decode.dp,
        batch=batch,
        tpot_s=step_s,
        ttft_s=prefill.efficiency.ttft_base_s + prompt_s + transfer_s + step_s,
        transfer_s=transfer_s,
        requests_per_s=requests,
        output_tok_per_s=requests * osl,
        status=np.where(status == 0, sending, status),
    )


def check_pools(prefill: Deployment, decode: Deployment, input_tokens, output_tokens, transfer_bytes_per_s) -> None:
    """Refuse lengths and rates out of range, and two pools that serve two models."""
    check_range("input_tokens", input_tokens, low=1)
    check_range("output_tokens", output_tokens, low=1)
    check_range("transfer_bytes_per_s", transfer_bytes_per_s, exclusive=True)
    if prefill.model.id != decode.model.id:
        raise InputError(
            f"prefill serves {prefill.model.id} and decode {decode.model.id}; expected one model in both pools"
        )


def prefill_pool(deployment: Deployment, isl, transfer_bytes_per_s):
    """(seconds of one prompt, seconds to send its cache, status) on one prefill replica."""
    counts = count(deployment)
    prompt = {"prefill_tokens": isl, "pairs_per_token": 0.5 * isl}
    prompt_s = step_of(counts, deployment.efficiency, decode=0.0, context_tokens=0.0, **prompt).step_s
    transfer_s = held_tokens(counts, isl) * counts.cache_bytes_per_token / transfer_bytes_per_s
    return prompt_s, transfer_s, steady_batch(counts, deployment.efficiency, isl, 1.0, 1.0)[1]
