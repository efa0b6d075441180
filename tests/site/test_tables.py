"""A long table in a real browser: searched, chosen from, sorted, paged, by keyboard, on a phone, in print, without scripts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import sight as eyes

from bookpress.browser import find_browser
from costpertoken import prose

ASSETS = Path(__file__).parents[2] / "lib" / "bookpress" / "assets"
NAMES = ["ten", "two", "Élan", "one"]
ROWS = [{"name": f"{NAMES[n % 4]} {n}", "size": n * 1.5, "kind": "even" if n % 2 == 0 else "odd"} for n in range(25)]
SEEN = """[...document.querySelectorAll('tbody tr')].filter(r => getComputedStyle(r).display !== 'none')
  .map(r => r.cells[0].textContent)"""
STATUS = "document.querySelector('[role=status]').textContent"


def html() -> str:
    table = prose.table(pd.DataFrame(ROWS), "Things & sizes", page=10, choose=["kind"]).bundle["text/html"]
    style, script = ((ASSETS / name).read_text("utf8") for name in ("book.css", "tables.js"))
    head = '<meta charset="utf-8"><title>T</title><meta name="viewport" content="width=device-width">'
    body = f'<main class="bd-article"><h1>T</h1>{table}</main><script>{script}</script>'
    return f'<!doctype html><html lang="en"><head>{head}<style>{style}</style></head><body>{body}</body></html>'


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """A function that runs another one on the fresh page, in a thread that Playwright may have for itself."""
    if not (executable := find_browser()):
        pytest.skip("no Chromium: install it or set CHROMIUM")
    page_file = tmp_path_factory.mktemp("table") / "table.html"
    page_file.write_text(html(), "utf8")

    def look(work, **options):
        from playwright.sync_api import sync_playwright

        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=executable, args=eyes.ARGS)
            page = browser.new_page(**({"viewport": eyes.DESK} | options))
            sight = eyes.Sight()
            eyes.listen(page, sight, page_file.as_uri())
            page.goto(page_file.as_uri())
            found = work(page)
            browser.close()
            assert sight.left == sight.failed == sight.errors == []
            return found

    with ThreadPoolExecutor(max_workers=1) as thread:
        yield lambda work, **options: thread.submit(look, work, **options).result()


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


@pytest.mark.parametrize("size", [eyes.DESK, eyes.PHONE], ids=["desk", "phone"])
def test_no_barrier_and_no_sideways_page(ask, size):
    def work(page):
        page.evaluate(eyes.axe_script())
        return eyes.violations(page, "table"), page.evaluate("document.documentElement.scrollWidth - innerWidth")

    violations, sideways = ask(work, viewport=size)
    assert violations == [] and sideways <= 0
