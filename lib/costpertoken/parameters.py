"""A chapter's parameters: the declarations of its cell `parameters`, and values held to them before anything runs.

One line a parameter: `name: type = default  # help | unit or allowed words | low to high`. Types: int, float, str, bool.
A number has a unit and a range, whose ends are numbers or other parameters; a str has allowed words, such as
"spot or on-demand", "id of data/models.csv" or "a regime of data/measurements.csv"; "none or path of a file" also takes the
path of any file there is, from the folder in which it is given, and hands on the whole path.
"""

import ast
import io
import math
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from costpertoken import tables
from costpertoken.model.records import InputError, UnknownName

KINDS = {"int": "a whole number", "float": "a finite number", "str": "text", "bool": "true or false"}
COMMENT = {"int": "help | unit | low to high", "str": "help | allowed words", "bool": "help"}
COMMENT["float"] = COMMENT["int"]
COLUMN = re.compile(r"(?:an? )?(\w+) of data/(\w+)\.csv")
BETWEEN = re.compile(r",\s*(?:or\s+)?|\s+or\s+")
#: Stands among the allowed words of a str that may name any file.
FILE = "path of a file"
RANGE = re.compile(r"(\S+) to (\S+)")
#: Letters of a refused value that a message repeats.
LONGEST = 60
WHOLE = re.compile(r"[+-]?[0-9]{1,300}")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One declared parameter. unit: of a number; allowed: a str's words, as declared; low, high: numbers or names."""

    name: str
    kind: str
    default: int | float | str | bool
    help: str
    unit: str = ""
    allowed: str = ""
    low: str = ""
    high: str = ""

    @property
    def range(self) -> str:
        """The allowed range in words; empty for what is no number."""
        return f"{self.low} to {self.high}" if self.low else ""


def declared(cell_source: str) -> list[Parameter]:
    """The parameters that a cell declares, in its order. InputError names the first that is malformed."""
    try:
        tree = ast.parse(cell_source)
    except SyntaxError as error:
        raise InputError(f"the cell of parameters, line {error.lineno}: {error.msg}") from None
    tokens = tokenize.generate_tokens(io.StringIO(cell_source).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    found = [_declaration(node, comments.get(node.end_lineno, "")) for node in tree.body]
    names = [parameter.name for parameter in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"parameter {twice[0]} is declared twice")
    for parameter in found:
        _bounds_known(parameter, found)
    check(found, {})
    return found


def _declaration(node: ast.stmt, comment: str) -> Parameter:
    if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value):
        raise InputError(f"`{ast.unparse(node)}` declares no parameter; expected `name: type = default  # help`")
    name, kind = node.target.id, ast.unparse(node.annotation)
    if kind not in KINDS:
        raise InputError(f"parameter {name} is of type {kind}; expected one of {', '.join(KINDS)}")
    try:
        default = ast.literal_eval(node.value)
    except (ValueError, TypeError, SyntaxError):
        raise InputError(f"parameter {name} is {ast.unparse(node.value)}; expected a plain literal") from None
    parts = [part.strip() for part in comment.split("|")]
    if len(parts) != COMMENT[kind].count("|") + 1 or not all(parts):
        raise InputError(f"parameter {name} says {comment!r}; a {kind} needs `# {COMMENT[kind]}`")
    if isinstance(default, str) != (kind == "str"):
        raise InputError(f"parameter {name} is {default!r}; expected {KINDS[kind]}")
    common = {"name": name, "kind": kind, "default": default, "help": parts[0]}
    if len(parts) < 3:
        return Parameter(**common, allowed="".join(parts[1:]))
    if not (ends := RANGE.fullmatch(parts[2])):
        raise InputError(f"parameter {name} has the range {parts[2]!r}; expected `low to high`")
    return Parameter(**common, unit=parts[1], low=ends[1], high=ends[2])


def _bounds_known(parameter: Parameter, every: list[Parameter]) -> None:
    """Each end of a range is a finite number or another number of the cell."""
    others = [p.name for p in every if p.kind in ("int", "float") and p.name != parameter.name]
    for end in filter(None, (parameter.low, parameter.high)):
        if end not in others and not math.isfinite(_number(end)):
            raise InputError(f"parameter {parameter.name} has the bound {end!r}; expected a number or a parameter of the cell")


def _number(text) -> float:
    try:
        return float(text)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def words(parameter: Parameter) -> list[str]:
    """The values that a str may take."""
    found = []
    for piece in BETWEEN.split(parameter.allowed):
        if column := COLUMN.fullmatch(piece):
            table = tables.read(column[2])
            if column[1] not in table:
                raise InputError(f"parameter {parameter.name}: data/{column[2]}.csv has no column {column[1]}")
            found += [word for word in dict.fromkeys(table[column[1]]) if word]
        else:
            found.append(piece)
    return found


def check(parameters: list[Parameter], given: Mapping[str, object]) -> dict:
    """All values, defaults included, cast to their types; what is given may be text, as on a command line.

    Raises UnknownName for a name or word that is not there, InputError for a type, a range, or two that contradict.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            near = f"nearest: {tables.nearest(name, known)}" if known else "the chapter declares none"
            raise UnknownName(f"unknown parameter {name!r}; {near}")
    values = {name: _cast(parameter, given.get(name, parameter.default)) for name, parameter in known.items()}
    for parameter in parameters:
        if parameter.low:
            _within(parameter, values)
    return values


def _cast(parameter: Parameter, value):
    """The value in its declared type; a bool is no number here, and a fraction no whole number."""
    kind, text = parameter.kind, isinstance(value, str)
    whole = (isinstance(value, int) and not isinstance(value, bool)) or (text and WHOLE.fullmatch(value))
    if kind == "int" and whole and math.isfinite(_number(value)):
        return int(value)
    if kind == "float" and not isinstance(value, bool) and math.isfinite(_number(value)):
        return float(value)
    if kind == "bool" and str(value).lower() in ("true", "false") and isinstance(value, (bool, str)):
        return str(value).lower() == "true"
    if kind == "str" and text:
        known = words(parameter)
        if value in known and value != FILE:
            return value
        if FILE in known:
            return _path(parameter, value)
        near = tables.nearest(value, known)
        raise UnknownName(f"{parameter.name} is {value!r}; allowed: {parameter.allowed}; nearest: {near}")
    limits = f", {parameter.range} {parameter.unit}" if parameter.range else f": {parameter.allowed}" * bool(parameter.allowed)
    raise InputError(f"{parameter.name} is {_told(value)}; expected {KINDS[kind]}{limits}")


def _path(parameter: Parameter, text: str) -> str:
    """The whole path of a file that is there."""
    try:
        file = Path(text).expanduser().resolve()
        if file.is_file():
            return str(file)
    except (OSError, ValueError, RuntimeError):  # a loop of links, a name that no file can have, nobody's home
        pass
    raise InputError(f"{parameter.name} is {_told(text)}; no such file; allowed: {parameter.allowed}")


def _told(value) -> str:
    """A refused value in few words, however long it is."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no whole number of thousands of digits
        return "a number of too many digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _within(parameter: Parameter, values: dict) -> None:
    ends = {end: values[end] if end in values else float(end) for end in (parameter.low, parameter.high)}
    if not ends[parameter.low] <= (value := values[parameter.name]) <= ends[parameter.high]:
        low, high = (f"{end} ({ends[end]:.12g})" if end in values else end for end in (parameter.low, parameter.high))
        raise InputError(f"{parameter.name} is {value:.12g}; allowed: {low} to {high} {parameter.unit}")
