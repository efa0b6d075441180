"""Cost per Token: a small model of what a token of LLM inference costs, and why.

>>> from costpertoken import tables, Deployment, serve, allocate
"""

import importlib

from costpertoken.fleet.pools import Pools, disaggregate
from costpertoken.model.records import (
    Accelerator,
    Deployment,
    Efficiency,
    InputError,
    Model,
    Precision,
    Price,
    Source,
    UnknownName,
    Workload,
)
from costpertoken.model.serving import Serving, batch_limit, capacity, serve, serve_static
from costpertoken.money.cost import ALLOCATIONS, UnitCost, allocate

__version__ = "0.1.0"

__all__ = [
    "ALLOCATIONS",
    "Accelerator",
    "Deployment",
    "Efficiency",
    "InputError",
    "Model",
    "Pools",
    "Precision",
    "Price",
    "Serving",
    "Source",
    "UnitCost",
    "UnknownName",
    "Workload",
    "allocate",
    "batch_limit",
    "capacity",
    "disaggregate",
    "serve",
    "serve_static",
]

#: Modules that need pandas or altair are imported when first asked for, so that `import costpertoken` stays light.
_LAZY = ("tables", "charts", "prose", "parameters")


def __getattr__(name: str):
    if name in _LAZY:
        return importlib.import_module(f"costpertoken.{name}")
    raise AttributeError(f"module 'costpertoken' has no attribute {name!r}")
