"""Checks of the case study on speech: each by hand or by another route, and the inverses by substitution."""

import pytest
from inverse import solved

from costpertoken import tables
from costpertoken.evidence import admissible, audio, claims
from costpertoken.evidence.checks import spotify
from costpertoken.evidence.claims import Unverifiable
from costpertoken.evidence.scenario import rent

BILLS = ("spotify-initial-cost", "spotify-optimized-cost")
TALK = {"words_per_minute": 150.0, "tokens_per_word": 1.33}


def inputs(claim_id, **changed):
    return admissible.defaults(admissible.inputs(claim_id)) | changed


@pytest.fixture(scope="module")
def ledger():
    return claims.ledger(chapter="case_studies/spotify").set_index("id")


def test_tokens_by_hand():
    """5,000 h x 60 min x 150 words x 1.33 tokens."""
    assert spotify.speech_tokens(audio_hours=5000, **TALK) == pytest.approx(59.85e6)


def test_live_audio_costs_the_rent_of_its_hours():
    """One A100 for each hour of audio, at the hyperscalers' median: 5,000 rents; four streams: a quarter."""
    usd = rent("a100-40gb-sxm", cloud_class="hyperscaler").usd_per_hour
    one, four = (spotify.daily_cost(**inputs(BILLS[0], arrival="live", streams=n)) for n in (1, 4))
    assert one.value == pytest.approx(5000 * usd)
    assert four.value == pytest.approx(one.value / 4)
    assert one.low < one.value < one.high


@pytest.mark.parametrize("claim_id", BILLS)
def test_files_cost_their_seconds(claim_id):
    """A day of audio over the speed of one batch, without the function that divides."""
    given = inputs(claim_id, utilisation=1.0)
    tokens = 75 * 1.33 + 4
    at = tables.deployment(given["model"], given["accelerator"], weights=given["weights"])
    batch = audio.hear(at, tokens=tokens, windows=given["windows"], output_cv=given["output_cv"],
                       schedule=given["schedule"], fused=given["fused"] == "yes")  # fmt: skip
    seconds = (batch.hearing.step_s + batch.writing.step_s) / given["windows"]
    machine_hours = 5000 * 120 * seconds / 3600
    usd = rent(given["accelerator"], cloud_class=given["cloud_class"]).usd_per_hour
    assert spotify.daily_cost(**given).value == pytest.approx(machine_hours * usd)
    assert spotify.daily_cost(**given | {"utilisation": 0.25}).value == pytest.approx(4 * machine_hours * usd)


def test_levers_are_the_two_bills_on_one_machine():
    given = inputs("spotify-reduction-4x")
    before, after = (
        spotify.daily_cost(**inputs(claim_id, output_cv=given["output_cv"], windows=given[side])).value
        for claim_id, side in zip(BILLS, ("windows_before", "windows_after"), strict=True)
    )
    found = spotify.levers(**given)
    assert found.value == pytest.approx(before / after)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("claim_id", [*BILLS, "spotify-reduction-4x", "spotify-tokens"])
def test_a_solution_makes_the_claim_true(claim_id):
    printed, now, back = solved(claim_id)
    low, high = printed.band()
    assert not low <= now <= high
    assert low <= back <= high


@pytest.mark.parametrize("claim_id", BILLS)
def test_no_admissible_files_are_as_dear_as_printed(claim_id):
    """Without live audio neither bill comes out, whatever else is admissible."""
    known = admissible.inputs(claim_id)
    dear = max(spotify.daily_cost(**scenario | {"arrival": "files"}).value for scenario in admissible.scenarios(known))
    assert dear < claims.printed_of(next(claims.claim_rows(claim_id=claim_id).itertuples())).low


def test_what_only_the_company_knows_says_what_it_implies():
    with pytest.raises(Unverifiable, match="4,177 hours of speech.*208 streams.*150 to 1,800 USD"):
        spotify.speech_volume(audio_hours=5000, tokens=50e6, **TALK)
    with pytest.raises(Unverifiable, match="one in 125 is wrong.*72 an hour and 360,000 a day.*96 an hour"):
        spotify.speech_accuracy(audio_hours=5000, accuracy=99.2, **TALK)


def test_the_ledger_has_all_six(ledger):
    assert len(ledger) == 6
    assert set(ledger.loc[ledger["verdict"] == "unverifiable"].index) == {
        "spotify-accuracy-99-2", "spotify-audio-hours"}  # fmt: skip
