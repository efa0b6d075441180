"""Tables of how good the predictions are, for readers: peers on the same rows, and how far measurements repeat themselves."""

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence.validate import figures

#: What makes two measurements the same configuration, software apart.
SAME = [
    "model_id",
    "accelerator_id",
    "n_accel",
    "tp",
    "pp",
    "weight_precision",
    "isl",
    "osl",
    "concurrency",
    "regime",
    "metric",
]
ALIKE = {"llama-3.1-70b": "llama-3-70b", "llama-3.3-70b": "llama-3-70b", "llama-3.1-8b": "llama-3-8b"}


def peers(checked: pd.DataFrame) -> pd.DataFrame:
    """Errors of other models and of this one on the rows that both predict, best first. checked: from `validate`."""
    rows = checked.set_index("id")
    out = []
    for name, group in tables.read("peer_predictions").groupby("peer"):
        at = rows.loc[rows.index.intersection(group["measurement_id"])]
        theirs = group.set_index("measurement_id")["predicted"].reindex(at.index)
        measured = at["value"].astype(float)
        off, own = (theirs / measured - 1).abs(), (at["predicted"] / measured - 1).abs()
        out.append(
            {"peer": name, "n": len(at), "median_error": off.median(), "mean_error": off.mean(), "own_median_error": own.median(),
             "own_mean_error": own.mean(), "closer": (own < off).mean()}
        )  # fmt: skip
    return pd.DataFrame(out).sort_values("mean_error", ignore_index=True)


def repeats(measured: pd.DataFrame) -> pd.DataFrame:
    """How far measurements of one configuration lie apart: within one release of an engine, and between two releases.

    Half the range of each group, as a share of its mean; Llama releases of one shape count as one model.
    """
    frame = measured[measured["flag"] != "ambiguous"].assign(model_id=measured["model_id"].replace(ALIKE))
    out = []
    for name, keys in (("one release", [*SAME, "engine", "engine_version"]), ("several releases", [*SAME, "engine"])):
        grouped = frame.groupby(keys, dropna=False)["value"]
        spread = ((grouped.max() - grouped.min()) / 2 / grouped.mean())[grouped.size() > 1]
        quarter, median, upper = np.quantile(spread, [0.25, 0.5, 0.75])
        out.append(
            {"compared": name, "n": len(spread), "median": median, "lower_quarter": quarter, "upper_quarter": upper}
        )
    return pd.DataFrame(out)


def worst(checked: pd.DataFrame, by: list[str], fewest: int = 10) -> pd.DataFrame:
    """Groups of predicted rows with the largest median error, at least `fewest` rows each."""
    at = checked[checked["predicted"].notna()].assign(value=lambda f: f["value"].astype(float))
    groups = [(names, group) for names, group in at.groupby(by) if len(group) >= fewest]
    rows = [{**dict(zip(by, names, strict=True)), **figures(group)} for names, group in groups]
    return pd.DataFrame(rows).sort_values("median_error", ascending=False, ignore_index=True)
