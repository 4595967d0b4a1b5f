"""What of a setting's value is kept on disk."""

from __future__ import annotations

import json
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreSchema, SchemaSerializer


def to_saved(schema: CoreSchema, value: Any) -> Any:
    """A value as it is kept on disk: by the names of fields, without what is computed, and with NaN and infinities.

    :param schema: pydantic's, of the value's type.
    """
    serialiser = SchemaSerializer(schema, {"ser_json_inf_nan": "constants"})
    return serialiser.to_python(value, mode="json", by_alias=False, round_trip=True, warnings="error")


def from_saved(adapter: TypeAdapter[Any], document: bytes) -> Any:
    """The value that was saved as a JSON document.

    :raises pydantic.ValidationError: if it does not fit.
    """
    try:
        return adapter.validator.validate_json(document, strict=True, by_alias=True, by_name=True)
    except ValidationError:  # strict types refuse some of what serialisers write, such as durations in seconds
        return adapter.validator.validate_json(document, by_alias=True, by_name=True)


def is_kept(saved: Any, saved_again: Any) -> bool:
    """Whether what was read back is saved as it was before."""
    return json.dumps(saved, sort_keys=True) == json.dumps(saved_again, sort_keys=True)


def saved_document(saved: Any) -> bytes:
    """What is kept on disk, as the JSON that it is read from."""
    return pydantic_core.to_json(saved)
