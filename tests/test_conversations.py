"""Conversations: tokens by turn by hand, laws of caching, routing and fleets, and bills that come out when put in."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costpertoken.answers import conversation_bills as bills
from costpertoken.answers import conversations as talk
from costpertoken.evidence import conversations
from costpertoken.evidence.conversations import Conversation
from costpertoken.fleet.station import station, with_slots
from costpertoken.fleet.steady import most_requests_per_s
from costpertoken.model.records import InputError

THREE = Conversation(turns=3, user_tokens=10, answer_tokens=100, system_tokens=50)
TALKS = st.builds(
    Conversation, turns=st.integers(1, 40), user_tokens=st.floats(1, 400), answer_tokens=st.floats(1, 500),
    system_tokens=st.floats(0, 4000), kept_turns=st.sampled_from([0.0, 1.0, 7.0, np.inf]),
)  # fmt: skip


def service(**changed):
    given = {
        "of": Conversation(turns=10, user_tokens=30, answer_tokens=100, system_tokens=500), "per_day": 1e6,
        "large_id": "llama-3.1-70b", "small_id": "llama-3.1-8b", "accelerator_id": "h100-sxm", "weights": "fp8", "returned": 0.9,
        "routed": 0.5, "escalated": 0.1, "peak_to_mean": 2.0, "usd_per_hour": 3.0, "output_cv": 0.8,
        "before": "plain", "token_budget": 8192,
    }  # fmt: skip
    return talk.Service(**(given | changed))


def test_three_turns_by_hand():
    assert conversations.prompt_tokens(THREE).tolist() == [60, 170, 280]
    assert conversations.found_tokens(THREE, returned=1.0).tolist() == [50, 160, 270]
    assert conversations.found_tokens(THREE, returned=0.5).tolist() == [50, 105, 160]
    half = conversations.totals(THREE, returned=0.5)
    assert half == {"input": 510, "found": 315, "computed": 195, "output": 300}
    assert conversations.totals(THREE, returned=None)["computed"] == 510


def test_a_dropped_turn_leaves_only_the_instructions_to_be_found():
    short = replace(THREE, kept_turns=1)
    assert conversations.prompt_tokens(short).tolist() == [60, 170, 170]
    assert conversations.found_tokens(short, returned=1.0).tolist() == [50, 160, 50]


def closed_form(of):
    """Prompt tokens of a conversation that drops nothing: n (s + u) + (u + a) n (n - 1) / 2."""
    n = int(of.turns)
    return n * (of.system_tokens + of.user_tokens) + (of.user_tokens + of.answer_tokens) * n * (n - 1) / 2


@given(TALKS)
def test_prompts_sum_to_the_closed_form_which_is_quadratic_in_the_turns(one):
    whole = replace(one, kept_turns=np.inf)
    assert conversations.totals(whole, returned=None)["input"] == pytest.approx(closed_form(whole))
    sums = [closed_form(replace(whole, turns=n)) for n in (1, 2, 3, 4)]
    assert np.diff(sums, 3) == pytest.approx(0, abs=1e-6 * sums[-1])  # third differences of a quadratic
    assert np.diff(sums, 2) == pytest.approx(np.full(2, whole.user_tokens + whole.answer_tokens), rel=1e-6)


@given(TALKS, st.floats(0, 1))
def test_a_cache_finds_part_of_what_is_sent_and_all_but_the_message_at_best(one, returned):
    prompts, found = conversations.prompt_tokens(one), conversations.found_tokens(one, returned=returned)
    assert np.all(found <= prompts - one.user_tokens + 1e-9 * prompts)
    assert np.all(conversations.found_tokens(one, returned=0.0) == one.system_tokens)
    assert np.all(found <= conversations.found_tokens(one, returned=1.0) + 1e-9)


def test_one_turn_without_history_is_a_plain_request():
    single = service(of=Conversation(turns=1, user_tokens=700, answer_tokens=100), routed=0.0)
    rate, degree = {}, conversations.DEGREES
    for tp in degree:
        at = conversations.placed("llama-3.1-70b", "h100-sxm", weights="fp8", tp=tp)
        plain = station(at, input_tokens=700, output_tokens=100, token_budget=8192, output_cv=0.8)
        rate[tp] = most_requests_per_s(plain, ttft_s=1.0, tpot_s=0.05, share=0.9)[0]
    tp = max(degree, key=lambda n: rate[n] / n)
    assert talk.within_limits(single, "llama-3.1-70b", returned=None) == (tp, pytest.approx(rate[tp], rel=1e-9))
    needed = np.ceil(1e6 / 86400 * 2 / rate[tp]) * tp
    assert talk.n_accelerators(single, ()) == needed
    assert talk.month_usd(single, ()) == pytest.approx(needed * 3.0 * 730)


def test_chance_to_return_and_histories_in_wait_by_hand():
    assert conversations.returned_share(gap_s=60, lifetime_s=60) == pytest.approx(1 - np.exp(-1))
    assert conversations.returned_share(gap_s=60, lifetime_s=0) == 0
    same = {"conversations_per_s": 2.0, "gap_s": 60.0}
    # after turns 1, 2, 3 there are 110, 220, 330 tokens of history; the last waits for its whole life
    held = conversations.held_tokens(THREE, lifetime_s=60.0, **same)
    assert held == pytest.approx(2 * (330 * 60 * (1 - np.exp(-1)) + 330 * 60))
    assert conversations.held_tokens(THREE, lifetime_s=0.0, **same) == 0


def test_what_is_assumed_stands_in_the_data_with_its_range():
    rows = conversations.assumed("user_tokens", "lifetime_s", "weights").set_index("name")
    assert list(rows["value"]) == [30.0, 300.0, "fp8"]
    assert rows.at["user_tokens", "range"] == "10 to 200" and rows.at["weights", "range"] == "fp8 or bf16"
    assert (rows.at["lifetime_s", "low"], rows.at["lifetime_s", "high"]) == (0.0, 3600.0)


def test_histories_in_wait_agree_with_a_simulation():
    rng, n, gap, life = np.random.default_rng(1), 40_000, 60.0, 90.0
    seconds = np.minimum(rng.exponential(gap, (n, 2)), life)
    token_s = (seconds @ np.array([110.0, 220.0])).mean() + 330 * life
    found = conversations.held_tokens(THREE, conversations_per_s=1.0, gap_s=gap, lifetime_s=life)
    assert found == pytest.approx(token_s, rel=0.01)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 30), st.floats(5, 200), st.floats(5, 300), st.floats(0, 2000), st.floats(0, 1), st.booleans())
def test_caching_never_costs_more(turns, user, answer, system, returned, early):
    of = Conversation(turns=turns, user_tokens=user, answer_tokens=answer, system_tokens=system)
    one = service(of=of, returned=returned, before="early" if early else "plain", ttft_s=10.0, tpot_s=1.0)
    for others in ((), ("routing",)):
        assert talk.month_usd(one, (*others, "caching"), whole=False) <= talk.month_usd(one, others, whole=False) * (1 + 1e-3)


def test_a_month_grows_with_conversations_and_falls_with_what_is_found():
    one = service()
    assert talk.month_usd(replace(one, per_day=2e6), (), whole=False) == pytest.approx(2 * talk.month_usd(one, (), whole=False))
    costs = [talk.month_usd(replace(one, returned=r), ("caching",), whole=False) for r in (0.0, 0.5, 1.0)]
    assert costs == sorted(costs, reverse=True)
    assert talk.month_usd(replace(one, routed=0.0), ("routing",)) == talk.month_usd(one, ())
    assert talk.month_usd(one, (), slower=1.2) > talk.month_usd(one, ())


def test_pools_of_a_router_by_hand():
    assert conversations.pool_shares(routed=0.6, escalated=0.1) == (pytest.approx(0.46), 0.6)
    pools = [(0.46, 2, 5.0), (0.6, 1, 20.0)]
    assert conversations.accelerators(pools, turns_per_s=100.0, peak_to_mean=1.5) == 2 * 14 + 5  # 69 / 5, 90 / 20
    assert conversations.accelerators(pools, turns_per_s=100.0, peak_to_mean=1.5, whole=False) == pytest.approx(32.1)


@pytest.mark.parametrize("before", conversations.SERVINGS)
def test_fair_shares_multiply_to_the_whole_saving(before):
    one, looser, usd = talk.feasible(service(before=before))
    found = talk.shares(one, usd)
    whole = usd[frozenset()] / usd[frozenset(talk.levers(one))]
    assert found["shapley"].prod() == pytest.approx(whole) and found["share"].sum() == pytest.approx(100)
    assert len(usd) == 2 ** len(talk.levers(one)) and looser == 1
    if before == "plain":  # of two levers the fair share is the mean of first and last, in logs
        assert found["shapley"].to_numpy() == pytest.approx(np.sqrt(found["alone"] * found["last"]))


def test_limits_are_loosened_until_there_is_a_fleet_and_what_never_fits_is_refused():
    tight = service(ttft_s=0.01, tpot_s=0.002)
    one, looser, usd = talk.feasible(tight)
    assert looser > 1 and one.ttft_s == pytest.approx(0.01 * looser) and all(value > 0 for value in usd.values())
    with pytest.raises(InputError, match="does not serve"):
        talk.feasible(service(large_id="llama-3.1-405b", weights="bf16", accelerator_id="a100-80gb-sxm"))


def test_best_degree_is_that_of_a_search_through_all():
    one = service()
    at = conversations.wide(one.small_id, one.accelerator_id, one.weights)
    load = conversations.lengths(one.of, returned=0.9, output_cv=0.8)
    rates = {}
    for tp, each in zip(at.tp, talk.stations(talk.count(at), at.efficiency, load, token_budget=8192), strict=True):
        rates[int(tp)] = most_requests_per_s(with_slots(each, each.slots), ttft_s=1.0, tpot_s=0.05, share=0.9)[0]
    best = max(rates, key=lambda tp: rates[tp] / tp)
    assert talk.within_limits(one, one.small_id, returned=0.9) == (best, pytest.approx(rates[best]))


def test_bills_come_out_when_their_lengths_are_put_in():
    one, _, usd = talk.feasible(service())
    curve = bills.by_scale(one)
    for what, pulled in (("before", ()), ("after", talk.levers(one))):
        bill = 1.7 * usd[frozenset(pulled)]
        times = bills.scale_for(one, curve, what, bill)
        assert times > 1 and bills.meets(curve, what, bill) == pytest.approx(times, rel=0.2)
        assert talk.month_usd(bills.scaled(one, times), pulled, whole=False) == pytest.approx(bill, rel=1e-5)
    assert np.isnan(bills.scale_for(one, curve, "before", 1.0))
    edge = curve[(curve["what"] == "after") & (curve["times"] <= 1)]  # longer messages have no fleet
    assert 0.5 < bills.scale_for(one, edge, "after", 0.9 * edge["usd"].iloc[-1]) < 1
    dearer = 1.2 * usd[frozenset(talk.levers(one))]
    lever, share = bills.weaker(one, 1.0, dearer)
    assert lever == "routed" and share < one.routed
    assert talk.month_usd(replace(one, routed=share), talk.levers(one), whole=False) == pytest.approx(dearer, rel=1e-4)


def test_months_of_lifetimes_agree_with_the_month():
    one = service()
    rows = talk.by_lifetime(one, gap_s=60.0, lifetimes_s=[0.0, 120.0]).set_index("lifetime_s")
    same = replace(one, returned=1 - np.exp(-2))
    assert rows.at[120.0, "usd"] == pytest.approx(talk.per_conversation(same, talk.month_usd(same, talk.levers(same))))
    per_token = 0.55 * talk.bytes_per_token(one, "llama-3.1-70b") + 0.5 * talk.bytes_per_token(one, "llama-3.1-8b")
    held = conversations.held_tokens(one.of, conversations_per_s=1e6 / 86400, gap_s=60.0, lifetime_s=120.0)
    assert rows.at[120.0, "held_tb"] == pytest.approx(held * per_token / 1e12)
    assert talk.bytes_per_token(one, "llama-3.1-70b") == 2 * 80 * 8 * 128  # keys and values, 80 layers, 8 heads, a byte each


def test_histories_found_again_are_copied_in_the_busiest_hour():
    """Ten turns of 130 tokens: 45 histories of 130 tokens a conversation, nine in ten of them found, at twice the mean load."""
    one = service()
    per_token = 0.55 * 2 * 80 * 8 * 128 + 0.5 * 2 * 32 * 8 * 128
    assert talk.mean_bytes_per_token(one) == pytest.approx(per_token)
    assert talk.found_bytes_per_s(one) == pytest.approx(2 * 1e6 / 86400 * 0.9 * 45 * 130 * per_token)
    assert talk.found_bytes_per_s(replace(one, returned=0.0)) == pytest.approx(0, abs=1e-3)


def test_levers_over_turns_are_those_of_the_month():
    one = service()
    found = talk.by_turns(one, [3, 10]).set_index(["turns", "lever"])["factor"]
    months = [talk.month_usd(one, some, whole=False) for some in ((), talk.levers(one))]
    assert found[10].prod() == pytest.approx(months[0] / months[1])
    assert found[10, "prefix caching"] > found[3, "prefix caching"] > 1
    assert talk.by_turns(replace(one, ttft_s=1e-6), [3]).empty


def test_sellers_bill_the_turns_of_a_conversation():
    one = service()
    asked = bills.hosted(one, "llama-3.1-70b", cached=False)
    row = bills.sellers.routes("llama-3.1-70b").query("seller == @asked.index[0]")
    sent, made = conversations.totals(one.of, returned=None)["input"], 1000
    assert asked.iloc[0] == pytest.approx(((sent * row["input"] + made * row["output"]) / 1e6).min())
    found = bills.hosted(one, "llama-3.1-70b", cached=True)
    assert (found <= asked.reindex(found.index) + 1e-12).all()
