"""Several optimizations together: what each saves in one order, over all orders, and by its Shapley share; and the floors.

All follow from the cost of every subset of the levers, each computed afresh. Costs are USD per million output tokens, the
whole bill on them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers.levers import Lever, consistent, pull
from costpertoken.model import levers as physics
from costpertoken.model.records import InputError
from costpertoken.model.roofline import BOUNDS, binding
from costpertoken.model.serving import STATUS
from costpertoken.model.setup import Outcome, Setup, run, setups_of
from costpertoken.model.units import HOUR_S, MTOK
from costpertoken.money.cost import usd_per_mtok

#: Subsets grow as two to the number of levers.
MOST = 12
#: Decimals of a USD to which a waterfall is rounded: hundredths of a cent for a million tokens.
DIGITS = 4
#: Lever -> the claim of the answered article that prints what it gains; several levers may share one.
CLAIMED = {
    "gptq": "quantization-cost-4-6x", "awq": "quantization-cost-4-6x", "fp8": "quantization-cost-4-6x",
    "int8": "quantization-cost-4-6x", "fp4": "quantization-cost-4-6x", "mqa": "mqa-8x", "gqa": "mqa-8x",
    "paging": "pagedattention-55pct", "continuous-batching": "continuous-batching-cost-50",
    "chunked-prefill": "continuous-batching-cost-50", "speculation": "speculative-2-3x", "medusa": "medusa-2-8x",
    "eagle": "speculative-2-3x", "routing": "routing-cost-60", "cascade": "routing-cost-60", "moe": "moe-compute-85",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Composition:
    """The cost of every subset of some levers on one baseline. Its knobs may be arrays, such as the requests in flight: then
    costs, ratios and Shapley shares are arrays too; the tables of one order and of all orders are of scalars."""

    baseline: Setup
    levers: tuple[Lever, ...]
    usd_per_hour: float
    usd: Mapping[frozenset[str], float | np.ndarray]  # names of the levers pulled -> USD per million output tokens


def usd_of(outcome: Outcome, setup: Setup, usd_per_hour: float) -> float | np.ndarray:
    """USD per million output tokens of an outcome; NaN where a pool does not fit."""
    output_per_accelerator_s = setup.workload.output_tokens / sum(outcome.accelerator_s)
    found = usd_per_mtok(usd_per_hour=usd_per_hour, tok_per_s=output_per_accelerator_s)
    return float(found) if np.ndim(found) == 0 else found


def cost(setup: Setup, usd_per_hour: float) -> float | np.ndarray:
    """USD per million output tokens of a setup."""
    return usd_of(run(setup), setup, usd_per_hour)


def reason(setup: Setup) -> str:
    """Why a setup has no cost."""
    codes = [int(np.max(one.status)) for _, one in run(setup).pools]
    return next((STATUS[code] for code in codes if code), "")


def compose(baseline: Setup, levers: Sequence[Lever], *, usd_per_hour: float) -> Composition:
    """Cost of every subset. Raises InputError for levers that contradict each other, too many levers, a subset that does not
    fit."""
    consistent(levers)
    names = [one.name for one in levers]
    if len(levers) > MOST:
        raise InputError(f"{len(levers)} levers; expected at most {MOST}: every subset is computed")
    found = {}
    for n in range(len(levers) + 1):
        for some in combinations(levers, n):
            setup = pull(baseline, some)
            value = cost(setup, usd_per_hour)
            if np.any(np.isnan(value)):
                with_them = "with " + ", ".join(one.name for one in some) if some else "baseline"
                raise InputError(
                    f"{with_them}: {reason(setup)}; expected a deployment that serves every subset of {', '.join(names)}"
                )
            found[frozenset(one.name for one in some)] = value
    return Composition(baseline=baseline, levers=tuple(levers), usd_per_hour=usd_per_hour, usd=found)


def ordered(of: Composition, order: Sequence[str] | None = None) -> list[Lever]:
    """The levers in an order of names; as given where none is asked for."""
    by_name = {one.name: one for one in of.levers}
    names = list(by_name) if order is None else list(order)
    if sorted(names) != sorted(by_name):
        raise InputError(f"order is {', '.join(names)}; expected each once of {', '.join(by_name)}")
    return [by_name[name] for name in names]


def waterfall(of: Composition, order: Sequence[str] | None = None) -> pd.DataFrame:
    """One order, a row a lever after the baseline's: lever, usd (after it), saved_usd; of that, at_same_batch_usd and
    by_admitting_usd (below zero where the lever takes memory and keeps requests out); batch and bound of the large pool; floors.

    Costs are rounded before they are subtracted: the parts sum exactly to the difference of the first and the last row. With
    a router all is counted as at the same batch: it has two.
    """
    setup, pulled, rows = of.baseline, [], [state(of, of.baseline, "baseline")]
    for one in ordered(of, order):
        pulled.append(one)
        before, setup = setup, pull(of.baseline, pulled)
        row = state(of, setup, one.name)
        saved = round(rows[-1]["usd"] - row["usd"], DIGITS)
        admitted = admitting_usd(of, before, setup, (rows[-1], row)) if setup.router is None else 0.0
        rows.append(
            row
            | {"saved_usd": saved, "at_same_batch_usd": round(saved - admitted, DIGITS), "by_admitting_usd": admitted}
        )
    return pd.DataFrame(rows)


def admitting_usd(of: Composition, before: Setup, after: Setup, rows: tuple[dict, dict]) -> float:
    """Of what a lever saves, what the requests do that it lets in, or, below zero, those that it keeps out: the setup with
    the larger batch against itself at the smaller one."""
    wider = rows[1]["batch"] >= rows[0]["batch"]
    at, least = (after, rows[0]["batch"]) if wider else (before, rows[1]["batch"])
    held = replace(at, workload=replace(at.workload, concurrency=max(least, 1.0)))
    moved = round(round(cost(held, of.usd_per_hour), DIGITS) - rows[int(wider)]["usd"], DIGITS)
    return moved if wider else -moved


def state(of: Composition, setup: Setup, name: str) -> dict:
    """One row of a waterfall: cost, batch and room of the large pool, what binds it, the floors of the setup."""
    outcome = run(setup)
    large = outcome.pools[0][1]
    floors = {key: per_mtok(of, seconds) for key, seconds in floors_s(setup, float(large.batch)).items()}
    bound = {"batch": float(large.batch), "bound": BOUNDS[int(binding(large.spent))]}
    usd = round(usd_of(outcome, setup, of.usd_per_hour), DIGITS)
    return (
        {"lever": name, "usd": usd, "saved_usd": 0.0, "at_same_batch_usd": 0.0, "by_admitting_usd": 0.0}
        | bound
        | floors
    )


def floors_s(setup: Setup, batch: float) -> dict[str, float]:
    """Accelerator seconds of a request at the data sheet: multiplying, its own cache, and all bytes at a batch (of the
    large pool alone, where there is a router)."""
    shares = setups_of(setup)
    functions = {"compute_floor_usd": physics.compute_floor_s, "cache_floor_usd": physics.cache_floor_s}
    found = {key: sum(share * float(f(one)) for share, one in shares) for key, f in functions.items()}
    large = shares[0][0] * float(physics.byte_floor_s(shares[0][1], batch=batch))
    return found | {"byte_floor_usd": large}


def per_mtok(of: Composition, accelerator_s: float) -> float:
    """USD per million output tokens of so many accelerator seconds a request."""
    return accelerator_s * of.usd_per_hour / HOUR_S / of.baseline.workload.output_tokens * MTOK


def marginals(of: Composition, name: str) -> dict[frozenset[str], float]:
    """Subset without a lever -> cost with it over cost without it."""
    return {some: of.usd[some | {name}] / usd for some, usd in of.usd.items() if name not in some}


def shapley(of: Composition, name: str) -> float | np.ndarray:
    """Mean of the log of a lever's ratio over all orders; over all levers they sum to the log of the whole ratio."""
    n = len(of.levers)
    weight = {size: 1.0 / (n * math.comb(n - 1, size)) for size in range(n)}
    return sum(weight[len(some)] * np.log(ratio) for some, ratio in marginals(of, name).items())


def all_orders(of: Composition) -> pd.DataFrame:
    """A row a lever: alone, last, least and most (cost before over cost after, over all orders), shapley (the same, its fair
    share: the product over the levers is the whole) and the share of the log saving, in per cent."""
    everything, rows = frozenset(one.name for one in of.levers), []
    total = math.log(of.usd[frozenset()] / of.usd[everything])
    for one in of.levers:
        found = {some: 1.0 / ratio for some, ratio in marginals(of, one.name).items()}
        fair = -shapley(of, one.name)
        rows.append(
            {"lever": one.name, "alone": found[frozenset()], "last": found[everything - {one.name}],
             "least": min(found.values()), "most": max(found.values()), "shapley": math.exp(fair),
             "share": 100 * fair / total if total else math.nan}
        )  # fmt: skip
    return pd.DataFrame(rows)


def printed(claim_id: str) -> tuple[float, float]:
    """What a claim of the article says a lever divides cost by, (least, most): per cent saved as a ratio."""
    row = tables.read("claims").set_index("id").loc[claim_id]
    ends = [end for end in (row["printed_low"], row["printed_high"]) if not math.isnan(end)]
    ratios = [100.0 / (100.0 - end) if row["unit"] == "percent" else end for end in ends]
    return min(ratios), max(ratios)


def naive(levers: Iterable[Lever]) -> pd.DataFrame:
    """The article's arithmetic: a row a lever with a printed gain, low and high (cost divided by), and the running product."""
    rows = [{"lever": one.name, "claim": CLAIMED[one.name]} for one in levers if one.name in CLAIMED]
    frame = pd.DataFrame(rows, columns=["lever", "claim"])
    ends = np.array([printed(claim) for claim in frame["claim"]]).reshape(-1, 2)
    frame["low"], frame["high"] = ends[:, 0], ends[:, 1]
    return frame.assign(product_low=frame["low"].cumprod(), product_high=frame["high"].cumprod())
