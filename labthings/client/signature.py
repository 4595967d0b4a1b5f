"""The parameters of an action, from its Thing Description."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from inspect import Parameter
from keyword import iskeyword
from operator import or_
from types import GenericAlias
from typing import Any, Literal

from labthings.outputs.blob import Blob
from labthings.thing_description.model import ActionAffordance, Affordance
from labthings.types.media_types import NPY, bare

_TYPES: dict[str, Any] = {"integer": int, "number": float, "string": str, "boolean": bool, "null": None}


class ActionSignature:
    """How an action is called.

    A Thing Description that does not say whether there may be further arguments leaves that to the server.
    """

    def __init__(self, affordance: ActionAffordance) -> None:
        schema: Mapping[str, Any] = affordance.input or {"additionalProperties": False}
        self._schemas: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
        self._takes_more = schema.get("additionalProperties", True) is not False
        parameters = list(_parameters(self._schemas, schema.get("required", ())))
        self._names = {parameter.name for parameter in parameters}
        if schema.get("additionalProperties") or self._names != self._schemas.keys():
            parameters.append(Parameter(self._unused("kwargs"), Parameter.VAR_KEYWORD, annotation=Any))
            self._takes_more = True
        self._signature = inspect.Signature(parameters, return_annotation=_output(affordance))

    @property
    def of_method(self) -> inspect.Signature:
        """The signature of a method that invokes the action."""
        own = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
        return self._signature.replace(parameters=[own, *self._signature.parameters.values()])

    @property
    def annotations(self) -> dict[str, Any]:
        """The annotations of such a method."""
        parameters = self._signature.parameters.values()
        return {each.name: each.annotation for each in parameters} | {"return": self._signature.return_annotation}

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name, without those that are left to their defaults.

        :raises TypeError: if they do not fit.
        """
        more = {name: value for name, value in kwargs.items() if name not in self._names}
        if more and not self._takes_more:
            raise TypeError(f"got unexpected arguments: {', '.join(more)}")
        given = {name: value for name, value in kwargs.items() if name in self._names}
        bound = self._signature.bind(*args, **given)
        return bound.arguments | more

    def __str__(self) -> str:
        return str(self._signature)

    def _unused(self, name: str) -> str:
        return self._unused(f"_{name}") if name in self._schemas else name


def _output(affordance: ActionAffordance) -> Any:
    return None if affordance.output is None else value_annotation(affordance, affordance.output)


def value_annotation(affordance: Affordance, schema: Mapping[str, Any]) -> Any:
    """The Python type of a property's value, or of an action's output: an array, if there is numpy's form of it."""
    if all(bare(form.content_type) != NPY for form in affordance.forms):
        return annotation(schema)
    from numpy import ndarray

    return ndarray


def annotation(schema: Mapping[str, Any]) -> Any:
    """The Python type of what a DataSchema describes."""
    if "oneOf" in schema:
        return _union([annotation(each) for each in schema["oneOf"]])
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values and all(isinstance(value, str | int | None) for value in values):
        return Literal[tuple(values)]
    if schema.get("type") == "array":
        return _array(schema.get("items", {}))
    if schema.get("type") == "object":
        return Blob if _is_blob(schema) else dict[str, Any]
    return _TYPES.get(schema.get("type", ""), Any)


def _is_blob(schema: Mapping[str, Any]) -> bool:
    properties = schema.get("properties", {})
    return "media_type" in properties and properties.get("rel", {}).get("const") == "output"


def _array(items: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
    if isinstance(items, Mapping):
        return GenericAlias(list, annotation(items))
    return GenericAlias(tuple, tuple(annotation(each) for each in items))


def _union(types: list[Any]) -> Any:
    distinct = list(dict.fromkeys(types))
    if len(distinct) == 1 or Any in distinct or len(distinct) == 6:  # all of JSON's types
        return distinct[0] if len(distinct) == 1 else Any
    return reduce(or_, sorted(distinct, key=lambda each: each is None))


def _parameters(schemas: Mapping[str, Mapping[str, Any]], required: Sequence[str]) -> Iterator[Parameter]:
    """The parameters that Python can name; those that are required after optional ones are passed by keyword."""
    kind: Any = Parameter.POSITIONAL_OR_KEYWORD
    optional_seen = False
    for name, schema in schemas.items():
        if not name.isidentifier() or iskeyword(name) or name == "self":
            continue
        if name in required:
            kind = Parameter.KEYWORD_ONLY if optional_seen else kind
            yield Parameter(name, kind, annotation=annotation(schema))
        else:
            optional_seen = True
            yield Parameter(name, kind, default=schema.get("default"), annotation=_optional(schema))


def _optional(schema: Mapping[str, Any]) -> Any:
    kind = annotation(schema)
    return kind if schema.get("default") is not None or kind in (Any, None) else kind | None
