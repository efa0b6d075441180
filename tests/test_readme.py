"""What README.md shows is what the code does; what surrounds it (contributing, licence, citation) holds together."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import renew  # noqa: E402

README = renew.README.read_text("utf-8")
PAGES = ["README.md", "CONTRIBUTING.md"]
SPAN = re.compile(r"```.*?```|`[^`\n]+`|^    .*$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("command", "output"), renew.EXAMPLE.findall(README), ids=lambda text: text[:60])
def test_outputs_are_what_the_commands_print(command, output):
    assert renew.said(command) == output, "run `python docs/renew.py` and look at what moved"


def test_there_are_three_examples():
    assert len(renew.EXAMPLE.findall(README)) == README.count("```console") == 3


def test_renewing_changes_outputs_only(monkeypatch):
    monkeypatch.setattr(renew, "said", lambda command: f"{command}\n")
    changed = renew.renewed(README)
    assert renew.EXAMPLE.sub("", changed) == renew.EXAMPLE.sub("", README)
    assert all(command + "\n" == output for command, output in renew.EXAMPLE.findall(changed))


def test_the_picture_is_the_chapters_chart():
    """Both carry the hash of all that is drawn; nbval holds the reference to the chapter."""
    mark = re.match(r'<svg id="(vl-[0-9a-f]{12})"', renew.PICTURE.read_text("utf-8"))[1]
    reference = ROOT / "tests" / "reference" / f"{renew.CHAPTER.removeprefix('chapters/')}.ipynb"
    assert f"chart {mark}: " in reference.read_text("utf-8"), "run `python docs/renew.py`"
    assert renew.PICTURE.relative_to(ROOT).as_posix() in README


def test_no_number_is_typed():
    """Figures stand in the outputs only; what is left are names, versions and licences."""
    prose = SPAN.sub(" ", README)
    known = r"CC BY 4\.0|by/4\.0|Python 3\.11, 3\.12 or 3\.13"
    assert not re.findall(r"\d[\d.,]*", re.sub(known, " ", prose))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text("utf-8")):
        assert target.startswith("https://") or (ROOT / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_paths_and_targets_exist(page):
    text = (ROOT / page).read_text("utf-8")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for target in re.findall(r"\bmake ([a-z]+)\b(?=`|   #)", text):
        assert target in targets, target
    for name in re.findall(r"(?<![\w/.<-])((?:chapters|data|lib|tests|docs|benchmarks|\.ci)/[\w/.-]*)(?![<\w])", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize(("page", "most"), [("README.md", 120), ("CONTRIBUTING.md", 80)])
def test_pages_are_short(page, most):
    assert len((ROOT / page).read_text("utf-8").splitlines()) <= most


def test_limits_in_contributing_are_those_of_the_tests():
    """A limit that the tests hold is quoted as they hold it."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").replace("\n", " ").replace(",", "")
    tests = {name: (ROOT / "tests" / f"test_{name}.py").read_text("utf-8") for name in ("layering", "chapters")}
    assert "at most 25 lines" in text and "lines > 25" in tests["layering"]
    assert "at most 250" in text and "<= 250" in tests["layering"]
    assert "1200 to 2500 words" in text and "else (1200, 2500)" in tests["chapters"]
    assert "at most 20 lines" in text and "<= 20" in tests["chapters"]


def test_citation_is_level_with_the_package():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert cited["cff-version"] == "1.2.0" and cited["title"] and cited["message"] and cited["authors"]
    assert (cited["version"], cited["license"]) == (package["version"], "MIT")
    assert f">={min(re.findall(r'3[.]1[0-9]', README))}" in package["requires-python"]


def test_licence_names_both():
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "MIT License" in text and "2026 Cost per Token contributors" in text
    assert all(word in text for word in ("chapters/", "data/", "CC BY 4.0"))
