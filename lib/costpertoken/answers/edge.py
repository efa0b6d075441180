"""One fleet in the centre or n sites: what a replica makes, use and cost by sites, what distance adds, the best number."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.answers import tiers
from costpertoken.answers.estimate import degrees_of
from costpertoken.evidence import places
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.checks import centre_or_edge as checks
from costpertoken.evidence.checks.batching import request_flop
from costpertoken.evidence.checks.centre_or_edge import TPOT_LIMIT_S, round_trip_s, waiting_usd_per_mtok
from costpertoken.evidence.scenario import model_band, spread
from costpertoken.fleet import network, sites
from costpertoken.fleet.machines import capacity_tok_per_s
from costpertoken.fleet.station import pooled, station
from costpertoken.fleet.steady import most_per_s, most_requests_per_s
from costpertoken.model.counts import peak_flop_per_s
from costpertoken.model.records import Deployment, InputError
from costpertoken.model.serving import serve
from costpertoken.model.units import HOUR_S, MTOK

#: Request that every fleet of the chapter serves.
LENGTHS = {"input_tokens": 1000, "output_tokens": 500}
#: Chance that a site has as many replicas up as its busiest hour needs.
TARGET = 0.999
#: Most tokens of a step, and a token of English with its space.
BUDGET, TOKEN = 2048, " token"
#: Ways of `tiers.hybrid` that a table shows.
WAYS = (
    "large model for all, centre", "large model for all, edge", "both models, centre",
    "urgent at the edge, others in the centre", "small at the edge, large in the centre",
)  # fmt: skip
#: Numbers of sites that a curve is drawn through.
MANY = tuple(int(n) for n in np.unique(np.round(np.geomspace(1, 300, 28))))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fleet's demand and its replica: deployment, output tokens a second of one full replica, seconds to the first token."""

    deployed: Deployment
    demand: sites.Demand
    tok_per_s: float
    ttft_s: float
    tpot_s: float


def case(model_id: str, accelerator_id: str, *, accelerators: float, weights="fp8", **asked: float) -> Case:
    """The replica that makes most tokens an accelerator within the limit, and the demand that keeps so many accelerators busy
    in the mean. asked: fields of Demand. Raises InputError where no degree serves."""
    made = {}
    one = tables.deployment(model_id, accelerator_id, weights=weights)
    for degree in (int(d) for d in degrees_of(one) if d <= 8):
        rate, slots = capacity_tok_per_s(replace(one, tp=degree), **LENGTHS, tpot_limit_s=TPOT_LIMIT_S)
        made[degree] = (float(rate) / degree, float(slots))
    kept = {degree: pair for degree, pair in made.items() if np.isfinite(pair[0])}
    if not kept:
        raise InputError(f"{model_id} on {accelerator_id}: no degree keeps the limit on the time per output token")
    tp = max(kept, key=lambda degree: kept[degree][0])
    at, slots = replace(one, tp=tp), np.floor(kept[tp][1])
    full = serve(at, concurrency=slots, **LENGTHS)
    demand = sites.Demand(load=accelerators / tp, slots=slots, target=TARGET, **asked)
    seconds = {"ttft_s": float(full.ttft_s), "tpot_s": float(full.tpot_s)}
    return Case(deployed=at, demand=demand, tok_per_s=float(full.output_tok_per_s), **seconds)


def ratio(at: Case, n: int, **changed: float) -> float:
    """What a token costs from n edge sites over what it costs from one centre."""
    fleet = {"accelerator_id": at.deployed.accelerator.id, "accelerators": at.deployed.tp}
    return places.cost_ratio(at.demand, n, **fleet, **changed)


def ratio_interval(at: Case, n: int) -> Figure:
    """`ratio` with its interval."""
    return places.with_interval(lambda **one: ratio(at, n, **one), at.deployed.accelerator.id)


def both(at: Case) -> tuple[sites.Place, sites.Place]:
    """(centre, edge site) for this fleet's replicas."""
    return places.places(at.deployed.accelerator.id, at.deployed.tp)


def usd_per_mtok(at: Case, n: int, *, kind: str = "edge") -> Figure:
    """USD per million output tokens, the whole bill on output, from n sites of a kind; interval: inputs and model."""
    chip, which = at.deployed.accelerator.id, ("centre", "edge").index(kind)

    def answer(**one: float) -> float:
        place = places.places(chip, at.deployed.tp, **one)[which]
        return sites.serve_from(at.demand, place, n).usd_per_hour / (at.demand.load * at.tok_per_s * HOUR_S / MTOK)

    found = places.with_interval(answer, chip)
    ends = found.low / found.value, found.high / found.value
    return spread(found.value, ends, model_band(at.deployed, backlog=False))


def curve(at: Case, numbers: Sequence[int] = MANY) -> pd.DataFrame:
    """By number of edge sites: ratio to one centre with low and high, utilisation in per cent, replicas, spares."""
    rows = []
    for n in numbers:
        found = sites.serve_from(at.demand, both(at)[1], n)
        rows.append({"sites": n, **ratio_interval(at, n)._asdict(), "utilisation": 100 * found.utilisation,
                     "needed": found.needed, "spares": found.spares})  # fmt: skip
    return pd.DataFrame(rows).rename(columns={"value": "ratio"})


def pools(at: Case, most: float = 1000.0) -> pd.DataFrame:
    """Utilisation in per cent that a pool reaches by its number of accelerators, as four readings: each accelerator one
    server; slots of batches as servers; those over the day's peak; and less the spares."""
    tp, demand, rows = at.deployed.tp, at.demand, []
    chance = {"wait_probability": demand.wait_probability}
    for n in np.unique(np.round(np.geomspace(1, most / tp, 24))):
        up, gpus = int(n), float(n * tp)
        full = float(sites.occupancy(servers=up * demand.slots, **chance))
        spares = sites.spares_within(up, both(at)[1].availability, TARGET)
        found = {
            "GPUs as servers": float(sites.occupancy(servers=gpus, **chance)), "slots as servers": full,
            "and the day's peak": full / demand.peak_to_mean,
            "and spares": full / demand.peak_to_mean * (1 - spares / up),
        }  # fmt: skip
        rows += [{"accelerators": gpus, "reading": name, "utilisation": 100 * used} for name, used in found.items()]
    return pd.DataFrame(rows)


def used(at: Case, n: int, *, kind: str) -> dict[str, float]:
    """Four utilisations in per cent: slots taken in the busiest hour; machines over the week; and, in the mean hour, peak
    arithmetic (MFU) and peak bandwidth (MBU) of the machines paid for that are no spares."""
    place, one = both(at)[("centre", "edge").index(kind)], at.deployed
    found = sites.serve_from(at.demand, place, n)
    share = at.demand.load / n / found.needed  # of what one working replica can finish, in the mean hour
    flights = np.geomspace(0.01, 1.0, 200) * at.demand.slots
    out = serve(one, concurrency=np.maximum(flights, 1.0), **LENGTHS)
    rates = out.requests_per_s * np.minimum(flights, 1.0)
    top = np.searchsorted(rates, share * at.tok_per_s / LENGTHS["output_tokens"])
    i, busy = min(top, len(flights) - 1), min(flights[min(top, len(flights) - 1)], 1.0)
    step, efficiency = out.step, one.efficiency
    read_s = step.weights_s * efficiency.weight_bandwidth + step.cache_s * efficiency.cache_bandwidth
    flop = request_flop(one, **LENGTHS) / (one.tp * peak_flop_per_s(one, "dense"))
    return {
        "slots": 100 * share * found.peak_to_mean, "machines": 100 * found.utilisation,
        "mfu": 100 * float(rates[i] * flop), "mbu": 100 * busy * float(np.ravel(read_s / step.step_s)[i]),
    }  # fmt: skip


def distance(at: Case, numbers: Sequence[int], *, area_km2: float) -> pd.DataFrame:
    """By sites: kilometres to the nearest, ms there and back, ms before the first token of a new connection, and their share
    in per cent of that wait and of the whole answer."""
    far = np.array([float(network.mean_distance_km(area_km2=area_km2, sites=n)) for n in numbers])
    trip = np.array([float(round_trip_s(area_km2=area_km2, sites=n)) for n in numbers])
    added = network.first_byte_s(trip)
    answer_s = at.ttft_s + at.tpot_s * LENGTHS["output_tokens"]
    return pd.DataFrame({
        "sites": list(numbers), "km": far, "trip_ms": 1000 * trip, "added_ms": 1000 * added,
        "of_first": 100 * added / (added + at.ttft_s), "of_answer": 100 * added / (added + answer_s),
    })  # fmt: skip


def with_waiting(at: Case, *, area_km2: float, usd_per_hour, numbers: Sequence[int] = MANY) -> pd.DataFrame:
    """By sites: USD per million tokens of the machines, of the users' waiting for the network, and of both."""
    trips = np.array([float(round_trip_s(area_km2=area_km2, sites=n)) for n in numbers])
    value = {"usd_per_hour": usd_per_hour, "output_tokens": LENGTHS["output_tokens"]}
    made = at.demand.load * at.tok_per_s * HOUR_S / MTOK
    bills = np.array([sites.serve_from(at.demand, both(at)[n > 1], n).usd_per_hour for n in numbers])
    waits = waiting_usd_per_mtok(network.first_byte_s(trips), **value)
    return pd.DataFrame(
        {"sites": list(numbers), "machines": bills / made, "waiting": waits, "total": bills / made + waits}
    )


def best_sites(at: Case, *, area_km2: float, usd_per_hour: float) -> int:
    """The number of sites with the lowest cost of machines and waiting together; one is the centre."""
    found = with_waiting(at, area_km2=area_km2, usd_per_hour=usd_per_hour)
    return int(found.loc[found["total"].idxmin(), "sites"])


def worth_needed(at: Case, *, area_km2: float) -> float:
    """USD that an hour of a user's waiting must be worth before any number of edge sites beats the centre."""
    found = with_waiting(at, area_km2=area_km2, usd_per_hour=1.0)
    dearer, sooner = found["machines"] - found["machines"].iloc[0], found["waiting"].iloc[0] - found["waiting"]
    return float((dearer[1:] / sooner[1:]).min())


def by_model(model_ids: Sequence[str], n: int, **fleet) -> pd.DataFrame:
    """For each model that fits: accelerators of a replica, busy replicas of a site, USD per million tokens from the centre and
    from n edge sites, and their ratio. fleet: what `case` takes."""
    rows = []
    for name in model_ids:
        try:
            at = case(name, **fleet)
        except InputError:
            continue
        usd = usd_per_mtok(at, 1, kind="centre").value, usd_per_mtok(at, n).value
        grain = at.demand.load / n
        rows.append([at.deployed.model.name, at.deployed.tp, grain, *usd, usd[1] / usd[0]])
    return pd.DataFrame(rows, columns=["model", "replica", "grain", "centre", "edge", "ratio"])


def by_urgency(at: Case, limits: Mapping[str, float], *, small_id: str, large_id: str, n_sites: int, area_km2: float):
    """Ways of serving urgent, plain and hard requests with a small and a large model at both places, by the seconds in which
    the first token of the urgent ones has to come: USD per million output tokens, NaN where a limit is broken."""
    load = at.demand.load * at.tok_per_s / LENGTHS["output_tokens"]
    fleet = {
        "small_id": small_id,
        "large_id": large_id,
        "accelerator_id": at.deployed.accelerator.id,
        "n_sites": n_sites,
    }
    day = {"peak_to_mean": at.demand.peak_to_mean, "zone_hours": at.demand.zone_hours}
    found = {}
    for name, seconds in limits.items():
        kinds = tiers.mix(load, lax=0.0, urgent_s=seconds)
        plans = tiers.hybrid(kinds, **fleet, area_km2=area_km2, round_trips=network.FRESH, day=day).set_index("way")
        found[name] = plans["usd_per_mtok"].replace(np.inf, np.nan)
    return pd.DataFrame(found).loc[list(WAYS)].reset_index()


def carried(at: Case, replicas: int) -> float:
    """Share of what so many replicas can finish that they carry, with steps as long as what is in flight makes them, nine
    requests in ten within twice the TTFT of a full replica and the limit on each token."""
    fleet = pooled(station(at.deployed, token_budget=BUDGET, slots=at.demand.slots, **LENGTHS), replicas)
    return most_requests_per_s(fleet, ttft_s=2 * at.ttft_s, tpot_s=1.2 * TPOT_LIMIT_S)[0] / most_per_s(fleet)


def event_bytes(tokens: int = 1) -> int:
    """Bytes of one event of a streamed answer with so many tokens in it, as the usual interface writes it."""
    choice = {"index": 0, "delta": {"content": TOKEN * tokens}, "logprobs": None, "finish_reason": None}
    chunk = {"id": f"chatcmpl-{'0' * 24}", "object": "chat.completion.chunk", "created": 1764000000,
             "model": "llama-3.1-70b-instruct", "choices": [choice]}  # fmt: skip
    return len(f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n")


def egress(*, tokens_per_event: int = 1) -> tuple[float, float]:
    """(bytes that leave for a token, USD per million tokens at a hyperscaler's price of them)."""
    sent = network.sent_bytes_per_token(
        event_bytes=event_bytes(tokens_per_event), tokens_per_event=tokens_per_event, packet_bytes=checks.PACKET_BYTES
    )
    price = places.own.prior("egress_price", "hyperscaler").value
    return float(sent), float(network.egress_usd_per_mtok(bytes_per_token=sent, usd_per_gb=price))
