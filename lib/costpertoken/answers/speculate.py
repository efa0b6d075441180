"""Speculative decoding of one placement: what a round costs and yields, its best length, and where it stops paying.

Gains are seconds of a token without over those with it. `speculation` records come from model.speculation; batches, contexts
and lengths may be arrays that broadcast. Acceptance is looked up (data/techniques.csv) or given, never modelled.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from costpertoken import tables
from costpertoken.answers.compose import usd_of
from costpertoken.answers.estimate import degrees_of
from costpertoken.answers.estimate import deployment as placed_on
from costpertoken.model import speculation as drafts
from costpertoken.model.counts import Counts, count
from costpertoken.model.records import Deployment
from costpertoken.model.roofline import held_tokens, step_of
from costpertoken.model.serving import batch_limit
from costpertoken.model.setup import Setup, run
from costpertoken.model.speculation import Speculation
from costpertoken.model.units import KILO

#: Batches and contexts past which a curve is not followed.
MOST, LONGEST = 1e6, 1e8
#: Published speed-ups whose hardware is on record: row of data/techniques.csv -> where and how they were measured.
PUBLISHED = (
    ("Medusa, frozen model", ("latency speedup", "frozen backbone, batch 1"),
     ("llama-2-7b", "a100-80gb-pcie", 1), "heads", 4, 63, 1),
    ("Medusa, tuned with its model", ("latency speedup", "fine-tuned with backbone"),
     ("llama-2-7b", "a100-80gb-pcie", 1), "heads", 4, 63, 1),
    ("EAGLE, one request", ("latency speedup", "LLaMA2-Chat 70B"),
     ("llama-2-70b", "a100-40gb-sxm", 4), "layer", 5, 25, 1),
    ("EAGLE-3, 64 requests", ("throughput at batch 64 in SGLang", "large-batch gain is far below batch-1 gain"),
     ("llama-3.1-8b", "h100-sxm", 1), "layer", 3, 3, 64),
)  # fmt: skip


def implied_acceptance(*, accepted_tokens: float, draft_tokens: int) -> float:
    """Acceptance of a level at which a round of so many levels yields accepted_tokens, its own token included."""

    def surplus(acceptance: float) -> float:
        return float(drafts.accepted_tokens(acceptance=acceptance, draft_tokens=draft_tokens)) - accepted_tokens

    return float(brentq(surplus, 0.0, 1.0))


def by_text() -> pd.DataFrame:
    """Accepted tokens a round on record: a row a method and model, a column a kind of text."""
    rows = tables.read("techniques").query("technique == 'speculative-decoding' and unit == 'tokens'")
    kind = rows["quantity"].str.partition("accepted tokens a round: ")[2]
    return rows.assign(kind=kind).query("kind != ''").pivot(index="condition", columns="kind", values="value")


def splits(target: Deployment, model_id: str) -> list[Deployment]:
    """A draft on the target's accelerators, split over one of them, two, and so on up to all."""
    small = replace(target, model=tables.model(model_id), dp=1, ep=1, pp=1, tp=1)
    return [replace(small, tp=tp) for tp in degrees_of(small) if tp <= target.tp]


def beside(target: Deployment, model_id: str, *, batch: float = 1.0, context_tokens: float) -> Deployment:
    """The draft split over as many accelerators as make its pass shortest: few for a lone request, all for many."""
    carried = {"decode": batch, "context_tokens": context_tokens}
    return min(splits(target, model_id), key=lambda at: float(step_of(count(at), at.efficiency, **carried).step_s))


def round_s(target: Deployment, speculation: Speculation, *, batch, context_tokens):
    """Seconds of one round of decoding, verifying and drafting, prompts left out."""
    carried = {"decode": batch, "context_tokens": context_tokens}
    engine = drafts.telling(target.efficiency, speculation)
    verified = step_of(count(target), engine, queries=1.0 + speculation.verified_tokens, **carried)
    return verified.step_s + drafts.drafting(speculation, **carried).step_s


def yielded_tokens(speculation: Speculation):
    """Mean tokens of a round."""
    return drafts.accepted_tokens(acceptance=speculation.acceptance, draft_tokens=speculation.draft_tokens)


def gain(target: Deployment, speculation: Speculation, *, batch, context_tokens):
    """Seconds of a token without speculation over those with it: decoding alone, memory permitting."""
    plain = step_of(count(target), target.efficiency, decode=batch, context_tokens=context_tokens).step_s
    return plain * yielded_tokens(speculation) / round_s(target, speculation, batch=batch, context_tokens=context_tokens)


def best_length(make: Callable, target: Deployment, *, batch, context_tokens, longest: int = 16):
    """(levels, gain) at which `make(levels)` gains most, for each batch."""
    lengths = np.arange(1, longest + 1).reshape(-1, *[1] * np.ndim(batch))
    gains = gain(target, make(lengths), batch=batch, context_tokens=context_tokens)
    return np.argmax(gains, axis=0) + 1, np.max(gains, axis=0)


def break_even_batch(target: Deployment, speculation: Speculation, *, context_tokens: float) -> float:
    """Largest batch at which speculation still gains; infinite where it gains at any, NaN where at none."""
    tried = np.geomspace(1.0, MOST, 241)
    gains = gain(target, speculation, batch=tried, context_tokens=context_tokens)
    above = gains >= 1.0
    if above[-1] or not above.any():
        return np.inf if above[-1] else np.nan
    last = int(np.flatnonzero(above)[-1])
    ends = slice(last, last + 2)
    falling, logs = gains[ends][::-1], np.log(tried[ends])[::-1]
    return float(np.exp(np.interp(1.0, falling, logs)))


def always_context(target: Deployment, speculation: Speculation) -> float:
    """Context in tokens past which speculation gains at any batch; NaN where no context is long enough."""

    def surplus(log_context: float) -> float:
        return float(gain(target, speculation, batch=1e3 * MOST, context_tokens=np.exp(log_context))) - 1.0

    if surplus(0.0) >= 0:
        return 1.0
    return float(np.exp(brentq(surplus, 0.0, np.log(LONGEST)))) if surplus(np.log(LONGEST)) > 0 else np.nan


def furthest(target: Deployment, model_id: str, *, acceptance, draft_tokens: int, context_tokens: float) -> float:
    """`break_even_batch` of a draft model, split over as many accelerators as carries it furthest."""
    tried = [
        drafts.with_draft_model(at, acceptance=acceptance, draft_tokens=draft_tokens) for at in splits(target, model_id)
    ]
    return float(np.fmax.reduce([break_even_batch(target, one, context_tokens=context_tokens) for one in tried]))


def always(target: Deployment, model_id: str, *, acceptance, draft_tokens: int) -> float:
    """`always_context` of a draft model, split so that it is shortest."""
    tried = [
        drafts.with_draft_model(at, acceptance=acceptance, draft_tokens=draft_tokens) for at in splits(target, model_id)
    ]
    return float(np.fmin.reduce([always_context(target, one) for one in tried]))


def break_even(target: Deployment, model_id: str, *, acceptance, lengths, contexts) -> pd.DataFrame:
    """`furthest` over draft lengths and contexts: draft_tokens, context, batch."""
    rows = [
        {"draft_tokens": n, "context": s,
         "batch": furthest(target, model_id, acceptance=acceptance, draft_tokens=n, context_tokens=float(s))}
        for n in lengths for s in contexts
    ]  # fmt: skip
    return pd.DataFrame(rows)


def room_at(target: Deployment, contexts) -> np.ndarray:
    """Requests of each length that memory holds, up to the engine's cap; below one where none does."""
    fits = batch_limit(target, input_tokens=np.asarray(contexts, dtype=float), output_tokens=1.0)
    return np.minimum(fits, target.efficiency.max_batch)


def tree_record() -> dict[str, float]:
    """EAGLE's chain and tree on one model and text: acceptance of a chain's level, levels, nodes of the tree, tokens of both."""
    rows = tables.read("techniques").query("condition == 'EAGLE on Llama 2 70B'").set_index("quantity")["value"]
    settings = tables.read("levers").query("lever == 'eagle'").set_index("setting")["value"]
    levels, chain = int(settings["draft_tokens"]), float(rows["accepted tokens a round, chain: chat"])
    tokens = float(rows["accepted tokens a round: chat"])
    acceptance = implied_acceptance(accepted_tokens=chain, draft_tokens=levels)
    nodes = int(settings["verified_tokens"])
    return {"acceptance": acceptance, "levels": levels, "tree_nodes": nodes, "chain_tokens": chain, "tree_tokens": tokens}


def tree_tokens(nodes, *, acceptance: float, levels: int, chain_tokens: float, tree_tokens: float, tree_nodes: int):
    """Mean tokens of a round with a tree of so many nodes: a chain up to its levels, then growing with the logarithm of the
    nodes, as trees are measured to (Medusa, section 3.3.1), through the tree on record."""
    chain = drafts.accepted_tokens(acceptance=acceptance, draft_tokens=np.minimum(nodes, levels))
    slope = (tree_tokens - chain_tokens) / np.log(tree_nodes / levels)
    return chain + slope * np.log(np.maximum(nodes, levels) / levels)


def tree(target: Deployment, nodes: int, *, record: dict[str, float]) -> Speculation:
    """EAGLE's layer with a tree of so many nodes, at the acceptance that its tokens imply."""
    levels = int(min(nodes, record["levels"]))
    tokens = float(tree_tokens(nodes, **record))
    acceptance = implied_acceptance(accepted_tokens=tokens, draft_tokens=levels)
    return drafts.with_layer(target, acceptance=acceptance, draft_tokens=levels, verified_tokens=nodes)


def trees(target: Deployment, sizes, *, batch, context_tokens, record) -> pd.DataFrame:
    """Gain of trees of each size over batches: nodes, batch, gain."""
    frames = []
    for n in sizes:
        gains = gain(target, tree(target, n, record=record), batch=batch, context_tokens=context_tokens)
        frames.append(pd.DataFrame({"nodes": n, "batch": batch, "gain": gains}))
    return pd.concat(frames, ignore_index=True)


def token_flop(counts: Counts, context_tokens: float) -> float:
    """FLOP of one token through a replica, attention included."""
    products = counts.dense_flop_per_token + counts.expert_flop_per_token + counts.head_flop_per_token
    return float(counts.tp * (products + held_tokens(counts, context_tokens) * counts.decode_flop_per_pair))


def flop_ratio(target: Deployment, speculation: Speculation, *, context_tokens: float) -> float:
    """FLOP spent for one token that is kept, over those of a token without speculation."""
    own, small = token_flop(count(target), context_tokens), token_flop(speculation.draft, context_tokens)
    grown = 1.0 + (speculation.passes - 1.0) * speculation.verified_tokens / speculation.passes
    spent = (1.0 + speculation.verified_tokens) * own + grown * small
    return float(spent / (yielded_tokens(speculation) * own))


def published(acceptances=(0.5, 0.7, 0.9), *, context_tokens: float = 500.0) -> pd.DataFrame:
    """Published speed-ups beside the model's over acceptances: what, low, value, high (modelled), said, said_low, said_high."""
    rows, record = [], tables.read("techniques").query("technique == 'speculative-decoding'")
    for what, (quantity, condition), (model, machine, tp), kind, levels, nodes, batch in PUBLISHED:
        said = record[(record["quantity"] == quantity) & (record["condition"] == condition)].iloc[0]
        target = placed_on(model, machine, weights="fp16", tp=tp)
        make = drafts.with_heads if kind == "heads" else drafts.with_layer
        of = [make(target, acceptance=a, draft_tokens=levels, verified_tokens=nodes) for a in acceptances]
        found = [float(gain(target, one, batch=float(batch), context_tokens=context_tokens)) for one in of]
        ends = said[["low", "high"]].fillna(said["value"])
        rows.append({"what": what, "low": found[0], "value": found[len(found) // 2], "high": found[-1], "said": said["value"],
                     "said_low": ends["low"], "said_high": ends["high"], "source": said["source"]})  # fmt: skip
    return pd.DataFrame(rows)


def frontier(setup: Setup, ways: dict[str, list[Speculation | None]], *, batch, usd_per_hour: float) -> pd.DataFrame:
    """Each way over batches, at each with the cheapest of its speculations: way, batch, tpot_ms, usd (per million output
    tokens, the whole bill on them), verified (drafted tokens in a pass). Batches that do not fit are left out."""
    frames = []
    at = replace(setup, workload=replace(setup.workload, concurrency=batch))
    for way, tried in ways.items():
        outs = [run(replace(at, speculation=one)) for one in tried]
        usd = np.array([usd_of(out, at, usd_per_hour) for out in outs])
        fits = np.array([out.pools[0][1].batch >= batch * (1 - 1e-9) for out in outs])
        best = np.argmin(np.where(fits, usd, np.inf), axis=0)
        pick = (best, np.arange(len(batch)))
        tpot_ms = np.array([out.pools[0][1].tpot_s for out in outs])[pick] * KILO
        verified = np.array([one.verified_tokens if one else 0 for one in tried])[best]
        columns = {"way": way, "batch": batch, "tpot_ms": tpot_ms, "usd": usd[pick], "verified": verified}
        frames.append(pd.DataFrame(columns)[fits[pick]])
    return pd.concat(frames, ignore_index=True)


def chain(draft: Deployment, draft_tokens, *, acceptance) -> Speculation:
    """A draft model's chain of guesses."""
    return drafts.with_draft_model(draft, acceptance=acceptance, draft_tokens=draft_tokens)


def in_words(batch: float) -> str:
    """A break-even batch in words."""
    return "any" if np.isinf(batch) else "none" if np.isnan(batch) else f"{batch:,.0f}"
