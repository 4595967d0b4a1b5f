"""WoT DataSchemas, made from pydantic's JSON Schemas.

A DataSchema is a small part of JSON Schema: it has no references, its only combination is ``oneOf``, and it says
nothing of an object's further keys.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from labthings.thing_description.alternatives import DataSchema, union

logger = logging.getLogger(__name__)

MAXIMUM_DEFINITIONS = 500
"""How many models one schema may spell out: each use counts, so models that use each other soon multiply."""

_TERMS = {
    *("@type", "title", "description", "titles", "descriptions", "default", "const", "enum", "unit", "readOnly"),
    *("type", "format", "pattern", "minLength", "maxLength", "contentEncoding", "contentMediaType"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minItems", "maxItems", "required"),
}
# pydantic leaves these untranslated where a constraint applies to a union of numbers
_CONSTRAINTS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}


def data_schema(
    adapter: TypeAdapter[Any], mode: Literal["validation", "serialization"], *, computed_too: bool = False
) -> DataSchema:
    """Describe what ``adapter`` accepts (``validation``) or produces (``serialization``).

    Titles are those that a user wrote and the names of classes. A type that pydantic cannot describe is any value,
    with a warning in the log. A model that contains itself is a plain object where it recurs.

    :param computed_too: whether a description of what is accepted has what is computed of it, too, as read-only.
    """
    try:
        schema = adapter.json_schema(mode=mode, schema_generator=_ComputedToo if computed_too else _Generator)
    except Exception:  # a type's own hooks run here
        logger.warning("%r cannot be described, so it is described as any value.", adapter, exc_info=True)
        return any_value()
    return _Converter(schema.pop("$defs", {})).convert(schema)


def action_input_schema(adapter: TypeAdapter[Any]) -> DataSchema:
    """Describe an action's arguments, as an object.

    An argument that is ``None`` when it is not given is described as what it is when it is given.
    """
    schema = data_schema(adapter, "validation")
    required = schema.get("required", [])
    properties = {
        name: argument if name in required else _given(argument)
        for name, argument in schema.get("properties", {}).items()
    }
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def any_value() -> DataSchema:
    """Describe any JSON value."""
    return {"oneOf": [{"type": t} for t in ("object", "array", "string", "number", "boolean", "null")]}


def is_json(value: Any) -> bool:
    """Whether ``value`` can be written as JSON, which has no infinity."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        logger.debug("%r is left out of a Thing Description: %s", value, error)
        return False
    return True


def _given(argument: DataSchema) -> DataSchema:
    if argument.get("default") is not None:
        return argument
    own = {key: value for key, value in argument.items() if key not in {"default", "oneOf"}}
    members = argument.get("oneOf", [])
    if members != any_value()["oneOf"]:
        members = [member for member in members if member.get("type") != "null"]
    return {**members[0], **own} if len(members) == 1 else {**own, **({"oneOf": members} if members else {})}


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        logger.warning("JSON Schema has no word for %s, so it is described as any value.", error_info)
        return {}

    def emit_warning(self, kind: Any, detail: str) -> None:
        logger.debug("%s: %s", kind, detail)


class _ComputedToo(_Generator):
    """Has what is computed of a model in the description of what is accepted, where pydantic leaves it out."""

    def model_fields_schema(self, schema: Any) -> dict[str, Any]:
        return self._with_computed(super().model_fields_schema(schema), schema)

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
        return self._with_computed(super().typed_dict_schema(schema), schema)

    def dataclass_args_schema(self, schema: Any) -> dict[str, Any]:
        return self._with_computed(super().dataclass_args_schema(schema), schema)

    def _with_computed(self, described: dict[str, Any], schema: Any) -> dict[str, Any]:
        if self.mode == "serialization" or not schema.get("computed_fields"):
            return described
        properties = dict(described.get("properties", {}))
        for each in schema["computed_fields"]:
            name = each.get("alias") or each["property_name"]
            properties.setdefault(name, self.generate_inner(each) | {"readOnly": True})
        return {**described, "properties": properties}


class _Converter:
    """Turns JSON Schema into DataSchema, putting definitions in place of references to them."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._references = 0

    def convert(self, schema: Any, inside: frozenset[str] = frozenset()) -> DataSchema:
        """Convert a schema that is part of the definitions ``inside``."""
        result = self._convert(schema, inside) if isinstance(schema, dict) else {}
        return result if result.keys() & {"type", "oneOf", "enum", "const"} else result | any_value()

    def _convert(self, schema: dict[str, Any], inside: frozenset[str]) -> DataSchema:
        if "$ref" in schema:
            return self._definition(schema, inside) | self._convert(_without(schema, "$ref"), inside)
        if "allOf" in schema:
            parts = [_without(schema, "allOf"), *schema["allOf"]]
            return _all_of([self._convert(part, inside) for part in parts])
        if members := self._members(schema):
            alternatives = union([self.convert(member, inside) for member in members])
            return alternatives | _terms(_without(schema, "type"))
        return _terms(schema) | self._parts(schema, inside)

    def _definition(self, schema: dict[str, Any], inside: frozenset[str]) -> DataSchema:
        name = schema["$ref"].rpartition("/")[2]
        definition = self._definitions.get(name, {})
        if name in inside or self._is_full():
            return {key: definition[key] for key in ("type", "title", "description") if key in definition}
        return self._convert(definition, inside | {name})

    def _is_full(self) -> bool:
        self._references += 1
        if self._references == MAXIMUM_DEFINITIONS:
            logger.warning("%s are too many models for one schema: some are cut.", ", ".join(self._definitions))
        return self._references >= MAXIMUM_DEFINITIONS

    def _members(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        if isinstance(schema.get("type"), list):
            return [{**schema, "type": name} for name in schema["type"]]
        return [*schema.get("anyOf", []), *schema.get("oneOf", [])]

    def _parts(self, schema: dict[str, Any], inside: frozenset[str]) -> DataSchema:
        parts: DataSchema = {}
        if "properties" in schema:
            parts["properties"] = {name: self.convert(s, inside) for name, s in schema["properties"].items()}
        if "prefixItems" in schema:
            parts["items"] = [self.convert(item, inside) for item in schema["prefixItems"]]
        elif "items" in schema:
            parts["items"] = self.convert(schema["items"], inside)
        return parts


def _terms(schema: dict[str, Any]) -> DataSchema:
    named = {_CONSTRAINTS.get(key, key): value for key, value in schema.items()}
    return {key: value for key, value in named.items() if key in _TERMS and is_json(value)}


def _all_of(parts: list[DataSchema]) -> DataSchema:
    merged: DataSchema = {}
    for part in parts:
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", []), *part.get("required", [])]
        merged |= part
        merged |= {"properties": properties} if properties else {}
        merged |= {"required": list(dict.fromkeys(required))} if required else {}
    return merged


def _without(schema: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != key}
