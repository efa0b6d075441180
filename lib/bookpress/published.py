"""What only a published site needs: its address, a sitemap, a page for what is not there, notebooks that explain themselves."""

import os
import posixpath
import re
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit
from xml.sax.saxutils import escape

from bookpress.execute import to_bytes
from bookpress.mathml import lines_aligned
from bookpress.project import PressError, Project, data_date
from bookpress.stamp import write_changed

LINK = re.compile(r'\b(href|src|action|data-content_root)="([^"#?:]+)([#?][^"]*)?"')
#: What only MyST knows: a formula with its label, a reference to one, a box with its title; and a link to another chapter.
FORMULA = re.compile(r"^```\{math\}\n(?::label: *(\S+)\n)?(.*?)\n```$", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r"\{eq\}`([^`]+)`")
BOX = re.compile(r"^:::\{(\w+)\} *([^\n]*)\n(?::[\w-]+:[^\n]*\n)*(.*?)\n:::$", re.MULTILINE | re.DOTALL)
CHAPTER = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)\.ipynb")
NOT_FOUND = """<section><h1>This page is not in the book</h1>
<p>The address may be mistyped, or the page may have moved in a newer edition.</p>
<p>Start from <a href="{front}">the front page</a> or the contents, or <a href="search.html">search the book</a>.</p></section>"""


def site_url() -> str:
    """The address that the site will have, from SITE_URL, with a slash at its end; without it nothing names a host."""
    given = os.environ.get("SITE_URL", "").strip().rstrip("/")
    if given and not re.fullmatch(r"https?://[\w.:-]+(/[\w.~%/-]+)?", given):
        raise PressError(f"SITE_URL={given} is not a web address such as https://example.org/book")
    return given and f"{given}/"


def page_url(base: str, name: str, front: str) -> str:
    """A page's one address: the front page's is the site's own."""
    return base + ("" if name == front else f"{quote(name)}.html")


def sitemap(base: str, names: list[str], date: str) -> str:
    """The pages of the contents in the format of sitemaps.org, each as new as the edition."""
    changed = f"<lastmod>{date}</lastmod>" if date else ""
    pages = [f"<url><loc>{escape(page_url(base, name, names[0]))}</loc>{changed}</url>\n" for name in names]
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    return f"{head}{''.join(pages)}</urlset>\n"


def at_root(page: str, folder: str, root: str = "") -> str:
    """A page of `folder` as it must read at the site's root, or from anywhere if `root` is the path of the site on its host."""

    def moved(link: re.Match) -> str:
        if link[2].startswith("/"):
            return link[0]
        path = posixpath.normpath(posixpath.join(folder, link[2])) + ("/" if link[2].endswith("/") else "")
        return f'{link[1]}="{root}{path.removeprefix("./") if root else path}{link[3] or ""}"'

    return LINK.sub(moved, page)


def finish(project: Project, html: Path, names: list[str]) -> None:
    """Complete the rendered folder: the door at its root, the page for what is not there, sitemap and notebooks."""
    base, date = site_url(), data_date(project)
    front = (html / f"{names[0]}.html").read_text("utf8")
    # The front page is the door itself, not a redirection to it; its title is the book's, said once.
    front = re.sub(r"<title>(.*) &#8212; \1</title>", r"<title>\1</title>", front)
    files = {"index.html": at_root(front, posixpath.dirname(names[0]))}
    files["404.html"] = at_root((html / "404.html").read_text("utf8"), "", urlsplit(base).path or "/")
    if base:
        files["sitemap.xml"] = sitemap(base, names, date)
        files["robots.txt"] = f"User-agent: *\nAllow: /\nSitemap: {base}sitemap.xml\n"
    for name, text in files.items():
        write_changed(html / name, text.encode())
    for name in names:
        folder = base and urljoin(base, quote(name))
        write_changed(html / "_sources" / f"{name}.ipynb", takeaway(project.stage / f"{name}.ipynb", date, folder))


def anywhere(texts: list[str], page: str = "") -> list[str]:
    """A notebook's prose as any notebook viewer shows it; links to chapters lead to the site where `page` is an address."""
    labels = [label for text in texts for label, _ in FORMULA.findall(text) if label]
    numbers = {label: number for number, label in enumerate(labels, start=1)}

    def formula(found: re.Match) -> str:
        tag = f" \\tag{{{numbers[found[1]]}}}" if found[1] else ""
        return f"$$\n{lines_aligned(found[2])}{tag}\n$$"

    def box(found: re.Match) -> str:
        if found[1] == "dropdown":
            return f"<details><summary>{found[2]}</summary>\n\n{found[3].strip()}\n\n</details>"
        return "\n".join(f"> {line}".rstrip() for line in [f"**{found[2]}**", "", *found[3].strip().split("\n")])

    def plain(text: str) -> str:
        text = REFERENCE.sub(lambda found: f"({numbers.get(found[1], found[1])})", FORMULA.sub(formula, text))
        return CHAPTER.sub(lambda link: f"]({urljoin(page, link[1])}.html" if page else link[0], BOX.sub(box, text))

    return [plain(text) for text in texts]


def takeaway(path: Path, date: str, page: str = "") -> bytes:
    """A staged notebook for download: code, parameters, outputs and numbers as they are, below a note of what they are."""
    import nbformat

    notebook, release = nbformat.read(path, as_version=4), version("costpertoken")
    note = f"> Executed on the data of {date or 'no date'} with costpertoken {release}; the text holds that run's numbers."
    if any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        note += (
            ' It needs the package alone: `pip install ".[book]"` in a checkout of this edition of the book. Then'
            f" `papermill {path.name} out.ipynb -p NAME VALUE` runs it with other values of the cell tagged `parameters`:"
            " tables and charts are then new, the text is not."
            f" In the checkout, `costpertoken rerun {path.stem} -p NAME=VALUE` renews both."
        )
    prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell, text in zip(prose, anywhere([cell.source for cell in prose], page), strict=True):
        cell.source = text
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(note, id="about-this-notebook"))
    return to_bytes(notebook)
