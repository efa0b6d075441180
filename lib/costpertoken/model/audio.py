"""Speech to text by an encoder-decoder (Whisper, arXiv 2212.04356) on the roofline of `roofline`.

A window of 30 s is 1,500 positions, looked at in full squares by the encoder. Every layer of the decoder keeps keys and values
of all of them, which each written token reads again. Left out: the spectrogram, the convolutions, beams and retries.
"""

from dataclasses import replace

from costpertoken.model.counts import Counts, count
from costpertoken.model.records import Deployment
from costpertoken.model.roofline import Step, step_of, together
from costpertoken.model.setup import SCORE_BYTES
from costpertoken.model.transformer import attention_parameters

WINDOW_S, POSITIONS = 30.0, 1500


def halves(deployment: Deployment) -> tuple[Counts, Counts]:
    """(encoder, decoder) of a model. The decoder's keys and values of the positions are made once, with the encoder's work."""
    model, size, tp = deployment.model, deployment.precision.dense_bytes, deployment.tp
    block, made = attention_parameters(model), 2 * model.d_model * model.n_kv_heads * model.head_dim
    encoder = replace(model, n_layers=model.encoder_layers, encoder_layers=0, vocab=1, attn_bias="none")
    hears, writes = count(replace(deployment, model=encoder)), count(deployment)
    moved = [(hears, model.n_layers * made), (writes, model.n_layers * (block - made))]
    return tuple(
        replace(
            one,
            dense_bytes=one.dense_bytes + n * size / tp,
            dense_flop_per_token=one.dense_flop_per_token + 2.0 * n / tp,
        )
        for one, n in moved
    )


def transcribe(deployment: Deployment, *, windows, tokens, score_passes=0.0, counted=None) -> tuple[Step, Step]:
    """Seconds by cause in which `windows` windows are heard, and written in `tokens` steps; score_passes as in `setup`.

    counted: the deployment's halves, where they are at hand."""
    (hears, writes), engine = counted or halves(deployment), deployment.efficiency
    heard = {"prefill_tokens": windows * POSITIONS, "pairs_per_token": POSITIONS}
    hearing = step_of(hears, engine, decode=0.0, context_tokens=0.0, **heard)
    scores = windows * POSITIONS**2 * hears.n_layers * deployment.model.n_heads / deployment.tp
    scores_s = scores * SCORE_BYTES * score_passes / (hears.memory_bytes_per_s * engine.weight_bandwidth)
    hearing = replace(hearing, activation_s=hearing.activation_s + scores_s, step_s=hearing.step_s + scores_s)
    return hearing, together((tokens, step_of(writes, engine, decode=windows, context_tokens=POSITIONS + 0.5 * tokens)))
