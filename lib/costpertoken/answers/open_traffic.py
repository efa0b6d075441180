"""Published measurements under open traffic, beside the same traffic simulated."""

import pandas as pd

from costpertoken import tables
from costpertoken.answers.simulated import replay
from costpertoken.fleet.simulate import latencies
from costpertoken.model.records import Workload
from costpertoken.model.units import KILO

#: Columns that make one placement under one load; a first token later than this many ms says that the engine was overloaded.
PLACEMENT = ["model_id", "accelerator_id", "tp", "weight_precision", "isl", "osl", "engine", "engine_version", "source_date"]
OVERLOADED_MS = 1000.0
#: Requests simulated for each row, and slots.
N_REQUESTS, SLOTS = 800, 1024


def rows(*, model_id: str | None = None, accelerator_id: str | None = None) -> pd.DataFrame:
    """Measured open traffic below overload, one row a placement and rate: its keys, the row's `source`, requests_per_s, ttft_ms,
    tpot_ms. The rate is that of the answers' tokens over their length, which is printed with more digits."""
    known = tables.read("measurements").query("regime == 'open-loop' and flag == ''").sort_values("id")
    for column, wanted in (("model_id", model_id), ("accelerator_id", accelerator_id)):
        known = known if wanted is None else known[known[column] == wanted]
    known = known.assign(point=known.groupby([*PLACEMENT, "metric"], dropna=False).cumcount())
    wide = known.pivot(index=[*PLACEMENT, "source_id", "point"], columns="metric", values="value").reset_index()
    wide["requests_per_s"] = wide["output_tok_s_total"] / wide["osl"]
    wide.columns.name = None
    kept = wide[wide["ttft_ms"] < OVERLOADED_MS]
    kept = kept[[*PLACEMENT, "source_id", "requests_per_s", "ttft_ms", "tpot_ms"]]
    return kept.rename(columns={"source_id": "source"}).reset_index(drop=True)


def beside_simulated(measured: pd.DataFrame) -> pd.DataFrame:
    """`rows` with ttft_simulated_ms, base_ms (what the service adds to a first token in it) and tpot_simulated_ms: means of
    equal answers under chunked prefill, arrivals Poisson."""
    found = []
    for row in measured.to_dict("records"):
        family = tables.engine_family(row["engine"], str(row["engine_version"]), str(row["source_date"]))
        at = tables.deployment(
            row["model_id"], row["accelerator_id"], weights=row["weight_precision"], tp=int(row["tp"]), engine=family
        )
        work = Workload(input_tokens=row["isl"], output_tokens=row["osl"])
        load = {"output_cv": 0.0, "requests_per_s": row["requests_per_s"], "n_requests": N_REQUESTS}
        run = replay(at, work, schedule="chunked", slots=SLOTS, load=load)
        mean = KILO * latencies(run).mean()
        simulated = {"ttft_simulated_ms": mean["ttft_s"], "base_ms": KILO * run.ttft_base_s, "tpot_simulated_ms": mean["tpot_s"]}
        found.append({**row, **simulated})
    return pd.DataFrame(found)
