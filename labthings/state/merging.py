"""Giving objects of live state other contents in place."""

from __future__ import annotations

import math
from typing import Any

from labthings.state.model_shape import shape_of
from labthings.state.tracking import Node


def merge(old: Any, new: Any) -> Any:
    """Give an object the contents of another one, as far as it is of the same kind, and else give the other one.

    :param new: a valid object that is used nowhere else.
    """
    if type(old) is not type(new) or not isinstance(old, Node):
        return old if _is_as_infinite(old, new) else new
    if isinstance(old, list):
        both = [merge(*pair) for pair in zip(old, new, strict=False)]
        list.__setitem__(old, slice(None), both + new[len(both) :])
    elif isinstance(old, dict):
        contents = {key: merge(old[key], value) if key in old else value for key, value in new.items()}
        dict.clear(old)
        dict.update(old, contents)
    else:
        _merge_models(old, new)
    return old


def _is_as_infinite(old: Any, new: Any) -> bool:
    """Whether a number is null in JSON, and is not a number when that is read, but was an infinite one."""
    return type(old) is type(new) is float and math.isinf(old) and math.isnan(new)


def _merge_models(old: Any, new: Any) -> None:
    kept = shape_of(type(old)).excluded - new.model_fields_set
    contents = {name: merge(old.__dict__.get(name), value) for name, value in new.__dict__.items() if name not in kept}
    old.__dict__.update(contents)
    old.model_fields_set.update(new.model_fields_set)
