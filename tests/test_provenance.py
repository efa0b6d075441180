"""What stands on record: counts, ages and changes by hand on small frames, and laws over the tables as they are."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from costpertoken import tables
from costpertoken.answers import provenance as on_record


def priced(**columns) -> pd.DataFrame:
    plain = {"kind": "accelerators", "seller": "A", "suspect": False, "oldest_days": 0}
    return pd.DataFrame({**plain, **columns})


def history(*changes, until: int, group: str = "g", offer: str = "o") -> pd.DataFrame:
    day, value = zip(*changes, strict=True)
    return pd.DataFrame({"group": group, "offer": offer, "day": day, "value": value, "until": until})


def test_every_table_is_described_and_every_row_is_counted():
    shown = on_record.overview()
    assert set(shown["table"]) == set(on_record.HOLDS) == {path.stem for path in tables.data_dir().glob("*.csv")}
    lines = {path.stem: len(pd.read_csv(path, dtype=str)) for path in tables.data_dir().glob("*.csv")}
    assert dict(zip(shown["table"], shown["rows"], strict=True)) == lines


def test_records_have_a_basis_and_a_source_on_record():
    rows = on_record.records()
    assert set(rows["basis"]) <= set(on_record.BASES)
    assert set(rows["source"]) <= set(tables.read("sources")["id"])
    assert len(rows) == sum(len(tables.read(t)) for t in on_record.named() if "basis" in tables.read(t))


def test_rows_by_basis_leave_out_large_tables_only_and_stack_in_one_order():
    rows = pd.DataFrame(
        {"table": ["a"] * 3 + ["b"] * 5 + ["c"], "basis": ["assumed"] * 2 + ["measured"] + ["derived"] * 5 + ["published"]}
    )
    counted = on_record.by_basis(rows, most=4)
    assert counted["table"].unique().tolist() == ["a", "c"] and counted["rows"].sum() == 4
    assert counted[counted["table"] == "a"]["rows"].tolist() == [1, 0, 0, 2]
    assert counted["basis"].tolist() == 2 * list(on_record.BASES)


@pytest.mark.parametrize(
    ("text", "first"), [("2025", date(2025, 1, 1)), ("2025-06", date(2025, 6, 1)), ("2025-06-09", date(2025, 6, 9))]
)
def test_the_first_day_that_a_date_can_mean(text, first):
    assert on_record.earliest_day(text) == first


def test_past_its_shelf_life_from_the_day_after():
    rows = priced(age_days=[119, 120, 121, 200])
    assert on_record.past(rows, shelf_days=120) == 0.5
    assert on_record.past(rows, shelf_days=120, later_days=np.array([0, 1, 2])).tolist() == [0.5, 0.75, 1.0]


def test_ages_agree_with_the_shelf_life_of_the_library():
    on = on_record.edition()
    for kind, table in on_record.PRICES.items():
        stale = [tables.is_stale(as_of, on) for as_of in tables.read(table)["as_of"]]
        assert on_record.past(on_record.prices(kind, on=on), shelf_days=tables.SHELF_DAYS) == pytest.approx(np.mean(stale))


def test_the_share_by_each_choice():
    rows = priced(
        seller=["A", "A", "A", "B"],
        suspect=[True, False, False, False],
        age_days=[200, 100, 100, 200],
        oldest_days=[200, 100, 130, 200],
    )
    share = {"shelf_days": 120, "later_days": 0}
    assert on_record.share_past(rows, **share) == 50
    assert on_record.share_past(rows, **share, first_day=1) == 75
    assert on_record.share_past(rows, **share, suspects_out=1) == pytest.approx(100 / 3)
    assert on_record.share_past(rows, **share, sellers_alike=1) == pytest.approx(100 * (1 / 3 + 1) / 2)


def test_sellers_by_rows_then_by_age():
    rows = priced(seller=["A", "A", "B", "B", "B", "C"], age_days=[10, 30, 1, 2, 9, 5])
    shown = on_record.by_seller(rows, n_sellers=2)
    assert shown[["seller", "youngest", "median", "oldest"]].values.tolist() == [["B", 1, 2, 9], ["A", 10, 20, 30]]


def test_a_price_holds_until_it_changes():
    # 1 on days 0 to 13, then 2 until day 28. A week apart, days 0, 7, 14 and 21: 7 to 14 doubles.
    off = on_record.compared(np.array([0, 14]), np.array([1.0, 2.0]), 28, 7)
    assert off.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert on_record.compared(np.array([0]), np.array([1.0]), 28, 7).tolist() == [0.0] * 4
    assert on_record.compared(np.array([0]), np.array([1.0]), 5, 7).size == 0


def test_shares_are_over_the_pairs_of_all_offers():
    both = pd.concat([history((0, 1.0), (14, 2.0), until=28), history((0, 1.0), until=28, offer="p")])
    found = on_record.moved(both, ages=[7, 28], change=0.5, fewest=3)
    assert found[["age_days", "pairs"]].values.tolist() == [[7, 8]] and found["share"].tolist() == [1 / 8]
    assert on_record.moved(both, ages=[7], change=1.5, fewest=3)["share"].tolist() == [0.0]


def test_how_long_offers_were_watched_and_which_changed():
    both = pd.concat([history((0, 1.0), (14, 2.0), until=28), history((8, 1.0), until=28, offer="p")])
    assert on_record.watched(both).values.tolist() == [["g", 2, 1, 24.0]]


def test_what_a_price_deserves():
    shares = pd.DataFrame(
        {"group": ["a", "a", "b", "b", "c", "c"], "age_days": [10, 20] * 3, "share": [0.0, 0.2, 0.3, 0.4, 0.0, 0.05]}
    )
    assert on_record.lasting(shares, 0.1).values.tolist() == [["a", 15.0, "at"], ["b", 10.0, "below"], ["c", 20.0, "above"]]


def test_histories_know_each_change_once():
    found = on_record.histories()
    listed = tables.read("api_price_history")["effective_from"].ne("").sum()
    assert len(found) == len(tables.read("gpu_price_history")) + listed
    assert (found["day"] <= found["until"]).all() and found["value"].gt(0).all()


def test_every_source_has_a_licence_of_one_kind_and_every_row_is_under_it():
    rows = on_record.records()
    shown = on_record.licences(rows)
    assert shown["sources"].sum() == len(tables.read("sources")) - 1  # but our own assumptions
    assert shown["rows"].sum() == (rows["source"] != "assumption").sum()
    assert not set(shown["licence"]) & set(on_record.SPELT)


def test_what_is_missing_by_hand():
    gaps = on_record.missing().set_index("what")
    machines, offers = tables.read("accelerators"), tables.read("gpu_prices")
    bare = [one for one in machines["id"] if offers.query("accelerator_id == @one and flag == ''").empty]
    assert (
        gaps.at["accelerators without a price", "missing"] == len(bare)
        and bare[0] in gaps.at["accelerators without a price", "which"]
    )
    assert (
        gaps.at["measurements of uncertain unit or scope", "missing"]
        == (tables.read("measurements")["flag"] == "ambiguous").sum()
    )


def test_regimes_of_one_vendor():
    machines = pd.DataFrame({"id": ["x", "y"], "vendor": ["X", "Y"]})
    measured = pd.DataFrame({"accelerator_id": ["x", "y", "x", "x"], "regime": ["both", "both", "one", "other"]})
    assert on_record.one_vendor(measured, machines) == {"one"}


def test_long_lists_are_counted():
    assert on_record.listed(["b", "a", "c"], most=2) == "a, b and 1 more" and on_record.listed({"a"}) == "a"


def test_suspects_are_in_no_headline():
    shown = on_record.suspects()
    for row in shown.itertuples():
        kept = tables.price_rows(row.accelerator_id, commitment=row.commitment, provider=row.provider)
        assert row.value not in set(kept["value"])
    assert (
        len(shown)
        == tables.read("gpu_prices").query("flag != ''")[["provider", "accelerator_id", "value"]].drop_duplicates().shape[0]
    )


def test_empty_cells_as_the_files_have_them():
    shown = on_record.empty_cells().set_index(["table", "column"])
    text = pd.read_csv(tables.data_dir() / "gpu_prices.csv", dtype=str, keep_default_na=False)
    for column in ("low", "region", "note"):
        assert shown.at[("gpu_prices", column), "empty"] == (text[column] == "").sum()


def test_dates_and_sources_stand_in_the_columns_named():
    for named in (on_record.DATE_OF, on_record.SOURCE_OF):
        assert all(column in tables.read(table) for table, column in named.items())
