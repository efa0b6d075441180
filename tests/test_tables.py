"""What tables turn rows into: units scaled by hand, medians recounted, formats, constants and engines."""

import csv
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from costpertoken import tables
from costpertoken.answers import estimate as one
from costpertoken.model.counts import count, stack
from costpertoken.model.records import Efficiency, InputError, UnknownName
from costpertoken.model.serving import steady_state
from costpertoken.model.transformer import parameters, weight_bytes
from costpertoken.money.cost import allocate

DATA = Path(__file__).resolve().parents[1] / "data"


def raw(table: str) -> list[dict[str, str]]:
    """The rows of a table, without the reader under test."""
    with (DATA / f"{table}.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


# ---- reading


def test_a_copy_does_not_change_the_table():
    mine = tables.read("models")
    mine["id"] = "spoilt"
    assert "llama-3.1-70b" in set(tables.read("models")["id"])


@pytest.mark.parametrize("table", sorted(path.stem for path in DATA.glob("*.csv")))
def test_every_table_reads_as_the_codebook_types_it(table):
    frame, rows = tables.read(table), raw(table)
    kinds = {row["column"]: row["type"] for row in raw("codebook") if row["table"] == table}
    assert len(frame) == len(rows)
    for column, kind in kinds.items():
        dtype = {"int": "f", "float": "f", "bool": "b"}.get(kind)
        assert dtype is None or frame[column].dtype.kind == dtype, column
        blank = [row[column] == "" for row in rows]
        assert dtype != "f" or frame[column].isna().tolist() == blank


def test_nearest_names_come_first():
    known = ["h100-sxm", "h100-pcie", "mi300x", "l4"]
    assert tables.nearest("h100", known).startswith("h100")
    assert tables.nearest("H100-SXM", known).startswith("h100-sxm")
    assert tables.nearest("zzzzzz", known).endswith("...")


@pytest.mark.parametrize("make", [tables.model, tables.accelerator, tables.precision, tables.source])
def test_an_unknown_id_is_refused(make):
    with pytest.raises(UnknownName, match="'nosuch'; nearest: "):
        make("nosuch")


def test_data_date_is_the_newest_of_the_edition():
    named = ("accelerators", "models", "gpu_prices", "ownership", "efficiency")
    assert tables.data_date() == max(row["as_of"] for table in named for row in raw(table))


def test_sources_are_those_of_the_rows_each_once():
    rows = tables.read("accelerators").query("id in ['h100-sxm', 'h200-sxm', 'l40s']")
    found = tables.sources(rows, rows)
    assert sorted(found["id"]) == sorted(set(rows["source"]))
    assert tables.source(found["id"][0]).title == found["title"][0]


# ---- units, by hand


def test_h100_in_base_units():
    """80 GB, 3.35 TB/s, 989 TFLOPS dense in BF16, 900 GB/s both ways, PCIe 128 GB/s both ways."""
    h100 = tables.accelerator("h100-sxm")
    assert h100.memory_bytes == 80e9
    assert h100.memory_bytes_per_s == 3.35e12
    assert h100.peak_flop_per_s["bf16"] == pytest.approx(989e12)
    assert h100.link_bytes_per_s == 450e9
    assert h100.pcie_bytes_per_s == 64e9
    assert (h100.link_domain, h100.tdp_w) == (8, 700)


def test_what_was_never_read_is_not_zero():
    assert "bf16" not in tables.accelerator("t4").peak_flop_per_s
    l40s = tables.accelerator("l40s")
    assert (l40s.link_bytes_per_s, l40s.link_domain, l40s.pcie_bytes_per_s) == (0, 1, 32e9)


@pytest.mark.parametrize("accelerator_id", tables.ids("accelerators"))
def test_every_accelerator_has_its_own_figures(accelerator_id):
    row, machine = next(r for r in raw("accelerators") if r["id"] == accelerator_id), tables.accelerator(accelerator_id)
    assert machine.memory_bytes == pytest.approx(float(row["memory_gb"]) * 1e9)
    assert machine.memory_bytes_per_s == pytest.approx(float(row["memory_gb_s"]) * 1e9)
    stated = {
        name.removeprefix("peak_tflops_"): float(row[name]) * 1e12 for name in row if name[:5] == "peak_" and row[name]
    }
    assert machine.peak_flop_per_s == pytest.approx(stated)
    assert machine.link_bytes_per_s == pytest.approx(float(row["link_gb_s"] or 0) / 2 * 1e9)


# ---- precisions, by hand


def test_fp8_keeps_its_head_at_two_bytes():
    fp8 = tables.precision("fp8")
    assert (fp8.dense_bytes, fp8.expert_bytes, fp8.head_bytes, fp8.cache_bytes) == (1, 1, 2, 1)
    assert (fp8.dense_math, fp8.expert_math, fp8.head_math) == ("fp8", "fp8", "bf16")


def test_mxfp4_is_for_experts_only():
    """4 bits and one 8-bit scale for 32 values: 4.25 bits, 0.53125 bytes; products at 16 bits."""
    mxfp4 = tables.precision("mxfp4")
    assert (mxfp4.expert_bytes, mxfp4.dense_bytes, mxfp4.head_bytes) == (0.53125, 2, 2)
    assert (mxfp4.expert_math, mxfp4.dense_math) == ("bf16", "bf16")


def test_bytes_of_a_checkpoint_in_mxfp4():
    model = tables.model("gpt-oss-120b")
    parts, held = parameters(model), weight_bytes(model, tables.precision(tables.native_precision(model)))
    assert held["expert"] == pytest.approx(parts["experts"] * 0.53125)
    assert sum(held.values()) == pytest.approx(
        parts["experts"] * 0.53125 + 2 * (sum(parts.values()) - parts["experts"])
    )


def test_weight_only_formats_multiply_at_sixteen_bits():
    int4 = tables.precision("int4")
    assert int4.dense_bytes == pytest.approx((4 + 20 / 128) / 8)
    assert (int4.dense_math, int4.cache_bytes) == ("bf16", 2)


def test_activations_and_cache_can_be_chosen():
    mixed = tables.precision("fp8", activations="bf16", cache="bf16")
    assert (mixed.dense_bytes, mixed.dense_math, mixed.cache_bytes) == (1, "bf16", 2)
    assert mixed.id == "fp8/bf16/bf16"


# ---- prices, recounted


def counted(accelerator_id: str, cloud_class: str, commitment: str = "on-demand") -> list[float]:
    """Offers that count, each once, suspect ones left out."""
    seen = {
        (row["provider"], row["instance"], row["region"], float(row["value"]))
        for row in raw("gpu_prices")
        if (row["accelerator_id"], row["cloud_class"], row["commitment"]) == (accelerator_id, cloud_class, commitment)
        and not row["flag"]
    }
    return sorted(value for *_, value in seen)


def quantile(values: list[float], share: float) -> float:
    """Linear between the two nearest ranks."""
    at = share * (len(values) - 1)
    low = int(at)
    return values[low] + (at - low) * (values[min(low + 1, len(values) - 1)] - values[low])


@pytest.mark.parametrize(
    ("accelerator_id", "cloud_class"),
    [("h100-sxm", "neocloud"), ("h100-sxm", "hyperscaler"), ("b200-sxm", "neocloud"), ("l4", "hyperscaler")],
)
def test_median_and_tenths_of_the_offers(accelerator_id, cloud_class):
    values, price = counted(accelerator_id, cloud_class), tables.price(accelerator_id, cloud_class=cloud_class)
    assert price.n_offers == len(values) > 1
    assert price.usd_per_hour == pytest.approx(median(values))
    assert price.low == pytest.approx(quantile(values, 0.1))
    assert price.high == pytest.approx(quantile(values, 0.9))


def test_suspect_offers_are_left_out():
    suspect = {(row["accelerator_id"], row["provider"]) for row in raw("gpu_prices") if row["flag"]}
    assert suspect, "no row is suspect any more: this test has nothing to hold"
    for accelerator_id, provider in suspect:
        every = [r for r in raw("gpu_prices") if (r["accelerator_id"], r["provider"]) == (accelerator_id, provider)]
        kept = tables.price_rows(accelerator_id, provider=provider, commitment=None)
        assert not set(kept["flag"]) - {""} and len(kept) < len(every)


def test_filters_add_up():
    whole = tables.price_rows("h100-sxm")
    parts = [tables.price_rows("h100-sxm", cloud_class=name) for name in ("hyperscaler", "neocloud", "marketplace")]
    assert sum(map(len, parts)) == len(whole)
    assert set(tables.price_rows("h100-sxm", provider="Azure")["provider"]) == {"Azure"}


def test_no_offer_names_those_on_record():
    with pytest.raises(InputError, match="no marketplace 3y price of h100-sxm on record; on record: .*hyperscaler 3y"):
        tables.price("h100-sxm", cloud_class="marketplace", commitment="3y")


# ---- efficiency


def test_constants_of_a_vendor_stand_before_those_for_all():
    fp8 = tables.precision("fp8")
    both = [tables.efficiency(tables.accelerator(name), fp8) for name in ("h100-sxm", "mi300x")]
    assert both[0].dense_peak > both[1].dense_peak


def test_constants_follow_the_format_that_multiplies():
    """INT4 weights multiply in BF16, so they reach BF16's share of the peak."""
    h100 = tables.accelerator("h100-sxm")
    int4, bf16 = (tables.efficiency(h100, tables.precision(name)) for name in ("int4", "bf16"))
    assert int4.dense_peak == bf16.dense_peak


def test_engines_have_their_own_constants():
    h100, fp8 = tables.accelerator("h100-sxm"), tables.precision("fp8")
    found = [tables.efficiency(h100, fp8, engine=name) for name in ("vllm", "sglang", "no-such-engine")]
    assert len({item.host_sequence_s for item in found}) == 3
    assert len({item.weight_bandwidth for item in found}) == 1


@pytest.mark.parametrize(
    ("engine", "version", "date", "family"),
    [
        ("TensorRT-LLM", "0.14.0", "2024-11-01", "tensorrt-llm"),
        ("TensorRT-LLM", "1.2.0rc6", "", "tensorrt-llm-pytorch"),
        ("TensorRT-LLM (PyTorch backend)", "0.20", "", "tensorrt-llm-pytorch"),
        ("CUDA 12.4", "", "2024-08-28", "tensorrt-llm"),
        ("vLLM", "0.5.2", "", "vllm-2024"),
        ("vLLM", "", "2024-11-01", "vllm-2024"),
        ("vllm", "0.12.0", "", "vllm"),
        ("vLLM", "", "", "vllm"),
        ("Something new", "1.0", "2026-01-01", ""),
        ("", "", "", ""),
    ],
)
def test_family_of_an_engine(engine, version, date, family):
    assert tables.engine_family(engine, version, date) == family


# ---- constants: their direction, over all models on all accelerators

#: More of it makes tokens cheaper; more of it makes them dearer. What bears on latency alone stands in neither.
HELPS = [
    "weight_bandwidth", "expert_bandwidth", "cache_bandwidth", "dense_peak", "expert_peak", "head_peak", "attention_peak",
    "overlap", "link_bandwidth", "pcie_bandwidth", "max_batch", "memory_usable",
]  # fmt: skip
HURTS = [
    "activation_passes", "activation_replicated", "link_latency_s", "pcie_latency_s", "host_step_s", "host_layer_s",
    "host_moe_layer_s", "host_sequence_s", "reserve_bytes", "output_reserved", "window_held",
]  # fmt: skip
LATENCY_ONLY = ["prefill_stall", "ttft_base_s", "ttft_own", "ttft_steps", "ttft_burst", "ttft_queue"]
DEMANDS = pytest.mark.parametrize("demand", [1.0, 16.0, np.inf], ids=["alone", "sixteen", "backlog"])


@pytest.fixture(scope="module")
def every():
    """Counts and constants of all models on all accelerators, as many of them together as is allowed: one row each."""
    rows = []
    for model_id in tables.ids("models"):
        for accelerator_id in tables.ids("accelerators"):
            placed = one.deployment(model_id, accelerator_id)
            placed = replace(placed, tp=one.degrees_of(placed)[-1])
            rows.append((count(placed), placed.efficiency))
    return tuple(stack(list(column)) for column in zip(*rows, strict=True))


def served(every, demand, **constants):
    counts, efficiency = every
    return steady_state(counts, replace(efficiency, **constants), 1000.0, 500.0, demand)


def usd(serving):
    """(output, input) USD per million tokens at a dollar an hour: NaN where nothing fits."""
    unit = allocate(serving, usd_per_hour=1.0, allocation="work")
    return unit.output_usd_per_mtok, unit.input_usd_per_mtok


def test_every_constant_has_a_direction():
    assert sorted(HELPS + HURTS + LATENCY_ONLY) == sorted(Efficiency.__dataclass_fields__)


@DEMANDS
@pytest.mark.parametrize("name", HELPS + HURTS)
def test_a_worse_constant_never_makes_tokens_cheaper(every, name, demand):
    """A fifth less of what helps is worse; a fifth less of what hurts is better."""
    now, less = served(every, demand), served(every, demand, **{name: getattr(every[1], name) * 0.8})
    better, worse = (now, less) if name in HELPS else (less, now)
    assert np.isfinite(usd(now)[0]).sum() > 1000
    assert not (np.isnan(better.batch) & np.isfinite(worse.batch)).any(), "what fits at worse fits at better"
    both = np.isfinite(worse.batch) & np.isfinite(better.batch)
    for cheap, dear in zip(usd(better), usd(worse), strict=True):
        assert (cheap[both] <= dear[both] * (1 + 1e-9)).all()


@DEMANDS
@pytest.mark.parametrize("name", LATENCY_ONLY)
def test_what_bears_on_latency_leaves_the_cost(every, name, demand):
    now, less = served(every, demand), served(every, demand, **{name: getattr(every[1], name) * 0.8})
    fits = np.isfinite(now.batch)
    for before, after in zip(usd(now), usd(less), strict=True):
        assert (before[fits] == after[fits]).all()
    assert (less.tpot_s[fits] <= now.tpot_s[fits]).all() and (less.ttft_s[fits] <= now.ttft_s[fits]).all()
