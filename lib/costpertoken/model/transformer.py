"""Count a transformer: parameters, weight bytes, cache bytes, FLOP. Named parts first, totals from the parts.

Symbols of the formulas: L layers, d model width, H query heads, K key-value heads, h head width, E experts, k experts a
token uses, N prompt length. Counted as one multiply-add = 2 FLOP.
"""

import numpy as np

from costpertoken.model.records import Model, Precision


def n_moe_layers(model: Model) -> int:
    """Layers with routed experts."""
    if not model.n_experts:
        return 0
    return len(range(model.first_dense_layers, model.n_layers)[model.moe_every - 1 :: model.moe_every])


def attention_parameters(model: Model) -> float:
    """Projection weights of one attention block (biases apart).

    MLA (DeepSeek-V2, arXiv 2405.04434, section 2.1): queries and keys-values pass through low-rank bottlenecks.
    """
    d, H, K, h = model.d_model, model.n_heads, model.n_kv_heads, model.head_dim
    if model.attention != "mla":
        return d * H * h + 2 * d * K * h + H * h * d
    q_rank, kv_rank = model.mla_q_lora_rank, model.mla_kv_lora_rank
    nope, rope, v = model.mla_nope_dim, model.mla_rope_dim, model.mla_v_dim
    queries = q_rank * (d + H * (nope + rope)) if q_rank else d * H * (nope + rope)
    keys_values = d * (kv_rank + rope) + kv_rank * H * (nope + v)
    return queries + keys_values + H * v * d


def attention_biases(model: Model) -> float:
    """Bias terms of one attention block: `attn_bias` names the projections that have one (of q, k, v, o)."""
    if model.attn_bias == "none":
        return 0.0
    width = {
        "q": model.n_heads * model.head_dim,
        "k": model.n_kv_heads * model.head_dim,
        "v": model.n_kv_heads * model.head_dim,
        "o": model.d_model,
    }
    return float(sum(width[letter] for letter in model.attn_bias))


def norm_parameters(model: Model) -> float:
    """Scales of the layer norms: two a layer and a final one; MLA adds one for each bottleneck."""
    bottlenecks = model.mla_q_lora_rank + model.mla_kv_lora_rank
    return model.n_layers * (2 * model.d_model + bottlenecks) + model.d_model


def encoder_parameters(model: Model) -> float:
    """Encoder of an encoder-decoder model and the decoder's attention to it (convolutions left out: under 1 %)."""
    block = attention_parameters(model)
    mlp = model.mlp_matrices * model.d_model * model.d_ff
    return model.encoder_layers * (block + mlp) + (model.n_layers * block if model.encoder_layers else 0)


def parameters(model: Model) -> dict[str, float]:
    """Number of parameters by part; the parts sum to the model. Vision towers and multi-token heads are left out."""
    d, moe = model.d_model, n_moe_layers(model)
    expert = model.mlp_matrices * d * model.d_ff_expert
    dense_width = (model.dense_d_ff or model.d_ff) if moe else model.d_ff
    return {
        "embedding": float(model.vocab * d),
        "head": 0.0 if model.tied_embeddings else float(model.vocab * d),
        "attention": float(model.n_layers * (attention_parameters(model) + attention_biases(model))),
        "mlp": float((model.n_layers - moe) * model.mlp_matrices * d * dense_width),
        "experts": float(moe * model.n_experts * expert),
        "shared_experts": float(moe * model.n_shared_experts * expert),
        "router": float(moe * d * model.n_experts),
        "norms": float(norm_parameters(model)),
        "encoder": float(encoder_parameters(model)),
    }


def active_parameters(model: Model) -> dict[str, float]:
    """Parameters that one token reads, by part: of the routed experts only the k it is sent to."""
    parts = parameters(model)
    share = model.n_experts_active / model.n_experts if model.n_experts else 0.0
    return {**parts, "experts": parts["experts"] * share}


def matrix_parameters(model: Model) -> dict[str, float]:
    """Parameters that take part in matrix products, by operator class: dense, expert (all of them), head.

    The embedding is a look-up and no product; a tied head still is one.
    """
    parts = parameters(model)
    return {
        "dense": parts["attention"] + parts["mlp"] + parts["shared_experts"] + parts["router"],
        "expert": parts["experts"],
        "head": float(model.vocab * model.d_model),
    }


def weight_bytes(model: Model, precision: Precision) -> dict[str, float]:
    """Bytes of the weights in memory, by operator class; norms and embedding are kept at the head's precision."""
    parts, products = parameters(model), matrix_parameters(model)
    return {
        "dense": (products["dense"] + parts["encoder"]) * precision.dense_bytes,
        "expert": products["expert"] * precision.expert_bytes,
        "head": (parts["embedding"] + parts["head"] + parts["norms"]) * precision.head_bytes,
    }


def cache_elements_per_layer(model: Model) -> int:
    """Cached numbers a token and layer: keys and values of K heads, or MLA's compressed pair, shared by all heads."""
    if model.attention == "mla":
        return model.mla_kv_lora_rank + model.mla_rope_dim
    return 2 * model.n_kv_heads * model.head_dim


def cache_bytes_per_token(model: Model, precision: Precision) -> float:
    """Bytes that one more token of context adds to the unsharded cache while no window is full."""
    return model.n_layers * cache_elements_per_layer(model) * precision.cache_bytes


def windowed_tokens(tokens, window_share, window_tokens):
    """Mean tokens held or looked at a layer, when window_share of the layers stop at window_tokens. Shape of tokens."""
    if np.ndim(window_share) == 0 and not window_share:
        return tokens
    return (1.0 - window_share) * tokens + window_share * np.minimum(tokens, window_tokens)


def window_share(model: Model) -> float:
    """Share of the layers whose attention looks back on a window only."""
    return model.n_window_layers / model.n_layers if model.window_tokens else 0.0


def cache_bytes(model: Model, precision: Precision, context_tokens):
    """Bytes of one sequence's unsharded cache at a context length. Shape of context_tokens."""
    held = windowed_tokens(context_tokens, window_share(model), model.window_tokens)
    return cache_bytes_per_token(model, precision) * held


def cache_shards(model: Model, tp):
    """Ways in which tensor parallelism really splits the cache: KV heads are copied past their number, MLA always."""
    return np.minimum(tp, 1 if model.attention == "mla" else model.n_kv_heads)


def experts_touched_share(tokens, n_experts, n_experts_active):
    """Share of a layer's routed experts that a step of `tokens` tokens reads, if routing is uniform: 1 - (1 - k/E)^T."""
    missed = np.log1p(-np.minimum(n_experts_active / n_experts, 1.0 - 1e-12))
    return -np.expm1(tokens * missed)


def attention_flop_per_pair(model: Model, *, prefill: bool) -> float:
    """FLOP over all layers for one query token against one cached token: scores and values, 2 x 2 x H x h.

    MLA prefills with expanded heads and decodes in the compressed space (weight absorption).
    """
    H = model.n_heads
    if model.attention != "mla":
        return model.n_layers * 4.0 * H * model.head_dim
    if prefill:
        return model.n_layers * 2.0 * H * (model.mla_nope_dim + model.mla_rope_dim + model.mla_v_dim)
    return model.n_layers * 2.0 * H * (2 * model.mla_kv_lora_rank + model.mla_rope_dim)
