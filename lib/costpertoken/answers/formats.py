"""What a number format does to a token's cost: bytes, rates and room; cost against load; which cause saves how much; what
was measured. The whole bill lies on output tokens, so a ratio of costs is one of accelerator time."""

from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers import estimate as one
from costpertoken.answers.sensitivity import moved_alike
from costpertoken.model import transformer
from costpertoken.model.counts import math_format, peak_flop_per_s
from costpertoken.model.records import Deployment, Workload
from costpertoken.model.serving import capacity
from costpertoken.model.units import BITS_PER_BYTE, GIGA, KILO, TERA
from costpertoken.money.cost import usd_per_mtok

#: Formats compared, from wide to narrow, and how the book's text names them.
FORMATS = {"fp32": "FP32", "bf16": "BF16", "fp8": "FP8", "int8": "INT8", "int4": "INT4", "fp4": "FP4"}
NARROW = ("fp8", "int8", "int4", "fp4")
#: Engine family of the measured pairs.
MEASURED_UNDER = "tensorrt-llm"
#: What a narrower format changes, in the order in which it is changed here.
CAUSES = ("fewer bytes of weights", "faster products", "smaller cache", "larger batch in the memory freed")


def in_formats(deployed: Deployment, formats=FORMATS) -> dict[str, Deployment]:
    """The same deployment in other formats, by their ids."""
    model, machine = deployed.model.id, deployed.accelerator.id
    return {name: one.deployment(model, machine, weights=name, tp=deployed.tp, engine=deployed.engine) for name in formats}


def usd(deployed: Deployment, workload: Workload, *, usd_per_hour):
    """USD per million output tokens, the whole bill on them; NaN where it does not fit."""
    out = one.serve_workload(deployed, workload)
    return usd_per_mtok(usd_per_hour=usd_per_hour, tok_per_s=out.output_tok_per_s / out.n_accelerators)


def format_row(deployed: Deployment, workload: Workload, *, usd_per_hour) -> dict:
    """One format: bits with their metadata, weights, math rate, cache, room for requests, cost alone and with a backlog."""
    at, model = deployed.precision, deployed.model
    out = one.serve_workload(deployed, replace(workload, concurrency=None))
    alone = usd(deployed, replace(workload, concurrency=1.0), usd_per_hour=usd_per_hour)
    return {
        "bits": at.expert_bytes * BITS_PER_BYTE if model.n_experts else at.dense_bytes * BITS_PER_BYTE,
        "weights_gb": sum(transformer.weight_bytes(model, at).values()) / GIGA,
        "math": math_format(deployed.accelerator, at.dense_math).upper(),
        "tflops": peak_flop_per_s(deployed, "dense") / TERA,
        "cache_kb": transformer.cache_bytes_per_token(model, at) / KILO,
        "requests": float(out.batch),
        "usd_alone": float(alone),
        "usd_full": float(usd(deployed, replace(workload, concurrency=None), usd_per_hour=usd_per_hour)),
    }


def format_table(deployed: Deployment, workload: Workload, *, usd_per_hour) -> pd.DataFrame:
    """`format_row` of every format on the same accelerators."""
    placed = in_formats(deployed)
    return pd.DataFrame(
        {"id": name, "format": FORMATS[name], **format_row(at, workload, usd_per_hour=usd_per_hour)}
        for name, at in placed.items()
    )


def cuts(frame: pd.DataFrame, column: str, baseline: str) -> pd.Series:
    """Reduction of a column against the row of one format, in per cent."""
    return 100 * (1 - frame[column] / frame.loc[frame["id"] == baseline, column].iloc[0])


def cost_ratios(deployed: Deployment, workload: Workload, requests, formats=NARROW) -> pd.DataFrame:
    """Cost in narrow formats over that of the deployment, at the same requests in flight: format, requests, ratio.

    What memory cannot hold waits, so past a format's room its cost stays.
    """
    load = replace(workload, concurrency=requests)
    base = usd(deployed, load, usd_per_hour=1.0)
    frames = [
        pd.DataFrame({"format": FORMATS[name], "requests": requests, "ratio": usd(at, load, usd_per_hour=1.0) / base})
        for name, at in in_formats(deployed, formats).items()
    ]
    return pd.concat(frames, ignore_index=True)


def stages(base: Deployment, narrow: Deployment) -> list[Deployment]:
    """From one format to another in three steps: bytes of the weights; number format of the products; bytes of the cache."""
    kept, new = base.precision, narrow.precision
    stored = replace(kept, dense_bytes=new.dense_bytes, expert_bytes=new.expert_bytes, head_bytes=new.head_bytes)
    return [base, replace(base, precision=stored), replace(narrow, precision=replace(new, cache_bytes=kept.cache_bytes)), narrow]


def causes(base: Deployment, narrow: Deployment, workload: Workload) -> pd.DataFrame:
    """What share of the base's cost each of CAUSES saves, in per cent, changed one after the other: cause, saved.

    The first three hold the base's batch; the last lets it grow to the load or to what memory now holds.
    """
    held = float(one.serve_workload(base, workload).batch)
    costs = [float(usd(at, replace(workload, concurrency=held), usd_per_hour=1.0)) for at in stages(base, narrow)]
    costs.append(float(usd(narrow, workload, usd_per_hour=1.0)))
    return pd.DataFrame({"cause": CAUSES, "saved": -100 * np.diff(costs) / costs[0]})


def cost_share(base: Deployment, narrow: Deployment, workload: Workload, **moved: float) -> float:
    """Cost in the narrow format over the base's; moved: constants of the engine for the base, moved alike for both."""
    costs = [float(usd(moved_alike(at, base, **moved), workload, usd_per_hour=1.0)) for at in (narrow, base)]
    return costs[0] / costs[1]


def crossing(deployed: Deployment, workload: Workload, requests, *, first: str, second: str) -> float:
    """The least of some numbers of requests in flight from which on the second format is as cheap as the first; NaN if none."""
    found = cost_ratios(deployed, workload, requests, formats=(first, second))
    both = found.pivot(index="requests", columns="format", values="ratio")
    dearer = (both[FORMATS[second]] > both[FORMATS[first]]).to_numpy()
    start = int(np.flatnonzero(dearer)[-1]) + 1 if dearer.any() else 0
    return float(both.index[start]) if start < len(both) else np.nan


def measured_pairs(accelerator_id: str, *, wide=("fp16", "bf16"), narrow="fp8") -> pd.DataFrame:
    """Published offline throughput in a narrow format over that in a wide one, all else the same, medians over releases:
    model_id, tp, isl, osl, ratio, source."""
    offline = "regime == 'offline-max-throughput' and metric == 'output_tok_s_total' and flag == ''"
    rows = tables.read("measurements").query(f"accelerator_id == @accelerator_id and {offline}")
    rows = rows[rows["tp"].notna() & (rows["pp"].fillna(1) == 1)]
    same = ["source_id", "engine_version", "model_id", "tp", "isl", "osl"]
    wide_rows = rows[rows["weight_precision"].isin(wide)].groupby(same, as_index=False)["value"].max()
    narrow_rows = rows[rows["weight_precision"] == narrow].groupby(same, as_index=False)["value"].max()
    both = wide_rows.merge(narrow_rows, on=same, suffixes=("_wide", "_narrow"))
    both["ratio"] = both["value_narrow"] / both["value_wide"]
    grouped = both.groupby(["model_id", "tp", "isl", "osl"], as_index=False)
    return grouped.agg(ratio=("ratio", "median"), source=("source_id", "first"))


def predicted_pairs(pairs: pd.DataFrame, accelerator_id: str, *, wide="fp16", narrow="fp8") -> pd.DataFrame:
    """Measured pairs with the model's own ratio, and the share of memory that the wide weights fill, in per cent."""
    rows = []
    for row in pairs.itertuples():
        load = Workload(input_tokens=row.isl, output_tokens=row.osl)
        at = one.deployment(row.model_id, accelerator_id, weights=wide, tp=int(row.tp), engine=MEASURED_UNDER)
        slim = one.deployment(row.model_id, accelerator_id, weights=narrow, tp=int(row.tp), engine=MEASURED_UNDER)
        room = capacity(at)
        ratio = float(usd(at, load, usd_per_hour=1.0) / usd(slim, load, usd_per_hour=1.0))
        rows.append({"filled": 100 * float(room.weight_bytes / room.usable_bytes), "predicted": ratio, "name": at.model.name})
    return pairs.assign(**pd.DataFrame(rows, index=pairs.index)) if rows else pairs.assign(filled=[], predicted=[], name=[])


def quality() -> pd.DataFrame:
    """Perplexities on record of quantized models beside half precision: method, model, full, narrow, kept (per cent), source."""
    rows = tables.read("techniques")
    rows = rows[rows["quantity"].str.contains("perplexity")].assign(full=lambda f: f["quantity"].str.endswith("FP16"))
    wide = rows.pivot(index=["technique", "condition", "source"], columns="full", values="value").reset_index()
    wide = wide.rename(columns={"technique": "method", "condition": "model", True: "full_ppl", False: "narrow_ppl"})
    wide["kept"] = 100 * wide["full_ppl"] / wide["narrow_ppl"]
    shown = wide[["method", "model", "full_ppl", "narrow_ppl", "kept", "source"]]
    return shown.sort_values("kept", ascending=False, ignore_index=True)
