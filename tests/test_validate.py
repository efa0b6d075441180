"""The validate command and its figures."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from costpertoken import tables
from costpertoken.cli import costpertoken
from costpertoken.cli.validate import validate_command
from costpertoken.evidence import validate as checking
from costpertoken.model.records import InputError


@pytest.fixture
def some(tmp_path):
    """A file of a few measured rows, as a user would have it."""
    rows = tables.read("measurements").query("regime in ['closed-loop', 'offline-max-throughput'] and isl > 0").iloc[::300]
    path = tmp_path / "mine.csv"
    rows.drop(columns=["unit", "basis", "quality", "as_of"]).to_csv(path, index=False)
    return path


def call(*words):
    return CliRunner().invoke(costpertoken, ["validate", *map(str, words)])


def test_rows_get_their_columns(some, tmp_path):
    out = tmp_path / "out.csv"
    assert call(some, "--out", out).exit_code == 0
    was, now = pd.read_csv(some), pd.read_csv(out)
    assert list(now.columns) == [*was.columns, *checking.ADDED]
    assert now[was.columns].equals(was) and len(now) > 15
    assert (now["low"] <= now["predicted"] * 1.5).all() and (now["low"] < now["high"]).all()
    assert not list(tmp_path.glob("*.part"))


def test_json_is_strict_and_agrees(some):
    found = json.loads(call(some, "--json").output, parse_constant=lambda name: pytest.fail(name))
    assert set(found["errors"]) == {"all", *checking.GROUPS}
    assert found["errors"]["all"][0]["n"] == len(found["rows"])


def test_report_names_groups_and_support(some):
    text = call(some).output
    assert "closed-loop" in text and "h100-sxm" in text and "supported" in text


def test_bad_rows_are_listed_by_line_and_stop_nothing(some):
    frame = pd.read_csv(some, dtype=str)
    frame.loc[1, "isl"], frame.loc[2, "model_id"], frame.loc[3, "regime"] = "many", "no-such", "weird"
    frame.to_csv(some, index=False)
    done = call(some)
    assert done.exit_code == 0
    assert "line 3: " in done.output and "isl is many" in done.output
    assert "line 4: " in done.output and "unknown model 'no-such'" in done.output
    assert "line 5: " in done.output and "unknown regime 'weird'" in done.output


def test_a_byte_order_mark_is_no_column(some):
    some.write_bytes(b"\xef\xbb\xbf" + some.read_bytes())
    assert call(some).exit_code == 0


def test_nothing_predicted_is_status_2(some):
    frame = pd.read_csv(some, dtype=str)
    frame["isl"] = ""
    frame.to_csv(some, index=False)
    with pytest.raises(InputError, match="no row can be predicted.*isl not in the row"):
        validate_command.main([str(some)], standalone_mode=False)


@pytest.mark.parametrize(
    ("text", "says"), [("", "cannot be read"), ("id,value\na,1\n", "column 'model_id' is missing")]
)
def test_files_that_are_none(tmp_path, text, says):
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        validate_command.main([str(path)], standalone_mode=False)
    with pytest.raises(InputError, match="no such file"):
        validate_command.main([str(path) + "x"], standalone_mode=False)


def test_figures_by_hand():
    frame = pd.DataFrame(
        {"value": [1.0, 2.0, 4.0, 8.0], "predicted": [1.1, 1.8, 4.0, 16.0], "low": 0.9, "high": [1.2, 1.9, 5.0, 20.0]}
    )
    found = checking.figures(frame.assign(low=[0.9, 1.5, 3.0, 10.0]))
    assert (
        found["n"] == 4
        and found["median_error"] == pytest.approx(0.1)
        and found["mean_error"] == pytest.approx(1.2 / 4)
    )
    assert found["bias"] == pytest.approx(0.05) and found["rank_correlation"] == pytest.approx(1)
    assert found["coverage"] == pytest.approx(0.5)


def test_flagged_rows_are_not_scored():
    frame = pd.DataFrame({"value": [1, 1], "predicted": [1.0, 9.0], "low": 0.5, "high": 2.0, "flag": ["", "ambiguous"]})
    assert checking.errors(frame)["n"].tolist() == [1] and np.isnan(checking.errors(frame)["rank_correlation"].iloc[0])
