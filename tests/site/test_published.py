"""What a reader of the published site meets: a page for what is not there, a sitemap, notebooks that plain papermill runs."""

import os
import re
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
import sight
from conftest import unable

from bookpress.browser import find_browser
from bookpress.numbers import fill
from bookpress.project import docnames, find_project

PROJECT = find_project(Path(__file__).parents[2])
PAGES = docnames(PROJECT)
FRONT = PAGES[0]
# Two that read data, inline numbers and draw charts, each with other values of two parameters.
RUNS = {
    "economics/batching": {"batch": 64, "output_tokens": 300},
    "evidence/model_quality": {"figure": "TPOT", "n_points": 200},
}


def notebook(site: Path, name: str):
    return nbformat.read(site / "_sources" / f"{name}.ipynb", as_version=4)


def canonical(site: Path, name: str) -> list[str]:
    return re.findall('rel="canonical" href="(.*?)"', (site / f"{name}.html").read_text("utf8"))


def test_the_sitemap_holds_the_contents_or_there_is_none(site):
    base = canonical(site, "index")
    assert (site / "sitemap.xml").exists() == (site / "robots.txt").exists() == bool(base)
    if base:
        found = re.findall("<loc>(.*?)</loc>", (site / "sitemap.xml").read_text("utf8"))
        assert found == [address for name in PAGES for address in canonical(site, name)]
        assert found == base + [f"{base[0]}{name}.html" for name in PAGES[1:]]


def test_each_page_has_a_title_and_a_description_of_its_own(site):
    pages = [(site / f"{name}.html").read_text("utf8") for name in ("index", *PAGES[1:])]
    for what in ("<title>(.*?)</title>", '<meta name="description" content="(.*?)" />'):
        found = [re.findall(what, page) for page in pages]
        assert all(len(one) == 1 for one in found) and len({one[0] for one in found}) == len(pages)
    assert "<title>Cost per Token</title>" in pages[0]


@pytest.mark.parametrize("name", PAGES)
def test_each_page_offers_its_notebook(site, name):
    page = site / f"{name}.html"
    links = re.findall(r'<a href="([^"]*)"[^>]*btn-download-source-button', page.read_text("utf8"))
    assert [(page.parent / link).resolve() for link in links] == [site / "_sources" / f"{name}.ipynb"]


@pytest.mark.parametrize("name", PAGES)
def test_each_notebook_is_executed_and_reads_as_numbers(site, name):
    book = notebook(site, name)
    nbformat.validate(book)
    assert book.cells[0].id == "about-this-notebook"
    for cell in book.cells:
        if cell.cell_type == "markdown":
            assert fill(cell.source, {}, name) == cell.source  # a marker that is left would be unknown
    source = nbformat.read(PROJECT.notebook(name), as_version=4)
    code = [cell.source for cell in book.cells if cell.cell_type == "code"]
    assert code == [cell.source for cell in source.cells if cell.cell_type == "code"]
    parameters = [cell for cell in book.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(parameters) == 1 or name == FRONT
    assert ("papermill" in book.cells[0].source) == bool(parameters)
    assert any(cell.get("outputs") for cell in book.cells)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The package as `pip install .` lays it down, in a folder of its own: nothing of the checkout is reached."""
    made = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", made]
    subprocess.run(command, cwd=PROJECT.root, check=True, capture_output=True, timeout=120)
    zipfile.ZipFile(next(made.glob("*.whl"))).extractall(made / "installed")
    return made / "installed"


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_plain_papermill_runs_the_download(site, installed, tmp_path, name):
    given = notebook(site, f"chapters/{name}")
    given.cells.append(nbformat.v4.new_code_cell("import costpertoken; print(costpertoken.__file__)"))
    nbformat.write(given, tmp_path / "in.ipynb")
    options = [str(word) for pair in RUNS[name].items() for word in ("-p", *pair)]
    done = subprocess.run(
        [Path(sys.executable).parent / "papermill", "--no-progress-bar", "in.ipynb", "out.ipynb", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    assert out[-1].outputs[0].text.startswith(str(installed))
    tags = [cell.metadata.get("tags", []) for cell in out]
    place = tags.index(["injected-parameters"])
    assert "parameters" in tags[place - 1]
    assert all(f"{key} = " in out[place].source for key in RUNS[name])
    del out[place]
    assert [cell.source for cell in out] == [cell.source for cell in given.cells]
    before, after = ([cell.get("outputs") for cell in cells] for cells in (given.cells, out))
    assert sum(one != other for one, other in zip(before, after, strict=True)) > 3


@pytest.fixture(scope="module")
def seen(site, tmp_path_factory) -> dict:
    """What a browser meets at an address that is not there, at a desk and on a phone, and where it gets to from there."""
    executable = find_browser() or unable("no Chromium: install it or set CHROMIUM")
    # The site lies below the path that its address gives it, as on its host.
    base = urlsplit(canonical(site, "index")[0]).path if canonical(site, "index") else "/"
    host = tmp_path_factory.mktemp("host")
    if base == "/":
        host = site
    else:
        (host / base.strip("/")).parent.mkdir(parents=True, exist_ok=True)
        (host / base.strip("/")).symlink_to(site)
        (host / "404.html").symlink_to(site / "404.html")
    server = sight.serve(host)
    home = f"http://127.0.0.1:{server.server_port}"
    with ThreadPoolExecutor(max_workers=1) as thread:  # Playwright keeps an event loop, which other tests must not meet
        found = thread.submit(_visit, executable, home, base).result()
    server.shutdown()
    server.server_close()
    return found


def _visit(executable: str, home: str, base: str) -> dict:
    from playwright.sync_api import sync_playwright

    found, noted = {"sideways": [], "violations": []}, sight.Sight()
    with sync_playwright() as driver, driver.chromium.launch(executable_path=executable, args=sight.ARGS) as browser:
        page = browser.new_page(viewport=sight.DESK)
        sight.listen(page, noted, home)
        missing = f"{home}{base}no/such/page.html"
        found["status"] = page.goto(missing).status
        found["heading"] = page.get_by_role("heading", level=1).inner_text()
        page.evaluate(sight.axe_script())
        for size in (sight.DESK, sight.PHONE):
            page.set_viewport_size(size)
            page.wait_for_timeout(400)  # the contents slide away on a phone
            if folder := os.environ.get("SHOTS"):
                page.screenshot(path=f"{folder}/404-{size['width']}.png")
            found["sideways"].append(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
            found["violations"] += sight.violations(page, str(size["width"]))
        # The address itself is refused, and the console says so; nothing else may be.
        found["failed"] = [url for url in noted.failed if url != missing]
        found["errors"] = [text for text in noted.errors if "404" not in text]
        found["left"] = noted.left
        page.get_by_role("link", name="the front page").click()
        page.wait_for_load_state()
        found["front"] = page.url.removeprefix(f"{home}{base}")
        page.set_viewport_size(sight.DESK)
        page.goto(f"{home}{base}{PAGES[1]}.html")
        page.get_by_role("button", name="Download this page").click()
        if folder := os.environ.get("SHOTS"):
            page.screenshot(path=f"{folder}/download.png")
        with page.expect_download() as download:
            page.locator(".btn-download-source-button").click()
        found["download"] = nbformat.read(download.value.path(), as_version=4)
        found["name"] = download.value.suggested_filename
    return found


def test_an_unknown_address_is_answered_in_the_house_s_style(seen):
    assert (seen["status"], seen["heading"].rstrip("#")) == (404, "This page is not in the book")
    assert seen["failed"] == seen["errors"] == seen["left"] == []
    assert max(seen["sideways"]) <= 0 and seen["violations"] == []


def test_its_links_lead_into_the_book(seen):
    assert seen["front"] == f"{FRONT}.html"


def test_the_button_downloads_the_notebook(site, seen):
    assert seen["name"] == f"{PAGES[1].rsplit('/', 1)[1]}.ipynb"
    assert seen["download"] == notebook(site, PAGES[1])
