"""Checks of the chapter on portfolios, against the tables read by hand."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from costpertoken.evidence import claims, market
from costpertoken.evidence.checks import portfolio as checks
from costpertoken.fleet import profiles

DATA = Path(__file__).resolve().parents[1] / "data"


def price(**same):
    with (DATA / "gpu_prices.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if all(row[column] == value for column, value in same.items())]
    return [float(row["value"]) for row in rows]


def verdicts():
    return claims.ledger(chapter="deployment/portfolio").set_index("id")


@pytest.mark.parametrize("accelerator", ["a100-80gb-sxm", "a100-40gb-sxm"])
def test_spot_discount_by_hand(accelerator):
    (spot,) = price(provider="Azure", accelerator_id=accelerator, commitment="spot")
    (hourly,) = price(provider="Azure", accelerator_id=accelerator, commitment="on-demand", region="westeurope")
    found = checks.spot_discount(accelerator=accelerator, provider="Azure", region="westeurope")
    assert found == pytest.approx(100 * (hourly - spot) / hourly)


def test_spot_availability_by_hand():
    up = checks.spot_availability(read_as="hours-up", evictions_per_hour=0.2, recovery_hours=0.25)
    assert up == pytest.approx(100 * 5 / 5.25)  # five hours up, a quarter down
    survived = checks.spot_availability(read_as="hour-survived", evictions_per_hour=0.05, recovery_hours=1.0)
    assert survived == pytest.approx(100 * math.exp(-0.05))


def test_condition_of_the_availability_is_true_when_put_in():
    row = verdicts().loc["azure-spot-availability-95"]
    assert row["verdict"] == "holds-under"
    found = checks.spot_availability(read_as="hours-up", evictions_per_hour=0.2, recovery_hours=0.25)
    assert abs(found - 95) <= 0.5


def test_commitment_discount_by_hand():
    same = {"provider": "GCP", "accelerator_id": "a100-40gb-sxm", "region": "us-central1", "instance": "a2-highgpu-8g"}
    (term,), (hourly,) = price(commitment="3y", **same), price(commitment="on-demand", **same)
    found = checks.commitment_discount(accelerator="a100-40gb-sxm", provider="GCP", term="3y")
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(100 * (1 - term / hourly), abs=0.1)
    assert math.isnan(checks.commitment_discount(accelerator="h200-sxm", provider="GCP", term="3y").value)


def test_one_seller_with_everything_makes_several_useless():
    asked = {"accelerator": "a100-80gb-sxm", "target": 0.999, "evictions_per_hour": 0.02}
    assert checks.several_clouds_saving(sellers="both", **asked) == 0
    assert checks.several_clouds_saving(sellers="hyperscalers", **asked) > 10


def test_saving_where_nothing_can_be_evicted_by_hand():
    week = np.ceil(2 * profiles.week(peak_to_mean=1.5) - 1e-9)
    case = market.Case(accelerator_id="h100-sxm", sellers="both", target=1.0, **checks.LOAD)
    assert market.plan(case).usd_per_hour == pytest.approx(8 * 1.9 * week.mean())  # Hyperstack's, without a promise


def test_verdicts():
    found = verdicts()["verdict"]
    assert found["azure-spot-a100-60"] == "understated" and found["gcp-cud-57"] == "holds"
    assert found["multicloud-routing-cheapest"] == "holds-under"
