"""`costpertoken levers`: what it prints, and what it refuses."""

import json
import math

import pytest
from click.testing import CliRunner

from costpertoken import tables
from costpertoken.answers import baseline as start
from costpertoken.answers import levers as named
from costpertoken.answers.compose import cost
from costpertoken.cli import costpertoken
from costpertoken.model.records import InputError, UnknownName
from costpertoken.model.setup import run

BASE = "model=llama-3.1-70b,accelerator=h100-sxm,weights=bf16,tp=4,serving=early"
PULLED = ["-l", "paging", "-l", "continuous-batching", "-l", "fp8"]


def said(*options: str) -> str:
    result = CliRunner().invoke(costpertoken, ["levers", *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def record(*options: str) -> dict:
    return json.loads(said(*options, "--json"))


def test_json_waterfall_sums_and_ends_at_the_cost_of_all_levers():
    found = record("-b", BASE, *PULLED, "-p", "2")
    rows = found["waterfall"]
    assert [row["lever"] for row in rows] == ["baseline", "paging", "continuous-batching", "fp8"]
    assert sum(row["saved_usd"] for row in rows) == pytest.approx(rows[0]["usd"] - rows[-1]["usd"], abs=1e-9)
    setup = start.parse(BASE, input_tokens=1000, output_tokens=500)
    everything = named.pull(setup, [named.lever(name) for name in ("paging", "continuous-batching", "fp8")])
    assert rows[-1]["usd"] == pytest.approx(cost(everything, 2.0), abs=6e-5)
    after = found["usd_per_mtok"]["after"]
    assert after["low"] < after["value"] == rows[-1]["usd"] < after["high"]
    assert found["ratio"]["low"] < found["ratio"]["value"] < found["ratio"]["high"]
    assert found["all_orders"] is None


def test_an_order_moves_the_parts_but_not_the_ends():
    one, other = (
        record("-b", BASE, *PULLED, *extra)["waterfall"]
        for extra in ([], ["--order", "fp8,paging,continuous-batching"])
    )
    assert (one[0]["usd"], one[-1]["usd"]) == (other[0]["usd"], other[-1]["usd"])
    assert [row["lever"] for row in other[1:]] == ["fp8", "paging", "continuous-batching"]
    saved = [{row["lever"]: row["saved_usd"] for row in rows} for rows in (one, other)]
    assert saved[0]["fp8"] != pytest.approx(saved[1]["fp8"])


def test_all_orders_give_ranges_and_shares():
    found = record("-b", BASE, *PULLED, "--order", "all")
    rows = found["all_orders"]
    assert all(row["least"] <= row["shapley"] <= row["most"] for row in rows)
    assert sum(row["share"] for row in rows) == pytest.approx(100)
    assert math.prod(row["shapley"] for row in rows) == pytest.approx(found["ratio"]["value"], rel=1e-3)


def test_the_table_names_every_lever_floors_and_the_article():
    text = said("-b", BASE, *PULLED, "-l", "routing:small=llama-3.1-8b,share=0.5", "--order", "all")
    for words in ("continuous-batching", "Shapley", "Floors", "Article", "80 % interval", "more admitted"):
        assert words in text
    assert all(len(line) <= 96 for line in text.splitlines())


def test_the_list_names_every_lever_with_its_range():
    text = said("--list")
    assert all(f" {name} " in text for name in named.NAMED)
    assert "0.563 (0 to 0.999)" in " ".join(text.split())


@pytest.mark.parametrize(
    "options, words",
    [
        (["-l", "fp8"], "--baseline is missing"),
        (["-b", BASE], "no --lever is given"),
        (["-b", BASE, "-l", "fp9"], "unknown lever 'fp9'; nearest: fp8"),
        (["-b", BASE, "-l", "fp8", "-l", "gptq"], "fp8 and gptq contradict each other: both set the weights"),
        (["-b", BASE, "-l", "fp8", "-l", "fp8"], "fp8 and fp8 contradict"),
        (["-b", BASE, "-l", "gptq:bits=0"], "bits is 0; expected a finite number at least 2 and at most 8"),
        (["-b", BASE, "-l", "gptq:bits=four"], "bits is 'four'; expected a number from 2 to 8"),
        (["-b", BASE, "-l", "gptq:bit=4"], "unknown setting 'bit'; nearest: bits"),
        (["-b", BASE, "-l", "speculation"], "draft is missing"),
        (["-b", BASE, "-l", "speculation:draft=lama-8b"], "llama-3.1-8b"),
        (["-b", BASE, "-l", "gqa:n_kv_heads=7"], "expected a divisor of 64"),
        (["-b", BASE, *PULLED, "--order", "fp8,paging"], "expected each once of paging, continuous-batching, fp8"),
        (["-b", "model=llama-3.1-70b", "-l", "fp8"], "accelerator is missing"),
        (["-b", BASE + ",tpp=2", "-l", "fp8"], "unknown 'tpp'; nearest: tp"),
        (["-b", BASE + ",tp=2", "-l", "fp8"], "tp stands twice"),
        (["-b", BASE.replace("tp=4", "tp=2.5"), "-l", "fp8"], "tp is 2.5; expected a whole number"),
        (["-b", BASE.replace("tp=4", "tp=inf"), "-l", "fp8"], "tp is inf; expected a whole number"),
        (["-b", BASE.replace("early", "late"), "-l", "fp8"], "serving is 'late'; expected one of current, early"),
        (["-b", BASE.replace("tp=4", "tp=1"), "-l", "fp8"], "baseline: weights do not fit"),
        (["-b", BASE + ",input_tokens=0", "-l", "fp8"], "input_tokens is 0"),
    ],
)
def test_bad_input_is_refused_in_words(options, words):
    result = CliRunner().invoke(costpertoken, ["levers", *options])
    assert isinstance(result.exception, InputError)
    assert words in str(result.exception)


def test_every_lever_with_its_defaults_moves_the_cost_or_its_inputs():
    """With the names that some need, each changes the setup, and what it changes is what it says."""
    named_settings = {"moe": {"model": "gpt-oss-120b"}, "speculation": {"draft": "llama-3.1-8b"},
                      "routing": {"small": "llama-3.1-8b"}, "cascade": {"small": "llama-3.1-8b"}, "weights": {"format": "fp8"},
                      "activations": {"format": "fp8"}, "cache": {"format": "fp8"}}  # fmt: skip
    base = start.parse(BASE, input_tokens=1000, output_tokens=500)
    for name in named.NAMED:
        one = named.lever(name, **named_settings.get(name, {}))
        pulled = named.pull(base, [one])
        assert (pulled != base) == (name != "gqa"), name  # the model has eight key-value heads already
        assert sum(run(pulled).accelerator_s) > 0


def test_levers_table_and_names_agree():
    rows = set(tables.read("levers")["lever"]) - {"baseline"}
    assert rows <= set(named.NAMED)


def test_pulling_does_not_depend_on_the_order():
    base = start.parse(BASE, input_tokens=1000, output_tokens=500)
    some = [named.lever(name) for name in ("cache", "gptq", "mqa", "paging") if name != "cache"]
    some.append(named.lever("cache", format="fp8"))
    assert named.pull(base, some) == named.pull(base, some[::-1])


def test_weight_only_formats_leave_the_products_wide():
    base = start.parse(BASE, input_tokens=1000, output_tokens=500)
    four = named.pull(base, [named.lever("gptq")]).deployment
    assert (four.precision.dense_bytes, four.precision.dense_math) == (4.15625 / 8, "bf16")
    both = named.pull(base, [named.lever("fp8")]).deployment
    assert (both.precision.dense_bytes, both.precision.dense_math, both.precision.cache_bytes) == (1.0, "fp8", 2.0)
    cache = named.pull(base, [named.lever("cache", format="fp8")]).deployment
    assert (cache.precision.dense_bytes, cache.precision.cache_bytes) == (2.0, 1.0)
    assert both.efficiency.dense_peak == tables.efficiency(both.accelerator, both.precision).dense_peak


def test_names_of_a_table_are_looked_up():
    with pytest.raises(UnknownName, match="unknown"):
        base = start.parse(BASE, input_tokens=1000, output_tokens=500)
        named.pull(base, [named.lever("weights", format="fp9")])
