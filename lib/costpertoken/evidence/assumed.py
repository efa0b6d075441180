"""Intervals of what was never measured: beside the model's own, the range of every constant that could not be fitted."""

from dataclasses import fields, replace

import numpy as np

from costpertoken import tables
from costpertoken.evidence.uncertain import cost_interval, joined
from costpertoken.model.records import Deployment, Efficiency
from costpertoken.model.serving import serve


def constants_at(deployed: Deployment, column: str) -> Efficiency:
    """The constants of a deployment at the "low" or "high" end of their intervals."""
    return tables.efficiency(deployed.accelerator, deployed.precision, engine=deployed.engine, column=column)


def one_by_one(deployed: Deployment) -> Efficiency:
    """The constants as they are, then with each moved alone to the low and to the high end of its interval: a row each."""
    ends, names = (
        [constants_at(deployed, column) for column in ("low", "high")],
        [item.name for item in fields(Efficiency)],
    )
    moves = [(name, getattr(end, name)) for name in names for end in ends]
    columns = {name: np.full(1 + len(moves), getattr(deployed.efficiency, name), dtype=float) for name in names}
    for row, (name, value) in enumerate(moves, start=1):
        columns[name][row] = value
    return Efficiency(**columns)


def rate_band(deployed: Deployment, *, input_tokens, output_tokens, batch) -> tuple[float, float]:
    """(low, high) factors of a rate of which no constant is fitted: each moved alone over its range, and the model's interval,
    joined as independent causes. A range end at which nothing fits counts as no move."""
    moved = replace(deployed, efficiency=one_by_one(deployed))
    served = serve(moved, input_tokens=input_tokens, output_tokens=output_tokens, concurrency=batch).output_tok_per_s
    factors = np.nan_to_num(served[1:].reshape(-1, 2) / served[0], nan=1.0)
    lows, highs = np.minimum(factors.min(axis=1), 1.0), np.maximum(factors.max(axis=1), 1.0)
    low, high = cost_interval(deployed.accelerator.id, deployed.model.id, deployed.engine, backlog=False)[0]
    return joined((1 / high, 1 / low), *zip(lows, highs, strict=True))
