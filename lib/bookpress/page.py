"""One executed chapter as one HTML file that needs nothing beside it: charts, formulas, styles and scripts are inside."""

import html
import re
from pathlib import Path

import jinja2
import yaml

from bookpress.myst import to_html
from bookpress.project import Project, data_date, titles
from bookpress.sphinx_ext import HERE, vega_bundle

#: A link to what lies beside the page in the book.
BESIDE = re.compile(r'<a\b[^>]*\bhref="(?![a-z]+:|#)[^"]*"[^>]*>(.*?)</a>', re.DOTALL)
PLACE = re.compile(r"<!--cell-(\d+)-->")
#: Tags of a cell -> what is shown of its source: nothing, or folded.
UNSEEN = {"remove-cell", "remove-input", "parameters", "injected-parameters"}
FOLDED = {"hide-cell", "hide-input"}


def source_of(cell) -> str:
    """A code cell's source as the book shows it: open, folded, or not at all."""
    tags = set(cell.metadata.get("tags", []))
    if tags & UNSEEN or not cell.source.strip():
        return ""
    code = f'<pre class="code"><code>{html.escape(cell.source)}</code></pre>'
    return f"<details><summary>Code</summary>{code}</details>" if tags & FOLDED else code


def outputs_of(cell) -> str:
    """A code cell's outputs: HTML where there is some, else text."""
    if "remove-cell" in cell.metadata.get("tags", []):
        return ""
    shown = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        page = data.get("text/html")
        plain = data.get("text/plain", output.get("text", ""))
        shown.append(BESIDE.sub(r"\1", "".join(page)) if page else f"<pre>{html.escape(''.join(plain))}</pre>")
    return "\n".join(shown)


def body_of(project: Project, docname: str, notebook) -> str:
    """The chapter's prose with its cells in their places."""
    settings = yaml.safe_load((project.root / "_config.yml").read_text("utf8")) or {}
    extensions = settings.get("parse", {}).get("myst_enable_extensions", ["colon_fence", "dollarmath"])
    text = [
        cell.source if cell.cell_type == "markdown" else f"<!--cell-{number}-->" for number, cell in enumerate(notebook.cells)
    ]
    page = to_html(
        "\n\n".join(text), source=project.source(docname), extensions=extensions, titles=titles(project),
        references=project.root / "references.bib",
    )  # fmt: skip
    cells = notebook.cells
    shown = [source_of(cell) + outputs_of(cell) if cell.cell_type == "code" else "" for cell in cells]
    return PLACE.sub(lambda found: shown[int(found[1])], BESIDE.sub(r"\1", page))


def whole(project: Project, docname: str, notebook, *, rows: list[dict], key: str) -> bytes:
    """The file. rows: name, value, default, unit, help of each parameter, those that differ marked by `changed`."""
    template = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True).get_template("rerun.html")
    scripts = [path.read_text("utf8") for path in (vega_bundle(project.build), *sorted((HERE / "assets").glob("*.js")))]
    page = template.render(
        title=titles(project).get(Path(docname).name, docname),
        style=(HERE / "assets" / "book.css").read_text("utf8"),
        body=body_of(project, docname, notebook),
        # The end of a script must not stand in a script.
        scripts=[script.replace("</script", "<\\/script") for script in scripts],
        rows=rows,
        date=data_date(project),
        key=key,
    )
    return (page + "\n").encode()
