"""Links inside the site lead somewhere, and no page asks another host for anything."""

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}


class Page(HTMLParser):
    """A page's ids, links and loaded resources."""

    def __init__(self):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "author", "copyright", "next", "prev"):
            self.loads.append(given["href"])
        if tag in LOADS and given.get(LOADS[tag]):
            self.loads.append(given[LOADS[tag]])


@cache
def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def broken(site: Path, path: Path, href: str) -> bool:
    """Whether a link within the site has no page, or no place on the page."""
    target, anchor = urldefrag(href)
    if urlsplit(target).scheme or target.startswith("//"):
        return False
    file = (path.parent / unquote(urlsplit(target).path)).resolve() if target else path
    if not file.is_relative_to(site) or not file.exists():
        return True
    return bool(anchor) and file.suffix == ".html" and unquote(anchor) not in read(file).ids | {"", "top"}


def test_links_within_the_site_resolve(site, page):
    path = site / page
    assert [href for href in read(path).links if broken(site, path, href)] == []


def test_resources_are_local_and_there(site, page):
    path = site / page
    loads = [href for href in read(path).loads if not href.startswith("data:")]
    assert [href for href in loads if urlsplit(href).scheme or href.startswith("//") or broken(site, path, href)] == []
