"""A rerun's page in a real browser with the network shut: one file that needs nothing beside it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sight as eyes

from bookpress.browser import find_browser

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> eyes.Sight:
    if not (executable := find_browser()):
        pytest.skip("no Chromium: install it or set CHROMIUM")
    out = tmp_path_factory.mktemp("reruns")
    script = Path(sys.executable).with_name("costpertoken")
    command = [script, "rerun", "token_cost", "-p", "cached_share=0.7", "--out", out]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (page,) = out.glob("*/index.html")
    alone = page.rename(out / "alone.html")  # nothing lies beside it any more
    with ThreadPoolExecutor(max_workers=1) as thread:  # Playwright's event loop must not meet other tests
        return thread.submit(_look, executable, alone).result()


def _look(executable: str, page: Path) -> eyes.Sight:
    from playwright.sync_api import sync_playwright

    sight = eyes.Sight()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=eyes.ARGS)
        eyes.look_at_file(browser, page.parent, page.name, sight)
        eyes.look_without_scripts(browser, page.parent, page.name, sight)
        browser.close()
    return sight


def test_it_asks_for_nothing_but_itself(seen):
    assert {url for url in seen.left if not url.endswith("/alone.html")} == set() and seen.failed == seen.errors == []


def test_every_chart_is_drawn_and_has_its_static_twin(seen):
    assert seen.wide and {figure["state"] for figure in seen.wide + seen.narrow} == {"drawn"}
    assert len(seen.twins) >= len(seen.wide) and all(twin["drawn"] > 300 for twin in seen.twins)


def test_a_phone_never_scrolls_sideways_and_no_barrier_is_serious(seen):
    assert seen.sideways <= 0 and seen.violations == []
