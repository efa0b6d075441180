"""What moves an answer most: each input alone from its low to its high end, the others as they are, widest first."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import pandas as pd

from costpertoken import tables
from costpertoken.model.records import Deployment, Efficiency
from costpertoken.model.units import GB, KILO
from costpertoken.prose import significant

#: The constants of the engine, in words; the others are named by their field.
WORDS = {
    "weight_bandwidth": "bandwidth reached, weights",
    "expert_bandwidth": "bandwidth reached, experts",
    "cache_bandwidth": "bandwidth reached, cache",
    "link_bandwidth": "bandwidth reached, links",
    "dense_peak": "peak reached, products",
    "expert_peak": "peak reached, experts",
    "attention_peak": "peak reached, attention",
    "activation_passes": "passes of activations",
    "activation_replicated": "activations replicated",
    "memory_usable": "memory used, share",
    "output_reserved": "output reserved, share",
    "reserve_bytes": "memory reserved",
    "host_step_s": "host, a step",
    "host_layer_s": "host, a layer",
    "host_sequence_s": "host, a sequence",
    "link_latency_s": "all-reduce latency",
    "max_batch": "engine's cap",
}
#: Ending of a name -> (scale, unit) in which its ends are shown.
SHOWN = {"_bytes": (GB, " GB"), "_s": (1 / KILO**2, " µs")}


def span(name: str, ends: tuple[float, float]) -> str:
    """The ends of an input in words."""
    scale, unit = next((shown for ending, shown in SHOWN.items() if name in WORDS and name.endswith(ending)), (1.0, ""))
    return " to ".join(significant(end / scale) for end in ends) + unit


def tornado(answer: Callable[..., float], ranges: Mapping[str, tuple[float, float]], most: int = 5) -> pd.DataFrame:
    """The inputs that move an answer most: input, value (as it is), low and high (of the answer), at (the input's ends).

    answer: takes any one of the inputs by name and gives the answer with the others as they are. ranges: input -> (low end,
    high end). An end at which there is no answer (NaN) counts as no move.
    """
    value = float(answer())
    rows = []
    for name, ends in ranges.items():
        moved = [found for found in (float(answer(**{name: end})) for end in ends) if found == found]
        words = f"{WORDS.get(name, name.replace('_', ' '))}, {span(name, ends)}"
        rows.append({"input": words, "value": value, "low": min([value, *moved]), "high": max([value, *moved])})
    frame = pd.DataFrame(rows)
    return frame.iloc[(frame["low"] / frame["high"]).argsort(kind="stable")[:most]].reset_index(drop=True)


def constant_ranges(deployed: Deployment) -> dict[str, tuple[float, float]]:
    """The interval of each of a deployment's calibrated constants that has one."""
    ends = [
        tables.efficiency(deployed.accelerator, deployed.precision, engine=deployed.engine, column=column)
        for column in ("low", "high")
    ]
    both = {item.name: tuple(getattr(end, item.name) for end in ends) for item in fields(Efficiency)}
    return {name: span for name, span in both.items() if span[0] < span[1]}


#: Constants that are shares of a whole.
SHARES = ("overlap", "memory_usable", "output_reserved", "activation_replicated", "window_held")


def moved_alike(at: Deployment, base: Deployment, **moved: float) -> Deployment:
    """A deployment with constants of its engine changed by the factor by which `moved` changes the base's: what is compared in
    other formats is then moved alike. Shares of a whole stay at most one."""
    factors = {name: value / getattr(base.efficiency, name) for name, value in moved.items()}
    changed = {name: getattr(at.efficiency, name) * factor for name, factor in factors.items()}
    return with_constant(at, **{name: min(value, 1.0) if name in SHARES else value for name, value in changed.items()})


def with_constant(deployed: Deployment, **changed: float) -> Deployment:
    """The deployment with some constants of its engine changed."""
    return replace(deployed, efficiency=replace(deployed.efficiency, **changed))
