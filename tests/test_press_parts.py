"""The press's small functions: numbers in prose, formulas, stamps, differences."""

import pytest

from bookpress.mathml import lines_aligned, to_mathml
from bookpress.numbers import collect, fill, headline
from bookpress.project import PressError
from bookpress.published import at_root
from bookpress.reference import moved
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
