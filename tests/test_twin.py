"""Static twins: one a chart, kept by the chart's id, and never in the way of other outputs."""

import base64
import re

import nbformat.v4 as v4
import pandas as pd
import pytest

pytest.importorskip("vl_convert")

from bookpress import twin
from costpertoken import charts


@pytest.fixture
def notebook():
    frame = pd.DataFrame({"batch": [1.0, 2, 4, 8], "usd": [8.0, 4, 2, 1]})
    axes = {"x_title": "Batch (sequences)", "y_title": "Cost (USD per hour)"}
    chart = charts.lines(frame, "batch", "usd", title="It falls <fast>", source="made up", **axes)
    charts.enable()
    outputs = [v4.new_output("display_data", data={"text/html": "<p>no chart</p>", "text/plain": "x"}),
               v4.new_output("stream", text="words"),
               v4.new_output("execute_result", data=chart._repr_mimebundle_())]  # fmt: skip
    return v4.new_notebook(cells=[v4.new_markdown_cell("text"), v4.new_code_cell("chart", outputs=outputs)])


def pages(notebook) -> list[str]:
    return [o["data"]["text/html"] for o in notebook.cells[1].outputs if "data" in o]


def test_a_chart_gets_one_image_with_its_alt_text(notebook):
    plain, figure = pages(twin.add_static_twins(twin.add_static_twins(notebook)))
    assert plain == "<p>no chart</p>"
    assert figure.count("<img") == 1 and 'alt="It falls &lt;fast&gt;. Line chart' in figure
    svg = base64.b64decode(re.search(r"base64,([^\"]+)", figure)[1]).decode()
    assert svg.startswith("<svg") and "Cost (USD per hour)" in svg and "NaN" not in svg
    assert re.search(r'<img class="vl-static" width="7\d\d" height="3\d\d"', figure)


def test_the_kept_image_is_used(notebook, tmp_path):
    twin.add_static_twins(notebook, tmp_path)
    (kept,) = tmp_path.glob("vl-*.svg")
    kept.write_text('<svg width="10" height="10"></svg>')
    again = twin.with_twins(re.sub("<img[^>]*>", "", pages(notebook)[1]), tmp_path)
    assert base64.b64encode(b'<svg width="10" height="10"></svg>').decode() in again
    assert not list(tmp_path.glob("*.part"))


def test_a_titled_picture_carries_its_words(notebook):
    import json

    spec = json.loads(re.search(r"json\">(.*?)</script>", pages(notebook)[1])[1])
    assert "It falls" in twin.static_svg(spec, titled=True) and "It falls" not in re.sub(
        r'aria-label="[^"]*"', "", twin.static_svg(spec)
    )
