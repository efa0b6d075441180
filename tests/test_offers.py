"""Offers that a user allows: names, constraints that leave nothing, whole instances, spot's useful hours."""

import shutil

import numpy as np
import pandas as pd
import pytest

from costpertoken import tables
from costpertoken.answers.offers import CLASSES, SAME, TERMS, billed_accelerators, named, narrowed, offers, useful
from costpertoken.model.records import InputError, UnknownName

HEAD = "provider,cloud_class,region,instance,accelerator_id,n_accel,commitment,value,unit,basis,source,as_of,flag"
#: Three hyperscalers' rows of two dates, a neocloud, a marketplace, spot, and a suspect row that is cheap.
ROWS = """
AWS,hyperscaler,us-east-1,p5.48xlarge,h100-sxm,8,on-demand,6.0,2026-05-01,
AWS,hyperscaler,us-east-1,p5.48xlarge,h100-sxm,8,on-demand,4.0,2026-07,
AWS,hyperscaler,us-east-1,p5.48xlarge,h100-sxm,8,on-demand,5.0,2026-06-30,
AWS,hyperscaler,us-east-1,p5.48xlarge,h100-sxm,8,spot,2.0,2026-07-20,
AWS,hyperscaler,us-east-1,p5.48xlarge,h100-sxm,8,3y,1.9,2026-07-20,
AWS,hyperscaler,us-east-1,p5.48xlarge,h100-sxm,8,unspecified,0.2,2026-07-20,
Azure,hyperscaler,westeurope,ND MI300X v5,mi300x,8,on-demand,7.0,2026-06-18,
Lambda,neocloud,,,h100-sxm,1,on-demand,3.0,2026-07-20,
Lambda,neocloud,,,l40s,1,on-demand,0.1,2026-07-20,suspect
Vast.ai,marketplace,,,h100-sxm,1,on-demand,1.5,2026-08-21,
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The tables with a few made-up prices."""
    folder = tmp_path / "data"
    shutil.copytree(tables.data_dir(), folder)
    cells = [line.split(",") for line in ROWS.strip().splitlines()]
    rows = pd.DataFrame(cells, columns=[name for name in HEAD.split(",") if name not in ("unit", "basis", "source")])
    rows = rows.assign(
        unit="USD/accelerator-hour", basis="published", source="lambda", low="", high="", locator="page", note=""
    )
    rows[tables.read("gpu_prices").columns].to_csv(folder / "gpu_prices.csv", index=False)
    monkeypatch.setenv("COSTPERTOKEN_DATA", str(folder))


def found(**asked) -> list[tuple]:
    """Provider and price of the offers."""
    rows = offers(**asked)
    return sorted(zip(rows["provider"], rows["value"], strict=True))


# ---- what is allowed


def test_newest_of_each_offer_without_marketplaces_and_suspects(small):
    assert found() == [("AWS", 4.0), ("Azure", 7.0), ("Lambda", 3.0)]
    assert list(offers()["usd_per_useful_hour"]) == list(offers()["value"])


def test_marketplaces_are_there_when_they_are_named(small):
    assert found(providers=["vast.AI"]) == [("Vast.ai", 1.5)]
    assert found(classes=["Marketplace", "neocloud"]) == [("Lambda", 3.0), ("Vast.ai", 1.5)]
    assert found(providers=["Lambda", "AWS"], classes=["neocloud"]) == [("Lambda", 3.0)]


def test_constraints_narrow_by_names_in_any_case(small):
    assert found(vendors=["amd"]) == found(accelerators=["MI300X"]) == found(regions=["WestEurope"]) == [("Azure", 7.0)]
    assert found(terms=["Spot", "3Y"]) == [("AWS", 1.9), ("AWS", 2.0)]
    assert found(providers=["aws"], terms=TERMS) == [("AWS", 1.9), ("AWS", 2.0), ("AWS", 4.0)]
    assert found(max_usd_per_hour=3.0) == [("Lambda", 3.0)]


def test_all_offers_on_record_by_the_laws():
    rows = offers(terms=TERMS)
    assert not rows.duplicated(SAME).any() and set(rows["cloud_class"]) == set(CLASSES) and set(rows["flag"]) == {""}
    every = tables.read("gpu_prices").query("flag == ''").groupby(SAME)["as_of"].max()
    assert all(row["as_of"] == every[tuple(row[SAME])] for _, row in rows.iterrows())
    cheap = offers(terms=TERMS, max_usd_per_hour=2.0)
    assert cheap["value"].max() <= 2.0 and len(cheap) == (rows["value"] <= 2.0).sum()
    for column, name in (("provider", "providers"), ("region", "regions"), ("accelerator_id", "accelerators")):
        for value in rows[column].unique()[:6]:
            if value:
                assert set(offers(terms=TERMS, **{name: [value.upper()]})[column]) == {value}


# ---- what is refused


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"providers": ["Lamda"]}, "unknown provider 'Lamda'; nearest: Lambda"),
        ({"regions": ["us-east1"]}, "unknown region 'us-east1'; nearest: us-east-1"),
        ({"vendors": ["nvida"]}, "unknown vendor 'nvida'; nearest: NVIDIA"),
        ({"accelerators": ["h100"]}, "unknown accelerator 'h100'; nearest: h100-"),
        ({"classes": ["neoclouds"]}, "unknown cloud class 'neoclouds'; nearest: neocloud"),
        ({"terms": ["demand"]}, "unknown term 'demand'; nearest: on-demand"),
    ],
)
def test_unknown_names_get_the_nearest(small, asked, sentence):
    with pytest.raises(UnknownName, match=sentence):
        offers(**asked)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"providers": ["Lambda"], "terms": ["3y"]}, "with term 3y under the other constraints; there: on-demand$"),
        ({"vendors": ["AMD"], "providers": ["Lambda", "AWS"]}, "with provider Lambda or AWS .* there: Azure$"),
        ({"providers": ["aws"], "regions": ["westeurope"]}, "with region westeurope .* there: us-east-1$"),
        ({"providers": ["Lambda"], "regions": ["westeurope"]}, "with region westeurope .* there: none$"),
        ({"providers": ["Vast.ai"], "classes": ["neocloud"]}, "with cloud class neocloud .* there: marketplace$"),
        ({"accelerators": ["t4"]}, "with accelerator t4 .* there: h100-sxm, mi300x$"),
        ({"accelerators": ["l40s"]}, "with accelerator l40s .* there: h100-sxm, mi300x$"),  # suspect rows are no offers
        (
            {"max_usd_per_hour": 2.5},
            "max price is 2.5 USD an accelerator-hour; the cheapest offer that is allowed costs 3$",
        ),
        ({"max_usd_per_hour": 0.0}, "max price is 0; expected a finite number above 0"),
    ],
)
def test_a_constraint_that_leaves_nothing_says_what_was_there(small, asked, sentence):
    with pytest.raises(InputError, match=sentence):
        offers(**asked)


def test_names_come_back_as_the_table_has_them():
    assert named("thing", ["ABC", "d-E"], ["abc", "D-e", "", "f"]) == ["abc", "D-e"]
    assert named("thing", [], ["abc"]) == []
    with pytest.raises(UnknownName, match="unknown thing ''"):
        named("thing", [""], ["abc", ""])


def test_nothing_asked_narrows_nothing():
    rows = pd.DataFrame({"at": ["one", "two", ""]})
    assert len(narrowed(rows, "at", "place", [])) == 3 and len(narrowed(rows, "at", "place", ["one"])) == 1
    with pytest.raises(InputError, match="place three under the other constraints; there: one, two$"):
        narrowed(rows, "at", "place", ["three"])


# ---- what is billed


def test_whole_instances_by_hand():
    rows = pd.DataFrame({"instance": ["eight", "four", "one", ""], "n_accel": [8.0, 4.0, 1.0, 8.0]})

    def billed(n_replicas: int, tp: int) -> list[float]:
        return np.nan_to_num(billed_accelerators(rows, n_replicas=n_replicas, tp=tp), nan=-1.0).tolist()

    assert billed(1, 1) == [8, 4, 1, 1]
    assert billed(9, 1) == [16, 12, 9, 9]
    assert billed(5, 2) == [16, 12, -1, 10]  # four replicas to the eight, two to the four
    assert billed(3, 4) == [16, 12, -1, 12]
    assert billed(3, 8) == [24, -1, -1, 24]


def test_replicas_that_leave_a_rest_do_not_share_it():
    six = pd.DataFrame({"instance": ["six"], "n_accel": [6.0]})
    assert billed_accelerators(six, n_replicas=3, tp=4).tolist() == [18]  # one of four to each six


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_bills_never_fall_with_more_replicas(tp):
    rows = offers(terms=TERMS)
    billed = np.array([billed_accelerators(rows, n_replicas=n, tp=tp) for n in range(1, 20)])
    fits = ~np.isnan(billed[0])
    assert (np.diff(billed[:, fits], axis=0) >= 0).all() and (billed[:, fits] >= tp * np.arange(1, 20)[:, None]).all()
    assert (fits == ((rows["instance"] == "") | (rows["n_accel"] >= tp))).all()


def test_spot_by_hand(small):
    """An eviction in 50 hours loses a quarter of an hour: half a per cent of the time."""
    facts = tables.read("ownership").set_index(["quantity", "scope"])["value"]
    assert facts["spot_interruption_rate", "all"] == 0.02 and facts["eviction_loss", "serving"] == 0.25
    rows = offers(terms=["spot", "3y"]).set_index("commitment")["usd_per_useful_hour"]
    assert rows["spot"] == pytest.approx(2.0 / 0.995) and rows["3y"] == 1.9
    both = pd.DataFrame({"value": [1.99, 1.99], "commitment": ["spot", "on-demand"]})
    assert useful(both) == pytest.approx([2.0, 1.99])
