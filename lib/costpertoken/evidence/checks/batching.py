"""Claims of the chapter on batching: what shares a step, and what it costs the one who waits."""

import math

from costpertoken.evidence.admissible import Figure
from costpertoken.evidence.claims import check, together
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import decode_s, inverse, model_band, placed, reduction, served, spread
from costpertoken.model.counts import peak_flop_per_s
from costpertoken.model.roofline import step
from costpertoken.model.transformer import attention_flop_per_pair, matrix_parameters

#: The two meanings of wasted capacity.
IDLE, MOVING = "idle multipliers", "time moving memory"


def request_s(at, *, batch, input_tokens, output_tokens, prompts) -> float:
    """Seconds that a request takes with `batch` of them in flight, NaN where they do not fit.

    prompts: "elsewhere" counts decode steps at the mean context only; "here" counts the prompts in the same engine too, and
    by Little's law the time of a request is the batch over the requests a second.
    """
    if prompts == "elsewhere":
        return output_tokens * decode_s(at, batch=batch, context_tokens=input_tokens + output_tokens / 2)
    out = served(at, input_tokens=input_tokens, output_tokens=output_tokens, concurrency=batch)
    return float(batch / out.requests_per_s) if out.batch >= batch else math.nan


def time_ratio(*, model, accelerator, weights, tp, batch, **load) -> float:
    """Seconds of a request among `batch` over those of one alone."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    return request_s(at, batch=batch, **load) / request_s(at, batch=1, **load)


@check("batch32-cost-reduction")
def cost_reduction(*, batch, **knobs):
    """1 - t(b) / (b t(1)) in per cent, t the time of a request with b in flight: b of them share the bill of that time."""
    return reduction(time_ratio(batch=batch, **knobs) / batch, ratio_band("loads"))


@check("batch32-latency-increase")
def latency_increase(**knobs):
    """t(b) / t(1) - 1 in per cent, t the time of a request with b in flight."""
    ratio = spread(time_ratio(**knobs), ratio_band("loads"))
    return Figure(*(100 * (end - 1) for end in ratio))


@together("batch32-cost-reduction", "batch32-latency-increase")
def cost_and_latency(**knobs):
    """Both are of one machine: whatever a request takes, (1 - saved) x batch = 1 + slower."""
    ratio = time_ratio(**knobs)
    return 100 * (1 - ratio / knobs["batch"]), 100 * (ratio - 1)


def step_shares(at, *, batch, input_tokens, output_tokens, prompts) -> tuple[float, float, float]:
    """(seconds on memory, seconds multiplying, seconds) of a step; NaN where the batch does not fit."""
    out = served(at, input_tokens=input_tokens, output_tokens=output_tokens, concurrency=batch)
    if not out.batch >= batch:
        return (math.nan,) * 3
    context = input_tokens + output_tokens / 2
    taken = out.step if prompts == "here" else step(at, decode=float(batch), context_tokens=context)
    memory_s = taken.weights_s + taken.cache_s + taken.activation_s
    return float(memory_s), float(taken.products_s + taken.prefill_attention_s), float(taken.step_s)


@check("memory-speed-over-compute")
def memory_share(*, model, accelerator, weights, tp, **load):
    """Memory's share, in per cent, of the seconds that a step spends on moving bytes and on multiplying."""
    memory_s, compute_s, _ = step_shares(placed(model, accelerator, weights=weights, tp=tp), **load)
    return 100 * memory_s / (memory_s + compute_s)


def request_flop(at, *, input_tokens, output_tokens) -> float:
    """FLOP of one request: every prompt and output token through the matrices, and causal attention over its context."""
    products = matrix_parameters(at.model)
    active = products["expert"] * at.model.n_experts_active / max(at.model.n_experts, 1) + products["dense"]
    matrices = 2 * active * (input_tokens + output_tokens) + 2 * products["head"] * output_tokens
    prompt = input_tokens**2 / 2 * attention_flop_per_pair(at.model, prefill=True)
    answer = output_tokens * (input_tokens + output_tokens / 2) * attention_flop_per_pair(at.model, prefill=False)
    return matrices + prompt + answer


@check("single-request-waste")
def lone_waste(*, model, accelerator, weights, tp, input_tokens, output_tokens, capacity):
    """Capacity that one request alone leaves unused, in per cent: 1 - MFU over the request, prompt included; or the share of
    its decode step in which bytes move."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    load = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    if capacity == MOVING:
        memory_s, _, step_s = step_shares(at, batch=1, prompts="elsewhere", **load)
        return 100 * memory_s / step_s
    peak = tp * peak_flop_per_s(at, "dense")
    mfu = request_flop(at, **load) / (peak * request_s(at, batch=1, prompts="here", **load))
    used = spread(mfu, inverse(model_band(at, backlog=False)))
    return Figure(100 * (1 - used.value), 100 * (1 - used.high), 100 * (1 - used.low))
