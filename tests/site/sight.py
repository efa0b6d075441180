"""What a browser sees of one page: loaded from a file, over http and without scripts."""

import threading
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

from bookpress.serve import server_of

ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # fmt: skip
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 812}
SHEET = {"width": 680, "height": 1000}  # A4 without margins of 15 mm
SETTLED = """() => [...document.querySelectorAll('figure.vl')].every(
  f => !f.clientWidth || (f.dataset.state && !f.hasAttribute('aria-busy')))"""
FIGURES = """() => [...document.querySelectorAll('figure.vl')].filter(f => f.clientWidth).map(f => ({
  id: f.id, state: f.dataset.state, look: f.dataset.look,
  alt: f.querySelector('.vl-live')?.getAttribute('aria-label'),
  source: f.querySelector('.vl-source')?.textContent, title: f.querySelector('.vl-title')?.textContent,
  overflow: (f.querySelector('.vl-live svg')?.getBoundingClientRect().right || 0) - f.getBoundingClientRect().right,
  grown: f.querySelector('.vl-view').clientHeight - parseFloat(f.style.getPropertyValue('--vl-height')),
  button: !!f.querySelector('figcaption button.vl-csv')}))"""
WIDE = """() => [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
  && getComputedStyle(e).visibility !== 'hidden').slice(0, 5).map(e => e.tagName + '.' + e.className)"""
TWINS = """() => [...document.querySelectorAll('figure.vl')].map(f => {
  const i = f.querySelector('img.vl-static');
  return {id: f.id, alt: i?.alt, width: i?.complete ? i.getBoundingClientRect().width : 0, drawn: i?.naturalWidth}})"""
CUT = """() => [...document.querySelectorAll('.table-scroll')].filter(
  r => r.querySelector('table').offsetWidth > r.clientWidth + 1).map(r => r.getAttribute('aria-label'))"""
# No preload: it would fetch the style sheets again, which a page from a file may not.
AXE = "rules => axe.run(document, {resultTypes: ['violations'], preload: false, ...rules}).then(r => r.violations)"
LOOKS = {"runOnly": ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]}


@dataclass
class Sight:
    """One page's troubles and figures."""

    left: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    wide: list[dict] = field(default_factory=list)
    narrow: list[dict] = field(default_factory=list)
    served: list[dict] = field(default_factory=list)
    twins: list[dict] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    sideways: int = 0
    too_wide: list[str] = field(default_factory=list)


def axe_script() -> str:
    """The accessibility checker, from the Python package that carries it."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def violations(page, look: str, rules: dict | None = None) -> list[str]:
    """Serious and critical findings in the page as it is now, by all rules or these."""
    found = [v for v in page.evaluate(AXE, rules or {}) if v["impact"] in ("serious", "critical")]
    return [f"{look}: {v['id']}: {', '.join(str(n['target'][-1]) for n in v['nodes'][:3])}" for v in found]


def listen(page, sight: Sight, home: str) -> None:
    """Note what leaves the site, what is missing and what a script complains about."""
    local = (home, "data:", "blob:", "about:")
    page.on("request", lambda r: None if r.url.startswith(local) else sight.left.append(r.url))
    page.on("requestfailed", lambda r: sight.failed.append(r.url))
    page.on("response", lambda r: sight.failed.append(r.url) if r.status >= 400 else None)
    page.on("pageerror", lambda e: sight.errors.append(str(e)))
    # Vega says WARN where layers disagree on an axis: the chart is then not the one that was meant.
    page.on("console", lambda m: sight.errors.append(m.text) if m.type == "error" or "WARN" in m.text else None)


def settle(page) -> None:
    """Wait until every visible chart has been drawn or has failed."""
    page.wait_for_timeout(50)  # resize and theme observers run first
    page.wait_for_function(SETTLED, timeout=15_000)


def look_at_file(browser, site: Path, name: str, sight: Sight) -> None:
    """The page from a file: on a desk in the light, on a phone in the dark."""
    page = browser.new_page(viewport=DESK)
    listen(page, sight, site.as_uri())
    page.goto((site / name).as_uri())
    settle(page)
    sight.wide = page.evaluate(FIGURES)
    page.evaluate(axe_script())
    sight.violations += violations(page, "desk, light")
    page.set_viewport_size(PHONE)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    settle(page)
    sight.narrow = page.evaluate(FIGURES)
    sight.sideways = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    sight.too_wide = page.evaluate(WIDE) if sight.sideways > 0 else []
    page.wait_for_timeout(400)  # the theme fades its colours
    sight.violations += violations(page, "phone, dark", LOOKS)
    page.close()


def look_over_http(browser, home: str, name: str, sight: Sight) -> None:
    """The page from a plain web server."""
    page = browser.new_page(viewport=DESK)
    listen(page, sight, home)
    page.goto(f"{home}/{name}")
    settle(page)
    sight.served = page.evaluate(FIGURES)
    page.close()


def look_without_scripts(browser, site: Path, name: str, sight: Sight) -> None:
    """The page with scripts off: the static twins, and on paper the tables."""
    context = browser.new_context(viewport=DESK, java_script_enabled=False)
    page = context.new_page()
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else sight.left.append(r.url))
    page.goto((site / name).as_uri())
    sight.twins = page.evaluate(TWINS)
    page.emulate_media(media="print")
    page.set_viewport_size(SHEET)
    sight.cut = page.evaluate(CUT)
    context.close()


def serve(site: Path) -> ThreadingHTTPServer:
    """The site on a free local port, in a thread."""
    server = server_of(site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
