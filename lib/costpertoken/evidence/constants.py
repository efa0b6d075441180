"""The efficiency constants as a vector: which entry holds for which measured row, and back."""

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence.observations import Observations
from costpertoken.model.records import Efficiency

#: A constant whose lower bound is zero is fitted in logarithms down to this share of its prior.
FLOOR = 1e-3


def assignment(observed: Observations, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Field of Efficiency -> position in `rows` of the constant that holds, for every predicted row."""
    known = {key: tables.positions(rows, *key) for key in set(observed.keys)}
    return {
        field: np.array([known[key][field] for key in observed.keys], dtype=int)
        for field in Efficiency.__dataclass_fields__
    }


class RowEfficiency:
    """Efficiency with one value a row, unchecked: the fit makes thousands of them."""


def efficiency_of(values: np.ndarray, assigned: dict[str, np.ndarray]) -> RowEfficiency:
    """Efficiency of every predicted row from the vector of constants."""
    made = RowEfficiency()
    made.__dict__ = {field: values[at] for field, at in assigned.items()}
    return made


def prior_logs(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(prior, spread, lower, upper): priors as given; spread of log(value / prior); bounds of log(value / prior)."""
    prior = rows["value"].to_numpy(float)
    lower = np.log(np.maximum(rows["low"].to_numpy(float), FLOOR * prior) / prior)
    return prior, rows["spread"].to_numpy(float), lower, np.log(rows["high"].to_numpy(float) / prior)


def calibrated(observed: Observations) -> RowEfficiency:
    """The calibrated constants for every predicted row."""
    rows = tables.read("calibration")
    return efficiency_of(rows["value"].to_numpy(float), assignment(observed, rows))
