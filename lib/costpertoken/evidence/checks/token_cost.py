"""Claims of the chapter on what a token costs: words, days and years of tokens, bytes a token, training beside serving."""

from costpertoken import tables
from costpertoken.evidence.claims import Unverifiable, check
from costpertoken.evidence.ratios import ratio_band
from costpertoken.evidence.scenario import Figure, model_band, placed, rent, served, spread, usd_per_mtok
from costpertoken.model import counts, roofline, transformer
from costpertoken.model.units import DAYS_PER_YEAR, GB, HOURS_PER_YEAR, MONTHS_PER_YEAR, MTOK
from costpertoken.prose import significant

#: FLOP a parameter and token: forward and backward.
TRAINING_FLOP = 6.0
COMPANY = "a company's own books, which are not public"


@check("cost-per-word")
def cost_per_word(
    *, model, accelerator, weights, tp, cloud_class, concurrency, input_tokens, output_tokens, tokens_per_word
):
    """Model's USD per output token (whole bill) at some requests in flight, times the tokens of a word."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    price = rent(accelerator, cloud_class=cloud_class)
    load = {"input_tokens": input_tokens, "output_tokens": output_tokens, "concurrency": concurrency}
    usd = usd_per_mtok(at, price.usd_per_hour, **load) / MTOK * tokens_per_word
    return spread(usd, model_band(at, backlog=False))


def training_s(*, model, training_tokens, accelerator, mfu) -> float:
    """Accelerator-seconds of training: 6 FLOP a parameter and token, at a share of the 16-bit peak."""
    served_model = tables.model(model)
    flop = TRAINING_FLOP * sum(transformer.active_parameters(served_model).values()) * training_tokens
    return flop / (tables.accelerator(accelerator).peak_flop_per_s["bf16"] * mfu)


def serving_s_per_token(at, *, input_tokens, output_tokens, counted) -> float:
    """Accelerator-seconds of a served token with a backlog; counted: output tokens alone, or all that pass."""
    full = served(at, input_tokens=input_tokens, output_tokens=output_tokens)
    rate = full.output_tok_per_s + (full.input_tok_per_s if counted == "all" else 0.0)
    return float(full.n_accelerators / rate)


@check("inference-share")
def inference_share(
    *, model, accelerator, weights, tp, tokens_per_day, days, counted, input_tokens, output_tokens, mfu, llama2_tokens,
    llama3_tokens,
):  # fmt: skip
    """Serving's share of the accelerator-hours of one training and so many days of serving on the same accelerator, per cent."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    trained = llama2_tokens if model.startswith("llama-2") else llama3_tokens
    training = training_s(model=model, training_tokens=trained, accelerator=accelerator, mfu=mfu)
    each = serving_s_per_token(at, input_tokens=input_tokens, output_tokens=output_tokens, counted=counted)
    low, high = model_band(at, backlog=True)
    shares = [100 * s / (s + training) for s in (each * tokens_per_day * days * factor for factor in (1.0, low, high))]
    return Figure(*shares)


@check("demand-tokens-day")
def demand(*, users, requests_per_user_day, input_tokens, output_tokens, counted):
    """Users x requests a day x tokens of a request (output alone, or prompt and output)."""
    return users * requests_per_user_day * (output_tokens + (input_tokens if counted == "all" else 0.0))


@check("price-gap-month")
def price_gap(*, tokens_per_day, usd_per_token_low, usd_per_token_high):
    """(higher - lower price of a token) x tokens a day x days of a mean month."""
    return (usd_per_token_high - usd_per_token_low) * tokens_per_day * DAYS_PER_YEAR / MONTHS_PER_YEAR


@check("annual-bill")
def annual_bill(*, tokens_per_day, usd_per_token):
    """Price of a token x tokens a day x days of a year."""
    return usd_per_token * tokens_per_day * DAYS_PER_YEAR


def words_of_spend(usd_per_year: float, accelerator: str) -> str:
    """What a yearly spend rents at the headline price, in words."""
    price = rent(accelerator)
    number = usd_per_year / (price.usd_per_hour * HOURS_PER_YEAR)
    name = tables.accelerator(accelerator).name
    return f"{significant(usd_per_year)} USD a year rent {significant(number, 2)} {name} on demand"


@check("books-daily-cost")
def daily_cost(*, usd_per_day, accelerator):
    """Not computable: a private figure; the reason says what it would rent."""
    raise Unverifiable(
        f"{COMPANY}; it is no impossible figure: {words_of_spend(usd_per_day * DAYS_PER_YEAR, accelerator)}"
    )


@check("books-annual-cost")
def annual_cost(*, usd_per_year, accelerator):
    """Not computable: a private figure; the reason says what it would rent."""
    raise Unverifiable(f"{COMPANY}; it is no impossible figure: {words_of_spend(usd_per_year, accelerator)}")


@check("books-revenue-share")
def revenue_share(*, usd_per_day, share):
    """Not computable: revenue is private; the reason says which revenue the two printed figures imply."""
    year = usd_per_day * DAYS_PER_YEAR
    raise Unverifiable(
        f"{COMPANY}; with the daily cost printed beside it, {significant(year)} USD a year, it implies a revenue of "
        f"{significant(100 * year / share)} USD a year"
    )


@check("free-tier-cause")
def free_tier(*, model, accelerator, weights, tp, requests_per_day, input_tokens, output_tokens):
    """Not computable: a motive; the reason says what a free user costs a month by the model."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    mtok = usd_per_mtok(at, rent(accelerator).usd_per_hour, input_tokens=input_tokens, output_tokens=output_tokens)
    usd = mtok / MTOK * output_tokens * requests_per_day * DAYS_PER_YEAR / MONTHS_PER_YEAR
    raise Unverifiable(
        f"a company's motive; by the model a free user of {at.model.name} with {significant(requests_per_day)} requests a day "
        f"costs {significant(usd, 2)} USD a month on machines that are kept full"
    )


def read_bytes(at, *, batch) -> float:
    """Bytes of weights that one decode step reads, on one accelerator that holds them all."""
    counted = counts.count(at)
    return float(sum(roofline.class_work(counted, name, batch, 0.0)[0] for name in roofline.CLASSES))


@check("bytes-per-parameter")
def bytes_per_parameter(*, model, weights, batch):
    """Weight bytes that a decode step reads, over the model's parameters and the tokens of the step."""
    at = placed(model, "h100-sxm", weights=weights)
    return read_bytes(at, batch=batch) / sum(transformer.parameters(at.model).values()) / batch


@check("bytes-per-token")
def bytes_per_token(*, model, weights, batch, context_tokens):
    """Weights read in a step, shared by its tokens, and the cache of one request, in GB."""
    at = placed(model, "h100-sxm", weights=weights)
    cache = context_tokens * transformer.cache_bytes_per_token(at.model, at.precision)
    return (read_bytes(at, batch=batch) / batch + cache) / GB


@check("moved-bytes-share")
def moved_bytes_share(*, model, accelerator, weights, tp, batch, context_tokens):
    """Share of a decode step's time that grows with the bytes moved (weights, cache, activations), in per cent."""
    at = placed(model, accelerator, weights=weights, tp=tp)
    step = roofline.step(at, decode=float(batch), context_tokens=context_tokens)
    moved = float(step.weights_s + step.cache_s + step.activation_s)
    odds = moved / (float(step.step_s) - moved)
    shares = [100 * odds * factor / (1 + odds * factor) for factor in (1.0, *ratio_band("loads"))]
    return Figure(*shares)


def days_to_match(*, tokens_per_day, **knobs) -> float:
    """Days of serving after which serving has taken as many accelerator-hours as the training did."""
    training = training_s(**{k: knobs[k] for k in ("model", "training_tokens", "accelerator", "mfu")})
    at = placed(knobs["model"], knobs["accelerator"], weights=knobs["weights"], tp=knobs["tp"])
    each = serving_s_per_token(at, **{k: knobs[k] for k in ("input_tokens", "output_tokens", "counted")})
    return training / (each * tokens_per_day)
