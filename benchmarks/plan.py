"""The planner: the exhaustive search for a rate, and the whole command over a trace of a million requests."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from costpertoken.answers import plan
from costpertoken.answers.offers import TERMS, offers
from costpertoken.fleet.demand import Lengths, of_rate

N_REQUESTS, REPEATS = 1_000_000, 7
LIMITS = {"ttft_s": 1.0, "tpot_s": 0.05}
GB_PER_KIB = 1024 / 1e9


def search() -> int:
    """Every accelerator, format, tensor-parallel degree, batch and offer on every term for a 70B model; the placements."""
    offered = offers(terms=TERMS)
    asked = of_rate(20.0, Lengths(1000.0, 300.0, 0.0, 1.0, 1.0), peak_to_mean=2.0, **LIMITS)
    rules = plan.Rules(token_budget=8192)
    placed = list(plan.placements(["llama-3.1-70b"], offered["accelerator_id"].unique(), asked.lengths, token_budget=8192))
    plan.search(placed, offered, asked, rules)
    return len(placed)


def million(folder: str) -> str:
    """A trace in BurstGPT's format; its path."""
    draw = np.random.default_rng(0)
    prompt, answer = (np.maximum(1, draw.lognormal(*of, N_REQUESTS)).astype(int) for of in ((6.4, 1.0), (5.2, 0.8)))
    columns = {"Timestamp": np.round(np.cumsum(draw.exponential(1 / 12, N_REQUESTS)), 3), "Model": "any"}
    rows = columns | {"Request tokens": prompt, "Response tokens": answer, "Total tokens": prompt + answer, "Log Type": "any"}
    path = Path(folder) / "million.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return str(path)


def main(report: Callable) -> None:
    """Print a line each, by the report function of the other benchmarks."""
    taken, n_placements = [], search()
    for _ in range(REPEATS):
        start = time.perf_counter()
        search()
        taken.append(time.perf_counter() - start)
    report(f"search, {n_placements} placements, all offers", taken)
    command = str(Path(sys.executable).with_name("costpertoken"))
    with tempfile.TemporaryDirectory() as folder:
        options = ["plan", "-m", "llama-3.1-70b", "--trace", million(folder), "--ttft-ms", "1000", "--tpot-ms", "50"]
        start = time.perf_counter()
        subprocess.run([command, *options], check=True, stdout=subprocess.DEVNULL)
        taken = [time.perf_counter() - start]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * GB_PER_KIB
    report(f"plan over {N_REQUESTS:,} requests", taken, f"peak {peak:.2f} GB")
