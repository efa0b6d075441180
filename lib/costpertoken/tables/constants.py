"""Which row of the efficiency constants holds for an engine, a vendor and a number format."""

from functools import cache
from pathlib import Path

import pandas as pd

from costpertoken.model.counts import math_format
from costpertoken.model.records import Accelerator, Efficiency, InputError, Precision
from costpertoken.tables.read import data_dir, nearest, typed

#: Field of Efficiency -> (constant of the table, operator class whose number format picks the row).
FIELDS = {"expert_peak": ("expert_peak", "expert"), "head_peak": ("dense_peak", "head")}
CLASSES = ("dense", "expert", "head")
UNSTATED = (99, 0)


def formats(of: Accelerator, at: Precision) -> tuple[str, ...]:
    """Number formats that the accelerator multiplies in, for CLASSES."""
    return tuple(math_format(of, getattr(at, f"{name}_math")) for name in CLASSES)


def matching_rows(rows: pd.DataFrame, engine: str, vendor: str, fmt: str) -> dict[str, int]:
    """Constant -> position of its most specific row: one that names the vendor stands before one that names the engine,
    and that before one that names the format. Blank fits everything."""
    asked = {"vendor": vendor, "engine": engine, "format": fmt}
    fits = pd.Series(True, index=rows.index)
    rank = pd.Series(0, index=rows.index)
    for weight, (column, value) in zip((4, 2, 1), asked.items(), strict=True):
        fits &= rows[column].isin(["", value])
        rank += weight * (rows[column] != "")
    ranked = rows[fits].assign(rank=rank[fits]).sort_values("rank", kind="stable")
    return dict(zip(ranked["constant"], ranked.index, strict=True))


def positions(rows: pd.DataFrame, engine: str, vendor: str, fmts: tuple[str, ...]) -> dict[str, int]:
    """Field of Efficiency -> position of the row that gives its value."""
    found = {name: matching_rows(rows, engine, vendor, fmt) for name, fmt in zip(CLASSES, fmts, strict=True)}
    asked = {field: FIELDS.get(field, (field, "dense")) for field in Efficiency.__dataclass_fields__}
    known = {constant for constant, _ in asked.values()}
    if unknown := sorted(set(rows["constant"]) - known):
        raise InputError(f"constant {unknown[0]!r} is unknown; nearest: {nearest(unknown[0], known)}")
    if missing := sorted(constant for constant, name in asked.values() if constant not in found[name]):
        raise InputError(f"no row for {missing[0]} that holds for every engine, vendor and format")
    return {field: found[name][constant] for field, (constant, name) in asked.items()}


def maker(of: Accelerator) -> str:
    """Whose constants hold for an accelerator: its vendor's; for a processor those of "cpu", whoever makes it."""
    return "cpu" if of.device_class == "cpu" else of.vendor


def efficiency(of: Accelerator, at: Precision, *, engine: str = "vllm", column: str = "value") -> Efficiency:
    """The calibrated constants for an accelerator, a precision and an engine family (data/calibration.csv).

    column: "value", or "low" and "high" for the ends of each constant's interval.
    """
    return _efficiency(data_dir(), engine, maker(of), formats(of, at), column)


@cache
def _efficiency(folder: Path, engine: str, vendor: str, fmts: tuple[str, ...], column: str) -> Efficiency:
    rows = typed(folder, "calibration")
    try:
        at = positions(rows, engine, vendor, fmts)
        return Efficiency(**{field: float(rows[column].iat[i]) for field, i in at.items()})
    except InputError as error:
        raise InputError(f"data/calibration.csv: {error}") from None


def convention(name: str) -> float:
    """What a kind of benchmark does that its rows do not say (data/conventions.csv)."""
    return _conventions(data_dir())[name]


@cache
def _conventions(folder: Path) -> dict[str, float]:
    return typed(folder, "conventions").set_index("name")["value"].to_dict()


def engine_family(engine: str, version: str = "", date: str = "") -> str:
    """Family of an engine by its printed name, version and date; '' for one that no row of data/engines.csv knows."""
    return _family(data_dir(), str(engine).lower(), str(version), str(date))


@cache
def _family(folder: Path, engine: str, version: str, date: str) -> str:
    for row in typed(folder, "engines").itertuples():
        if not engine.startswith(row.engine.lower()):
            continue
        by_version = row.version_before and _version(version) < _version(row.version_before)
        by_date = row.date_before and _version(version) == UNSTATED and "" < date < row.date_before
        if by_version or by_date or not (row.version_before or row.date_before):
            return row.family
    return ""


def _version(text: str) -> tuple[int, int]:
    """Leading two numbers of a version; UNSTATED where there is none, which counts as new."""
    parts = text.split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else UNSTATED
