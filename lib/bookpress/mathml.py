"""Mathematics as MathML, made while the page is written: no script, no request."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

LOGGER = logging.getLogger(__name__)


def to_mathml(tex: str, display: str, location=None) -> str:
    """TeX to MathML; what cannot be converted is a warning, and with it an error of the build."""
    try:
        return convert(tex.strip(), display=display)
    except Exception as error:
        LOGGER.warning("no MathML for %r: %s %s", tex, type(error).__name__, error, location=location)
        return f"<code>{tex}</code>"


def aligned(tex: str) -> str:
    """Several lines become one aligned block, as they do under MathJax."""
    parts = [part.strip() for part in tex.split("\n\n") if part.strip()]
    body = r" \\ ".join(parts)
    return rf"\begin{{aligned}}{body}\end{{aligned}}" if r"\\" in body and r"\begin" not in body else body


def visit_inline(self, node) -> None:
    """Write an inline formula."""
    self.body.append(to_mathml(node.astext(), "inline", node))
    raise nodes.SkipNode


def visit_block(self, node) -> None:
    """Write a display formula with its number and its link target."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(to_mathml(aligned(node.astext()), "block", node) + "</div>\n")
    raise nodes.SkipNode
