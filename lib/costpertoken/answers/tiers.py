"""Real deployments as tiers: a small model near the users, a large one in the centre, processors for what is small and lax.

A replica's capacity is the largest Poisson load at which its limits are kept (`fleet.steady`), distance taken off the limit on
the first token, over the busiest hour's peak. Quality is size: the parameters (1e9) that a request needs of its model.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from costpertoken.answers.estimate import degrees_of
from costpertoken.answers.routing import size_b
from costpertoken.evidence import places
from costpertoken.evidence.checks.centre_or_edge import round_trip_s
from costpertoken.fleet import network, sites
from costpertoken.fleet.station import station, with_slots
from costpertoken.fleet.steady import most_per_s, most_requests_per_s
from costpertoken.fleet.tiers import Kind, Tier, cheapest, isolation, isolation_ratio
from costpertoken.model.records import Deployment
from costpertoken.money.cost import usd_per_mtok
from costpertoken.tables import cpus
from costpertoken.tables.deploy import deployment, headline_price

#: Most tokens of a step, and share of the requests that keep both limits.
BUDGET, SHARE = 2048, 0.9
#: Peak over mean of a day, width of the time zones that the users live in, chance that enough replicas are up.
DAY = {"peak_to_mean": 2.0, "zone_hours": 4.0}
TARGET = 0.999
#: Name of the way that the others are compared with.
CHEAPEST = "each kind where it is cheapest"
#: What no hardware failure is counted for: rented machines, which the seller replaces.
NO_FIXED = {"availability": 1.0, "fixed_usd_per_hour": 0.0}


def mix(
    requests_per_s: float, *, urgent=0.4, lax=0.1, hard=0.2, large_b=50.0, urgent_s=0.3, ttft_s=3.0, lax_s=10.0, tpot_s=0.05,
    lax_tpot_s=0.25,
) -> list[Kind]:  # fmt: skip
    """Four kinds of requests with a mean load between them; urgent, lax, hard: their shares, the rest is plain.

    urgent and lax ones are short, with a tight and a loose limit on the first token (urgent_s, lax_s); plain and hard ones are
    longer; hard ones need a model of large_b (1e9 parameters), the others any. Kinds without a share are left out.
    """
    short, longer = {"input_tokens": 300, "output_tokens": 100}, {"input_tokens": 1000, "output_tokens": 400}
    made = {
        "urgent": (urgent, {**short, "latency_s": urgent_s, "tpot_s": tpot_s}),
        "lax": (lax, {**short, "latency_s": lax_s, "tpot_s": lax_tpot_s}),
        "plain": (1.0 - urgent - lax - hard, {**longer, "latency_s": ttft_s, "tpot_s": tpot_s}),
        "hard": (hard, {**longer, "latency_s": ttft_s, "tpot_s": tpot_s, "quality": large_b}),
    }
    parts = {name: (share * requests_per_s, fields) for name, (share, fields) in made.items() if share > 1e-9}
    return [Kind(name=name, requests_per_s=load, **fields) for name, (load, fields) in parts.items()]


def capacities(deployed: Deployment, kinds: Sequence[Kind], *, network_s: float = 0.0) -> dict[str, float]:
    """Requests per second of one replica filled with each kind alone within its limits; NaN where not even one keeps them.

    network_s: what distance adds to the first token, with or without load.
    """
    found = {}
    for kind in kinds:
        at = station(deployed, input_tokens=kind.input_tokens, output_tokens=kind.output_tokens, token_budget=BUDGET)
        room_s = kind.latency_s - network_s
        limits = {"ttft_s": room_s, "tpot_s": kind.tpot_s, "share": SHARE}
        found[kind.name] = most_requests_per_s(at, **limits)[0] if room_s > 0 else np.nan
    return found


def tier(name: str, deployed: Deployment, kinds, *, place: sites.Place, n_sites=1, network_s=0.0, day=DAY) -> Tier:
    """A deployment as a tier of n sites, for mean loads: each site is built for the peak that it sees itself."""
    peak = sites.spread_peak(day["peak_to_mean"], float(day["zone_hours"] / np.sqrt(n_sites)))
    most = {kind: rate / peak for kind, rate in capacities(deployed, kinds, network_s=network_s).items()}
    return Tier(
        name=name, usd_per_hour=place.usd_per_replica_hour, requests_per_s=most, quality=size_b(deployed.model), sites=n_sites,
        site_usd_per_hour=place.fixed_usd_per_hour, availability=place.availability, target=TARGET,
    )  # fmt: skip


def rented(accelerator_id: str, accelerators: int) -> sites.Place:
    """A place whose replicas are rented at the headline price: no fixed costs, and failures are the seller's."""
    return sites.Place(usd_per_replica_hour=accelerators * headline_price(accelerator_id).usd_per_hour, **NO_FIXED)


def accelerated(
    where: str, model_id: str, accelerator_id: str, kinds, *, n_sites=1, network_s=0.0, weights="fp8", rent=False, day=DAY
) -> list[Tier]:
    """A model on accelerators in the "centre" or at the "edge", a tier for each tensor-parallel degree: owned, with the costs,
    failures and spares of such a place (`evidence.places`), or rented, which costs the same everywhere."""
    one = deployment(model_id, accelerator_id, weights=weights)
    out = []
    for tp in degrees_of(one):
        place = rented(accelerator_id, tp) if rent else places.places(accelerator_id, tp)[where == "edge"]
        name = f"{where}: {model_id} on {tp} x {accelerator_id}"
        ways = {"place": place, "n_sites": n_sites, "network_s": network_s, "day": day}
        out.append(tier(name, replace(one, tp=tp), kinds, **ways))
    return [at for at in out if any(rate > 0 for rate in at.requests_per_s.values())]


def processors(model_id: str, cpu_id: str, kinds, *, network_s=0.0, weights="int8", day=DAY) -> list[Tier]:
    """A model on a processor's instances in the centre, a tier for each size that serves any kind, rented by the vCPU."""
    out = []
    for n in cpus.vcpu_sizes(cpu_id):
        place = sites.Place(usd_per_replica_hour=n * cpus.vcpu_price(cpu_id).usd_per_hour, **NO_FIXED)
        at = cpus.instance(model_id, cpu_id, weights=weights, n_vcpus=n)
        name = f"processor: {model_id} on {n} vCPUs of {cpu_id}"
        out.append(tier(name, at, kinds, place=place, network_s=network_s, day=day))
    return [at for at in out if any(rate > 0 for rate in at.requests_per_s.values())]


def hybrid(
    kinds: Sequence[Kind], *, small_id: str, large_id: str, accelerator_id: str, area_km2: float, n_sites: int = 30,
    round_trips: int = network.OPEN, weights: str = "fp8", cpu_id: str | None = None, rent: bool = False, day=DAY,
) -> pd.DataFrame:  # fmt: skip
    """Ways of serving all kinds, one a row: the large model alone, two models, one place or both, and processors beside.

    Columns: way; usd_per_hour; usd_per_mtok (the whole bill on output tokens); ratio (of the bill to that of CHEAPEST, each
    kind where it is cheapest); replicas (spares too); sites (in use); then a column for each kind: the tier that serves it. A
    way that does not keep all limits has an infinite bill and ratio, no replicas and empty names.
    area_km2: where users live, as in `answers.edge`; the centre is one site of it, the edge n_sites. round_trips: before the
    first byte. cpu_id adds the small model on rented processors in the centre; rent: accelerators rented too, not owned.
    """
    small, large = {}, {}
    for where, n in (("centre", 1), ("edge", n_sites)):
        added = float(network.first_byte_s(round_trip_s(area_km2=area_km2, sites=n), round_trips=round_trips))
        site = {"n_sites": n, "network_s": added, "weights": weights, "rent": rent, "day": day}
        for model_id, found in ((small_id, small), (large_id, large)):
            found[where] = accelerated(where, model_id, accelerator_id, kinds, **site)
    extra = None
    if cpu_id:
        far_s = float(network.first_byte_s(round_trip_s(area_km2=area_km2, sites=1), round_trips=round_trips))
        extra = processors(small_id, cpu_id, kinds, network_s=far_s, day=day)
    return table(ways(kinds, small, large, extra), kinds)


def ways(kinds: Sequence[Kind], small, large, extra: Sequence[Tier] | None = None) -> dict[str, list]:
    """Way -> [(kinds, tiers that they may go to), ...]. small, large: tiers of "centre" and "edge"; extra: processors, or none.

    Urgent are the kinds with the tightest limit on the first token; easy those that the small model is good enough for.
    """
    size = max((at.quality for at in (*small["centre"], *small["edge"])), default=0.0)
    urgent = [kind for kind in kinds if kind.latency_s == min(one.latency_s for one in kinds)]
    calm = [kind for kind in kinds if kind not in urgent]
    easy, rest = [kind for kind in kinds if kind.quality <= size], [kind for kind in kinds if kind.quality > size]
    centre, edge = small["centre"] + large["centre"], small["edge"] + large["edge"]
    out = {
        "large model for all, centre": [(kinds, large["centre"])],
        "large model for all, edge": [(kinds, large["edge"])],
        "both models, centre": [(kinds, centre)],
        "both models, edge": [(kinds, edge)],
        "urgent at the edge, others in the centre": [(urgent, edge), (calm, centre)],
        "small at the edge, large in the centre": [(easy, small["edge"]), (rest, large["centre"])],
        CHEAPEST: [(kinds, centre + edge)],
    }
    return out if extra is None else {**out, "the same, and processors": [(kinds, [*centre, *edge, *extra])]}


def table(found: dict[str, list], kinds: Sequence[Kind]) -> pd.DataFrame:
    """The cheapest plan of each way (as `ways` gives them), with the columns of `hybrid`."""
    rows = []
    for way, groups in found.items():
        plans = [cheapest(some, tiers) for some, tiers in groups if some]
        n_sites = {at.name: at.sites for _, tiers in groups for at in tiers}
        used = {name: n for plan in plans for name, n in plan.replicas.items() if n}
        assigned = {kind: name for plan in plans for kind, name in plan.assigned.items()}
        bill, tokens = sum(plan.usd_per_hour for plan in plans), sum(k.requests_per_s * k.output_tokens for k in kinds)
        fits = len(assigned) == len(kinds)
        row = {"way": way, "usd_per_hour": bill, "usd_per_mtok": float(usd_per_mtok(usd_per_hour=bill, tok_per_s=tokens))}
        used = used if fits else {}
        row |= {"replicas": sum(used.values()), "sites": max((n_sites[name] for name in used), default=0)}
        rows.append(row | {kind.name: assigned.get(kind.name, "") if fits else "" for kind in kinds})
    frame = pd.DataFrame(rows)
    least = float(frame.loc[frame["way"] == CHEAPEST, "usd_per_hour"].iloc[0])
    frame.insert(3, "ratio", frame["usd_per_hour"] / least if np.isfinite(least) else np.inf)
    return frame


def apart(
    deployed: Deployment, kind: Kind, *, shares: Sequence[float], place: sites.Place, wait_probability: float = 0.01
) -> dict[str, float]:
    """Groups of users with replicas of their own against one pool: replicas apart and pooled, their ratio, USD per hour of each.

    shares: of the kind's load, a group each. Slots are those at which a replica keeps the kind's limits, each served at the
    pace of a full batch.
    """
    at = station(deployed, input_tokens=kind.input_tokens, output_tokens=kind.output_tokens, token_budget=BUDGET)
    slots = most_requests_per_s(at, ttft_s=kind.latency_s, tpot_s=kind.tpot_s, share=SHARE)[1]
    served_s = slots / most_per_s(with_slots(at, slots))
    groups = {"loads": kind.requests_per_s * np.asarray(shares) * served_s, "slots": int(slots)}
    up = {"availability": place.availability, "target": TARGET}
    of = isolation(**groups, wait_probability=wait_probability, **up)
    counts = int(of.needed_apart.sum() + of.spares_apart.sum()), of.needed_pooled + of.spares_pooled
    bills = (float(count * place.usd_per_replica_hour) for count in counts)
    names = ("apart", "pooled", "ratio", "apart_usd_per_hour", "pooled_usd_per_hour")
    return dict(zip(names, (*counts, isolation_ratio(of), *bills), strict=True))
