"""Reruns: what is refused before anything runs, what a result holds, and that no crash leaves half of one."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from served import alone, served

from bookpress import results
from bookpress.page import body_of
from bookpress.project import find_project, listed
from bookpress.reference import reference_path
from bookpress.rerun import manifest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[1]
PROJECT = find_project(REPOSITORY)
CHAPTER = """# How long is it?

It takes {{ wait }}, as {eq}`wait-formula` says, and [the other page](index.md) says more.

```{math}
:label: wait-formula
t = n
```

```{code-cell} ipython3
:tags: [parameters]

seconds: float = 0.0  # how long it waits | seconds | 0 to 60
word: str = "good"  # what it says | good, bad or worse
```

```{code-cell} ipython3
:tags: [remove-cell]

import time

from costpertoken import prose

if word == "bad":
    raise RuntimeError("told to fail")
time.sleep(seconds)
prose.inline(wait=prose.number(seconds, "s", headline=True))
```

## A part

:::{dropdown} Answer
It is {{ wait }}.
:::
"""


class Book:
    """A small book with one chapter, and the command on it."""

    def __init__(self, root: Path):
        self.root, self.out = root, root / "results"
        (root / "chapters" / "part").mkdir(parents=True)
        (root / "chapters" / "index.md").write_text("# Front\n\nNothing.\n")
        (root / "chapters" / "part" / "waits.md").write_text(CHAPTER)
        (root / "_toc.yml").write_text("format: jb-book\nroot: chapters/index\nchapters:\n  - file: chapters/part/waits\n")
        (root / "_config.yml").write_text("title: Small\nparse:\n  myst_enable_extensions: [colon_fence, dollarmath]\n")
        for name in ("lib", "data", "requirements.lock"):
            (root / name).symlink_to(REPOSITORY / name)

    def start(self, *words: str) -> subprocess.Popen:
        script = Path(sys.executable).with_name("costpertoken")
        command = [script, "rerun", "waits", "--out", str(self.out), *words]
        return subprocess.Popen(command, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words: str, how=served) -> tuple[int, str]:
        done = how("costpertoken", "rerun", "waits", "--out", str(self.out), *words, cwd=self.root)
        return done.returncode, done.stdout + done.stderr

    def results(self) -> dict[str, dict[str, bytes]]:
        """Name of each result -> its files; a half-written one would show here."""
        folders = [f for f in sorted(self.out.glob("*")) if f.is_dir() and not f.name.startswith(".")]
        return {f.name: {p.name: p.read_bytes() for p in sorted(f.iterdir())} for f in folders}

    def leftovers(self) -> list[Path]:
        return list(self.out.glob(".partial-*"))

    def waiting(self) -> subprocess.Popen:
        """A rerun that is in the middle of its chapter."""
        process = self.start("-p", "seconds=30")
        for _ in range(600):
            if self.leftovers():
                time.sleep(1.0)
                return process
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        raise AssertionError("it never began")


@pytest.fixture()
def book(tmp_path):
    return Book(tmp_path)


def test_a_result_is_whole_and_the_same_twice(book):
    code, said = book.run("-p", "seconds=0.25", how=alone)
    assert code == 0, said
    (name, files), *rest = book.results().items()
    assert not rest and re.fullmatch(r"waits-[0-9a-f]{12}", name)
    assert set(files) == {"index.html", "manifest.json", "notebook.ipynb", "numbers.json"} and not book.leftovers()
    shutil.rmtree(book.out / name)
    assert book.run("-p", "seconds=0.25")[0] == 0
    assert book.results() == {name: files}


def test_what_is_in_it(book):
    assert book.run("-p", "seconds=0.25")[0] == 0
    files = next(iter(book.results().values()))
    noted = json.loads(files["manifest.json"])
    assert noted["parameters"] == {"seconds": 0.25, "word": "good"} and noted["changed"] == {"seconds": 0.25}
    seals = {"book", "chapter", "code", "data", "files", "lock", "press"}
    assert seals == set(noted["hashes"]) and all(noted["hashes"].values())
    assert noted["key"] in next(iter(book.results())) and "numpy" in noted["packages"] and noted["python"].startswith("3.")
    assert [n["value"] for n in json.loads(files["numbers.json"])] == [0.25]
    page = files["index.html"].decode()
    assert "It takes 0.250 s" in page and "{{" not in page.split("<script>")[0] and "<details" in page and "<math" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#|https://)[^"]+"', page.split("</main>")[0])
    assert not re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="https?://', page)
    assert "0.250 s" in files["notebook.ipynb"].decode()


def test_the_same_again_runs_nothing_and_touches_nothing(book):
    assert book.run()[0] == 0
    before = {path: path.stat().st_mtime_ns for path in book.out.rglob("*") if path.is_file()}
    code, said = book.run()
    assert code == 0 and said.startswith("already there: ")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_result_that_somebody_changed_is_theirs(book):
    assert book.run()[0] == 0
    (name, files), *_ = book.results().items()
    (book.out / name / "notebook.ipynb").write_text("with notes of mine")
    code, said = book.run()
    assert code == 2 and f"{name} was changed since it was made" in said and len(said.splitlines()) == 1
    assert book.results() == {name: files | {"notebook.ipynb": b"with notes of mine"}} and not book.leftovers()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-p", "secnds=1"], "unknown parameter 'secnds'; nearest: seconds"),
        (["-p", "seconds=61"], "seconds is 61; allowed: 0 to 60 seconds"),
        (["-p", "seconds=nan"], "seconds is 'nan'; expected a finite number"),
        (["-p", "word=god"], "nearest: good"),
        (["-p", "seconds"], "expected NAME=VALUE"),
        (["-p", "seconds=1", "-p", "seconds=2"], "contradict each other"),
        (["-f", "none.yaml"], "none.yaml cannot be read"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(book, words, told):
    code, said = book.run(*words)
    assert code == 2 and told in said and "Traceback" not in said and len(said.splitlines()) == 1
    assert not book.out.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seconds: [\n", "line "),
        ("- 1\n- 2\n", "mine.yaml, line 1: expected lines of `name: value`"),
        ("word: good\nseconds: [1]\n", "mine.yaml, line 2: expected lines of `name: value`"),
        ("seconds: 1\nseconds: 2\n", "mine.yaml, line 2: seconds stands there twice"),
        ("1: 2\n", "unknown parameter '1'"),
        ("seconds: 2026-13-45\n", "expected a finite number"),
        ("[" * 5000, "no YAML"),
        ("seconds: many\n", "expected a finite number"),
        ("seconds: true\n", "expected a finite number"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_line(book, text, told):
    (book.root / "mine.yaml").write_text(text)
    code, said = book.run("-f", "mine.yaml")
    assert code == 2 and told in said and "Traceback" not in said and not book.out.exists()


def test_the_command_line_goes_before_the_file(book):
    (book.root / "mine.yaml").write_text("seconds: 0.5\nword: worse\n")
    assert book.run("-f", "mine.yaml", "-p", "seconds=0.25")[0] == 0
    noted = json.loads(next(iter(book.results().values()))["manifest.json"])
    assert noted["parameters"] == {"seconds": 0.25, "word": "worse"}


def test_parameters_are_listed(book):
    code, said = book.run("--help-parameters")
    assert code == 0 and re.search(r"seconds +float +0 +0 to 60 seconds +how long it waits", said) and not book.out.exists()


def test_a_file_that_changed_makes_another_result(tmp_path):
    """The path is the same; what stands in the file is what the result is made from."""
    trace, page = tmp_path / "trace.csv", "chapters/economics/token_cost"
    keys = []
    for text in ("one", "two", "one"):
        trace.write_text(text)
        keys.append(manifest(PROJECT, page, {"trace": str(trace)}, {})["key"])
    assert keys[0] == keys[2] != keys[1]


def test_an_unknown_chapter_gets_the_nearest(book):
    done = served("costpertoken", "rerun", "wait", cwd=book.root)
    assert done.returncode == 2 and done.stderr == "error: unknown chapter 'wait'; nearest: part/waits\n"


def test_outside_a_book_it_says_so(tmp_path):
    done = alone("costpertoken", "rerun", "waits", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: no book here")


def test_a_chapter_that_fails_says_where_and_leaves_nothing(book):
    assert book.run()[0] == 0
    before = book.results()
    code, said = book.run("-p", "word=bad")
    assert code == 1 and "RuntimeError: told to fail" in said and "Traceback" not in said
    assert book.results() == before and not book.leftovers()


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_no_end_leaves_half_a_result_and_the_next_run_sweeps(book, how, code):
    assert book.run()[0] == 0
    before = book.results()
    process = book.waiting()
    os.kill(process.pid, how)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert book.results() == before
    time.sleep(1.5)  # the fork that ran the cells sees that its parent is gone
    assert book.run("-p", "seconds=0.1")[0] == 0
    assert not book.leftovers() and len(book.results()) == 2
    assert {name: book.results()[name] for name in before} == before


KILLED = """
import os, signal, sys
from pathlib import Path
from bookpress import results

out, at = Path(sys.argv[1]), int(sys.argv[2])
left = iter(range(at))

def dying(real):
    def call(*given):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given)
    return call

results.write_atomic, os.rename = dying(results.write_atomic), dying(os.rename)
with results.workplace(out) as made:
    results.put({"a": b"1", "b": b"2", "manifest.json": b"3"}, made, out / "final")
"""


@pytest.mark.parametrize("at", range(4))
def test_a_kill_between_any_two_files_leaves_none_of_them(tmp_path, at):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(at)])
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "final").exists() and len(list(tmp_path.glob(".partial-*"))) == 1
    with results.workplace(tmp_path):
        assert len(list(tmp_path.glob(".partial-*"))) == 1  # its own


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_atomic", full)
    with pytest.raises(OSError, match="No space"), results.workplace(tmp_path) as made:
        results.put({"a": b"1"}, made, tmp_path / "final")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_prose_that_asks_for_an_unknown_number_fails_in_words(book):
    chapter = book.root / "chapters" / "part" / "waits.md"
    chapter.write_text(chapter.read_text() + "\nIt is {{ wai }}.\n")
    code, said = book.run()
    assert code == 1 and "{{ wai }}; the nearest name is 'wait'" in said and "Traceback" not in said
    assert not book.results() and not book.leftovers()


def test_a_live_run_is_not_swept(book):
    process = book.waiting()
    assert book.run()[0] == 0
    assert len(book.leftovers()) == 1 and process.poll() is None
    process.kill()
    process.communicate()


@pytest.mark.parametrize("values", [("0.4", "0.4"), ("0.4", "0.5")], ids=["equal", "different"])
def test_two_at_once_do_not_collide(book, values):
    pair = [book.start("-p", f"seconds={value}") for value in values]
    said = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    assert len(book.results()) == len(set(values)) and not book.leftovers()
    for files in book.results().values():
        seals = json.loads(files["manifest.json"])["files"]
        assert set(seals) == set(files) - {"manifest.json"}


def test_a_folder_that_cannot_be_written_is_named(book):
    book.out.write_text("a file")
    code, said = book.run()
    assert code == 2 and str(book.out) in said and "Traceback" not in said and book.out.read_text() == "a file"


@pytest.mark.parametrize("name", listed(PROJECT))
def test_a_page_leaves_no_markup_of_any_chapter_unread(name):
    """Directives, roles, formulas and links of the book as it is: what the page could not read would stand there as typed."""
    page = body_of(PROJECT, name, nbformat.read(reference_path(PROJECT, name), as_version=4))
    prose = re.sub(r"<pre.*?</pre>|<math.*?</math>", "", page, flags=re.DOTALL)
    assert "<h1>" in prose and "system-message" not in prose and "problematic" not in prose
    assert not re.findall(r"^ *(?:`{3}|:{3}).*|\{[\w:-]+\}`[^`]*`|\]\([^)]*\)|<code>\\\w+.*?</code>", prose, re.MULTILINE)
    assert not re.findall(r'href="(?!https://|http://|#)[^"]*"', prose)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) and {at for at in re.findall(r'href="#([^"]*)"', page)} <= set(ids)


MARKUP = """# A page

(here)=
## A section *with* words

{eq}`one`, {eq}`gone`, {doc}`../x/token_cost`, {doc}`these words <../x/token_cost>`, [](#here), [there](#there), [up](../b.md),
[web](https://example.org), {cite:t}`kwon`, {unheard}`of`.

```{math}
:label: one
a = b
```

$$
c = d
$$ (two)

See {eq}`two`.

:::{dropdown} Answer
:open:
It is **42**.
:::

:::{unheard-of} Title
Body.
:::
"""


def test_markup_of_sphinx_is_told_or_becomes_its_words(tmp_path):
    book = Book(tmp_path)
    (tmp_path / "references.bib").write_text(
        "@article{kwon, author={Kwon, Woosuk and Li, Zhuohan and Stoica, Ion}, title={Paged}, year={2023}}"
    )
    (tmp_path / "chapters" / "part" / "token_cost.md").write_text("# What does one token cost?\n")
    (book.root / "_toc.yml").write_text("root: chapters/index\nchapters:\n  - file: chapters/part/token_cost\n")
    cell = nbformat.v4.new_markdown_cell(MARKUP)
    page = body_of(find_project(book.root), "chapters/index", nbformat.v4.new_notebook(cells=[cell]))
    first, second = page.split("<div class=\"formula\"", 1)
    assert '<a class="reference internal" href="#equation-one">(1)</a>' in first and "<span>equation gone</span>" in first
    assert "<span>What does one token cost?</span>" in first and "<span>these words</span>" in first
    assert ">A section with words</a>" in first and "<span>there</span>" in first and "<span>up</span>" in first
    assert 'href="https://example.org"' in first and "Kwon et al. (2023)" in first and "<span>of</span>" in first
    assert 'id="equation-one"' in second and 'href="#equation-two">(2)</a>' in second
    assert "<summary>Answer</summary>" in second and "<strong>42</strong>" in second and ":open:" not in second
    assert "<strong>Title</strong>" in second and "<p>Body.</p>" in second
