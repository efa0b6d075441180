"""What one configuration costs: the model's figures with their earned interval, and the market's price range apart."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from costpertoken import tables
from costpertoken.evidence.uncertain import cost_interval, joined
from costpertoken.model.records import Deployment, InputError, Price, Workload, check_range
from costpertoken.model.serving import STATUS, Serving, batch_limit, capacity, serve, smallest_fit
from costpertoken.model.units import GB
from costpertoken.money.cost import UnitCost, allocate
from costpertoken.tables.deploy import ENGINE as ENGINE
from costpertoken.tables.deploy import deployment as deployment
from costpertoken.tables.deploy import headline_price as headline_price

DEGREES = (1, 2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One configuration at one load; replicas and utilisation by the load. `interval`: the model's, as factors of cost."""

    deployment: Deployment
    workload: Workload
    price: Price
    allocation: str
    serving: Serving
    cost: UnitCost
    n_replicas: int
    utilisation: float
    interval: tuple[float, float]
    support: str


def degrees_of(deployed: Deployment) -> list[int]:
    """Tensor-parallel degrees that the model's heads and one server allow."""
    machine = deployed.accelerator
    joined = machine.device_class != "cpu" and (machine.link_bytes_per_s or machine.pcie_bytes_per_s)
    return [tp for tp in DEGREES if deployed.model.n_heads % tp == 0 and (joined or tp == 1)]


def why_not(deployed: Deployment, serving: Serving, workload: Workload) -> str:
    """Why a configuration does not serve: GB needed, GB there, and the smallest alternative that would."""
    model, status = deployed.model, int(serving.status)
    name = f"{model.id} at {deployed.precision.id.split('/')[0]} on {int(serving.n_accelerators)} x {deployed.accelerator.id}"
    if status == 3:
        asked = workload.input_tokens + workload.output_tokens
        return f"{name}: {asked:,.6g} tokens asked; {STATUS[3]} of {model.max_context:,} tokens"
    lengths = {"input_tokens": workload.input_tokens, "output_tokens": workload.output_tokens}
    room = capacity(deployed)
    held, there = float(room.weight_bytes) / GB, max(0.0, float(room.weight_bytes + room.cache_bytes)) / GB
    need = f"weights need {held:,.1f} GB on each accelerator"
    if status == 2:
        one = float(room.cache_bytes * deployed.dp / batch_limit(deployed, **lengths)) / GB
        need += f" and the cache of one request {one:,.1f} GB"
    tp = smallest_fit(deployed, **lengths)
    other = f"smallest that fits: tp {tp}" if tp else "no tensor-parallel degree up to 16 fits: try fewer bits"
    return f"{name}: {STATUS[status]}: {need}, {there:,.1f} GB are there after the engine's reserve; {other}"


def requests_at_most(deployed: Deployment, workload: Workload) -> float:
    """Requests per second of one replica with a backlog."""
    return float(serve_workload(deployed, replace(workload, concurrency=None)).requests_per_s)


def serve_workload(deployed: Deployment, workload: Workload) -> Serving:
    """`serve` with a Workload record."""
    return serve(
        deployed,
        input_tokens=workload.input_tokens,
        output_tokens=workload.output_tokens,
        cached_share=workload.cached_share,
        concurrency=workload.concurrency,
    )


def concurrency_for(deployed: Deployment, workload: Workload, requests_per_s: float) -> float:
    """Requests in flight at which one replica completes requests_per_s (Little's law, solved); at least one."""

    def surplus(log_batch: float) -> float:
        at = replace(workload, concurrency=float(np.exp(log_batch)))
        return float(serve_workload(deployed, at).requests_per_s) - requests_per_s

    top = np.log(float(serve_workload(deployed, replace(workload, concurrency=None)).batch))
    if surplus(0.0) >= 0 or top <= 0:
        return 1.0
    return float(np.exp(brentq(surplus, 0.0, top))) if surplus(top) > 0 else float(np.exp(top))


def at_load(deployed: Deployment, workload: Workload, requests_per_s: float) -> tuple[Workload, int, float]:
    """(workload of one replica, replicas, share of time a replica is busy) for an offered load, spread evenly.

    Left out: queueing and peaks; the load is taken as steady.
    """
    most = requests_at_most(deployed, workload)
    replicas = max(1, int(np.ceil(requests_per_s / most - 1e-9)))
    share = requests_per_s / replicas
    busy = replace(workload, concurrency=concurrency_for(deployed, workload, share))
    single = float(serve_workload(deployed, busy).requests_per_s)
    return busy, replicas, min(1.0, share / single)


def best_tp(deployed: Deployment, workload: Workload) -> int:
    """The tensor-parallel degree with the cheapest output token; the smallest where none fits, for its reason."""
    allowed = np.array(degrees_of(deployed))
    out = serve_workload(replace(deployed, tp=allowed), workload)
    per_accelerator = out.output_tok_per_s / allowed
    return int(allowed[0] if np.all(np.isnan(per_accelerator)) else allowed[np.nanargmax(per_accelerator)])


def estimate(
    deployed: Deployment, workload: Workload, price: Price, *, allocation="work", requests_per_s=None, utilisation=1.0
) -> Estimate:
    """Serving and USD per Mtok of a deployment, with the model's 80 % interval.

    requests_per_s sets replicas, batch and utilisation; else the workload's concurrency (None: a backlog) and utilisation hold.
    Raises InputError where the configuration does not serve, or for a price of nothing.
    """
    check_range("price", price.usd_per_hour, exclusive=True)
    first = serve_workload(deployed, replace(workload, concurrency=None))
    if int(first.status):
        raise InputError(why_not(deployed, first, workload))
    replicas = 1
    if requests_per_s is not None:
        check_range("requests_per_s", requests_per_s, exclusive=True)
        workload, replicas, utilisation = at_load(deployed, workload, requests_per_s)
    serving = serve_workload(deployed, workload)
    split = {"allocation": allocation, "price_ratio": tables.list_price_ratio() if allocation == "list-price" else None}
    backlog = workload.concurrency is None
    interval, support = cost_interval(deployed.accelerator.id, deployed.model.id, deployed.engine, backlog=backlog)
    return Estimate(
        deployment=deployed,
        workload=workload,
        price=price,
        allocation=allocation,
        serving=serving,
        cost=allocate(serving, usd_per_hour=price.usd_per_hour, utilisation=utilisation, **split),
        n_replicas=replicas,
        utilisation=float(utilisation),
        interval=interval,
        support=support,
    )


def ranges(result: Estimate, kind: str = "output_usd_per_mtok") -> dict[str, float]:
    """Value of one unit cost; the model's interval at the typical price; the market's range at the typical model; joined.

    """
    value, price = float(getattr(result.cost, kind)), result.price
    market = price.low / price.usd_per_hour, price.high / price.usd_per_hour
    both = joined(result.interval, market)
    return {
        "value": value,
        "model_low": value * result.interval[0],
        "model_high": value * result.interval[1],
        "price_low": value * market[0],
        "price_high": value * market[1],
        "low": value * both[0],
        "high": value * both[1],
    }
