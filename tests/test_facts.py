"""Facts of traces: by hand on small ones, and those of data/traces.csv against the published files."""

from pathlib import Path

import numpy as np
import pytest

from costpertoken import tables
from costpertoken.fleet.arrivals import synthetic
from costpertoken.fleet.facts import facts, peak_to_mean
from costpertoken.fleet.readers import read
from costpertoken.fleet.trace import Trace
from costpertoken.model.records import InputError

STORED = Path(__file__).resolve().parents[2] / "shared" / "sources" / "traces"
FILES = {
    "azure-code-2023": "AzureLLMInferenceTrace_code.csv.gz",
    "azure-conversation-2023": "AzureLLMInferenceTrace_conv.csv.gz",
    "mooncake-conversation": "mooncake_conversation_trace.jsonl.gz",
}


def values(trace: Trace) -> dict[str, float]:
    return {name: value for name, (value, _) in facts(trace).items()}


def test_a_small_trace_by_hand():
    trace = Trace(
        arrival_s=np.array([0.0, 30.0, 60.0, 130.0]),
        input_tokens=np.array([1000, 1100, 512, 512]),
        output_tokens=np.array([1, 2, 3, 4]),
        prefix_ids=np.array([0, 1, 0, 2, 2, 0, 3]),
        prefix_starts=np.array([0, 2, 5, 6, 7]),
        prefix_block_tokens=512,
    )
    found = values(trace)
    assert (found["n_requests"], found["span_s"]) == (4, 130)
    assert found["requests_per_s"] == pytest.approx(3 / 130)
    assert found["gap_cv"] == pytest.approx(np.sqrt(np.mean(np.square([30, 30, 70])) / (130 / 3) ** 2 - 1))
    assert found["peak_to_mean_by_minute"] == pytest.approx(2 / 1.5)
    assert (found["output_tokens_mean"], found["output_tokens_p50"]) == (2.5, 2.5)
    assert found["output_tokens_cv"] == pytest.approx(np.sqrt(1.25) / 2.5)
    assert found["prefix_blocks_seen_before"] == pytest.approx(2 / 7)  # one inside its own request is not seen before
    assert found["prefix_tokens_seen_before"] == pytest.approx(2 * 512 / 3124)


def test_poisson_traffic_has_gaps_that_vary_by_their_mean():
    trace = synthetic(
        n_requests=20_000, input_tokens={"mean": 100}, output_tokens={"mean": 50, "cv": 0.7}, rate_per_s=4.0
    )
    found = values(trace)
    assert found["gap_cv"] == pytest.approx(1.0, abs=0.03) and found["requests_per_s"] == pytest.approx(4.0, rel=0.03)
    assert found["output_tokens_cv"] == pytest.approx(0.7, abs=0.05)
    assert "prefix_blocks_seen_before" not in found


def test_even_traffic_has_no_peak():
    assert peak_to_mean(np.arange(600.0), 60.0) == 1.0


def test_a_trace_of_less_than_a_minute_is_refused():
    with pytest.raises(InputError, match="it lasts 0 s; expected at least 60 s"):
        facts(synthetic(n_requests=5, input_tokens={"mean": 9}, output_tokens={"mean": 9}, arrivals="backlog"))


def test_every_trace_of_the_table_has_a_file_that_it_is_from():
    assert set(tables.read("traces")["trace"]) == set(FILES)


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_table_agrees_with_the_published_file(name):
    path = STORED / FILES[name]
    if not path.is_file():
        pytest.skip(f"{path.name} does not lie beside the checkout")
    found = facts(read(path, strict=True))
    rows = tables.read("traces").query("trace == @name").set_index("quantity")
    assert rows["unit"].to_dict() == {quantity: unit for quantity, (_, unit) in found.items()}
    for quantity, (value, _) in found.items():
        assert rows["value"][quantity] == pytest.approx(value, rel=1e-5), quantity
