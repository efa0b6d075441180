"""Publishing: the workflows are sound by their schema and by zizmor, and a site knows its address only where one is given."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as tree
from pathlib import Path

import nbformat
import pytest
import test_press
import yaml

from bookpress.project import PressError
from bookpress.published import anywhere, at_root, site_url, sitemap, takeaway

pristine, book = test_press.pristine, test_press.book  # fixtures: a book of two tiny chapters, and a copy of it
FOLDER = Path(__file__).parents[1] / ".github" / "workflows"
RENEWAL = FOLDER.parent / "dependabot.yml"
WORKFLOWS = {path.name: path.read_text("utf8") for path in sorted(FOLDER.glob("*.yml"))}
TOOLS = Path(sys.executable).parent
PINNED = re.compile(r"uses: [\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
ALLOWED = {
    ("test.yml", "gate"): {"contents": "read"},
    ("publish.yml", "build"): {"contents": "read", "pages": "read"},
    ("publish.yml", "deploy"): {"pages": "write", "id-token": "write"},
}
# What must be noticed: a workflow's name, what stands there, what would stand there instead, the word that names the fault.
FAULTS = [
    ("test.yml", "@9c091bb21b7c1c1d1991bb908d89e4e9dddfe3e0 # v7.0.0", "@v7", "pin"),
    ("test.yml", " # v7.0.0", "", "pin"),
    ("test.yml", "  pull_request:", "  pull_request_target:", "trigger"),
    ("publish.yml", '    tags: ["v*"]', "    branches: [main]", "trigger"),
    ("test.yml", "permissions: {}", "permissions: write-all", "permissions"),
    ("test.yml", "      contents: read", "      contents: write", "permissions"),
    ("publish.yml", "      pages: read", "      pages: write", "permissions"),
    ("publish.yml", "    needs: build\n", "", "gate"),
    ("publish.yml", "bash .ci/run", "make book", "gate"),
    ("test.yml", "persist-credentials: false", "persist-credentials: true", "credentials"),
    ("publish.yml", "    timeout-minutes: 15\n", "", "timeout"),
]
UNSOUND = [
    ("test.yml", "@9c091bb21b7c1c1d1991bb908d89e4e9dddfe3e0 # v7.0.0", "@v7", "unpinned-uses"),
    ("test.yml", "          persist-credentials: false", "          fetch-depth: 1", "artipacked"),
    ("test.yml", "  pull_request:", "  pull_request_target:", "dangerous-triggers"),
    ("test.yml", "permissions: {}", "permissions: write-all", "excessive-permissions"),
    ("publish.yml", "bash .ci/run", "bash .ci/run ${{ github.event.head_commit.message }}", "template-injection"),
]


def faults(name: str, text: str) -> set[str]:
    """What is wrong with a workflow by this repository's own rules, which neither the schema nor zizmor knows."""
    flow = yaml.safe_load(text)
    events, jobs = flow[True], flow["jobs"]  # YAML reads `on` as true
    steps = [step for job in jobs.values() for step in job["steps"]]
    uses = [line.strip().removeprefix("- ") for line in text.splitlines() if "uses:" in line]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    wanted = {"publish.yml": {"push": {"tags": ["v*"]}}}.get(name)
    found = {
        "pin": not uses or not all(PINNED.match(line) for line in uses),
        "trigger": "pull_request_target" in text or "workflow_run" in text or (wanted is not None and events != wanted),
        "permissions": flow["permissions"] != {}
        or any(job.get("permissions") != ALLOWED.get((name, key)) for key, job in jobs.items()),
        "gate": [step["run"].split(" #")[0] for step in steps if "run" in step] != ["bash .ci/run"]
        or ("deploy" in jobs and jobs["deploy"].get("needs") != "build"),
        "credentials": not all(step.get("with", {}).get("persist-credentials") is False for step in checkouts),
        "timeout": not all("timeout-minutes" in job for job in jobs.values()),
    }
    return {fault for fault, there in found.items() if there}


def broken(name: str, old: str, new: str) -> str:
    assert old in WORKFLOWS[name]
    return WORKFLOWS[name].replace(old, new)


def audited(folder: Path) -> list[tuple[str, str]]:
    """(workflow, finding) of zizmor at its most pedantic, without any request."""
    options = ["--offline", "--no-config", "--persona=auditor", "--strict-collection", "--format=json"]
    done = subprocess.run([TOOLS / "zizmor", *options, folder], capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 11, 12, 13, 14), done.stderr  # above 10: the worst finding's severity
    found = json.loads(done.stdout)
    return [(json.dumps(one["locations"]), one["ident"]) for one in found]


def valid(schema: str, *paths: Path) -> subprocess.CompletedProcess:
    """Whether files fit a schema that the checker carries with it."""
    command = [TOOLS / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_there_are_two_workflows():
    assert list(WORKFLOWS) == ["publish.yml", "test.yml"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_keep_the_rules(name):
    assert faults(name, WORKFLOWS[name]) == set()


@pytest.mark.parametrize("name, old, new, fault", FAULTS)
def test_a_broken_rule_is_noticed(name, old, new, fault):
    assert fault in faults(name, broken(name, old, new))


def test_one_action_has_one_version():
    pins = {
        line.strip().removeprefix("- ") for text in WORKFLOWS.values() for line in text.splitlines() if "uses:" in line
    }
    assert len(pins) == len({pin.split("@")[0] for pin in pins})


def test_zizmor_finds_nothing_and_would_find_something(tmp_path):
    assert audited(FOLDER.parent) == []
    for number, (name, old, new, _) in enumerate(UNSOUND):
        path = tmp_path / ".github" / "workflows" / f"broken{number}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(broken(name, old, new), "utf8")
    hasty = re.sub(r"    cooldown:\n.*\n", "", RENEWAL.read_text("utf8"))
    (tmp_path / ".github" / "dependabot.yml").write_text(hasty, "utf8")
    found = audited(tmp_path)
    assert [what for where, what in found if "dependabot.yml" in where] == ["dependabot-cooldown"]
    for number, (_, _, _, ident) in enumerate(UNSOUND):
        assert any(ident == what and f"broken{number}.yml" in where for where, what in found), ident


def test_workflows_fit_the_schema_and_a_misspelt_one_does_not(tmp_path):
    assert valid("github-workflows", *(FOLDER / name for name in WORKFLOWS)).returncode == 0
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(broken("test.yml", "timeout-minutes", "timeout-minuts"), "utf8")
    assert "timeout-minuts" in valid("github-workflows", wrong).stdout


def test_the_renewal_of_pins_fits_its_schema_and_covers_the_actions():
    assert valid("dependabot", RENEWAL).returncode == 0
    (update,) = yaml.safe_load(RENEWAL.read_text("utf8"))["updates"]
    assert (update["package-ecosystem"], update["schedule"]) == ("github-actions", {"interval": "monthly"})
    assert [group["patterns"] for group in update["groups"].values()] == [["*"]]  # else one of two workflows lags


def test_the_citation_fits_its_schema():
    assert valid("citation-file-format", FOLDER.parents[1] / "CITATION.cff").returncode == 0


def test_the_address_comes_from_one_place(monkeypatch):
    monkeypatch.delenv("SITE_URL", raising=False)
    assert site_url() == ""
    for given in ("https://example.org", "https://example.org/"):
        monkeypatch.setenv("SITE_URL", given)
        assert site_url() == "https://example.org/"
    for given in (
        "example.org",
        "ftp://example.org",
        "https://example.org/a b",
        'https://example.org/"x',
        "https:///x",
    ):
        monkeypatch.setenv("SITE_URL", given)
        with pytest.raises(PressError, match="not a web address"):
            site_url()


def test_sitemap_by_hand():
    text = sitemap("https://example.org/b/", ["chapters/index", "chapters/a b"], "2026-01-02")
    spaces = {"": "http://www.sitemaps.org/schemas/sitemap/0.9"}
    pages = [[part.text for part in page] for page in tree.fromstring(text.encode()).findall("url", spaces)]
    assert pages == [
        ["https://example.org/b/", "2026-01-02"],
        ["https://example.org/b/chapters/a%20b.html", "2026-01-02"],
    ]
    assert "lastmod" not in sitemap("https://example.org/", ["index"], "")


def test_a_page_for_any_depth_is_made_once():
    page = '<html data-content_root="./"><a href="chapters/a.html#b"><a href="#c"><script src="_static/d.js?v=1">'
    rooted = at_root(page, "", "/book/")
    assert rooted == (
        '<html data-content_root="/book/"><a href="/book/chapters/a.html#b"><a href="#c"><script src="/book/_static/d.js?v=1">'
    )
    assert at_root(rooted, "", "/book/") == rooted


def test_a_notebook_to_take_home_adds_a_note_and_nothing_else(tmp_path):
    code = nbformat.v4.new_code_cell("factor: float = 1.0", metadata={"tags": ["parameters"]}, id="c1")
    given = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# It costs 2.50 USD", id="c0"), code])
    nbformat.write(given, tmp_path / "cost.ipynb")
    note, *rest = nbformat.reads(takeaway(tmp_path / "cost.ipynb", "2026-01-02").decode(), 4).cells
    assert rest == given.cells
    assert "2026-01-02" in note.source and "papermill cost.ipynb" in note.source
    del given.cells[1]
    nbformat.write(given, tmp_path / "cost.ipynb")
    assert "papermill" not in takeaway(tmp_path / "cost.ipynb", "2026-01-02").decode()


MYST = """:::{admonition} In short
:class: in-short
It costs 2 USD, by {eq}`cost`.
See [there](../part/other.ipynb#why), [here](#why) and [elsewhere](https://example.net/a.ipynb).
:::

```{math}
:label: cost
a &= b \\\\
  &= c
```

:::{dropdown} Answer
Two.
:::
"""


def test_a_notebook_to_take_home_reads_the_same_in_any_viewer():
    text, after = anywhere([MYST, "As {eq}`cost` and {eq}`gone` say."], "https://example.org/book/chapters/hardware/one")
    assert after == "As (1) and (gone) say."
    assert text == """> **In short**
>
> It costs 2 USD, by (1).
> See [there](https://example.org/book/chapters/part/other.html#why), [here](#why) and [elsewhere](https://example.net/a.ipynb).

$$
\\begin{split}a &= b \\\\
  &= c\\end{split} \\tag{1}
$$

<details><summary>Answer</summary>

Two.

</details>
"""
    assert "[there](../part/other.ipynb#why)" in anywhere([MYST])[0]  # beside the other notebooks it leads to the next one


@pytest.mark.slow
def test_a_site_with_an_address_says_it_and_one_without_names_no_host(book, monkeypatch):
    html = book.root / "_build/html"
    assert not (html / "sitemap.xml").exists() and "canonical" not in book.page()
    assert 'href="/chapters' in _missing(html)
    monkeypatch.setenv("SITE_URL", "https://example.org/book")
    book.built()
    assert re.findall("<loc>(.*?)</loc>", (html / "sitemap.xml").read_text()) == [
        "https://example.org/book/", "https://example.org/book/chapters/other.html"]  # fmt: skip
    assert "<lastmod>2026-01-02</lastmod>" in (html / "sitemap.xml").read_text()
    assert "Sitemap: https://example.org/book/sitemap.xml\n" in (html / "robots.txt").read_text()
    addresses = {"chapters/index": "", "index": "", "chapters/other": "chapters/other.html"}
    for name, address in addresses.items():
        page = (html / f"{name}.html").read_text("utf8")
        assert re.findall('rel="canonical" href="(.*?)"', page) == [f"https://example.org/book/{address}"]
    assert 'href="/book/chapters' in _missing(html) and "canonical" not in _missing(html)


def _missing(html: Path) -> str:
    return (html / "404.html").read_text("utf8")
