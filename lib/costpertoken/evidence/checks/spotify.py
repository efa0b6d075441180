"""Claims of the case study on speech: what the printed hours, tokens and bills say about one another and about the machine."""

from costpertoken.evidence import audio
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.claims import Unverifiable, check
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import market, placed, rent, spread
from costpertoken.model.units import DAY_S, HOUR_S, MTOK

LIVE = "live"


@check("speech-tokens")
def speech_tokens(*, audio_hours, words_per_minute, tokens_per_word):
    """Hours x 60 x words a minute x tokens a word."""
    return audio.tokens_per_day(
        audio_hours=audio_hours, words_per_minute=words_per_minute, tokens_per_word=tokens_per_word
    )


@check("speech-volume")
def speech_volume(*, audio_hours, tokens, words_per_minute, tokens_per_word):
    """Only the company knows its volume; the reason says what it goes with."""
    hours = tokens / speech_tokens(audio_hours=1, words_per_minute=words_per_minute, tokens_per_word=tokens_per_word)
    prices = audio.retail()["usd"]
    raise Unverifiable(
        f"only the company knows its volume; its {tokens / MTOK:.0f} million tokens are {hours:,.0f} hours of speech at "
        f"{words_per_minute:g} words a minute; {audio_hours:,.0f} hours a day are {audio_hours * HOUR_S / DAY_S:,.0f} streams at "
        f"any time, and sellers would transcribe them for {audio_hours * prices.min():,.0f} to "
        f"{audio_hours * prices.max():,.0f} USD"
    )


@check("speech-accuracy")
def speech_accuracy(*, audio_hours, accuracy, words_per_minute, tokens_per_word):
    """Neither measure nor recordings are named; the reason says what the figure would mean for words."""
    wrong = 1 - accuracy / 100
    hourly = words_per_minute * HOUR_S / audio.MINUTE_S * wrong
    raise Unverifiable(
        f"neither the measure nor the recordings are named; if it counts words, one in {1 / wrong:.0f} is wrong, which at "
        f"{words_per_minute:g} words a minute is {hourly:.0f} an hour and {audio_hours * hourly:,.0f} a day; if it counts "
        f"tokens, {hourly * tokens_per_word:.0f} an hour"
    )


@check("speech-daily-cost")
def daily_cost(
    *, audio_hours, model, accelerator, weights, cloud_class, words_per_minute, tokens_per_word, windows, output_cv, schedule,
    fused, utilisation, arrival, streams,
):  # fmt: skip
    """Accelerator-hours x rent: audio over speed over real time; live, one hour an hour of audio, over the streams that share
    it."""
    price = rent(accelerator, cloud_class=cloud_class)
    if arrival == LIVE:
        return spread(audio_hours * price.usd_per_hour / streams, market(price))
    at = placed(model, accelerator, weights=weights)
    tokens = audio.tokens_per_window(words_per_minute=words_per_minute, tokens_per_word=tokens_per_word)
    batch = {"windows": windows, "output_cv": output_cv, "schedule": schedule, "fused": fused == "yes"}
    speed = audio.hear(at, tokens=tokens, **batch).x_realtime
    hourly = audio.usd_per_audio_hour(usd_per_hour=price.usd_per_hour, x_realtime=speed, utilisation=utilisation)
    return spread(audio_hours * hourly, audio.cost_band(at), market(price))


@check("speech-levers")
def levers(
    *, model, accelerator, words_per_minute, tokens_per_word, windows_before, windows_after, output_cv
) -> Figure:
    """Speed over real time with all three over that with none: FP16, static, scores written, against INT8, continuous, fused."""
    tokens = audio.tokens_per_window(words_per_minute=words_per_minute, tokens_per_word=tokens_per_word)
    text = {"tokens": tokens, "output_cv": output_cv}
    plain, small = (placed(model, accelerator, weights=weights) for weights in ("fp16", "int8"))
    before = audio.hear(plain, windows=windows_before, schedule=audio.STATIC, fused=False, **text).x_realtime
    after = audio.hear(small, windows=windows_after, schedule=audio.CONTINUOUS, fused=True, **text).x_realtime
    return spread(after / before, ratio_band("loads", "precisions"))
