"""Checks Thing Descriptions against W3C's JSON Schema for TD 1.1."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from labthings.exceptions import InvalidValueError


def validate_thing_description(td: Mapping[str, Any]) -> None:
    """Check that ``td`` is a Thing Description 1.1.

    :raises InvalidValueError: naming each fault and where it is.
    """
    faults = [_fault(error) for error in sorted(_validator().iter_errors(td), key=lambda error: error.json_path)]
    if faults:
        listed = "; ".join(f"{_pointer(fault['loc'])}: {fault['msg']}" for fault in faults)
        raise InvalidValueError(f"{td.get('title', 'This')!r} is not a Thing Description 1.1: {listed}", faults)


@cache
def _validator() -> Any:
    from jsonschema import Draft7Validator  # slow to import, and few programs need it

    schema = files(__package__) / "w3c" / "td-1.1.schema.json"
    return Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))


def _fault(error: Any) -> dict[str, Any]:
    from jsonschema.exceptions import best_match

    best = best_match([error])  # for a oneOf, the fault of the alternative that fits best
    return {"loc": list(best.absolute_path), "msg": best.message, "type": best.validator}


def _pointer(location: Iterable[Any]) -> str:
    return "".join(f"/{part}" for part in location) or "/"
