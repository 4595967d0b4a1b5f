"""The texts that go over a WebSocket: JSON, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

import pydantic_core

from labthings.exceptions import RequestError


def parsed(text: str | bytes) -> dict[str, Any]:
    """The object that a client has sent.

    :raises RequestError: if it is something else.
    """
    try:
        message = pydantic_core.from_json(text)
    except ValueError as error:
        message = _with_half_characters(text, error)
    if not isinstance(message, dict):
        raise RequestError(f"A message must be a JSON object, not {_json_type(message)}.")
    return message


def _with_half_characters(text: str | bytes, error: ValueError) -> Any:
    """The same for what may have escapes that stand for half a character, as in names that nothing has."""
    if b"\\ud" not in (text if isinstance(text, bytes) else text.encode(errors="replace")).lower():
        raise RequestError(f"A message must be JSON: {error}") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise RequestError(f"A message must be JSON: {reason}") from reason


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def to_text(value: Any) -> str:
    """A value as JSON. What JSON cannot tell is told as text."""
    try:
        return pydantic_core.to_json(value, inf_nan_mode="null", serialize_unknown=True).decode()
    except pydantic_core.PydanticSerializationError:  # half a character, which only an escape can stand for
        return json.dumps(value, default=str)


def to_document(value: Any) -> bytes:
    """What a client has sent, as the JSON that it was.

    :raises RequestError: if it is nested too deeply.
    """
    try:
        return pydantic_core.to_json(value)
    except (ValueError, pydantic_core.PydanticSerializationError):
        try:
            return json.dumps(value).encode()
        except RecursionError as error:
            raise RequestError("The message is nested too deeply.") from error
