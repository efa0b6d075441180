"""The checks of claims on CPUs, each against arithmetic that is not the check's own."""

import numpy as np
import pytest

from costpertoken import tables
from costpertoken.evidence import admissible
from costpertoken.evidence.checks import cpu as checks
from costpertoken.evidence.claims import CHECKS, function_of, ledger, load_checks
from costpertoken.model.serving import serve
from costpertoken.tables.cpus import instance, single_price, vcpu_price

SMALL = {"cpu": "graviton4-48xl", "model": "llama-3.2-1b", "weights": "int8"}
LENGTHS = {"input_tokens": 300, "output_tokens": 200}


def test_graviton4_has_two_sockets_of_96_cores():
    row = tables.read("cpus").set_index("id").loc["graviton4-48xl"]
    assert checks.vcpus(cpu="graviton4-48xl") == 2 * 96 == row["sockets"] * row["cores_per_socket"]


def test_cost_per_1k_is_rent_over_what_one_step_makes():
    at = instance("llama-3.2-1b", "graviton4-48xl", weights="int8", n_vcpus=192)
    step_s = float(serve(at, concurrency=16, **LENGTHS).step.step_s)
    rent = tables.price_rows("graviton4-48xl")["value"].min()
    found = checks.cost_per_1k(**SMALL, n_vcpus=192, batch=16, per="output", **LENGTHS)
    assert found.value == pytest.approx(rent / 3600 / (16 / step_s) * 1000)
    assert found.low < found.value < found.high


def test_every_passing_token_pays_the_same_share():
    output = checks.cost_per_1k(**SMALL, n_vcpus=192, batch=16, per="output", **LENGTHS).value
    every = checks.cost_per_1k(**SMALL, n_vcpus=192, batch=16, per="token", **LENGTHS).value
    assert every == pytest.approx(output * 200 / 500)


def test_floor_lies_below_and_is_reading_or_multiplying():
    floor = checks.cost_per_1k(**SMALL, n_vcpus=192, batch=1, per="output", ideal=True, **LENGTHS)
    assert floor < checks.cost_per_1k(**SMALL, n_vcpus=192, batch=1, per="output", **LENGTHS).low
    one_pass = 7.657 / 3600 * 1.236e9 / 1073.4e9 * 1000  # every one of 1.236e9 parameters read once, a byte each at least
    assert floor > one_pass * 0.95


def test_the_solution_of_the_price_gives_the_printed_price():
    load_checks()
    known = admissible.inputs("graviton4-cost-per-1k")
    f, band = function_of(CHECKS["cpu-cost-per-1k"]), (0.00072, 0.00088)
    solution = admissible.solve(f, known, 0.0008, band)
    value = f({**admissible.defaults(known), **solution.changed}).value
    assert band[0] <= value <= band[1]


def test_a_gpu_half_as_busy_makes_tokens_twice_as_dear():
    common = {"usd_per_1k": 0.0008, "gpu": "l4", "model": "llama-3.1-8b", "weights": "int8", "per": "output", **LENGTHS}
    ratio = [checks.price_against_idle(utilisation=u, **common).value for u in (0.1, 0.2)]
    assert ratio[1] == pytest.approx(2 * ratio[0])
    rate = float(serve(tables.deployment("llama-3.1-8b", "l4", weights="int8"), **LENGTHS).output_tok_per_s)
    full = single_price("l4").usd_per_hour / 3600 / rate
    assert ratio[0] == pytest.approx(0.0008 / 1000 * 0.1 / full)


UNEVEN = {"gpu": "l4", "tpot_limit_s": 0.15, "ttft_limit_s": 5, **SMALL, **LENGTHS}


def test_one_small_instance_against_one_gpu():
    found = checks.uneven(**UNEVEN, mean_tok_per_s=0.1, peak_to_mean=2, cpu_fleet="held", gpu_fleet="held")
    sizes = np.array([4, 8, 16]) * vcpu_price("graviton4-48xl").usd_per_hour / single_price("l4").usd_per_hour
    assert np.isclose(sizes, found.value).any()


def test_a_fleet_that_follows_pays_its_peak_for_the_share_of_the_peak():
    assert checks.bill(10.0, 1.0, 5.0, "follows") == pytest.approx(0.2 * 10 + 0.8 * 1)
    assert checks.bill(10.0, 1.0, 5.0, "held") == 10.0


def test_a_full_gpu_is_never_beaten_by_instances_held_for_the_same_peak():
    for mean in (2000, 20000):
        assert checks.uneven(**UNEVEN, mean_tok_per_s=mean, peak_to_mean=2, cpu_fleet="held", gpu_fleet="held").value > 1


def test_all_claims_of_the_chapter_have_a_verdict():
    assert len(ledger(chapter="hardware/cpu")) == 4
