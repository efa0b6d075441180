"""Claims of the chapter on scheduling: which share of a batch's slots makes tokens, and what the idle ones cost."""

import math
from functools import cache

import numpy as np

from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.claims import check, together
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import placed, reduction, spread
from costpertoken.model.counts import count
from costpertoken.model.records import Workload
from costpertoken.model.setup import Pool, Setup, a_round, longest_tokens, pool

#: What a slot's occupancy is a share of: the steps that decode, or all time, prompts too.
DECODING, WHOLE = "decode steps", "whole time"
#: Points at which the requests in flight at a load are looked for.
POINTS = 401


def setup_of(*, model, accelerator, weights, tp, input_tokens, output_tokens, schedule, slots, output_cv=0.0) -> Setup:
    """A setup with so many requests in flight."""
    work = Workload(input_tokens=input_tokens, output_tokens=output_tokens, concurrency=float(slots))
    at = placed(model, accelerator, weights=weights, tp=tp)
    return Setup(deployment=at, workload=work, schedule=schedule, output_cv=output_cv)


def served(setup: Setup, slots) -> Pool | None:
    """Its steady state; None where so many do not fit."""
    found = pool(setup, float(slots))
    return found if found.batch >= slots else None


def decoding_share(setup: Setup, found: Pool) -> float:
    """Share of the time in which the slots' tokens are made; prompts that ride along take none of it."""
    if setup.schedule == "chunked":
        return 1.0
    work = setup.workload
    longest = work.output_tokens / float(found.slot_occupancy)
    step = a_round(setup, count(setup.deployment), found.batch, work.input_tokens + 0.5 * longest)
    return float(longest * step.step_s / found.spent.step_s)


def occupancy(setup: Setup, *, slots, in_flight, counted) -> float:
    """Share of the slots, in per cent, that make a token, with `in_flight` of them taken when a batch starts or on average."""
    found = served(setup, in_flight)
    if found is None:
        return math.nan
    share = 1.0 if counted == DECODING else decoding_share(setup, found)
    return 100.0 * in_flight / slots * float(found.slot_occupancy) * share


@check("static-batching-occupancy")
def static_occupancy(*, batch, filled, counted, **knobs):
    """Mean answer over the expected longest of the batch, in per cent; times the share of slots filled when it starts, and,
    counted over the whole time, times the share of it that is not prompts."""
    started = max(1.0, filled * batch)
    return occupancy(setup_of(schedule="static", slots=started, **knobs), slots=batch, in_flight=started, counted=counted)


def in_flight_at(setup: Setup, *, slots, load) -> float:
    """Requests in flight at which a share `load` of what full slots finish is finished (Little's law, solved on a grid)."""
    flight = np.linspace(0.0, float(slots), POINTS)[1:]
    rate = pool(setup, flight).requests_per_s
    return float(np.interp(load * rate[-1], rate, flight))


@check("continuous-batching-occupancy")
def continuous_occupancy(*, batch, load, counted, **knobs):
    """Requests in flight over slots, in per cent, at a share of the most that can be finished: all of them with a backlog;
    counted over the whole time, less the steps that only take prompts in."""
    setup = setup_of(slots=batch, **knobs)
    if served(setup, batch) is None:
        return math.nan
    flight = in_flight_at(setup, slots=batch, load=load)
    value = occupancy(setup, slots=batch, in_flight=flight, counted=counted)
    if load == 1.0:
        return value
    figure = spread(value, ratio_band("loads"))
    return Figure(value, figure.low, min(100.0, figure.high))


@cache
def cost_ratio(*, batch, output_cv, schedule, **knobs) -> float:
    """Seconds of a request under the schedule over those in static batches, as many slots in both."""
    both = [setup_of(schedule=one, slots=batch, output_cv=output_cv, **knobs) for one in ("static", schedule)]
    found = [served(one, batch) for one in both]
    if None in found:
        return math.nan
    before, after = (float(one.requests_per_s) for one in found)
    return before / after


@check("continuous-batching-saving")
def saving(**knobs):
    """1 - static over continuous requests a second, in per cent: one machine, as many slots, a backlog."""
    return reduction(cost_ratio(**knobs), ratio_band("loads"))


@together("continuous-batching-cost-50", "static-batching-util-40")
def saving_and_occupancy(*, batch, output_cv, **knobs):
    """Both are of one distribution of lengths and one batch."""
    longest = float(longest_tokens(output_tokens=1.0, output_cv=output_cv, batch=float(batch)))
    return 100 * (1 - cost_ratio(batch=batch, output_cv=output_cv, **knobs)), 100 / longest
