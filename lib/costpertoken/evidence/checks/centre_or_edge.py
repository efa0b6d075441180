"""Claims of the chapter on centre and edge: utilisation of pools, cost from many sites, spares, egress, nearness."""

import numpy as np

from costpertoken.evidence import places
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.claims import Unverifiable, check, together
from costpertoken.evidence.ownership import prior
from costpertoken.evidence.scenario import model_band, placed, spread
from costpertoken.fleet import network, queueing, sites
from costpertoken.fleet.machines import capacity_tok_per_s
from costpertoken.model.units import HOUR_S, KILO, MTOK
from costpertoken.money.cost import usd_per_mtok
from costpertoken.prose import significant

BUSIEST, INFRASTRUCTURE, SHARED = (
    "in the busiest hour",
    "space, power, network and people",
    "any machine serves any model",
)
#: Land without Antarctica, and what the packets of a stream add to an event: IP 20, TCP 32, TLS record 22, HTTP chunk 6.
LAND_KM2, PACKET_BYTES = 135e6, 80.0
#: Time per output token that every replica of this chapter keeps.
TPOT_LIMIT_S = 0.05


def internet(quantity: str) -> float:
    """An assumption about the network between users and sites, as it stands in data/ownership.csv."""
    return prior(quantity, "internet").value


def round_trip_s(*, area_km2, sites):
    """Mean seconds to the nearest of n sites over an area and back, with the detours and the last mile of the internet."""
    far = network.mean_distance_km(area_km2=area_km2, sites=sites)
    return network.round_trip_s(far, stretch=internet("path_stretch"), added_s=internet("last_mile"))


@check("pool-utilisation")
def pool_utilisation(
    *,
    accelerators,
    per_replica,
    slots,
    models,
    sharing,
    counted,
    peak_to_mean,
    zone_hours,
    wait_probability,
    target,
    kind,
) -> Figure:
    """Erlang C's largest share of slots taken, over the peak of the day, times the machines that are no spares, in per cent;
    interval: failures and repairs."""
    replicas = accelerators / per_replica
    apart = 1 if sharing == SHARED else models
    taken = sites.occupancy(servers=replicas * slots / apart, wait_probability=wait_probability)
    peak = 1.0 if counted == BUSIEST else sites.spread_peak(peak_to_mean, zone_hours)

    def used(**changed: float) -> float:
        centre, edge = places.places("h100-sxm", per_replica, **changed)
        up = (centre if kind == "centre" else edge).availability
        spares = sites.spares_within(int(replicas), up, target)
        return 100 * taken / peak * (1 - spares / replicas)

    ends = places.spans("h100-sxm")
    found = [used(failure_hours=x) for x in ends["failure_hours"]]
    found += [used(**{f"{kind}_repair_hours": x}) for x in ends[f"{kind}_repair_hours"]]
    value = used()
    return Figure(value, min([value, *found]), max([value, *found]))


def asked(
    *, accelerators, per_replica, slots, models, peak_to_mean, zone_hours, wait_probability, target
) -> sites.Demand:
    """What is asked of all sites, from a load that keeps so many accelerators busy in the mean."""
    return sites.Demand(
        load=accelerators / per_replica, slots=slots, models=int(models), peak_to_mean=peak_to_mean, zone_hours=zone_hours,
        wait_probability=wait_probability, target=target,
    )  # fmt: skip


@check("edge-over-centre")
def edge_over_centre(*, accelerator, n_sites, per_replica, **load) -> Figure:
    """USD of n edge sites over USD of one centre for the same tokens: peaks, queue, spares, space, power, people, lines."""
    demand, fleet = asked(per_replica=per_replica, **load), {"accelerator_id": accelerator, "accelerators": per_replica}
    return places.with_interval(lambda **one: places.cost_ratio(demand, round(n_sites), **fleet, **one), accelerator)


@check("centre-cheaper")
def centre_cheaper(*, counted, accelerator, n_sites, per_replica, **load) -> Figure:
    """What the centre saves beside n sites, in per cent of the sites' cost: everything, or only what a site costs beyond its
    machines' purchase (the two last factors of the ratio)."""
    if counted != INFRASTRUCTURE:
        ratio = edge_over_centre(accelerator=accelerator, n_sites=n_sites, per_replica=per_replica, **load)
    else:
        demand = asked(per_replica=per_replica, **load)
        ratio = places.with_interval(
            lambda **one: infrastructure(demand, accelerator, per_replica, n_sites, **one), accelerator
        )
    return Figure(*(100 * (1 - 1 / end) for end in ratio))


def infrastructure(demand, accelerator, per_replica, n_sites, **changed: float) -> float:
    """Cost from n sites over cost from one if their machines were used alike: hours and fixed costs of a site alone."""
    return split(demand, accelerator, per_replica, n_sites, **changed)[1]


def split(demand, accelerator, per_replica, n_sites, **changed: float) -> tuple[float, float]:
    """(cost from n sites over cost from one, the same for each machine paid for)."""
    centre, edge = places.places(accelerator, per_replica, **changed)
    far, near = sites.serve_from(demand, centre, 1), sites.serve_from(demand, edge, round(n_sites))
    ratio = near.usd_per_hour / far.usd_per_hour
    return ratio, ratio * (far.needed + far.spares) / (near.sites * (near.needed + near.spares))


@together("central-25pct-cheaper", "edge-cost-2-3x")
def cheaper_and_dearer(*, counted, accelerator, n_sites, per_replica, **load) -> tuple[float, float]:
    """(what the centre saves in per cent, what the edge costs over it) in one scenario."""
    dearer, of_places = split(asked(per_replica=per_replica, **load), accelerator, per_replica, n_sites)
    return 100 * (1 - 1 / (of_places if counted == INFRASTRUCTURE else dearer)), dearer


@check("spares-of-a-site")
def spares_of_a_site(*, replicas, per_replica, failure_hours, repair_hours, target, handed_over) -> float:
    """Fewest spare replicas with which a site that needs so many has them up; none where other sites take over."""
    up = sites.availability(hours_between_failures=failure_hours, repair_hours=repair_hours, accelerators=per_replica)
    return float(queueing.spares_for(needed=round(replicas), availability=up, target=target) if handed_over == "no" else 0)


def centre_usd_per_mtok(*, model, accelerator, weights, per_replica, utilisation, input_tokens, output_tokens) -> float:
    """USD per million output tokens (the whole bill on output) of an owned centre used to that share; NaN if it does not fit."""
    at = placed(model, accelerator, weights=weights, tp=per_replica)
    lengths = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    rate, _ = capacity_tok_per_s(at, **lengths, tpot_limit_s=TPOT_LIMIT_S)
    hour = places.places(accelerator, per_replica)[0].usd_per_replica_hour
    return float(usd_per_mtok(usd_per_hour=hour, tok_per_s=utilisation * rate))


def waiting_usd_per_mtok(seconds, *, usd_per_hour, output_tokens):
    """USD per million output tokens that users' waiting so long for each answer is worth."""
    return seconds * usd_per_hour / HOUR_S * MTOK / output_tokens


@check("egress-and-waiting-over-saving")
def egress_over_saving(
    *, model, accelerator, weights, per_replica, utilisation, dearer, area_km2, n_sites, round_trips, event_bytes,
    tokens_per_event, usd_per_gb, edge_usd_per_gb, waiting_usd_per_hour, output_tokens,
) -> Figure:  # fmt: skip
    """What the centre pays more for egress and its users for waiting, in per cent of what it saves beside the edge; interval:
    the model's on the cost of a token."""
    load = {"utilisation": utilisation, "input_tokens": 1000, "output_tokens": output_tokens}
    at = {"model": model, "accelerator": accelerator, "weights": weights, "per_replica": per_replica}
    saved = (dearer - 1) * centre_usd_per_mtok(**at, **load)
    sent = network.sent_bytes_per_token(
        event_bytes=event_bytes, tokens_per_event=tokens_per_event, packet_bytes=PACKET_BYTES
    )
    egress = network.egress_usd_per_mtok(bytes_per_token=sent, usd_per_gb=usd_per_gb - edge_usd_per_gb)
    waits = [
        network.first_byte_s(round_trip_s(area_km2=area_km2, sites=n), round_trips=round_trips) for n in (1, n_sites)
    ]
    value = {"usd_per_hour": waiting_usd_per_hour, "output_tokens": output_tokens}
    waiting = waiting_usd_per_mtok(waits[0] - waits[1], **value)
    band = model_band(placed(model, accelerator, weights=weights, tp=per_replica), backlog=False)
    return spread(100 * (egress + waiting) / saved, (1 / band[1], 1 / band[0]))


@check("sites-for-nearness")
def sites_for_nearness(*, area_km2, distance_ms) -> float:
    """Fewest sites, not rounded, from which the mean user is so few milliseconds of fibre away and back, the last mile not
    counted: areas of equal round cells."""
    km = distance_ms / KILO / network.round_trip_s(1.0, stretch=internet("path_stretch"))
    return float(area_km2 / (np.pi * (1.5 * km) ** 2))  # the mean of a disc is two thirds of its radius


@check("places-of-a-publisher")
def places_of_a_publisher(*, places_said):
    """Not computable: a company's word on itself; the reason says how near so many places would be."""
    near = network.mean_distance_km(area_km2=LAND_KM2, sites=places_said)
    added = KILO * network.round_trip_s(near, stretch=internet("path_stretch"))
    raise Unverifiable(
        f"a company's statement on where its people work, with no list of places and no number of machines; {places_said:g} "
        f"places spread evenly over the land would lie {significant(near)} km from the mean user, {significant(added)} ms there "
        "and back, which says nothing of a token's cost"
    )
