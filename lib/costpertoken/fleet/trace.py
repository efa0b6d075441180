"""A request trace: when each request comes, how long its prompt and its answer are, and which prefix blocks it begins with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from costpertoken.model.records import InputError

NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Requests in order of arrival. Prefix blocks of all requests stand one after the other in prefix_ids, those of request
    i from prefix_starts[i] to prefix_starts[i + 1]; equal ids are equal text. Raises InputError at the first bad request."""

    arrival_s: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    prefix_ids: np.ndarray = field(default_factory=lambda: NONE)
    prefix_starts: np.ndarray = field(default_factory=lambda: NONE)
    prefix_block_tokens: int = 0  # tokens of one block; 0: prefixes are not known
    refused: Mapping[str, tuple[int, ...]] = field(
        default_factory=dict
    )  # reason -> lines of the file that were refused
    reordered: int = 0  # rows of the file that came earlier than one above them
    name: str = ""

    def __post_init__(self) -> None:
        for name, kind in (("arrival_s", float), ("input_tokens", np.int64), ("output_tokens", np.int64)):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=kind))
        object.__setattr__(self, "prefix_ids", np.ascontiguousarray(self.prefix_ids, dtype=np.int64))
        starts = self.prefix_starts if len(self.prefix_starts) else np.zeros(self.arrival_s.size + 1)
        object.__setattr__(self, "prefix_starts", np.ascontiguousarray(starts, dtype=np.int64))
        check(self)


def check(trace: Trace) -> None:
    """Refuse what no engine could serve in order, naming the first request that is at fault."""
    n = trace.arrival_s.size
    if not n:
        raise InputError(f"trace {trace.name}: no request in it; expected at least one")
    for name in ("input_tokens", "output_tokens"):
        values = getattr(trace, name)
        if values.size != n:
            raise InputError(f"trace {trace.name}: {values.size} {name} for {n} arrivals; expected as many")
        if (bad := np.flatnonzero(values < 1)).size:
            raise InputError(f"trace {trace.name}, request {bad[0]}: {name} is {values[bad[0]]}; expected at least 1")
    if not np.isfinite(trace.arrival_s).all() or trace.arrival_s[0] < 0:
        raise InputError(
            f"trace {trace.name}: arrival_s holds {trace.arrival_s[0]:g} or worse; expected finite seconds from 0"
        )
    if (bad := np.flatnonzero(np.diff(trace.arrival_s) < 0)).size:
        raise InputError(
            f"trace {trace.name}, request {bad[0] + 1} comes before the one above it; expected order of arrival"
        )
    starts, ids = trace.prefix_starts, trace.prefix_ids
    fits = starts.size == n + 1 and starts[0] == 0 and starts[-1] == ids.size and (np.diff(starts) >= 0).all()
    if not fits or (ids < 0).any():
        raise InputError(
            f"trace {trace.name}: prefix_starts do not fit {n} requests and {trace.prefix_ids.size} prefix blocks"
        )
