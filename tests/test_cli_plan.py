"""`costpertoken plan`: what it prints, what it writes, and what it refuses."""

import datetime
import json
import re

import pytest
from click.testing import CliRunner

from costpertoken import tables
from costpertoken.cli import costpertoken, plan
from costpertoken.model.records import InputError

ONE = ("-m", "llama-3.1-8b", "-a", "h100-sxm", "-a", "l40s", "-w", "fp8")
LOAD = ("--rate", "8", "--ttft-ms", "800", "--tpot-ms", "40")
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def said(*options) -> str:
    result = CliRunner().invoke(costpertoken, ["plan", *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def record(*options) -> dict:
    return json.loads(said(*options, "--json"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.fixture
def trace(tmp_path):
    """A steady trace of ten minutes with a bad row."""
    clock = [f"2023-11-16 12:{second // 60:02d}:{second % 60:02d}.5" for second in range(600)]
    rows = [f"{at},{200 + i % 7 * 50},{20 + i % 5}" for i, at in enumerate(clock)]
    path = tmp_path / "azure.csv"
    path.write_text(AZURE + "\n".join([*rows[:300], "2023-11-16 12:05:00.0,0,5", *rows[300:]]))
    return str(path)


@pytest.fixture(scope="module")
def ranked():
    return record(*ONE, *LOAD, "--top", "4", "--replay", "2")


def test_ranked_by_cost_with_interval_and_next(ranked):
    rows = ranked["fleets"]
    assert len(rows) == 4
    usd = [row["usd_per_month"] for row in rows if row["simulated"] is None or row["simulated"]["is_kept"]]
    assert usd == sorted(usd)
    for row in rows:
        high = row["usd_per_mtok_high"]
        assert row["usd_per_mtok_low"] <= row["usd_per_mtok"] and (high is None or high >= row["usd_per_mtok"])
        assert row["usd_per_month_over_best"] == pytest.approx(row["usd_per_month"] - rows[0]["usd_per_month"])
        assert 0 < row["utilisation"] <= 1 and row["n_accelerators"] >= row["n_replicas"] * row["tp"]
        assert row["ttft_s"] <= 0.8 * 1.001 and row["tpot_s"] <= 0.04 * 1.001
    assert sum(row["simulated"] is not None for row in rows) >= 2


def test_bill_by_hand(ranked):
    row = ranked["fleets"][0]
    usd_per_hour = row["n_accelerators"] * row["usd_per_accelerator_hour"]
    assert row["usd_per_month"] == pytest.approx(usd_per_hour * 730)
    assert row["usd_per_mtok"] == pytest.approx(usd_per_hour / (8 * 300 * 3600 / 1e6))


def test_replay_keeps_the_limits(ranked):
    for row in ranked["fleets"]:
        if seen := row["simulated"]:
            assert seen["is_kept"] and seen["ttft_s"] <= 0.8 and seen["tpot_s"] <= 0.04


def test_table_says_what_json_does(ranked):
    text = said(*ONE, *LOAD, "--top", "4", "--replay", "2")
    best = ranked["fleets"][0]
    assert f"{best['n_replicas']} x {best['tp']} {best['accelerator']} fp8, bound by {best['binding']}" in text
    assert f"{best['usd_per_month']:,.0f}" in text and "USD a month more" in text and "●" in text
    assert max(map(len, text.splitlines())) <= 96


def test_the_same_requests_from_an_api(ranked):
    found = ranked["api"][0]
    listed = tables.read("api_prices").query("model_id == 'llama-3.1-8b' and provider == 'deepinfra'")
    million = 8 * 3600 * 730 / 1e6  # requests in a month, in millions
    route = (1000 * listed["input_usd_per_mtok"] + 300 * listed["output_usd_per_mtok"]).min() * million
    assert 0 < found["cheapest_usd_per_month"] <= route * (1 + 1e-9) and found["n_sellers"] > 5
    assert found["cheapest_usd_per_month"] <= found["median_usd_per_month"]
    assert f"from {found['cheapest']} would cost" in " ".join(said(*ONE, *LOAD, "--replay", "0").split())


def test_old_prices_are_marked(monkeypatch):
    class Later(datetime.date):
        @classmethod
        def today(cls):
            return cls(2030, 1, 1)

    monkeypatch.setattr(plan, "date", Later)
    found = record(*ONE, *LOAD, "--replay", "0")
    assert all(row["price_is_stale"] for row in found["fleets"])
    assert "past its shelf life of 120 days on 2030-01-01" in said(*ONE, *LOAD, "--replay", "0")


def test_a_trace_is_read_and_what_it_lacks_is_said(trace):
    found = record(*ONE, "--trace", trace, "--replay", "1", "--ttft-ms", "500")
    at = found["traffic"]
    assert at["n_requests"] == 600 and at["requests_per_s"] == pytest.approx(1.0, rel=0.01)
    assert next(iter(at["refused"].values())) == {"n": 1, "first_lines": [302]}
    assert "Refused" in said(*ONE, "--trace", trace, "--replay", "0")
    with pytest.raises(InputError, match="line 302"):
        said(*ONE, "--trace", trace, "--strict")


def test_the_page_needs_nothing_beside_it(tmp_path, ranked):
    target = tmp_path / "plan.html"
    said(*ONE, *LOAD, "--replay", "0", "--html", str(target))
    text = target.read_text()
    assert not re.search(r"<(?:script|link)|src=\"(?!data:)", text) and "<img" in text
    assert ranked["fleets"][0]["accelerator"] in text and list(tmp_path.iterdir()) == [target]
    with pytest.raises(InputError, match="is not a folder"):
        said(*ONE, *LOAD, "--html", str(tmp_path / "none" / "plan.html"))


def test_hourly_scaling_pays_less_than_a_fleet_for_the_peak():
    peaked = (*ONE, *LOAD, "--peak-to-mean", "3", "--rate", "60", "--replay", "0")
    fixed, hourly = record(*peaked)["fleets"][0], record(*peaked, "--scaling", "hourly")["fleets"][0]
    assert hourly["usd_per_month"] < fixed["usd_per_month"]
    assert hourly["paid_replicas"] < hourly["n_replicas"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "neither --trace nor --rate is given"),
        (("--rate", "2", "--trace", "x.csv"), "--trace and --rate contradict"),
        (("--rate", "2", "--provider", "lambdaa"), "unknown provider 'lambdaa'; nearest: Lambda"),
        (("--rate", "2", "--region", "us-east-9"), "unknown region 'us-east-9'; nearest: us-east-1"),
        (("--rate", "2", "--vendor", "nvidea"), "unknown vendor 'nvidea'; nearest: NVIDIA"),
        (("--rate", "2", "--term", "2y"), "unknown term '2y'; nearest: "),
        (("--rate", "2", "--max-price", "0.01"), "max price is 0.01 USD .* costs"),
        (("--rate", "2", "--budget", "1"), "--budget is 1 USD a month; the cheapest fleet costs .* more"),
        (("--rate", "-2"), "--rate is -2; expected"),
        (("--rate", "2", "--percentile", "100"), "--percentile is 100; expected"),
        (("--rate", "2", "--scaling", "daily"), "--scaling is 'daily'; expected one of fixed, hourly"),
        (("--rate", "2", "--min-replicas", "0"), "--min-replicas is 0"),
        (("--rate", "2", "--tpot-ms", "0.5"), "TPOT is .* where 0.5 ms are asked, .* times the limit; nearest feasible: --tpot"),
        (("--rate", "2", "-i", "500000"), "longer than the model's context"),
        (("--rate", "2", "--peak-to-mean", "0.5"), "peak_to_mean is 0.5"),
    ],
)
def test_refused_in_a_sentence(options, words):
    with pytest.raises(InputError, match=words):
        said(*ONE, *options)


def test_unknown_model_names_the_nearest():
    with pytest.raises(InputError, match="unknown model 'llama-3.1-7b'; nearest: "):
        said("-m", "llama-3.1-7b", "--rate", "2")


def test_the_nearest_feasible_limit_is_feasible():
    with pytest.raises(InputError) as refused:
        said(*ONE, "--rate", "0.01", "--tpot-ms", "0.5")
    nearest = re.search(r"nearest feasible: (--tpot-ms) (\S+)", str(refused.value))
    assert record(*ONE, "--rate", "0.001", "--replay", "0", nearest[1], nearest[2])["fleets"]
