"""What the errors are on what the fit has not seen: one accelerator, one model, one release left out at a time.

Each leave-out takes one Gauss-Newton step from the full fit, without the rows of the group; the predictions themselves are
then computed anew. A test holds the step against true refits.
"""

import numpy as np
import pandas as pd

from costpertoken.evidence.calibrate import NOISE, PRIOR_WEIGHT, Fit, log_errors
from costpertoken.evidence.constants import assignment, efficiency_of, prior_logs

#: What is left out -> the column, or columns, that name its groups.
CASES = {
    "accelerator": ["accelerator_id"],
    "model": ["model_id"],
    "release": ["family", "engine_version", "source_date"],
}
#: A constant moves at most this far (in logs) in one step.
LONGEST_STEP = 1.0


def groups(frame: pd.DataFrame, case: str) -> np.ndarray:
    """Group of every predicted row under a case."""
    return frame[CASES[case]].astype(str).agg("|".join, axis=1).to_numpy()


def without(fitted: Fit, left: np.ndarray) -> np.ndarray:
    """The constants after one Gauss-Newton step without the rows marked in `left`."""
    prior, spread, lower, upper = prior_logs(fitted.rows)
    jacobian, residual = fitted.jacobian[: len(left)], fitted.weighted
    kept, gone = jacobian[~left], jacobian[left]
    normal = kept.T @ kept + np.diag((PRIOR_WEIGHT * NOISE / spread) ** 2)
    step = np.clip(np.linalg.solve(normal, gone.T @ residual[left]), -LONGEST_STEP, LONGEST_STEP)
    return prior * np.exp(np.clip(np.log(fitted.values / prior) + step, lower, upper))


def errors(fitted: Fit, case: str) -> np.ndarray:
    """log(predicted / measured) of every predicted row, by constants that have not seen its group."""
    group = groups(fitted.observed.predicted, case)
    assigned = assignment(fitted.observed, fitted.rows)
    out = np.full(len(group), np.nan)
    for name in np.unique(group):
        left = group == name
        out[left] = log_errors(fitted.observed, efficiency_of(without(fitted, left), assigned))[left]
    return out
