"""Fit the efficiency constants to the measurements, and say how far each can be trusted.

Least squares on log(predicted / measured), made robust (pseudo-Huber), with a prior on every constant: one that no row
informs stays where it was assumed. Rows of large groups weigh less each, so that no table of one source decides alone.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from costpertoken import tables
from costpertoken.evidence.constants import assignment, efficiency_of, prior_logs
from costpertoken.evidence.observations import Observations, observe
from costpertoken.evidence.predict import predict
from costpertoken.model.units import DAYS_PER_YEAR

#: Errors up to this size (in logs) count squared, larger ones linearly.
NOISE = 0.1
#: Weight of the priors against the rows.
PRIOR_WEIGHT = 3.0
#: A row further off than this (in logs) is held there: no prediction at all must not decide the fit.
FURTHEST = 3.0
#: Engines get faster: a measurement counts half as much for each such time that it is older than the newest of its kind.
HALF_LIFE_YEARS = 0.2
DATE_LENGTH = len("2026-01-31")
#: Step of the logs of the constants in derivatives.
STEP = 1e-5
#: Two-sided 80 % of a normal, in standard deviations.
Z80 = 1.2816


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Constants that fit the rows of `observed`: values, spread of their logs, and what leave-one-out needs."""

    observed: Observations
    rows: pd.DataFrame
    values: np.ndarray
    log_spread: np.ndarray
    residuals: np.ndarray  # log(predicted / measured)
    jacobian: np.ndarray  # of the weighted robust residuals by the logs of the constants
    weighted: np.ndarray


def usable(measured: pd.DataFrame) -> pd.DataFrame:
    """Rows that the fit may use: scored, and with something to predict."""
    return measured[(measured["flag"] != "ambiguous") & (measured["quality"] != "illustration")]


def row_weights(observed: Observations) -> np.ndarray:
    """Weight of each row: the fourth root of its group's size, inverted, and halved for each HALF_LIFE of age; mean one."""
    frame = observed.predicted
    group = frame["family"] + frame["regime"] + frame["metric"] + frame["id"].str.split("-").str[0]
    size = group.map(group.value_counts()).to_numpy(float)
    weight = size**-0.25 * 0.5 ** (age_years(frame) / HALF_LIFE_YEARS)
    return weight / weight.mean()


def age_years(frame: pd.DataFrame) -> np.ndarray:
    """Years by which each row is older than the newest of its engine family and regime; none where it states no date."""
    date = pd.to_datetime(frame["source_date"].where(frame["source_date"].str.len() == DATE_LENGTH), errors="coerce")
    newest = date.groupby([frame["family"], frame["regime"]]).transform("max")
    age = (newest - date).dt.days / DAYS_PER_YEAR
    return age.fillna(0.0).to_numpy(float)


def log_errors(observed: Observations, efficiency, only=None) -> np.ndarray:
    """log(predicted / measured), held within FURTHEST; what cannot be predicted counts as 1.5."""
    with np.errstate(all="ignore"):
        error = np.log(predict(observed, efficiency, only) / observed.value)
    return np.clip(np.where(np.isfinite(error), error, 1.5), -FURTHEST, FURTHEST)


def robust(error: np.ndarray) -> np.ndarray:
    """Residual whose square is the pseudo-Huber loss."""
    return NOISE * np.sign(error) * np.sqrt(2.0 * (np.sqrt(1.0 + (error / NOISE) ** 2) - 1.0))


def touching(assigned: dict[str, np.ndarray], n_constants: int) -> list[np.ndarray]:
    """Positions of the rows that each constant holds for."""
    marks = np.zeros((n_constants, len(next(iter(assigned.values())))), dtype=bool)
    for at in assigned.values():
        marks[at, np.arange(len(at))] = True
    return [np.flatnonzero(mark) for mark in marks]


def fit(observed: Observations, *, most_evaluations: int = 25) -> Fit:
    """The constants of data/efficiency.csv, fitted to observed rows. Deterministic."""
    rows = tables.read("efficiency")
    prior, spread, lower, upper = prior_logs(rows)
    assigned, weight = assignment(observed, rows), row_weights(observed)
    touched = touching(assigned, len(rows))
    pull = PRIOR_WEIGHT * NOISE / spread

    def data_residual(logs, only=None):
        return weight * robust(log_errors(observed, efficiency_of(prior * np.exp(logs), assigned), only))

    def residual(logs):
        return np.concatenate([data_residual(logs), pull * logs])

    def jacobian(logs):
        base, out = data_residual(logs), np.zeros((len(weight), len(rows)))
        for k, at in enumerate(touched):
            moved = logs.copy()
            moved[k] += STEP
            out[at, k] = (data_residual(moved, at)[at] - base[at]) / STEP
        return np.vstack([out, np.diag(pull)])

    start = np.clip(np.zeros(len(rows)), lower + 1e-6, upper - 1e-6)
    found = least_squares(residual, start, jac=jacobian, bounds=(lower, upper), max_nfev=most_evaluations)
    return concluded(observed, rows, assigned, prior, found)


def concluded(observed, rows, assigned, prior, found) -> Fit:
    """The Fit of a finished least-squares search; values to six digits, so that a table of them gives it back."""
    n = len(observed.value)
    values = np.array([float(f"{v:.6g}") for v in prior * np.exp(found.x)])
    noise = max(found.fun[:n].std(), NOISE / 10)
    covariance = np.linalg.inv(found.jac.T @ found.jac) * noise**2
    return Fit(
        observed=observed,
        rows=rows,
        values=values,
        log_spread=np.sqrt(np.diag(covariance)),
        residuals=log_errors(observed, efficiency_of(values, assigned)),
        jacobian=found.jac,
        weighted=found.fun[:n],
    )


def rows_informing(fitted: Fit) -> np.ndarray:
    """Number of measured rows that each constant holds for."""
    touched = touching(assignment(fitted.observed, fitted.rows), len(fitted.rows))
    return np.array([len(at) for at in touched])


def table(fitted: Fit, as_of: str) -> pd.DataFrame:
    """data/calibration.csv: each constant's value with its 80 % interval; `assumed` where no row informs it."""
    rows, n_rows = fitted.rows, rows_informing(fitted)
    spread = np.where(n_rows > 0, Z80 * fitted.log_spread, Z80 * rows["spread"])
    ends = [np.clip(fitted.values * np.exp(sign * spread), rows["low"], rows["high"]) for sign in (-1, 1)]
    shown = [[float(f"{v:.4g}") for v in end] for end in ends]
    return rows[["constant", "engine", "vendor", "format"]].assign(
        value=fitted.values,
        unit=rows["unit"],
        low=np.minimum(shown[0], fitted.values),
        high=np.maximum(shown[1], fitted.values),
        n_rows=n_rows,
        basis=np.where(n_rows > 0, "derived", "assumed"),
        source=np.where(n_rows > 0, "calibration", "assumption"),
        as_of=as_of,
        note=rows["note"],
    )


def fit_measurements(measured: pd.DataFrame | None = None) -> Fit:
    """The fit to data/measurements.csv, or to some of its rows."""
    return fit(observe(usable(tables.read("measurements") if measured is None else measured)))
