"""Schedules under traffic: seeded requests through the scheduler of `fleet`, and what each of them waits for."""

import numpy as np
import pandas as pd

from costpertoken.fleet.arrivals import synthetic
from costpertoken.fleet.simulate import QUANTILES, Simulation, latencies, policy_of, simulate, summary
from costpertoken.fleet.trace import Trace
from costpertoken.model.records import Deployment, Workload
from costpertoken.model.roofline import step
from costpertoken.model.units import KILO

SEED = 0
#: Requests simulated at a load: as many as have so many output tokens, within limits; of a backlog, so many times more.
N_TOKENS, FEWEST, MOST, BACKLOG = 800_000, 400, 2000, 3
#: Shares of what a schedule can finish at which it is loaded.
LOADS = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
#: Of a backlog's finishes, those between these shares are counted: the batch is full then.
MIDDLE = (0.1, 0.9)


def n_requests_of(work: Workload) -> int:
    """Requests simulated at a load."""
    return int(min(MOST, max(FEWEST, N_TOKENS / work.output_tokens)))


def traffic(work: Workload, *, output_cv: float, requests_per_s: float, most: int, n_requests: int | None = None) -> Trace:
    """Poisson arrivals, or all at once at an infinite rate; equal prompts; lognormal answers of at most `most` tokens. The same
    requests come in the same order whatever the rate."""
    n_requests = n_requests or n_requests_of(work)
    lengths = {"kind": "lognormal", "mean": work.output_tokens, "cv": output_cv, "most": max(1, int(most))}
    sizes = {"input_tokens": {"kind": "constant", "mean": work.input_tokens}, "output_tokens": lengths}
    if np.isinf(requests_per_s):
        return synthetic(n_requests=n_requests, seed=SEED, arrivals="backlog", **sizes)
    return synthetic(n_requests=n_requests, seed=SEED, rate_per_s=requests_per_s, **sizes)


def replay(deployed: Deployment, work: Workload, *, schedule: str, slots: int, load: dict, **knobs) -> Simulation:
    """A schedule under traffic. load: of `traffic`; knobs: of a policy. No answer is longer than the model's context allows."""
    policy = policy_of(deployed, schedule=schedule, max_batch=slots, **knobs)
    most = deployed.model.max_context - work.input_tokens
    return simulate(traffic(work, most=most, **load), deployed, policy)


def saturation(found: Simulation) -> float:
    """Requests a second of a backlog, over the middle of its finishes."""
    ends = np.sort(found.finish_s[found.status == 0])
    first, last = (int(share * (ends.size - 1)) for share in MIDDLE)
    return float((last - first) / (ends[last] - ends[first]))


def occupied(deployed: Deployment, work: Workload, *, output_cv: float, sizes, n_batches: int = 100) -> pd.DataFrame:
    """Occupied slots of simulated static batches, in per cent, with memory for all of them: slots, occupied."""
    load = {"output_cv": output_cv, "requests_per_s": np.inf}
    found = {
        n: replay(deployed, work, schedule="static", slots=n, cache_tokens=np.inf, load=load | {"n_requests": n * n_batches})
        for n in sizes
    }
    return pd.DataFrame({"slots": list(found), "occupied": [100 * summary(one)["batch_occupancy"] for one in found.values()]})


def sweep(deployed: Deployment, work: Workload, *, policies: dict[str, dict], slots: int, output_cv: float) -> pd.DataFrame:
    """Percentiles of seconds by schedule and load: name, most_per_s (with a backlog), load, requests_per_s, measure, p50, p90,
    p99. policies: name -> schedule and its knobs."""
    rows = []
    for name, policy in policies.items():
        at = {"slots": slots, **policy}
        backlog = {"output_cv": output_cv, "requests_per_s": np.inf, "n_requests": BACKLOG * n_requests_of(work)}
        most = saturation(replay(deployed, work, load=backlog, **at))
        for load in LOADS:
            found = replay(deployed, work, load={"output_cv": output_cv, "requests_per_s": load * most}, **at)
            named = {"name": name, "most_per_s": most, "load": load, "requests_per_s": load * most}
            rows += [named | {"measure": measure, **ends} for measure, ends in percentiles(found).items()]
    return pd.DataFrame(rows)


def percentiles(found: Simulation) -> dict[str, dict[str, float]]:
    """Seconds of TTFT, TPOT and E2E at each of QUANTILES."""
    return {
        column.removesuffix("_s").upper(): {name: float(values.quantile(q)) for name, q in QUANTILES.items()}
        for column, values in latencies(found).items()
    }


def at_equal_latency(rows: pd.DataFrame, *, slow: str, fast: str, measure: str = "E2E", quantile: str = "p90") -> pd.DataFrame:
    """How many times more requests a second `fast` finishes than `slow`, by the slow one's load, within the latency that the slow
    one then has: load, limit_s, gain. Rates between two simulated loads are left out, so a gain is a lower bound."""
    at = rows[rows["measure"] == measure]
    quick, found = at[at["name"] == fast], []
    for one in at[at["name"] == slow].to_dict("records"):
        within = quick.loc[quick[quantile] <= one[quantile], "requests_per_s"].max()
        found.append({"load": one["load"], "limit_s": one[quantile], "gain": within / one["requests_per_s"]})
    return pd.DataFrame(found)


def shares(found: Simulation) -> dict[str, float]:
    """Shares of the time from the first arrival to the last token: busy in steps; and of the slots' busy time, making tokens."""
    figures = summary(found)
    return {"busy": figures["busy_share"], "slots": figures["slot_occupancy"]}


def gap_s(found: Simulation, quantile: float) -> float:
    """Seconds between two tokens of a stream, at a quantile over tokens: steps weighted by the requests that run in them. Only
    for chunked prefill, where every step makes a token of each stream."""
    rows = found.samples.sort_values("step_s")
    share = rows["running"].cumsum() / rows["running"].sum()
    return float(rows["step_s"].to_numpy()[np.searchsorted(share.to_numpy(), quantile)])


def budgets(deployed: Deployment, work: Workload, *, sizes, slots: int, output_cv: float, requests_per_s: float) -> pd.DataFrame:
    """Chunked prefill by token budget at one arrival rate: budget, and in ms ttft (p50), tpot_tail (p99 of the requests' means),
    gap_tail (p99 of the tokens), and full, the step that uses up the budget, which is the longest gap there can be."""
    load, rows = {"output_cv": output_cv, "requests_per_s": requests_per_s}, []
    for size in sizes:
        found = replay(deployed, work, schedule="chunked", slots=slots, load=load, token_budget=int(size))
        at = percentiles(found)
        seconds = {"ttft": at["TTFT"]["p50"], "tpot_tail": at["TPOT"]["p99"], "gap_tail": gap_s(found, 0.99)}
        context, prompts = work.input_tokens + 0.5 * work.output_tokens, max(0.0, float(size - slots))
        carried = {"context_tokens": context, "prefill_tokens": prompts, "pairs_per_token": 0.5 * work.input_tokens}
        seconds["full"] = float(step(deployed, decode=float(slots), **carried).step_s)
        rows.append({"budget": int(size), **{name: KILO * value for name, value in seconds.items()}})
    return pd.DataFrame(rows)


def timeline(found: Simulation) -> pd.DataFrame:
    """Who holds which slot when: slot, request, what (waiting, prompt, decode, idle), start_s, end_s. A request takes the slot
    that has been free longest; a slot of a static batch is idle from its answer's end to the batch's."""
    n_slots, rows = found.policy.max_batch, []
    free_s, batches = np.zeros(n_slots), found.policy.schedule in ("static", "dynamic")
    for who in np.argsort(found.admitted_s, kind="stable"):
        come, first, last = found.admitted_s[who], found.first_token_s[who], found.finish_s[who]
        slot = int(np.argmin(free_s))
        rows += [(slot, who, "prompt", come, first), (slot, who, "decode", first, last)]
        free_s[slot] = last
        if batches:
            together = found.admitted_s == come
            free_s[slot] = found.finish_s[together].max()
            rows.append((slot, who, "idle", last, free_s[slot]))
    end_s = np.nanmax(found.finish_s)
    rows += [(slot, -1, "idle", free, end_s) for slot, free in enumerate(free_s)]
    frame = pd.DataFrame(rows, columns=["slot", "request", "what", "start_s", "end_s"])
    return frame[frame["end_s"] > frame["start_s"]].sort_values(["slot", "start_s"], ignore_index=True)
