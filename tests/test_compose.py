"""Compositions of levers: what every subset, order and share must satisfy; and what each lever can gain at most."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from costpertoken import tables
from costpertoken.answers import baseline, compose, levers, together
from costpertoken.answers.estimate import deployment, headline_price
from costpertoken.model.counts import count
from costpertoken.model.levers import byte_floor_s, compute_floor_s
from costpertoken.model.records import InputError, Workload
from costpertoken.model.setup import run, setups_of
from costpertoken.model.transformer import weight_bytes

#: One lever at most of each row: levers of one aspect contradict each other.
CHOICES = (
    ("gptq", "fp8", "int8", "weights:format=fp8"),
    ("cache:format=fp8", "cache:format=int8"),
    ("flash-attention",),
    ("paging",),
    ("prefix-caching", "prefix-caching:cached_share=0.9,n_prefixes=3"),
    ("continuous-batching", "chunked-prefill"),
    ("speculation:draft=llama-3.2-1b", "medusa", "eagle", "eagle:acceptance=0"),
    ("routing:small=llama-3.2-1b", "cascade:small=llama-3.2-3b"),
)
SMALL = ("flash-attention", "paging", "continuous-batching", "fp8", "speculation:draft=llama-3.2-1b")
machines = st.sampled_from(["a100-80gb-sxm", "h100-sxm", "b200-sxm", "mi300x"])
models = st.sampled_from(["llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b", "qwen3-30b-a3b", "mistral-7b"])
flights = st.one_of(st.none(), st.floats(1, 2000))


@st.composite
def starts(draw, load=flights):
    """A baseline, early or of today, of any model on eight accelerators."""
    lengths = {"input_tokens": draw(st.integers(50, 4000)), "output_tokens": draw(st.integers(20, 1500))}
    placed = deployment(draw(models), draw(machines), weights="bf16", tp=draw(st.sampled_from([4, 8])))
    made = draw(st.sampled_from([baseline.early, baseline.current]))
    return made(placed, Workload(**lengths, concurrency=draw(load)), output_cv=draw(st.floats(0, 1.5)))


def some_levers(draw) -> list[levers.Lever]:
    """A subset of levers that do not contradict each other."""
    picked = [draw(st.sampled_from([None, *row])) for row in CHOICES]
    return [levers.parse(name) for name in picked if name]


subsets = st.composite(some_levers)


def early(tp=4, **load):
    placed = deployment("llama-3.1-70b", "h100-sxm", weights="bf16", tp=tp)
    return baseline.early(placed, Workload(**({"input_tokens": 1000, "output_tokens": 300} | load)))


def composed(start, names=SMALL, usd_per_hour=2.0):
    return compose.compose(start, [levers.parse(name) for name in names], usd_per_hour=usd_per_hour)


def made_up() -> compose.Composition:
    """Two levers: a halves the cost alone and quarters it after b, b alone makes it dearer by a quarter."""
    usd = {"": 8.0, "a": 4.0, "b": 10.0, "ab": 2.5}
    return compose.Composition(
        baseline=None, levers=tuple(replace(levers.lever("paging"), name=name) for name in "ab"), usd_per_hour=1.0,
        usd={frozenset(names): value for names, value in usd.items()},
    )  # fmt: skip


def test_all_orders_by_hand():
    a, b = compose.all_orders(made_up()).to_dict("records")
    assert (a["alone"], a["last"], a["least"], a["most"]) == (2, 4, 2, 4)
    assert (b["alone"], b["last"], b["least"], b["most"]) == (0.8, 1.6, 0.8, 1.6)
    assert a["shapley"] == pytest.approx(math.sqrt(2 * 4)) and b["shapley"] == pytest.approx(math.sqrt(0.8 * 1.6))
    assert a["share"] + b["share"] == pytest.approx(100)


def test_cost_by_hand():
    """The bill of a request's accelerator seconds, over its answer."""
    start = early(concurrency=8)
    pool = run(start).pools[0][1]
    per_token_s = 4 / float(pool.requests_per_s) / 300
    assert compose.cost(start, 3.6) == pytest.approx(per_token_s * 1000)


@drawn(start=starts(), pulled=subsets(), shuffled=st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_a_waterfall_sums_exactly_and_ends_at_all_levers(start, pulled, shuffled):
    pulled = pulled[:5]
    try:
        found = compose.compose(start, pulled, usd_per_hour=2.5)
    except InputError:
        assume(False)
    order = [one.name for one in pulled]
    shuffled.shuffle(order)
    rows = compose.waterfall(found, order)
    assert list(rows["lever"]) == ["baseline", *order]
    parts = rows["at_same_batch_usd"] + rows["by_admitting_usd"]
    assert (parts.round(compose.DIGITS) == rows["saved_usd"].round(compose.DIGITS)).all()
    ends = rows["usd"].iloc[0], rows["usd"].iloc[-1]
    assert round(ends[0] - rows["saved_usd"].sum(), compose.DIGITS) == ends[1]
    assert ends[1] == round(found.usd[frozenset(order)], compose.DIGITS)


def test_orders_by_brute_force():
    """Every order's value lies within the range, and the share is the mean over all orders."""
    found = composed(early(tp=8))
    names, logs = [one.name for one in found.levers], {}
    for order in permutations(names):
        for at, name in enumerate(order):
            before, after = found.usd[frozenset(order[:at])], found.usd[frozenset(order[: at + 1])]
            logs.setdefault(name, []).append(math.log(before / after))
    for row in compose.all_orders(found).itertuples():
        assert min(logs[row.lever]) == pytest.approx(math.log(row.least))
        assert max(logs[row.lever]) == pytest.approx(math.log(row.most))
        assert np.mean(logs[row.lever]) == pytest.approx(math.log(row.shapley))


@drawn(start=starts(), pulled=subsets())
@settings(max_examples=15, deadline=None)
def test_shares_multiply_to_the_whole(start, pulled):
    try:
        found = compose.compose(start, pulled[:4], usd_per_hour=2.5)
    except InputError:
        assume(False)
    whole = found.usd[frozenset()] / found.usd[frozenset(one.name for one in found.levers)]
    rows = compose.all_orders(found)
    assert math.prod(rows["shapley"]) == pytest.approx(whole) if len(rows) else whole == 1
    if len(rows) and abs(math.log(whole)) > 1e-6:
        assert rows["share"].sum() == pytest.approx(100)


@drawn(start=starts(), pulled=subsets())
@settings(max_examples=80, deadline=None)
def test_no_composition_passes_its_floors(start, pulled):
    """At the data sheet's own rates: the calibrated shares of bandwidth and peak are at most 1 (links' may be more, and are
    in no floor). The byte floor holds at the batch that was reached."""
    setup = levers.pull(start, pulled)
    outcome = run(setup)
    taken_s = float(sum(outcome.accelerator_s))
    assume(not math.isnan(taken_s))
    assert taken_s >= sum(share * compute_floor_s(one) for share, one in setups_of(setup))
    for (share, one), (_, pool) in zip(setups_of(setup), outcome.pools, strict=True):
        seconds = pool.n_accelerators / pool.requests_per_s
        assert share == 0 or seconds >= byte_floor_s(one, batch=float(pool.batch))


def test_calibrated_shares_of_the_data_sheet_are_at_most_one():
    rows = tables.read("calibration")
    floors = ["weight_bandwidth", "cache_bandwidth", "expert_bandwidth", "dense_peak", "expert_peak", "attention_peak"]
    assert (rows[rows["constant"].isin(floors)]["value"] <= 1).all()


@drawn(start=starts(load=st.floats(1, 4)), pulled=subsets(), seed=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_pulling_does_not_matter(start, pulled, seed):
    shuffled = list(pulled)
    seed.shuffle(shuffled)
    one, other = levers.pull(start, pulled), levers.pull(start, shuffled)
    assert compose.cost(one, 1.0) == pytest.approx(compose.cost(other, 1.0), rel=1e-12, nan_ok=True)


def most_gain(start, after, name: str) -> float:
    """What a lever can divide the cost by at most while the batch stays: what it frees of bytes, FLOP or passes, were the
    step nothing else."""
    work, was, now = start.workload, count(start.deployment), count(after.deployment)
    at, to = start.deployment, after.deployment
    freed = sum(weight_bytes(at.model, at.precision).values()) / sum(weight_bytes(to.model, to.precision).values())
    classes = [part for part in ("dense", "expert", "head") if getattr(was, f"{part}_bytes")]
    bytes_of = max(getattr(was, f"{part}_bytes") / getattr(now, f"{part}_bytes") for part in classes)
    faster = max(
        getattr(now, f"{part}_flop_per_s") * getattr(to.efficiency, f"{part}_peak")
        / (getattr(was, f"{part}_flop_per_s") * getattr(at.efficiency, f"{part}_peak"))
        for part in classes
    )  # fmt: skip
    longest = work.output_tokens / float(run(start).pools[0][1].slot_occupancy)
    grown = (work.input_tokens + longest / 2) / (work.input_tokens + work.output_tokens / 2)
    cache = was.cache_bytes_per_token / now.cache_bytes_per_token
    assert freed <= bytes_of * (1 + 1e-9)
    return {
        "gptq": bytes_of,
        "weights": bytes_of,
        "fp8": max(bytes_of, faster),
        "cache": cache,
        "mqa": at.model.n_kv_heads,  # keys and values, and their share of the weights, shrink by no more than the heads
        "paging": 1.0,
        "prefix-caching": 1.0 / (1.0 - after.workload.cached_share),
        "continuous-batching": longest / work.output_tokens * grown,
        "eagle": float(run(after).pools[0][1].n_tokens_per_round),
        "speculation": float(run(after).pools[0][1].n_tokens_per_round),
        "medusa": float(run(after).pools[0][1].n_tokens_per_round),
    }[name]


LOSSLESS = ("gptq", "weights:format=fp8", "fp8", "cache:format=fp8", "mqa", "paging", "prefix-caching",
            "continuous-batching", "speculation:draft=llama-3.2-1b", "medusa", "eagle")  # fmt: skip


@drawn(start=starts(load=st.floats(1, 30)), name=st.sampled_from(LOSSLESS))
@settings(max_examples=150, deadline=None)
def test_at_a_fixed_batch_a_lever_gains_at_most_what_it_frees(start, name):
    if name == "continuous-batching":
        start = replace(start, schedule="static")
    pulled = levers.parse(name)
    after = levers.pull(start, [pulled])
    batches = [float(run(one).pools[0][1].batch) for one in (start, after)]
    assume(batches[0] == batches[1])  # neither is NaN, and memory does not bind
    gain = compose.cost(start, 1.0) / compose.cost(after, 1.0)
    assert gain <= most_gain(start, after, pulled.name) * (1 + 1e-9)


@drawn(start=starts(load=st.floats(1, 30)), name=st.sampled_from(["cache:format=fp8", "flash-attention"]))
@settings(max_examples=40, deadline=None)
def test_what_cache_bytes_and_scores_save_is_their_own_time(start, name):
    """Their terms are added to the step: at a fixed batch the saving is the term that shrank, to the second."""
    after = levers.pull(start, [levers.parse(name)])
    was, now = (run(one).pools[0][1] for one in (start, after))
    assume(float(was.batch) == float(now.batch))
    term = "cache_s" if name.startswith("cache") else "activation_s"
    own_s = float(getattr(was.spent, term) - getattr(now.spent, term))
    assert float(was.spent.step_s - now.spent.step_s) == pytest.approx(own_s, rel=1e-6, abs=1e-9)


def test_paging_saves_only_by_what_it_lets_in():
    full = compose.waterfall(composed(early(), ["continuous-batching", "paging"])).iloc[2]
    assert full["at_same_batch_usd"] == 0 and full["by_admitting_usd"] == full["saved_usd"] > 0
    few = compose.waterfall(composed(early(concurrency=8), ["continuous-batching", "paging"])).iloc[2]
    assert few["saved_usd"] == 0


def test_a_draft_keeps_requests_out():
    """What memory the draft takes is told from what its passes cost: the setup before it, at the batch that is left."""
    order = ["continuous-batching", "speculation:draft=llama-3.1-8b"]
    found = composed(early(tp=2), order)
    rows = compose.waterfall(found)
    held = levers.pull(early(tp=2, concurrency=rows["batch"].iloc[2]), found.levers[:1])
    assert rows["batch"].iloc[2] < rows["batch"].iloc[1]
    assert rows["by_admitting_usd"].iloc[2] == pytest.approx(rows["usd"].iloc[1] - compose.cost(held, 2.0), abs=2e-4)


def test_nothing_and_one_lever():
    none = composed(early(), [])
    rows = compose.waterfall(none)
    assert len(rows) == 1 and none.usd == {frozenset(): compose.cost(early(), 2.0)}
    assert compose.all_orders(none).empty and compose.naive(none.levers).empty and together.cheapest(none) == ()
    one = compose.all_orders(composed(early(), ["fp8"])).iloc[0]
    assert one["alone"] == one["last"] == one["least"] == one["most"] == pytest.approx(one["shapley"])
    assert one["share"] == pytest.approx(100)


def test_contradictions_and_too_many_are_refused():
    with pytest.raises(InputError, match="fp8 and gptq contradict each other: both set the weights"):
        composed(early(), ["fp8", "gptq"])
    with pytest.raises(InputError, match="contradict"):
        together.fewest(lambda tp: early(tp), [levers.lever("paging")] * 2, usd_per_hour=1.0)
    many = [replace(levers.lever("paging"), name=f"p{i}", aspects=(f"a{i}",)) for i in range(13)]
    with pytest.raises(InputError, match="13 levers; expected at most 12"):
        compose.compose(early(), many, usd_per_hour=1.0)


def test_a_subset_that_does_not_fit_is_refused_with_its_reason():
    with pytest.raises(InputError, match="baseline: weights do not fit"):
        composed(early(tp=1), ["fp8"])
    two = ["fp8", "speculation:draft=mistral-small-22b"]
    with pytest.raises(InputError, match="with speculation: cache of one request does not fit"):
        composed(early(tp=2), two)
    with pytest.raises(InputError, match="on up to 8 accelerators: with speculation: "):
        draft = levers.parse("speculation:draft=llama-3.1-405b")
        together.fewest(lambda tp: early(tp), [draft], usd_per_hour=1.0)


def test_the_fewest_accelerators_hold_every_subset():
    names = ["fp8", "speculation:draft=mistral-small-22b"]
    found = together.fewest(lambda tp: early(tp), [levers.parse(name) for name in names], usd_per_hour=1.0)
    assert found.baseline.deployment.tp == 4


def test_arrays_of_requests_give_the_scalars():
    start, flight = early(), np.array([2.0, 40.0, 5000.0])
    many = together.with_requests(composed(start), flight)
    found = together.by_load(many).set_index(["requests", "lever"])["factor"]
    for at, requests in enumerate(flight):
        alone = together.with_requests(composed(start), requests)
        assert together.picked(many, at).usd == pytest.approx(alone.usd)
        assert together.picked(many, at).baseline == alone.baseline
        for row in compose.all_orders(alone).itertuples():
            assert found[requests, row.lever] == pytest.approx(row.shapley)


def test_the_cheapest_subset_is_the_cheapest():
    found = composed(early(tp=2), [*SMALL[:4], "speculation:draft=llama-3.1-8b"])
    best = together.cheapest(found)
    assert found.usd[frozenset(best)] == min(found.usd.values()) and "speculation" not in best
    assert together.cheapest(made_up()) == ("a", "b")


@drawn(start=starts(), pulled=subsets())
@settings(max_examples=15, deadline=None)
def test_falls_join_from_the_first_cost_to_the_last(start, pulled):
    try:
        rows = compose.waterfall(compose.compose(start, pulled[-4:], usd_per_hour=9.0))
    except InputError:
        assume(False)
    bars = together.falls(rows)
    inner = bars.iloc[1:-1]
    assert (bars["start"].iloc[0], bars["end"].iloc[0]) == (0, rows["usd"].iloc[0])
    assert (bars["start"].iloc[-1], bars["end"].iloc[-1]) == (0, rows["usd"].iloc[-1])
    joints = [rows["usd"].iloc[0], *inner["end"]]
    assert np.allclose(joints, [*inner["start"], rows["usd"].iloc[-1]], atol=1e-9)
    assert ((inner["end"] > inner["start"]) == (inner["kind"] == together.DEARER)).all()


def test_the_articles_percentages_as_it_takes_them():
    """55 per cent less of something as a cost over 0.45, a multiple as it is, and their product."""
    names = ["paging", "fp8", "flash-attention"]
    said = compose.naive([levers.parse(name) for name in names]).set_index("lever")
    assert list(said.index) == ["paging", "fp8"]
    rows = tables.read("claims").set_index("id")
    assert said.at["paging", "high"] == pytest.approx(1 / (1 - rows.at["pagedattention-55pct", "printed_high"] / 100))
    assert (said.at["fp8", "low"], said.at["fp8", "high"]) == (4, 6)
    assert said.at["fp8", "product_high"] == pytest.approx(said.at["paging", "high"] * 6)


def test_beside_the_article_are_the_computed_ratios():
    found = composed(early(), ["paging", "fp8"])
    table, orders = together.beside_article(found).set_index("lever"), compose.all_orders(found).set_index("lever")
    assert table.at["paging", "printed"] == "55%" and table.at["fp8", "of"] == "cost ratio"
    assert (table["shapley"] == orders["shapley"]).all() and (table["least"] <= table["most"]).all()


def test_other_machines_at_their_rent_and_best_number():
    at = {name: deployment("llama-3.1-70b", name, weights="bf16") for name in ("h100-sxm", "mi300x")}
    work = Workload(input_tokens=1000, output_tokens=300)
    rows = together.on_machines(at, work, [levers.parse("fp8")], headline_price).set_index(
        ["accelerator_id", "serving"]
    )
    assert len(rows) == 4 and (rows["both_low"] < rows["usd"]).all() and (rows["usd"] < rows["both_high"]).all()
    rent = headline_price("h100-sxm").usd_per_hour
    tried = [compose.cost(early(tp=tp), rent) for tp in (2, 4, 8)]
    assert rows.at[("h100-sxm", "as it was"), "usd"] == pytest.approx(min(tried))
    assert rows.at[("h100-sxm", "as it was"), "n_accelerators"] == (2, 4, 8)[int(np.argmin(tried))]


def test_lists_in_words():
    assert [together.listed("abc"[:n]) for n in range(4)] == ["nothing", "a", "a and b", "a, b and c"]


def test_the_usual_levers_leave_out_what_is_none():
    names = [one.name for one in together.usual(format="none", decoding="none", small="llama-3.1-8b", routing=False)]
    assert names == ["flash-attention", "paging", "continuous-batching", "cache", "prefix-caching"]
    whole = together.usual(format="gptq", decoding="speculation", small="llama-3.2-1b", routing=True)
    assert [one.settings["draft"] for one in whole if one.name == "speculation"] == ["llama-3.2-1b"]
    assert len(whole) == 8 and set(one.name for one in whole) <= set(together.SHORT)


def test_changed_settings_reach_their_lever_and_the_start():
    start, pulled = early(tp=4), [levers.parse("prefix-caching"), levers.parse("continuous-batching")]
    placed, work = start.deployment, start.workload
    plain = together.gain_with(placed, work, pulled)
    assert plain == pytest.approx(compose.cost(start, 1.0) / compose.cost(levers.pull(start, pulled), 1.0))
    none, most = (together.gain_with(placed, work, pulled, cached_share=share) for share in (0.0, 0.9))
    assert none < plain < most
    assert together.gain_with(placed, work, pulled, output_cv=0.0) < plain
    longer = replace(start, workload=replace(work, output_tokens=600))
    asked = together.gain_with(placed, work, pulled, output_tokens=600)
    assert asked == pytest.approx(compose.cost(longer, 1.0) / compose.cost(levers.pull(longer, pulled), 1.0))
