"""What may be at a place of live state, and how it is made JSON."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from pydantic import BaseModel
from pydantic_core import CoreConfig, SchemaSerializer, SchemaValidator

from labthings.exceptions import UntrackableTypeError
from labthings.state.containers import DictShape, ListShape, Taking
from labthings.state.tracked_dict import TrackedDict
from labthings.state.tracked_list import TrackedList
from labthings.state.tracking import FREE, ORPHANAGE, Node


class Shape:
    """What may be at a place, and how it is made JSON.

    :param where: the field that the place is in, for messages.
    :param schema: pydantic's core schema of it.
    """

    def __init__(self, where: str, schema: Any, config: CoreConfig | None) -> None:
        self.where = where
        self._schema = schema
        self._config = config
        self.lists: ListShape | None = None
        self.dicts: DictShape | None = None
        self.models: set[type] = set()
        self.is_any = False
        """Whether anything may be there, so that what is there has to be looked at."""
        self.is_float = self.is_nullable = False
        self.whole = False
        """Whether something validates what is there beyond its type."""
        self.opaque = False
        """Whether its JSON is not made part by part of its parts."""

    @cached_property
    def is_structured(self) -> bool:
        """Whether there may be nodes, rather than plain values only."""
        return self.is_any or bool(self.lists or self.dicts or self.models)

    @cached_property
    def validated(self) -> Any:
        """Makes a valid value of one that is given, or raises pydantic's ValidationError."""
        return SchemaValidator(self._schema, self._config).validate_python

    @cached_property
    def _serialise(self) -> Any:
        return SchemaSerializer(self._schema, self._config).to_json

    def to_json(self, value: Any) -> bytes:
        """A value as JSON."""
        fragment: bytes = self._serialise(value, by_alias=True, warnings=False)  # as in `ModelShape.to_json`
        return fragment

    def is_opaque(self, value: Any) -> bool:
        """Whether a change within a node that is there has it sent whole."""
        if self.opaque or self.is_any:
            return self.opaque
        if isinstance(value, list | dict):
            return (self.lists if isinstance(value, list) else self.dicts) is None
        return type(value) not in self.models  # a subclass is sent as the class that is expected

    def tracked(self, value: Any, given: Any, may_take: Taking) -> Any:
        """A valid value, with lists and dicts in it replaced by ones that are tracked.

        :param given: what the value was made of.
        """
        if isinstance(value, list) and (self._is_usual(value, list) or self.lists):
            return self._tracked_list(value, given, may_take)
        if isinstance(value, dict) and (self._is_usual(value, dict) or self.dicts):
            return self._tracked_dict(value, given, may_take)
        if self.is_any:
            check_trackable(value, self.where)
        return value

    def _is_usual(self, value: Any, kind: type) -> bool:
        return type(value) is kind or isinstance(value, Node)

    def _tracked_list(self, value: list[Any], given: Any, may_take: Taking) -> Any:
        shape = self.lists or ListShape(self.where, "List", anything(self), None, None, self.whole)
        items = value
        if shape.item.is_structured:
            made_of = given if isinstance(given, list | tuple) and len(given) == len(value) else [None] * len(value)
            items = [shape.item.tracked(each, old, may_take) for each, old in zip(value, made_of, strict=True)]
        if isinstance(given, TrackedList) and may_take(given) and alike(items, given):
            given.__tracking__.shape = shape
            return given
        return _with_parents(TrackedList(items, shape))

    def _tracked_dict(self, value: dict[Any, Any], given: Any, may_take: Taking) -> Any:
        shape = self.dicts or DictShape(
            self.where, "Dictionary", anything(self), None, None, self.whole, anything(self)
        )
        for key in value:
            if type(key) is not str:
                shape.validated_key(key)
        items = value
        if shape.item.is_structured:
            made_of = given if isinstance(given, dict) else {}
            items = {key: shape.item.tracked(each, made_of.get(key), may_take) for key, each in value.items()}
        if isinstance(given, TrackedDict) and may_take(given) and alike(items, given):
            given.__tracking__.shape = shape
            return given
        return _with_parents(TrackedDict(items.items(), shape))


def anything(shape: Shape) -> Shape:
    """What may be within something that may be anything."""
    if shape.is_any and shape._schema == {"type": "any"}:
        return shape
    found = Shape(shape.where, {"type": "any"}, shape._config)
    found.is_any, found.whole = True, shape.whole
    return found


def _with_parents(node: Any) -> Any:
    for key, child, _ in node.__tracking__.children(node):
        tracking = child.__tracking__
        if isinstance(child, list | dict) and tracking.home in (FREE, ORPHANAGE):
            tracking.parent, tracking.key = node, key
    return node


def alike(one: Any, other: Any) -> bool:
    """Whether two valid values have the same contents, and are made of the same models."""
    if one is other:
        return True
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(alike(value, other[key]) for key, value in one.items())
    return type(one) is type(other) and not isinstance(one, BaseModel) and (one == other) is True


UNTRACKABLE = (set, bytearray, deque, list, dict)


def check_trackable(value: Any, where: str) -> None:
    """Refuse a value of a kind that can change without anybody noticing.

    :raises UntrackableTypeError: if it is one.
    """
    if isinstance(value, Node):
        return
    if isinstance(value, tuple | frozenset):
        _check_immutable(value, where)
    elif isinstance(value, UNTRACKABLE):
        raise untrackable(where, f"a {type(value).__name__}", "a list, a dict or a ReactiveModel")
    elif isinstance(value, BaseModel):
        raise untrackable(where, f"a {type(value).__name__}, which is a plain model", "a ReactiveModel")
    elif dataclasses.is_dataclass(value) and not getattr(value, "__dataclass_params__").frozen:  # noqa: B009
        raise untrackable(where, f"a {type(value).__name__}, which is a dataclass", "a ReactiveModel")


def _check_immutable(values: Iterable[Any], where: str) -> None:
    for each in values:
        if isinstance(each, Node | list | dict):
            raise untrackable(where, f"a tuple that holds a {type(each).__name__}", "a list")
        check_trackable(each, where)


def untrackable(where: str, what: str, remedy: str) -> UntrackableTypeError:
    """The error to raise for something that cannot be part of live state."""
    return UntrackableTypeError(f"'{where}' holds {what}, whose changes cannot be tracked. Use {remedy} instead.")
