"""Checks of the chapter on renting and owning, against the tables read by hand."""

import csv
from pathlib import Path

import pytest

from costpertoken.evidence import claims
from costpertoken.evidence.checks import rent_or_own as checks

DATA = Path(__file__).resolve().parents[1] / "data"


def rows(table, **same):
    with (DATA / f"{table}.csv").open(newline="") as lines:
        return [row for row in csv.DictReader(lines) if all(row[column] == value for column, value in same.items())]


def verdicts():
    return claims.ledger(chapter="hardware/rent_or_own").set_index("id")


def test_purchase_price_is_the_row_with_its_range():
    (row,) = rows("ownership", quantity="gpu_purchase", scope="new", accelerator_id="h200-sxm")
    assert checks.purchase_price(accelerator="h200-sxm") == tuple(float(row[c]) for c in ("value", "low", "high"))


def test_offers_lie_around_their_median():
    offers = rows("gpu_prices", accelerator_id="h200-sxm", cloud_class="neocloud", commitment="on-demand", flag="")
    each = sorted(float(v) for *_, v in {(r["provider"], r["instance"], r["region"], r["value"]) for r in offers})
    found = checks.rent_offers(accelerator="h200-sxm", cloud_class="neocloud", commitment="on-demand")
    assert found.value == pytest.approx((each[(len(each) - 1) // 2] + each[len(each) // 2]) / 2)
    assert each[0] <= found.low <= found.value <= found.high <= each[-1]


@pytest.mark.parametrize(("accelerator", "instance"), [("h100-sxm", "p5.48xlarge"), ("a100-40gb-sxm", "p4d.24xlarge")])
def test_the_cut_of_june_2025_by_hand(accelerator, instance):
    before, after = (float(r["value"]) for r in rows("gpu_price_history", accelerator_id=accelerator, instance=instance))
    cut = checks.price_cut(accelerator=accelerator, provider="AWS", month="2025-06")
    assert cut == pytest.approx(100 * (before - after) / before)


def test_a_list_price_stands_until_the_next_one():
    asked = {"form": "sxm", "provider": "AWS", "commitment": "on-demand"}
    assert checks.rent_in_the_past(month="2025-05", **asked) == 12.29
    assert checks.rent_in_the_past(month="2025-06", **asked) == 6.88
    assert checks.rent_in_the_past(month="2023-01", **asked) != checks.rent_in_the_past(month="2023-01", **asked)  # NaN


def test_condition_of_the_old_rent_is_true_when_put_in():
    row = verdicts().loc["h100-cloud-price-before"]
    assert row["verdict"] == "holds-under"
    value = checks.rent_in_the_past(form="nvl", provider="Azure", commitment="on-demand", month="2025-05")
    assert 7 - 0.7 <= value <= 8 + 0.7


def test_price_ratio_by_hand():
    found = checks.price_over_h100(accelerator="mi300x", basis="purchase")
    assert found.value == pytest.approx(15_000 / 30_000)
    assert found.low < 10_000 / 30_000 and found.high == pytest.approx(15_000 / 25_000)
    assert checks.price_over_h100(accelerator="mi300x", basis="hyperscaler").value == pytest.approx(6.0 / 12.29, rel=0.2)


def test_power_of_like_and_unlike_forms():
    assert checks.power_gaudi3_h100(form_gaudi3="oam", form_h100="sxm") == pytest.approx(900 / 700)
    assert checks.power_gaudi3_h100(form_gaudi3="pcie", form_h100="sxm") == pytest.approx(600 / 700)
    assert checks.power_gaudi3_h100(form_gaudi3="pcie", form_h100="pcie") == pytest.approx(600 / 350)


def test_blackwell_is_not_verifiable_and_counts_its_sellers():
    offers = rows("gpu_prices", accelerator_id="b200-sxm", commitment="on-demand", flag="")
    with pytest.raises(claims.Unverifiable, match=f"{len({r['provider'] for r in offers})} B200"):
        checks.blackwell_supply()
