"""Mathematics as MathML, made while the page is written: no script, no request."""

import html
import re
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

LOGGER = logging.getLogger(__name__)
# What the converter does not know or does badly, said in words that it knows.
BEFORE = (
    (re.compile(r"(\\(?:begin|end))\{(?:aligned|gathered)\}"), r"\1{split}"),
    (re.compile(r"\\mathrm\{([A-Za-z0-9]+)\}"), r"\\text{\1}"),
    (re.compile(r"\\operatorname\*"), r"\\operatorname"),
    (re.compile(r"\\arg\b"), r"\\operatorname{arg}"),
)
# MathML Core, which browsers draw, has no columnalign: style says it.
AFTER = (
    ('columnalign="right"', 'style="text-align: right; padding-inline: 0"'),
    ('columnalign="left"', 'style="text-align: left; padding-inline: 0.25em 0.75em"'),
    ("negativethinmathspace", "-0.167em"),
    *((f"\\{sign}", sign) for sign in "_%$#"),
)


def to_mathml(tex: str, display: str) -> str:
    """TeX as MathML. Raises ValueError for what would be shown wrong: the converter lets unknown commands pass."""
    if tex.replace(r"\{", "").count("{") != tex.replace(r"\}", "").count("}"):
        raise ValueError("braces do not match")
    for pattern, words in BEFORE:
        tex = pattern.sub(words, tex)
    page = convert(tex.strip(), display=display)
    for found, words in AFTER:
        page = page.replace(found, words)
    text = "".join(ElementTree.fromstring(page).itertext())
    if unknown := re.search(r"\\\w*", text):
        raise ValueError(f"unknown command {unknown[0]}")
    return page


def lines_aligned(tex: str) -> str:
    """Several lines become one aligned block, as they do under MathJax."""
    body = r" \\ ".join(part.strip() for part in tex.split("\n\n") if part.strip())
    return rf"\begin{{split}}{body}\end{{split}}" if r"\\" in body and r"\begin" not in body else body


def _written(tex: str, display: str, node) -> str:
    """The MathML, or a warning, and with it an error of the build."""
    try:
        return to_mathml(tex, display)
    except Exception as error:
        LOGGER.warning("no MathML for %r: %s %s", tex, type(error).__name__, error, location=node)
        return f"<code>{html.escape(tex)}</code>"


def visit_inline(self, node) -> None:
    """Write an inline formula."""
    self.body.append(_written(node.astext(), "inline", node))
    raise nodes.SkipNode


def visit_block(self, node) -> None:
    """Write a display formula with its number and its link target."""
    self.body.append(self.starttag(node, "div", CLASS="formula notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    # A formula wider than a phone scrolls, so the keyboard must reach it.
    page = _written(lines_aligned(node.astext()), "block", node).replace("<math ", '<math tabindex="0" ', 1)
    self.body.append(page + "</div>\n")
    raise nodes.SkipNode
