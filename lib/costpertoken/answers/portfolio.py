"""What a portfolio of real offers looks like: its duration curve, its pools, its bill by target, its evictions simulated."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken.evidence.market import TERMS, Case, hourly, plan
from costpertoken.fleet import evictions
from costpertoken.fleet.portfolio import Plan


def per_needed_hour(found: Plan) -> float:
    """USD of a plan for one accelerator-hour that was asked for."""
    return found.usd_per_hour / float(np.dot(found.load.accelerators, found.load.share))


def by_target(case: Case, targets: Sequence[float]) -> pd.DataFrame:
    """The bill by availability target: unserved (% that may be), usd (an accelerator-hour asked for), by term."""
    rows = []
    for target in targets:
        found = plan(replace(case, target=float(target)))
        asked = found.usd_per_hour / per_needed_hour(found)
        rows += [
            {"unserved": 100.0 * (1.0 - target), "term": TERMS[term], "usd": paid / asked}
            for term, paid in sorted(found.by_term_usd_per_hour.items(), key=lambda item: list(TERMS).index(item[0]))
        ]
    return pd.DataFrame(rows)


def stacked(found: Plan) -> pd.DataFrame:
    """The duration curve of a plan: for each level its share of the week (start to end, %) and what is held of each term
    (low to high, accelerators), commitments below."""
    ends = 100.0 * np.cumsum(found.load.share)
    rows = []
    for at, end in enumerate(ends):
        low = 0.0
        for term, words in TERMS.items():
            held = sum(pool.n_accel * found.instances[i, at] for i, pool in enumerate(found.pools) if pool.term == term)
            start = end - 100.0 * found.load.share[at]
            rows.append({"start": start, "end": end, "term": words, "low": low, "high": low + held})
            low += held
    return pd.DataFrame(rows).query("high > low").reset_index(drop=True)


def held(found: Plan) -> pd.DataFrame:
    """The pools that a plan uses: pool, usd (an accelerator-hour), least and most accelerators held, share of the bill in %."""
    rows = []
    for pool, counts in zip(found.pools, found.instances, strict=True):
        paid = pool.usd_per_hour * pool.n_accel * float(np.dot(counts, found.load.share))
        least, most = (int(pool.n_accel * end) for end in (counts.min(), counts.max()))
        where = " ".join(filter(None, [pool.provider, pool.region])) + f", {TERMS[pool.term]}"
        rows.append((where, pool.usd_per_hour, least, most, 100.0 * paid / found.usd_per_hour))
    frame = pd.DataFrame(rows, columns=["pool", "usd", "least", "most", "bill"])
    return frame[frame["most"] > 0].sort_values("bill", ascending=False, ignore_index=True)


def simulated(case: Case, found: Plan, *, weeks: int, seed: int = 1) -> evictions.Simulated:
    """A plan of a case through weeks of evictions."""
    return evictions.simulate(found, hourly=hourly(case), weeks=weeks, seed=seed)
