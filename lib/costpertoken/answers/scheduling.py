"""Schedules beside one another: occupied slots, cost and latency of static, continuous and chunked batches and of two pools."""

import numpy as np
import pandas as pd
from scipy.special import ndtr

from costpertoken.evidence.checks.batching import request_flop
from costpertoken.fleet.pools import disaggregate
from costpertoken.model.counts import peak_flop_per_s
from costpertoken.model.records import Deployment, Workload
from costpertoken.model.serving import serve
from costpertoken.model.setup import Setup, longest_tokens, pool
from costpertoken.model.units import KILO
from costpertoken.money.cost import usd_per_mtok

#: Batches tried along a frontier.
POINTS = 400
SCHEDULES = ("static", "continuous", "chunked")


def occupancy(*, batch, output_cv):
    """Share of a static batch's slots that make tokens: mean answer over the expected longest of the batch (lognormal)."""
    return 1.0 / longest_tokens(output_tokens=1.0, output_cv=output_cv, batch=batch)


def longer_share(*, output_tokens: float, output_cv: float, most: float) -> float:
    """Share of lognormal answers that are longer than `most` tokens."""
    if not output_cv:
        return float(output_tokens > most)
    sigma = np.sqrt(np.log1p(output_cv**2))
    return float(ndtr(-np.log(max(1.0, most) / output_tokens) / sigma - 0.5 * sigma))


def setups(deployed: Deployment, work: Workload, *, output_cv: float) -> dict[str, Setup]:
    """The setup of each schedule by name."""
    return {one: Setup(deployment=deployed, workload=work, schedule=one, output_cv=output_cv) for one in SCHEDULES}


def slots_that_fit(deployed: Deployment, work: Workload, *, slots: float, output_cv: float) -> int:
    """Slots that every schedule can fill, at most `slots`: static ones are held to the end of the longest answer."""
    found = [float(pool(one, float(slots)).batch) for one in setups(deployed, work, output_cv=output_cv).values()]
    return max(1, int(np.nan_to_num(min(found))))


def fits(deployed: Deployment, work: Workload) -> bool:
    """Whether one request of a workload can be served."""
    return bool(serve(deployed, input_tokens=work.input_tokens, output_tokens=work.output_tokens).batch >= 1)


def beside(deployed: Deployment, work: Workload, *, slots: float, output_cv: float, usd_per_hour: float) -> pd.DataFrame:
    """A row a schedule with all slots filled: slots occupied and share of the multipliers' peak reached (both in per cent), TPOT,
    requests a second, USD per million output tokens with the whole bill on them."""
    sizes = {"input_tokens": work.input_tokens, "output_tokens": work.output_tokens}
    most = deployed.tp * peak_flop_per_s(deployed, "dense") / request_flop(deployed, **sizes)
    rows = []
    for name, setup in setups(deployed, work, output_cv=output_cv).items():
        found = pool(setup, float(slots))
        rate = float(found.requests_per_s)
        usd = float(usd_per_mtok(usd_per_hour=deployed.tp * usd_per_hour, tok_per_s=rate * work.output_tokens))
        figures = {"occupied": 100 * float(found.slot_occupancy), "mfu": 100 * rate / float(most), "usd": usd}
        rows.append({"schedule": name, **figures, "tpot_ms": KILO * float(found.tpot_s), "requests_per_s": rate})
    return pd.DataFrame(rows)


def frontiers(deployed: Deployment, work: Workload, *, usd_per_hour: float, transfer_bytes_per_s: float) -> pd.DataFrame:
    """Cost against TPOT of one pool with chunked prefill and of two in balance, by requests in flight on a (decode) replica.

    Columns: kind, flight, tpot_ms, ttft_ms, usd (per million output tokens, the whole bill). TPOT of the one pool is the mixed
    step: a stream that waits for prompts waits for all of them.
    """
    sizes = {"input_tokens": work.input_tokens, "output_tokens": work.output_tokens}
    flight = np.geomspace(1.0, float(serve(deployed, **sizes).batch), POINTS)
    one = serve(deployed, **sizes, concurrency=flight)
    two = disaggregate(deployed, deployed, **sizes, concurrency=flight, transfer_bytes_per_s=transfer_bytes_per_s)
    frames = []
    for kind, out, tpot_s in (("chunked", one, one.step.step_s), ("two pools", two, two.tpot_s)):
        usd = usd_per_mtok(usd_per_hour=usd_per_hour * out.n_accelerators, tok_per_s=out.output_tok_per_s)
        columns = {"flight": flight, "tpot_ms": KILO * tpot_s, "ttft_ms": KILO * out.ttft_s, "usd": usd}
        frames.append(pd.DataFrame({"kind": kind, **columns}))
    return pd.concat(frames, ignore_index=True)


def cheapest_usd(curves: pd.DataFrame, kind: str, limit_ms) -> np.ndarray:
    """USD per million output tokens of a kind's cheapest point within each TPOT limit; infinite where none keeps it."""
    at = curves[curves["kind"] == kind].sort_values("tpot_ms", kind="stable")
    best = np.concatenate([[np.inf], np.minimum.accumulate(at["usd"].to_numpy())])
    return best[np.searchsorted(at["tpot_ms"].to_numpy(), limit_ms, side="right")]


def crossing_ms(curves: pd.DataFrame) -> float:
    """The TPOT limit from which one pool is the cheaper one for good; infinite where two stay cheaper, 0 where they never are."""
    limits = np.unique(curves["tpot_ms"])
    two_win = cheapest_usd(curves, "two pools", limits) < cheapest_usd(curves, "chunked", limits)
    if two_win[-1]:
        return np.inf
    return float(limits[np.flatnonzero(two_win)[-1] + 1]) if two_win.any() else 0.0
