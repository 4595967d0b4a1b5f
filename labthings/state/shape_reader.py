"""Finds out of pydantic's schemas what may be at each place of a model."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Any

from pydantic_core import CoreConfig

from labthings.exceptions import UntrackableTypeError
from labthings.state.containers import DictShape, ListShape
from labthings.state.shapes import Shape, untrackable
from labthings.state.tracking import Node

_FUNCTIONS = ("function-before", "function-wrap", "function-after")
_AROUND = ("default", "nullable", "custom-error", "definitions", "model-field")
_BARE = {"set": "a set", "generator": "an iterator", "typed-dict": "a TypedDict", "arguments": "arguments"}
_IMMUTABLE = ("tuple", "frozenset")
_CONTENTS = {"items_schema", "keys_schema", "values_schema"}
_COLLECTIONS = (Mapping, set, bytearray, deque)
ANY: dict[str, Any] = {"type": "any"}


class ShapeReader:
    """Reads the schema of one class.

    :param schema: pydantic's core schema of it.
    """

    def __init__(self, schema: Any) -> None:
        self._definitions = {each["ref"]: each for each in schema.get("definitions", ())}
        self.schema = schema
        self.model = next(each for each in self.inside(schema) if each["type"] == "model")
        self.model_fields = next(each for each in self.inside(self.model["schema"]) if each["type"] == "model-fields")
        around = (*self.inside(schema), *self.inside(self.model["schema"]))
        self.has_validators = any(each["type"] in _FUNCTIONS for each in around)
        self.is_opaque = any("serialization" in each for each in self.inside(schema))
        self.config: CoreConfig | None = self.model.get("config")
        self._items: dict[tuple[int, bool], Shape] = {}

    def complete(self, schema: Any) -> Any:
        """A part of the schema that can be used by itself."""
        definitions = list(self._definitions.values())
        return {"type": "definitions", "schema": schema, "definitions": definitions} if definitions else schema

    def shape(self, schema: Any, where: str, *, whole: bool) -> Shape:
        """What may be at a place.

        :param whole: whether something validates what is around it.
        :raises UntrackableTypeError: if it cannot be tracked.
        """
        shape = Shape(where, self.complete(schema), self.config)
        shape.whole = whole
        self._read(schema, shape)
        return shape

    def inside(self, schema: Any) -> Iterator[Any]:
        """A schema, and those that it is wrapped around, as far as there is one within each."""
        while True:
            schema = self._definitions[schema["schema_ref"]] if schema["type"] == "definition-ref" else schema
            yield schema
            if schema["type"] in ("model", "model-fields") or "schema" not in schema:
                return
            schema = schema["schema"]

    def words(self, schema: Any) -> list[Any]:
        """What may be at a place in JSON, if that is one of a few words."""
        *_, inner = self.inside(schema)
        expected = inner["expected"] if inner["type"] == "literal" else ()
        return [each.value if isinstance(each, Enum) else each for each in expected]

    def _read(self, schema: Any, shape: Shape) -> None:
        self._gather(schema, shape)
        if shape.is_any:
            shape.lists = shape.dicts = None

    def _gather(self, schema: Any, shape: Shape) -> None:
        kind = schema["type"]
        shape.opaque |= "serialization" in schema
        shape.whole |= kind in (*_FUNCTIONS, "chain")
        shape.is_float |= kind == "float"
        shape.is_nullable |= kind in ("nullable", "none")
        if kind == "definition-ref":
            self._gather(self._definitions[schema["schema_ref"]], shape)
        elif kind in _AROUND or kind in _FUNCTIONS:
            self._gather(schema["schema"], shape)
        elif kind in ("any", "function-plain"):
            shape.is_any = True
        elif kind in ("union", "tagged-union"):
            self._gather_union(schema, shape)
        elif kind == "json-or-python":
            shape.opaque |= schema["json_schema"]["type"] != "any"
            self._gather(schema["python_schema"], shape)
        elif kind == "lax-or-strict":
            self._gather(schema["strict_schema"], shape)
        elif kind == "chain":
            for step in schema["steps"]:
                self._gather(step, shape)
        elif kind in ("list", "dict", "model"):
            getattr(self, f"_gather_{kind}")(schema, shape)
        else:
            self._check_plain(schema, shape.where)

    def _gather_union(self, schema: Any, shape: Shape) -> None:
        choices = schema["choices"].values() if schema["type"] == "tagged-union" else schema["choices"]
        for choice in choices:
            self._gather(choice[0] if isinstance(choice, tuple) else choice, shape)

    def _gather_list(self, schema: Any, shape: Shape) -> None:
        if shape.lists is not None:
            raise untrackable(
                shape.where, "one of several kinds of lists", "one list of a union, as in `list[int | str]`"
            )
        item = self._item(schema.get("items_schema", ANY), shape)
        shape.lists = ListShape(
            shape.where, "List", item, schema.get("min_length"), schema.get("max_length"), shape.whole
        )

    def _gather_dict(self, schema: Any, shape: Shape) -> None:
        if shape.dicts is not None:
            raise untrackable(shape.where, "one of several kinds of dicts", "one dict of a union, or a ReactiveModel")
        keys = schema.get("keys_schema", ANY)
        self._check_keys(keys, shape.where)
        key = Shape(shape.where, self.complete(keys), self.config)
        item = self._item(schema.get("values_schema", ANY), shape)
        lengths = schema.get("min_length"), schema.get("max_length")
        shape.dicts = DictShape(shape.where, "Dictionary", item, *lengths, shape.whole, key)

    def _item(self, schema: Any, shape: Shape) -> Shape:
        """What may be an item, which may contain such items again."""
        key = id(schema), shape.whole
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = Shape(shape.where, self.complete(schema), self.config)
            item.whole = shape.whole
            self._read(schema, item)
        return item

    def _check_keys(self, schema: Any, where: str) -> None:
        *_, inner = self.inside(schema)
        is_text = inner["type"] in ("str", "any") or (
            inner["type"] == "literal" and all(type(each) is str for each in inner["expected"])
        )
        if not is_text:
            raise UntrackableTypeError(
                f"'{where}' holds a dict whose keys are no strings, as JSON has. Use `dict[str, ...]` instead."
            )

    def _gather_model(self, schema: Any, shape: Shape) -> None:
        cls = schema["cls"]
        if not issubclass(cls, Node):
            raise untrackable(
                shape.where, f"a {cls.__name__}, which is a plain model", f"a ReactiveModel as {cls.__name__}"
            )
        self._check_config(cls, schema.get("config") or {}, shape.where)
        shape.models.add(cls)

    def _check_config(self, cls: type, config: Mapping[str, Any], where: str) -> None:
        own: Mapping[str, Any] = self.config or {}
        names = sorted(name for name in {*own, *config} if name.startswith("ser_json_"))
        for name in names:
            if own.get(name) != config.get(name):
                raise UntrackableTypeError(
                    f"'{where}' holds a {cls.__name__}, whose `{name}` is not that of the model it is in. "
                    "Give both the same one in their `model_config`."
                )

    def _check_plain(self, schema: Any, where: str) -> None:
        """Refuse what can change without anybody noticing."""
        kind = schema["type"]
        if kind in _BARE or (kind not in _IMMUTABLE and schema.keys() & _CONTENTS):
            raise untrackable(where, _BARE.get(kind, f"a {kind}"), "a list, a dict or a ReactiveModel")
        if kind == "dataclass" and not schema["cls"].__dataclass_params__.frozen:
            raise untrackable(where, f"a {schema['cls'].__name__}, which is a dataclass", "a ReactiveModel")
        if kind == "is-instance":
            self._check_class(schema["cls"], where)
        for inner in _parts(schema):
            self._check_part(inner, kind, where)

    def _check_class(self, cls: Any, where: str) -> None:
        if isinstance(cls, type) and (issubclass(cls, (*_COLLECTIONS, list, dict)) or _is_abstract(cls)):
            raise untrackable(where, f"a {cls.__name__}", "a list, a dict or a ReactiveModel")
        if isinstance(cls, type) and issubclass(cls, Node):
            raise untrackable(where, f"an instance of {cls.__name__}", f"`{cls.__name__}` itself as its type")
        if not isinstance(cls, type) and getattr(cls, "__origin__", None) is not None:
            self._check_class(cls.__origin__, where)

    def _check_part(self, schema: Any, kind: str, where: str) -> None:
        shape = Shape(where, schema, self.config)
        self._gather(schema, shape)
        if shape.is_structured and not shape.is_any:
            what = "a model" if shape.models else "a list or dict"
            raise untrackable(where, f"a {kind} that holds {what}", "a list or a ReactiveModel")


def _is_abstract(cls: type) -> bool:
    return cls.__module__ in ("collections.abc", "typing") and issubclass(cls, Collection)


def _parts(schema: Any) -> list[Any]:
    """The schemas of what is within an immutable value."""
    kind = schema["type"]
    if kind == "tuple":
        return list(schema["items_schema"])
    if kind in ("frozenset", "json"):
        return [each for each in (schema.get("items_schema"), schema.get("schema")) if each is not None]
    if kind == "dataclass":
        inner = schema["schema"]
        inner = inner if inner["type"] == "dataclass-args" else inner.get("schema", {"fields": []})
        return [field["schema"] for field in inner.get("fields", ())]
    return []
