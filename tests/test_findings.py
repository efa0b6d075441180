"""The ten findings: each equals what its chapter publishes, at the chapter's own inputs, and moves as it must with others."""

import json
import math
from pathlib import Path

import pytest

from bookpress import rerun
from bookpress.execute import read_chapter
from bookpress.project import find_project
from costpertoken.answers import findings
from costpertoken.answers.estimate import headline_price
from costpertoken.evidence.admissible import Figure
from costpertoken.parameters import declared

PROJECT = find_project(Path(__file__).parents[1])
#: Finding -> the number of which chapter it is.
SHOWN = {
    "token": ("economics/token_cost", "output"),
    "batching": ("economics/batching", "gain"),
    "context": ("economics/context", "prompt_ratio"),
    "precision": ("economics/precision", "fp8_full"),
    "cheapest": ("hardware/cheapest_accelerator", "cheapest_usd"),
    "owning": ("hardware/rent_or_own", "even"),
    "levers": ("software/composition", "whole"),
    "hosting": ("deployment/serverless", "ratio"),
    "edge": ("deployment/centre_or_edge", "ratio"),
    "article": ("evidence/ledger", "hold_share"),
}
#: Other numbers of the page -> those of the chapters.
BESIDE = {
    "alone": ("economics/token_cost", "alone"),
    "slower": ("economics/batching", "slower"),
    "eight_alone": ("economics/precision", "fp8_alone"),
    "own_usd": ("hardware/rent_or_own", "own"),
    "rent_usd": ("hardware/rent_or_own", "rent"),
    "before": ("software/composition", "before"),
    "after": ("software/composition", "after"),
    "from_today": ("software/composition", "from_current"),
    "n_hold": ("evidence/ledger", "n_hold"),
    "n_decided": ("evidence/ledger", "n_decided"),
    "n_under": ("evidence/ledger", "n_under"),
    "n_wrong": ("evidence/ledger", "n_wrong"),
    "median": ("evidence/model_quality", "offline_median"),
    "unseen": ("evidence/model_quality", "offline_unseen"),
}
#: A parameter of the page -> what chapters call it; the page leaves all else to CASES.
SHARED = ("model_id", "accelerator_id", "cloud_class", "input_tokens", "batch", "long_tokens", "requests_per_s", "sites")
BASE = {"model_id": "llama-3.1-70b", "accelerator_id": "h100-sxm", "input_tokens": 1000}


def parameters_of(page: str) -> dict:
    """The defaults that a page declares."""
    return {one.name: one.default for one in declared(rerun.parameters_cell(PROJECT, f"chapters/{page}"))}


def published(page: str) -> dict:
    """The numbers of a page in the book's reference."""
    rows = json.loads((PROJECT.references / "numbers.json").read_text("utf8"))
    found = {row["name"]: row for row in rows if row["chapter"] == f"chapters/{page}"}
    assert found, f"{page} has no numbers on record: run `make reference`"
    return found


@pytest.mark.parametrize("finding", SHOWN)
def test_a_finding_is_the_number_that_its_chapter_shows(finding):
    page, name = SHOWN[finding]
    here, there = published("summary"), published(page)
    told = [here[finding][field] for field in ("value", "low", "high")]
    assert told == pytest.approx([there[name][field] for field in ("value", "low", "high")], rel=1e-9)
    assert here[finding]["unit"] == there[name]["unit"] and here[finding]["text"] == there[name]["text"]


@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_a_finding_is_shown_there_too(name):
    page, there = BESIDE[name]
    assert published("summary")[name]["value"] == pytest.approx(published(page)[there]["value"], rel=1e-9)


#: Findings but the last, which takes the whole ledger, as functions of the page's parameters.
CHEAP = {
    "token": (findings.token, "model_id", "accelerator_id", "input_tokens", "cloud_class"),
    "batching": (findings.batching, "model_id", "accelerator_id", "input_tokens", "batch"),
    "context": (findings.context, "model_id", "long_tokens"),
    "precision": (findings.precision, "model_id", "accelerator_id", "input_tokens"),
    "cheapest": (findings.cheapest, "model_id", "accelerator_id", "input_tokens"),
    "owning": (findings.owning, "accelerator_id", "cloud_class"),
    "levers": (findings.together_gain, "model_id", "accelerator_id", "input_tokens"),
    "hosting": (findings.hosting, "hosted_id", "accelerator_id", "input_tokens", "requests_per_s"),
    "edge": (findings.spread_out, "model_id", "accelerator_id", "sites"),
}


@pytest.mark.parametrize("finding", CHEAP)
def test_a_finding_computed_now_is_the_number_that_its_chapter_shows(finding):
    function, *names = CHEAP[finding]
    given = parameters_of("summary")
    page, name = SHOWN[finding]
    there = published(page)[name]
    found = function(**{one: given[one] for one in names})
    assert found.chapter == page
    assert list(found.figure) == pytest.approx([there["value"], there["low"], there["high"]], rel=1e-8)
    assert found.number().text == there["text"]


@pytest.mark.parametrize("page", findings.CASES)
def test_a_case_is_what_its_chapter_declares(page):
    there, here = parameters_of(page), parameters_of("summary")
    assert {name: there[name] for name in findings.CASES[page]} == findings.CASES[page]
    same = [name for name in SHARED if name in there and name not in findings.CASES[page] and page != "deployment/serverless"]
    assert {name: there[name] for name in same} == {name: here[name] for name in same}


def test_the_hosted_model_is_that_of_its_chapter():
    there, here = parameters_of("deployment/serverless"), parameters_of("summary")
    assert here["hosted_id"] == there["model_id"]
    assert all(here[name] == there[name] for name in ("accelerator_id", "input_tokens", "requests_per_s"))


def test_each_finding_links_to_its_chapter_in_order():
    text = "\n".join(c.source for c in read_chapter(PROJECT.source("chapters/summary")).cells if c.cell_type == "markdown")
    at = [text.index(f"]({page}.md)") for page, _ in SHOWN.values()]
    assert at == sorted(at) and all(f"**{n}. " in text and f"{{{{ {name} }}}}" in text for n, name in enumerate(SHOWN, 1))


def test_a_full_token_costs_the_hour_over_the_tokens_of_an_hour():
    one = findings.token(**BASE, cloud_class="neocloud")
    dear = findings.token(**BASE, cloud_class="hyperscaler")
    rents = [headline_price("h100-sxm", cloud_class=name).usd_per_hour for name in ("neocloud", "hyperscaler")]
    assert dear.figure.value / one.figure.value == pytest.approx(rents[1] / rents[0])
    assert one.figure.low < one.figure.value < one.figure.high < one.facts["alone_usd"]


@pytest.mark.parametrize("batch", [2, 16, 256])
def test_the_saving_times_the_wait_is_the_batch(batch):
    one = findings.batching(**BASE, batch=batch)
    assert one.figure.value * one.facts["slower"] == pytest.approx(one.facts["held"])


def test_a_prompt_grows_faster_than_its_length_and_slower_than_its_square():
    one = findings.context(model_id="llama-3.1-70b", long_tokens=64000)
    assert one.facts["fold"] == 8 and 8 < one.figure.value < 64


def test_owning_pays_where_both_hours_cost_the_same():
    one = findings.owning(accelerator_id="h100-sxm", cloud_class="neocloud")
    assert one.facts["own_usd"] / (one.figure.value / 100) == pytest.approx(one.facts["rent_usd"])


def test_levers_divide_the_cost_that_was_before():
    one = findings.together_gain(**BASE)
    assert one.facts["before_usd"] / one.facts["after_usd"] == pytest.approx(one.figure.value)
    assert one.facts["after_usd"] < one.facts["today_usd"] < one.facts["before_usd"]
    assert one.facts["said"][0] <= one.facts["said"][1]


def test_own_machines_meet_the_median_seller_at_the_break_even():
    service = {"hosted_id": "llama-3.3-70b", "accelerator_id": "h100-sxm", "input_tokens": 1000}
    even = findings.hosting(**service, requests_per_s=10.0).facts["even_per_s"]
    assert findings.hosting(**service, requests_per_s=even).figure.value == pytest.approx(1.0, rel=1e-3)


def test_one_site_more_than_a_centre_costs_more_and_more():
    few, many = (findings.spread_out(model_id="llama-3.1-70b", accelerator_id="h100-sxm", sites=n).figure for n in (5, 200))
    assert few.value < many.value


def test_the_picture_has_intervals_around_each_number():
    one = findings.Finding(chapter="a", name="B", figure=Figure(2.0, 1.0, 5.0), unit="")
    row = findings.picture([one]).iloc[0]
    assert (row["low"], row["high"]) == (0.5, 2.5) and row["says"] == "2.00 times  (1.00 to 5.00)"
    assert row["finding"] == "1. B"
    assert math.isclose(row["middle"], 1.0)
