"""Numbers in prose, tables and source lists: their texts, what they refuse, and what a screen reader finds."""

import numpy as np
import pandas as pd
import pytest

from costpertoken import prose


@pytest.mark.parametrize(("value", "text"), [
    (0.4187, "0.419"), (999.6, "1,000"), (1234.5, "1,230"), (0.00012345, "0.000123"), (12, "12"), (12345678, "12,345,678"),
    (12345678.0, "12,300,000"), (9.995e14, "1,000,000,000,000,000"), (0.0, "0"), (-3.25, "-3.25"), (5.0, "5.00"),
    (np.float64(2.5), "2.50"), (np.int64(7), "7"),
])  # fmt: skip
def test_significant_digits_without_exponents(value, text):
    assert prose.significant(value) == text


def test_a_number_has_value_band_and_unit():
    n = prose.number(0.4187, "USD per million tokens", 0.31, 0.6, digits=2)
    assert n.text == "0.42 USD per million tokens"
    assert n.band == "0.31 to 0.60 USD per million tokens"
    assert (n.low_text, n.high_text) == ("0.31 USD per million tokens", "0.60 USD per million tokens")
    assert prose.number(45.0, "%", 40.0, 50.0).band == "40.0 to 50.0%"
    assert prose.number(2.0, "").text == "2.00"


def test_a_band_needs_both_ends_in_order():
    with pytest.raises(ValueError, match="both ends"):
        prose.number(1.0, "USD", low=0.5)
    with pytest.raises(ValueError, match="upside down"):
        prose.number(1.0, "USD", low=2.0, high=0.5)


def test_inline_gives_the_press_its_numbers():
    bundle = prose.inline(cost=prose.number(0.4187, "USD", 0.31, 0.6, headline=True), card=prose.text("H100")).bundle
    assert bundle["text/plain"] == "cost = 0.419 USD (0.310 to 0.600 USD)\ncard = H100"
    cost = bundle[prose.MIME]["cost"]
    assert cost == {"value": 0.4187, "low": 0.31, "high": 0.6, "unit": "USD", "text": "0.419 USD", "headline": True,
                    "band": "0.310 to 0.600 USD", "low_text": "0.310 USD", "high_text": "0.600 USD"}  # fmt: skip
    assert bundle[prose.MIME]["card"]["value"] is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_inline_refuses_what_is_no_number_by_name(bad):
    with pytest.raises(ValueError, match="cost: not a finite number"):
        prose.inline(cost=prose.number(bad, "USD"))
    with pytest.raises(TypeError, match="cost: wrap it"):
        prose.inline(cost=1.0)


def test_the_last_bit_moves_no_stored_value():
    one, two = prose.number(1 / 3, "USD"), prose.number(np.nextafter(1 / 3, 1), "USD")
    assert one == two


def test_a_table_heads_its_columns_and_rows():
    frame = pd.DataFrame({"card": ["a<b", "c"], "n": [1, 2000], "usd": [0.12345, np.nan], "fits": [True, False]})
    bundle = prose.table(frame, "Cards & costs", units={"usd": "USD"}, heads={"n": "cards"}).bundle
    page = bundle["text/html"]
    assert page.count('scope="col"') == 4 and page.count('scope="row"') == 2
    assert 'role="region" tabindex="0" aria-label="Cards &amp; costs"' in page
    assert 'usd <span class="unit">(USD)</span>' in page and ">cards<" in page
    assert ">2,000<" in page and ">0.123<" in page and ">–<" in page and ">yes<" in page and "a&lt;b" in page
    assert bundle["text/plain"] == frame.to_string(index=False)
    assert bundle == prose.table(frame, "Cards & costs", units={"usd": "USD"}, heads={"n": "cards"}).bundle


def test_a_column_of_whole_numbers_stays_whole_and_a_mixed_one_does_not():
    page = prose.table(pd.DataFrame({"x": ["a", "b"], "w": [8.0, 1200.0], "m": [8.0, 3.35]}), "t").bundle["text/html"]
    assert ">8<" in page and ">1,200<" in page and ">8.00<" in page and ">3.35<" in page


def test_sources_are_listed_once_and_only_web_addresses_are_links():
    row = {
        "title": "A <sheet>",
        "url": "https://example.org/a?b&c",
        "producer": "X",
        "published": "2024",
        "licence": np.nan,
    }
    rows = pd.DataFrame([row, row, {**row, "title": "B", "url": "javascript:alert(1)", "published": ""}])
    page = prose.sources(rows).bundle["text/html"]
    assert page.count("<li>") == 2 and page.count("<a ") == 1 and "javascript" not in page
    assert 'href="https://example.org/a?b&amp;c">A &lt;sheet&gt;</a>, X, 2024</li>' in page


def test_a_column_of_sentences_is_marked_for_room():
    frame = pd.DataFrame({"name": ["a"], "why": ["so " * 30], "short": ["yes"]})
    page = prose.table(frame, "Caption").bundle["text/html"]
    assert page.count('class="long"') == 2  # head and cell of one column


def test_a_list_of_tables_links_their_files_and_carries_what_opens_them():
    frame = pd.DataFrame({"table": ["gpu_prices"], "rows": [362]})
    page = prose.table(frame, "Tables", files="../data", facts={"on": "2026-11-25", "prices": ["a"]}).bundle["text/html"]
    assert '<th scope="row"><a href="../data/gpu_prices.csv" download>gpu_prices</a></th>' in page
    assert 'data-tables="{&quot;on&quot;: &quot;2026-11-25&quot;, &quot;prices&quot;: [&quot;a&quot;]}"' in page
    assert "data-tables" not in prose.table(frame, "Tables").bundle["text/html"]
