"""The built site and one browser for all its tests."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from bookpress.browser import find_browser

SITE = Path(os.environ.get("SITE") or Path(__file__).parents[2] / "_build" / "html").resolve()


def pages() -> list[str]:
    """Every page of ours: the door and the chapters."""
    return [p.relative_to(SITE).as_posix() for p in [SITE / "index.html", *sorted(SITE.glob("chapters/**/*.html"))]]


def unable(why: str) -> None:
    """Skip with the reason; where CI is set, fail: there it must run."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").is_file():
        unable(f"no built site at {SITE}: run make book")
    return SITE


@pytest.fixture(scope="session")
def look(site):
    """A function from a page's name to its Sight.

    The browser lives in a thread of its own: Playwright keeps an event loop running, which other tests must not meet.
    """
    executable = find_browser()
    if not executable:
        unable("no Chromium: install it or set CHROMIUM")
    thread = ThreadPoolExecutor(max_workers=1)
    close, see = thread.submit(_open, site, executable).result()
    yield cache(lambda name: thread.submit(see, name).result())
    thread.submit(close).result()
    thread.shutdown()


def _open(site: Path, executable: str):
    """(close, see) for a browser and a server of this site."""
    import sight as eyes
    from playwright.sync_api import sync_playwright

    driver = sync_playwright().start()
    browser = driver.chromium.launch(executable_path=executable, args=eyes.ARGS)
    server = eyes.serve(site)
    home = f"http://127.0.0.1:{server.server_port}"

    def see(name: str) -> eyes.Sight:
        seen = eyes.Sight()
        eyes.look_at_file(browser, site, name, seen)
        eyes.look_over_http(browser, home, name, seen)
        eyes.look_without_scripts(browser, site, name, seen)
        return seen

    def close() -> None:
        browser.close()
        server.shutdown()
        driver.stop()

    return close, see


def pytest_generate_tests(metafunc):
    """A test that asks for `page` runs once a page; with no site, once, to say so."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", pages() if (SITE / "index.html").is_file() else ["index.html"])
