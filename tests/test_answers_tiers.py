"""Real deployments as tiers: capacities by substitution, bills by hand from them, and laws of the ways."""

from math import ceil, inf

import numpy as np
import pytest

from costpertoken.answers import tiers
from costpertoken.evidence import places
from costpertoken.fleet import sites
from costpertoken.fleet.queueing import servers_for, spares_for
from costpertoken.fleet.station import at_flight, station
from costpertoken.fleet.steady import steady
from costpertoken.fleet.tiers import Kind
from costpertoken.tables import cpus
from costpertoken.tables.deploy import deployment, headline_price

SMALL = deployment("llama-3.1-8b", "h100-sxm", weights="fp8")
PAIR = {"small_id": "llama-3.1-8b", "large_id": "llama-3.1-70b", "accelerator_id": "h100-sxm", "area_km2": 10e6}
FLAT = {"peak_to_mean": 1.0, "zone_hours": 0.0}


def kind(**changed) -> Kind:
    same = {"name": "one", "requests_per_s": 2.0, "input_tokens": 300, "output_tokens": 100, "latency_s": 1.0, "tpot_s": 0.05}
    return Kind(**{**same, **changed})


def by_way(frame, column="usd_per_hour"):
    return dict(zip(frame["way"], frame[column], strict=True))


def test_the_mix_by_hand():
    kinds = {one.name: one for one in tiers.mix(10.0, urgent=0.4, lax=0.1, hard=0.2)}
    assert {name: one.requests_per_s for name, one in kinds.items()} == pytest.approx(
        {"urgent": 4.0, "lax": 1.0, "plain": 3.0, "hard": 2.0}
    )
    assert kinds["hard"].quality > 0 and kinds["urgent"].latency_s < kinds["plain"].latency_s < kinds["lax"].latency_s
    assert [one.name for one in tiers.mix(10.0, urgent=1.0, lax=0.0, hard=0.0)] == ["urgent"]


def test_a_capacity_by_substitution():
    """At the capacity found nine requests in ten keep the limit that binds, what distance adds taken off."""
    of = kind(latency_s=0.25)
    most = tiers.capacities(SMALL, [of], network_s=0.1)["one"]
    at = station(SMALL, input_tokens=300, output_tokens=100, token_budget=tiers.BUDGET)
    kept = steady(at, requests_per_s=most, shares=(0.9,))
    assert kept.ttft_s[0] <= 0.1502 and kept.tpot_s[0] <= 0.0502
    assert kept.ttft_s[0] >= 0.14 or kept.tpot_s[0] >= 0.048
    assert most < tiers.capacities(SMALL, [of])["one"]
    assert np.isnan(tiers.capacities(SMALL, [of], network_s=0.3)["one"])


def test_a_fleet_by_hand():
    """One kind on one replica's capacity: the peak's whole replicas at the headline price."""
    rent = headline_price("h100-sxm").usd_per_hour
    of = kind(requests_per_s=400.0)
    most = tiers.capacities(SMALL, [of])["one"]
    day = {"peak_to_mean": 2.0, "zone_hours": 0.0}
    at = tiers.tier("x", SMALL, [of], place=tiers.rented("h100-sxm", 1), day=day)
    found = tiers.table({tiers.CHEAPEST: [([of], [at])]}, [of]).iloc[0]
    count = ceil(400 / (most / sites.spread_peak(2.0, 0.0)))
    assert found["replicas"] == count > 2 and found["usd_per_hour"] == pytest.approx(count * rent)
    assert found["usd_per_mtok"] == pytest.approx(count * rent / (400 * 100 * 0.0036))
    assert (found["ratio"], found["sites"], found["one"]) == (1.0, 1, "x")


def test_an_edge_by_hand():
    """A trickle on three owned sites: one replica each and its spares, and what each site costs however small."""
    place = places.places("h100-sxm", 1)[1]
    of = kind(requests_per_s=0.03)
    at = tiers.tier("x", SMALL, [of], place=place, n_sites=3, day=FLAT)
    found = tiers.table({tiers.CHEAPEST: [([of], [at])]}, [of]).iloc[0]
    spare = spares_for(needed=1, availability=place.availability, target=tiers.TARGET)
    assert found["replicas"] == 3 * (1 + spare)
    assert found["usd_per_hour"] == pytest.approx(
        3 * ((1 + spare) * place.usd_per_replica_hour + place.fixed_usd_per_hour)
    )


@pytest.mark.parametrize("requests_per_s", [20.0, 2000.0])
def test_laws_of_the_ways(requests_per_s):
    kinds = tiers.mix(requests_per_s)
    frame = tiers.hybrid(kinds, **PAIR, n_sites=10)
    bills = by_way(frame)
    assert frame["ratio"].min() == 1.0 == by_way(frame, "ratio")[tiers.CHEAPEST]
    assert bills["both models, centre"] <= bills["large model for all, centre"]
    assert bills["both models, edge"] <= bills["large model for all, edge"]
    assert bills["large model for all, centre"] < bills["large model for all, edge"]
    assert set(frame.columns[6:]) == {one.name for one in kinds}
    split = frame.set_index("way").loc["small at the edge, large in the centre"]
    assert split["hard"].startswith("centre: llama-3.1-70b") and split["plain"].startswith("edge: llama-3.1-8b")


def test_one_site_of_rented_machines_is_the_centre():
    bills = by_way(tiers.hybrid(tiers.mix(100.0), **PAIR, n_sites=1, rent=True))
    assert bills["both models, edge"] == pytest.approx(bills["both models, centre"])


def test_what_is_too_far_is_no_way():
    """Three round trips over all land leave a limit of 0.2 s to the edge."""
    far = {**PAIR, "area_km2": 135e6, "round_trips": 3}
    frame = tiers.hybrid(tiers.mix(2000.0, urgent_s=0.2), **far).set_index("way")
    gone = frame.loc["both models, centre"]
    assert (gone["usd_per_hour"], gone["ratio"], gone["replicas"], gone["urgent"]) == (inf, inf, 0, "")
    assert frame.loc[tiers.CHEAPEST, "urgent"].startswith("edge") and frame.loc[tiers.CHEAPEST, "hard"].startswith("centre")
    nowhere = tiers.hybrid(tiers.mix(10.0, urgent_s=0.001), **far)
    assert np.isinf(nowhere["ratio"]).all()


def test_a_processor_takes_a_trickle_of_lax_requests():
    """A few hundredths of a request a second: the smallest instance that keeps the limits, by the vCPU."""
    cpu = "graviton4-48xl"
    kinds = tiers.mix(0.02, urgent=0.0, hard=0.0, lax=1.0)
    rented = {"weights": "int8", "rent": True, "cpu_id": cpu}
    frame = tiers.hybrid(kinds, **PAIR, **rented).set_index("way")
    last = frame.loc["the same, and processors"]
    n_vcpus = int(last["lax"].split(" on ")[1].split()[0])
    assert last["usd_per_hour"] == pytest.approx(n_vcpus * cpus.vcpu_price(cpu).usd_per_hour)
    assert last["ratio"] < 1 and n_vcpus in cpus.vcpu_sizes(cpu)
    busy = tiers.hybrid(tiers.mix(50.0, urgent=0.0, hard=0.0, lax=1.0), **PAIR, **rented)
    assert by_way(busy, "ratio")["the same, and processors"] == 1.0


def test_groups_apart_by_hand():
    """Ten groups of half a replica each: one replica each, or what one queue for all of them needs."""
    of = kind(requests_per_s=1.0)
    at = station(SMALL, input_tokens=300, output_tokens=100, token_budget=tiers.BUDGET)
    slots = tiers.most_requests_per_s(at, ttft_s=1.0, tpot_s=0.05, share=tiers.SHARE)[1]
    most = slots / (100 * at_flight(at, at.decode_s, slots) + slots * at_flight(at, at.prompt_s, slots))
    loads = kind(requests_per_s=5.0 * most)
    found = tiers.apart(SMALL, loads, shares=[0.1] * 10, place=tiers.rented("h100-sxm", 1))
    assert found["apart"] == 10 * ceil(servers_for(load=0.5 * slots, wait_probability=0.01) / int(slots)) == 10
    assert found["pooled"] == ceil(servers_for(load=5.0 * slots, wait_probability=0.01) / int(slots))
    assert found["ratio"] == pytest.approx(10 / found["pooled"])
    assert found["apart_usd_per_hour"] == pytest.approx(10 * headline_price("h100-sxm").usd_per_hour)
    alone = tiers.apart(SMALL, of, shares=[1.0], place=places.places("h100-sxm", 1)[0])
    assert alone["ratio"] == 1.0
