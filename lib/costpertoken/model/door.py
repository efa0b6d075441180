"""The door: what is refused, and in which words. Every value that comes in from outside is held to its range here."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import field

import numpy as np


class InputError(ValueError):
    """A value refused at the door. The message names the field, the value and what was expected."""


class UnknownName(InputError):
    """A name that no table holds. The message gives the nearest ones."""


def at_least(bound, *, below=math.inf, **options):
    """Field whose value (scalar or array) must lie in [bound, below]."""
    return field(metadata={"low": bound, "high": below}, **options)


def check_range(name, value, *, low=0.0, high=math.inf, exclusive=False):
    """Return value as given; raise InputError unless all of it is a finite number in [low, high] ((low when exclusive)."""
    if isinstance(value, float | int) and low <= value <= high and value < math.inf and not (exclusive and value == low):
        return value
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!r}; expected a number") from None
    good = np.isfinite(array) & ((array > low) if exclusive else (array >= low)) & (array <= high)
    if not good.all():
        limit = ("above" if exclusive else "at least") + f" {low:g}" + (f" and at most {high:g}" if math.isfinite(high) else "")
        raise InputError(f"{name} is {array[~good].flat[0]:g}; expected a finite number {limit}")
    return value


def check(record) -> None:
    """Hold every field of a record to the range its declaration gives."""
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        label = f"{type(record).__name__}.{item.name}"
        left_open = value is None and item.default is None
        if "low" in item.metadata and not left_open:
            check_range(label, value, low=item.metadata["low"], high=item.metadata["high"])
        elif isinstance(value, Mapping):
            for key, entry in value.items():
                check_range(f"{label}[{key}]", entry, low=0, exclusive=True)
