"""The command as a user meets it: help, figures, and every bad input answered by one sentence and exit status 2."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from costpertoken.cli import main
from costpertoken.cli.cost import cost

DATA = Path(__file__).resolve().parents[1] / "data"
ONE = ("cost", "-m", "llama-3.1-70b", "-a", "h100-sxm", "-w", "fp8")


@pytest.fixture
def run(monkeypatch, capsys):
    """Call the command in this process: (exit status, standard output, standard error)."""

    def call(*words):
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "argv", ["costpertoken", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return call


@pytest.fixture
def refused(run):
    """What standard error says of a call that must fail as bad input does."""

    def call(*words):
        status, out, err = run(*words)
        assert (status, out) == (2, "")
        return err

    return call


@pytest.fixture
def answered(run):
    """The JSON of a call, read strictly: no NaN, no Infinity."""

    def call(*words):
        status, out, err = run(*words, "--json")
        assert (status, err) == (0, "")
        return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    return call


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Change one table of a copy of data/, and use the copy."""

    def change(table, pattern, new):
        folder = shutil.copytree(DATA, tmp_path / "data", dirs_exist_ok=True)
        path = folder / f"{table}.csv"
        text, n = re.subn(pattern, new, path.read_text("utf8"), flags=re.MULTILINE)
        assert n, "the row that the test breaks is gone"
        path.write_text(text, "utf8")
        monkeypatch.setenv("COSTPERTOKEN_DATA", str(folder))
        return folder

    return change


# ---- help


def test_help_lists_every_option_with_words(run):
    _, out, _ = run("cost", "--help")
    for option in cost.params:
        assert option.help and option.help[0].isupper() and option.help.endswith("."), option.name
        assert max(option.opts, key=len) in out
    assert max(map(len, out.splitlines())) <= 100


def test_examples_of_the_help_work(run):
    _, out, _ = run("cost", "--help")
    examples = re.findall(r"^ +costpertoken (.+)$", out, re.MULTILINE)
    assert len(examples) >= 3
    for example in examples:
        assert run(*example.split())[0] == 0, example


def test_console_script_is_installed():
    script = Path(sys.executable).with_name("costpertoken")
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# ---- figures


def test_json_and_table_show_the_same(run, answered):
    plain, (_, table, _) = answered(*ONE), run(*ONE)
    for kind in ("output", "input"):
        at = plain["usd_per_mtok"][kind]
        spans = [f"{at[low]:.3f} to {at[high]:.3f}" for low, high in (("model_low", "model_high"), ("low", "high"))]
        row = next(line for line in table.splitlines() if line.startswith(f" {kind} "))
        assert all(text in row for text in [f"{at['value']:.3f}", *spans])
    assert f"{plain['per_replica']['output_tok_per_s']:,.0f} output tokens/s" in table
    assert f"{plain['price']['usd_per_hour']:.2f} USD" in table


@pytest.mark.parametrize("allocation", ["work", "per-token", "list-price"])
def test_tokens_pay_the_bill(answered, allocation):
    """Each price times its tokens an hour, added up, is what the accelerators cost an hour."""
    plain = answered(*ONE, "--price", 2.5, "--allocation", allocation)
    speed, usd, load = plain["per_replica"], plain["usd_per_mtok"], plain["workload"]
    mtok = {kind: speed["requests_per_s"] * load[f"{kind}_tokens"] * 3600 / 1e6 for kind in ("input", "output")}
    paid = sum(usd[kind]["value"] * mtok[kind] for kind in mtok)
    assert paid == pytest.approx(2.5 * plain["n_accelerators"])


def test_a_price_given_has_no_market_range(answered):
    at = answered(*ONE, "--price", 3)["usd_per_mtok"]["output"]
    assert at["price_low"] == at["value"] == at["price_high"] and at["low"] == at["model_low"]


def test_idle_time_is_paid(answered):
    full, half = (answered(*ONE, "-u", share)["usd_per_mtok"]["output"]["value"] for share in (1, 0.5))
    assert half == pytest.approx(2 * full)


def test_cached_input_has_a_price_only_where_it_flows(answered):
    assert answered(*ONE)["usd_per_mtok"]["cached input"] is None
    paid = answered(*ONE, "--cached-share", 0.5, "--allocation", "per-token")["usd_per_mtok"]
    assert paid["cached input"]["value"] == pytest.approx(paid["output"]["value"])


def test_a_load_sets_the_replicas(answered):
    plain = answered(*ONE, "-r", 100)
    carried = plain["n_replicas"] * plain["per_replica"]["requests_per_s"] * plain["utilisation"]
    assert plain["n_replicas"] > 1 and carried == pytest.approx(100)


def test_the_engine_changes_the_answer(answered):
    speeds = {name: answered(*ONE, "--engine", name)["per_replica"]["output_tok_per_s"] for name in ("vllm", "sglang")}
    assert speeds["vllm"] != speeds["sglang"]


def test_an_unknown_engine_names_the_nearest(refused):
    err = refused(*ONE, "--engine", "vlm")
    assert "unknown engine 'vlm'" in err and "vllm" in err


# ---- names that no table holds


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-m", "llama-3.1-700b"), ["unknown model 'llama-3.1-700b'", "llama-3.1-70b"]),
        (("-m", "LLAMA-3.1-70B "), ["unknown model", "llama-3.1-70b"]),
        (("-a", "h100"), ["unknown accelerator 'h100'", "h100-sxm", "h100-pcie"]),
        (("-w", "fp9"), ["unknown precision 'fp9'", "fp8"]),
        (("--activations", "bf15"), ["unknown precision 'bf15'", "bf16"]),
        (("--cache", "fp"), ["unknown precision 'fp'", "fp8"]),
        (("--provider", "azur"), ["unknown provider 'azur'", "Azure"]),
        (("--region", "eastus9"), ["unknown region 'eastus9'", "eastus"]),
        (("--cloud-class", "hyperscalar"), ["unknown cloud_class", "hyperscaler"]),
        (("--commitment", "on demand"), ["unknown commitment", "on-demand"]),
        (("--allocation", "per-tokn"), ["allocation is 'per-tokn'", "per-token"]),
        (("--modle", "x"), ["--modle", "--model"]),
        (("--json-lines",), ["--json-lines", "--json"]),
    ],
)
def test_unknown_names_get_the_nearest(refused, words, says):
    err = refused(*ONE, *words)
    assert all(text in err for text in says), err


def test_what_is_missing_is_named(refused):
    assert "--accelerator" in refused("cost", "-m", "llama-3.1-70b")
    assert "cots" in refused("cots")


def test_a_price_that_nobody_offers_names_those_on_record(refused):
    err = refused("cost", "-m", "llama-3.1-8b", "-a", "t4", "--commitment", "3y", "--cloud-class", "marketplace")
    assert "no marketplace 3y price of t4" in err and "hyperscaler" in err


# ---- values


@pytest.mark.parametrize(
    ("option", "value", "field", "limit"),
    [
        ("--input-tokens", 0, "input_tokens is 0", "at least 1"),
        ("--input-tokens", "nan", "input_tokens is nan", "finite"),
        ("--output-tokens", -3, "output_tokens is -3", "at least 1"),
        ("--output-tokens", "inf", "output_tokens is inf", "finite"),
        ("--cached-share", 1, "cached_share is 1", "at most 0.999"),
        ("--cached-share", -0.1, "cached_share is -0.1", "at least 0"),
        ("--concurrency", 0.5, "concurrency is 0.5", "at least 1"),
        ("--concurrency", "nan", "concurrency is nan", "finite"),
        ("--requests-per-s", 0, "requests_per_s is 0", "above 0"),
        ("--requests-per-s", "nan", "requests_per_s is nan", "finite"),
        ("--utilisation", 0, "utilisation is 0", "above 0 and at most 1"),
        ("--utilisation", 1.01, "utilisation is 1.01", "at most 1"),
        ("--utilisation", "nan", "utilisation is nan", "finite"),
        ("--price", 0, "price is 0", "above 0"),
        ("--price", -2, "usd_per_hour is -2", "at least 0"),
        ("--price", "nan", "usd_per_hour is nan", "finite"),
        ("--tp", 0, "tp is 0", "at least 1"),
        ("--tp", 3, "tp is 3", "try one of 1, 2, 4, 8"),
        ("--pp", -1, "pp is -1", "at least 1"),
        ("--dp", 0, "dp is 0", "at least 1"),
        ("--ep", 2, "ep is 2", "no experts"),
        ("--tp", "two", "'--tp'", "'two' is not a valid integer"),
        ("--price", "cheap", "'--price'", "'cheap' is not a valid float"),
    ],
)
def test_bad_values_are_refused_with_field_and_range(refused, option, value, field, limit):
    err = refused(*ONE, option, value)
    assert field in err and limit in err, err


@pytest.mark.parametrize(
    "words",
    [
        ("--concurrency", 8, "--requests-per-s", 2),
        ("--utilisation", 0.5, "--requests-per-s", 2),
        ("--price", 2, "--provider", "Azure"),
        ("--price", 2, "--cloud-class", "neocloud"),
    ],
)
def test_contradictions_are_refused_by_both_names(refused, words):
    err = refused(*ONE, *words)
    assert words[0] in err and words[2] in err and "contradict" in err


# ---- what does not fit


def test_weights_that_do_not_fit(refused):
    """70.6e9 parameters at two bytes on 48 GB: 141.1 GB needed, four of them are enough."""
    err = refused("cost", "-m", "llama-3.1-70b", "-a", "l40s", "--tp", 1)
    assert "weights do not fit" in err and "need 141.1 GB" in err and "smallest that fits: tp 4" in err
    assert 40 < float(re.search(r"([\d.]+) GB are there", err)[1]) < 48


def test_a_cache_that_does_not_fit(refused):
    """131,000 tokens at 2 x 32 x 8 x 128 x 2 = 131,072 bytes each: 17.2 GB beside 16.1 GB of weights on 24 GB."""
    err = refused("cost", "-m", "llama-3.1-8b", "-a", "l4", "--tp", 1, "-i", 130_500, "-o", 500)
    assert "cache of one request does not fit" in err and "one request 17.2 GB" in err and "tp 2" in err


def test_longer_than_the_context(refused):
    err = refused(*ONE, "-i", 131_072, "-o", 1)
    assert "131,073 tokens" in err and "context of 131,072 tokens" in err


def test_nothing_fits(refused):
    err = refused("cost", "-m", "llama-3.1-405b", "-a", "t4")
    assert "weights do not fit" in err and "fewer bits" in err


# ---- broken tables


@pytest.mark.parametrize(
    ("table", "pattern", "new", "says"),
    [
        ("accelerators", r"^(h100-sxm,.*),3350,", r"\1,fast,", ["column memory_gb_s: 'fast'", "number"]),
        ("accelerators", r"^(h100-sxm,.*),3350,", r"\1,,", ["column memory_gb_s: empty"]),
        ("accelerators", r"^(h100-sxm,.*),3350,", r"\1,-3350,", ["column memory_gb_s: '-3350'", "not negative"]),
        ("accelerators", r"^(h100-sxm,.*),3350,", r"\1,inf,", ["column memory_gb_s: 'inf'", "finite"]),
        ("accelerators", r"^(h100-sxm,.*),3350,", r"\1,0,", ["row h100-sxm", "memory_bytes_per_s is 0"]),
        ("models", r"^(llama-3.1-70b,.*),80,,8192,", r"\1,80.5,,8192,", ["column n_layers: '80.5'", "whole number"]),
        ("models", r"^(llama-3.1-70b,.*),gqa,", r"\1,gqx,", ["column attention: 'gqx'", "mha, gqa, mqa, mla"]),
        ("models", r"^(llama-3.1-70b,.*),false,", r"\1,no,", ["column tied_embeddings: 'no'", "true or false"]),
        ("gpu_prices", r",on-demand,", r",on-demand,about ", ["column value: 'about "]),
    ],
)
def test_a_broken_cell_is_named(refused, broken, table, pattern, new, says):
    lines = (broken(table, pattern, new) / f"{table}.csv").read_text("utf8").splitlines()
    err = refused(*ONE)
    whole = (DATA / f"{table}.csv").read_text("utf8").splitlines()
    row = next(n for n, (was, now) in enumerate(zip(whole, lines, strict=True), start=1) if was != now)
    assert f"data/{table}.csv" in err and all(text in err for text in says), err
    assert f"row {row}," in err or "row h100-sxm" in err


@pytest.mark.parametrize(
    ("table", "pattern", "new", "says"),
    [
        ("models", r",n_heads,", ",heads,", ["column n_heads is missing", "heads"]),
        ("codebook", r"^table,column", "tab,column", ["column table is missing"]),
        ("models", r"^(llama-3.1-70b,.*)$", r"\1,extra", ["row 26: ", "cells; expected"]),
        ("models", r"^(llama-3.1-70b,)", r'\1"', ["cannot be read"]),
        ("models", r"^llama-3.1-8b,", "llama-3.1-70b,", ["column id: 'llama-3.1-70b' stands there twice"]),
        (
            "calibration",
            r"^weight_bandwidth,",
            "weight_bandwidht,",
            ["'weight_bandwidht' is unknown", "weight_bandwidth"],
        ),
        ("calibration", r"^weight_bandwidth,.*\n", "", ["no row for weight_bandwidth"]),
        ("calibration", r"^(weight_bandwidth,,,,)[\d.]+", r"\g<1>92", ["weight_bandwidth is 92", "at most"]),
        ("precisions", r"^fp8,", "fp-8,", ["unknown precision 'fp8'", "fp-8"]),
    ],
)
def test_a_broken_table_is_named(refused, broken, table, pattern, new, says):
    broken(table, pattern, new)
    err = refused(*ONE)
    assert all(text in err for text in says), err
    assert f"data/{table}.csv" in err or table == "precisions"


@pytest.mark.parametrize("table", ["models", "accelerators", "precisions", "calibration", "gpu_prices", "codebook"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00"])
def test_a_missing_or_unreadable_table_is_named(refused, broken, table, content):
    path = broken(table, r"\Z", "") / f"{table}.csv"
    path.unlink() if content is None else path.write_bytes(content)
    assert f"{table}.csv" in refused(*ONE)


def test_a_folder_without_tables_is_named(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("COSTPERTOKEN_DATA", str(tmp_path))
    err = refused(*ONE)
    assert str(tmp_path) in err and "COSTPERTOKEN_DATA" in err
