"""The alternatives of a ``oneOf``, which asks that a value fits exactly one of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import combinations, groupby
from typing import Any, TypeAlias

DataSchema: TypeAlias = dict[str, Any]

_ANNOTATIONS = {"title", "description", "titles", "descriptions", "default"}
_TYPE_NAMES = {
    type(None): "null",
    bool: "boolean",  # before int, its base class
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def union(members: Iterable[DataSchema]) -> DataSchema:
    """Describe values that fit any of ``members``, each with a ``type``, ``oneOf``, ``enum`` or ``const``.

    A value may fit two members of one JSON type (``1`` is an integer and a number, ``[]`` a list of anything), so
    those are merged into one that accepts at least what they accept. Objects that can be told apart stay apart.
    """
    kinds: dict[str, list[DataSchema]] = {}
    for member in members:
        for simple in _flattened(member):
            kinds.setdefault(_kind(simple), []).append(simple)
    distinct = [schema for group in kinds.values() for schema in _distinct(group)]
    return distinct[0] if len(distinct) == 1 else {"oneOf": distinct}


def _flattened(member: DataSchema) -> Iterator[DataSchema]:
    if "oneOf" in member:
        shared = {key: value for key, value in member.items() if key not in {"oneOf", *_ANNOTATIONS}}
        for part in member["oneOf"]:
            yield from _flattened({**shared, **part})
    elif "type" in member:
        yield member
    else:
        for name, values in groupby(sorted(_constants(member), key=_type_name), key=_type_name):
            yield {"type": name, "enum": list(values)}


def _type_name(value: Any) -> str:
    return next(name for python_type, name in _TYPE_NAMES.items() if isinstance(value, python_type))


def _kind(schema: DataSchema) -> str:
    return "number" if schema["type"] == "integer" else str(schema["type"])


def _constants(schema: DataSchema) -> list[Any]:
    return list(schema["enum"]) if "enum" in schema else [schema["const"]] if "const" in schema else []


def _unique(values: Iterable[Any]) -> list[Any]:
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def _distinct(group: list[DataSchema]) -> list[DataSchema]:
    group = _unique(group)
    apart = group[0]["type"] == "object" and not any(_may_coincide(*pair) for pair in combinations(group, 2))
    return group if len(group) == 1 or apart else [_merged(group)]


def _may_coincide(one: DataSchema, other: DataSchema) -> bool:
    return not _tagged(one, other) and (_may_fit(one, other) or _may_fit(other, one))


def _may_fit(one: DataSchema, other: DataSchema) -> bool:
    """Whether an object that ``one`` describes may have all that ``other`` requires."""
    return "properties" not in one or set(other.get("required", ())) <= one["properties"].keys()


def _tagged(one: DataSchema, other: DataSchema) -> bool:
    """Whether a property has other constants in one than in the other, as in a discriminated union."""
    mine, theirs = one.get("properties", {}), other.get("properties", {})
    tags = [(_constants(mine[name]), _constants(theirs[name])) for name in mine.keys() & theirs.keys()]
    return any(these and those and not any(tag in those for tag in these) for these, those in tags)


def _merged(group: list[DataSchema]) -> DataSchema:
    first, *rest = group
    merged = {key: value for key, value in first.items() if all(key in s and s[key] == value for s in rest)}
    merged.setdefault("type", "number")  # the only kind with two types
    constants = [_constants(schema) for schema in group]
    if all(constants):
        merged.pop("const", None)
        merged["enum"] = _unique(value for values in constants for value in values)
    if all("items" in schema for schema in group):
        merged["items"] = union(item for schema in group for item in _items(schema))
    if all("properties" in schema for schema in group):
        merged |= _merged_properties(group)
    return merged


def _items(schema: DataSchema) -> list[DataSchema]:
    items = schema["items"]
    return items if isinstance(items, list) else [items]


def _merged_properties(group: list[DataSchema]) -> DataSchema:
    properties: dict[str, list[DataSchema]] = {}
    for schema in group:
        for name, value in schema["properties"].items():
            properties.setdefault(name, []).append(value)
    required = [n for n in properties if all(n in schema.get("required", ()) for schema in group)]
    merged = {name: values[0] if len(values) == 1 else union(values) for name, values in properties.items()}
    return {"properties": merged, **({"required": required} if required else {})}
