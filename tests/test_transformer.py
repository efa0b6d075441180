"""Counting a transformer, against published totals, papers and arithmetic by hand."""

import numpy as np
import pytest

from costpertoken import tables
from costpertoken.model import transformer

MODELS = tables.ids("models")
#: Headlines further than 2 % from the dimensions, with the reason.
ROUNDED = {
    "falcon-40b": "name only",
    "gemma-2-9b": "name only",
    "kimi-k2": "card rounds to 1T",
    "llama-2-7b": "name only",
    "llama-3.2-1b": "name only: 1.24B",
    "llama-3.2-3b": "name only: 3.21B",
    "mistral-7b": "name only: 7.24B",
    "phi-4": "name only: 14.7B",
    "qwen2.5-32b": "name only",
    "qwen2.5-7b": "name only: 7.6B",
}


@pytest.mark.parametrize("model_id", MODELS)
def test_recomputed_total_equals_the_table(model_id):
    row = tables.read("models").set_index("id").loc[model_id]
    counted = transformer.parameters(tables.model(model_id))
    assert sum(counted.values()) / 1e9 == pytest.approx(row["params_total_b"], rel=1e-3)
    active = transformer.active_parameters(tables.model(model_id))
    assert sum(active.values()) / 1e9 == pytest.approx(row["params_active_b"], rel=1e-3)


HEADLINES = tables.read("models").dropna(subset=["params_published_b"]).set_index("id")["params_published_b"].to_dict()


def last_digit(value: float) -> float:
    """Size of one unit of the last digit that is not zero: 1 of 7, 10 of 40, 0.1 of 8.2."""
    digits = f"{value:.6g}"
    if "." in digits:
        return 10.0 ** -len(digits.split(".")[1])
    return 10.0 ** (len(digits) - len(digits.rstrip("0")))


@pytest.mark.parametrize(("model_id", "published"), HEADLINES.items())
def test_recomputed_total_agrees_with_the_published_headline(model_id, published):
    total = sum(transformer.parameters(tables.model(model_id)).values()) / 1e9
    allowed = last_digit(published) if model_id in ROUNDED else 0.02 * published
    assert abs(total - published) < allowed


def test_llama_3_8b_by_hand():
    parts = transformer.parameters(tables.model("llama-3-8b"))
    assert parts["embedding"] == parts["head"] == 128256 * 4096
    assert parts["attention"] == 32 * (4096 * 4096 * 2 + 2 * 4096 * 8 * 128)
    assert parts["mlp"] == 32 * 3 * 4096 * 14336
    assert sum(parts.values()) == 8_030_261_248  # the checkpoint's own count


def test_mla_cache_is_what_the_paper_prints():
    # DeepSeek-V3: 576 elements a layer, 61 layers = 35.1 thousand elements a token (DeepSeek-V2, table 1: 34.6K for 60 layers)
    assert transformer.cache_elements_per_layer(tables.model("deepseek-v3")) * 61 == 35_136
    assert transformer.cache_elements_per_layer(tables.model("deepseek-v2")) * 60 == 34_560


@pytest.mark.parametrize(
    ("model_id", "expected"), [("llama-2-7b", 524_288), ("llama-3-70b", 327_680), ("llama-3-8b", 131_072)]
)
def test_cache_bytes_per_token_by_hand(model_id, expected):
    assert transformer.cache_bytes_per_token(tables.model(model_id), tables.precision("bf16")) == expected


def test_grouped_queries_shrink_the_cache_eightfold():
    model = tables.model("llama-3-70b")
    assert 2 * model.n_heads * model.head_dim / transformer.cache_elements_per_layer(model) == 8


def test_windowed_layers_stop_growing():
    share = transformer.window_share(tables.model("gpt-oss-20b"))
    short, long = transformer.windowed_tokens(np.array([100.0, 100_000.0]), share, 128)
    assert short == 100
    assert long == pytest.approx(0.5 * 100_000 + 0.5 * 128)


def test_cache_is_copied_past_the_kv_heads_and_always_for_mla():
    assert list(transformer.cache_shards(tables.model("llama-3-70b"), np.array([1, 8, 16]))) == [1, 8, 8]
    assert list(transformer.cache_shards(tables.model("deepseek-v3"), np.array([1, 8]))) == [1, 1]


def test_experts_touched_ends():
    assert transformer.experts_touched_share(1.0, 8, 2) == pytest.approx(2 / 8)
    assert transformer.experts_touched_share(2.0, 8, 2) == pytest.approx(1 - 0.75**2)
    assert transformer.experts_touched_share(1e6, 8, 2) == pytest.approx(1.0)


def test_experts_touched_agrees_with_a_draw():
    draw = np.random.default_rng(0)
    distinct = [len(set(np.concatenate([draw.choice(128, 8, replace=False) for _ in range(16)]))) for _ in range(400)]
    assert transformer.experts_touched_share(16.0, 128, 8) == pytest.approx(np.mean(distinct) / 128, rel=0.01)


def test_weight_bytes_of_405b_in_fp8():
    # 403.7B of products at 1 byte (less the head) and two 16-bit tables of 128256 x 16384
    total = sum(transformer.weight_bytes(tables.model("llama-3.1-405b"), tables.precision("fp8")).values())
    assert total == pytest.approx(405.85e9 + 2 * 128256 * 16384, rel=1e-3)
