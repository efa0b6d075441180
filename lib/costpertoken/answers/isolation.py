"""What it costs to give each group of users replicas of its own: the premium over one pool, and what a limit adds.

The load is analysts times requests an hour, at its busiest hour; groups have uneven shares of it (`fleet.dedicated`). All
fleets keep the same limits and the same promise on failures. USD are rents of the accelerators, at the headline price.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from costpertoken.evidence import admissible
from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.checks import jpmorgan as checks
from costpertoken.evidence.scenario import rent
from costpertoken.fleet import dedicated
from costpertoken.fleet.dedicated import Isolation, Size
from costpertoken.fleet.station import Station, at_flight, with_slots
from costpertoken.fleet.steady import most_per_s, most_requests_per_s
from costpertoken.model.records import InputError
from costpertoken.model.units import HOUR_S, HOURS_PER_YEAR, KILO, MONTHS_PER_YEAR, MTOK

HOURS_PER_MONTH = HOURS_PER_YEAR / MONTHS_PER_YEAR
#: The claim whose assumed inputs a study has where it states none; working days of a week; most groups that are tried.
CLAIM, WORKDAYS, MOST_GROUPS = "jpm-isolation-cost", 5, 1024
#: What isolation may cost, times one pool: the book's question, not the article's.
LIMIT = 2.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """Who asks for how much, of which model, how soon: the inputs of one study. Shares as `dedicated.shares` makes them."""

    model: str
    accelerator: str
    weights: str = "fp8"
    analysts: float
    requests_per_hour: float
    active_hours: float
    peak_to_mean: float
    coincidence: float = 1.0
    uneven: float = 0.0
    input_tokens: float
    output_tokens: float
    ttft_ms: float
    tpot_ms: float
    target: float = checks.TARGET


def work(case: Case) -> dict[str, float]:
    """Lengths and limits, as the checks take them."""
    return {name: float(getattr(case, name)) for name in ("input_tokens", "output_tokens", "ttft_ms", "tpot_ms")}


def scenario(case: Case, groups: int) -> dict:
    """All inputs of the premium, as its check takes them."""
    names = ("model", "accelerator", "weights", "analysts", "requests_per_hour", "peak_to_mean")
    names += ("coincidence", "uneven", "target")
    return {**{name: getattr(case, name) for name in names}, "groups": groups, **work(case)}


def sizes(case: Case, **change) -> list[Size]:
    """The sizes of a replica that keep the limits; none where no replica does. change: as `checks.with_failures` takes it."""
    return checks.sizes(case.model, case.accelerator, case.weights, **work(case), **change)


def loosened(case: Case) -> tuple[Case, float]:
    """(the case with limits that some replica keeps, by how much both had to be loosened; 1 where it keeps them as asked)."""
    times = 1.0
    while not sizes(at := replace(case, ttft_ms=case.ttft_ms * times, tpot_ms=case.tpot_ms * times)):
        times *= 1.5
        if times > 1e6:
            raise InputError(f"{case.model} at {case.weights} fits no replica of {case.accelerator}; try fewer bits")
    return at, times


def peak_per_s(case: Case) -> float:
    """Requests a second of all groups' busiest hours."""
    return float(checks.peak_per_s(**{name: getattr(case, name) for name in ("analysts", "requests_per_hour", "peak_to_mean")}))


def loads(case: Case, groups: int) -> np.ndarray:
    """Requests a second of each group's busiest hour, the largest first."""
    return peak_per_s(case) * dedicated.shares(groups, case.uneven)


def studied(analysts: float, **given) -> Case:
    """A study of so many analysts: what is not given stands as the claim assumes it (data/claim_inputs.csv)."""
    known = admissible.defaults(admissible.inputs(CLAIM))
    names = {one.name for one in fields(Case)} & set(known)
    return Case(**{**{name: known[name] for name in names}, "analysts": analysts, **given})


def isolated(case: Case, groups: int, able: Sequence[Size] = ()) -> Isolation:
    """A fleet for each group and one pool. able: `sizes` of the case, if they are at hand."""
    return dedicated.isolation(able or sizes(case), loads(case, groups), target=case.target, coincidence=case.coincidence)


def premium(case: Case, groups: int) -> Figure:
    """Accelerators apart over those of one pool, with the interval of its check."""
    return checks.isolation_premium(**scenario(case, groups))


def month_usd(case: Case, accelerators) -> float:
    """USD a month of so many accelerators, rented day and night."""
    return accelerators * rent(case.accelerator).usd_per_hour * HOURS_PER_MONTH


def month_mtok(case: Case) -> float:
    """Millions of output tokens that the analysts get in a month."""
    hours = case.active_hours / 24 * WORKDAYS / 7 * HOURS_PER_MONTH
    return case.analysts * case.requests_per_hour * hours * case.output_tokens / MTOK


def surface(case: Case, groups: Sequence[int], analysts: Sequence[float]) -> pd.DataFrame:
    """The premium by groups and analysts: columns groups, analysts, premium, apart and pooled (accelerators), spare (of
    those of the groups)."""
    rows = []
    for users in analysts:
        for n in groups:
            of = isolated(replace(case, analysts=users), n)
            counts = {"apart": of.apart.accelerators, "pooled": of.pool.accelerators}
            spare = int(np.sum(of.apart.per_replica * of.apart.spares))
            rows.append({"groups": n, "analysts": users, "premium": dedicated.premium(of), **counts, "spare": spare})
    frame = pd.DataFrame(rows)
    return frame.merge(edges("groups", groups)).merge(edges("analysts", analysts))


def edges(name: str, values: Sequence[float]) -> pd.DataFrame:
    """The cell of each of rising values: columns `name`, `name`_from and `name`_to, halfway to its neighbours by ratio."""
    at = np.asarray(values, dtype=float)
    between = np.concatenate([at[:1], np.sqrt(at[1:] * at[:-1]), at[-1:]])
    return pd.DataFrame({name: values, f"{name}_from": between[:-1], f"{name}_to": between[1:]})


def last_within(ratio: Callable[[int], float], most: float, *, low: int = 1, high: int = MOST_GROUPS) -> int:
    """The last number from low, which is taken for granted, to high at which a ratio that rises with it is at most `most`."""
    high += 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if ratio(middle) <= most else (low, middle)
    return low


def most_groups(case: Case, most: float) -> int:
    """How many groups can be apart at a premium of at most `most`, at most MOST_GROUPS, taking it to rise with their number."""
    able = sizes(case)
    return last_within(lambda n: dedicated.premium(isolated(case, n, able)), most)


def contours(case: Case, levels: Sequence[float], analysts: Sequence[float]) -> pd.DataFrame:
    """Lines of equal premium: columns level, analysts, groups (the most at which the premium is at most the level)."""
    at = [(level, users) for level in levels for users in analysts]
    rows = [{"level": x, "analysts": users, "groups": most_groups(replace(case, analysts=users), x)} for x, users in at]
    return pd.DataFrame(rows)


def certain_groups(case: Case, most: float) -> dict[str, float]:
    """The closed form of `dedicated.certain_groups` for this load: groups (whole), load x, pool N, spares k of the largest
    group. The pool is taken at its smallest, as many groups have it; k falls as groups grow in number, so it is put in anew."""
    able, load = sizes(case), peak_per_s(case)
    pool = dedicated.fleet(able, case.coincidence * load, target=case.target)
    of = next(one for one in able if one.accelerators == pool.per_replica[0])
    x, n, found = load / of.each_per_s[0], pool.needed[0] + pool.spares[0], 1
    while True:
        largest = dedicated.needed(of, load * dedicated.shares(found, case.uneven)[0])
        k = int(dedicated.spare(of, largest, case.target))
        more = int(min(max(1.0, dedicated.certain_groups(load=x, pool=n, most=most, spares=k)), MOST_GROUPS))
        if more <= found:
            return {"groups": found, "load": float(x), "pool": int(n), "spares": k, "per_replica": of.accelerators}
        found = more


def by_limit(case: Case, groups: int, limits_ms: Sequence[float]) -> pd.DataFrame:
    """Bills by TPOT limit: columns tpot_ms, way, usd_per_mtok (the whole bill on output) and premium; no row where nothing
    keeps the limit."""
    rows = []
    for limit in limits_ms:
        at = replace(case, tpot_ms=float(limit))
        if not sizes(at):
            continue
        of = isolated(at, groups)
        for way, gpus in (("groups apart", of.apart.accelerators), ("one pool", of.pool.accelerators)):
            usd = month_usd(at, gpus) / month_mtok(at)
            rows.append({"tpot_ms": float(limit), "way": way, "usd_per_mtok": usd, "premium": dedicated.premium(of)})
    return pd.DataFrame(rows)


def replica(case: Case, tp: int) -> Station:
    """A replica of so many accelerators."""
    return checks.replica(case.model, case.accelerator, case.weights, tp, case.input_tokens, case.output_tokens)


def slots(case: Case, tp: int) -> tuple[float, float]:
    """(requests in flight at most on a replica within the limits, seconds that each is served when it is full)."""
    at = replica(case, tp)
    limits = {"ttft_s": case.ttft_ms / KILO, "tpot_s": case.tpot_ms / KILO, "share": checks.SHARE}
    most = most_requests_per_s(at, **limits)[1]
    return most, most / most_per_s(with_slots(at, most))


def in_flight(case: Case, tp: int, requests_per_s) -> np.ndarray:
    """Requests in flight in the mean on a replica at a load that it can take (Little's law)."""
    at = replica(case, tp)
    flights = np.union1d(np.geomspace(0.001, 1.0, 60), at.flight)
    return np.interp(requests_per_s, 1.0 / each_s(at, flights), flights)


def each_s(at: Station, flights) -> np.ndarray:
    """Seconds of a replica that one request takes where so many are in flight, its prompt and its share of the steps."""
    decode_s, prompt_s = (at_flight(at, values, flights) for values in (at.decode_s, at.prompt_s))
    return at.output_tokens * decode_s / flights + prompt_s


def usd_by_batch(case: Case, tp: int, flights) -> np.ndarray:
    """USD per million output tokens (the whole bill) of a replica that always has so many requests in flight."""
    at = replica(case, tp)
    usd_per_s = tp * rent(case.accelerator).usd_per_hour / HOUR_S
    return usd_per_s * each_s(at, np.asarray(flights)) / case.output_tokens * MTOK
