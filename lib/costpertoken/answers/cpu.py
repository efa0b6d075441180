"""A processor's instances beside an accelerator: what each size carries and costs, and what a mix of both saves."""

import numpy as np
import pandas as pd

from costpertoken.answers.sensitivity import with_constant
from costpertoken.fleet.machines import (
    capacity_tok_per_s,
    cheapest_usd_per_hour,
    crossing_tok_per_s,
    fleet_usd_per_hour,
)
from costpertoken.model.units import GIB
from costpertoken.money.cost import usd_per_mtok
from costpertoken.tables.cpus import instance, vcpu_price, vcpu_sizes


def sizes(model_id: str, cpu_id: str, *, weights: str, vcpu_usd_per_hour=None, changed=None, **load) -> pd.DataFrame:
    """Instances that serve within the limits, smallest first: n_vcpus, memory_gib, usd_per_hour, tok_per_s, batch, usd_per_mtok.

    load: input_tokens, output_tokens, tpot_limit_s, ttft_limit_s. changed: constants of the engine to change.
    """
    rent = vcpu_price(cpu_id).usd_per_hour if vcpu_usd_per_hour is None else vcpu_usd_per_hour
    rows = []
    for n_vcpus in vcpu_sizes(cpu_id):
        deployed = with_constant(instance(model_id, cpu_id, weights=weights, n_vcpus=n_vcpus), **(changed or {}))
        rate, batch = capacity_tok_per_s(deployed, **load)
        memory = deployed.accelerator.memory_bytes / GIB
        rows.append((n_vcpus, memory, n_vcpus * rent, rate, batch, usd_per_mtok(usd_per_hour=n_vcpus * rent, tok_per_s=rate)))
    frame = pd.DataFrame(rows, columns=["n_vcpus", "memory_gib", "usd_per_hour", "tok_per_s", "batch", "usd_per_mtok"])
    return frame.dropna().astype({"usd_per_mtok": float}).reset_index(drop=True)


def crossings(model_id: str, cpu_id: str, *, weights: str, other_usd_per_hour: float, tpot_limit_s, **load) -> np.ndarray:
    """Output tokens per second below which instances cost less than one machine at other_usd_per_hour, a figure a limit; NaN
    where no size keeps the limit. tpot_limit_s: an array. load: input_tokens, output_tokens, ttft_limit_s."""
    n_vcpus, limits = np.array(vcpu_sizes(cpu_id)), np.atleast_1d(tpot_limit_s)
    of_size = [instance(model_id, cpu_id, weights=weights, n_vcpus=n) for n in n_vcpus]
    carried = np.stack([capacity_tok_per_s(at, tpot_limit_s=limits, **load)[0] for at in of_size], axis=-1)
    rents = n_vcpus * vcpu_price(cpu_id).usd_per_hour
    found = crossing_tok_per_s(capacities_tok_per_s=carried, usd_per_hour=rents, other_usd_per_hour=other_usd_per_hour)
    return np.where(np.isnan(carried).all(axis=-1), np.nan, found)


def hybrid(load_tok_per_s, *, gpu_tok_per_s: float, gpu_usd_per_hour: float, small: pd.DataFrame, movable: float) -> pd.DataFrame:
    """The cheapest split of each load between accelerators and instances of `small` (as `sizes` gives them).

    One row a load: alone_usd and mixed_usd per hour, moved (share of the tokens on processors), n_gpus. At most `movable` of
    the tokens can be moved.
    """
    fleet = {"capacities_tok_per_s": small["tok_per_s"].to_numpy(), "usd_per_hour": small["usd_per_hour"].to_numpy()}
    rows = []
    for load in np.atleast_1d(load_tok_per_s):
        alone = float(fleet_usd_per_hour(load_tok_per_s=load, capacity_tok_per_s=gpu_tok_per_s, usd_per_hour=gpu_usd_per_hour))
        best = (alone, 0.0, round(alone / gpu_usd_per_hour))
        for n_gpus in range(best[2]):
            moved = load - n_gpus * gpu_tok_per_s
            if len(small) and moved <= movable * load * (1 + 1e-9):
                bill = n_gpus * gpu_usd_per_hour + float(cheapest_usd_per_hour(load_tok_per_s=moved, **fleet))
                best = min(best, (bill, moved / load, n_gpus))
        rows.append((load, alone, *best))
    return pd.DataFrame(rows, columns=["load_tok_per_s", "alone_usd", "mixed_usd", "moved", "n_gpus"])


def instances_usd_per_hour(load_tok_per_s, small: pd.DataFrame, *, factor: float = 1.0):
    """USD per hour of the cheapest instances of `small` for each load, were each to carry `factor` times its rate."""
    fleet = {"capacities_tok_per_s": factor * small["tok_per_s"].to_numpy(), "usd_per_hour": small["usd_per_hour"].to_numpy()}
    return cheapest_usd_per_hour(load_tok_per_s=load_tok_per_s, **fleet)


def cost_curve(load_tok_per_s, bill_usd_per_hour, *, band: tuple[float, float] = (1.0, 1.0)) -> pd.DataFrame:
    """Cost a million tokens over loads: load (tokens a second), usd, low, high.

    bill_usd_per_hour: the fleet's bill as a function of the factor of its machines' rate; band: (low, high) of that factor.
    """
    usd, low, high = (
        usd_per_mtok(usd_per_hour=bill_usd_per_hour(factor), tok_per_s=load_tok_per_s) for factor in (1.0, band[1], band[0])
    )
    return pd.DataFrame({"load": load_tok_per_s, "usd": usd, "low": low, "high": high})
