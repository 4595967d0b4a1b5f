"""What is known of a class of models: its fields, and how they are made JSON."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

import pydantic_core
from pydantic_core import SchemaValidator

from labthings.exceptions import UntrackableTypeError
from labthings.state.json_patch import escape
from labthings.state.operations import Operation
from labthings.state.shape_reader import ShapeReader
from labthings.state.shapes import Shape


class JsonName:
    """The name that a field, or a computed one, has in JSON.

    :param conditional: whether it depends on its value if it is part of the JSON.
    """

    def __init__(self, name: str, *, conditional: bool = False) -> None:
        self.name = name
        self.part = escape(name)
        self.prefix = b"{%b:" % pydantic_core.to_json(name)
        self.conditional = conditional


class ModelShape:
    """What is known of a class of models.

    :raises UntrackableTypeError: if one of its fields cannot be tracked.
    """

    def __init__(self, cls: Any) -> None:
        self.cls = cls
        self._check_config()
        self._reader = ShapeReader(cls.__pydantic_core_schema__)
        self._serialise = cls.__pydantic_serializer__.to_json
        self.is_opaque = self._reader.is_opaque
        self.has_validators = self._reader.has_validators
        self.takes_others = "extra" in cls.model_config or _looks_at_data(cls)
        self.is_frozen = bool(cls.model_config.get("frozen"))
        schemas = self._reader.model_fields["fields"]
        computed = self._reader.model_fields.get("computed_fields", ())
        self.fields = {name: self._field(name, schema) for name, schema in schemas.items()}
        self.json_names = {
            **{name: _json_name(name, schema) for name, schema in schemas.items()},
            **{each["property_name"]: JsonName(each.get("alias") or each["property_name"]) for each in computed},
        }
        self.words = {name: words for name, schema in schemas.items() if (words := self._reader.words(schema))}
        self.excluded = {name for name, schema in schemas.items() if schema.get("serialization_exclude") is True}
        self.structured = [name for name, field in self.fields.items() if field.is_structured]
        self.derived = [each["property_name"] for each in computed]
        self.derived += (name for name, schema in schemas.items() if _looks_at_the_model(schema["schema"]))

    @cached_property
    def validate_fields(self) -> Any:
        """Validates the assignment of a field without the model's own validators."""
        return SchemaValidator(
            self._reader.complete(self._reader.model_fields), self._reader.config
        ).validate_assignment

    def to_json(self, model: Any, names: Collection[str] | None = None) -> bytes:
        """A model as JSON.

        :param names: the fields to tell of, instead of all.
        """
        if names is None:
            document: bytes = self._serialise(model, by_alias=True, warnings="error")
            return document
        # what is in a field has been validated; and pydantic lets go of the GIL for a word, so that others would starve
        fragment: bytes = self._serialise(model, include=set(names), by_alias=True, warnings=False)
        return fragment

    def replacement(self, model: Any, name: str, pointer: str) -> list[Operation]:
        """What tells that a field has another value.

        :param pointer: where the model is.
        """
        field = self.json_names[name]
        path = f"{pointer}/{field.part}"
        fragment = self.to_json(model, (name,))
        if fragment != b"{}":
            return [Operation("add" if field.conditional else "replace", path, fragment[len(field.prefix) : -1])]
        if field.conditional:
            return [Operation("add", path, b"null"), Operation("remove", path)]  # it may not have been there
        return []

    def _field(self, name: str, schema: Any) -> Shape:
        field = self._reader.shape(schema["schema"], f"{self.cls.__name__}.{name}", whole=self.has_validators)
        field.opaque |= "serialization_exclude_if" in schema or schema.get("serialization_exclude") is True
        return field

    def _check_config(self) -> None:
        config = self.cls.model_config
        faults = {
            "extra": config.get("extra") == "allow",
            "revalidate_instances": config.get("revalidate_instances", "never") != "never",
            "ser_json_inf_nan": config.get("ser_json_inf_nan") == "constants",
        }
        for name in (name for name, is_wrong in faults.items() if is_wrong):
            raise UntrackableTypeError(
                f"A ReactiveModel such as {self.cls.__name__} cannot have {name}='{config[name]}'."
            )


def _json_name(name: str, schema: Any) -> JsonName:
    return JsonName(schema.get("serialization_alias", name), conditional="serialization_exclude_if" in schema)


def _looks_at_data(cls: Any) -> bool:
    """Whether a model has validators that see data before its fields do, and so may understand what is no field."""
    validators = cls.__pydantic_decorators__.model_validators.values()
    return any(each.info.mode != "after" for each in validators)


def _looks_at_the_model(schema: Any) -> bool:
    """Whether a serialiser of a field can see the other fields."""
    while schema is not None:
        if schema.get("serialization", {}).get("is_field_serializer"):
            return True
        schema = schema.get("schema")
    return False


def shape_of(cls: Any) -> ModelShape:
    """What is known of a class of models."""
    shape: ModelShape | None = cls.__model_shape__
    if shape is None:
        shape = cls.__model_shape__ = ModelShape(cls)
    return shape
