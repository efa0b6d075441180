"""Claims of the chapter on batching: what shares a step, and what it costs the one who waits."""

from costpertoken.evidence.claims import check, together
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import decode_s, placed, reduction, spread


def step_ratio(*, model, accelerator, weights, tp, batch, context_tokens) -> float:
    """Seconds of a decode step of `batch` requests over those of one request."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    return decode_s(at, batch=batch, context_tokens=context_tokens) / decode_s(at, batch=1, context_tokens=context_tokens)


@check("batch32-cost-reduction")
def cost_reduction(*, batch, **knobs):
    """1 - t(b) / (b t(1)) for decode steps alone, in per cent."""
    return reduction(step_ratio(batch=batch, **knobs) / batch, ratio_band("loads"))


@check("batch32-latency-increase")
def latency_increase(**knobs):
    """t(b) / t(1) - 1 for decode steps alone, in per cent."""
    ratio = spread(step_ratio(**knobs), ratio_band("loads"))
    return ratio._replace(value=100 * (ratio.value - 1), low=100 * (ratio.low - 1), high=100 * (ratio.high - 1))


@together("batch32-cost-reduction", "batch32-latency-increase")
def cost_and_latency(**knobs):
    """Both are of one step: whatever it takes, (1 - saved) x batch = 1 + slower."""
    return cost_reduction(**knobs).value, latency_increase(**knobs).value
