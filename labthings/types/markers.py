"""Marks in pydantic's schemas, by which types that hold arrays or blobs can be told without importing numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, Literal, TypeAlias

from pydantic import TypeAdapter

ARRAY, ARRAYS_INSIDE = "labthings_array", "labthings_arrays_inside"
"""Keys of the ``metadata`` of a schema: of an array, and of a container that may have arrays in it."""

BLOB = "labthings_blob"
"""The same, of a blob."""

Kind: TypeAlias = Literal["array", "arrays", "bytes", "json"]

_WRAPPERS = {"definitions", "function-before", "function-after", "function-wrap", "default"}
_NOT_SCHEMAS = {"default", "expected", "metadata"}


def holds_arrays(adapter: TypeAdapter[Any]) -> bool:
    """Whether values of a type may be numpy arrays, or have them inside."""
    return _has_mark(adapter, {ARRAY, ARRAYS_INSIDE})


def holds_blobs(adapter: TypeAdapter[Any]) -> bool:
    """Whether values of a type may be blobs, or have them inside."""
    return _has_mark(adapter, {BLOB})


def kind_of(adapter: TypeAdapter[Any]) -> Kind:
    """What values of a type are.

    :return: ``array`` if each of them is a numpy array, ``arrays`` if they may hold some, ``bytes`` if they are bytes,
        ``json`` otherwise.
    """
    schema = _unwrapped(adapter.core_schema)
    if ARRAY in _metadata(schema):
        return "array"
    return "bytes" if schema.get("type") == "bytes" else "arrays" if holds_arrays(adapter) else "json"


def _unwrapped(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while schema.get("type") in _WRAPPERS and ARRAY not in _metadata(schema):
        schema = schema["schema"]
    return schema


def _metadata(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return schema.get("metadata") or {}


def _has_mark(adapter: TypeAdapter[Any], marks: Set[str]) -> bool:
    return any(not marks.isdisjoint(_metadata(part)) for part in parts_of(adapter))


def parts_of(
    adapter: TypeAdapter[Any], wanted: Callable[[Mapping[str, Any]], bool] = lambda part: True
) -> Iterator[Mapping[str, Any]]:
    """Every part of a type's schema.

    :param wanted: says of a part whether to look at it, and at what is in it.
    """
    return parts_within(adapter.core_schema, wanted)


def parts_within(schema: Any, wanted: Callable[[Mapping[str, Any]], bool]) -> Iterator[Mapping[str, Any]]:
    """The same, of a part of a schema."""
    waiting: list[Any] = [schema]
    seen: set[int] = set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, list | tuple):
            waiting.extend(part)
        elif isinstance(part, Mapping) and id(part) not in seen and wanted(part):
            seen.add(id(part))
            yield part
            waiting.extend(each for key, each in part.items() if key not in _NOT_SCHEMAS)
