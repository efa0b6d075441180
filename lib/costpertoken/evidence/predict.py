"""What the model says for measured rows, all at once: one function a regime."""

import dataclasses

import numpy as np

from costpertoken import tables
from costpertoken.evidence.observations import Observations
from costpertoken.model.roofline import step_of
from costpertoken.model.serving import static_state, steady_state
from costpertoken.model.units import KILO


def take(record, at):
    """The same record with rows `at` of its array fields; made from checked arrays, it needs no second check."""
    new = object.__new__(type(record))
    new.__dict__.update({name: value[at] if np.ndim(value) else value for name, value in vars(record).items()})
    return new


def in_metric(serving, metric, isl, osl, n_replicas):
    """The figure that each row's metric asks for."""
    rate = serving.output_tok_per_s * n_replicas
    figures = {
        "output_tok_s_total": rate,
        "output_tok_s_per_gpu": rate / (serving.n_accelerators * n_replicas),
        "total_tok_s_total": rate * (1.0 + isl / osl),
        "tpot_ms": serving.tpot_s * KILO,
        "ttft_ms": serving.ttft_s * KILO,
        "requests_s": rate / osl,
    }
    return np.select([metric == name for name in figures], list(figures.values()), np.nan)


def offline(counts, efficiency, isl, osl, clients):
    """A backlog: the batch is what memory and the engine allow."""
    return steady_state(counts, efficiency, isl, osl, np.full_like(isl, np.inf))


def closed_loop(counts, efficiency, isl, osl, clients):
    """A fixed number of clients on each replica."""
    return steady_state(counts, efficiency, isl, osl, clients)


def server(counts, efficiency, isl, osl, clients):
    """MLPerf's server: the batch that its latency limits leave of the largest."""
    full = offline(counts, efficiency, isl, osl, clients)
    return steady_state(counts, efficiency, isl, osl, np.maximum(1.0, tables.convention("server_batch") * full.batch))


def interactive(counts, efficiency, isl, osl, clients):
    """MLPerf's interactive: as server, under tighter limits."""
    full = offline(counts, efficiency, isl, osl, clients)
    return steady_state(
        counts, efficiency, isl, osl, np.maximum(1.0, tables.convention("interactive_batch") * full.batch)
    )


def static(counts, efficiency, isl, osl, clients):
    """A batch of `clients` sequences; one where the row gives none."""
    return static_state(counts, efficiency, isl, np.where(osl > 0, osl, 1.0), np.where(clients > 0, clients, 1.0))


def prompts_only(counts, efficiency, isl, osl, clients):
    """Prompts in steps of the engine's prompt batch; `output` of this Serving is prompt tokens."""
    chunk = np.minimum(isl, tables.convention("prompt_batch"))
    one = step_of(counts, efficiency, decode=0.0, context_tokens=0.0, prefill_tokens=chunk, pairs_per_token=isl / 2)
    base = static_state(counts, efficiency, isl, np.ones_like(isl), np.ones_like(isl))
    return dataclasses.replace(base, output_tok_per_s=chunk / one.step_s, ttft_s=isl / chunk * one.step_s)


PREDICTORS = {
    "offline-max-throughput": offline,
    "closed-loop": closed_loop,
    "server": server,
    "interactive": interactive,
    "static-batch": static,
    "single-stream": static,
    "prefill-only": prompts_only,
}


def with_room(counts, efficiency, isl, osl):
    """Counts whose memory holds at least one sequence and whose context is no limit: what was measured did run."""
    need = (isl + osl) * counts.cache_bytes_per_token / counts.pp
    most = counts.memory_bytes * efficiency.memory_usable - efficiency.reserve_bytes - 1.01 * need
    roomy = take(counts, slice(None))
    roomy.__dict__.update(held_bytes=np.minimum(counts.held_bytes, most), max_context=np.inf)
    return roomy


def fits(observed: Observations, efficiency) -> np.ndarray:
    """Whether each predicted row fits by the model's own memory: weights, and the cache of one sequence."""
    most = observed.counts.memory_bytes * efficiency.memory_usable - efficiency.reserve_bytes
    cache = (observed.isl + observed.osl) * observed.counts.cache_bytes_per_token / observed.counts.pp
    return observed.counts.held_bytes + cache <= most


def predict(observed: Observations, efficiency, only=None) -> np.ndarray:
    """Predicted value of every predicted row, in its metric's unit; NaN outside `only` (positions), where that is given.

    efficiency: an Efficiency with one value a row in every field.
    """
    metric, regimes = observed.metric, observed.regime
    rows = np.arange(len(metric)) if only is None else only
    out = np.full(len(metric), np.nan)
    for regime in PREDICTORS:
        at = rows[regimes[rows] == regime]
        if not at.size:
            continue
        scale = tables.convention("drawn_length") if regime == "closed-loop" else 1.0
        isl, osl = observed.isl[at] * scale, observed.osl[at] * scale
        clients = observed.concurrency[at] / observed.n_replicas[at]
        with np.errstate(all="ignore"):
            local = take(efficiency, at)
            counts = with_room(take(observed.counts, at), local, isl, osl)
            found = PREDICTORS[regime](counts, local, isl, osl, clients)
            lengths = (np.zeros_like(isl), np.ones_like(isl)) if regime == "prefill-only" else (isl, osl)
            out[at] = in_metric(found, metric[at], *lengths, observed.n_replicas[at])
    return out
