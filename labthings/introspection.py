"""What can be read off source code and annotations: docstrings of attributes, types, titles."""

from __future__ import annotations

import ast
import inspect
import linecache
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from types import GenericAlias, SimpleNamespace
from typing import Any, NamedTuple

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>"})()


class SourceLocation(NamedTuple):
    """A line of a source file."""

    filename: str
    line: int


def calling_location() -> SourceLocation:
    """Where the code outside this package is that called into it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_inside(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return SourceLocation(frame.f_code.co_filename, frame.f_lineno)


def _is_inside(module: str) -> bool:
    return module.startswith("labthings.") or module == "typing"  # which is what `DataProperty[...](...)` calls


def attribute_docstring(location: SourceLocation) -> str | None:
    """The string literal under the assignment at a line of a class body."""
    source = "".join(linecache.getlines(location.filename))
    return _attribute_docstrings(source).get(location.line) if source else None


@lru_cache(maxsize=32)
def _attribute_docstrings(source: str) -> dict[int, str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # the file has changed since it was imported, or is a cell with shell commands
        return {}
    bodies = (node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {line: text for body in bodies for line, text in _documented_lines(body)}


def _documented_lines(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    for statement, below in pairwise(body):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(below, ast.Expr):
            text = below.value.value if isinstance(below.value, ast.Constant) else None
            if isinstance(text, str):
                for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1):
                    yield line, inspect.cleandoc(text)


class Documentation(NamedTuple):
    """A docstring, divided into its first line, the rest, and what it says of each parameter."""

    title: str
    description: str | None
    parameters: Mapping[str, str]


_FIELDS = re.compile(r"^:(?:param|return|rais|rtype|type|var|ivar|cvar|yield|key)[^:\n]*:", re.MULTILINE)
_PARAMETER = re.compile(r"^:param (?:[^:\n]*\s)?\**(\w+):(.*(?:\n(?:[ \t].*)?)*)", re.MULTILINE)


def documentation(docstring: str | None, name: str) -> Documentation:
    """Divide a docstring into a title, which is ``name`` where there is none, a description, and parameters."""
    text = inspect.cleandoc(docstring or "")
    fields = _FIELDS.search(text)
    parameters = {found[1]: " ".join(found[2].split()) for found in _PARAMETER.finditer(text)}
    title, _, description = text[: fields.start() if fields else None].partition("\n")
    return Documentation(title.strip() or name, description.strip() or None, parameters)


def raw_annotations(owner: type) -> Mapping[str, Any]:
    """A class's own annotations, with names that are not defined yet left as they are."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(owner, format=annotationlib.Format.FORWARDREF)
    own: Mapping[str, Any] = vars(owner).get("__annotations__", {})
    return own


def annotation_of(owner: type, name: str) -> Any:
    """The type that a class annotates an attribute with, or `MISSING`.

    :raises NameError: if it mentions a name that is not defined (yet).
    """
    raw = raw_annotations(owner).get(name, MISSING)
    if raw is MISSING:
        return MISSING
    module = sys.modules.get(owner.__module__)
    holder = SimpleNamespace(__annotations__={name: raw})
    return _hints(holder, vars(module) if module else {}, vars(owner), f"{owner.__name__}.{name}")[name]


def types_of(function: Callable[..., Any], owner: type) -> dict[str, Any]:
    """The types that a method of a class annotates its parameters and its result (``return``) with.

    :raises NameError: if one mentions a name that is not defined (yet).
    """
    namespace = getattr(inspect.unwrap(function), "__globals__", {})
    return _hints(function, namespace, vars(owner), f"{owner.__name__}.{function.__name__}")


def _hints(holder: Any, namespace: Mapping[str, Any], names: Mapping[str, Any], place: str) -> dict[str, Any]:
    try:
        found = typing.get_type_hints(holder, dict(namespace), dict(names), include_extras=True)
        if sys.version_info < (3, 11):
            found = {name: _with_arguments(each, {**namespace, **names}) for name, each in found.items()}
    except NameError as error:
        raise NameError(
            f"The annotations of '{place}' cannot be evaluated: {error}. Define it in the module, not in a function."
        ) from error
    return found


def _with_arguments(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """The same type, with strings in the likes of ``list["Position"]`` evaluated, as newer Pythons do."""
    if not isinstance(annotation, GenericAlias):
        return annotation
    origin: Any = annotation.__origin__
    arguments = (eval(each, dict(namespace)) if isinstance(each, str) else each for each in annotation.__args__)
    return GenericAlias(origin, tuple(_with_arguments(each, namespace) for each in arguments))
