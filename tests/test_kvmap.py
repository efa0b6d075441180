"""Addresses of the cache's memory: by hand, and by law for random requests."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costpertoken.fleet import kvmap
from costpertoken.model.records import InputError


def made(*rows) -> pd.DataFrame:
    """Requests from (admitted, finished, prompt, answer)."""
    return kvmap.requests_of(*(np.array(column, dtype=float) for column in zip(*rows, strict=True)))


def test_stretches_by_hand():
    """Two side by side; the third waits for the first and takes its place."""
    of = kvmap.stretches(made((0, 10, 20, 20), (1, 20, 10, 10), (2, 12, 30, 10)), memory_tokens=100, reserved=45)
    assert of.start.tolist() == [0, 45, 0]
    assert of.from_s.tolist() == [0, 1, 10] and of.to_s.tolist() == [10, 20, 20]
    drawn = kvmap.picture(of, 5.0)
    assert drawn.values.tolist() == [
        [0, 30, 0, "used"],
        [30, 45, 0, "reserved"],
        [45, 58, 1, "used"],
        [58, 90, 1, "reserved"],
        [90, 100, -1, "free"],
    ]
    assert kvmap.shares(drawn) == pytest.approx({"used": 0.43, "reserved": 0.47, "free": 0.1, "wasted": 47 / 90})


def test_gaps_between_stretches_of_different_sizes():
    """Twenty tokens lie free below and ten above, and thirty in one piece nowhere."""
    of = kvmap.stretches(made((0, 1, 10, 10), (0, 9, 10, 60), (2, 3, 20, 10)), memory_tokens=100, reserved=1)
    assert of.start.tolist() == [0, 20, 0] and of.from_s.tolist() == [0, 0, 9]


def test_blocks_by_hand():
    """At half of its stay the first has 25 of 40 tokens in seven blocks of four, the last of which holds one."""
    drawn = kvmap.paged_picture(made((0, 10, 10, 30)), memory_tokens=60, block_tokens=4, at_s=5.0)
    assert drawn.values.tolist() == [[0, 25, 0, "used"], [25, 28, 0, "reserved"], [28, 60, -1, "free"]]


def test_a_stretch_longer_than_the_memory_is_refused():
    with pytest.raises(InputError, match="longer than memory_tokens, 100"):
        kvmap.stretches(made((0, 1, 10, 10)), memory_tokens=100, reserved=101)


requests = st.lists(
    st.tuples(st.floats(0, 20), st.floats(0.1, 8), st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=25
)


@given(rows=requests, reserved=st.integers(1, 200), at_s=st.floats(0, 40))
@settings(max_examples=300, deadline=None)
def test_stretches_never_overlap_and_nobody_is_lost(rows, reserved, at_s):
    frame = made(*[(at, at + stay, prompt, answer) for at, stay, prompt, answer in rows])
    of = kvmap.stretches(frame, memory_tokens=240, reserved=reserved)
    assert len(of.start) == len(rows) and sorted(of.request) == list(range(len(rows)))
    assert (of.from_s >= frame["at_s"]).all() and np.allclose(of.to_s - of.from_s, frame["stay_s"])
    for i in range(len(rows)):
        together = (of.from_s < of.to_s[i]) & (of.from_s[i] < of.to_s) & (np.arange(len(rows)) != i)
        apart = (of.start + of.tokens <= of.start[i]) | (of.start[i] + of.tokens[i] <= of.start)
        assert apart[together].all()
    covers(kvmap.picture(of, at_s), 240)


@given(rows=requests, block=st.integers(1, 32), at_s=st.floats(0, 40))
@settings(max_examples=300, deadline=None)
def test_blocks_waste_less_than_one_each(rows, block, at_s):
    frame = made(*[(at, at + stay, prompt, answer) for at, stay, prompt, answer in rows])
    drawn = kvmap.paged_picture(frame, memory_tokens=4000, block_tokens=block, at_s=at_s)
    covers(drawn, 4000)
    wasted = (drawn["end"] - drawn["start"])[drawn["kind"] == "reserved"]
    alive = set(frame["request"][(frame["at_s"] <= at_s) & (at_s < frame["end_s"])])
    assert set(drawn["request"]) - {-1} == alive
    assert (wasted < 2 * block).all()  # a block that was just taken is still empty


def covers(drawn: pd.DataFrame, memory: int) -> None:
    """Every address once, in order."""
    assert drawn["start"].iloc[0] == 0 and drawn["end"].iloc[-1] == memory
    assert (drawn["start"].iloc[1:].to_numpy() == drawn["end"].iloc[:-1].to_numpy()).all()
    assert (drawn["end"] > drawn["start"]).all()
