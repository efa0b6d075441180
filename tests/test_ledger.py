"""The whole ledger seen at once: nothing is lost between table and page, and what is counted is counted by hand here."""

import json

import numpy as np
import pandas as pd
import pytest

from costpertoken import prose, tables
from costpertoken.answers import ledger
from costpertoken.evidence import claims, kept


@pytest.fixture(scope="module")
def rows():
    return ledger.everything()


def claim(name: str, verdict: str, share: float = 0.5, **other) -> dict:
    return {"id": name, "verdict": verdict, "share": share, "part": "Hardware", "conflicts_with": "", "condition": "", **other}


def test_every_claim_is_there_once_in_the_order_of_the_table(rows):
    assert list(rows["id"]) == list(tables.read("claims")["id"])
    assert set(rows["verdict"]) <= set(ledger.ORDER) and rows["part"].notna().all()
    assert rows["verdict"].eq(ledger.PENDING).sum() == claims.pending()["claims"].sum()
    assert not rows["scope"].isna().any() and set(ledger.WRONG) < set(ledger.ORDER)


def test_quantities_of_a_part_and_of_the_whole_are_in_the_table():
    known = set(tables.read("claims")["quantity"])
    assert set(ledger.OF_A_PART) | set(ledger.OF_THE_WHOLE) <= known and not set(ledger.OF_A_PART) & set(ledger.OF_THE_WHOLE)


def test_a_part_without_checks_is_pending_and_breaks_nothing(monkeypatch, rows):
    real = tables.read("claims")
    left = rows.loc[rows["part"] == "Case studies", "id"]
    judged = rows[~rows["id"].isin(left)].drop(columns=["part", "subject", "quantity", "reading", "scope"])
    blank = real.assign(check=real["check"].where(~real["id"].isin(left), ""))
    monkeypatch.setattr(ledger.claims, "ledger", lambda: judged)
    monkeypatch.setattr(ledger.tables, "read", lambda name: blank)
    found = ledger.everything()
    waits = found[found["verdict"] == ledger.PENDING]
    assert set(waits["id"]) == set(left) and len(found) == len(rows)
    listed = ledger.listing(waits)
    assert listed["Computed"].eq("–").all() and listed["Why"].str.startswith("its checks are not").all()
    assert not set(ledger.decided(found)["id"]) & set(left)
    assert ledger.by_share(waits)["claims"].sum() == 0 and ledger.changes(waits).empty
    assert "–" in prose.table(listed, "t", page=10).bundle["text/html"]


def test_the_score_counts_by_hand():
    some = pd.DataFrame([claim("a", "holds"), claim("b", "holds"), claim("c", "overstated"), claim("d", "unverifiable", np.nan)])
    assert ledger.holding(some) == (2, 3)
    counted = ledger.score(some, "part", ["Hardware", "Software"])
    assert list(counted["verdict"]) == ["holds"] * 2 + ["overstated"] * 2 + ["unverifiable"] * 2
    assert list(counted["claims"]) == [2, 0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("share", "named"),
    [(0.0, "under 1%"), (0.01, "1 to 5%"), (0.049, "1 to 5%"), (0.05, "5 to 20%"), (0.99, "50% and more"), (1.0, "all")],
)
def test_shares_fall_into_their_class(share, named):
    counted = ledger.by_share(pd.DataFrame([claim("a", "holds-under", share)]))
    assert counted.loc[counted["claims"] == 1, ["share", "verdict"]].to_numpy().tolist() == [[named, "holds-under"]]


def test_score_and_shares_add_up(rows):
    assert ledger.score(rows, "part", list(ledger.PARTS.values()))["claims"].sum() == len(rows)
    assert ledger.score(rows, "scope", ledger.SCOPES)["claims"].sum() == len(rows)
    assert ledger.by_share(rows)["claims"].sum() == rows["verdict"].isin(["holds", "holds-under"]).sum()


def test_each_condition_is_read_back_whole(rows):
    """As many inputs are found as the condition names defaults, and each is an input of its claim."""
    changed = ledger.changes(rows)
    for row in rows[rows["condition"] != ""].itertuples():
        assert (changed["id"] == row.id).sum() == row.condition.count("(default "), row.condition
    kinds = {(row.id, row.input): row.kind for row in changed.itertuples()}
    assert kinds["gptq-bandwidth-cut", "baseline"] == ledger.COMPARED
    assert kinds["routing-cost-60", "share"] == kinds["mqa-8x", "tp"] == ledger.AMOUNT
    few = pd.DataFrame({"id": list("abc"), "input": ["x", "y", "y"], "kind": "k"})
    assert ledger.common_inputs(few, "k", 2) == "y (2), x (1)"


def test_examples_are_the_rarest(rows):
    some = rows[rows["verdict"] == "holds-under"]
    shown = ledger.examples(some, 4)
    assert list(shown["Scenarios"]) == list(100 * some["share"].nsmallest(4)) and (shown["True when"] != "").all()


def test_pairs_agree_with_the_verdicts(rows):
    found = ledger.outcomes(ledger.pairs(), rows)
    assert (found["both_hold"] <= found[["claim_holds", "other_holds"]].min(axis=1)).all()
    assert (found.loc[found["outcome"] == ledger.APART, "both_hold"] == 0).all()
    assert (found["outcome"] == ledger.APART).any() and set(found["outcome"]) <= {ledger.APART, ledger.BOTH, ledger.NEVER}
    named = {frozenset((row.id, other)) for row in rows.itertuples() for other in row.conflicts_with.split(", ") if other}
    apart = found.loc[found["outcome"] == ledger.APART, ["claim", "other"]]
    assert named == {frozenset(ends) for ends in apart.to_numpy().tolist()}


def test_arcs_join_their_two_claims():
    found = pd.DataFrame({"claim": ["a", "b", "x"], "other": ["b", "c", "y"], "outcome": "o"})
    curves, order = ledger.arcs(found, 5)
    assert sorted(order) == list("abcxy") and abs(order.index("x") - order.index("y")) == 1
    for row in found.itertuples():
        arc = curves[curves["pair"] == f"{row.claim} and {row.other}"]
        ends = sorted((order.index(row.claim), order.index(row.other)))
        assert arc["down"].iloc[[0, -1]].tolist() == pytest.approx(ends)
        assert arc["across"].max() == pytest.approx((ends[1] - ends[0]) / 2)
        assert arc["across"].iloc[-1] == pytest.approx(0, abs=1e-9)


def test_what_is_kept_is_read_again_until_code_or_data_change(tmp_path, monkeypatch):
    made = []

    def make():
        made.append(1)
        return {"value": len(made)}

    assert kept.kept("one", make) == {"value": 1}  # nothing is kept unless a folder is named
    monkeypatch.setenv("COSTPERTOKEN_KEPT", str(tmp_path))
    assert [kept.kept("one", make)["value"] for _ in range(2)] == [2, 2]
    (file,) = tmp_path.glob("*/one.json")
    assert file.parent.name == kept.state(tables.data_dir())
    file.write_text("half a fi")
    assert kept.kept("one", make) == {"value": 3}
    monkeypatch.setattr(kept, "state", lambda folder: "another")
    assert kept.kept("one", make) == {"value": 4}
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


def test_state_sees_a_changed_table(tmp_path):
    (tmp_path / "one.csv").write_text("a\n1\n")
    before = kept.state.__wrapped__(tmp_path)
    assert before == kept.state.__wrapped__(tmp_path)
    (tmp_path / "one.csv").write_text("a\n2\n")
    assert before != kept.state.__wrapped__(tmp_path)


def test_a_kept_claim_is_the_judged_one(tmp_path, monkeypatch):
    fresh = claims.ledger(claim_id="h100-bandwidth")
    monkeypatch.setenv("COSTPERTOKEN_KEPT", str(tmp_path))
    for _ in range(2):
        pd.testing.assert_frame_equal(claims.ledger(claim_id="h100-bandwidth"), fresh)
    (file,) = tmp_path.glob("*/*.json")
    assert json.loads(file.read_text())["verdict"] == fresh["verdict"].iloc[0]


def test_a_long_table_is_marked_for_the_page_and_stays_whole():
    frame = pd.DataFrame({"name": list("abc"), "kind": ["x", "y", "x"]})
    page = prose.table(frame, "T", page=2, choose=["kind"]).bundle
    assert 'data-page="2"' in page["text/html"] and page["text/html"].count("data-choose") == 1
    assert page["text/html"].count("<tr>") == 4 and page["text/plain"] == frame.to_csv(index=False, lineterminator="\n")
    assert "data-" not in prose.table(frame, "T").bundle["text/html"]
