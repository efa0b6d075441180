"""Public accounts: arithmetic by hand, each reconciliation by substitution, and laws of the falls of prices and of the rents."""

import numpy as np
import pandas as pd
import pytest

from costpertoken import Workload, serve, tables
from costpertoken.answers import reconcile_prices as prices
from costpertoken.answers import reconcile_served as served
from costpertoken.answers import reconciliations as accounts
from costpertoken.answers.reconciliations import Stated
from costpertoken.evidence import ownership as own
from costpertoken.model.records import InputError

DAY = accounts.account("deepseek-day")
LIST = {"usd_per_hour": 2.0, "cached_share": 342 / 608, "output_usd": 2.19, "fresh_usd": 0.55}


def by_figure(lines):
    return pd.DataFrame(lines).set_index("figure")


# ---- accounts and their digits


def test_an_account_is_read_with_its_ends():
    assert DAY["input_tokens"] == (608, 607.5, 608.5)
    assert DAY["usd_per_hour"] == (2, 2, 2)
    with pytest.raises(InputError, match="on record: a16z-llmflation"):
        accounts.account("nobody")


@pytest.mark.parametrize("name", sorted(set(tables.read("accounts")["account"])))
def test_every_figure_lies_within_what_its_digits_stand_for(name):
    assert all(one.low <= one.value <= one.high for one in accounts.account(name).values())


def test_the_account_agrees_with_the_rows_of_other_tables():
    told = tables.read("techniques").query("source == 'deepseek-inference-overview'").set_index("quantity")["value"]
    assert told["daily GPU cost at $2 per H800-hour"] == DAY["cost_usd"].value
    assert told["decode output tokens per s per 8xH800 node"] == 1000 * DAY["decode_tok_per_s"].value
    assert told["prefill input tokens per s per 8xH800 node"] == 1000 * DAY["prefill_tok_per_s"].value
    assert own.prior("rental_price", "operator-assumption", "h800-sxm").value == DAY["usd_per_hour"].value


def test_a_span_takes_every_corner_and_exact_inputs_do_not_move():
    found = accounts.span(lambda a, b: a / b, {"a": Stated(10, 9, 11), "b": Stated(2, 1, 4)})
    assert found == (5, 9 / 4, 11)
    assert accounts.span(lambda a: 3 * a, {"a": Stated(2, 2, 2)}) == (6, 6, 6)


@pytest.mark.parametrize(
    ("computed", "word"), [((10, 9, 11), "yes"), ((12, 11.5, 13), "yes"), ((13, 11.6, 14), "no"), ((8, 7, 8.4), "no")]
)
def test_a_line_adds_up_if_the_ranges_overlap(computed, word):
    row = accounts.line("x", "USD", Stated(10, 8.5, 11.5), Stated(*computed))
    assert row["adds_up"] == word and row["gap"] == pytest.approx(10 * computed[0] - 100)


# ---- DeepSeek's day


def test_the_days_sums_by_hand():
    lines = by_figure(accounts.day_lines(DAY))
    assert lines.at["Cost", "computed"] == pytest.approx(226.75 * 8 * 24 * 2) == 87072
    assert lines.at["Revenue", "computed"] == pytest.approx(342e3 * 0.14 + 266e3 * 0.55 + 168e3 * 2.19) == 562100
    assert lines.at["Profit over cost, from nodes and tokens", "computed"] == pytest.approx(100 * (562100 / 87072 - 1))
    assert lines.at["Profit over cost, from stated sums", "computed"] == pytest.approx(100 * (562027 / 87072 - 1))


def test_the_nodes_close_with_cache_hits_and_only_then():
    lines = by_figure(accounts.day_lines(DAY))
    with_hits = 608e9 / 73.7e3 / 86400 + 168e9 / 14.8e3 / 86400
    assert lines.at["Nodes, rate with cache hits", "computed"] == pytest.approx(with_hits)
    assert lines.at["Nodes, rate without them", "computed"] == pytest.approx(266e9 / 73.7e3 / 86400 + 168e9 / 14.8e3 / 86400)
    assert lines["adds_up"].drop("Nodes, rate without them").eq("yes").all()
    assert lines.at["Nodes, rate without them", "adds_up"] == "no"


def test_nodes_put_back_give_the_tokens():
    n = accounts.nodes_for(tokens=608, tok_per_s=73.7)
    assert n * 73.7e3 * 86400 == pytest.approx(608e9)


def test_the_two_margins_say_the_same():
    over_cost, over_revenue = (f(revenue=562027, cost=87072) for f in (accounts.profit_over_cost, accounts.profit_over_revenue))
    assert over_revenue / 100 == pytest.approx(over_cost / (100 + over_cost))


def test_the_readers_day_is_the_accounts_at_its_prices():
    found = accounts.your_day(DAY, **LIST)
    assert found["cost"] == pytest.approx(87072) and found["revenue"] == pytest.approx(562100)
    assert found["nodes"] == pytest.approx(226.75)
    assert sum(found[part] for part in ("cached input", "fresh input", "output")) == pytest.approx(found["revenue"])
    assert found["prefill nodes"] + found["decode nodes"] == pytest.approx(found["cost"])


def test_the_rent_that_a_margin_implies_gives_the_margin_back():
    revenue = accounts.your_day(DAY, **LIST)["revenue"]
    for wanted in (545.0, 100.0, 0.0, -50.0):
        rent = revenue / (1 + wanted / 100) / (226.75 * 8 * 24)
        assert accounts.your_day(DAY, **{**LIST, "usd_per_hour": rent})["profit"] == pytest.approx(wanted, abs=1e-9)


def test_the_price_that_a_margin_implies_gives_the_margin_back():
    output = ((1 + 5.45) * 87072 - 342e3 * 0.14 - 266e3 * 0.55) / 168e3
    assert accounts.your_day(DAY, **{**LIST, "output_usd": output})["profit"] == pytest.approx(545)


def test_laws_of_the_readers_day():
    base = accounts.your_day(DAY, **LIST)
    half = accounts.your_day(DAY, **LIST, paid_share=0.5)
    assert half["revenue"] == pytest.approx(base["revenue"] / 2) and half["cost"] == base["cost"]
    cold = accounts.your_day(DAY, **{**LIST, "cached_share": 0.0})
    assert cold["nodes"] > base["nodes"] and cold["decode nodes"] == base["decode nodes"]
    assert cold["prefill nodes"] == pytest.approx(base["prefill nodes"] / (1 - 342 / 608))
    peak = accounts.your_day(DAY, **LIST, nodes=278)
    assert peak["cost"] == pytest.approx(278 * 8 * 24 * 2)
    with pytest.raises(InputError, match="paid_share"):
        accounts.your_day(DAY, **LIST, paid_share=0.0)


def test_the_mean_request_gives_context_and_volumes_back():
    isl, osl = accounts.lengths(DAY)
    assert isl + osl / 2 == pytest.approx(4989) and isl / osl == pytest.approx(608 / 168)


# ---- NVIDIA and a16z


def test_nvidias_costs_by_hand():
    lines = by_figure(accounts.nvidia_lines(accounts.account("nvidia-tco"), accounts.account("nvidia-rack")))
    assert lines.at["H200, a million tokens", "computed"] == pytest.approx(1.41 / (90 * 3600) * 1e6)
    assert lines.at["GB300, a million tokens", "computed"] == pytest.approx(2.65 / (6000 * 3600) * 1e6)
    assert lines.at["Cost, H200 over GB300, prices and rates", "computed"] == pytest.approx(1.41 / 2.65 * 6000 / 90)
    assert lines.at["Revenue over investment", "computed"] == 15
    assert lines["adds_up"].eq("yes").all()


def test_an_implied_rate_put_back_is_the_price():
    rate = accounts.implied_tok_per_s(usd_per_hour=5.5, usd_per_mtok=0.02)
    assert float(accounts.usd_per_mtok(usd_per_hour=5.5, tok_per_s=rate)) == pytest.approx(0.02)


def test_the_widest_column_by_hand():
    column, times = accounts.widest_column("gb300", "h200-sxm")
    assert "fast link" in column and times == 72 / 8
    assert accounts.widest_column("h200-sxm", "h100-sxm") == ("the capacity of memory", pytest.approx(141 / 80))


def test_a16zs_falls_by_hand():
    lines = by_figure(accounts.a16z_lines(accounts.account("a16z-llmflation")))
    assert lines.at["Fall a year, lower score", "computed"] == pytest.approx(1000 ** (1 / 3))
    assert lines.at["Fall a year, higher score", "computed"] == pytest.approx(62 ** (1 / 1.67))
    assert lines["adds_up"].tolist() == ["yes", "yes", "no"]


# ---- falls of prices


def lists(*rows):
    frame = pd.DataFrame(rows, columns=["price_key", "date", "usd"])
    return frame.assign(date=pd.to_datetime(frame["date"]), model_id="m")


def test_the_cheapest_standing_price():
    found = prices.cheapest(lists(("a", "2024-01-01", 4), ("b", "2024-03-01", 3), ("a", "2024-05-01", 2), ("a", "2024-06-01", 5)))
    assert found["usd"].tolist() == [4, 3, 2, 3] and found["price_key"].tolist() == ["a", "b", "a", "b"]
    assert prices.changes(found)["usd"].tolist() == [4, 3, 2, 3]


@pytest.mark.parametrize("factor", [1.5, 3.0, 10.0])
def test_the_fit_finds_a_steady_fall(factor):
    dates = pd.date_range("2024-01-01", periods=9, freq="90D")
    usd = 10 / factor ** ((dates - dates[0]) / prices.YEAR).to_numpy(dtype=float)
    steps = pd.DataFrame({"date": dates, "usd": usd, "price_key": "a"})
    found = prices.fitted(steps)
    assert found.value == pytest.approx(factor) and found.low == pytest.approx(factor) == found.high
    assert prices.fitted_line(steps, dates) == pytest.approx(usd)


def test_the_interval_holds_the_fall_and_widens_with_noise():
    dates, bump = pd.date_range("2024-01-01", periods=12, freq="60D"), np.tile([1.2, 1 / 1.2], 6)
    usd = 10 / 4 ** ((dates - dates[0]) / prices.YEAR).to_numpy(dtype=float) * bump
    found = prices.fitted(pd.DataFrame({"date": dates, "usd": usd, "price_key": "a"}))
    assert found.low < 4 < found.high and found.low < found.value < found.high


def test_the_interval_is_that_of_the_steps_by_hand():
    dates = pd.to_datetime(["2024-01-01", "2025-01-01", "2026-01-01"])
    steps = pd.DataFrame({"date": dates, "usd": [8.0, 8.0 / np.e, 8.0 / np.e**4], "price_key": "a"})
    found = prices.fitted(steps)  # log falls of 1 and 3 about a slope of 2 a year: spread sqrt(2 * 2 / 1), over 2 years; t of 1
    wide = np.sqrt(2 * 2 / 1) / 2 * 3.0777
    assert np.log(found[:]) == pytest.approx([2, 2 - wide, 2 + wide], rel=0.01)


def test_the_most_within_a_year():
    rows = ("a", "2022-01-01", 8), ("a", "2024-01-01", 4), ("a", "2024-12-30", 1), ("a", "2025-01-01", 0.5)
    slow = prices.cheapest(lists(*rows))
    assert prices.most_in_a_year(slow) == 8  # 8 until 2024-01-01, and 1 less than a year after it
    assert prices.most_in_a_year(prices.cheapest(lists(("a", "2022-01-01", 8), ("a", "2023-01-01", 9)))) == 1


def test_two_prices_make_a_fall_without_an_interval():
    found = prices.fitted(prices.cheapest(lists(("a", "2024-01-01", 4), ("a", "2024-12-31", 1))))
    assert found.value == pytest.approx(4, rel=0.01) and np.isnan(found.low)


def test_the_window_begins_with_the_price_that_stood():
    steps = prices.cheapest(lists(("a", "2022-01-01", 8), ("a", "2024-01-01", 4), ("a", "2024-12-31", 2)))
    inside = prices.since(steps, 2.0)
    assert inside["usd"].tolist() == [8, 4, 2]
    assert inside["date"].iloc[0] == inside["date"].iloc[-1] - 2 * prices.YEAR


def test_falls_by_model_and_lists_that_moved():
    rows = lists(("a", "2024-01-01", 8), ("b", "2024-02-01", 9), ("a", "2026-01-01", 2))
    found = prices.by_model(rows, 3.0)
    assert len(found) == 1 and found["factor"].iloc[0] == pytest.approx(2, rel=0.01)
    assert prices.repriced(rows, 3.0) == (1, 2)


def test_a_higher_level_has_fewer_models_and_no_cheaper_price():
    history, last = prices.history(), 0.0
    assert set(prices.at_least("llama-3.2-3b")) < set(prices.at_least("llama-3.2-3b", ("",)))
    assert set(prices.at_least("llama-3.1-70b")) < set(prices.at_least("llama-3.1-8b")) < set(prices.at_least("llama-3.2-3b"))
    for smallest in ("llama-3.2-3b", "llama-3.1-8b", "llama-3.1-70b"):
        usd = prices.cheapest(history[history["model_id"].isin(prices.at_least(smallest))])["usd"].iloc[-1]
        assert usd >= last
        last = usd


def test_the_history_leaves_out_what_is_not_one_sellers_price_of_one_model():
    keys = prices.history()["price_key"]
    other = "openrouter/|hyperbolic/|-latest|r1-7b-qwen|/deepseek-chat|/deepseek-reasoner|gpt-3.5"
    assert not keys.str.contains(other).any() and len(keys) > 300


# ---- machines


@pytest.fixture(scope="module")
def work():
    isl, osl = accounts.lengths(DAY)
    return Workload(input_tokens=isl, output_tokens=osl, cached_share=0.5625)


def test_hiding_the_exchange_never_slows_a_pool(work):
    pool = served.pool("deepseek-r1", "h800-sxm")
    opened, hidden = (served.rates(pool, work, user_tok_per_s=21, node=8, exchange=way) for way in (True, False))
    assert hidden.prefill > opened.prefill > 0 and hidden.decode > opened.decode > 0


def test_rates_are_for_a_node_and_fall_with_the_speed_asked(work):
    pool = served.pool("deepseek-r1", "h800-sxm")
    at = {"exchange": False}
    slow, fast = (served.rates(pool, work, user_tok_per_s=speed, node=8, **at) for speed in (10, 30))
    two = served.rates(pool, work, user_tok_per_s=10, node=16, **at)
    assert slow.decode > fast.decode and slow.prefill == fast.prefill
    assert two.decode == pytest.approx(2 * slow.decode) and two.prefill == pytest.approx(2 * slow.prefill)


def test_a_pool_that_does_not_fit_has_no_rate(work):
    small = tables.deployment("deepseek-r1", "h100-sxm", weights="fp8", tp=1, dp=8, ep=8)  # 671 GB in 640
    gone = served.rates(small, work, user_tok_per_s=21, node=8, exchange=True)
    assert np.isnan(gone.prefill) and np.isnan(gone.decode)


def test_requests_in_flight_put_back_give_the_rate(work):
    of = tables.deployment("deepseek-r1", "h200-sxm", weights="fp8", tp=8)
    found = served.flight_at(of, work, 90)
    sizes = {"input_tokens": work.input_tokens, "output_tokens": work.output_tokens, "cached_share": 0.5625}
    out = serve(of, **sizes, concurrency=found["flight"])
    assert float(out.output_tok_per_s) / 8 == pytest.approx(90, rel=0.01)
    assert np.isnan(served.flight_at(of, work, 1e9)["flight"])


@pytest.mark.parametrize("used", [0.2, 0.7, 1.0])
def test_the_parts_of_a_rent_sum_to_it(used):
    found = served.rent_gap("h100-sxm", {"a": 2.99, "b": 1.0}, utilisation=used)
    assert (found[["capital", "running", "idle", "rest"]].sum(axis=1)).tolist() == pytest.approx([2.99, 1.0])
    owned = own.owned_usd_per_hour(own.ownership("h100-sxm"))
    assert found["owning"].tolist() == pytest.approx([owned, owned])
    even = served.rent_gap("h100-sxm", {"a": 2.99}, utilisation=owned / 2.99)
    assert even["rest"].iloc[0] == pytest.approx(0, abs=1e-9) and even["even"].iloc[0] == pytest.approx(owned / 2.99)
