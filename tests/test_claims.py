"""The ledger over data/claims.csv: every claim has its check, verdicts follow the rule, none drifts unseen."""

import inspect
import json
import shutil
from pathlib import Path

import pytest

from costpertoken import tables
from costpertoken.evidence import claims
from costpertoken.evidence.verdict import VERDICTS
from costpertoken.model.records import InputError, UnknownName

ROWS = tables.read("claims").set_index("id")
CLAIMS = 122
RECORD = Path(__file__).parent / "reference" / "verdicts.json"


@pytest.fixture(scope="module")
def ledger():
    return claims.ledger().set_index("id")


def test_every_claim_of_the_article_is_there():
    assert len(ROWS) == CLAIMS and not ROWS["claim"].duplicated().any()


def test_every_claim_has_a_check_and_a_chapter():
    assert ROWS["check"].ne("").all() and ROWS["chapter"].ne("").all()


def test_no_check_without_a_claim():
    claims.load_checks()
    assert set(claims.CHECKS) == set(ROWS["check"])
    assert {name for pair in claims.TOGETHER for name in pair} <= set(ROWS.index)


@pytest.mark.parametrize("name", sorted(set(ROWS["check"])))
def test_checks_say_how_they_compute(name):
    claims.load_checks()
    assert (claims.CHECKS[name].function.__doc__ or "").strip()
    taken = inspect.signature(claims.CHECKS[name].function).parameters
    if "ideal" in taken:
        assert claims.CHECKS[name].bound in ("ceiling", "floor")


def test_inputs_belong_to_claims():
    assert not set(tables.read("claim_inputs")["claim_id"]) - set(ROWS.index)


def test_every_row_has_a_verdict_a_reason_and_its_figures(ledger):
    assert list(ledger.index) == list(ROWS.index)
    assert ledger["verdict"].isin(VERDICTS).all() and (ledger["reason"] != "").all()
    known = ledger[ledger["computed"].notna()]
    assert ((known["low"] <= known["computed"]) & (known["computed"] <= known["high"])).all()
    assert (ledger["conflicts_with"].ne("") == ledger["verdict"].eq("inconsistent")).all()
    assert ledger.loc[ledger["verdict"] == "holds-under", "condition"].ne("").all()


def test_what_excludes_each_other_does_so_both_ways(ledger):
    pairs = {(name, other) for name, others in ledger["conflicts_with"].items() for other in others.split(", ") if other}
    assert pairs
    for name, other in pairs:
        assert (other, name) in pairs or ledger.at[other, "verdict"] in ("unverifiable", "contradicts-physics"), (name, other)


def test_no_verdict_drifts_unseen(ledger):
    """`make reference` acknowledges a new verdict, condition or figure; the diff of the file shows which."""
    recorded = json.loads(RECORD.read_text())["claims"]
    assert [row["id"] for row in recorded] == list(ledger.index)
    for row in recorded:
        now = ledger.loc[row["id"]]
        assert (row["verdict"], row["conflicts_with"]) == (now["verdict"], now["conflicts_with"]), row["id"]
        assert row["condition"] == now["condition"] and row["printed"] == now["printed"], row["id"]
        if row["computed"] is not None:
            assert now["computed"] == pytest.approx(row["computed"], rel=1e-3, abs=1e-9), row["id"]


@pytest.mark.parametrize(
    ("asked", "nearest"), [({"claim_id": "batch33-cost"}, "batch32"), ({"chapter": "economics/baching"}, "batching")]
)
def test_unknown_names_are_refused_with_the_nearest(asked, nearest):
    with pytest.raises(UnknownName, match=nearest):
        claims.ledger(**asked)


def test_a_chapter_is_known_by_either_name():
    assert list(claims.claim_rows(chapter="batching")["id"]) == list(claims.claim_rows(chapter="economics/batching")["id"])


@pytest.fixture()
def copy(tmp_path, monkeypatch):
    shutil.copytree(tables.data_dir(), tmp_path / "data")
    monkeypatch.setenv("COSTPERTOKEN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_missing_input_is_named(copy):
    rows, gone = (copy / "claim_inputs.csv").read_text().splitlines(), "batch32-cost-reduction,weights"
    kept = [row for row in rows if not row.startswith(gone)]
    (copy / "claim_inputs.csv").write_text("\n".join(kept) + "\n")
    with pytest.raises(InputError, match=r"batch32-cost-reduction.*weights"):
        claims.ledger(claim_id="batch32-cost-reduction")


def test_a_claim_whose_data_are_gone_says_which_row_is_missing(copy):
    kept = [row for row in (copy / "accelerators.csv").read_text().splitlines() if not row.startswith("h200-sxm,")]
    (copy / "accelerators.csv").write_text("\n".join(kept) + "\n")
    row = claims.ledger(claim_id="h200-memory-update").iloc[0]
    assert row["verdict"] == "unverifiable" and "h200-sxm" in row["reason"]
