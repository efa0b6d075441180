"""Renew what README.md shows: the picture, from the chapter's own chart, and the outputs of its commands.

python docs/renew.py, after `make reference`; tests/test_readme.py holds both level.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from bookpress.execute import execute_chapter
from bookpress.twin import FIGURE, static_svg

ROOT = Path(__file__).resolve().parents[1]
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "cost-by-batch.svg"
CHAPTER, CHART = "chapters/economics/token_cost", "cost-by-batch.csv"
EXAMPLE = re.compile(r"^```console\n\$ (.+)\n((?s:.*?))^```$", re.MULTILINE)


def said(command: str) -> str:
    """What a command prints, run from the root with the scripts beside this Python."""
    name, *words = shlex.split(command)
    script = Path(sys.executable).with_name(name)
    done = subprocess.run([script, *words], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    return done.stdout + done.stderr


def renewed(text: str) -> str:
    """README's text with the outputs that its commands have now."""
    return EXAMPLE.sub(lambda found: f"```console\n$ {found[1]}\n{said(found[1])}```", text)


def chart() -> tuple[str, dict]:
    """Id and spec of the picture's chart, from the executed chapter."""
    notebook = json.loads(execute_chapter(ROOT, CHAPTER, {})[0])
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    pages = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    figures = [figure for page in pages for figure in FIGURE.finditer(page)]
    return next((figure[2], spec) for figure in figures if (spec := json.loads(figure[4]))["usermeta"]["csv"] == CHART)


def drawn(mark: str, spec: dict) -> str:
    """The chart as a picture that stands alone, named by the id that the chapter's reference gives it."""
    svg = static_svg({**spec, "background": "white"}, titled=True)
    return svg.replace("<svg ", f'<svg id="{mark}" ', 1) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(drawn(*chart()), "utf-8")
    README.write_text(renewed(README.read_text("utf-8")), "utf-8")
