"""Claims of the chapter on the KV cache: what sharing heads and paging make of its bytes, and how many users then fit."""

import math
from dataclasses import replace

from costpertoken import tables
from costpertoken.evidence.claims import check
from costpertoken.evidence.scenario import placed
from costpertoken.model.counts import count
from costpertoken.model.levers import page, reserve, share_heads
from costpertoken.model.records import Workload
from costpertoken.model.setup import Setup, run

#: What a cut of waste is a share of.
OF_ITSELF, OF_MEMORY, SHARED = "of the waste", "of the memory", "memory shared between samples"


def all_heads(at):
    """A deployment whose model has a key-value head for each query head, as before they were shared."""
    return replace(at, model=replace(at.model, n_kv_heads=at.model.n_heads))


@check("heads-ratio")
def heads_ratio(*, model, tp, n_kv_heads):
    """Cache bytes of a token on one accelerator with all heads of their own over those with n_kv_heads, which tensor
    parallelism splits as far as there are heads and copies beyond."""
    at = placed(model, "h100-sxm")  # bytes are the same on every accelerator
    if at.model.n_heads % tp or at.model.n_heads % n_kv_heads:
        return math.nan
    whole = all_heads(replace(at, tp=int(tp)))
    fewer = share_heads(
        Setup(deployment=whole, workload=Workload(input_tokens=1, output_tokens=1)), n_kv_heads=int(n_kv_heads)
    )
    return float(count(whole).cache_bytes_per_token / count(fewer.deployment).cache_bytes_per_token)


@check("waste-cut")
def waste_cut(*, before, after, reading):
    """Cut of the memory wasted on caches, in per cent, before and after paging; or what another feature saves, looked up."""
    if reading == SHARED:
        rows = tables.read("techniques").query("technique == 'paged-attention'").set_index("quantity")
        return float(rows.loc["memory saved by sharing in parallel sampling and beam search", "value"])
    return before - after if reading == OF_MEMORY else 100 * (1 - after / before)


def users(setup: Setup) -> float:
    """Requests that memory holds; NaN where it holds none."""
    pool = run(setup).pools[0][1]
    return math.nan if int(pool.status) else float(pool.room)


@check("users-ratio")
def users_ratio(
    *, model, accelerator, weights, tp, n_kv_heads, reserved_tokens, fragmentation, input_tokens, output_tokens
):
    """Requests that fit with shared heads and paging over those that fit with a stretch for each and a key-value head for each
    query head. kv heads "own": those that the model has."""
    at = replace(placed(model, accelerator, weights=weights), tp=int(tp))
    load = Workload(input_tokens=input_tokens, output_tokens=output_tokens)
    before = reserve(
        Setup(deployment=all_heads(at), workload=load), reserved_tokens=reserved_tokens, fragmentation=fragmentation
    )
    heads = at.model.n_kv_heads if n_kv_heads == "own" else int(n_kv_heads)
    after = share_heads(page(before, block_tokens=int(block_tokens())), n_kv_heads=heads)
    return users(after) / users(before)


@tables.of_tables
def block_tokens() -> float:
    """Tokens of a block in data/levers.csv."""
    rows = tables.read("levers").query("lever == 'paging'").set_index("setting")["value"]
    return float(rows["block_tokens"])
