"""Optimizations by name, `gptq:bits=3,group_size=64`: which inputs each one changes, with defaults from data/levers.csv."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from costpertoken import tables
from costpertoken.model import levers as change
from costpertoken.model import speculation as drafts
from costpertoken.model.counts import peak_flop_per_s
from costpertoken.model.records import InputError, UnknownName, check_range
from costpertoken.model.setup import Router, Setup
from costpertoken.model.units import BITS_PER_BYTE, GIGA

#: What is changed, in the order in which changes are applied, whatever the order in which they are asked for.
ASPECTS = (
    "model",
    "heads",
    "weights",
    "products",
    "cache",
    "scores",
    "memory",
    "prefixes",
    "schedule",
    "speculation",
    "routing",
)


@dataclass(frozen=True, kw_only=True)
class Lever:
    """A named change of a Setup. Two levers of one aspect contradict each other."""

    name: str
    words: str
    aspects: tuple[str, ...]
    settings: Mapping[str, float | str]
    apply: Callable[[Setup], Setup]


def in_formats(setup: Setup, **changed) -> Setup:
    """Other fields of the precision, with the engine's constants for the formats that then multiply."""
    at = setup.deployment
    precision = replace(at.precision, **changed)
    found = tables.efficiency(at.accelerator, precision, engine=at.engine)
    return replace(setup, deployment=replace(at, precision=precision, efficiency=found))


def stored(setup: Setup, *, format: str) -> Setup:
    """Weights in a format of data/precisions.csv; what multiplies stays."""
    new = tables.precision(format)
    return in_formats(setup, dense_bytes=new.dense_bytes, expert_bytes=new.expert_bytes, head_bytes=new.head_bytes)


def multiplied(setup: Setup, *, format: str) -> Setup:
    """Products in a format; what is stored stays."""
    new = tables.precision(format)
    return in_formats(setup, dense_math=new.dense_math, expert_math=new.expert_math, head_math=new.head_math)


def cached(setup: Setup, *, format: str) -> Setup:
    """The KV cache in a format."""
    return in_formats(setup, cache_bytes=tables.precision(format, cache=format).cache_bytes)


def grouped(setup: Setup, **settings) -> Setup:
    """Weights of a layer at so many bits and the metadata of their groups; the head stays; products stay wide."""
    size = change.grouped_bits(**settings) / BITS_PER_BYTE
    return in_formats(setup, dense_bytes=size, expert_bytes=size)


def narrow(setup: Setup, *, format: str) -> Setup:
    """Weights and products in one format; the cache stays."""
    return multiplied(stored(setup, format=format), format=format)


def drafted(setup: Setup, *, draft: str, **levels) -> Setup:
    """A smaller model of data/models.csv drafts, on the same accelerators in the same formats."""
    small = beside(setup, draft)
    made = drafts.with_draft_model(small, acceptance=levels["acceptance"], draft_tokens=levels["draft_tokens"])
    return replace(setup, speculation=made)


def beside(setup: Setup, model_id: str):
    """Another model in the same formats on the same accelerators, as many of them as split it."""
    at = setup.deployment
    return replace(at, model=tables.model(model_id), dp=1, ep=1)


def headed(setup: Setup, **levels) -> Setup:
    """Medusa's heads on the model."""
    return replace(setup, speculation=drafts.with_heads(setup.deployment, **levels))


def layered(setup: Setup, **levels) -> Setup:
    """EAGLE's layer on the model."""
    return replace(setup, speculation=drafts.with_layer(setup.deployment, **levels))


def routed(setup: Setup, *, small: str, router_params_b: float, share: float = 1.0, escalated: float) -> Setup:
    """A smaller model for a share of the requests, chosen by a router that reads the prompt once at the products' rate."""
    at = setup.deployment
    flop = 2.0 * router_params_b * GIGA * setup.workload.input_tokens
    router_s = flop / (peak_flop_per_s(at, "dense") * at.efficiency.dense_peak)
    router = Router(small=beside(setup, small), share=share, escalated=escalated, router_s=router_s)
    return replace(setup, router=router)


def whole(function: Callable, **fixed) -> Callable[..., Setup]:
    """A change whose settings are whole numbers."""
    return lambda setup, **settings: function(setup, **fixed, **{name: int(value) for name, value in settings.items()})


#: Name -> (words, aspects, change, settings that are names of a table and have no default).
NAMED: dict[str, tuple] = {
    "moe": ("another model, such as a mixture of experts", ("model",),
            lambda setup, model: change.with_model(setup, model=tables.model(model)), ("model",)),
    "mqa": ("multi-query attention", ("heads",), whole(change.share_heads, n_kv_heads=1), ()),
    "gqa": ("grouped-query attention", ("heads",), whole(change.share_heads), ()),
    "mla": ("latent attention", ("heads",), whole(change.compress_cache), ()),
    "gptq": ("GPTQ weights", ("weights",), grouped, ()),
    "awq": ("AWQ weights", ("weights",), grouped, ()),
    "fp8": ("FP8 weights and products", ("weights", "products"), partial(narrow, format="fp8"), ()),
    "int8": ("INT8 weights and products", ("weights", "products"), partial(narrow, format="int8"), ()),
    "fp4": ("FP4 weights and products", ("weights", "products"), partial(narrow, format="fp4"), ()),
    "weights": ("weights stored in another format", ("weights",), stored, ("format",)),
    "activations": ("products in another format", ("products",), multiplied, ("format",)),
    "cache": ("cache in another format", ("cache",), cached, ("format",)),
    "flash-attention": ("FlashAttention", ("scores",), partial(replace, score_passes=0.0), ()),
    "paging": ("PagedAttention", ("memory",), whole(change.page), ()),
    "prefix-caching": ("prefix caching", ("prefixes",), change.cache_prefixes, ()),
    "continuous-batching": ("continuous batching", ("schedule",), partial(replace, schedule="continuous"), ()),
    "chunked-prefill": ("continuous batching with chunked prefill", ("schedule",), partial(replace, schedule="chunked"), ()),
    "speculation": ("speculative decoding with a draft model", ("speculation",), drafted, ("draft",)),
    "medusa": ("Medusa", ("speculation",), headed, ()),
    "eagle": ("EAGLE", ("speculation",), layered, ()),
    "routing": ("routing to a smaller model", ("routing",), routed, ("small",)),
    "cascade": ("a cascade from a smaller model", ("routing",), routed, ("small",)),
}  # fmt: skip


def settings_of(name: str) -> pd.DataFrame:
    """Settings of a lever that have a default: value, low, high, unit, note, by setting."""
    rows = tables.read("levers")
    return rows[rows["lever"] == name].set_index("setting")[["value", "low", "high", "unit", "note"]]


def chosen(name: str, setting: str, text, known: pd.DataFrame, words: tuple[str, ...]):
    """A setting's value, held to its range in data/levers.csv; names are looked up when the lever is applied."""
    if setting in words:
        return str(text)
    if setting not in known.index:
        there = tables.nearest(setting, [*known.index, *words]) if len(known) or words else "it has none"
        raise UnknownName(f"lever {name}: unknown setting {setting!r}; nearest: {there}")
    low, high = known.loc[setting, ["low", "high"]]
    try:
        return float(check_range(f"lever {name}: {setting}", float(text), low=low, high=high))
    except ValueError as error:
        raise InputError(
            str(error)
            if isinstance(error, InputError)
            else f"lever {name}: {setting} is {text!r}; expected a number from {low:g} to {high:g}"
        ) from None


def lever(name: str, **asked) -> Lever:
    """A lever by name; settings not asked for have their defaults. Unknown names are refused with the nearest ones."""
    if name not in NAMED:
        raise UnknownName(f"unknown lever {name!r}; nearest: {tables.nearest(name, list(NAMED))}")
    words, aspects, function, names = NAMED[name]
    known = settings_of(name)
    given = {setting: chosen(name, setting, value, known, names) for setting, value in asked.items()}
    if missing := [setting for setting in names if setting not in given]:
        raise InputError(f"lever {name}: {missing[0]} is missing; expected {name}:{missing[0]}=NAME")
    settings = known["value"].to_dict() | given
    return Lever(name=name, words=words, aspects=aspects, settings=settings, apply=partial(function, **settings))


def parse(text: str) -> Lever:
    """A lever as it is typed: `name` or `name:setting=value,setting=value`."""
    name, _, rest = text.strip().partition(":")
    pairs = [part.partition("=") for part in rest.split(",")] if rest else []
    if bad := [part for part, sign, _ in pairs if not sign]:
        raise InputError(f"lever {text!r}: {bad[0]!r} has no value; expected name:setting=value,setting=value")
    return lever(name, **{key.strip(): value.strip() for key, _, value in pairs})


def consistent(pulled: Sequence[Lever]) -> None:
    """Refuse two levers that change the same thing."""
    taken: dict[str, Lever] = {}
    for one in pulled:
        for aspect in one.aspects:
            if aspect in taken:
                raise InputError(
                    f"levers {taken[aspect].name} and {one.name} contradict each other: both set the {aspect}; give one"
                )
            taken[aspect] = one


def pull(setup: Setup, pulled: Sequence[Lever]) -> Setup:
    """The setup with all levers applied, in the order of ASPECTS: the result does not depend on the order of `pulled`."""
    consistent(pulled)
    for one in sorted(pulled, key=lambda each: ASPECTS.index(each.aspects[0])):
        setup = one.apply(setup)
    return setup
