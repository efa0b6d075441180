"""Speech to text: parameters, FLOP and bytes of Whisper by hand from its dimensions, and laws."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costpertoken import tables
from costpertoken.evidence.scenario import IDEAL
from costpertoken.model import audio
from costpertoken.model.transformer import parameters

D, FF, VOCAB, LAYERS = 1280, 5120, 51866, 32
PEAK, BANDWIDTH = 312e12, 2.039e12


def at(model="whisper-large-v3", **changed):
    found = tables.deployment(model, "a100-80gb-sxm", weights="fp16")
    return replace(found, efficiency=IDEAL, **changed)


@pytest.mark.parametrize(("model", "billions"), [("whisper-large-v2", 1.55), ("whisper-large-v3", 1.55),
                                                 ("whisper-large-v3-turbo", 0.809)])  # fmt: skip
def test_parameters_are_the_published_ones(model, billions):
    """The look-ups of positions and the convolutions are left out: about one per cent."""
    assert sum(parameters(tables.model(model)).values()) / 1e9 == pytest.approx(billions, rel=0.015)


@pytest.mark.parametrize(("model", "written"), [("whisper-large-v3", 32), ("whisper-large-v3-turbo", 4)])
def test_hearing_a_window_by_hand(model, written):
    matrices = 2 * 1500 * (LAYERS * (4 * D * D + 2 * D * FF) + written * 2 * D * D)
    squares = LAYERS * 4 * 1500**2 * D
    hearing, _ = audio.transcribe(at(model), windows=1, tokens=1)
    assert hearing.products_s == pytest.approx(matrices / PEAK, rel=0.001)
    assert hearing.prefill_attention_s == pytest.approx(squares / PEAK)
    assert matrices + squares == pytest.approx({32: 2.57e12, 4: 2.295e12}[written], rel=0.01)


def test_writing_a_token_by_hand():
    """14 d^2 a layer are read, and the head; 1,500 positions of keys and values of every layer, in 16 bits."""
    _, writing = audio.transcribe(at(), windows=1, tokens=1)
    weights = 2 * (LAYERS * (4 + 2 + 8) * D * D + VOCAB * D)
    assert writing.weights_s == pytest.approx(weights / BANDWIDTH, rel=0.001)
    assert writing.cache_s == pytest.approx(LAYERS * 2 * D * 1500.5 * 2 / BANDWIDTH, rel=0.001)


def test_scores_that_are_written_cost_their_bytes():
    fused, _ = audio.transcribe(at(), windows=3, tokens=10)
    written, _ = audio.transcribe(at(), windows=3, tokens=10, score_passes=4)
    assert written.step_s - fused.step_s == pytest.approx(3 * 1500**2 * LAYERS * 20 * 2 * 4 / BANDWIDTH)


@given(windows=st.floats(1, 200), more=st.floats(1, 4), tokens=st.floats(2, 224))
def test_a_larger_batch_is_never_dearer_and_never_free(windows, more, tokens):
    deployed = tables.deployment("whisper-large-v3", "a100-80gb-sxm", weights="fp16")
    few, many = (sum(one.step_s for one in audio.transcribe(deployed, windows=n, tokens=tokens))
                 for n in (windows, windows * more))  # fmt: skip
    assert few <= many * (1 + 1e-9)
    assert many <= few * more * (1 + 1e-9)


@given(tokens=st.floats(2, 224), more=st.floats(1.01, 2))
def test_more_text_takes_longer(tokens, more):
    short, long = (audio.transcribe(at(), windows=8, tokens=n)[1].step_s for n in (tokens, tokens * more))
    assert long > short * more * (1 - 1e-9)
