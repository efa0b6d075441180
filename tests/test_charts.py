"""Charts: what they refuse, what they say, and that the same numbers give the same output everywhere."""

import json
import re
from itertools import combinations
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest

from costpertoken import chartkit, charts

ASSETS = Path(__file__).parents[1] / "lib" / "bookpress" / "assets"
WORDS = {"title": "Cost falls with batch", "source": "made-up numbers"}
AXES = {"x_title": "Batch (sequences)", "y_title": "Cost (USD per million tokens)"}


@pytest.fixture
def curve():
    batch = np.tile(2.0 ** np.arange(6), 2)
    cost = np.r_[8.0 / batch[:6], 4.0 / batch[6:]]
    names = ["H100"] * 6 + ["B200"] * 6
    return pd.DataFrame(
        {"name": names, "batch": batch, "usd": cost, "low": cost * 0.8, "high": cost * 1.3, "unused": 1}
    )


@pytest.fixture
def costs():
    names = [f"card {i}" for i in range(8)]
    middle = np.array([5.0, 1, 4, 2, 8, 3, 7, 6])
    return pd.DataFrame({"card": names, "usd": middle, "low": middle * 0.9, "high": middle * 1.1})


def shown(chart) -> dict:
    return chartkit.shared(chart.to_dict())


def spec_in(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def test_an_axis_without_unit_is_refused(curve):
    with pytest.raises(ValueError, match="no unit"):
        charts.lines(curve, "batch", "usd", "name", x_title="Batch (sequences)", y_title="Cost", **WORDS)
    assert chartkit.axis_title("Speedup over one card") == "Speedup over one card"


@pytest.mark.parametrize("missing", ["title", "source"])
def test_a_chart_without_insight_or_source_is_refused(curve, missing):
    words = {k: v for k, v in WORDS.items() if k != missing}
    with pytest.raises(TypeError, match=missing):
        charts.lines(curve, "batch", "usd", "name", **AXES, **words)


def test_a_chart_made_by_hand_is_refused_until_finished(curve):
    bare = alt.Chart(curve).mark_line().encode(x="batch:Q", y="usd:Q")
    with pytest.raises(ValueError, match="title, source and alt text"):
        shown(bare)
    assert "figure" in shown(charts.finish(bare, alt_text="A line.", **WORDS))["text/html"]


def test_what_cannot_be_read_is_refused(curve):
    with pytest.raises(ValueError, match="no column 'price'"):
        charts.lines(curve, "batch", "price", **AXES, **WORDS)
    with pytest.raises(ValueError, match="at most 8"):
        many = pd.DataFrame({"name": list("abcdefghi"), "batch": 1.0, "usd": 1.0})
        charts.lines(many, "batch", "usd", "name", **AXES, **WORDS)
    with pytest.raises(ValueError, match="not above zero"):
        charts.lines(curve.assign(usd=0.0), "batch", "usd", log_y=True, **AXES, **WORDS)


def test_alt_text_is_computed_from_the_data(curve):
    chart = charts.lines(curve, "batch", "usd", "name", band=("low", "high"), log_x=True, **AXES, **WORDS)
    said = chart.usermeta["alt"]
    assert said.startswith("Cost falls with batch. Line chart, 2 series, each with a band.")
    assert "Batch (sequences), 1 to 32, logarithmic" in said
    assert "H100 falls from 8 to 0.250; B200 falls from 4 to 0.125" in said


def test_ranges_name_the_extremes_and_sort(costs):
    chart = charts.ranges(costs, "card", "usd", "low", "high", x_title="Cost (USD per hour)", **WORDS)
    said = chart.usermeta["alt"]
    assert "card 1: 1 (0.900 to 1.10)" in said and "card 4: 8 (7.20 to 8.80)" in said and "card 0" not in said
    order = spec_in(shown(chart)["text/html"])["layer"][0]["encoding"]["y"]["sort"]
    assert order[0] == "card 1" and order[-1] == "card 4"
    wide = charts.ranges(costs, "card", "usd", "low", "high", sort="width", x_title="Cost (USD per hour)", **WORDS)
    assert spec_in(shown(wide)["text/html"])["layer"][0]["encoding"]["y"]["sort"][0] == "card 4"


def test_bars_total_their_parts():
    parts = pd.DataFrame({"case": list("aabb"), "part": ["w", "k"] * 2, "ms": [1.0, 2, 3, 4]})
    chart = charts.bars(parts, "case", "ms", "part", x_title="Time (ms)", **WORDS)
    assert "a 3; b 7" in chart.usermeta["alt"] and "2 parts each" in chart.usermeta["alt"]


def test_the_last_bit_moves_nothing(curve):
    nudged = curve.assign(usd=np.nextafter(curve["usd"], np.inf))
    one, two = (charts.lines(f, "batch", "usd", "name", **AXES, **WORDS) for f in (curve, nudged))
    assert shown(one) == shown(two)
    other = charts.lines(curve.assign(usd=curve["usd"] * 1.01), "batch", "usd", "name", **AXES, **WORDS)
    assert shown(one)["text/plain"] != shown(other)["text/plain"]


def test_the_page_is_closed_against_its_data(curve):
    hostile = curve.assign(name="</script><b>\"'\\")
    words = {**WORDS, "title": "a < b & c"}
    page = shown(charts.lines(hostile, "batch", "usd", "name", **AXES, **words))["text/html"]
    assert page.count("</script>") == 1 and "<b>" not in page.split("<script")[0] and "a &lt; b &amp; c" in page
    assert spec_in(page)["datasets"]["d0"][0]["name"] == "</script><b>\"'\\"


def test_only_used_columns_travel(curve):
    page = shown(charts.lines(curve, "batch", "usd", "name", **AXES, **WORDS))["text/html"]
    assert set(spec_in(page)["datasets"]["d0"][0]) == {"batch", "usd", "name"}


def test_layers_share_one_list_of_series_and_both_sources(curve):
    model = charts.lines(curve[curve["name"] == "H100"], "batch", "usd", "name", log_x=True, **AXES, **WORDS)
    words = {"title": "unused", "source": "a benchmark"}
    measured = charts.points(curve.iloc[[0, 8]], "batch", "usd", "name", log_x=True, **AXES, **words)
    both = charts.layer(model, measured, charts.rules({"ridge point": 16}))
    spec = spec_in(shown(both)["text/html"])
    domains = re.findall(r'"domain": (\[[^\]]*\])', json.dumps(spec))
    assert set(domains) == {'["H100", "B200"]'}
    assert both.usermeta["source"] == "made-up numbers; a benchmark"
    assert "2 points, measured" in both.usermeta["alt"] and "ridge point at 16" in both.usermeta["alt"]


def test_ticks_follow_the_data():
    assert chartkit.doubling_ticks([1, 2, 4, 8]) == [1, 2, 4, 8]
    assert chartkit.doubling_ticks([1, 2, 4, 10]) is None
    assert chartkit.log_ticks(0.2, 30) == [0.2, 0.5, 1, 2, 5, 10, 20]
    assert chartkit.log_ticks(1, 1e6) == [10.0**i for i in range(7)]


def test_enable_twice_is_enabling_once(curve):
    charts.enable()
    charts.enable()
    assert alt.renderers.active == "shared" and alt.theme.active == "costpertoken"


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def seen_by(colour: str, kind: str) -> np.ndarray:
    """The colour as a protanope or deuteranope sees it (Vienot, Brettel and Mollon 1999, linear RGB)."""
    matrix = {"protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
              "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]}[kind]  # fmt: skip
    linear = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]) ** 2.2
    return np.clip(np.array(matrix) @ linear, 0, 1) ** (1 / 2.2)


def dark_palette() -> list[str]:
    script = (ASSETS / "charts.js").read_text()
    return re.findall(r"#[0-9a-f]{6}", re.search(r"category: \[([^\]]*)\]", script)[1])


def test_every_colour_stands_out_on_its_page():
    assert min(contrast(c, "#ffffff") for c in chartkit.PALETTE) >= 3
    assert min(contrast(c, "#121212") for c in dark_palette()) >= 3
    assert len(dark_palette()) == len(chartkit.PALETTE) == charts.MOST_SERIES


@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_the_first_five_colours_stay_apart_for_colour_blind_eyes(kind):
    for palette in (chartkit.PALETTE, dark_palette()):
        for one, two in combinations(palette[:5], 2):
            assert np.linalg.norm(seen_by(one, kind) - seen_by(two, kind)) > 0.1, (one, two)
