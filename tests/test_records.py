"""The door: every field of every record is held to its range, and a refusal names field, value and range."""

import dataclasses
import math

import numpy as np
import pytest
from given import ACCELERATOR, DEPLOYMENT, IDEAL, MODEL, MOE, PRECISION

from costpertoken.model.records import InputError, Price, UnknownName, Workload, check_range

WORKLOAD = Workload(input_tokens=100, output_tokens=10, concurrency=4)
PRICE = Price(usd_per_hour=2.0, low=1.0, high=3.0)
RECORDS = [MODEL, ACCELERATOR, PRECISION, IDEAL, WORKLOAD, PRICE]
RANGED = [
    pytest.param(
        record, item.name, item.metadata["low"], item.metadata["high"], id=f"{type(record).__name__}.{item.name}"
    )
    for record in RECORDS
    for item in dataclasses.fields(record)
    if "low" in item.metadata
]


def refusal(record, **change) -> str:
    with pytest.raises(InputError) as refused:
        dataclasses.replace(record, **change)
    return str(refused.value)


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_every_number_has_a_range(record):
    """A field that holds a number and no range would let a slip through."""
    numbers = {item.name for item in dataclasses.fields(record) if isinstance(getattr(record, item.name), int | float)}
    assert {item.name for item in dataclasses.fields(record) if "low" in item.metadata} >= numbers - {"tied_embeddings"}


@pytest.mark.parametrize(("record", "name", "low", "high"), RANGED)
def test_below_the_range(record, name, low, high):
    said = refusal(record, **{name: low - 1})
    assert f"{type(record).__name__}.{name} is {low - 1:g}" in said and f"at least {low:g}" in said


@pytest.mark.parametrize(("record", "name", "low", "high"), RANGED)
def test_above_the_range(record, name, low, high):
    if math.isfinite(high):
        said = refusal(record, **{name: high + 1})
        assert f"{type(record).__name__}.{name} is {high + 1:g}" in said and f"at most {high:g}" in said


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("record", "name", "low", "high"), RANGED)
def test_not_finite(record, name, low, high, value):
    said = refusal(record, **{name: value})
    assert f"{name} is {value}" in said and "finite" in said


@pytest.mark.parametrize("value", ["many", "", object()])
@pytest.mark.parametrize(
    ("record", "name"), [(MODEL, "n_layers"), (ACCELERATOR, "memory_bytes"), (WORKLOAD, "input_tokens")]
)
def test_not_a_number(record, name, value):
    assert f"{name} is {value!r}; expected a number" in refusal(record, **{name: value})


@pytest.mark.parametrize(
    ("record", "change"),
    [
        (MODEL, {"n_layers": 0}),
        (MODEL, {"head_dim": 0}),
        (MODEL, {"mlp_matrices": 4}),
        (ACCELERATOR, {"memory_bytes_per_s": 0}),
        (ACCELERATOR, {"link_bytes_per_s": -1}),
        (PRECISION, {"cache_bytes": -2}),
        (IDEAL, {"weight_bandwidth": 0}),
        (IDEAL, {"memory_usable": 1.01}),
        (WORKLOAD, {"output_tokens": 0}),
        (WORKLOAD, {"cached_share": 1}),
        (PRICE, {"low": -1}),
    ],
)
def test_what_cannot_be_is_refused(record, change):
    """Bounds known beforehand, not read from the declarations."""
    assert f".{next(iter(change))} is" in refusal(record, **change)


def test_ends_of_the_range_are_in_it():
    assert dataclasses.replace(WORKLOAD, cached_share=0.999, input_tokens=1, concurrency=1)


def test_one_bad_element_of_an_array_is_enough():
    said = refusal(WORKLOAD, input_tokens=np.array([100.0, 0.25, 3.0]))
    assert "Workload.input_tokens is 0.25" in said


def test_arrays_pass_as_they_are():
    knobs = np.array([1.0, 2.0])
    assert dataclasses.replace(WORKLOAD, concurrency=knobs).concurrency is knobs


def test_unknown_and_unlimited_are_none():
    assert dataclasses.replace(WORKLOAD, concurrency=None).concurrency is None
    assert dataclasses.replace(ACCELERATOR, tdp_w=None).tdp_w is None


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_peaks_are_held_by_format(rate):
    assert "Accelerator.peak_flop_per_s[fp8] is" in refusal(ACCELERATOR, peak_flop_per_s={"bf16": 1e12, "fp8": rate})


@pytest.mark.parametrize(("low", "high"), [(2.5, 3.0), (1.0, 1.5)])
def test_a_price_lies_in_its_range(low, high):
    said = refusal(PRICE, low=low, high=high)
    assert "Price.usd_per_hour is 2" in said and f"low {low:g} to high {high:g}" in said


@pytest.mark.parametrize("record", [*RECORDS, DEPLOYMENT], ids=lambda r: type(r).__name__)
def test_records_are_frozen(record):
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.id = "other"


def test_records_take_keywords_only():
    with pytest.raises(TypeError):
        Workload(100, 10)


# ---- degrees of parallelism


def test_a_degree_divides_what_it_splits():
    said = refusal(DEPLOYMENT, tp=4)
    assert "tp is 4" in said and "10 heads" in said and "1, 2" in said


def test_pipeline_stages_need_a_layer_each():
    assert dataclasses.replace(DEPLOYMENT, pp=10).pp == 10
    assert "pp is 11" in refusal(DEPLOYMENT, pp=11)


def test_experts_are_split_evenly():
    assert "8 experts" in refusal(dataclasses.replace(DEPLOYMENT, model=MOE), ep=3)
    assert "no experts" in refusal(DEPLOYMENT, ep=2)


def test_whole_degrees_only():
    assert "tp is 2.5" in refusal(DEPLOYMENT, tp=2.5)


def test_one_bad_degree_of_an_array_is_named():
    assert "tp is 3" in refusal(DEPLOYMENT, tp=np.array([1, 2, 3]))


def test_accelerators_without_links_stand_alone():
    lone = dataclasses.replace(ACCELERATOR, link_bytes_per_s=0.0, pcie_bytes_per_s=0.0)
    assert dataclasses.replace(DEPLOYMENT, accelerator=lone)
    assert "no link rate" in refusal(DEPLOYMENT, accelerator=lone, tp=2)


# ---- check_range


def test_check_range_gives_back_what_it_was_given():
    value = np.array([0.5, 1.0])
    assert check_range("share", value, high=1.0) is value


@pytest.mark.parametrize(
    ("value", "exclusive", "ok"), [(0, False, True), (0, True, False), (1, True, True), (1.5, False, False)]
)
def test_which_ends_belong_to_the_range(value, exclusive, ok):
    if ok:
        check_range("share", value, high=1.0, exclusive=exclusive)
        return
    with pytest.raises(InputError, match=f"share is {value}; expected .* (above|at least) 0 and at most 1"):
        check_range("share", value, high=1.0, exclusive=exclusive)


def test_an_unknown_name_is_bad_input():
    assert issubclass(UnknownName, InputError) and issubclass(InputError, ValueError)


def test_none_passes_only_where_it_is_the_default():
    from costpertoken.model.records import Workload

    assert Workload(input_tokens=1, output_tokens=1, concurrency=None).concurrency is None
    with pytest.raises(InputError, match="Workload.input_tokens"):
        Workload(input_tokens=None, output_tokens=10)
