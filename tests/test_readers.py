"""Traces from files: every row is good or refused, with its reason and its line."""

import gzip
import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costpertoken.fleet.readers import read
from costpertoken.model.records import InputError

STORED = Path(__file__).resolve().parents[2] / "shared" / "sources" / "traces"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
SECOND = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
NOON = datetime(2023, 11, 16, 12)


def written(folder: Path, text: str | bytes, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def azure_row(second: float, prompt=10, answer=5) -> str:
    return f"{(NOON + timedelta(seconds=second)).strftime('%Y-%m-%d %H:%M:%S.%f')}0,{prompt},{answer}"


def mooncake_row(ms: float, prompt=1024, answer=5, ids=(0,)) -> str:
    return json.dumps({"timestamp": ms, "input_length": prompt, "output_length": answer, "hash_ids": list(ids)})


def burst_row(second, prompt=10, answer=5) -> str:
    return f"{second},ChatGPT,{prompt},{answer},15,Conversation log"


def second_row(second, prompt=10, answer=5) -> str:
    return f"{second},1a2b,0.5,GPT-4,{prompt},{answer},15,API log"


WAYS = {
    "azure": ([AZURE], azure_row, "TIMESTAMP"),
    "burst": ([BURST], burst_row, "Timestamp"),
    "second": ([SECOND], second_row, "Timestamp"),
    "mooncake": ([], lambda at, *rest: mooncake_row(1000 * at, *rest), "timestamp"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dress", ["plain", "gzip", "crlf", "mark", "no last newline", "blank lines"])
def test_formats_agree_however_they_are_dressed(tmp_path, way, dress):
    head, row, _ = WAYS[way]
    text = "\n".join([*head, row(1.5, 600, 7), row(2.25, 1024, 8), row(4.0, 513, 1)]) + "\n"
    dressed = {
        "plain": text.encode(),
        "gzip": gzip.compress(text.encode(), mtime=0),
        "crlf": text.replace("\n", "\r\n").encode(),
        "mark": text.encode("utf-8-sig"),
        "no last newline": text[:-1].encode(),
        "blank lines": text.replace("\n", "\n\n").encode(),
    }
    trace = read(written(tmp_path, dressed[dress], "trace.gz"), strict=True)
    assert trace.arrival_s.tolist() == [0.0, 0.75, 2.5]
    assert trace.input_tokens.tolist() == [600, 1024, 513]
    assert trace.output_tokens.tolist() == [7, 8, 1]
    assert (dict(trace.refused), trace.reordered, trace.name) == ({}, 0, "trace.gz")


def test_prefix_blocks_are_dense_and_equal_where_the_file_says_so(tmp_path):
    rows = [mooncake_row(0, 1024, 5, (7, 900)), mooncake_row(5, 1500, 5, (7, 900, 12)), mooncake_row(9, 400, 5, (7,))]
    trace = read(written(tmp_path, "\n".join(rows)))
    assert trace.prefix_ids.tolist() == [0, 1, 0, 1, 2, 0]
    assert trace.prefix_starts.tolist() == [0, 2, 5, 6]
    assert trace.prefix_block_tokens == 512


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "prompt, answer, words",
    [
        (0, 5, "is zero"),
        (10, 0, "is zero"),
        (-3, 5, "is negative"),
        (10, 2.5, "is no whole number"),
        (10**12, 5, "is above"),
    ],
)
def test_a_bad_number_is_refused_with_its_line(tmp_path, way, prompt, answer, words):
    head, row, _ = WAYS[way]
    path = written(tmp_path, "\n".join([*head, row(0), row(1, prompt, answer), row(2)]))
    trace = read(path)
    ((reason, lines),) = trace.refused.items()
    assert words in reason and lines == (len(head) + 2,)
    assert trace.arrival_s.tolist() == [0.0, 2.0]
    with pytest.raises(InputError, match=rf"trace.csv, line {len(head) + 2}, field .* expected a whole number from 1"):
        read(path, strict=True)


@pytest.mark.parametrize(
    "row, reason, strict",
    [
        ("2023-11-16 12:00:01.0,,5", "ContextTokens is missing", "field ContextTokens: ''"),
        ("2023-11-16 12:00:01.0,ten,5", "ContextTokens is not understood", "field ContextTokens: 'ten'"),
        ("2023-11-16 12:00:01.0,nan,5", "ContextTokens is not understood", "expected a whole number"),
        ("2023-11-16 12:00:01.0,inf,5", "ContextTokens is not understood", "expected a whole number"),
        ("2023-13-16 12:00:01.0,10,5", "TIMESTAMP is not understood", "expected a date and time"),
        ("1700136000,10,5", "TIMESTAMP is not understood", "expected a date and time"),
        (",10,5", "TIMESTAMP is missing", "field TIMESTAMP: ''"),
        ("2023-11-16 12:00:01.0,10", "row cannot be taken apart", "expected as many cells as"),
        ("2023-11-16 12:00:01.0,10,5,6", "row cannot be taken apart", "expected as many cells as"),
        ("2023-11-16 12:00:01.0,1\udcff,5", "ContextTokens is not understood", "expected a whole number"),
    ],
)
def test_a_bad_cell_is_refused_with_its_reason(tmp_path, row, reason, strict):
    text = "\n".join([AZURE, azure_row(0), row]).encode(errors="surrogateescape")
    path = written(tmp_path, text)
    assert dict(read(path).refused) == {reason: (3,)}
    with pytest.raises(InputError, match="line 3") as caught:
        read(path, strict=True)
    assert strict in str(caught.value)


@pytest.mark.parametrize(
    "row, reason",
    [
        ('{"timestamp": 1, "input_length": 10', "row cannot be taken apart"),
        ("[1, 2]", "row cannot be taken apart"),
        ("garbage", "row cannot be taken apart"),
        ("[" * 5000, "row cannot be taken apart"),
        (mooncake_row(-1), "timestamp is negative"),
        (mooncake_row(1, "12"), "input_length is not understood"),
        (mooncake_row(1, True), "input_length is not understood"),
        (mooncake_row(1, None), "input_length is missing"),
        (mooncake_row(1, [3]), "input_length is not understood"),
        (mooncake_row(1, float("nan")), "input_length is not understood"),
        (mooncake_row(1, 10**400), "input_length is not understood"),
        (mooncake_row(1, 1024, 5, (1, 2, 3)), "hash_ids has more blocks than its prompt"),
        (mooncake_row(1, 1024, 5, ("a",)), "hash_ids is no list of ids"),
        (mooncake_row(1, 1024, 5, (-1,)), "hash_ids is no list of ids"),
        (mooncake_row(1, 1024, 5, (2**64,)), "hash_ids is no list of ids"),
        ('{"timestamp": 1, "input_length": 10, "output_length": 2}', "hash_ids is no list of ids"),
        ('{"time": 1, "input_length": 10, "output_length": 2, "hash_ids": []}', "timestamp is missing"),
    ],
)
def test_a_bad_object_is_refused_with_its_reason(tmp_path, row, reason):
    path = written(tmp_path, "\n".join([mooncake_row(0), row, mooncake_row(2)]))
    trace = read(path)
    assert dict(trace.refused) == {reason: (2,)} and trace.input_tokens.size == 2
    with pytest.raises(InputError, match="trace.csv, line 2"):
        read(path, strict=True)


@pytest.mark.parametrize("way", WAYS)
def test_arrivals_out_of_order_are_put_in_order_and_counted(tmp_path, way):
    head, row, field = WAYS[way]
    path = written(tmp_path, "\n".join([*head, row(3, 30), row(1, 10), row(2, 20), row(9, 90)]))
    trace = read(path)
    assert trace.arrival_s.tolist() == [0.0, 1.0, 2.0, 8.0] and trace.input_tokens.tolist() == [10, 20, 30, 90]
    assert trace.reordered == 2
    with pytest.raises(InputError, match=rf"line {len(head) + 2}, field {field}: .* no earlier than the rows above"):
        read(path, strict=True)


@pytest.mark.parametrize(
    "text, words",
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (
            b"TIMESTAMP,ContextTokens,Generated\n1,2,3",
            "nearest: TIMESTAMP,ContextTokens,GeneratedTokens (Azure), of which",
        ),
        (b"time,prompt,answer\n1,2,3", "is the first line of no known format; nearest: "),
        (b"Timestamp,Model,Request tokens,Total tokens", "of which Response tokens is missing"),
        (b"\xff\xfeT\x00I\x00", "no known format"),
        (AZURE.encode(), "no good row"),
        (f"{AZURE}\nx,0,0\n".encode(), "TIMESTAMP is not understood (line 2)"),
        (b'{"time": 1}\n', "no good row; expected at least one below the header. timestamp is missing (line 1)"),
        (b"\x1f\x8b\x08broken", "cannot be read"),
        (gzip.compress(AZURE.encode() * 50, mtime=0)[:-9], "cannot be read"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_file_without_a_good_row_is_refused(tmp_path, text, words, strict):
    with pytest.raises(InputError) as caught:
        read(written(tmp_path, text), strict=strict)
    assert words in str(caught.value) or (strict and "line" in str(caught.value))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)


CELL = st.one_of(
    st.integers(-3, 2000).map(str),
    st.sampled_from(["", "x", "1.5", "nan", "1e3", "∞", '"7"']),
    st.text('," ab', max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.one_of(st.floats(0, 1e6).map(str), CELL), CELL, CELL), max_size=12), crlf=st.booleans()
)
def test_good_and_refused_rows_are_all_rows_of_a_csv(tmp_path_factory, rows, crlf):
    lines = [",".join([at, "m", prompt, answer, "0", "log"]) for at, prompt, answer in rows]
    path = written(tmp_path_factory.mktemp("t"), ("\r\n" if crlf else "\n").join([BURST, burst_row(1), *lines]))
    trace = read(path)
    refused = sorted(line for at in trace.refused.values() for line in at)
    assert trace.arrival_s.size + len(refused) == 1 + len(rows)
    assert len(set(refused)) == len(refused) and set(refused) <= set(range(3, 3 + len(rows)))
    assert trace.arrival_s[0] == 0 and (np.diff(trace.arrival_s) >= 0).all()


VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text("ab1.", max_size=3)), st.lists, max_leaves=3
)


OBJECT = st.tuples(VALUE, VALUE, VALUE, st.one_of(VALUE, st.lists(st.integers(0, 9))))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(OBJECT, max_size=12), cut=st.integers(0, 9))
def test_good_and_refused_rows_are_all_rows_of_a_jsonl(tmp_path_factory, rows, cut):
    names = ("timestamp", "input_length", "output_length", "hash_ids")
    lines = [json.dumps(dict(zip(names, row, strict=True)))[: None if i != cut else -5] for i, row in enumerate(rows)]
    trace = read(written(tmp_path_factory.mktemp("t"), "\n".join([mooncake_row(0), *lines])))
    refused = sorted(line for at in trace.refused.values() for line in at)
    assert trace.arrival_s.size + len(refused) == 1 + len(rows)
    assert trace.prefix_starts[-1] == trace.prefix_ids.size


@pytest.mark.parametrize(
    "name, n, prompt, answer, blocks",
    [
        ("AzureLLMInferenceTrace_conv.csv.gz", 19_366, 374, 44, 0),
        ("AzureLLMInferenceTrace_code.csv.gz", 8_819, 4808, 10, 0),
        ("mooncake_conversation_trace.jsonl.gz", 12_031, 6758, 500, 288_500),
    ],
)
def test_the_published_traces_are_read_whole(name, n, prompt, answer, blocks):
    if not (STORED / name).is_file():
        pytest.skip(f"{name} does not lie beside the checkout")
    trace = read(STORED / name, strict=True)
    assert (trace.arrival_s.size, trace.prefix_ids.size, dict(trace.refused)) == (n, blocks, {})
    assert (trace.input_tokens[0], trace.output_tokens[0], trace.arrival_s[0]) == (prompt, answer, 0.0)
    assert 3400 < trace.arrival_s[-1] < 3600
