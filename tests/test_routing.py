"""Answers behind the chapter on routing: by hand, and what must hold for all shares."""

import numpy as np
import pytest

from costpertoken import Workload
from costpertoken.answers import levers, routing
from costpertoken.answers.estimate import serve_workload
from costpertoken.model.setup import Setup, run

LOAD = Workload(input_tokens=1000, output_tokens=300)
LARGE, SMALL = (routing.place(name, "h100-sxm", LOAD) for name in ("llama-3.1-70b", "llama-3.1-8b"))
MIX = routing.routed(LARGE, SMALL, LOAD, share=0.6, escalated=0.1)
EACH = [at.tp / float(serve_workload(at, LOAD).requests_per_s) for at in (LARGE, SMALL)]  # accelerator seconds, full


def test_parts_sum_and_are_those_of_the_equation():
    parts = routing.parts_s(MIX)
    assert sum(parts.values()) == pytest.approx(float(sum(run(MIX).accelerator_s)))
    assert parts["large model, asked first"] == pytest.approx(0.4 * EACH[0])
    assert parts["large model, asked again"] == pytest.approx(0.06 * EACH[0])
    assert parts["small model"] == pytest.approx(0.6 * EACH[1])


def test_the_router_is_that_of_the_lever():
    lever = levers.lever("routing", small="llama-3.1-8b")
    pulled = levers.pull(Setup(deployment=LARGE, workload=LOAD), [lever]).router
    assert (pulled.router_s, pulled.share, pulled.escalated) == (MIX.router.router_s, 0.6, 0.1)
    peak = LARGE.accelerator.peak_flop_per_s["fp8"] * LARGE.efficiency.dense_peak
    assert pulled.router_s == pytest.approx(2 * 0.3e9 * 1000 / peak)


def test_needed_share_by_substitution():
    ratio, router = routing.full_ratios(MIX)
    share = float(routing.share_needed(0.5, ratio=ratio, escalated=0.1, router=router))
    assert routing.cost_ratio(routing.routed(LARGE, SMALL, LOAD, share=share, escalated=0.1)) == pytest.approx(0.5)
    assert routing.share_needed(0.5, ratio=0.9, escalated=0.2) == np.inf


def test_break_even_escalation_by_substitution():
    most = routing.break_even_escalated(MIX)
    assert routing.cost_ratio(routing.routed(LARGE, SMALL, LOAD, share=0.6, escalated=most)) == pytest.approx(1.0)


def test_break_even_load_by_substitution_and_below_it_routing_loses():
    least = routing.break_even_requests(MIX)
    assert routing.cost_ratio(MIX, least) == pytest.approx(1.0)
    assert routing.cost_ratio(MIX, least / 2) > 1 > routing.cost_ratio(MIX, least * 2)


def test_no_load_saves_where_the_small_model_is_the_large_one():
    assert routing.break_even_requests(routing.routed(LARGE, LARGE, LOAD, share=0.6, escalated=0.1)) == np.inf


def test_a_larger_share_breaks_even_sooner():
    found = [
        routing.break_even_requests(routing.routed(LARGE, SMALL, LOAD, share=s, escalated=0.1)) for s in (0.3, 0.6, 0.9)
    ]
    assert found == sorted(found, reverse=True)


def test_whole_replicas_by_hand():
    full = [at.tp / seconds for at, seconds in zip((LARGE, SMALL), EACH, strict=True)]  # requests a second of a replica
    row = routing.fleets(MIX, [2.5 * full[0]]).iloc[0]
    small = np.ceil(0.6 * 2.5 * full[0] / full[1])
    assert (row["alone"], row["large"], row["small"]) == (3 * LARGE.tp, 2 * LARGE.tp, small * SMALL.tp)
    assert row["ratio"] == pytest.approx((row["large"] + row["small"]) / row["alone"])


def test_whole_replicas_save_nothing_while_one_large_one_is_enough():
    full = LARGE.tp / EACH[0]
    assert (routing.fleets(MIX, np.linspace(0.01, 1.0, 50) * full)["ratio"] > 1).all()
    assert routing.first_saving_per_s(MIX) == pytest.approx(full, rel=0.01)


def test_even_experts_change_nothing_and_uneven_ones_cost():
    at = routing.place("mixtral-8x7b", "h100-sxm", LOAD)
    assert routing.uneven(at, 1.0) == at
    ratios = [float(routing.dense_over_mixture(routing.uneven(at, u), LARGE, LOAD)) for u in (1.0, 1.5, 2.0)]
    assert ratios == sorted(ratios, reverse=True)


def test_a_dense_model_is_not_slowed_by_experts():
    assert routing.dense_over_mixture(routing.uneven(LARGE, 2.0), LARGE, LOAD) == pytest.approx(1.0)


def test_requests_that_do_not_fit_have_no_ratio():
    assert np.isnan(routing.dense_over_mixture(LARGE, SMALL, LOAD, np.array([1e5]))).all()


def test_mixtures_are_sorted_by_what_they_use():
    found = [routing.kept_shares(m, tokens=1.0) for m in routing.mixtures()]
    flop = [kept["flop"] for kept in found]
    assert flop == sorted(flop) and all(0 < share < 1 for share in flop)
    assert all(kept["flop"] == pytest.approx(kept["bytes"]) for kept in found)  # one token reads what it multiplies


def test_bytes_grow_with_the_tokens_of_a_step_to_all():
    for model in routing.mixtures():
        shares = [routing.kept_shares(model, tokens=n)["bytes"] for n in (1, 8, 64, 1e5)]
        assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)


def test_measured_ratios_are_of_one_source_and_setting():
    found = routing.measured_ratios("mixtral-8x7b", "llama-2-70b")
    assert len(found) > 50 and (found[["measured", "predicted"]] > 0).all().all()
    assert np.median(found["predicted"] / found["measured"]) == pytest.approx(1.0, abs=0.1)
    assert routing.measured_ratios("deepseek-v2", "llama-3-70b").empty


def test_the_saving_is_linear_in_the_share():
    """Where all pools are full."""
    costs = [routing.cost_ratio(routing.routed(LARGE, SMALL, LOAD, share=s, escalated=0.2)) for s in (0.2, 0.5, 0.8)]
    assert costs[1] == pytest.approx((costs[0] + costs[2]) / 2)
