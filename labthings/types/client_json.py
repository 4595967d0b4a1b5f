"""JSON that clients send, which must be of the right type: ``"1"`` is no number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError


def validated_strictly(adapter: TypeAdapter[Any], document: bytes) -> Any:
    """The value that a client's JSON document stands for.

    Whole numbers may have a decimal point, though, since some languages write them so.

    :raises pydantic.ValidationError: if it is not JSON, or does not fit.
    """
    try:
        return adapter.validator.validate_json(document, strict=True)
    except ValidationError as error:
        if not is_about_whole_numbers(error):
            raise
    return adapter.validator.validate_json(document)


def is_about_whole_numbers(error: ValidationError) -> bool:
    """Whether all that is wrong is that whole numbers have a decimal point."""
    return all(map(_is_whole_number, error.errors(include_url=False, include_context=False)))


def _is_whole_number(fault: Mapping[str, Any]) -> bool:
    return fault["type"] == "int_type" and isinstance(fault["input"], float) and fault["input"].is_integer()
