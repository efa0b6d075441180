"""The press's small functions: numbers in prose, formulas, stamps, differences."""

import json

import nbformat
import pytest

from bookpress.mathml import lines_aligned, to_mathml
from bookpress.numbers import collect, fill, headline
from bookpress.page import outputs_of
from bookpress.project import PressError, Project
from bookpress.published import at_root
from bookpress.reference import moved
from bookpress.schedule import in_order
from bookpress.stage import _stage_tables
from bookpress.stamp import digest, read_record, tree_digest, write_record

NUMBERS = {
    "usd": {"value": 0.4167, "unit": "USD", "text": "0.42 USD", "band": "0.3 to 0.6 USD", "low_text": "0.3 USD"},
    "best": {"value": None, "unit": "", "text": "H200", "band": "", "headline": True},
}


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("a {{ usd }} b {{ best }}", "a 0.42 USD b H200"),
        ("{{ usd.band }}, {{ usd.low }}, {{ usd.unit }}", "0.3 to 0.6 USD, 0.3 USD, USD"),
        ("{{ usd.value }}", "0.4167"),
        ("```\n{{ nothing }}\n```\n{{ best }}", "```\n{{ nothing }}\n```\nH200"),
        ("~~~python\n```\n{{ no }}\n~~~\n{{ best }}", "~~~python\n```\n{{ no }}\n~~~\nH200"),
        ("```{note}\n{{ best }}\n```\n{{ best }}", "```{note}\nH200\n```\nH200"),
        (":::{note}\n```\n{{ no }}\n```\n{{ best }}\n:::", ":::{note}\n```\n{{ no }}\n```\nH200\n:::"),
        ("````{note}\n```{math}\n{{ no }}\n```\n{{ best }}\n````", "````{note}\n```{math}\n{{ no }}\n```\nH200\n````"),
        ("$x_{{i}}$", "$x_{{i}}$"),
    ],
)
def test_markers_are_filled_in_prose_only(markdown, expected):
    assert fill(markdown, NUMBERS, "c") == expected


@pytest.mark.parametrize("marker", ["nothing", "usd.colour", "best.band", "usd.high", "best.value"])
def test_marker_without_a_number_is_refused(marker):
    with pytest.raises(PressError, match=marker.split(".")[0]):
        fill(f"{{{{ {marker} }}}}", NUMBERS, "c")


def test_headline_is_the_flagged_number_else_the_first():
    assert headline(NUMBERS) == "best = H200"
    assert headline({"usd": NUMBERS["usd"]}) == "usd = 0.42 USD (0.3 to 0.6 USD)"
    assert headline({}) == ""


def test_number_published_twice_must_agree():
    def cell(value):
        return {"outputs": [{"data": {"application/vnd.costpertoken.numbers+json": {"n": {"value": value}}}}]}

    class Notebook:
        cells = [cell(1.0), cell(2.0)]

    with pytest.raises(PressError, match="twice"):
        collect(Notebook, "c")


@pytest.mark.parametrize("tex", [r"\nosuch x", r"\frac{a", r"\text{a & b}"])
def test_formula_that_would_be_wrong_is_refused(tex):
    with pytest.raises(Exception, match="unknown|braces|well-formed"):
        to_mathml(tex, "inline")


def test_formula_keeps_words_and_aligns_lines():
    assert "<mtext>usd_per_hour</mtext>" in to_mathml(r"\text{usd\_per\_hour}", "inline")
    assert "<mtext>USD</mtext>" in to_mathml(r"\mathrm{USD}", "inline")
    page = to_mathml(lines_aligned("a &= b \\\\\n &= c"), "block")
    assert page.count("<mtr>") == 2 and "text-align: right" in page


def test_result_that_was_changed_by_hand_is_not_trusted(tmp_path):
    path = tmp_path / "result"
    write_record(path, b"made", "key", seconds=1.5)
    assert read_record(path, "key")["seconds"] == 1.5
    assert read_record(path, "other key") is None
    path.write_bytes(b"edited")
    assert read_record(path, "key") is None


def test_digest_sees_names_contents_and_borders(tmp_path):
    assert digest("ab", "c") != digest("a", "bc")
    (tmp_path / "a").write_text("1")
    before = tree_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert tree_digest(tmp_path) != before


def test_moved_names_new_gone_and_changed_numbers():
    def number(name, value):
        return {"chapter": "chapters/c", "name": name, "value": value}

    lines = moved([number("a", 1.0), number("b", 2.0)], [number("b", 3.0), number("d", 4.0)])
    assert lines == ["c  a: 1 -> None", "c  b: 2 -> 3", "c  d: None -> 4"]


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ('href="../_static/a.css?v=1"', 'href="_static/a.css?v=1"'),
        ('href="hardware/b.html#c"', 'href="chapters/hardware/b.html#c"'),
        ('data-content_root="../"', 'data-content_root="./"'),
        ('href="#top"', 'href="#top"'),
        ('href="https://example.org/x"', 'href="https://example.org/x"'),
        ('src="data:image/svg+xml;base64,AA"', 'src="data:image/svg+xml;base64,AA"'),
    ],
)
def test_front_page_reads_the_same_at_the_root(link, expected):
    assert at_root(f"<a {link}>", "chapters") == f"<a {expected}>"


def test_tables_are_staged_twice_and_a_script_holds_the_file_as_it_is(tmp_path):
    text = 'id,note\na,"says ""µ"", twice"\n'
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "things.csv").write_text(text, "utf8")
    project = Project(tmp_path)
    assert _stage_tables(project) == {"_tables/data/things.csv", "_tables/data/things.js"}
    script = (project.stage / "_tables/data/things.js").read_text("utf8")
    assert json.loads(script.partition("] = ")[2].removesuffix(";\n")) == text and script.startswith("(window.bookTables")
    assert (project.stage / "_tables/data/things.csv").read_text("utf8") == text


def test_a_page_that_stands_alone_keeps_words_and_loses_links_to_files():
    table = '<a href="../../_static/data/a.csv" download>a</a> <a href="https://example.org">b</a>'
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", {"text/html": table})])
    assert outputs_of(cell) == 'a <a href="https://example.org">b</a>'


def test_chapters_that_read_what_others_keep_start_last(tmp_path):
    heads = {"all": "kernelspec: a\nstart: last\n", "one": "kernelspec: a\n", "two": ""}
    texts = {name: f"---\n{head}---\n\n# Title\n\nstart: last\n" for name, head in heads.items()}
    for name, text in {**texts, "bare": "# Title\n---\nstart: last\n"}.items():
        (tmp_path / f"{name}.md").write_text(text)
    assert in_order(Project(tmp_path), ["one", "all", "two", "bare"]) == ["one", "two", "bare", "all"]
