"""Giving objects of live state other contents in place."""

from __future__ import annotations

import logging
import math
from typing import Any

from labthings.state.alignment import aligned
from labthings.state.model_shape import shape_of
from labthings.state.tracking import Node

LOGGER = logging.getLogger(__name__)


def merge(old: Any, new: Any, *, is_from_json: bool = False) -> Any:
    """Give an object the contents of another one, as far as it is of the same kind, and else give the other one.

    :param new: a valid object that is used nowhere else.
    :param is_from_json: whether it was made of JSON, which may tell less than there is: what is the same in JSON stays.
    """
    if type(old) is not type(new) or not isinstance(old, Node):
        return old if is_from_json and is_as_infinite(old, new) else new
    if isinstance(old, list):
        before = aligned(old, new) if is_from_json else [*old[: len(new)], *new[len(old) :]]
        items = [merge(*pair, is_from_json=is_from_json) for pair in zip(before, new, strict=True)]
        list.__setitem__(old, slice(None), items)
    elif isinstance(old, dict):
        pairs = ((key, old.get(key, value), value) for key, value in list(new.items()))
        contents = {key: merge(before, value, is_from_json=is_from_json) for key, before, value in pairs}
        dict.clear(old)
        dict.update(old, contents)
    else:
        _merge_models(old, new, is_from_json)
    return old


def is_as_infinite(old: Any, new: Any) -> bool:
    """Whether a number is null in JSON, and is not a number when that is read, but was an infinite one."""
    return type(old) is type(new) is float and math.isinf(old) and math.isnan(new)


def _merge_models(old: Any, new: Any, is_from_json: bool) -> None:
    shape = shape_of(type(old))
    kept = shape.excluded - new.model_fields_set
    contents = {
        name: merge(old.__dict__.get(name), value, is_from_json=is_from_json)
        for name, value in new.__dict__.items()
        if name not in kept and not (is_from_json and name in shape.json_names and _is_same(shape, old, new, name))
    }
    old.__dict__.update(contents)
    old.model_fields_set.update(new.model_fields_set)


def _is_same(shape: Any, old: Any, new: Any, name: str) -> bool:
    """Whether a field is the same in JSON."""
    try:
        return name in old.__dict__ and bool(shape.to_json(old, (name,)) == shape.to_json(new, (name,)))
    except Exception:
        LOGGER.exception("The field '%s' of a %s cannot be made JSON, so it is replaced.", name, type(old).__name__)
        return False
