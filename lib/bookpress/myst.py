"""MyST prose as HTML without Sphinx: what docutils lacks of the book's roles and directives, told in plain text or boxes."""

import html
import posixpath
import re
from collections import defaultdict
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree, publish_from_doctree
from docutils.parsers.rst import Directive, directives, roles
from docutils.parsers.rst.languages import en
from docutils.writers.html5_polyglot import HTMLTranslator, Writer
from myst_parser.parsers.docutils_ import Parser

from bookpress.mathml import lines_aligned, to_mathml

ROLE = re.compile(r"\{([\w:.+-]+)\}`")
DIRECTIVE = re.compile(r"^\s*(?:`{3,}|:{3,}|~{3,})\{([\w:.-]+)\}", re.MULTILINE)
SETTINGS = {
    "_disable_config": True, "doctitle_xform": False, "embed_stylesheet": False, "halt_level": 5, "image_loading": "embed",
    "initial_header_level": 1, "input_encoding": "unicode", "myst_all_links_external": True, "report_level": 5,
    "warning_stream": False,
}  # fmt: skip


class Box(Directive):
    """A directive of Sphinx's extensions, as a box with its title and what stands in it."""

    optional_arguments, final_argument_whitespace, has_content = 1, True, True
    option_spec = defaultdict(lambda: directives.unchanged, {"class": directives.class_option})

    def run(self) -> list:
        """The box, its title kept for the details element of a dropdown."""
        box = nodes.container(classes=[self.name], title=" ".join(self.arguments))
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


class Formula(Directive):
    """A display formula; its label is a place to refer to."""

    optional_arguments, final_argument_whitespace, has_content = 1, True, True
    option_spec = Box.option_spec

    def run(self) -> list:
        """The formula as one block."""
        text = "\n".join([*self.arguments, *self.content])
        label = self.options.get("label", "")
        return [nodes.math_block(text, text, label=label, ids=[nodes.make_id(f"equation-{label}")] if label else [])]


class Page(HTMLTranslator):
    """docutils' HTML with formulas as MathML, and admonitions and dropdowns as the book has them."""

    def visit_math(self, node) -> None:
        """Write an inline formula."""
        self.body.append(_formula(node.astext(), "inline"))
        raise nodes.SkipNode

    def visit_math_block(self, node) -> None:
        """Write a display formula with its number."""
        number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
        page = _formula(lines_aligned(node.astext()), "block").replace("<math ", '<math tabindex="0" ', 1)
        self.body.append(f"{self.starttag(node, 'div', CLASS='formula')}{number}{page}</div>\n")
        raise nodes.SkipNode

    def visit_admonition(self, node) -> None:
        """Open an admonition."""
        self.body.append(self.starttag(node, "div", CLASS="admonition"))

    def depart_admonition(self, node) -> None:
        """Close it."""
        self.body.append("</div>\n")

    def visit_container(self, node) -> None:
        """Open a box; a dropdown opens at a click."""
        title = html.escape(node.get("title", ""))
        drop = "dropdown" in node["classes"]
        self.body.append(self.starttag(node, "details" if drop else "div"))
        self.body.append(f"<summary>{title}</summary>" if drop else f"<p><strong>{title}</strong></p>" if title else "")

    def depart_container(self, node) -> None:
        """Close it."""
        self.body.append("</details>\n" if "dropdown" in node["classes"] else "</div>\n")


def _formula(tex: str, display: str) -> str:
    try:
        return to_mathml(tex, display)
    except Exception:  # the book's build refuses such a formula; a reader of a rerun sees its source
        return f"<code>{html.escape(tex)}</code>"


def _equation(name, rawtext, text, lineno, inliner, options=None, content=()):
    return [nodes.reference("", "", refuri=f"#equation-{text}")], []


def _words(text: str, names: dict[str, str]) -> str:
    """What a reference says: its own words, else the name of what it leads to."""
    words, _, target = text.rpartition("<")
    target = target.rstrip(">").strip()
    return words.strip() or names.get(posixpath.basename(target), target.replace("-", " "))


def _plain(names: dict[str, str], between: str = ""):
    """A role that is told as text."""

    def role(name, rawtext, text, lineno, inliner, options=None, content=()):
        parts = [part.strip() for part in text.split(",")] if between else [text]
        shown = between.join(_words(part, names) for part in parts)
        return [nodes.inline(shown, shown)], []

    return role


def _literature(file: Path) -> dict[str, str]:
    """Key -> authors and year of each entry."""
    if not (file.is_file() and file.read_text("utf8").strip()):
        return {}
    from pybtex.database import parse_file

    found = {}
    for key, entry in parse_file(str(file)).entries.items():
        who = [" ".join(person.last_names) for person in entry.persons.get("author", [])] or [key]
        names = " and ".join(who) if len(who) < 3 else f"{who[0]} et al."
        found[key] = f"{names} ({entry.fields.get('year', 'no year')})"
    return found


def _resolve(tree) -> None:
    """Number the equations; a link that leads out of this page, but not to the web, becomes its words."""
    labelled = [block for block in tree.findall(nodes.math_block) if block["ids"]]
    for number, block in enumerate(labelled, start=1):
        block["number"], block["ids"] = number, [f"equation-{block['ids'][0].removeprefix('equation-')}"]
    names = {name: f"({block['number']})" for block in labelled for name in block["ids"]}
    names |= {name: part[0].astext() for part in tree.findall(nodes.section) for name in part["ids"]}
    for link in list(tree.findall(nodes.reference)):
        target = link.get("refuri", "").removeprefix("#")
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        words = link.children or [nodes.Text(names.get(nodes.make_id(target), target.replace("-", " ")))]
        here = nodes.make_id(target) in names
        link.replace_self(nodes.reference("", "", *words, refid=nodes.make_id(target)) if here else nodes.inline("", "", *words))


def _register(text: str, titles: dict[str, str], references: Path) -> None:
    """Tell docutils of the roles and directives in a text that it does not know."""
    directives.register_directive("math", Formula)
    roles.register_local_role("eq", _equation)
    for name in set(DIRECTIVE.findall(text)) - set(en.directives):
        directives.register_directive(name, Box)
    literature = _literature(references) if "{cite" in text else {}
    for name in set(ROLE.findall(text)) - set(en.roles) - {"eq"}:
        cites = name.startswith("cite")
        roles.register_local_role(name, _plain(literature if cites else titles, "; " * cites))


def to_html(text: str, *, source: Path, extensions: list[str], titles: dict[str, str], references: Path) -> str:
    """A chapter's prose, which may hold HTML, as the inside of a page. titles: of the other chapters, by file name."""
    _register(text, titles, references)
    settings = SETTINGS | {"myst_enable_extensions": extensions}
    tree = publish_doctree(text, source_path=str(source), parser=Parser(), settings_overrides=settings)
    _resolve(tree)
    writer = Writer()
    writer.translator_class = Page
    publish_from_doctree(tree, writer=writer, settings_overrides=SETTINGS | {"output_encoding": "unicode"})
    return writer.parts["body"]
