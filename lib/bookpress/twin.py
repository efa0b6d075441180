"""The static twin of a chart: an SVG that shows before scripts run, without them, in print and in a plain notebook."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import vl_convert

from bookpress.stamp import write_atomic

VL_VERSION = "6.4"  # what altair 6.3 writes and vl-convert 1.9 knows
STYLE = f"{VL_VERSION}-1"  # names the kept images: to be raised when the drawing below changes
WIDTH = 720  # pixels: the text column on a desktop, and about the width of a printed page
# Metric-compatible on Linux, macOS and Windows: an image's text is drawn with the reader's fonts, in the place measured here.
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
FIGURE = re.compile(
    r'(<figure class="vl" id="(vl-[0-9a-f]{12})".*?<div class="vl-view">)(</div>\s*'
    r'<script type="application/json">(.*?)</script>)',
    re.DOTALL,
)


def static_svg(spec: dict[str, Any], *, titled: bool = False) -> str:
    """A chart's spec as one SVG of fixed width; `titled` writes the title into it, for pictures outside the book."""
    words = spec.get("usermeta") or {}
    title = {"title": {"text": words["title"], "subtitle": words.get("subtitle", "")}} if titled else {}
    config = {**(spec.get("config") or {}), "font": FONT}
    drawn = {**spec, **title, "config": config, "width": WIDTH, "padding": {"left": 8, "right": 8, "top": 5, "bottom": 5}}
    return vl_convert.vegalite_to_svg(json.dumps(drawn), vl_version=VL_VERSION)


def _cached(mark: str, spec: dict[str, Any], cache_dir: Path | None) -> str:
    """The SVG of the chart with this id, drawn once for a cache folder; the id is the hash of all that is drawn."""
    kept = cache_dir / f"{mark}-{STYLE}.svg" if cache_dir else None
    if kept and kept.exists():
        return kept.read_text(encoding="utf-8")
    svg = static_svg(spec)
    if kept:
        write_atomic(kept, svg.encode())  # two runs may draw one chart at once
    return svg


def image(svg: str, alt_text: str) -> str:
    """An SVG as an image that needs no file beside the page and whose ids cannot meet the page's."""
    data = base64.b64encode(svg.encode()).decode()
    width, height = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg).groups()
    return (
        f'<img class="vl-static" width="{float(width):.0f}" height="{float(height):.0f}" '
        f'alt="{html.escape(alt_text, quote=True)}" src="data:image/svg+xml;base64,{data}">'
    )


def with_twins(page: str, cache_dir: Path | None = None) -> str:
    """The HTML with a static twin in each chart's view that has none."""

    def insert(found: re.Match) -> str:
        spec = json.loads(found[4])
        return found[1] + image(_cached(found[2], spec, cache_dir), spec["usermeta"]["alt"]) + found[3]

    return FIGURE.sub(insert, page)


def add_static_twins(nb, cache_dir: Path | str | None = None):
    """Give every chart output of an executed notebook its static twin, in place; returns the notebook."""
    folder = Path(cache_dir) if cache_dir else None
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            page = output.get("data", {}).get("text/html")
            if page and 'class="vl"' in (page := "".join(page)):
                output["data"]["text/html"] = with_twins(page, folder)
    return nb
