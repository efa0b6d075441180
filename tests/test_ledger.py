"""The whole ledger seen at once: nothing is lost between table and page, and what is counted is counted by hand here."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from costpertoken import prose, tables
from costpertoken.answers import ledger
from costpertoken.evidence import admissible, claims, kept


@pytest.fixture(scope="module")
def rows():
    return ledger.everything()


def claim(name: str, verdict: str, share: float = 0.5, **other) -> dict:
    return {"id": name, "verdict": verdict, "share": share, "part": "Hardware", "conflicts_with": "", "condition": "", **other}


def test_every_claim_is_there_once_in_the_order_of_the_table(rows):
    assert list(rows["id"]) == list(tables.read("claims")["id"])
    assert set(rows["verdict"]) <= set(ledger.ORDER) and rows["part"].notna().all()
    assert not rows["scope"].isna().any() and set(ledger.WRONG) < set(ledger.ORDER)


def test_quantities_of_a_part_and_of_the_whole_are_in_the_table():
    known = set(tables.read("claims")["quantity"])
    assert set(ledger.OF_A_PART) | set(ledger.OF_THE_WHOLE) <= known and not set(ledger.OF_A_PART) & set(ledger.OF_THE_WHOLE)


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


def test_what_a_claim_makes_of_another_lies_off_its_printed_figure(rows):
    """Of two that exclude each other, neither's range under the other's truth may reach what is printed."""
    found = ledger.outcomes(ledger.pairs(), rows)
    apart = found[found["outcome"] == ledger.APART]
    bands = {row.id: claims.printed_of(row).band() for row in tables.read("claims").itertuples()}
    for pair in apart.itertuples():
        for name, low, high in ((pair.claim, pair.claim_low, pair.claim_high), (pair.other, pair.other_low, pair.other_high)):
            ends = [admissible.gap(end, bands[name]) for end in (low, high)]
            assert low <= high and 0 not in ends, (name, low, high)
    said = ledger.implied(apart, rows)
    assert len(said) == 2 * len(apart) and set(said["If this holds"]) == set(said["Then this"])
    one = found.iloc[:1].assign(claim_low=2.0, claim_high=2.0, other_low=3.0, other_high=4.0)
    (first, second), unit = ledger.implied(one, rows)["Comes out as"], "%"
    assert (first, second) == (f"3 to 4{unit}", f"2{unit}")


def test_what_holds_by_its_interval_alone_is_told_apart(rows):
    bands = {row.id: claims.printed_of(row).band() for row in tables.read("claims").itertuples()}
    off = {row.id for row in rows.itertuples() if row.verdict == "holds" and admissible.gap(row.computed, bands[row.id]) != 0}
    assert off == set(ledger.by_interval(rows)["id"]) and off


def test_a_reason_names_other_claims_in_their_words(rows):
    ids = set(rows["id"])
    for row in rows[rows["conflicts_with"] != ""].itertuples():
        said = [rows.set_index("id").at[name, "claim"] for name in row.conflicts_with.split(", ")]
        assert all(f"“{claim}”" in row.reason for claim in said) and not any(name in row.reason.split() for name in ids)


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
    with monkeypatch.context() as patched:  # changed since the process began: not kept
        patched.setattr(kept, "dates_now", lambda folder: [("one.py", 1)])
        assert [kept.kept("two", make)["value"] for _ in range(2)] == [4, 5] and not list(tmp_path.glob("*/two.json"))
    monkeypatch.setattr(kept, "state", lambda folder: "another")
    assert kept.kept("one", make) == {"value": 6}
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path, monkeypatch):
    taken = tmp_path / "a file"
    taken.write_text("in the way")
    for root in (taken, taken / "below"):  # no rights are needed to see that: root may write anywhere
        monkeypatch.setenv("COSTPERTOKEN_KEPT", str(root))
        assert kept.kept("one", lambda: {"value": 1}) == {"value": 1}
    assert taken.read_text() == "in the way" and list(tmp_path.iterdir()) == [taken]


def test_a_disc_that_fills_leaves_no_part_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("COSTPERTOKEN_KEPT", str(tmp_path))

    def full(self, text, encoding):
        self.write_bytes(text[:2].encode())
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(kept.Path, "write_text", full)
        assert kept.kept("one", lambda: {"value": 1}) == {"value": 1}
    assert not list(tmp_path.glob("*/*")) and not list(tmp_path.glob("*/.*"))
    assert kept.kept("one", lambda: {"value": 2}) == {"value": 2}


@pytest.mark.parametrize("broken", ["", "half a fi", "[]", "null", '"text"'])
def test_a_broken_file_is_made_again(broken, tmp_path, monkeypatch):
    monkeypatch.setenv("COSTPERTOKEN_KEPT", str(tmp_path))
    kept.kept("one", lambda: {"value": 1})
    (file,) = tmp_path.glob("*/one.json")
    file.write_text(broken)
    assert kept.kept("one", lambda: {"value": 2}) == {"value": 2} and json.loads(file.read_text()) == {"value": 2}


def test_bytes_that_are_no_text_are_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("COSTPERTOKEN_KEPT", str(tmp_path))
    kept.kept("one", lambda: {"value": 1})
    (file,) = tmp_path.glob("*/one.json")
    file.write_bytes(b"\xff\xfe{")
    assert kept.kept("one", lambda: {"value": 2}) == {"value": 2}


WRITER = """
import sys
from costpertoken.evidence.kept import kept
for n in range(40):
    made = kept(f"one-{n}", lambda: {"value": "x" * 5000, "n": n})
    assert made == {"value": "x" * 5000, "n": n}
"""


def test_two_processes_at_once_read_whole_files_or_none(tmp_path):
    env = {**os.environ, "COSTPERTOKEN_KEPT": str(tmp_path)}
    both = [subprocess.Popen([sys.executable, "-c", WRITER], env=env, stderr=subprocess.PIPE) for _ in range(2)]
    said = [one.communicate(timeout=60)[1].decode() for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert len(list(tmp_path.glob("*/one-*.json"))) == 40 and not list(tmp_path.glob("*/.*"))


def test_state_sees_changed_code_and_another_library(tmp_path, monkeypatch):
    (tmp_path / "code" / "deep").mkdir(parents=True)
    module = tmp_path / "code" / "deep" / "one.py"
    module.write_text("A = 1\n")
    monkeypatch.setattr(kept, "PACKAGE", tmp_path / "code")
    seen = [kept.state.__wrapped__(tmp_path / "data")]
    module.write_text("A = 2\n")
    seen.append(kept.state.__wrapped__(tmp_path / "data"))
    module.rename(module.with_name("two.py"))
    seen.append(kept.state.__wrapped__(tmp_path / "data"))
    monkeypatch.setattr(kept, "version", lambda name: "0")
    seen.append(kept.state.__wrapped__(tmp_path / "data"))
    assert len(set(seen)) == 4


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
