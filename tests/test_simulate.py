"""The compiled scheduler: equal to a plain one request by request, and by law on thousands of random traces."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scheduler import Plain

from costpertoken.answers.estimate import deployment
from costpertoken.fleet import simulate as fleet
from costpertoken.fleet.arrivals import synthetic
from costpertoken.fleet.simulate import Policy, simulate_terms
from costpertoken.fleet.terms import Terms, terms
from costpertoken.fleet.trace import Trace
from costpertoken.model.records import InputError, Workload
from costpertoken.model.serving import batch_limit, serve
from costpertoken.model.setup import Setup, run

TERMS = Terms(
    token_s=1e-3 + 1e-5 * np.arange(20_001) ** 1.1, decode_s=1e-4 + 3e-5 * np.arange(300.0), cache_token_s=1e-6, pair_s=1e-8,
    window_share=0.0, window_tokens=1.0,
)  # fmt: skip
REAL = terms(deployment("llama-3.1-8b", "h100-sxm", weights="bf16"))
WINDOWED = replace(TERMS, window_share=0.5, window_tokens=20.0)
QUICK = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def traces(draw, most=14, prefixes=True):
    """Short requests that come close together, prompts of some beginning alike."""
    n = draw(st.integers(1, most))
    gaps = draw(st.lists(st.sampled_from([0.0, 0.0005, 0.004, 0.05]), min_size=n, max_size=n))
    prompt = draw(st.lists(st.integers(1, 40), min_size=n, max_size=n))
    answer = draw(st.lists(st.integers(1, 25), min_size=n, max_size=n))
    blocks, starts = [], [0]
    for length in prompt:
        group = draw(st.integers(0, 2))
        blocks += [group * 10 + j for j in range(length // 4)] if prefixes else []
        starts.append(len(blocks))
    fields = {"prefix_ids": np.array(blocks), "prefix_starts": np.array(starts), "prefix_block_tokens": 4}
    return Trace(arrival_s=np.cumsum(gaps), input_tokens=prompt, output_tokens=answer, **(fields if blocks else {}))


policies = st.builds(
    Policy,
    schedule=st.sampled_from(["continuous", "chunked"]),
    max_batch=st.integers(1, 6),
    cache_tokens=st.sampled_from([np.inf, 40.0, 66.0, 100.0, 200.0]),
    token_budget=st.integers(2, 30),
    block_tokens=st.sampled_from([1, 2, 4]),
    reserved_tokens=st.sampled_from([0, 0, 0, 45, 66]),
)


def with_prefixes(policy: Policy, trace: Trace, wanted: bool) -> Policy:
    fits = wanted and trace.prefix_block_tokens and not policy.reserved_tokens
    return replace(policy, prefix_cache=bool(fits))


@given(trace=traces(), policy=policies, cached=st.booleans(), kind=st.sampled_from(["plain", "windowed"]))
@settings(QUICK, max_examples=700)
def test_equals_the_plain_scheduler(trace, policy, cached, kind):
    terms, policy = {"plain": TERMS, "windowed": WINDOWED}[kind], with_prefixes(policy, trace, cached)
    found = simulate_terms(trace, terms, policy)
    plain = Plain(trace, terms, policy, found.status > 0).run()
    for i in np.flatnonzero(found.status == 0):
        assert found.finish_s[i] == pytest.approx(plain.finish[i], rel=1e-9)
        assert found.first_token_s[i] == pytest.approx(plain.first[i], rel=1e-9)
        assert found.n_preempted[i] == plain.back.get(i, 0)
        assert found.cached_tokens[i] == plain.hit[i]


@given(
    trace=traces(most=40, prefixes=False),
    schedule=st.sampled_from(fleet.SCHEDULES),
    policy=policies,
    window_s=st.sampled_from([0.0, 0.003, 1.0]),
)
@settings(QUICK, max_examples=700)
def test_nobody_is_lost(trace, schedule, policy, window_s):
    """Served or refused with a reason; in order of time; memory never over; as many tokens as were asked for."""
    policy = replace(policy, schedule=schedule, window_s=window_s)
    found = simulate_terms(trace, TERMS, policy)
    ok = found.status == 0
    assert np.isfinite(found.finish_s[ok]).all() and np.isnan(found.finish_s[~ok]).all()
    assert sum(fleet.refused(found).values()) + ok.sum() == trace.arrival_s.size
    assert (found.admitted_s >= trace.arrival_s)[ok].all()
    assert (found.first_token_s > found.admitted_s)[ok].all()
    assert (found.finish_s >= found.first_token_s)[ok].all()
    assert ((found.finish_s == found.first_token_s) == (trace.output_tokens == 1))[ok].all()
    rows = found.samples
    assert (rows["held_tokens"] <= policy.cache_tokens).all() and (rows["used_tokens"] <= rows["held_tokens"]).all()
    assert (rows["time_s"].diff().dropna() > 0).all()
    assert (
        found.slot_s <= found.formed_s * (1 + 1e-12)
        and found.busy_s <= (np.nanmax(found.finish_s) if ok.any() else 0) + 1e-9
    )


@given(trace=traces(most=40, prefixes=False), policy=policies)
@settings(QUICK, max_examples=600)
def test_tokens_are_conserved(trace, policy):
    """Every sequence-step of decoding makes one token, and every prompt (again after each preemption) one more."""
    terms = replace(TERMS, token_s=np.zeros(20_001), decode_s=np.ones(300), cache_token_s=0.0, pair_s=0.0)
    found = simulate_terms(trace, terms, policy)
    ok = found.status == 0
    made_by_prompts = ok.sum() + found.n_preempted.sum() if policy.schedule == "chunked" else None
    if not found.n_preempted.any():
        assert found.slot_s == pytest.approx(trace.output_tokens[ok].sum() - ok.sum())
    elif made_by_prompts is not None:
        assert found.slot_s <= trace.output_tokens[ok].sum() - ok.sum() + 1e-9


@given(trace=traces(most=40, prefixes=False), policy=policies, schedule=st.sampled_from(["continuous", "chunked"]))
@settings(QUICK, max_examples=600)
def test_under_a_backlog_continuous_loses_at_most_the_time_in_which_the_last_run_dry(trace, policy, schedule):
    """Both hold one reserved stretch each. With a step that costs the same whoever is in it, slots that are always full make
    at least as many tokens as slots that wait; when nobody is left to fill them, at most the longest answer is still to come
    (Graham's bound for list scheduling)."""
    all_here = replace(trace, arrival_s=np.zeros(trace.arrival_s.size))
    flat = replace(TERMS, token_s=1e-5 * np.arange(20_001), decode_s=np.full(300, 1e-3), cache_token_s=0.0, pair_s=0.0)
    flat.decode_s[0] = 0.0
    held = replace(policy, reserved_tokens=66, token_budget=10_000)
    found = [simulate_terms(all_here, flat, replace(held, schedule=kind)) for kind in (schedule, "static")]
    times = [np.nanmax(one.finish_s, initial=0.0) for one in found]
    dry_s = trace.output_tokens.max() * (1e-3 + 1e-5 * policy.max_batch)
    assert times[0] <= times[1] + dry_s


@pytest.mark.parametrize("cv", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("isl, osl, batch", [(800, 200, 32), (50, 400, 128), (2000, 60, 8)])
def test_saturated_continuous_batching_is_never_slower_than_static(cv, isl, osl, batch):
    """An engine's own step times, the same stretches of memory, forty batches of requests; equal answers are a draw."""
    asked = {
        name: {"kind": "lognormal", "mean": mean, "cv": cv, "most": 4 * mean}
        for name, mean in (("input_tokens", isl), ("output_tokens", osl))
    }
    trace = synthetic(n_requests=40 * batch, arrivals="backlog", **asked)
    held = Policy(schedule="static", max_batch=batch, cache_tokens=batch * 8192.0, reserved_tokens=8192)
    continuous, static = (
        np.nanmax(simulate_terms(trace, REAL, replace(held, schedule=kind)).finish_s)
        for kind in ("continuous", "static")
    )
    assert continuous <= static * (1 + 1e-9)
    assert (continuous < 0.97 * static) == (cv > 0)


@pytest.mark.parametrize(
    ("model", "weights", "tp"), [("gpt-oss-120b", "mxfp4", 2), ("gemma-3-27b", "bf16", 2), ("llama-3.1-8b", "bf16", 1)]
)
def test_a_policy_has_the_memory_of_the_closed_form(model, weights, tp):
    placed = deployment(model, "h100-sxm", weights=weights, tp=tp)
    whole = float(placed.model.max_context)
    room = float(batch_limit(placed, input_tokens=whole, output_tokens=1e-9))
    assert fleet.policy_of(placed, schedule="chunked").cache_tokens == pytest.approx(room * whole, rel=1e-6)


@pytest.mark.parametrize(
    "model, machine, weights, tp, batch",
    [
        ("llama-3.1-8b", "l40s", "bf16", 1, 48),
        ("llama-3.1-70b", "h100-sxm", "fp8", 2, 128),
        ("gpt-oss-120b", "h100-sxm", "mxfp4", 2, 64),
    ],
)
@pytest.mark.parametrize("isl, osl", [(800, 200), (200, 600), (3000, 100)])
def test_agrees_with_the_closed_form_in_steady_state(model, machine, weights, tp, batch, isl, osl):
    """Lengths spread by a quarter, so that requests do not end together; both at the batch that is always full, and with a
    budget that spreads prompts over the steps as the closed form does (in bursts they share more of the experts' reading)."""
    placed = deployment(model, machine, weights=weights, tp=tp)
    asked = {
        name: {"kind": "uniform", "mean": mean, "spread": 0.25}
        for name, mean in (("input_tokens", isl), ("output_tokens", osl))
    }
    trace = synthetic(n_requests=40 * batch, arrivals="backlog", **asked)
    even = int(1.1 * batch * (1 + isl / osl))
    policy = fleet.policy_of(placed, schedule="chunked", max_batch=batch, cache_tokens=np.inf, token_budget=even)
    found = fleet.simulate(trace, placed, policy)
    closed = serve(placed, input_tokens=isl, output_tokens=osl, concurrency=batch)
    settled = slice(4 * batch, 36 * batch)  # neither filling nor running dry
    rate = trace.output_tokens[settled].sum() / np.ptp(np.sort(found.finish_s)[settled])
    assert rate == pytest.approx(float(closed.output_tok_per_s), rel=0.05)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_littles_law_under_poisson_arrivals(share):
    """Sequences in flight are the rate times the stay, and a replica below its capacity keeps up with the arrivals."""
    placed = deployment("llama-3.1-8b", "h100-sxm", weights="bf16")
    full = serve(placed, input_tokens=500, output_tokens=200, concurrency=256).requests_per_s
    trace = synthetic(
        n_requests=20_000, rate_per_s=share * float(full), input_tokens={"kind": "constant", "mean": 500},
        output_tokens={"kind": "geometric", "mean": 200},
    )  # fmt: skip
    found = fleet.simulate(trace, placed, fleet.policy_of(placed, schedule="chunked", max_batch=256))
    figures = fleet.summary(found)
    stay = (found.finish_s - trace.arrival_s).mean()
    middle = found.samples.iloc[len(found.samples) // 10 : -len(found.samples) // 10]
    weights = np.gradient(middle["time_s"])
    flight = np.average(middle["running"] + middle["waiting"], weights=weights)
    assert flight == pytest.approx(figures["requests_per_s"] * stay, rel=0.06)
    assert figures["requests_per_s"] == pytest.approx(share * float(full), rel=0.03)


def test_memory_binds_and_preempts_like_an_engine():
    """A hundred tokens of cache, answers longer than what is left: the newest goes back, computes again, and ends last."""
    trace = Trace(arrival_s=np.zeros(2), input_tokens=[40, 40], output_tokens=[30, 30])
    found = simulate_terms(trace, TERMS, Policy(schedule="chunked", max_batch=2, cache_tokens=100, block_tokens=1))
    assert found.n_preempted.tolist() == [0, 1]
    assert found.finish_s[1] > found.finish_s[0]
    roomy = simulate_terms(trace, TERMS, Policy(schedule="chunked", max_batch=2, cache_tokens=140, block_tokens=1))
    assert not roomy.n_preempted.any()


def test_a_cached_prefix_is_not_computed_again_and_goes_when_room_is_needed():
    shared = {"prefix_ids": [0, 1, 0, 1, 5, 6], "prefix_starts": [0, 2, 4, 6], "prefix_block_tokens": 16}
    trace = Trace(arrival_s=[0.0, 10.0, 20.0], input_tokens=[40, 40, 40], output_tokens=[2, 2, 2], **shared)
    policy = Policy(schedule="chunked", max_batch=4, cache_tokens=160, prefix_cache=True)
    found = simulate_terms(trace, TERMS, policy)
    assert found.cached_tokens.tolist() == [0, 32, 0]
    assert found.first_token_s[1] - 10.0 < found.first_token_s[0]
    tight = simulate_terms(replace(trace, input_tokens=[40, 60, 40]), TERMS, replace(policy, cache_tokens=64))
    again = Trace(arrival_s=[0.0, 10.0, 20.0], input_tokens=[40, 60, 40], output_tokens=[2, 2, 2],
                  prefix_ids=[0, 1, 5, 6, 7, 0, 1], prefix_starts=[0, 2, 5, 7], prefix_block_tokens=16)  # fmt: skip
    assert tight.cached_tokens.tolist() == [0, 32, 0]
    assert simulate_terms(again, TERMS, replace(policy, cache_tokens=64)).cached_tokens.tolist() == [0, 0, 0]


def test_static_slots_idle_until_the_longest_answer_by_hand():
    trace = Trace(arrival_s=np.zeros(4), input_tokens=[10] * 4, output_tokens=[5, 9, 3, 3])
    found = simulate_terms(trace, replace(TERMS, cache_token_s=0.0), Policy(schedule="static", max_batch=2))
    first, decode = TERMS.token_s[20] + TERMS.decode_s[0] + TERMS.pair_s * 100, TERMS.token_s[2] + TERMS.decode_s[2]
    assert found.finish_s[:2] == pytest.approx([first + 4 * decode, first + 8 * decode])
    assert found.first_token_s[2] == pytest.approx(found.finish_s[1] + first)
    assert found.slot_s / found.formed_s == pytest.approx((4 + 8 + 2 + 2) / (2 * 8 + 2 * 2))


def test_a_dynamic_batch_waits_for_its_window_or_until_it_is_full():
    trace = Trace(arrival_s=[0.0, 0.4, 5.0, 5.1, 5.2], input_tokens=[10] * 5, output_tokens=[2] * 5)
    found = simulate_terms(trace, TERMS, Policy(schedule="dynamic", max_batch=3, window_s=1.0))
    assert found.admitted_s == pytest.approx([1.0, 1.0, 5.2, 5.2, 5.2])
    few = simulate_terms(trace, TERMS, Policy(schedule="dynamic", max_batch=8, window_s=1.0))
    assert few.admitted_s == pytest.approx([1.0, 1.0, 6.0, 6.0, 6.0])  # never full, though all that there are have come
    refusing = Policy(schedule="dynamic", max_batch=3, window_s=1.0, max_context=20)
    one_out = simulate_terms(replace(trace, input_tokens=[10, 10, 10, 30, 10]), TERMS, refusing)
    assert one_out.admitted_s[[2, 4]] == pytest.approx([6.0, 6.0])  # who is refused fills no place


def test_what_cannot_be_held_is_refused_and_counted():
    trace = Trace(
        arrival_s=np.zeros(4),
        input_tokens=[10, 90, 200, 10],
        output_tokens=[5, 20, 5, 5],
        refused={"no answer": (7, 9)},
    )
    found = simulate_terms(trace, TERMS, Policy(schedule="chunked", max_batch=4, cache_tokens=100, max_context=150))
    assert [fleet.STATUS[code] for code in found.status] == [
        "served",
        "longer than the cache",
        "longer than the model's context",
        "served",
    ]
    assert fleet.refused(found) == {"no answer": 2, "longer than the model's context": 1, "longer than the cache": 1}
    assert fleet.summary(found)["n_served"] == 2
    nobody = simulate_terms(trace, TERMS, Policy(schedule="chunked", max_batch=4, cache_tokens=4))
    assert fleet.summary(nobody)["n_served"] == 0


@pytest.mark.parametrize(
    "bad, words",
    [
        ({"schedule": "chunky"}, "schedule is 'chunky'; expected one of static"),
        ({"max_batch": 0}, "max_batch is 0"),
        ({"cache_tokens": -5.0}, "do the weights fit"),
        ({"token_budget": 0}, "token_budget is 0"),
        ({"prefix_cache": True, "reserved_tokens": 50}, "prefix_cache needs paged memory"),
    ],
)
def test_bad_policies_are_refused(bad, words):
    with pytest.raises(InputError, match=words):
        Policy(**({"schedule": "chunked", "max_batch": 2} | bad))


def test_blocks_must_divide_prefix_blocks():
    trace = Trace(
        arrival_s=[0.0],
        input_tokens=[40],
        output_tokens=[2],
        prefix_ids=[0],
        prefix_starts=[0, 1],
        prefix_block_tokens=20,
    )
    with pytest.raises(InputError, match="block_tokens is 16; expected a divisor"):
        simulate_terms(trace, TERMS, Policy(schedule="chunked", max_batch=1, cache_tokens=100, prefix_cache=True))


def test_cost_is_of_the_paid_time():
    placed = deployment("llama-3.1-8b", "l40s", weights="bf16")
    trace = synthetic(n_requests=300, rate_per_s=0.5, input_tokens={"mean": 300}, output_tokens={"mean": 100})
    found = fleet.simulate(trace, placed, fleet.policy_of(placed, schedule="chunked"))
    figures = fleet.summary(found, usd_per_hour=1.8)
    paid_s = np.max(found.finish_s) - trace.arrival_s[0]
    assert figures["usd_per_mtok"] == pytest.approx(1.8 * paid_s / 3600 / trace.output_tokens.sum() * 1e6)
    assert figures["usd_per_mtok_busy"] == pytest.approx(figures["usd_per_mtok"] * figures["busy_share"])
    assert figures["ttft_p50_s"] > placed.efficiency.ttft_base_s


def test_the_timeline_stays_short():
    trace = synthetic(
        n_requests=400, arrivals="backlog", input_tokens={"mean": 20}, output_tokens={"mean": 100, "most": 500}
    )
    found = simulate_terms(trace, TERMS, Policy(schedule="chunked", max_batch=4))
    assert found.n_iterations > 4096 and 500 < len(found.samples) <= 2048


@pytest.mark.parametrize("model, tp, batch", [("llama-3.1-70b", 2, 128), ("gpt-oss-120b", 2, 64)])
def test_prompts_apart_lie_between_the_closed_forms(model, tp, batch):
    """A step for each prompt is the least that they share, riding along the most; who come together share a step."""
    placed = deployment(model, "h100-sxm", weights="mxfp4" if model.startswith("gpt") else "fp8", tp=tp)
    asked = {name: {"kind": "uniform", "mean": mean} for name, mean in (("input_tokens", 800), ("output_tokens", 200))}
    trace = synthetic(n_requests=40 * batch, arrivals="backlog", **asked)
    found = fleet.simulate(
        trace, placed, fleet.policy_of(placed, schedule="continuous", max_batch=batch, cache_tokens=np.inf)
    )
    settled = slice(4 * batch, 36 * batch)
    rate = (settled.stop - settled.start) / np.ptp(np.sort(found.finish_s)[settled])
    load = Workload(input_tokens=800, output_tokens=200, concurrency=batch)
    apart, mixed = (
        float(run(Setup(deployment=placed, workload=load, schedule=kind)).pools[0][1].requests_per_s)
        for kind in ("continuous", "chunked")
    )
    assert 0.98 * apart < rate < 1.02 * mixed
