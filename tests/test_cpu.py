"""The roofs of processors: by hand, and against the accelerators' rows that the cost model reads."""

import pytest

from costpertoken import tables
from costpertoken.model.cpu import bandwidth_bytes_per_s, peak_flop_per_s
from costpertoken.model.records import InputError
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
