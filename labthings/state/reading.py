"""Making data of live state, as it is in JSON, into what its model can be validated from."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic_core
from pydantic import BaseModel

from labthings.exceptions import StateError, UnknownFieldError
from labthings.state.model_shape import ModelShape, shape_of
from labthings.state.shapes import Shape

Model = TypeVar("Model", bound=BaseModel)
LOGGER = logging.getLogger(__name__)


def validated(cls: type[Model], data: Any, strict: bool | None = None, name: str = "Live state") -> Model:
    """A new model of some data. What is no field is passed over, and the log says so; if it is strict, it is refused.

    :param data: plain data, by the names that fields have in JSON, or their own; JSON; or a model of the same class.
    :param strict: whether JSON must be of the right type: ``"1"`` is no number.
    :param name: what the log calls it.
    :raises pydantic.ValidationError: if it is not valid.
    """
    if isinstance(data, BaseModel):
        if type(data) is not cls:
            raise StateError(f"A {type(data).__name__} cannot be loaded where there is a {cls.__name__}.")
        return data.model_copy()
    if not isinstance(data, bytes | str):
        return cls.model_validate(_readable_of_any(data, cls, name), by_alias=True, by_name=True)
    read = pydantic_core.from_json(data)
    plain = readable(read, cls, refuse_unknown=True) if strict else _readable_of_any(read, cls, name)
    document = pydantic_core.to_json(plain, inf_nan_mode="constants")
    return cls.model_validate_json(document, by_alias=True, by_name=True, strict=strict)


def readable(data: Any, cls: type, *, refuse_unknown: bool = False) -> Any:
    """Data by the names of fields, without what is computed.

    :param data: plain data, by the names that fields have in JSON, or their own.
    :param cls: the model that it is for.
    :param refuse_unknown: whether what is no field is an error, unless the model's configuration says what becomes of
        it.
    :raises UnknownFieldError: if there is such a thing, and it is one.
    """
    return _Reader(refuse_unknown).value(data, shape_of(cls), ()) if isinstance(data, Mapping) else data


def _readable_of_any(data: Any, cls: type, name: str) -> Any:
    """The same, without what is no field."""
    try:
        return readable(data, cls, refuse_unknown=True)
    except UnknownFieldError as error:
        LOGGER.warning("%s is loaded without what is unknown in the data. %s", name, error)
        return readable(data, cls)


class _Reader:
    def __init__(self, refuse_unknown: bool) -> None:
        self._refuse_unknown = refuse_unknown

    def value(self, data: Mapping[str, Any], shape: ModelShape, place: tuple[Any, ...]) -> dict[str, Any]:
        names = {told.name: name for name, told in shape.json_names.items()}
        found: dict[str, Any] = {}
        for key, value in data.items():
            name = names.get(key, key) if isinstance(key, str) else key
            if name in shape.fields:
                found[name] = self._field(value, shape.fields[name], (*place, key))
            elif key not in names:
                if self._refuse_unknown and not shape.takes_others:
                    raise UnknownFieldError((*place, key), shape.cls.__name__, list(names))
                found[key] = value
        return found

    def _field(self, value: Any, shape: Shape, place: tuple[Any, ...]) -> Any:
        if value is None and shape.is_float and not shape.is_nullable:
            return math.nan  # since JSON has no word for it
        if isinstance(value, Mapping) and shape.models:
            model = max((shape_of(cls) for cls in shape.models), key=lambda each: _fit(value, each))
            return self.value(value, model, place)
        if isinstance(value, Mapping) and shape.dicts:
            item: Any = shape.dicts.item
            return {key: self._field(each, item, (*place, key)) for key, each in value.items()}
        if type(value) is list and shape.lists:
            item = shape.lists.item
            return [self._field(each, item, (*place, index)) for index, each in enumerate(value)]
        return value


def _fit(data: Mapping[str, Any], shape: ModelShape) -> tuple[bool, int]:
    """Whether the data may be of a model, as its literals say, and how many of its fields are there."""
    names = shape.json_names
    told = ((data.get(names[name].name, data.get(name)), words) for name, words in shape.words.items())
    return (
        all(value is None or value in words for value, words in told),
        sum(each.name in data or name in data for name, each in names.items()),
    )
