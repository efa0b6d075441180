"""A long table in a real browser: searched, chosen from, sorted, paged, by keyboard, on a phone, in print, without scripts."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import sight as eyes

from bookpress.browser import find_browser
from bookpress.page import BESIDE
from bookpress.project import Project
from bookpress.stage import _stage_tables
from costpertoken import prose, tables
from costpertoken.answers import provenance as on_record

ASSETS = Path(__file__).parents[2] / "lib" / "bookpress" / "assets"
NAMES = ["ten", "two", "Élan", "one"]
ROWS = [{"name": f"{NAMES[n % 4]} {n}", "size": n * 1.5, "kind": "even" if n % 2 == 0 else "odd"} for n in range(25)]
SEEN = """[...document.querySelectorAll('tbody tr')].filter(r => getComputedStyle(r).display !== 'none')
  .map(r => r.cells[0].textContent)"""
ON = date(2026, 11, 25)
STATUS = "document.querySelector('[role=status]').textContent"


def html(table) -> str:
    style, script = ((ASSETS / name).read_text("utf8") for name in ("book.css", "tables.js"))
    head = '<meta charset="utf-8"><title>T</title><meta name="viewport" content="width=device-width">'
    body = f'<main class="bd-article"><h1>T</h1>{table.bundle["text/html"]}</main><script>{script}</script>'
    return f'<!doctype html><html lang="en"><head>{head}<style>{style}</style></head><body>{body}</body></html>'


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """A function that runs another one on the fresh page, in a thread that Playwright may have for itself."""
    if not (executable := find_browser()):
        pytest.skip("no Chromium: install it or set CHROMIUM")
    project = Project(tmp_path_factory.mktemp("table"))
    (project.root / "data").symlink_to(tables.data_dir())
    _stage_tables(project)
    facts = {"on": str(ON), "shelf_days": 120, "prices": ["gpu_prices"], "dates": on_record.DATE_OF}
    shown = {
        "table": prose.table(pd.DataFrame(ROWS), "Things & sizes", page=10, choose=["kind"]),
        "tables": prose.table(on_record.overview(), "The tables", files="_tables/data", facts=facts),
        "alone": prose.table(on_record.overview(), "The tables", files="nowhere", facts=facts),
    }
    project.stage.mkdir(parents=True, exist_ok=True)
    for name, table in shown.items():
        text = html(table)
        (project.stage / f"{name}.html").write_text(BESIDE.sub(r"\1", text) if name == "alone" else text, "utf8")

    def start():
        from playwright.sync_api import sync_playwright

        driver = sync_playwright().start()
        return driver, driver.chromium.launch(executable_path=executable, args=eyes.ARGS)

    def look(browser, work, name="table", **options):
        page, sight = browser.new_page(**({"viewport": eyes.DESK} | options)), eyes.Sight()
        eyes.listen(page, sight, project.stage.as_uri())
        page.goto((project.stage / f"{name}.html").as_uri())
        found = work(page)
        page.close()
        assert sight.left == sight.failed == sight.errors == []
        return found

    with ThreadPoolExecutor(max_workers=1) as thread:
        driver, browser = thread.submit(start).result()
        yield lambda work, **options: thread.submit(look, browser, work, **options).result()
        thread.submit(browser.close).result()
        thread.submit(driver.stop).result()


def test_pages_lead_through_all_rows(ask):
    def work(page):
        seen = [page.evaluate(SEEN)]
        page.get_by_role("button", name="Previous").click(force=True)  # at the first page there is nothing before
        for _ in range(3):
            page.get_by_role("button", name="Next").click(force=True)
            seen.append(page.evaluate(SEEN))
        return seen, page.evaluate(STATUS)

    seen, status = ask(work)
    assert [len(one) for one in seen] == [10, 10, 5, 5] and seen[2] == seen[3]
    assert seen[0] + seen[1] + seen[2] == [row["name"] for row in ROWS] and status == "21 to 25 of 25 rows"


def test_search_and_choice_narrow_it(ask):
    def work(page):
        page.get_by_label("Search").fill("elan")
        found = [page.evaluate(SEEN), page.evaluate(STATUS)]
        page.get_by_label("kind").select_option("even")
        found.append(page.evaluate(SEEN))
        page.get_by_label("Search").fill("nowhere")
        return [*found, page.evaluate(STATUS)]

    elan, status, even, none = ask(work)
    assert elan == ["Élan 2", "Élan 6", "Élan 10", "Élan 14", "Élan 18", "Élan 22"] == even
    assert status == "1 to 6 of 6 found among 25 rows" and none == "None found among 25 rows"


def test_heads_sort_by_keyboard_numbers_by_value(ask):
    def work(page):
        head = page.get_by_role("button", name="size")
        seen = []
        for _ in range(2):
            head.focus()
            page.keyboard.press("Enter")
            seen.append((page.evaluate("document.querySelectorAll('th')[1].getAttribute('aria-sort')"), page.evaluate(SEEN)[:2]))
        page.get_by_role("button", name="name").press("Space")
        return seen, page.evaluate(SEEN)[:3], page.evaluate("document.querySelectorAll('[aria-sort]').length")

    seen, named, sorted_heads = ask(work)
    assert seen == [("ascending", ["ten 0", "two 1"]), ("descending", ["ten 24", "one 23"])]
    assert named == ["Élan 2", "Élan 6", "Élan 10"] and sorted_heads == 1


def test_in_print_and_without_scripts_it_is_a_plain_table(ask):
    def printed(page):
        page.emulate_media(media="print")
        return page.evaluate(SEEN), page.evaluate("getComputedStyle(document.querySelector('.table-tools')).display")

    every = [row["name"] for row in ROWS]
    assert ask(printed) == (every, "none")
    counts = [
        ask(lambda page, what=what: page.locator(what).count(), java_script_enabled=False)
        for what in ("tbody tr:visible", "button")
    ]
    assert counts == [len(every), 0]


def opened(page, name: str) -> str:
    """Open a table that lies beside the page; what the line under it says."""
    page.get_by_label("Open a table").select_option(name)
    region = page.get_by_role("region", name=f"{name}:")
    region.locator("tbody tr").first.wait_for()
    return page.locator(".table-place [role=status]").text_content()


def test_every_row_of_every_table_can_be_reached(ask):
    rows = on_record.overview().set_index("table")["rows"]
    told = ask(lambda page: {name: opened(page, name) for name in rows.index}, name="tables")
    assert {name: int(words.split(" of ")[1].removesuffix(" rows")) for name, words in told.items()} == rows.to_dict()


def test_the_pages_of_a_table_hold_the_cells_of_its_file(ask):
    cells = "[...document.querySelectorAll('.table-rows tbody tr')].map(r => [...r.cells].map(c => c.textContent))"

    def work(page):
        opened(page, "ownership")
        seen = []
        for _ in range(10):
            seen += page.evaluate(cells)
            page.get_by_role("button", name="Next").click(force=True)
        return seen

    file = pd.read_csv(tables.data_dir() / "ownership.csv", dtype=str, keep_default_na=False)
    shown = list(dict.fromkeys(tuple(row[:-1]) for row in ask(work, name="tables")))  # the last page is seen more than once
    assert shown == [tuple(cell or "–" for cell in row) for row in file.itertuples(index=False)]


def test_prices_say_their_age_sources_are_links_and_the_codebook_is_there(ask):
    def work(page):
        opened(page, "gpu_prices")
        page.get_by_text("Choose by column").click()
        page.get_by_label("shelf life").select_option("past")
        links = page.locator(".table-rows tbody a")
        codebook = page.locator(".table-codebook dt").all_text_contents()
        return page.locator(".table-place [role=status]").text_content(), links.first.get_attribute("href"), codebook

    told, link, codebook = ask(work, name="tables")
    prices = tables.read("gpu_prices")
    stale = sum(tables.is_stale(as_of, ON) for as_of in prices["as_of"])
    assert told == f"1 to 20 of {stale} found among {len(prices)} rows"
    assert link in set(tables.read("sources")["url"]) and codebook == prices.columns.tolist()


def test_without_scripts_or_files_it_is_a_list(ask):
    links = ask(lambda page: page.locator("tbody a").count(), name="tables", java_script_enabled=False)
    assert links == len(on_record.overview())
    assert ask(lambda page: [page.locator(what).count() for what in ("a", "select", "tbody tr")], name="alone") == [0, 0, links]


@pytest.mark.parametrize("size", [eyes.DESK, eyes.PHONE], ids=["desk", "phone"])
def test_an_open_table_is_no_barrier(ask, size):
    def work(page):
        page.get_by_label("Open a table").focus()
        opened(page, "gpu_prices")
        for words in ("Codebook:", "Choose by column"):
            page.locator(".table-place summary").filter(has_text=words).press("Enter")
        page.evaluate(eyes.axe_script())
        return eyes.violations(page, "table"), page.evaluate("document.documentElement.scrollWidth - innerWidth")

    violations, sideways = ask(work, name="tables", viewport=size)
    assert violations == [] and sideways <= 0


@pytest.mark.parametrize("size", [eyes.DESK, eyes.PHONE], ids=["desk", "phone"])
def test_no_barrier_and_no_sideways_page(ask, size):
    def work(page):
        page.evaluate(eyes.axe_script())
        return eyes.violations(page, "table"), page.evaluate("document.documentElement.scrollWidth - innerWidth")

    violations, sideways = ask(work, viewport=size)
    assert violations == [] and sideways <= 0
