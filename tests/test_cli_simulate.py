"""`costpertoken simulate`: what it prints, and what it refuses."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from costpertoken import tables
from costpertoken.cli import costpertoken
from costpertoken.fleet import simulate as fleet
from costpertoken.fleet.arrivals import synthetic
from costpertoken.model.records import InputError

ON = ("-m", "llama-3.1-8b", "-a", "h100-sxm", "-w", "bf16", "--tp", "1", "-p", "2")
LOAD = ("--rate", "20", "--requests", "60", "-i", "200", "-o", "20")
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def said(*options) -> str:
    result = CliRunner().invoke(costpertoken, ["simulate", *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def record(*options) -> dict:
    found = said(*options, "--json")
    return json.loads(found, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.fixture
def trace(tmp_path):
    """A small trace with two bad rows, one row out of order and one prompt that no context holds."""
    path = tmp_path / "azure.csv"
    rows = [(2, 300, 20), (1, 200, 1), (3, 0, 5), (4, 200, 0), (5, 900_000, 5), (6, 100, 10)]
    path.write_text(AZURE + "\n".join(f"2023-11-16 12:00:0{s}.5,{i},{o}" for s, i, o in rows))
    return str(path)


@pytest.mark.parametrize("schedule", fleet.SCHEDULES)
def test_json_is_the_simulation(schedule):
    found = record(*ON, *LOAD, "--schedule", schedule)
    deployed = tables.deployment("llama-3.1-8b", "h100-sxm", weights="bf16")
    made = synthetic(n_requests=60, input_tokens={"mean": 200.0}, output_tokens={"mean": 20.0}, rate_per_s=20.0)
    figures = fleet.summary(
        fleet.simulate(made, deployed, fleet.policy_of(deployed, schedule=schedule)), usd_per_hour=2.0
    )
    assert figures.pop("refused") == {} and found["refused"] == {"by_the_reader": {}, "by_the_engine": {}}
    assert found["figures"] == pytest.approx(figures)
    assert found["policy"]["schedule"] == schedule and found["tp"] == 1


def test_percentiles_rise_and_all_paid_time_costs_more_than_busy_time():
    at = record(*ON, *LOAD)["figures"]
    for name in ("ttft", "tpot", "e2e"):
        assert at[f"{name}_p50_s"] <= at[f"{name}_p90_s"] <= at[f"{name}_p99_s"]
    assert at["usd_per_mtok"] * at["busy_share"] == pytest.approx(at["usd_per_mtok_busy"])


def test_every_refused_row_and_request_is_counted(trace):
    found = record(*ON, "--trace", trace)
    assert found["refused"] == {
        "by_the_reader": {
            "ContextTokens is zero": {"n": 1, "first_lines": [4]},
            "GeneratedTokens is zero": {"n": 1, "first_lines": [5]},
        },
        "by_the_engine": {"longer than the model's context": 1},
    }
    assert (found["trace"]["n_rows"], found["trace"]["n_requests"], found["trace"]["reordered"]) == (6, 4, 1)
    assert found["figures"]["n_served"] == 3


def test_the_table_names_what_was_refused(trace):
    text = " ".join(said(*ON, "--trace", trace).split())
    for words in (
        "TTFT", "TPOT", "whole request", "p99", "1 row: ContextTokens is zero (line 4)",
        "1 request: longer than the model's context", "put in order", "of the busy time", "preemptions",
    ):  # fmt: skip
        assert words in text
    assert all(len(line) <= 96 for line in said(*ON, "--trace", trace).splitlines())


def test_answers_of_one_token_have_no_tpot():
    options = (*ON, "--rate", "5", "--requests", "5", "-o", "1", "--lengths", "constant")
    assert record(*options)["figures"]["tpot_p50_s"] is None
    assert " - " in said(*options)


def test_a_prefix_cache_finds_what_was_there_before(tmp_path):
    path = tmp_path / "mooncake.jsonl"
    row = {"input_length": 1100, "output_length": 4, "hash_ids": [1, 2, 3]}
    path.write_text("\n".join(json.dumps({"timestamp": 5000 * i, **row}) for i in range(4)))
    without, cached = (record(*ON, "--trace", str(path), *extra) for extra in ([], ["--prefix-cache"]))
    assert without["figures"]["cached_share"] == 0
    assert cached["figures"]["cached_share"] == pytest.approx(3 / 4 * 1024 / 1100)


def test_tp_is_the_cheapest_where_none_is_given():
    options = ["-m", "llama-3.1-70b", "-a", "h100-sxm", "-w", "bf16", "-p", "2", *LOAD]
    assert record(*options)["tp"] in (2, 4, 8)


def test_knobs_reach_the_policy():
    found = record(
        *ON, *LOAD, "--schedule", "dynamic", "--max-batch", "8", "--window-s", "0.5", "--reserved-tokens", "4096"
    )
    policy = found["policy"]
    assert (policy["max_batch"], policy["window_s"], policy["reserved_tokens"]) == (8, 0.5, 4096)
    bursts = record(*ON, *LOAD, "--arrivals", "bursty", "--burstiness", "4")
    assert bursts["figures"]["ttft_p99_s"] > record(*ON, *LOAD)["figures"]["ttft_p99_s"]


@pytest.mark.parametrize(
    "options, words",
    [
        ((*ON,), "neither --trace nor --rate is given"),
        ((*ON, "--trace", "none.csv"), "no file none.csv"),
        ((*ON, "--trace", "none.csv", "--rate", "2"), "--trace and --rate contradict each other"),
        ((*ON, "--trace", "none.csv", "-i", "2"), "--trace and --input-tokens contradict each other"),
        ((*ON, *LOAD, "--strict"), "--strict needs --trace"),
        ((*ON, "--rate", "0"), "--rate is 0; expected a finite number above 0"),
        ((*ON, "--rate", "-3"), "--rate is -3"),
        ((*ON, "--rate", "nan"), "--rate is nan"),
        ((*ON, "--rate", "1", "--requests", "0"), "--requests is 0; expected a finite number at least 1"),
        ((*ON, "--rate", "1", "--requests", "999999999999"), "at most 5e+06"),
        ((*ON, "--rate", "1", "--arrivals", "backlog"), "--rate and --arrivals backlog contradict"),
        ((*ON, "--rate", "1", "--arrivals", "burst"), "arrivals is 'burst'; expected one of poisson, bursty"),
        ((*ON, *LOAD, "--burstiness", "2"), "--burstiness needs --arrivals bursty"),
        ((*ON, *LOAD, "--arrivals", "bursty", "--burstiness", "0"), "burstiness is 0"),
        ((*ON, *LOAD, "--arrivals", "diurnal", "--period-s", "1e-9"), "--period-s is 1e-09"),
        ((*ON, *LOAD, "--peak-to-mean", "1.5"), "--peak-to-mean needs --arrivals diurnal"),
        ((*ON, *LOAD, "--lengths", "normal"), "kind is 'normal'; expected one of constant"),
        ((*ON, *LOAD, "--lengths", "constant", "--cv", "2"), "--cv needs --lengths lognormal"),
        ((*ON, *LOAD, "--seed", "-1"), "--seed is -1"),
        ((*ON, "--rate", "1", "-i", "0"), "input_tokens mean is 0"),
        ((*ON, *LOAD, "--schedule", "static", "--window-s", "1"), "--window-s needs --schedule dynamic"),
        ((*ON, *LOAD, "--schedule", "static", "--token-budget", "9"), "--token-budget needs --schedule chunked"),
        ((*ON, *LOAD, "--token-budget", "0"), "Policy.token_budget is 0"),
        ((*ON, *LOAD, "--schedule", "orca"), "--schedule is 'orca'; expected one of static, dynamic, continuous"),
        ((*ON, *LOAD, "--max-batch", "0"), "Policy.max_batch is 0"),
        ((*ON, *LOAD, "--prefix-cache"), "--prefix-cache needs a trace whose prefixes are known"),
        ((*ON, *LOAD, "--reserved-tokens", "-5"), "Policy.reserved_tokens is -5"),
        ((*ON, *LOAD, "--engine", "vllmm"), "unknown engine 'vllmm'; nearest: vllm"),
        ((*ON[:-2], *LOAD, "-p", "0"), "--price is 0"),
        (("-m", "lama-3.1-8b", *ON[2:], *LOAD), "llama-3.1-8b"),
        (("-m", "llama-3.1-405b", *ON[2:], *LOAD), "weights do not fit"),
        ((*ON, "--rate", "1", "--requests", "3", "-i", "500000", "--lengths", "constant"), "no request can be served: 3 longer"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_words(options, words):
    result = CliRunner().invoke(costpertoken, ["simulate", *options])
    assert isinstance(result.exception, InputError), result.output
    assert words in str(result.exception)


def test_an_unknown_format_is_refused_with_the_nearest(tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text("TIMESTAMP,Context,Generated\n1,2,3\n")
    with pytest.raises(InputError, match="nearest: TIMESTAMP,ContextTokens,GeneratedTokens"):
        said(*ON, "--trace", str(path))


def test_strict_stops_at_the_first_bad_row(trace):
    with pytest.raises(InputError, match="azure.csv, line 3, field TIMESTAMP"):
        said(*ON, "--trace", trace, "--strict")


def test_other_commands_do_not_load_the_compiler():
    code = "import sys, costpertoken.cli; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
