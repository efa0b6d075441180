"""The press on a book of two tiny chapters: what it makes, what it skips, and that nothing stale ever stays."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from served import alone, served

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[1]
STUB = """
from pathlib import Path
PRICE = Path(__file__).parents[2] / "data" / "price.csv"
SCALE = 1

class Numbers:
    def __init__(self, value):
        self.value = value
    def _repr_mimebundle_(self, include=None, exclude=None):
        number = {"value": self.value, "unit": "USD", "text": f"{self.value:.2f} USD", "low": 1.0, "high": 9.0,
                  "low_text": "1 USD", "high_text": "9 USD", "band": "1 to 9 USD", "headline": True}
        mime = "application/vnd.costpertoken.numbers+json"
        return {mime: {"price": number}, "text/plain": f"price = {number['text']}"}

def published():
    return Numbers(SCALE * float(PRICE.read_text().splitlines()[1].split(",")[0]))
"""
CHAPTER = """# {title}

({title}-label)=
## Price

It costs {{{{ price }}}}, between {{{{ price.band }}}}. {link}

```{{code-cell}} ipython3
:tags: [parameters]
factor: float = 1.0
```

```{{code-cell}} ipython3
from costpertoken import published
published()
```
"""
TOC = "format: jb-book\nroot: chapters/index\nparts:\n  - caption: Part\n    chapters:\n      - file: chapters/other\n"

class Book:
    """A scratch project and the press's command on it."""

    def __init__(self, root: Path):
        self.root = root

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, "utf8")

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text("utf8")
        assert old in text
        self.write(name, text.replace(old, new))

    def press(self, *words: str, how=served) -> subprocess.CompletedProcess:
        return how("bookpress", "--root", str(self.root), *words, cwd=self.root)

    def built(self) -> str:
        done = self.press("book")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def failed(self) -> str:
        done = self.press("book")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def page(self, name: str = "other") -> str:
        return (self.root / "_build/html/chapters" / f"{name}.html").read_text("utf8")

    def files(self, folder: str, pattern: str) -> dict[str, bytes]:
        top = self.root / folder
        return {p.relative_to(top).as_posix(): p.read_bytes() for p in sorted(top.rglob(pattern))}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Book:
    """A book that was built once; tests that change something take a copy."""
    book = Book(tmp_path_factory.mktemp("press") / "book")
    for name in ("_config.yml", "favicon.svg", "references.bib"):
        book.write(name, (REPOSITORY / name).read_text("utf8"))
    book.write("requirements.lock", "numpy==2.4.6\n")
    book.write("_toc.yml", TOC)
    book.write("lib/costpertoken/__init__.py", STUB)
    book.write("data/price.csv", "usd,as_of\n2.50,2026-01-02\n")
    book.write("chapters/index.md", CHAPTER.format(title="Front", link="See [it](#Other-label), [there](other.md)."))
    book.write("chapters/other.md", CHAPTER.format(title="Other", link=""))
    done = book.press("book", how=alone)
    assert done.returncode == 0, done.stdout + done.stderr
    return book


@pytest.fixture
def book(pristine, tmp_path) -> Book:
    shutil.copytree(pristine.root, tmp_path / "book")
    return Book(tmp_path / "book")


def test_numbers_reach_page_notebook_and_json(pristine):
    assert "It costs 2.50 USD, between 1 to 9 USD." in pristine.page()
    download = (pristine.root / "_build/html/_sources/chapters/other.ipynb").read_text("utf8")
    assert "It costs 2.50 USD" in download and "{{" not in download
    published = json.loads((pristine.root / "_build/html/numbers.json").read_text("utf8"))
    assert [(n["chapter"], n["name"], n["value"]) for n in published] == [
        ("chapters/index", "price", 2.5),
        ("chapters/other", "price", 2.5),
    ]


def test_page_is_self_contained_and_dated(pristine):
    page = pristine.page()
    assert "Edition of 2026-01-02" in page
    assert '<meta name="description" content="It costs 2.50 USD, between 1 to 9 USD." />' in page
    for host in ('src="http', 'href="http', "preconnect", "//cdn", "mathjax@", "thebe"):
        assert host not in page, host
    assert not list((pristine.root / "_build/html").rglob("*.map"))


def test_unchanged_is_skipped_and_a_changed_chapter_is_not(book):
    before = {p: p.stat().st_mtime_ns for p in (book.root / "_build/html").rglob("*") if p.is_file()}
    assert book.built().count("cached") == 2
    assert before == {p: p.stat().st_mtime_ns for p in (book.root / "_build/html").rglob("*") if p.is_file()}
    book.edit("chapters/other.md", "It costs", "It now costs")
    assert book.built().count("cached") == 1
    assert "It now costs 2.50 USD" in book.page()


def test_changed_data_moves_every_number(book):
    book.edit("data/price.csv", "2.50,2026-01-02", "4.75,2026-03-04")
    assert "cached" not in book.built()
    for name in ("index", "other"):
        assert "It costs 4.75 USD" in book.page(name)
        assert "Edition of 2026-03-04" in book.page(name)


def test_changed_library_executes_again(book):
    book.edit("lib/costpertoken/__init__.py", "SCALE = 1", "SCALE = 2")
    assert "cached" not in book.built()
    assert "It costs 5.00 USD" in book.page()


def test_a_built_up_site_equals_a_new_one_to_the_byte(book):
    book.edit("chapters/other.md", "# Other", "# Another title")
    book.edit("chapters/other.md", "## Price", "## Cost")
    book.built()
    assert "Another title" in book.page("index")
    step_by_step = book.files("_build/finished", "*.ipynb"), book.files("_build/html", "*.html")
    shutil.rmtree(book.root / "_build")
    book.built()
    assert step_by_step == (book.files("_build/finished", "*.ipynb"), book.files("_build/html", "*.html"))


def test_page_that_left_the_contents_leaves_the_site(book):
    book.write("_toc.yml", "format: jb-book\nroot: chapters/index\n")
    book.edit("chapters/index.md", "See [it](#Other-label), [there](other.md).", "")
    book.built()
    assert not (book.root / "_build/html/chapters/other.html").exists()
    assert "other" not in (book.root / "_build/html/searchindex.js").read_text("utf8")


def test_unknown_number_names_chapter_marker_and_nearest(book):
    book.edit("chapters/other.md", "{{ price }}", "{{ prise }}")
    said = book.failed()
    assert "chapters/other" in said and "{{ prise }}" in said and "'price'" in said
    assert "It costs 2.50 USD" in book.page()


def test_failing_chapter_is_told_and_the_earlier_result_stays(book):
    before = book.files("_build/executed", "*.ipynb"), book.files("_build/html", "*.html")
    book.edit("chapters/other.md", "published()", "published()\nraise ValueError('no such price')")
    said = book.failed()
    assert "chapters/other.md failed" in said
    assert "    published()" in said and "ValueError: no such price" in said
    assert before == (book.files("_build/executed", "*.ipynb"), book.files("_build/html", "*.html"))


def test_a_warning_fails_each_time_until_it_is_cured(book):
    before = book.files("_build/html", "*.html")
    book.edit("chapters/other.md", "It costs", "[Broken](#nowhere). It costs")
    assert "nowhere" in book.failed()
    assert "nowhere" in book.failed()
    assert before == book.files("_build/html", "*.html")
    book.edit("chapters/other.md", "[Broken](#nowhere). ", "")
    book.built()
    assert before == book.files("_build/html", "*.html")


def test_references_are_plain_and_tell_what_moved(book):
    assert "other  price: None -> 2.5" in book.press("reference").stdout
    raw = (book.root / "tests/reference/other.ipynb").read_text("utf8")
    assert "price = 2.50 USD" in raw and "vnd.costpertoken" not in raw
    book.edit("data/price.csv", "2.50", "2.25")
    assert "other  price: 2.5 -> 2.25" in book.press("reference").stdout
    assert "no number moved" in book.press("reference").stdout


def test_chapter_that_is_missing_is_told(book):
    (book.root / "chapters/other.md").unlink()
    assert "chapters/other.md" in book.failed()


def test_folder_without_a_book_is_told(tmp_path):
    done = Book(tmp_path).press("book", how=alone)
    assert done.returncode == 1 and "no book here" in done.stderr


def test_kernel_that_dies_is_a_failure(book):
    book.edit("chapters/other.md", "published()", "import os\nos.kill(os.getpid(), 9)")
    assert "chapters/other.md failed" in book.failed()
    assert "It costs 2.50 USD" in book.page()
