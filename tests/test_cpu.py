"""Processors: their roofs by hand and against the accelerators' rows, their instances, and whole machines for a load."""

import numpy as np
import pandas as pd
import pytest

from costpertoken import tables
from costpertoken.answers.cpu import cost_curve, crossings, hybrid, instances_usd_per_hour, sizes
from costpertoken.evidence.assumed import rate_band
from costpertoken.evidence.uncertain import cost_interval
from costpertoken.fleet.machines import (
    capacity_tok_per_s,
    cheapest_usd_per_hour,
    crossing_tok_per_s,
    fleet_usd_per_hour,
)
from costpertoken.model.cpu import bandwidth_bytes_per_s, part_of, peak_flop_per_s
from costpertoken.model.records import InputError
from costpertoken.model.serving import serve
from costpertoken.tables.cpus import instance
from costpertoken.tables.records import cpu

CPUS = tables.ids("cpus")
#: The accelerators' rows carry three digits, and Graviton4's printed bandwidth is a little below its channels'.
ROUNDED = 0.005


def memory(known: dict) -> dict:
    return {name: known[name] for name in ("sockets", "channels_per_socket", "transfers_per_s", "bytes_per_transfer")}


def cores(known: dict) -> dict:
    return {name: known[name] for name in ("sockets", "cores_per_socket", "clock_hz")}


def test_by_hand():
    two_channels = {"sockets": 1, "channels_per_socket": 2, "transfers_per_s": 5e9, "bytes_per_transfer": 8}
    assert bandwidth_bytes_per_s(**two_channels) == 80e9
    assert peak_flop_per_s(sockets=2, cores_per_socket=10, clock_hz=3e9, flop_per_cycle=32) == 1920e9


def test_every_cpu_has_its_row():
    rows = tables.read("accelerators")
    assert sorted(rows.loc[rows["device_class"] == "cpu", "id"]) == CPUS


@pytest.mark.parametrize("name", CPUS)
def test_bandwidth_is_that_of_the_accelerators_row(name):
    assert bandwidth_bytes_per_s(**memory(cpu(name))) == pytest.approx(tables.accelerator(name).memory_bytes_per_s, rel=ROUNDED)


@pytest.mark.parametrize("name", CPUS)
def test_peaks_are_those_of_the_accelerators_row(name):
    known, printed = cpu(name), tables.accelerator(name).peak_flop_per_s
    assert set(known["flop_per_cycle"]) == set(printed)
    for fmt, per_cycle in known["flop_per_cycle"].items():
        assert peak_flop_per_s(**cores(known), flop_per_cycle=per_cycle) == pytest.approx(printed[fmt], rel=ROUNDED)


def test_sizes_of_instances_divide_the_whole():
    rows = tables.read("cpus").set_index("id")
    row = rows.loc["graviton4-48xl"]
    sizes = [int(size) for size in row["vcpu_sizes"].split("|")]
    assert sizes == sorted(sizes) and sizes[-1] == row["n_vcpus"] == row["sockets"] * row["cores_per_socket"]


def test_an_unknown_cpu_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="xeon6-6980p"):
        cpu("xeon6")


def test_a_part_of_a_machine_is_that_share_of_its_roofs():
    whole = tables.accelerator("graviton4-48xl")
    part = part_of(whole, share=0.25, memory_bytes=7.0)
    assert part.memory_bytes == 7 and part.memory_bytes_per_s == whole.memory_bytes_per_s / 4
    assert part.peak_flop_per_s["int8"] == whole.peak_flop_per_s["int8"] / 4


def test_whole_machines_are_rented():
    bills = fleet_usd_per_hour(load_tok_per_s=np.array([0, 1, 100, 101, 250]), capacity_tok_per_s=100.0, usd_per_hour=2.0)
    assert bills.tolist() == [2, 2, 2, 4, 6]


def test_the_cheapest_size_is_taken_and_sizes_that_cannot_serve_are_left_out():
    sizes = {"capacities_tok_per_s": np.array([np.nan, 10.0, 25.0]), "usd_per_hour": np.array([0.5, 1.0, 2.0])}
    assert cheapest_usd_per_hour(load_tok_per_s=np.array([5.0, 15.0, 25.0]), **sizes).tolist() == [1, 2, 2]


def test_crossing_is_what_the_other_rent_buys():
    rents, capacities = np.array([1.0, 2.0, 8.0]), np.array([10.0, 25.0, 200.0])
    found = crossing_tok_per_s(capacities_tok_per_s=capacities, usd_per_hour=rents, other_usd_per_hour=5.0)
    assert found == 50.0  # five small ones carry 50, two middle ones 50, no large one is within 5
    assert crossing_tok_per_s(capacities_tok_per_s=capacities, usd_per_hour=rents, other_usd_per_hour=0.9) == 0.0
    at = {"capacities_tok_per_s": capacities, "usd_per_hour": rents}
    assert cheapest_usd_per_hour(load_tok_per_s=found, **at) <= 5.0 < cheapest_usd_per_hour(load_tok_per_s=found * 1.001, **at)


def test_latency_limits_only_take_away():
    load = {"input_tokens": 300, "output_tokens": 200}
    at = instance("llama-3.2-1b", "graviton4-48xl", weights="int8", n_vcpus=16)
    free, _ = capacity_tok_per_s(at, **load)
    tight, batch = capacity_tok_per_s(at, tpot_limit_s=0.05, **load)
    assert tight <= free and float(serve(at, concurrency=batch, **load).tpot_s) <= 0.05
    assert np.isnan(capacity_tok_per_s(at, tpot_limit_s=1e-6, **load)[0])
    assert capacity_tok_per_s(at, tpot_limit_s=np.array([1e-6, 0.05]), **load)[0][1] == tight


def test_crossings_over_limits_are_those_of_each_limit():
    load, kind = {"input_tokens": 300, "output_tokens": 200, "ttft_limit_s": 5.0}, {"weights": "int8"}
    found = crossings("llama-3.2-1b", "graviton4-48xl", other_usd_per_hour=0.7, tpot_limit_s=[0.02, 0.1], **kind, **load)
    rows = sizes("llama-3.2-1b", "graviton4-48xl", tpot_limit_s=0.1, **kind, **load).query("usd_per_hour <= 0.7")
    assert found[1] == pytest.approx(max((0.7 // rows["usd_per_hour"]) * rows["tok_per_s"]))
    assert found[0] < found[1]


def test_a_mix_saves_part_of_one_gpu_and_no_more():
    small = pd.DataFrame({"n_vcpus": [8], "usd_per_hour": [0.3], "tok_per_s": [20.0]})
    load = np.array([10.0, 110.0, 150.0, 200.0, 1010.0])
    found = hybrid(load, gpu_tok_per_s=100.0, gpu_usd_per_hour=1.0, small=small, movable=0.5)
    assert found["alone_usd"].tolist() == [1, 2, 2, 2, 11]
    assert found["mixed_usd"].tolist() == pytest.approx([1, 1.3, 1.9, 2, 10.3])  # the first may not move whole
    assert found["moved"].tolist() == pytest.approx([0, 10 / 110, 50 / 150, 0, 10 / 1010])
    assert ((found["alone_usd"] - found["mixed_usd"]) < 1.0).all()


def test_the_band_of_unfitted_constants_is_wider_than_the_model_s_own():
    at = instance("llama-3.2-1b", "graviton4-48xl", weights="int8", n_vcpus=16)
    low, high = rate_band(at, input_tokens=300, output_tokens=200, batch=16)
    own_low, own_high = cost_interval(at.accelerator.id, at.model.id, at.engine, backlog=False)[0]
    assert low < 1 / own_high and high > 1 / own_low


def test_predictions_on_a_processor_are_extrapolated():
    assert cost_interval("graviton4-48xl", "llama-3.1-8b", "vllm", backlog=True)[1].startswith("extrapolated")


def test_a_cost_curve_by_hand_and_its_band_is_that_of_the_rate():
    """One machine of 10 tokens a second at 3.6 USD an hour: 1 / rate thousand-dollars a million; half the rate needs two."""
    small = pd.DataFrame({"tok_per_s": [10.0], "usd_per_hour": [3.6]})
    loads = np.array([5.0, 10.0])
    frame = cost_curve(loads, lambda factor: instances_usd_per_hour(loads, small, factor=factor), band=(0.5, 1.0))
    assert frame["usd"].tolist() == pytest.approx([200, 100])
    assert frame["high"].tolist() == pytest.approx([200, 200]) and frame["low"].tolist() == pytest.approx([200, 100])
