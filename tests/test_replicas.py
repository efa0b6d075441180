"""A trace on several replicas by turns, made-up requests of a demand, and whether limits are kept."""

import numpy as np
import pandas as pd
import pytest

from costpertoken.answers import estimate as answers
from costpertoken.fleet import replicas
from costpertoken.fleet.demand import Demand, of_rate
from costpertoken.fleet.replicas import busiest, kept, made_up, parts, replayed, taken
from costpertoken.fleet.simulate import policy_of, simulate
from costpertoken.fleet.station import Lengths
from costpertoken.fleet.trace import Trace

LENGTHS = Lengths(800.0, 200.0, 0.0, 0.5, 1.0)


def numbered(arrival_s) -> Trace:
    """Requests at these seconds, whose prompts say which one it is: 1, 2, 3 ..."""
    n = len(arrival_s)
    return Trace(arrival_s=arrival_s, input_tokens=np.arange(1, n + 1), output_tokens=np.full(n, 7), name="numbered")


def limited(**limits) -> Demand:
    """A demand of one level with these limits."""
    return Demand(lengths=LENGTHS, levels_per_s=np.ones(1), time_shares=np.ones(1), **limits)


# ---- stretches and turns


def test_busiest_stretch_by_hand():
    """Three in a row take 10, 6, 3, 2 and 7 seconds: the least from the fourth on."""
    trace = numbered([0, 4, 8, 10, 11, 12, 18])
    found = busiest(trace, 3)
    assert found.input_tokens.tolist() == [4, 5, 6] and found.arrival_s.tolist() == [0, 1, 2]
    assert busiest(trace, 7) is trace and busiest(trace, 100) is trace
    assert busiest(trace, 1).input_tokens.tolist() == [1]


def test_taken_starts_at_nought_and_keeps_its_gaps():
    found = taken(numbered([1, 3, 6, 10, 15, 21]), slice(1, None, 2))
    assert found.arrival_s.tolist() == [0, 7, 18] and found.input_tokens.tolist() == [2, 4, 6]
    assert found.output_tokens.tolist() == [7, 7, 7] and found.name == "numbered" and found.prefix_block_tokens == 0


def test_turns_by_hand():
    trace = numbered(np.arange(10.0))
    assert [part.input_tokens.tolist() for part in parts(trace, 1)] == [list(range(1, 11))]
    assert [part.input_tokens.tolist() for part in parts(trace, 2)] == [[1, 3, 5, 7, 9], [2, 4, 6, 8, 10]]
    assert [part.input_tokens.tolist() for part in parts(trace, 4)] == [[1, 5, 9], [3, 7]]
    assert [part.input_tokens.tolist() for part in parts(trace, 16)] == [[1], [9]]
    assert [part.input_tokens.tolist() for part in parts(trace, 100)] == [[1]]  # the other one never gets a request


def test_long_traces_are_cut_to_their_busiest(monkeypatch):
    monkeypatch.setattr(replicas, "MOST_REQUESTS", 4)
    trace = numbered(
        np.concatenate([np.arange(0.0, 100.0, 10.0), np.arange(100.0, 120.0), np.arange(120.0, 220.0, 10.0)])
    )
    one = parts(trace, 1)[0]
    assert one.arrival_s.tolist() == [0, 1, 2, 3] and 11 <= one.input_tokens[0] <= 30
    four = parts(trace, 4)  # of 8 to each of two, were 16 enough for all: 4 x 4 / 2 = 8 requests
    assert sum(part.input_tokens.size for part in four) == 4 and all(
        (np.diff(part.arrival_s) == 4).all() for part in four
    )


# ---- made up


@pytest.mark.parametrize("n_replicas", [1, 3, 40])
def test_made_up_requests_keep_load_levels_and_lengths(n_replicas):
    demand = of_rate(12.0, LENGTHS, peak_to_mean=7 / 6, weekend_share=0.5)  # 7 a second for 2/7 of the time, else 14
    found = made_up(demand, n_replicas=n_replicas, most_tokens=100_000)
    n, span_s = replicas.MADE_UP, replicas.MADE_UP * n_replicas / 12.0
    assert found.arrival_s.size == n and found.arrival_s[-1] <= span_s
    early = (found.arrival_s < span_s * 2 / 7).sum()
    assert early == pytest.approx(n / 6, abs=4 * np.sqrt(n * 5 / 36))  # 7 x 2 of 7 x 2 + 14 x 5
    assert early * n_replicas / (span_s * 2 / 7) == pytest.approx(7.0, rel=0.15)
    for tokens, mean, cv in ((found.input_tokens, 800, 0.5), (found.output_tokens, 200, 1.0)):
        assert tokens.mean() == pytest.approx(mean, rel=5 * cv / np.sqrt(n))
        assert tokens.std() / tokens.mean() == pytest.approx(cv, rel=0.12)


def test_made_up_arrivals_are_poisson():
    gaps = np.diff(made_up(of_rate(5.0, LENGTHS), n_replicas=2, most_tokens=1e6).arrival_s)
    assert gaps.mean() == pytest.approx(2 / 5, rel=0.05) and gaps.std() / gaps.mean() == pytest.approx(1.0, rel=0.05)


def test_made_up_requests_depend_on_their_seed_alone():
    demand = of_rate(5.0, LENGTHS)
    same, again, other = (made_up(demand, n_replicas=2, most_tokens=1e6, seed=seed) for seed in (1, 1, 2))
    assert (same.arrival_s == again.arrival_s).all() and (same.output_tokens == again.output_tokens).all()
    assert (same.output_tokens != other.output_tokens).any()


def test_made_up_requests_fit_the_context():
    found = made_up(of_rate(5.0, LENGTHS), n_replicas=1, most_tokens=1000)
    assert (found.input_tokens + found.output_tokens).max() <= 1000 and found.input_tokens.min() >= 1


# ---- what is cached


def test_hits_by_hand():
    trace = Trace(arrival_s=[0, 1, 2], input_tokens=[100, 40, 16], output_tokens=[5, 5, 5], name="made")
    found = replicas.with_hits(trace, 0.5)  # 50, 20 and 8 tokens are 3, 1 and 0 blocks of 16
    assert found.prefix_block_tokens == 16 and found.prefix_starts.tolist() == [0, 3, 4, 4]
    assert found.prefix_ids.tolist() == [0, 1, 2, 0] and found.input_tokens.tolist() == [100, 40, 16]
    assert replicas.with_hits(trace, 0.99).prefix_starts.tolist() == [
        0,
        6,
        8,
        8,
    ]  # a prompt's last token is never cached
    assert replicas.with_hits(trace, 0.0) is trace


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_hits_are_the_share_that_is_asked_for(share):
    deployed = answers.deployment("llama-3.1-8b", "h100-sxm", weights="fp8")
    trace = replicas.with_hits(
        made_up(of_rate(5.0, LENGTHS._replace(input_tokens=4000.0)), n_replicas=1, most_tokens=1e5), share
    )
    policy = policy_of(deployed, schedule="chunked", max_batch=64, token_budget=8192, prefix_cache=True)
    cached = simulate(trace, deployed, policy).cached_tokens
    assert cached[100:].sum() / trace.input_tokens[100:].sum() == pytest.approx(share, rel=0.03)


def test_what_is_cached_is_not_computed_again():
    deployed = answers.deployment("llama-3.1-8b", "h100-sxm", weights="fp8")
    trace = made_up(of_rate(5.0, LENGTHS._replace(input_tokens=4000.0)), n_replicas=1, most_tokens=1e5)
    plain, hit = (
        replayed(deployed, [replicas.with_hits(trace, share)], slots=64.0, token_budget=8192) for share in (0.0, 0.9)
    )
    assert hit["ttft_s"].median() < 0.5 * plain["ttft_s"].median() and hit["tpot_s"].mean() < plain["tpot_s"].mean()


# ---- replayed and kept


def test_kept_by_hand():
    found = pd.DataFrame({"ttft_s": np.arange(1, 11) / 10, "tpot_s": [np.nan, *np.arange(2, 11) / 100]})
    assert kept(found, limited(ttft_s=0.9, share=0.9)) and not kept(found, limited(ttft_s=0.89, share=0.9))
    assert kept(found, limited(tpot_s=0.09, share=0.9)) and not kept(found, limited(tpot_s=0.089, share=0.9))
    assert kept(found, limited(tpot_s=0.001, share=0.1)) and not kept(found, limited(tpot_s=0.001, share=0.11))
    assert kept(found, limited(ttft_s=0.5, tpot_s=0.05, share=0.5))
    assert not kept(found, limited(ttft_s=0.5, tpot_s=0.04, share=0.5))
    assert kept(found, limited(share=0.99))


def test_a_refused_request_fails():
    deployed = answers.deployment("llama-3.1-8b", "h100-sxm", weights="fp8")
    n, too_long = 200, deployed.model.max_context + 1
    prompts = np.where(np.arange(n) % 4 == 1, too_long, 100)
    trace = Trace(arrival_s=np.arange(n) / 10.0, input_tokens=prompts, output_tokens=np.full(n, 10), name="long")
    found = replayed(deployed, [trace], slots=64.0, token_budget=8192)
    assert np.isinf(found["ttft_s"]).sum() == np.isinf(found["tpot_s"]).sum() == 50
    assert len(found) == 50 + 150 - 7  # of those that were served, the first few are not counted
    assert kept(found, limited(ttft_s=1.0, tpot_s=0.1, share=0.7)) and not kept(
        found, limited(ttft_s=1.0, tpot_s=0.1, share=0.8)
    )
    assert not kept(found, limited(share=0.8)), "refused requests keep no limit, not even none at all"


def test_replayed_joins_the_parts():
    deployed = answers.deployment("llama-3.1-8b", "h100-sxm", weights="fp8")
    trace = made_up(of_rate(5.0, LENGTHS), n_replicas=1, most_tokens=4000)
    one, two = (replayed(deployed, parts(trace, n), slots=64.9, token_budget=8192) for n in (1, 2))
    assert len(one) == 5700 and len(two) == 2 * 2850
    assert np.isfinite(one["ttft_s"]).all() and two["tpot_s"].mean() < one["tpot_s"].mean()  # half the load each
