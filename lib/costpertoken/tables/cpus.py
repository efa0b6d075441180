"""Instances of a processor as a cloud rents them: sizes, a deployment on one of them, and what a vCPU costs."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from costpertoken.model.cpu import part_of
from costpertoken.model.records import Deployment, InputError, Price
from costpertoken.model.units import GIB
from costpertoken.tables.constants import efficiency
from costpertoken.tables.deploy import deployment
from costpertoken.tables.prices import price_rows
from costpertoken.tables.read import data_dir, of_tables, table_row


def vcpu_sizes(cpu_id: str) -> list[int]:
    """vCPUs of the instances that a processor is rented in, smallest first."""
    sizes = table_row("cpus", cpu_id)["vcpu_sizes"]
    if not sizes:
        raise InputError(f"data/cpus.csv, row {cpu_id}, column vcpu_sizes: empty; no instance of it is on record")
    return [int(size) for size in sizes.split("|")]


def instance(model_id: str, cpu_id: str, *, weights: str, n_vcpus: int) -> Deployment:
    """A model on an instance of n_vcpus: that share of the whole machine's rates, and the leanest family's memory."""
    return _instance(data_dir(), model_id, cpu_id, weights, int(n_vcpus))


@cache
def _instance(folder: Path, model_id: str, cpu_id: str, weights: str, n_vcpus: int) -> Deployment:
    row, whole = table_row("cpus", cpu_id), deployment(model_id, cpu_id, weights=weights)
    memory = n_vcpus * row["vcpu_memory_gib"] * GIB
    part = part_of(whole.accelerator, share=n_vcpus / row["n_vcpus"], memory_bytes=memory)
    return replace(whole, accelerator=part, efficiency=efficiency(part, whole.precision, engine=whole.engine))


@of_tables
def vcpu_price(cpu_id: str) -> Price:
    """USD per vCPU and hour, on demand: the leanest family's, which is the lowest; high: the family with most memory."""
    offers, n_vcpus = price_rows(cpu_id), table_row("cpus", cpu_id)["n_vcpus"]
    if offers.empty:
        raise InputError(f"no on-demand price of {cpu_id} on record; give a rent yourself")
    least, most = (float(end) / n_vcpus for end in (offers["value"].min(), offers["value"].max()))
    label = f"{offers['provider'].iloc[0]} on-demand"
    return Price(usd_per_hour=least, low=least, high=most, label=label, as_of=offers["as_of"].max(), n_offers=len(offers))


@of_tables
def single_price(accelerator_id: str) -> Price:
    """USD per hour of the instances that hold one accelerator, on demand: median, p10 and p90 of its first class of cloud."""
    rows = price_rows(accelerator_id)
    rows = rows[rows["n_accel"] == 1]
    for name in ("neocloud", "hyperscaler", "marketplace"):
        value = rows.loc[rows["cloud_class"] == name, "value"]
        if len(value):
            ends = float(value.quantile(0.1)), float(value.quantile(0.9))
            found = {"low": ends[0], "high": ends[1], "label": f"{name} on-demand", "n_offers": len(value)}
            return Price(usd_per_hour=float(value.median()), as_of=rows["as_of"].max(), **found)
    raise InputError(f"no on-demand offer of a single {accelerator_id} on record")
