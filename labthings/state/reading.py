"""Making data of live state, as it is in JSON, into what its model can be validated from."""

from __future__ import annotations

import math
from typing import Any

from labthings.state.model_shape import ModelShape, shape_of
from labthings.state.shapes import Shape


def readable(data: Any, cls: type) -> Any:
    """Data by the names of fields, without what is computed.

    :param data: plain data, by the names that fields have in JSON, or their own.
    :param cls: the model that it is for.
    """
    return _object(data, shape_of(cls)) if isinstance(data, dict) else data


def _object(data: dict[str, Any], shape: ModelShape) -> dict[str, Any]:
    names = {told.name: name for name, told in shape.json_names.items()}
    found: dict[str, Any] = {}
    for key, value in data.items():
        name = names.get(key, key) if isinstance(key, str) else key
        if name in shape.fields:
            found[name] = _value(value, shape.fields[name])
        elif key not in names:
            found[key] = value
    return found


def _value(value: Any, shape: Shape) -> Any:
    if value is None and shape.is_float and not shape.is_nullable:
        return math.nan  # since JSON has no word for it
    if type(value) is dict and shape.models:
        return _object(value, max((shape_of(cls) for cls in shape.models), key=lambda each: _fit(value, each)))
    if type(value) is dict and shape.dicts:
        item: Any = shape.dicts.item
        return {key: _value(each, item) for key, each in value.items()}
    if type(value) is list and shape.lists:
        item = shape.lists.item
        return [_value(each, item) for each in value]
    return value


def _fit(data: dict[str, Any], shape: ModelShape) -> int:
    """How many of a model's fields are in the data."""
    return sum(told.name in data or name in data for name, told in shape.json_names.items())
