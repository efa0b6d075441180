"""`costpertoken validate`: a user's measurements beside the model's predictions; `costpertoken calibrate`: the fit itself."""

import json
import sys
from pathlib import Path

import click
import pandas as pd

from costpertoken import tables
from costpertoken.evidence import calibrate as fitting
from costpertoken.evidence import uncertain
from costpertoken.evidence.observations import METRICS, REGIMES, REQUIRED
from costpertoken.evidence.validate import GROUPS, errors, read_file, validate
from costpertoken.model.records import InputError

MOST_LISTED = 20
HELP = f"""Measurements of your own beside what the model predicts for them.

FILE is a CSV with the columns {", ".join(REQUIRED)}, and where known engine, engine_version, n_accel, tp, pp, ep, dp,
weight_precision, kv_precision, isl, osl, concurrency. Metrics: {", ".join(METRICS)}. Regimes: {", ".join(REGIMES)}.

Each row gets its prediction, an 80 % interval, and whether the model supports it; then the errors by regime, accelerator
and model. Rows that cannot be predicted are listed with their line and reason, and stop nothing. Exit status 2 where no
row can be predicted.
"""


@click.command(name="validate", short_help="Your measurements beside the model's predictions.", help=HELP)
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--out", type=click.Path(dir_okay=False), help="Write the rows with predicted, low, high, support, reason here."
)
@click.option("--json", "as_json", is_flag=True, help="Print the errors and the rows as JSON.")
def validate_command(file, out, as_json) -> None:
    """The command; HELP is its text."""
    checked = validate(read_file(file))
    if out:
        write(checked, Path(out))
    summary = {"all": errors(checked), **{by: errors(checked, by) for by in GROUPS}}
    click.echo(to_json(checked, summary) if as_json else report(checked, summary))
    if not checked["predicted"].notna().any():
        sys.exit(2)


def write(checked: pd.DataFrame, path: Path) -> None:
    """The rows as CSV, whole or not at all."""
    partial = path.with_name(path.name + ".part")
    try:
        checked.to_csv(partial, index=False)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from None


def to_json(checked: pd.DataFrame, summary: dict[str, pd.DataFrame]) -> str:
    """Errors by group and every row, without NaN."""
    plain = {name: json.loads(frame.to_json(orient="records")) for name, frame in summary.items()}
    return json.dumps(
        {"errors": plain, "rows": json.loads(checked.to_json(orient="records"))}, indent=1, allow_nan=False
    )


def report(checked: pd.DataFrame, summary: dict[str, pd.DataFrame]) -> str:
    """Errors by group, support by count, and the rows that were not predicted."""
    parts = [shown(frame) for frame in summary.values() if len(frame)]
    counts = checked["support"].value_counts()
    parts.append("Support   " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    left = checked[checked["predicted"].isna()]
    lines = [
        f"line {i + 2}: {row.id}: {row.support}: {row.reason}"
        for i, row in zip(left.index, left.itertuples(), strict=True)
    ]
    if len(lines) > MOST_LISTED:
        lines[MOST_LISTED:] = [f"... and {len(lines) - MOST_LISTED} more; --out has them all"]
    return "\n\n".join(parts + ["\n".join(lines)] * bool(lines))


def shown(frame: pd.DataFrame) -> str:
    """One table of errors, shares as per cent."""
    shares = {name: "{:.1%}".format for name in ("median_error", "mean_error", "coverage")}
    formats = shares | {"bias": "{:+.1%}".format, "rank_correlation": "{:.2f}".format}
    return frame.to_string(index=False, formatters=formats, na_rep="-")


@click.command(short_help="Fit the model's constants to the measurements on record.")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    required=True,
    help="Folder for calibration.csv and residuals.csv.",
)
def calibrate(out) -> None:
    """Fit the efficiency constants to data/measurements.csv and write calibration.csv and residuals.csv.

    The same tables give the same digits. Takes about a minute.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    newest = tables.read("measurements")["as_of"].max()
    fitted = fitting.fit_measurements()
    for name, frame in (("calibration", fitting.table(fitted, newest)), ("residuals", uncertain.table(fitted, newest))):
        partial = folder / f"{name}.csv.part"
        frame.to_csv(partial, index=False, lineterminator="\n", float_format="%.6g")
        partial.replace(folder / f"{name}.csv")
    figures = uncertain.summary(fitted.residuals)
    click.echo(
        f"{len(fitted.rows)} constants from {len(fitted.residuals):,} rows; median error {figures['median_error']:.1%}, "
        f"mean {figures['mean_error']:.1%}; written to {folder}"
    )
