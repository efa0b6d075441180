"""`costpertoken claims`: its table, its JSON, and what it refuses."""

import json

import pytest
from click.testing import CliRunner

from costpertoken.cli import costpertoken
from costpertoken.evidence.verdict import VERDICTS
from costpertoken.model.records import UnknownName

FIELDS = {"id", "claim", "printed", "computed", "low", "high", "unit", "verdict", "condition", "reason", "conflicts_with"}


def said(*words: str) -> str:
    done = CliRunner().invoke(costpertoken, ["claims", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_json_has_the_fields_the_rule_in_its_order_and_no_nan():
    plain = json.loads(said("--chapter", "rent_or_own", "--json"), parse_constant=lambda word: pytest.fail(word))
    assert list(plain["rule"]) == list(VERDICTS)
    assert all(set(row) >= FIELDS for row in plain["claims"])
    unknown = [row for row in plain["claims"] if row["verdict"] == "unverifiable"]
    assert unknown and all(row["computed"] is None and row["reason"] for row in unknown)


def test_the_table_names_claims_verdicts_and_the_rule():
    text = said("--chapter", "economics/batching")
    assert "batch32-cost-reduction" in text and "inconsistent" in text and "4 claims: " in text
    places = [text.index(f"{place}. {name}: ") for place, name in enumerate(VERDICTS, start=1)]
    assert places == sorted(places)
    assert max(map(len, text.splitlines())) <= 140


def test_one_claim_alone():
    assert [row["id"] for row in json.loads(said("--id", "h100-bandwidth", "--json"))["claims"]] == ["h100-bandwidth"]


def test_the_whole_ledger_has_a_verdict_and_a_reason_for_each_claim():
    rows = json.loads(said("--json"))["claims"]
    assert len(rows) == 122 and all(row["verdict"] in VERDICTS and row["reason"] for row in rows)


@pytest.mark.parametrize(
    ("words", "nearest"), [(["--id", "h100-bandwith"], "h100-bandwidth"), (["--chapter", "batchin"], "batching")]
)
def test_unknown_names_get_the_nearest(words, nearest):
    with pytest.raises(UnknownName, match=nearest):
        said(*words)
