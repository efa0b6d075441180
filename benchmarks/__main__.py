"""Evaluations per second on one core, the 864-configuration search, the import, the scheduler: medians over repeats.

The model is elementwise numpy, which uses one core.
"""

import statistics
import subprocess
import sys
import time
import tracemalloc

import numpy as np

from benchmarks import plan, simulate
from costpertoken import allocate, serve
from costpertoken.answers.estimate import deployment

N_POINTS, CHUNK, REPEATS = 1_000_000, 16_384, 7
LENGTHS = [(i, o) for i in (128, 512, 2048, 8192) for o in (128, 512, 2048)]


def seconds(call) -> list[float]:
    """Wall seconds of each repeat after one warm-up."""
    call()
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return taken


def evaluate(deployed, isl, osl, batch, usd_per_hour) -> float:
    """Fit, batch, prefill, mixed step, throughput, TPOT, TTFT and cost of every point; returns a checksum."""
    total = 0.0
    for start in range(0, isl.size, CHUNK):
        at = slice(start, start + CHUNK)
        out = serve(deployed, input_tokens=isl[at], output_tokens=osl[at], concurrency=batch[at])
        total += float(np.nansum(allocate(out, usd_per_hour=usd_per_hour[at]).output_usd_per_mtok))
    return total


def search() -> int:
    """70B on two accelerators x TP 1 to 8 x batch 1 to 256 x 12 length pairs, from the tables; returns the count."""
    tp, batch, pair = np.meshgrid([1, 2, 4, 8], 2.0 ** np.arange(9), np.arange(len(LENGTHS)), indexing="ij")
    isl, osl = np.array(LENGTHS, dtype=float)[pair].transpose(3, 0, 1, 2)
    for accelerator in ("h100-sxm", "h200-sxm"):
        deployed = deployment("llama-3.1-70b", accelerator, weights="fp8", tp=tp)
        out = serve(deployed, input_tokens=isl, output_tokens=osl, concurrency=batch)
        allocate(out, usd_per_hour=2.5)
    return 2 * tp.size


def report(name: str, taken: list[float], rate: str = "") -> None:
    """One line: median, minimum and maximum in milliseconds."""
    print(
        f"{name:44s} {statistics.median(taken) * 1e3:9.1f} ms  ({min(taken) * 1e3:.1f} to {max(taken) * 1e3:.1f})  {rate}"
    )


def main() -> None:
    """Print the table."""
    draw = np.random.default_rng(0)
    isl, osl = draw.uniform(64, 8192, N_POINTS), draw.uniform(16, 2048, N_POINTS)
    batch, price = draw.uniform(1, 512, N_POINTS), draw.uniform(1, 10, N_POINTS)
    for model in ("llama-3.1-70b", "deepseek-v3"):
        deployed = deployment(model, "h200-sxm", weights="fp8", tp=8)
        taken = seconds(lambda deployed=deployed: evaluate(deployed, isl, osl, batch, price))
        report(f"{N_POINTS:,} evaluations, {model}", taken, f"{N_POINTS / statistics.median(taken) / 1e6:.2f} M/s")
    search()
    report(f"{search()} configurations, two accelerators", seconds(search))
    fresh = [sys.executable, "-c", "import costpertoken"]
    report("import costpertoken, a new process", seconds(lambda: subprocess.run(fresh, check=True)))
    simulate.main(report)
    plan.main(report)
    tracemalloc.start()
    evaluate(deployed, isl, osl, batch, price)
    print(f"{'peak memory above the inputs':44s} {tracemalloc.get_traced_memory()[1] / 1e6:9.1f} MB")


if __name__ == "__main__":
    main()
