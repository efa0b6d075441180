"""Ways to spread one replica over accelerators, and the most that any of them makes of each within latency limits."""

from dataclasses import replace
from itertools import product

import numpy as np

from costpertoken.model.records import Deployment
from costpertoken.model.serving import serve

#: Degrees tried in each direction, and batches tried from one request to the most that fits.
DEGREES, BATCHES = (1, 2, 4, 8, 16, 32, 64), 60


def degrees(deployed: Deployment, most: int) -> dict[str, np.ndarray]:
    """Arrays tp, pp, dp and ep of every layout of at most `most` accelerators that the model divides into; attention ranks
    (dp) only where there are experts to share, and then as many ranks of experts."""
    model = deployed.model
    found = [
        (tp, pp, dp, dp)
        for tp, pp, dp in product(DEGREES, repeat=3)
        if tp * pp * dp <= most and model.n_heads % tp == 0 and pp <= model.n_layers
        and (dp == 1 or (model.n_experts and model.n_experts % dp == 0))
        and (tp * pp * dp == 1 or deployed.accelerator.link_bytes_per_s or deployed.accelerator.pcie_bytes_per_s)
    ]  # fmt: skip
    return dict(zip(("tp", "pp", "dp", "ep"), np.array(found).T, strict=True))


def largest_batches(deployed: Deployment, *, tpot_limit_s, ttft_limit_s, **lengths):
    """Most requests in flight within both limits: shape of the TPOT limits by layouts of `deployed`; NaN where not even one.

    lengths: input_tokens, output_tokens. TPOT and TTFT grow with the batch, so each limit is one batch, interpolated.
    """
    most = serve(deployed, **lengths).batch
    fits = np.flatnonzero(most >= 1)
    allowed = np.full((np.size(tpot_limit_s), most.size), np.nan)
    tried = np.geomspace(1.0, np.where(most >= 1, most, 1.0), BATCHES)
    out = serve(deployed, **lengths, concurrency=tried)
    for i in fits:
        by_tpot = np.interp(tpot_limit_s, out.tpot_s[:, i], tried[:, i], left=np.nan)
        allowed[:, i] = np.minimum(by_tpot, np.interp(ttft_limit_s, out.ttft_s[:, i], tried[:, i], left=np.nan))
    return allowed


def best_rates(deployed: Deployment, *, most: int, tpot_limit_s, ttft_limit_s=np.inf, **lengths) -> dict[str, np.ndarray]:
    """Output tokens per second and accelerator of the best layout at each TPOT limit, with its degrees and batch.

    tok_per_s is NaN where no layout of at most `most` accelerators serves one request within the limits.
    """
    found = degrees(deployed, most)
    wide = replace(deployed, **found)
    batch = largest_batches(wide, tpot_limit_s=np.atleast_1d(tpot_limit_s), ttft_limit_s=ttft_limit_s, **lengths)
    out = serve(wide, **lengths, concurrency=np.where(np.isnan(batch), 1.0, batch))
    rate = np.where(np.isnan(batch), -1.0, out.output_tok_per_s / out.n_accelerators)
    rows, at = np.arange(len(rate)), rate.argmax(axis=1)
    best = np.where(rate[rows, at] > 0, rate[rows, at], np.nan)
    return {"tok_per_s": best, "batch": batch[rows, at], **{name: ways[at] for name, ways in found.items()}}
