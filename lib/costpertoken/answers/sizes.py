"""What a model's size does to its cost: placements by number of accelerators, regimes, walls of memory, experts and their
dense twins. Rates are output tokens per second and accelerator; the whole bill lies on output tokens."""

from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers import estimate as one
from costpertoken.answers.compare import best_placement
from costpertoken.model import transformer
from costpertoken.model.records import Deployment, Model, Workload
from costpertoken.model.serving import capacity, smallest_fit
from costpertoken.model.units import GIGA, KILO
from costpertoken.money.cost import usd_per_mtok

#: Regimes in which sizes are compared -> how they are said.
REGIMES = {
    "alone": "one request at a time",
    "limit": "a limit on the time of a token",
    "fewest": "backlog, fewest accelerators",
    "cheapest": "backlog, cheapest number",
}


def n_parameters(model: Model, *, active=False) -> float:
    """Parameters of a model, or those that one token reads."""
    return float(sum((transformer.active_parameters if active else transformer.parameters)(model).values()))


def size_of(deployed: Deployment) -> float:
    """Parameters of the model that is served, for sorting."""
    return n_parameters(deployed.model)


def machines(n) -> str:
    """So many accelerators, in words."""
    return f"{int(n)} accelerator" + ("s" if n > 1 else "")


def fewest(deployed: Deployment, workload: Workload) -> int | None:
    """Fewest accelerators of one server that hold the weights and one request, or None."""
    lengths = {"input_tokens": workload.input_tokens, "output_tokens": workload.output_tokens}
    return smallest_fit(deployed, **lengths, degrees=one.degrees_of(deployed))


def tok_per_s(deployed: Deployment, workload: Workload) -> float:
    """Output tokens per second and accelerator; NaN where it does not fit."""
    out = one.serve_workload(deployed, workload)
    return float(out.output_tok_per_s / out.n_accelerators)


def rates_tok_per_s(deployed: Deployment, workload: Workload, *, tpot_limit_s) -> dict[str, float]:
    """Output tokens per second and accelerator in each of REGIMES; NaN where nothing serves."""
    least, backlog = fewest(deployed, workload), replace(workload, concurrency=None)
    limited = best_placement(deployed, workload, tpot_limit_s=tpot_limit_s)
    best = best_placement(deployed, workload)
    held = replace(deployed, tp=least) if least else None
    return {
        "alone": tok_per_s(held, replace(workload, concurrency=1.0)) if held else np.nan,
        "limit": limited[2] if limited else np.nan,
        "fewest": tok_per_s(held, backlog) if held else np.nan,
        "cheapest": best[2] if best else np.nan,
    }


def beyond(small: Deployment, large: Deployment, workload: Workload, *, tpot_limit_s) -> pd.DataFrame:
    """Cost ratio of two sizes on one accelerator in each regime, and that ratio over the ratio of their parameters."""
    rates = [rates_tok_per_s(at, workload, tpot_limit_s=tpot_limit_s) for at in (small, large)]
    parameters = n_parameters(large.model) / n_parameters(small.model)
    return pd.DataFrame(
        {
            "regime": REGIMES[name],
            "cost_ratio": rates[0][name] / rates[1][name],
            "excess": rates[0][name] / rates[1][name] / parameters,
        }
        for name in REGIMES
    )


def fit_row(deployed: Deployment, workload: Workload, *, usd_per_hour) -> dict:
    """Where one model fits: bytes, the fewest accelerators and how full they are, the cheapest number, and both costs."""
    least, best = fewest(deployed, workload), best_placement(deployed, workload)
    held = replace(deployed, tp=least or 1)
    room, out = capacity(held), one.serve_workload(held, replace(workload, concurrency=None))
    return {
        "model": deployed.model.name,
        "weights_gb": sum(transformer.weight_bytes(deployed.model, deployed.precision).values()) / GIGA,
        "cache_gb": float(transformer.cache_bytes(deployed.model, deployed.precision, mean_tokens(workload))) / GIGA,
        "fewest": least or np.nan,
        "full": 100 * float(room.weight_bytes / room.usable_bytes) if least else np.nan,
        "requests": float(out.batch),
        "usd_fewest": float(usd_per_mtok(usd_per_hour=usd_per_hour, tok_per_s=out.output_tok_per_s / out.n_accelerators)),
        "cheapest": best[0] if best else np.nan,
        "usd_cheapest": float(usd_per_mtok(usd_per_hour=usd_per_hour, tok_per_s=best[2])) if best else np.nan,
    }


def mean_tokens(workload: Workload) -> float:
    """Mean context of a request while it is answered, in tokens."""
    return workload.input_tokens + workload.output_tokens / 2


def deepened(model: Model, n_layers: int) -> Model:
    """The same layers, more or fewer of them; windowed layers keep their share."""
    windows = round(model.n_window_layers * n_layers / model.n_layers)
    return replace(model, n_layers=n_layers, n_window_layers=windows)


def walls(deployed: Deployment, workload: Workload, n_layers, *, usd_per_hour) -> pd.DataFrame:
    """Cost of one model made deeper and shallower, by number of accelerators: parameters, batch, USD per Mtok and
    1e9 parameters. What does not fit has no row."""
    rows = []
    for layers in n_layers:
        model = deepened(deployed.model, int(layers))
        size = n_parameters(model) / GIGA
        for tp in one.degrees_of(deployed):
            out = one.serve_workload(replace(deployed, model=model, tp=tp), replace(workload, concurrency=None))
            usd = usd_per_mtok(usd_per_hour=usd_per_hour, tok_per_s=out.output_tok_per_s / tp)
            rows.append({"n": tp, "parameters": size, "batch": float(out.batch), "usd_each": float(usd) / size})
    frame = pd.DataFrame(rows).assign(series=lambda f: f["n"].map(machines)).dropna(ignore_index=True)
    return frame.sort_values(["n", "parameters"], ignore_index=True)


def with_kv_heads(model: Model, n_kv_heads: int) -> Model:
    """The same model with fewer key-value heads, if it has more and caches them whole."""
    if model.attention == "mla" or model.n_kv_heads <= n_kv_heads or model.n_heads % n_kv_heads:
        return model
    return replace(model, name=f"{model.name}, {n_kv_heads} KV heads", n_kv_heads=n_kv_heads, attention="gqa")


def unlinked(deployed: Deployment) -> Deployment:
    """The same accelerators without their fast link: what they say to each other goes over PCIe."""
    machine = deployed.accelerator
    return replace(deployed, accelerator=replace(machine, link_domain=1)) if machine.pcie_bytes_per_s else deployed


def dense_twin(model: Model, *, like: str) -> Model:
    """A dense model of the same attention and vocabulary with as many parameters as the mixture has ("total"), or as one
    token reads of it ("active"): every layer's MLP is widened alike."""
    parts = (transformer.parameters if like == "total" else transformer.active_parameters)(model)
    mlp = parts["mlp"] + parts["experts"] + parts["shared_experts"] + parts["router"]
    width = round(mlp / (model.n_layers * model.mlp_matrices * model.d_model))
    name = f"dense, {'all' if like == 'total' else 'active'} parameters"
    return replace(model, name=name, n_experts=0, n_experts_active=0, n_shared_experts=0, d_ff=width, dense_d_ff=0)


def mixture_curves(deployed: Deployment, workload: Workload, concurrency, *, usd_per_hour) -> pd.DataFrame:
    """Cost against requests in flight of a mixture and its two dense twins on the same accelerators: series, requests, usd.

    A load that memory cannot hold has no row.
    """
    model = deployed.model
    tried = {"mixture of experts": model}
    tried |= {dense_twin(model, like=like).name: dense_twin(model, like=like) for like in ("total", "active")}
    rows = []
    for name, served in tried.items():
        out = one.serve_workload(replace(deployed, model=served), replace(workload, concurrency=concurrency))
        usd = usd_per_mtok(usd_per_hour=usd_per_hour, tok_per_s=out.output_tok_per_s / out.n_accelerators)
        held = out.batch >= concurrency
        rows.append(pd.DataFrame({"series": name, "requests": concurrency[held], "usd": usd[held]}))
    return pd.concat(rows, ignore_index=True)


def every_model(accelerator_id: str, workload: Workload, *, weights: str, usd_per_hour) -> pd.DataFrame:
    """The cheapest placement of every text model that fits one server: name, kind, active and all parameters (1e9), n, usd."""
    rows = []
    for model_id in tables.ids("models"):
        deployed = one.deployment(model_id, accelerator_id, weights=weights)
        best = None if deployed.model.encoder_layers else best_placement(deployed, workload)
        if best:
            rows.append(
                {
                    "name": deployed.model.name,
                    "kind": "mixture of experts" if deployed.model.n_experts else "dense",
                    "active": n_parameters(deployed.model, active=True) / GIGA,
                    "all": n_parameters(deployed.model) / GIGA,
                    "cache_kb": transformer.cache_bytes_per_token(deployed.model, deployed.precision) / KILO,
                    "n": best[0],
                    "usd": float(usd_per_mtok(usd_per_hour=usd_per_hour, tok_per_s=best[2])),
                }
            )
    return pd.DataFrame(rows)


def power_law(y, *inputs) -> tuple[list[float], float, float]:
    """(exponents of the inputs, factor, typical miss) of the least-squares plane through the logarithms. The miss is the
    factor that one standard deviation of the logarithms makes."""
    logs = np.column_stack([np.ones(len(y)), *(np.log(x) for x in inputs)])
    found = np.linalg.lstsq(logs, np.log(y), rcond=None)[0]
    miss = np.std(np.log(y) - logs @ found)
    return [float(exponent) for exponent in found[1:]], float(np.exp(found[0])), float(np.exp(miss))


def measured(model_id: str, accelerator_id: str, workload: Workload, *, weights: str, usd_per_hour) -> pd.DataFrame:
    """Published offline throughput of a model at these lengths, best of the releases, by number of accelerators: n,
    series, usd, source."""
    rows = tables.read("measurements")
    same = {"fp16": ("fp16", "bf16"), "bf16": ("fp16", "bf16")}.get(weights, (weights,))
    rows = rows[
        (rows["model_id"] == model_id) & (rows["accelerator_id"] == accelerator_id) & rows["weight_precision"].isin(same)
        & (rows["isl"] == workload.input_tokens) & (rows["osl"] == workload.output_tokens) & (rows["flag"] == "")
        & (rows["regime"] == "offline-max-throughput") & (rows["metric"] == "output_tok_s_total")
    ]  # fmt: skip
    best = rows.loc[rows.groupby("n_accel")["value"].idxmax()]
    usd = usd_per_mtok(usd_per_hour=usd_per_hour, tok_per_s=best["value"] / best["n_accel"])
    n = best["n_accel"].astype(int)
    return pd.DataFrame({"n": n, "series": n.map(machines), "usd": usd, "source": best["source_id"]}).reset_index(drop=True)
