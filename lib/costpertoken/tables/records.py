"""Rows into checked records; units are scaled here: GB to bytes, TFLOPS to FLOP/s, links from both directions to one."""

from functools import cache
from pathlib import Path

import pandas as pd

from costpertoken.model.records import Accelerator, InputError, Model, Precision, Source, check_range
from costpertoken.model.units import BITS_PER_BYTE, GB, GIGA, KILO, TERA
from costpertoken.tables.read import data_dir, table_row


def _made(kind, table: str, place: str, values: dict):
    """A record from values of a table; one that its door refuses is named with the table and the place."""
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"data/{table}.csv, {place}: {error}") from None


def model(model_id: str) -> Model:
    """Model of data/models.csv."""
    return _model(data_dir(), model_id)


@cache
def _model(folder: Path, model_id: str) -> Model:
    row = table_row("models", model_id)
    fields = Model.__dataclass_fields__
    values = {name: row[name] for name in fields if name in row and not pd.isna(row[name])}
    whole = {name: int(value) for name, value in values.items() if fields[name].type in (int, "int")}
    flags = {"attn_bias": row["attn_bias"] or "none", "tied_embeddings": bool(row["tied_embeddings"])}
    return _made(Model, "models", f"row {model_id}", values | whole | flags)


def accelerator(accelerator_id: str) -> Accelerator:
    """Accelerator of data/accelerators.csv. Raises InputError, with the cell, where a figure the model needs was never read."""
    return _accelerator(data_dir(), accelerator_id)


@cache
def _accelerator(folder: Path, accelerator_id: str) -> Accelerator:
    row = table_row("accelerators", accelerator_id)
    for needed in ("memory_gb", "memory_gb_s"):
        if pd.isna(row[needed]):
            raise InputError(f"data/accelerators.csv, row {accelerator_id}, column {needed}: empty; the model needs it")
    formats = [name.removeprefix("peak_tflops_") for name in row if name.startswith("peak_tflops_")]
    peaks = {fmt: row[f"peak_tflops_{fmt}"] * TERA for fmt in formats if not pd.isna(row[f"peak_tflops_{fmt}"])}
    number = {name: 0.0 if pd.isna(row[name]) else row[name] for name in ("link_gb_s", "link_domain", "pcie_gb_s")}
    values = {
        "id": row["id"],
        "name": row["name"],
        "vendor": row["vendor"],
        "device_class": row["device_class"],
        "form_factor": row["form_factor"],
        "memory_bytes": row["memory_gb"] * GB,
        "memory_bytes_per_s": row["memory_gb_s"] * GB,
        "peak_flop_per_s": peaks,
        "tdp_w": None if pd.isna(row["tdp_w"]) else row["tdp_w"],
        "link_kind": row["link_kind"],
        "link_bytes_per_s": number["link_gb_s"] * GB / 2,
        "link_domain": max(1, int(number["link_domain"])),
        "pcie_bytes_per_s": number["pcie_gb_s"] * GB / 2,
    }
    return _made(Accelerator, "accelerators", f"row {accelerator_id}", values)


def cpu(cpu_id: str) -> dict:
    """What a processor counts, as keywords of `model.cpu`: sockets, channels_per_socket, transfers_per_s, bytes_per_transfer,
    cores_per_socket, clock_hz; and flop_per_cycle, format -> FLOP of one core in a cycle."""
    return dict(_cpu(data_dir(), cpu_id))


@cache
def _cpu(folder: Path, cpu_id: str) -> dict:
    row = table_row("cpus", cpu_id)
    counts = {name: row[name] for name in ("sockets", "channels_per_socket", "bytes_per_transfer", "cores_per_socket")}
    rates = {"transfers_per_s": row["mega_transfers_per_s"] * KILO**2, "clock_hz": row["clock_ghz"] * GIGA}
    for name, value in (counts | rates).items():
        check_range(f"data/cpus.csv, row {cpu_id}, {name}", value, exclusive=True)
    per_cycle = {name: row[f"flop_per_cycle_{name}"] for name in ("fp32", "bf16", "fp16", "int8")}
    return counts | rates | {"flop_per_cycle": {fmt: value for fmt, value in per_cycle.items() if not pd.isna(value)}}


def native_precision(of: Model) -> str:
    """Name in data/precisions.csv of the format that a model's checkpoint is published in."""
    return of.native_expert_weights or of.native_weights


def precision(weights: str, *, activations: str | None = None, cache: str | None = None) -> Precision:
    """Precision from format names of data/precisions.csv: weights, activations (default: the weights' own), cache.

    16-bit activations make the products 16-bit, whatever the weights are stored in.
    """
    stored = table_row("precisions", weights)
    kept = {name: table_row("precisions", stored[f"{name}_format"]) for name in ("dense", "head")}
    cached = table_row("precisions", cache or stored["cache_format"])
    math = {"dense": kept["dense"]["math"], "expert": stored["math"]}
    if activations:
        math = dict.fromkeys(math, table_row("precisions", activations)["math"])
    return Precision(
        id="/".join([weights, activations or stored["math"], cached["id"]]),
        dense_bytes=kept["dense"]["bits"] / BITS_PER_BYTE,
        expert_bytes=stored["bits"] / BITS_PER_BYTE,
        head_bytes=kept["head"]["bits"] / BITS_PER_BYTE,
        cache_bytes=cached["bits"] / BITS_PER_BYTE,
        dense_math=math["dense"],
        expert_math=math["expert"],
        head_math=kept["head"]["math"],
    )


def source(source_id: str) -> Source:
    """Source of data/sources.csv."""
    return Source(**table_row("sources", source_id))
