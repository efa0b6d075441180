"""The validate command and its figures."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from costpertoken import tables
from costpertoken.cli import costpertoken, main
from costpertoken.cli.validate import validate_command
from costpertoken.evidence import validate as checking
from costpertoken.model.records import InputError

FEW = {
    "id": "a", "model_id": "llama-3.1-8b", "accelerator_id": "h100-sxm", "regime": "closed-loop", "metric": "tpot_ms",
    "value": "10", "isl": "1000", "osl": "500", "concurrency": "16", "tp": "1",
}  # fmt: skip


@pytest.fixture
def some(tmp_path):
    """A file of a few measured rows, as a user would have it."""
    rows = (
        tables.read("measurements").query("regime in ['closed-loop', 'offline-max-throughput'] and isl > 0").iloc[::300]
    )
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


def test_nothing_predicted_is_status_2(some, monkeypatch, capsys):
    frame = pd.read_csv(some, dtype=str)
    frame["isl"] = ""
    frame.to_csv(some, index=False)
    monkeypatch.setattr("sys.argv", ["costpertoken", "validate", str(some)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("error: no row can be predicted: ") and "isl not in the row" in said.err


def test_few_columns_are_enough(tmp_path):
    path = tmp_path / "few.csv"
    path.write_text(f"{','.join(FEW)}\n{','.join(FEW.values())}\n")
    done = call(path)
    assert done.exit_code == 0 and "Support   1 " in done.output


def test_a_result_can_be_checked_again(some, tmp_path):
    out = tmp_path / "out.csv"
    assert call(some, "--out", out).exit_code == 0
    first = out.read_bytes()
    assert call(out, "--out", out).exit_code == 0
    assert out.read_bytes() == first


def test_a_result_is_written_whole_or_not_at_all(some, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    out.write_text("mine")

    def broken(frame, path, **_):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", broken)
    with pytest.raises(InputError, match="out.csv cannot be written: disk full"):
        validate_command.main([str(some), "--out", str(out)], standalone_mode=False)
    assert out.read_text() == "mine"


def test_a_folder_that_is_not_there_is_named(some, tmp_path):
    with pytest.raises(InputError, match="nowhere/out.csv cannot be written"):
        validate_command.main([str(some), "--out", str(tmp_path / "nowhere" / "out.csv")], standalone_mode=False)


def test_blank_lines_and_short_rows_keep_their_numbers(tmp_path):
    path = tmp_path / "gaps.csv"
    whole = ",".join(FEW.values())
    path.write_text(f"{', '.join(FEW)}\n{whole}\n\n{whole[: whole.rindex(',')]}\n\n{whole}\n")
    frame = checking.read_file(path)
    assert frame.index.tolist() == [0, 2, 4] and frame.columns.tolist() == list(FEW)
    assert frame["tp"].tolist() == [FEW["tp"], "", FEW["tp"]]
    assert "line 4: a: not scorable: tp or n_accel" in call(path).output


def test_one_kind_of_server_is_judged_like_offline():
    row = FEW | {"metric": "output_tok_s_total", "engine": "vLLM"}
    found = checking.validate(pd.DataFrame([row | {"regime": r} for r in ("server", "offline-max-throughput")]))
    spans = found["high"] / found["low"]
    assert spans[0] == pytest.approx(spans[1])


def test_a_column_of_the_users_own_changes_nothing(some):
    frame = pd.read_csv(some, dtype=str).assign(bad="very", note="mine")
    assert checking.validate(frame)["predicted"].notna().all()


def test_a_row_with_too_many_cells_stops_no_other(some):
    lines = some.read_text().splitlines()
    some.write_text("\n".join([*lines[:2], lines[2] + ",more", *lines[3:]]) + "\n")
    done = call(some)
    assert (
        done.exit_code == 0
        and f"{lines[0].count(',') + 2} cells under {lines[0].count(',') + 1} columns" in done.output
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be read"),
        ("id,value\na,1\n", "column 'model_id' is missing"),
        ("id,tp,tp\na,1,2\n", "column 'tp' stands there twice"),
        ('id,value\n"a,1\n', "cannot be read"),
    ],
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
