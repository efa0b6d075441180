"""Which request holds which part of the cache's memory: reserved stretches placed by first fit, or blocks as they are needed.

The scheduler counts memory; here it has addresses, so that what lies between stretches shows. Requests are replayed in the
order in which they were admitted: each holds its place until its last token, and one that finds no place waits for it.
"""

import heapq
from dataclasses import dataclass

import numpy as np
import pandas as pd

from costpertoken.model.records import InputError, check_range


@dataclass(frozen=True, kw_only=True)
class Held:
    """Stretches or blocks of requests: arrays of one length. Tokens of a stretch grow evenly from prompt to its end."""

    request: np.ndarray
    start: np.ndarray  # address, in tokens
    tokens: np.ndarray  # allocated there
    prompt: np.ndarray  # of the request
    answer: np.ndarray
    from_s: np.ndarray
    to_s: np.ndarray
    memory_tokens: int
    block_tokens: int  # 0: stretches


def requests_of(admitted_s, finish_s, input_tokens, output_tokens) -> pd.DataFrame:
    """Requests in order of admission, those that were never served left out; stay_s is how long each holds its place."""
    frame = pd.DataFrame({"at_s": admitted_s, "end_s": finish_s, "prompt": input_tokens, "answer": output_tokens})
    frame = frame.dropna().sort_values("at_s", kind="stable")
    return frame.assign(stay_s=frame["end_s"] - frame["at_s"], request=frame.index).reset_index(drop=True)


def first_fit(taken: list[tuple[int, int]], memory: int, wanted: int) -> int:
    """Lowest address with room for a stretch among sorted (start, end) stretches; -1 if there is none."""
    at = 0
    for start, end in taken:
        if start - at >= wanted:
            return at
        at = max(at, end)
    return at if memory - at >= wanted else -1


def stretches(requests: pd.DataFrame, *, memory_tokens: int, reserved) -> Held:
    """Each request in one stretch of `reserved` tokens (a number, or one for each), first fit, from its admission to its end.

    Raises InputError for a stretch longer than the memory.
    """
    check_range("memory_tokens", memory_tokens, low=1)
    wanted = np.maximum(np.broadcast_to(reserved, len(requests)), requests["prompt"] + requests["answer"]).astype(int)
    if len(wanted) and wanted.max() > memory_tokens:
        raise InputError(f"a stretch of {wanted.max()} tokens is longer than memory_tokens, {memory_tokens}")
    live: list[tuple[int, int]] = []
    ends: list[tuple[float, int, int]] = []
    clock, starts, begins = 0.0, [], []
    for at_s, stay_s, size in zip(requests["at_s"], requests["stay_s"], wanted, strict=True):
        clock = max(clock, at_s)
        free(live, ends, clock)
        while (place := first_fit(live, memory_tokens, size)) < 0:
            clock = ends[0][0]
            free(live, ends, clock)
        live.append((place, place + size))
        live.sort()
        heapq.heappush(ends, (clock + stay_s, place, place + size))
        starts.append(place)
        begins.append(clock)
    return held(requests, np.array(starts, dtype=int), wanted, np.array(begins), memory_tokens, 0)


def free(live: list, ends: list, now: float) -> None:
    """Give back every stretch whose request has ended."""
    while ends and ends[0][0] <= now:
        _, start, end = heapq.heappop(ends)
        live.remove((start, end))


def held(requests, start, tokens, begins, memory_tokens, block_tokens) -> Held:
    """Rows of `Held` from requests and where they lie."""
    columns = {name: requests[name].to_numpy() for name in ("request", "prompt", "answer")}
    ends = begins + requests["stay_s"].to_numpy()
    where = {"start": start, "tokens": np.asarray(tokens), "from_s": begins, "to_s": ends}
    return Held(**columns, **where, memory_tokens=memory_tokens, block_tokens=block_tokens)


def used_tokens(of: Held, at_s: float) -> np.ndarray:
    """Tokens filled of each request at a moment; nothing outside its stay."""
    share = np.clip((at_s - of.from_s) / np.maximum(of.to_s - of.from_s, 1e-12), 0.0, 1.0)
    inside = (of.from_s <= at_s) & (at_s < of.to_s)
    return np.where(inside, np.ceil(of.prompt + share * of.answer), 0.0)


def picture(of: Held, at_s: float) -> pd.DataFrame:
    """Memory at a moment as ranges that cover it once, in order of address: start, end, request (-1: nobody's), kind (used,
    reserved, free)."""
    used, rows = used_tokens(of, at_s), []
    for i in np.flatnonzero(used > 0)[np.argsort(of.start[used > 0])]:
        start, filled, end = int(of.start[i]), int(min(used[i], of.tokens[i])), int(of.start[i] + of.tokens[i])
        rows += [(start, start + filled, of.request[i], "used"), (start + filled, end, of.request[i], "reserved")]
    covered, at = [], 0
    for start, end, request, kind in rows:
        if start > at:
            covered.append((at, start, -1, "free"))
        if end > start:
            covered.append((start, end, request, kind))
        at = max(at, end)
    if at < of.memory_tokens:
        covered.append((at, of.memory_tokens, -1, "free"))
    return pd.DataFrame(covered, columns=["start", "end", "request", "kind"])


def paged_picture(requests: pd.DataFrame, *, memory_tokens: int, block_tokens: int, at_s: float) -> pd.DataFrame:
    """The same memory in blocks at a moment: each request's blocks as they came, wherever one was free; columns as `picture`.

    A request takes its prompt's blocks when it is admitted and one more whenever its last is full; where its growth finds
    none free it stays as it is, as one that was sent back would.
    """
    check_range("block_tokens", block_tokens, low=1)
    n_blocks = memory_tokens // block_tokens
    owner, filled = np.full(n_blocks, -1), np.zeros(n_blocks, dtype=int)
    for _, row, wanted in sorted(events(requests, block_tokens, at_s)):
        mine = requests["request"].iloc[row]
        if wanted == 0:
            owner[owner == mine] = -1
        else:
            room = np.flatnonzero(owner < 0)[:wanted]
            owner[room] = mine
    for row in np.flatnonzero((requests["at_s"] <= at_s) & (at_s < requests["end_s"])):
        mine = np.flatnonzero(owner == requests["request"].iloc[row])
        share = (at_s - requests["at_s"].iloc[row]) / requests["stay_s"].iloc[row]
        tokens = int(np.ceil(requests["prompt"].iloc[row] + share * requests["answer"].iloc[row]))
        filled[mine] = np.clip(tokens - np.arange(len(mine)) * block_tokens, 0, block_tokens)
    return ranges(owner, filled, block_tokens, memory_tokens)


def events(requests: pd.DataFrame, block_tokens: int, until_s: float) -> list[tuple[float, int, int]]:
    """(time, row, blocks taken) up to a moment; 0 blocks: all given back."""
    found = []
    for row, (at_s, stay_s, prompt, answer) in enumerate(
        zip(requests["at_s"], requests["stay_s"], requests["prompt"], requests["answer"], strict=True)
    ):
        first = -(-int(prompt) // block_tokens)
        found.append((at_s, row, first))
        full = np.arange(
            first * block_tokens, prompt + answer, block_tokens
        )  # tokens at which one more block is needed
        found += [(at_s + stay_s * (tokens - prompt) / answer, row, 1) for tokens in full if tokens >= prompt]
        found.append((at_s + stay_s, row, 0))
    return [event for event in found if event[0] <= until_s]


def ranges(owner: np.ndarray, filled: np.ndarray, block_tokens: int, memory_tokens: int) -> pd.DataFrame:
    """Blocks as ranges, neighbours of one request and kind joined."""
    rows: list[tuple[int, int, int, str]] = []
    for i, (mine, tokens) in enumerate(zip(owner, filled, strict=True)):
        start, middle, end = i * block_tokens, i * block_tokens + int(tokens), (i + 1) * block_tokens
        parts = (
            [(start, end, -1, "free")] if mine < 0 else [(start, middle, mine, "used"), (middle, end, mine, "reserved")]
        )
        for part in (part for part in parts if part[1] > part[0]):
            if rows and rows[-1][1] == part[0] and rows[-1][2:] == part[2:]:
                rows[-1] = (rows[-1][0], part[1], *part[2:])
            else:
                rows.append(part)
    if (last := len(owner) * block_tokens) < memory_tokens:
        rows.append((last, memory_tokens, -1, "free"))
    return pd.DataFrame(rows, columns=["start", "end", "request", "kind"])


def shares(drawn: pd.DataFrame) -> dict[str, float]:
    """Share of the memory that is used, reserved without use, and free; `wasted` is what of the allocated is not used."""
    tokens = (
        (drawn["end"] - drawn["start"]).groupby(drawn["kind"]).sum().reindex(["used", "reserved", "free"], fill_value=0)
    )
    total, held_tokens = float(tokens.sum()), float(tokens["used"] + tokens["reserved"])
    found = {kind: float(tokens[kind]) / total for kind in tokens.index}
    return found | {"wasted": float(tokens["reserved"]) / held_tokens if held_tokens else 0.0}
