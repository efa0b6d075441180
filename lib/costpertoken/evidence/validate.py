"""Measurements beside predictions: each row with its interval and support, and the errors by group."""

import csv

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence.constants import calibrated
from costpertoken.evidence.observations import MARK, observe
from costpertoken.evidence.predict import fits, predict
from costpertoken.evidence.uncertain import KIND, architecture, case_of, log_interval, novelty
from costpertoken.model.records import InputError

ADDED = ("predicted", "low", "high", "support", "reason")
GROUPS = ("regime", "accelerator_id", "model_id")


def supports(frame: pd.DataFrame, has_room: np.ndarray) -> list[tuple[str, str]]:
    """(support, why) of each predicted row: supported, or extrapolated past what was measured."""
    out = []
    for row, room in zip(frame.itertuples(index=False), has_room, strict=True):
        why = [novelty(row.accelerator_id, row.model_id, row.family)]
        why += [] if room else ["by the model's memory it would not fit"]
        told = [words for words in (*why, row.noted) if words]
        out.append(("extrapolated" if any(why) else "supported", "; ".join(told)))
    return out


def intervals(frame: pd.DataFrame, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of each prediction at 80 %, by its kind, regime and architecture and by what is new about it."""
    residuals, arch, found, ends = tables.read("residuals"), architecture(frame["model_id"]), {}, []
    for row, kind_of in zip(frame.itertuples(index=False), arch, strict=True):
        case = tuple(case_of(row.accelerator_id, row.model_id, row.family))
        key = (case, KIND[row.metric], row.regime, kind_of)
        if key not in found:
            found[key] = log_interval(*key, residuals)
        ends.append(found[key])
    logs = np.array(ends)
    return predicted * np.exp(logs[:, 0]), predicted * np.exp(logs[:, 1])


def validate(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns ADDED; support is supported, extrapolated, refused or not scorable, with the reason.

    Columns that have one of these names already are replaced. Raises InputError where a required column is missing or no
    row can be predicted.
    """
    rows = rows.drop(columns=list(ADDED), errors="ignore")
    observed = observe(rows)
    rows = rows.drop(columns=MARK, errors="ignore")
    constants = calibrated(observed)
    value = predict(observed, constants)
    frame, kept = observed.frame, observed.predicted
    low, high = intervals(kept, value)
    judged = supports(kept, fits(observed, constants))
    shown = pd.DataFrame({"predicted": value, "low": low, "high": high}, index=kept.index)
    shown[["support", "reason"]] = pd.DataFrame(judged, index=kept.index)
    left = frame[frame["reason"] != ""]
    refused = ["not scorable" if reason.startswith("not scorable") else "refused" for reason in left["reason"]]
    rest = pd.DataFrame(
        {"support": refused, "reason": left["reason"].str.removeprefix("not scorable: ")}, index=left.index
    )
    return pd.concat([rows, pd.concat([shown, rest]).reindex(rows.index)[list(ADDED)]], axis=1)


def errors(checked: pd.DataFrame, by: str | None = None) -> pd.DataFrame:
    """Count, median and mean absolute error, bias, rank correlation and coverage of predicted rows, overall or by a column.

    Rows flagged ambiguous and rows with no positive measured value are left out. Errors are shares of the measured value.
    """
    at = checked[checked["predicted"].notna() & (pd.to_numeric(checked["value"], errors="coerce") > 0)]
    if "flag" in at:
        at = at[at["flag"] != "ambiguous"]
    at = at.assign(value=pd.to_numeric(at["value"]))
    groups = [("all", at)] if by is None else list(at.groupby(by, sort=True))
    return pd.DataFrame([{by or "rows": name, **figures(group)} for name, group in groups])


def figures(group: pd.DataFrame) -> dict[str, float]:
    """Error figures of one group of predicted rows."""
    off = group["predicted"] / group["value"] - 1
    return {
        "n": len(group),
        "median_error": off.abs().median(),
        "mean_error": off.abs().mean(),
        "bias": off.median(),
        "rank_correlation": group["predicted"].rank().corr(group["value"].rank()) if len(group) > 2 else np.nan,
        "coverage": ((group["value"] >= group["low"]) & (group["value"] <= group["high"])).mean(),
    }


def read_file(path: str) -> pd.DataFrame:
    """A user's CSV as text, blank cells as ''; the index is the line less two. Raises InputError where it cannot be read."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.reader(lines, strict=True))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}") from None
    head = [name.strip() for name in rows[0]] if rows else []
    if not any(head):
        raise InputError(f"{path} cannot be read as CSV: no header in its first line")
    if twice := [name for name in head if head.count(name) > 1]:
        raise InputError(f"{path}: column {twice[0]!r} stands there twice")
    filled = {line: row for line, row in enumerate(rows) if line and any(row)}
    cells = [(row + [""] * len(head))[: len(head)] for row in filled.values()]
    frame = pd.DataFrame(cells, columns=head, index=[line - 1 for line in filled], dtype=str)
    wide = [f"{len(row)} cells under {len(head)} columns" if len(row) > len(head) else "" for row in filled.values()]
    return frame.assign(**{MARK: wide}) if any(wide) else frame
