"""From an hour's price to a token's, by hand and by law."""

import math
from dataclasses import replace

import numpy as np
import pytest
from given import DEPLOYMENT
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from costpertoken.model.records import InputError
from costpertoken.model.serving import serve
from costpertoken.money import cost

HOUR = 3600


def served(cached_share=0.3, **knobs):
    return serve(
        DEPLOYMENT,
        **{"input_tokens": 400, "output_tokens": 100, "concurrency": 16, "cached_share": cached_share} | knobs,
    )


def test_one_stream_by_hand():
    assert cost.usd_per_mtok(usd_per_hour=3.6, tok_per_s=1000) == pytest.approx(1.0)


def test_word_and_request_by_hand():
    assert cost.usd_per_word(usd_per_mtok=3.0, tokens_per_word=4 / 3) == pytest.approx(4e-6)
    out = served()
    assert cost.usd_per_request(out, usd_per_hour=2.0) == pytest.approx(2.0 / (out.requests_per_s * HOUR))


@pytest.mark.parametrize("allocation", cost.ALLOCATIONS)
@pytest.mark.parametrize("cached_share", [0.0, 0.5])
@pytest.mark.parametrize("utilisation", [1.0, 0.4])
def test_parts_sum_to_the_bill(allocation, cached_share, utilisation):
    out = served(cached_share)
    unit = cost.allocate(
        out, usd_per_hour=2.5, allocation=allocation, utilisation=utilisation, price_ratio=(1.0, 0.25, 0.05)
    )
    flows = [out.output_tok_per_s, out.input_tok_per_s, out.cached_tok_per_s]
    prices = [unit.output_usd_per_mtok, unit.input_usd_per_mtok, unit.cached_usd_per_mtok]
    paid = sum(p * f * HOUR / 1e6 for p, f in zip(prices, flows, strict=True) if f > 0)
    assert paid == pytest.approx(unit.bill_usd_per_hour)
    assert unit.bill_usd_per_hour == pytest.approx(2.5 / utilisation)


def test_per_token_has_one_price():
    unit = cost.allocate(served(), usd_per_hour=2.5, allocation="per-token")
    assert unit.output_usd_per_mtok == pytest.approx(unit.input_usd_per_mtok)
    assert unit.cached_usd_per_mtok == pytest.approx(unit.input_usd_per_mtok)


def test_list_price_keeps_its_ratio():
    unit = cost.allocate(served(), usd_per_hour=2.5, allocation="list-price", price_ratio=(1.0, 0.2, 0.02))
    assert unit.input_usd_per_mtok / unit.output_usd_per_mtok == pytest.approx(0.2)
    assert unit.cached_usd_per_mtok / unit.output_usd_per_mtok == pytest.approx(0.02)


def test_list_price_needs_its_weights():
    with pytest.raises(InputError, match="price_ratio is missing"):
        cost.allocate(served(), usd_per_hour=2.5, allocation="list-price")


def test_what_does_not_flow_has_no_price():
    assert math.isnan(cost.allocate(served(0.0), usd_per_hour=1.0).cached_usd_per_mtok)


def test_unknown_allocation_names_the_known_ones():
    with pytest.raises(InputError, match="output-only"):
        cost.allocate(served(), usd_per_hour=1.0, allocation="fair")


@drawn(st.floats(0.01, 50), st.floats(1.01, 10), st.sampled_from(sorted(cost.ALLOCATIONS)))
@settings(max_examples=50, deadline=None)
def test_dearer_hours_make_dearer_tokens(usd, factor, allocation):
    cheap, dear = (
        cost.allocate(served(), usd_per_hour=u, allocation=allocation, price_ratio=(4, 1, 0))
        for u in (usd, usd * factor)
    )
    assert dear.output_usd_per_mtok > cheap.output_usd_per_mtok


@drawn(st.integers(1, 2000), st.integers(1, 2000), st.floats(1, 200))
@settings(max_examples=50, deadline=None)
def test_never_below_the_compute_floor(isl, osl, batch):
    out = serve(DEPLOYMENT, input_tokens=isl, output_tokens=osl, concurrency=batch)
    unit = cost.allocate(out, usd_per_hour=2.0, allocation="output-only")
    floor = cost.compute_floor_usd_per_mtok(active_flop_per_token=2 * 131e6, peak_flop_per_s=100e12, usd_per_hour=2.0)
    assert unit.output_usd_per_mtok >= floor * (1 - 1e-9)


def test_arrays_equal_loops():
    batch = np.array([1.0, 8.0, 64.0])
    whole = cost.allocate(served(concurrency=batch), usd_per_hour=2.0)
    single = [float(cost.allocate(served(concurrency=b), usd_per_hour=2.0).output_usd_per_mtok) for b in batch]
    assert list(whole.output_usd_per_mtok) == single


def test_every_accelerator_of_a_replica_is_paid():
    out = serve(replace(DEPLOYMENT, tp=2), input_tokens=400, output_tokens=100)
    assert cost.bill_usd_per_hour(out, usd_per_hour=2.0) == pytest.approx(4.0)


def test_energy_by_hand():
    out = served(concurrency=1.0)
    assert cost.joule_per_token(out, power_w=500, pue=1.2) == pytest.approx(600 / out.output_tok_per_s)
