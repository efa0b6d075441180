"""Serverless or self-hosted: bills by hand, the crossing against a search, limits of idle machines, and probabilities."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from costpertoken import InputError, Workload, tables
from costpertoken.answers import crossing
from costpertoken.answers import serverless as own
from costpertoken.evidence import sellers
from costpertoken.evidence.uncertain import LEVEL
from costpertoken.fleet import profiles
from costpertoken.model.records import UnknownName

WORK = Workload(input_tokens=1000, output_tokens=500)
LENGTHS = {"input_tokens": 1000, "output_tokens": 500}
#: What a chat on one H100 is taken as, in the test of published penalties: short and long prompts and answers.
LENGTHS_OF_CHATS = [Workload(input_tokens=i, output_tokens=o) for i, o in ((512, 128), (1000, 500))]
ON_H100 = {
    "Llama 3.1 8B": ("llama-3.1-8b", "h100-sxm", "fp8"),
    "Qwen3 30B-A3B": ("qwen3-30b-a3b", "h100-sxm", "fp8"),
    "Mixtral 8x7B": ("mixtral-8x7b", "h100-sxm", "bf16"),
    "Llama 3.3 70B": ("llama-3.3-70b", "h100-sxm", "fp8"),
}


def hosted(**changed) -> own.Hosting:
    """Own machines of plain numbers: 4 requests a second a replica, 6 USD an hour, 12 USD of staff an hour."""
    placed = own.one.deployment("llama-3.3-70b", "h100-sxm", weights="fp8", tp=2)
    plain = {"deployed": placed, "workload": WORK, "capacity_per_s": 4.0, "full_per_s": 5.0, "usd_per_hour": 6.0,
             "staff_usd_per_hour": 12.0, "egress_usd": 0.0, "interval": (0.8, 1.25),
             "rents_usd_per_hour": (4.0, 6.0, 9.0)}  # fmt: skip
    return own.Hosting(**{**plain, **changed})


# ---- sellers


def test_a_seller_is_one_row_whatever_the_lists_call_it():
    rows = sellers.bills("llama-3.3-70b", **LENGTHS)
    assert rows["seller"].is_unique and {"Amazon Bedrock", "Together", "Novita"} <= set(rows["seller"])
    assert not rows["seller"].str.contains("Openrouter|Hyperbolic", case=False).any()
    assert rows["usd_per_request"].is_monotonic_increasing


def test_a_bill_by_hand():
    rows = sellers.bills("llama-3.3-70b", **LENGTHS).set_index("seller")
    together, nebius = rows.loc["Together"], rows.loc["Nebius"]
    assert together["usd_per_request"] == pytest.approx(0.88e-6 * 1500)
    assert together["usd_per_mtok"] == pytest.approx(0.88 * 3)
    assert together["batched_usd_per_request"] == pytest.approx(0.44e-6 * 1500)
    cached = sellers.bills("llama-3.3-70b", **LENGTHS, cached_share=0.5).set_index("seller")
    assert cached.at["Nebius", "usd_per_request"] == pytest.approx((500 * 0.13 + 500 * 0.013 + 500 * 0.40) / 1e6)
    assert nebius["usd_per_request"] > cached.at["Nebius", "usd_per_request"]
    assert cached.at["Together", "usd_per_request"] == pytest.approx(together["usd_per_request"])  # none listed


def test_no_route_is_dearer_with_a_batch_discount_and_half_of_it_is_half_way():
    all_of_it, half, none = (
        sellers.bills("qwen3-32b", **LENGTHS, batch_share=b).set_index("seller") for b in (1, 0.5, 0)
    )
    mean = (all_of_it["usd_per_request"] + none["usd_per_request"]) / 2
    pd.testing.assert_series_equal(half["usd_per_request"].sort_index(), mean.sort_index(), check_names=False)
    assert (all_of_it["usd_per_request"] <= none["usd_per_request"].reindex(all_of_it.index)).all()


@pytest.mark.parametrize("cached_share", [0.0, 0.7])
@pytest.mark.parametrize("model_id", ["llama-3.3-70b", "deepseek-v3", "qwen3-32b"])
def test_the_quick_price_is_that_of_the_bills(model_id, cached_share):
    rows = sellers.bills(model_id, **LENGTHS, cached_share=cached_share)["usd_per_mtok"]
    load = {**LENGTHS, "cached_share": cached_share}
    found = [sellers.price_of(model_id, which, **load) for which in ("cheapest", "median", "dearest")]
    assert found == pytest.approx([rows.min(), rows.median(), rows.max()])


def test_a_seller_that_does_not_sell_it_has_no_price_and_an_unsold_model_is_refused():
    assert np.isnan(sellers.price_of("qwen2.5-72b", "Amazon Bedrock", **LENGTHS))
    with pytest.raises(UnknownName, match="nobody on record sells"):
        sellers.routes("llama-3.3-70")


def test_every_alias_and_every_row_left_out_is_on_record():
    rows = tables.read("api_prices")
    assert set(sellers.NAMES) | set(sellers.NO_SELLER) <= set(rows["provider"])
    assert set(sellers.NOT_BELIEVED) <= set(rows["provider_model_key"])


def test_terms_name_sellers_that_sell():
    names = {sellers.seller(name) for name in tables.read("api_prices").query("kind == 'open'")["provider"]}
    assert set(tables.read("api_terms")["provider"]) - {sellers.ANY} <= names
    assert sellers.term("Fireworks").value == 0.5 and sellers.term("Nebius").value == 0.0
    assert sellers.term("Nebius", "rate-limit").value == 0.0 and sellers.term("Together", "rate-limit").value == 1.0


# ---- own machines


def test_own_bill_by_hand():
    """3 a second, twice that at the peak: two replicas of 4; 12 USD of rent and 12 of staff for 10,800 requests an hour."""
    of = hosted(peak_to_mean=2.0)
    assert own.replicas(of, 3.0) == 2
    assert own.usd_per_request(of, 3.0) == pytest.approx(24 / 10800)
    assert own.usd_per_mtok(of, 3.0) == pytest.approx(24 / 10800 / 500 * 1e6)
    assert own.replicas(of, 0.001) == 1 and own.replicas(hosted(least_replicas=2), 0.001) == 2
    slow = own.usd_per_request(of, 3.0, slower=2.0, rent=0.5, staff=2.0)
    assert slow == pytest.approx((3 * 6 * 0.5 + 24) / 10800)


def test_parts_sum_to_the_bill():
    of = hosted(peak_to_mean=3.0, egress_usd=1e-5, least_replicas=2)
    for load in (0.01, 1.0, 7.0, 300.0):
        parts = own.parts_usd_per_month(of, load)
        assert min(parts.values()) >= 0
        assert sum(parts.values()) == pytest.approx(own.usd_per_request(of, load) * load * own.MONTH_S)


def test_cost_diverges_without_load_and_tends_to_the_saturated_one():
    of = hosted(peak_to_mean=2.0, least_replicas=2)
    tiny = np.array([1e-6, 1e-7])
    cost = own.usd_per_mtok(of, tiny)
    assert cost[1] / cost[0] == pytest.approx(10) and cost[0] > 1e5
    many = own.usd_per_mtok(of, 1e7)
    assert many == pytest.approx(own.saturated_usd_per_mtok(of), rel=1e-4)
    assert own.saturated_usd_per_mtok(of) == pytest.approx(2 * 6 / (4 * 3600) / 500 * 1e6)
    loads = np.geomspace(0.01, 1e4, 400)
    assert (own.usd_per_mtok(of, loads) >= own.saturated_usd_per_mtok(of) * (1 - 1e-9)).all()


def test_idle_penalty_by_hand_and_in_both_limits():
    of = hosted()
    assert own.idle_penalty(of, [0.5, 2.5, 5.0, 6.0]) == pytest.approx([10.0, 2.0, 1.0, 10 / 6])
    assert own.idle_penalty(of, 1e-6) == pytest.approx(5e6) and own.idle_penalty(of, 5e6) == pytest.approx(1.0)
    assert own.idle_penalty(hosted(least_replicas=2), 0.5) == pytest.approx(20.0)


def test_published_penalties_lie_inside_the_models_range():
    """arXiv 2606.11690: 2.5 to 24 times at 1 to 10 requests a second on the same H100."""
    said = tables.read("ownership").query("quantity == 'idle_penalty'")["value"]
    rows = crossing.penalties(ON_H100, LENGTHS_OF_CHATS, (1, 2, 5, 10))
    assert rows["penalty"].min() < said.min() == 2.5 and rows["penalty"].max() > said.max() == 24
    for end in said:
        assert crossing.nearest(rows, end)["penalty"] == pytest.approx(end, rel=0.25)


# ---- the crossing


@pytest.mark.parametrize("peak", [1.0, 2.5])
@pytest.mark.parametrize("least", [1, 3])
@pytest.mark.parametrize("price", [1.2, 2.0, 5.0, 40.0])
def test_break_even_against_a_search(price, least, peak):
    of = hosted(peak_to_mean=peak, least_replicas=least, egress_usd=2e-5)
    found = own.break_even_requests_per_s(of, price)
    loads = np.geomspace(1e-3, 2e3, 400_000)
    cheaper = own.usd_per_mtok(of, loads) <= price
    if not cheaper.any():
        assert np.isinf(found)
    else:
        assert found == pytest.approx(loads[np.argmax(cheaper)], rel=1e-3)
        assert own.usd_per_mtok(of, found) <= price * (1 + 1e-9)


def test_there_is_no_break_even_below_the_saturated_cost():
    of = hosted()
    limit = own.saturated_usd_per_mtok(of)
    assert np.isinf(own.break_even_requests_per_s(of, 0.999 * limit))
    assert np.isfinite(own.break_even_requests_per_s(of, 1.01 * limit))
    assert np.isinf(own.break_even_requests_per_s(hosted(egress_usd=1.0), 5.0))


def test_while_the_least_replicas_suffice_a_faster_engine_moves_no_break_even():
    price = 40.0
    slow, fast = (own.break_even_requests_per_s(hosted(capacity_per_s=c), price) for c in (4.0, 8.0))
    assert slow == fast == pytest.approx((6 + 12) / (price / 1e6 * 500 * 3600))


# ---- probabilities


def test_two_piece_draws_have_the_quantiles_asked_for():
    chance = np.random.default_rng(1).standard_normal(400_000)
    low, mid, high = np.quantile(own.two_piece(chance, 0.8, 1.5), [0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2])
    assert (low, mid, high) == pytest.approx((0.8, 1.0, 1.5), rel=5e-3)


def test_probability_in_closed_form():
    """One seller, one rent, no staff, endless load: ln(own / price) is normal, and the chance is Phi of its mean over sigma."""
    of = hosted(staff_usd_per_hour=0.0, interval=(1 / 1.3, 1.3), rents_usd_per_hour=())
    limit = own.saturated_usd_per_mtok(of)
    drawn = own.draws(of, [1.2 * limit], n=100_000)
    sigma = np.log(1.3) / norm.ppf(0.5 + LEVEL / 2)
    found = own.cheaper_probability(of, drawn, 1e6)
    assert found == pytest.approx(norm.cdf(np.log(1.2) / sigma), abs=0.01)


def test_probability_grows_with_the_load_and_falls_with_the_peak():
    of = hosted()
    drawn = own.draws(of, [2.0, 3.0, 8.0])
    rows = crossing.regions(of, drawn, [0.01, 10.0, 1000.0], [1.0, 4.0])
    chance = rows.pivot(index="peak_to_mean", columns="requests_per_s", values="chance").to_numpy()
    assert (np.diff(chance, axis=1) >= 0).all() and (np.diff(chance, axis=0) <= 0).all()
    assert chance[:, 0].max() == 0.0 and 0 < chance[0, -1] <= 1


def test_draws_are_seeded_and_choice_is_the_typical_one():
    of = hosted()
    one, other = (own.draws(of, [1.0, 9.0]) for _ in range(2))
    assert np.array_equal(one.slower, other.slower) and np.array_equal(one.api_usd_per_mtok, other.api_usd_per_mtok)
    assert own.choice(of, [50.0, 60.0, 70.0], 100.0) == ("own machines", 1.0)
    assert own.choice(of, [0.1, 0.1], 100.0) == ("API", 1.0)


# ---- by name


def test_placement_is_the_cheapest_degree_within_the_limits():
    at, rate = own.placement("llama-3.3-70b", "h100-sxm", WORK, weights="fp8")
    each = {tp: own.capacity_per_s(own.replace(at, tp=tp), WORK) / tp for tp in (1, 2, 4, 8)}
    assert at.tp == max((tp for tp in each if each[tp] == each[tp]), key=each.get)
    assert rate == pytest.approx(each[at.tp] * at.tp)
    assert rate < own.one.requests_at_most(at, WORK)  # limits and randomness take their part
    with pytest.raises(InputError, match="smallest that fits|no tensor-parallel degree"):
        own.placement("llama-3.1-405b", "l4", WORK, weights="bf16")


def test_hosting_by_name_and_its_figures():
    of = own.hosting("llama-3.3-70b", "h100-sxm", WORK, weights="fp8", staff_fte=0.5, peak_to_mean=2.0)
    price = tables.headline_price("h100-sxm").usd_per_hour
    assert of.usd_per_hour == pytest.approx(of.deployed.tp * price)
    assert of.staff_usd_per_hour == pytest.approx(0.5 * 250000 / 8760)
    assert of.egress_usd == 0.0  # a neocloud
    cloud = own.hosting("llama-3.3-70b", "h100-sxm", WORK, weights="fp8", cloud_class="hyperscaler")
    assert cloud.egress_usd == pytest.approx(500 * 250 / 1e9 * 0.09)
    drawn = own.draws(of, own.bills(of, "llama-3.3-70b")["usd_per_mtok"])
    assert np.median(drawn.rent) == pytest.approx(1.0, rel=0.05)
    frame = crossing.curve(of, drawn, [0.1, 1.0, 10.0])
    assert (frame["low"] <= frame["usd"]).all() and (frame["usd"] <= frame["high"]).all()
    assert crossing.ratio(of, 2.0, 5.0) == pytest.approx(own.usd_per_mtok(of, 5.0) / 2.0)
    moved = crossing.ratio(of, 2.0, 5.0, staff_fte=1.0, slower=1.1, api_usd_per_mtok=4.0, peak_to_mean=1.0)
    changed = own.replace(of, staff_usd_per_hour=250000 / 8760, peak_to_mean=1.0)
    assert moved == pytest.approx(own.usd_per_mtok(changed, 5.0, slower=1.1) / 4.0)


def test_full_use_is_below_every_service_and_months_add_up():
    best = crossing.full_use("llama-3.3-70b", WORK)
    of = own.hosting("llama-3.3-70b", "h100-sxm", WORK, weights="fp8")
    assert best["output_value"] < own.saturated_usd_per_mtok(of)
    rows = crossing.below("llama-3.3-70b", 1.0, WORK)
    assert len(rows) and (rows["usd_per_mtok"] < 1.0).all()
    assert crossing.tokens_per_month(of, 1.0) == pytest.approx(1500 * 365 / 12 * 86400)
    assert crossing.usd_per_month(2.0, of, 1.0) == pytest.approx(1000e-6 * 365 / 12 * 86400)


def test_a_cold_start_is_the_sum_of_its_parts():
    parts = crossing.start_parts_s(hosted())
    assert parts["weights"] == pytest.approx(70.6 / 5, rel=0.05)  # GB of FP8 weights at 5 GB/s
    assert (parts["machine"], parts["compile"], parts["engine"]) == (15, 39, 30)


def test_going_to_zero_caps_the_cost_of_a_request_at_a_start_and_a_timeout():
    """A lone request pays its start, itself and the timeout; always on diverges. Near one replica's capacity both agree."""
    of = hosted(staff_usd_per_hour=0.0)
    start = sum(crossing.start_parts_s(of).values())
    alone = own.one.serve_workload(of.deployed, own.replace(WORK, concurrency=1.0))
    held = float(alone.ttft_s + 500 * alone.tpot_s)
    rare = crossing.to_zero_usd_per_mtok(of, 1e-9, premium=1.5, idle_s=60.0)
    assert rare == pytest.approx(1.5 * 6.0 * (start + held + 60) / 3600 / 500 * 1e6, rel=1e-3)
    assert rare < own.usd_per_mtok(of, 1e-9)
    busy = crossing.to_zero_usd_per_mtok(of, [3.9, 7.9], premium=1.0, idle_s=60.0)
    assert busy == pytest.approx(own.usd_per_mtok(of, [3.9, 7.9]), rel=1e-3)
    assert crossing.to_zero_usd_per_mtok(of, 1.0) > crossing.to_zero_usd_per_mtok(of, 1.0, premium=1.0)


def test_words_of_a_load():
    assert crossing.met(hosted(), np.inf) == "there is none"
    assert crossing.met(hosted(), 2.0) == "it is 2.00 requests a second, or 7.88 billion tokens a month"
    rows = crossing.penalties({"Llama 3.1 8B": ON_H100["Llama 3.1 8B"]}, [WORK], [1.0])
    assert crossing.seen(rows.iloc[0]) == "Llama 3.1 8B at 1.0 requests a second, with 1,000 tokens in and 500 out"


def test_one_queue_for_many_replicas_gains_a_little():
    at, rate = own.placement("llama-3.3-70b", "h100-sxm", WORK, weights="fp8")
    many = own.capacity_per_s(at, WORK, n_replicas=8)
    assert rate <= many <= min(1.1 * rate, own.one.requests_at_most(at, WORK))


def test_following_a_flat_load_pays_for_all_of_it():
    found = crossing.following(hosted(peak_to_mean=1.0), 10.0, [60.0, 3600.0])
    assert found["ahead"].tolist() == found["perfect"].tolist() == [100.0, 100.0] and (found["late"] == 0).all()


def test_following_a_week_by_hand_and_by_law():
    of = hosted(peak_to_mean=2.0, least_replicas=1)
    found = crossing.following(of, 40.0, [60.0, 900.0, 3600.0])
    week = 40.0 * profiles.week(peak_to_mean=2.0)
    by_hour = 100 * np.ceil(week / 4.0).sum() / (np.ceil(week.max() / 4.0) * week.size)
    assert found["perfect"].iloc[0] == pytest.approx(by_hour, rel=0.02)  # by the minute instead of the hour
    assert (np.diff(found["ahead"]) >= 0).all() and (np.diff(found["late"]) >= 0).all()
    assert (found["perfect"] <= found["ahead"]).all() and found["ahead"].max() < 100 and found["late"].max() > 0
