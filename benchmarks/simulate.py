"""Steps and requests a second of the compiled scheduler on one core, after compilation; and what compiling costs."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from costpertoken.answers.estimate import deployment
from costpertoken.fleet.arrivals import synthetic
from costpertoken.fleet.simulate import policy_of, simulate

N_REQUESTS, REPEATS = 100_000, 7
LENGTHS = {
    "input_tokens": {"mean": 1000, "cv": 1.0, "most": 16_000},
    "output_tokens": {"mean": 300, "cv": 0.9, "most": 4000},
}
SHARED = {"n_groups": 200, "tokens": 512, "block_tokens": 16}
#: What is run: words -> (schedule, knobs of the policy, prefixes of the trace).
CASES = {
    "chunked": ("chunked", {}, None),
    "chunked, prefix cache": ("chunked", {"prefix_cache": True}, SHARED),
    "chunked, a tenth of the memory": ("chunked", {"cache_tokens": 60_000.0}, None),
    "continuous": ("continuous", {}, None),
    "static": ("static", {}, None),
}


def main(report: Callable) -> None:
    """Print a line a case, by the report function of the other benchmarks."""
    placed = deployment("llama-3.1-70b", "h100-sxm", weights="fp8", tp=4)
    for name, (schedule, knobs, prefixes) in CASES.items():
        trace = synthetic(n_requests=N_REQUESTS, rate_per_s=8.0, prefixes=prefixes, **LENGTHS)
        policy = policy_of(placed, schedule=schedule, max_batch=256, **knobs)
        found, taken = simulate(trace, placed, policy), []
        for _ in range(REPEATS):
            start = time.perf_counter()
            simulate(trace, placed, policy)
            taken.append(time.perf_counter() - start)
        middle = statistics.median(taken)
        rates = f"{found.n_iterations / middle / 1e3:,.0f} k steps/s, {N_REQUESTS / middle / 1e3:,.0f} k requests/s"
        report(f"{N_REQUESTS:,} requests, {name}", taken, rates)
    fresh = [sys.executable, "-c", "import costpertoken.fleet.simulate"]
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(fresh, check=True)
        taken.append(time.perf_counter() - start)
    report("import of the scheduler, a new process", taken)
