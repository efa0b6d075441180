"""The book's Sphinx extension: everything a page needs lies beside it, so that it works from a file and offline."""

import hashlib
import html
import textwrap
from importlib.metadata import version
from pathlib import Path

import vl_convert
from docutils import nodes

from bookpress.mathml import visit_block, visit_inline
from bookpress.published import NOT_FOUND, page_url
from bookpress.stamp import write_atomic
from bookpress.twin import VL_VERSION

HERE = Path(__file__).parent
LONGEST = 300  # letters of a page's description


def vega_bundle(folder: Path) -> Path:
    """The charts' library as one classic script in a folder of its own; made once per release of the converter."""
    release = hashlib.sha256(f"{VL_VERSION} {vl_convert.__version__}".encode()).hexdigest()[:8]
    target = folder / f"vega-{release}" / "vega-bundle.js"
    if not target.is_file():
        # Wrapped: its top-level names meet those of Sphinx's own scripts, and modules are blocked on file://.
        write_atomic(target, f"(()=>{{{vl_convert.javascript_bundle(vl_version=VL_VERSION)}}})();".encode())
    return target


def _assets(app) -> None:
    bundle = vega_bundle(Path(app.outdir).parent)
    tables = Path(app.srcdir) / "_tables"
    app.config.html_static_path += [str(bundle.parent), str(HERE / "assets"), *([str(tables)] if tables.is_dir() else [])]
    app.config.templates_path.append(str(HERE / "templates"))
    app.add_js_file(bundle.name, loading_method="defer")
    for script in sorted((HERE / "assets").glob("*.js")):
        app.add_js_file(script.name, loading_method="defer")
    for style in sorted((HERE / "assets").glob("*.css")):
        app.add_css_file(style.name)


def _footer(app, config) -> None:
    date = config.bookpress_data_date
    edition = f"Edition of {date}, the date of its newest data." if date else "Edition without dated data."
    config.html_theme_options["extra_footer"] = f'<p class="edition">{edition}</p>'
    config.html_theme_options["navbar_persistent"] = []  # the sidebar has the search button already
    config.html_context["default_mode"] = "light"


def _description(doctree) -> str:
    """What a search engine shows below a page's title: the start of what it says in short, else of its first paragraph."""
    short = next((box for box in doctree.findall(nodes.admonition) if "in-short" in box["classes"]), doctree)
    said = next((part.astext() for part in short.findall(nodes.paragraph)), "")
    words = html.escape(textwrap.shorten(said, LONGEST, placeholder=" …"))
    return f'<meta name="description" content="{words}" />\n' if words else ""


def _page(app, pagename, templatename, context, doctree) -> None:
    metatags = (context.get("metatags") or "") + (_description(doctree) if doctree else "")
    context["metatags"] = metatags + (
        f'<meta name="edition" content="{app.config.bookpress_data_date}" />\n'
        f'<meta name="costpertoken" content="{version("costpertoken")}" />\n'
    )
    base = app.config.html_baseurl
    context["pageurl"] = page_url(base, pagename, app.config.root_doc) if base and doctree else None
    for button in [item for group in context.get("header_buttons", []) for item in group.get("buttons", [])]:
        if button.get("label") == "download-source-button":
            button.update(text="Notebook", tooltip="The executed notebook, to run again")


def _missing(app):
    yield "404", {"title": "Not in the book", "body": NOT_FOUND.format(front=f"{app.config.root_doc}.html")}, "page.html"


def setup(app) -> dict:
    """Register with Sphinx."""
    app.add_config_value("bookpress_data_date", "", "html")
    app.add_config_value("comments_config", {}, "")  # Jupyter Book sets it though sphinx_comments is left out
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("config-inited", _footer)
    app.connect("builder-inited", _assets)
    app.connect("html-collect-pages", _missing)
    app.connect("html-page-context", _page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
