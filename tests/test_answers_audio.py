"""Answers on speech: prices and speeds by hand, the composition of levers, and what a bill implies by substitution."""

import numpy as np
import pytest
from scipy.optimize import brentq

from costpertoken import tables
from costpertoken.answers import audio as answers
from costpertoken.evidence import audio
from costpertoken.model.audio import transcribe
from costpertoken.model.records import InputError

TEXT = {"tokens": 100.0, "output_cv": 0.4}


def at(weights="fp16", model="whisper-large-v3", machine="a100-40gb-sxm"):
    return tables.deployment(model, machine, weights=weights)


def test_tokens_of_a_window_by_hand():
    """75 words in half a minute at 150 a minute, and four marks."""
    assert audio.tokens_per_window(words_per_minute=150, tokens_per_word=1.2) == pytest.approx(94)


def test_work_of_a_window_by_hand():
    found = answers.work(["whisper-large-v3"], "a100-40gb-sxm", tokens=100).iloc[0]
    assert found["hearing_tflop"] == pytest.approx(2.571, rel=0.001)
    assert found["positions_gb"] == pytest.approx(1500 * 2 * 1280 * 32 * 2 / 1e9)
    assert found["least_windows"] == pytest.approx(found["weights_gb"] / found["positions_gb"])


def test_static_waits_for_the_longest_and_continuous_for_nobody():
    steps = {
        how: audio.steps_of(tokens=100.0, output_cv=0.4, windows=16, schedule=how)
        for how in (audio.STATIC, audio.CONTINUOUS)
    }
    assert steps[audio.CONTINUOUS] == 100.0
    rng = np.random.default_rng(1)
    sigma = np.sqrt(np.log1p(0.4**2))
    drawn = 100 * np.exp(rng.normal(-0.5 * sigma**2, sigma, (40_000, 16))).max(axis=1).mean()
    assert steps[audio.STATIC] == pytest.approx(drawn, rel=0.01)


def test_what_does_not_fit_has_no_speed():
    assert np.isnan(audio.hear(at(), windows=300, tokens=100).x_realtime)
    assert np.isnan(audio.hear(at(), windows=1, tokens=500).x_realtime)
    with pytest.raises(InputError, match="windows"):
        audio.hear(at(), windows=0, tokens=100)


def test_causes_sum_to_the_window():
    found = answers.causes_ms(at(), [1, 16, 1000], tokens=100.0).groupby("windows")["ms"].sum()
    assert list(found.index) == [1, 16]
    assert found[16] == pytest.approx(30_000 / audio.hear(at(), windows=16, tokens=100).x_realtime)


def test_fair_shares_multiply_to_the_whole():
    plain, small = at(), at("int8")
    found = answers.composed(plain, small, windows=16, **TEXT)
    whole = answers.speed_with(answers.LEVERS, plain, small, windows=16, **TEXT) / answers.speed_with(
        (), plain, small, windows=16, **TEXT
    )
    assert found["fair"].prod() == pytest.approx(whole)
    assert (found[["alone", "last", "fair"]] >= 1).all(axis=None)


def test_a_bill_implies_what_makes_it_true():
    """Each of the four, put back into the cost of a day with the rest as it was, gives the bill."""
    at = {"hours": 5000.0, "usd_per_hour": 3.6, "x_realtime": 200.0, "utilisation": 0.5}
    found = answers.implied({"bill": 18_000.0}, audio_hours=5000, usd_per_hour=3.6, x_realtime={"bill": 200}, utilisation=0.5)
    row = found.iloc[0]
    assert row["usd_per_audio_hour"] == pytest.approx(3.6)
    assert row["x_realtime"] == pytest.approx(1.0)

    def day(hours, **given):
        return hours * audio.usd_per_audio_hour(**given)

    assert day(**at) == pytest.approx(180)
    for name in ("usd_per_hour", "utilisation"):
        assert day(**at | {name: row[name]}) == pytest.approx(18_000)
    assert day(**at | {"hours": row["audio_hours"]}) == pytest.approx(18_000)
    assert day(**at | {"x_realtime": row["x_realtime"], "utilisation": 1.0}) == pytest.approx(18_000)
    searched = brentq(lambda x: day(**at | {"x_realtime": x, "utilisation": 1.0}) - 18_000, 0.01, 1000)
    assert row["x_realtime"] == pytest.approx(searched)


def test_models_side_by_side_by_another_route():
    """Of 16 windows, hearing and writing are timed by the model alone; what does not fit has no speed."""
    found = answers.speeds(["whisper-large-v3", "whisper-large-v3-turbo"], "a100-40gb-sxm", windows=16, tokens=100.0)
    for row, model in zip(found.itertuples(), ("whisper-large-v3", "whisper-large-v3-turbo"), strict=True):
        seconds = sum(one.step_s for one in transcribe(at(model=model), windows=16, tokens=100.0))
        assert row.batch == pytest.approx(16 * 30 / seconds)
        assert row.alone < row.batch < row.int8
    assert answers.speeds(["whisper-large-v3"], "a100-40gb-sxm", windows=300, tokens=100.0)["int8"].isna().all()


def test_a_waterfall_ends_at_its_ends():
    found = answers.steps(at(), at("int8"), windows=16, **TEXT).set_index("step")["x_realtime"]
    start = audio.hear(at(), windows=16, schedule=audio.STATIC, fused=False, **TEXT).x_realtime
    last = audio.hear(at("int8"), windows=16, tokens=100.0).x_realtime
    assert found.iloc[0] == start and found.iloc[-1] == last and list(found.index[-3:]) == list(answers.LEVERS)
    assert found["INT8"] / found["batch of 16"] == pytest.approx(
        answers.composed(at(), at("int8"), windows=16, **TEXT).set_index("lever").at["INT8", "alone"])
    assert len(answers.steps(at(), at("int8"), windows=1, **TEXT)) == 4


def test_prices_are_of_an_hour_of_audio():
    """0.006 USD a minute is 0.36 an hour; cheapest first."""
    files, live = audio.retail(), audio.retail(audio.LIVE)
    assert files.set_index("seller").loc["OpenAI, whisper-1", "usd"] == pytest.approx(0.006 * 60)
    assert files["usd"].is_monotonic_increasing
    assert live["usd"].min() > files["usd"].min()


def test_readings_are_two_and_disagree():
    found = audio.readings()
    assert len(found) == 2
    assert found["source"].nunique() == 1
    assert found["measured"].iloc[1] < found["measured"].iloc[0]
    assert found["computed"].iloc[1] > found["computed"].iloc[0]


def test_the_band_holds_both_readings():
    low, high = audio.cost_band(at(model="whisper-large-v3-turbo", machine="h100-sxm"))
    found = audio.readings()
    off = found["computed"] / found["measured"]
    assert low <= off.min() <= 1 <= off.max() <= high
