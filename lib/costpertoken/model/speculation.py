"""Speculative decoding: cheap passes draft several tokens of a sequence, and one pass of the model verifies them all.

Leviathan et al. 2023 (arXiv 2211.17192): draft models; Cai et al. 2024 (arXiv 2401.10774): Medusa's heads and trees; Li et al.
2024 (arXiv 2401.15077): EAGLE's layer. The output is that of the model alone; what changes is passes, bytes and FLOP.
"""

from dataclasses import dataclass, replace

import numpy as np

from costpertoken.model.counts import Counts, count
from costpertoken.model.records import Deployment, Efficiency, InputError, at_least, check
from costpertoken.model.roofline import Step, step_of, together


@dataclass(frozen=True, kw_only=True)
class Speculation:
    """How tokens are drafted and verified. Acceptance is that of one level, given that all levels before it were right.

    A chain verifies as many tokens as it has levels; a tree more, several candidates a level. Heads draft all levels in one
    pass; a model or a layer needs a pass a level.
    """

    acceptance: float | np.ndarray = at_least(0.0, below=1.0)
    draft_tokens: int | np.ndarray = at_least(1)  # levels
    verified_tokens: int | np.ndarray = at_least(1)  # drafted tokens in one verifying pass, for each sequence
    passes: int | np.ndarray = at_least(1)  # drafting passes a round
    draft: Counts  # what one drafting pass holds, reads and multiplies
    efficiency: Efficiency  # of the drafting passes

    def __post_init__(self) -> None:
        check(self)
        if np.any(self.verified_tokens < self.draft_tokens):
            raise InputError(
                f"verified_tokens is {self.verified_tokens}, draft_tokens {self.draft_tokens}; "
                "expected at least one verified token a level"
            )


def accepted_tokens(*, acceptance, draft_tokens):
    """Mean tokens that a round yields: 1 + a + a^2 + ... + a^n, the last being the verifying pass's own.

    Taken to be independent from level to level (arXiv 2211.17192, equation 1). Shape of the two together.
    """
    a, n = np.asarray(acceptance, dtype=float), draft_tokens
    short = np.where(a < 1.0, a, 0.0)
    return np.where(a < 1.0, (1.0 - short ** (n + 1)) / (1.0 - short), n + 1.0)


def widened(*, acceptance, n_candidates):
    """Acceptance of a level with several candidates, of which each is right with the first one's chance where those before
    it were wrong: 1 - (1 - a)^k. Later candidates are worse than that, so a tree gains less."""
    return 1.0 - (1.0 - np.asarray(acceptance, dtype=float)) ** n_candidates


def with_draft_model(draft: Deployment, *, acceptance, draft_tokens) -> Speculation:
    """A chain drafted by a smaller model on the same accelerators."""
    levels = {"draft_tokens": draft_tokens, "verified_tokens": draft_tokens, "passes": draft_tokens}
    return Speculation(acceptance=acceptance, draft=count(draft), efficiency=draft.efficiency, **levels)


def with_heads(target: Deployment, *, acceptance, draft_tokens, verified_tokens) -> Speculation:
    """Medusa: a head a level on the model's last state (a square block and a vocabulary), all in one pass, a tree verified."""
    model, at, tp = target.model, target.precision, target.tp
    block, words = draft_tokens * model.d_model**2, draft_tokens * model.d_model * model.vocab
    heads = replace(
        without_layers(count(target)),
        dense_bytes=block * at.head_bytes / tp,
        head_bytes=words * at.head_bytes / tp,
        dense_flop_per_token=2.0 * block / tp,
        head_flop_per_token=2.0 * words / tp,
        held_bytes=(block + words) * at.head_bytes / tp,
    )
    levels = {"draft_tokens": draft_tokens, "verified_tokens": verified_tokens, "passes": 1}
    return Speculation(acceptance=acceptance, draft=heads, efficiency=target.efficiency, **levels)


def with_layer(target: Deployment, *, acceptance, draft_tokens, verified_tokens) -> Speculation:
    """EAGLE: one dense layer of the model's own width, a pass a level, on state and token joined; the model's head is shared."""
    model = target.model
    wide = model.d_ff or model.dense_d_ff or model.d_ff_expert * max(model.n_experts_active, 1)
    dense = {"n_experts": 0, "n_experts_active": 0, "n_shared_experts": 0, "first_dense_layers": 0, "d_ff_expert": 0}
    one = replace(model, n_layers=1, d_ff=wide, dense_d_ff=0, n_window_layers=0, encoder_layers=0, **dense)
    counted = count(replace(target, model=one, ep=1, pp=1))
    join = 2.0 * model.d_model**2 / target.tp
    read = counted.dense_bytes + join * target.precision.dense_bytes
    layer = replace(
        counted,
        dense_bytes=read,
        dense_flop_per_token=counted.dense_flop_per_token + 2.0 * join,
        held_bytes=read,
        pp=target.pp,
    )
    levels = {"draft_tokens": draft_tokens, "verified_tokens": verified_tokens, "passes": draft_tokens}
    return Speculation(acceptance=acceptance, draft=layer, efficiency=target.efficiency, **levels)


def without_layers(counts: Counts) -> Counts:
    """Counts with nothing but the machine, the head and the width of a token left."""
    none = ("dense_bytes", "expert_bytes", "dense_flop_per_token", "expert_flop_per_token", "cache_bytes_per_token",
            "prefill_flop_per_pair", "decode_flop_per_pair", "n_layers", "n_moe_layers")  # fmt: skip
    return replace(counts, activation_bytes_per_token=counts.message_bytes_per_token, **dict.fromkeys(none, 0.0))


def telling(efficiency: Efficiency, speculation: Speculation) -> Efficiency:
    """Constants of a verifying pass: the host hands out each token that the round yields, as it does the one of a step."""
    yielded = accepted_tokens(acceptance=speculation.acceptance, draft_tokens=speculation.draft_tokens)
    return replace(efficiency, host_sequence_s=efficiency.host_sequence_s * yielded)


def drafting(speculation: Speculation, *, decode, context_tokens, **prompts) -> Step:
    """All drafting passes of a round; prompts go through the draft as well, with the first of them (as `step_of` has them).

    They follow each other on the accelerator without the scheduler and the host's sampling, which are not paid again. The
    first grows from one token of a sequence, each later one from a level of the tree.
    """
    engine = replace(speculation.efficiency, host_step_s=0.0, host_sequence_s=0.0)
    level = speculation.verified_tokens / speculation.passes
    first = step_of(speculation.draft, engine, decode=decode, context_tokens=context_tokens, **prompts)
    again = step_of(speculation.draft, engine, decode=decode, context_tokens=context_tokens, queries=level)
    return together((1.0, first), (speculation.passes - 1.0, again))
