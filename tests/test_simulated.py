"""Schedules under traffic: the scheduler's records read by hand, and the simulator beside the closed form."""

import numpy as np
import pandas as pd
import pytest

from costpertoken import Workload, tables
from costpertoken.answers import scheduling, simulated
from costpertoken.fleet.simulate import Policy, simulate_terms, summary
from costpertoken.fleet.terms import Terms
from costpertoken.fleet.trace import Trace
from costpertoken.model.roofline import step

DEPLOYED = tables.deployment("llama-3.1-70b", "h100-sxm", weights="fp8", tp=2)
WORK = Workload(input_tokens=1000, output_tokens=300)
#: A second for every step, whatever is in it.
CLOCK = Terms(token_s=np.ones(100), decode_s=np.zeros(100), cache_token_s=0.0, pair_s=0.0, window_share=0.0, window_tokens=0.0)


def clocked(schedule: str, answers: list[int], slots: int, **knobs):
    """Requests that all come at once, with one prompt token each and a step a second."""
    n = len(answers)
    trace = Trace(arrival_s=np.zeros(n), input_tokens=np.ones(n), output_tokens=np.array(answers))
    return simulate_terms(trace, CLOCK, Policy(schedule=schedule, max_batch=slots, **knobs))


def test_timeline_of_static_batches_by_hand():
    """Two slots, answers of 3, 5, 2 and 2 tokens: the first batch ends with the fifth token, the second at 5 + 2."""
    rows = simulated.timeline(clocked("static", [3, 5, 2, 2], 2))
    kept = rows[["slot", "request", "what", "start_s", "end_s"]].values.tolist()
    assert kept == [
        [0, 0, "prompt", 0, 1], [0, 0, "decode", 1, 3], [0, 0, "idle", 3, 5], [0, 2, "prompt", 5, 6], [0, 2, "decode", 6, 7],
        [1, 1, "prompt", 0, 1], [1, 1, "decode", 1, 5], [1, 3, "prompt", 5, 6], [1, 3, "decode", 6, 7],
    ]  # fmt: skip


def test_timeline_of_refilled_slots_by_hand():
    """The slot of the short answer is given away at once, the last one idles to the end."""
    rows = simulated.timeline(clocked("chunked", [3, 6, 2], 2, token_budget=50))
    kept = rows[["slot", "request", "what", "start_s", "end_s"]].values.tolist()
    assert kept == [
        [0, 0, "prompt", 0, 1], [0, 0, "decode", 1, 3], [0, 2, "prompt", 3, 4], [0, 2, "decode", 4, 5], [0, -1, "idle", 5, 6],
        [1, 1, "prompt", 0, 1], [1, 1, "decode", 1, 6],
    ]  # fmt: skip


@pytest.mark.parametrize("schedule", ["static", "chunked"])
def test_a_timeline_never_has_two_requests_in_a_slot_and_leaves_no_gap_to_a_backlog(schedule):
    load = {"output_cv": 0.8, "requests_per_s": np.inf, "n_requests": 40}
    rows = simulated.timeline(simulated.replay(DEPLOYED, WORK, schedule=schedule, slots=4, load=load))
    for _, one in rows.groupby("slot"):
        starts, ends = one["start_s"].to_numpy(), one["end_s"].to_numpy()
        assert np.all(starts[1:] >= ends[:-1] - 1e-9) and ends[-1] == rows["end_s"].max()
    idle = rows.query("what == 'idle'").eval("end_s - start_s").sum()
    assert (idle > 0.2 * 4 * rows["end_s"].max()) == (schedule == "static")


def test_the_same_requests_come_at_every_rate():
    slow, fast = (simulated.traffic(WORK, output_cv=0.8, requests_per_s=rate, most=4000) for rate in (1.0, 4.0))
    assert np.array_equal(slow.output_tokens, fast.output_tokens)
    assert slow.arrival_s == pytest.approx(4 * fast.arrival_s)
    assert slow.output_tokens.max() <= 4000 and slow.output_tokens.mean() == pytest.approx(300, rel=0.1)
    assert simulated.traffic(WORK, output_cv=0.8, requests_per_s=np.inf, most=9, n_requests=5).output_tokens.max() <= 9


def test_requests_simulated_fall_with_their_length_within_limits():
    sizes = [simulated.n_requests_of(Workload(input_tokens=1, output_tokens=n)) for n in (10, 1000, 4000)]
    assert sizes == [simulated.MOST, simulated.N_TOKENS // 1000, simulated.FEWEST]


def test_saturation_is_the_slope_of_the_finishes():
    found = clocked("chunked", [1] * 101, 1, token_budget=50)
    assert simulated.saturation(found) == pytest.approx(1.0)


def test_static_slots_simulated_are_those_of_the_formula():
    drawn = simulated.occupied(DEPLOYED, WORK, output_cv=0.8, sizes=[4, 16, 64], n_batches=400)
    formula = 100 * scheduling.occupancy(batch=drawn["slots"].to_numpy(), output_cv=0.8)
    assert drawn["occupied"].to_numpy() == pytest.approx(formula, rel=0.04)


def test_backlogs_simulated_finish_what_the_closed_form_says():
    table = scheduling.beside(DEPLOYED, WORK, slots=16, output_cv=0.8, usd_per_hour=1.0).set_index("schedule")
    load = {"output_cv": 0.8, "requests_per_s": np.inf, "n_requests": 12_000}
    for schedule, within in (("static", 0.05), ("continuous", 0.03), ("chunked", 0.04)):
        found = simulated.replay(DEPLOYED, WORK, schedule=schedule, slots=16, load=load)
        assert simulated.saturation(found) == pytest.approx(table.at[schedule, "requests_per_s"], rel=within)


def test_a_sweep_has_every_schedule_load_and_measure_with_percentiles_in_order():
    policies = {"static": {"schedule": "static"}, "chunked": {"schedule": "chunked", "token_budget": 512}}
    rows = simulated.sweep(DEPLOYED, WORK, policies=policies, slots=8, output_cv=0.8)
    assert len(rows) == 2 * len(simulated.LOADS) * 3 and set(rows["measure"]) == {"TTFT", "TPOT", "E2E"}
    assert (rows["p50"] <= rows["p90"]).all() and (rows["p90"] <= rows["p99"]).all()
    assert np.allclose(rows["requests_per_s"], rows["load"] * rows["most_per_s"])
    waits = rows[rows["measure"] == "E2E"].set_index(["name", "load"])["p90"]
    assert waits["static"].is_monotonic_increasing and (waits["static"] > waits["chunked"]).all()


def test_gain_at_equal_latency_by_hand():
    rows = pd.DataFrame(
        [("a", 0.2, 1.0, 5.0), ("a", 0.9, 2.0, 9.0), ("b", 0.2, 4.0, 4.0), ("b", 0.9, 8.0, 8.0)],
        columns=["name", "load", "requests_per_s", "p90"],
    ).assign(measure="E2E")
    found = simulated.at_equal_latency(rows, slow="a", fast="b")
    assert found["gain"].tolist() == [4.0, 4.0] and found["limit_s"].tolist() == [5.0, 9.0]
    assert simulated.at_equal_latency(rows, slow="b", fast="a")["gain"].isna().tolist() == [True, False]


def test_small_budgets_shorten_gaps_and_starve_prompts():
    """Below b (1 + S / L) the engine cannot finish what its slots could, so the first token comes ever later."""
    rate = 0.8 * 3.65
    rows = simulated.budgets(DEPLOYED, WORK, sizes=[64, 256, 2048], slots=32, output_cv=0.8, requests_per_s=rate)
    assert rows["ttft"].iloc[0] > 50 * rows["ttft"].iloc[1]
    assert rows["gap_tail"].is_monotonic_increasing and rows["full"].is_monotonic_increasing
    carried = {"context_tokens": 1150.0, "prefill_tokens": 256.0 - 32, "pairs_per_token": 500.0}
    assert rows["full"].iloc[1] == pytest.approx(1e3 * float(step(DEPLOYED, decode=32.0, **carried).step_s))


def test_gaps_are_weighted_by_the_readers():
    found = clocked("chunked", [4, 4], 2, token_budget=50)
    assert simulated.gap_s(found, 0.5) == simulated.gap_s(found, 0.99) == 1.0


def test_shares_are_those_of_the_summary():
    found = clocked("chunked", [4, 2], 2, token_budget=50)
    assert simulated.shares(found) == {"busy": 1.0, "slots": pytest.approx(summary(found)["slot_occupancy"])}
    assert simulated.shares(found)["slots"] == pytest.approx((2 + 1 + 1) / 8)
