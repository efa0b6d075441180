"""Optimizations of serving, each a change of a Setup's inputs and never a factor; and the floors that none can pass.

What a lever gains is found by `setup.run` after it: a lever that changes nothing that binds gains nothing.
"""

from dataclasses import replace

from costpertoken.model.counts import count
from costpertoken.model.records import InputError, Model, check_range
from costpertoken.model.roofline import held_tokens
from costpertoken.model.setup import Memory, Setup
from costpertoken.model.speculation import accepted_tokens
from costpertoken.model.transformer import experts_touched_share


def grouped_bits(*, bits, group_size, scale_bits, zero_bits):
    """Bits a weight with its group's metadata: a scale and a zero point for every group (GPTQ, AWQ, block formats)."""
    check_range("bits", bits, low=1, high=32)
    check_range("group_size", group_size, low=1)
    return bits + (scale_bits + zero_bits) / group_size


def with_model(setup: Setup, *, model: Model) -> Setup:
    """Another model, such as a mixture of experts in place of a dense one. Quality is not the model's to say."""
    return replace(setup, deployment=replace(setup.deployment, model=model))


def share_heads(setup: Setup, *, n_kv_heads: int) -> Setup:
    """Fewer key-value heads, each shared by several query heads: one is multi-query attention, some are grouped-query."""
    model = setup.deployment.model
    if model.attention == "mla":
        raise InputError(
            f"n_kv_heads is {n_kv_heads}; {model.id} caches latents, whose number of heads does not matter"
        )
    if n_kv_heads < 1 or model.n_heads % n_kv_heads:
        ways = [n for n in range(1, model.n_heads + 1) if model.n_heads % n == 0]
        raise InputError(f"n_kv_heads is {n_kv_heads}; expected a divisor of {model.n_heads} query heads: {ways}")
    return with_model(setup, model=replace(model, n_kv_heads=n_kv_heads))


def compress_cache(setup: Setup, *, rank: int, rope_dim: int) -> Setup:
    """Multi-head latent attention (arXiv 2405.04434): one latent of `rank` and a rotary key, for all heads of a layer."""
    model = setup.deployment.model
    widths = {"mla_nope_dim": model.head_dim, "mla_v_dim": model.head_dim, "mla_rope_dim": rope_dim}
    return with_model(setup, model=replace(model, attention="mla", mla_kv_lora_rank=rank, attn_bias="none", **widths))


def reserve(setup: Setup, *, reserved_tokens, fragmentation=0.0) -> Setup:
    """Each sequence in one stretch of memory for the longest that it might become: serving before paging."""
    return replace(setup, memory=Memory(reserved_tokens=reserved_tokens, fragmentation=fragmentation))


def page(setup: Setup, *, block_tokens: int) -> Setup:
    """PagedAttention (arXiv 2309.06180): blocks as the sequence grows, half of the last one empty in the mean."""
    return replace(setup, memory=Memory(block_tokens=block_tokens))


def cache_prefixes(setup: Setup, *, cached_share, n_prefixes) -> Setup:
    """Prompts begin with a prefix already computed. n_prefixes: how many different ones memory then holds, once each."""
    return replace(setup, workload=replace(setup.workload, cached_share=cached_share), n_prefixes=n_prefixes)


def write_scores(setup: Setup, *, passes) -> Setup:
    """Attention that writes its scores to memory and reads them again; none: fused (FlashAttention, arXiv 2205.14135)."""
    return replace(setup, score_passes=passes)


def compute_floor_s(setup: Setup):
    """Accelerator seconds of a request at 100 % of peak: the FLOP of its own tokens, nothing drafted, moved or waited for.

    No lever passes it that leaves model, formats and prompt as they are; those that change them move it.
    """
    work, counts = setup.workload, count(setup.deployment)
    fresh, osl = work.input_tokens * (1.0 - work.cached_share), work.output_tokens
    flop_s = sum(
        tokens * getattr(counts, f"{name}_flop_per_token") / getattr(counts, f"{name}_flop_per_s")
        for name, tokens in (("dense", fresh + osl), ("expert", fresh + osl), ("head", osl))
    )
    prompt = (
        fresh * held_tokens(counts, 0.5 * work.input_tokens * (1.0 + work.cached_share)) * counts.prefill_flop_per_pair
    )
    answer = osl * held_tokens(counts, work.input_tokens + 0.5 * osl) * counts.decode_flop_per_pair
    return counts.tp * (flop_s + (prompt + answer) / counts.head_flop_per_s)


def cache_floor_s(setup: Setup):
    """Accelerator seconds of a request at 100 % of bandwidth, were the batch endless: its own cache, once a round."""
    work, counts, drafts = setup.workload, count(setup.deployment), setup.speculation
    yielded = accepted_tokens(acceptance=drafts.acceptance, draft_tokens=drafts.draft_tokens) if drafts else 1.0
    read = held_tokens(counts, work.input_tokens + 0.5 * work.output_tokens) * counts.cache_bytes_per_token
    return counts.tp * work.output_tokens / yielded * read / counts.memory_bytes_per_s


def byte_floor_s(setup: Setup, *, batch):
    """Accelerator seconds of a request at 100 % of bandwidth with `batch` in flight: the weights once a round for all of
    them, and its own cache; prompts read nothing more, their tokens riding along."""
    counts, drafts = count(setup.deployment), setup.speculation
    yielded = accepted_tokens(acceptance=drafts.acceptance, draft_tokens=drafts.draft_tokens) if drafts else 1.0
    touched = experts_touched_share(batch, counts.n_experts, counts.n_experts_active)
    read = counts.dense_bytes + counts.head_bytes + counts.expert_bytes * touched
    reading_s = setup.workload.output_tokens / yielded * read / counts.memory_bytes_per_s
    return counts.tp * counts.dp * reading_s / batch + cache_floor_s(setup)
