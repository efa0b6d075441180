"""What moves an answer: by hand on a known function, in order of width, and what has no answer moves nothing."""

import math

import pytest

from costpertoken.answers import estimate as one
from costpertoken.answers import sensitivity
from costpertoken.model.records import Price, Workload


def product(a=2.0, b=10.0, c=1.0):
    return a * b / c


def test_by_hand_widest_first():
    frame = sensitivity.tornado(product, {"a": (1.0, 3.0), "b": (9.0, 11.0), "c": (0.5, 4.0)}, most=2)
    assert frame["input"].tolist() == ["c, 0.500 to 4.00", "a, 1.00 to 3.00"]
    assert frame[["value", "low", "high"]].to_numpy().tolist() == [[20, 5, 40], [20, 10, 30]]


def test_an_end_without_an_answer_is_no_move():
    frame = sensitivity.tornado(lambda a=2.0: a if a < 3 else math.nan, {"a": (1, 5)})
    assert frame.loc[0, ["low", "value", "high"]].tolist() == [1, 2, 2]


@pytest.mark.parametrize(
    ("name", "ends", "words"),
    [
        ("reserve_bytes", (1e9, 2.5e9), "1.00 to 2.50 GB"),
        ("host_layer_s", (2e-5, 3e-5), "20.0 to 30.0 µs"),
        ("tpot_limit_s", (0.01, 0.02), "0.0100 to 0.0200"),
        ("price", (2.0, 4.0), "2.00 to 4.00"),
    ],
)
def test_ends_are_shown_in_the_units_of_the_field(name, ends, words):
    assert sensitivity.span(name, ends) == words


def test_constants_are_moved_within_their_intervals_and_move_the_cost():
    deployed = one.deployment("llama-3.1-8b", "h100-sxm", weights="fp8")
    ranges = sensitivity.constant_ranges(deployed)
    assert all(low <= getattr(deployed.efficiency, name) <= high and low < high for name, (low, high) in ranges.items())

    def usd(price=2.0, **constants):
        moved = sensitivity.with_constant(deployed, **constants)
        rent = Price(usd_per_hour=price, low=price, high=price)
        return float(one.estimate(moved, Workload(input_tokens=1000, output_tokens=500), rent).cost.output_usd_per_mtok)

    frame = sensitivity.tornado(usd, {"price": (1.0, 4.0), **ranges})
    first = frame.iloc[0]
    assert first["input"].startswith("price") and first["low"] == pytest.approx(first["value"] / 2)
    assert ((frame["high"] / frame["low"]).diff().dropna() <= 1e-12).all() and len(frame) == 5
