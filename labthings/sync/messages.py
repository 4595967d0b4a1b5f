"""What is said on the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from labthings.exceptions import CommandError
from labthings.state import Patch, Snapshot

ORIGIN = ("originClientId", "requestId", "command")
LONGEST_ID = 200
LARGEST_ID = 2**53
MOST_AT_THE_START = 2000  # characters
_FIRST_ID = re.compile(r'\s*\{\s*"requestId"\s*:\s*("(?:[^"\\]|\\.)*"|-?[0-9]+)\s*,')
RequestId = str | int | None


@dataclass(frozen=True, slots=True)
class CommandMessage:
    """A client wants something to be done.

    :param size: of the message, in bytes.
    """

    command: str
    params: Mapping[str, Any]
    request_id: RequestId
    size: int


@dataclass(frozen=True, slots=True)
class ResyncMessage:
    """A client wants to be told everything again.

    :param streams: the names of the streams to be told of; None: the state, and all streams.
    """

    streams: list[str] | None


@dataclass(frozen=True, slots=True)
class PingMessage:
    """A client wants to know whether the server is there."""

    request_id: RequestId


Message = CommandMessage | ResyncMessage | PingMessage


@dataclass
class Refusal(Exception):
    """What a client has sent cannot be dealt with."""

    error: CommandError
    request_id: RequestId = None
    command: str | None = None


def parsed(text: str | bytes, most_bytes: int) -> Message:
    """What a client has sent.

    :raises Refusal: if it is nothing that clients may send.
    """
    size = len(text) if isinstance(text, bytes) else len(text.encode())
    if size > most_bytes:
        error = CommandError("message_too_large", f"A message may have {most_bytes} bytes, and this has {size}.")
        raise Refusal(error, _id_at_the_start(text))
    try:
        message = pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError as error:
        told = CommandError("invalid_message", f"A message must be JSON: {error}")
        raise Refusal(told, _id_at_the_start(text)) from error
    if not isinstance(message, dict):
        raise Refusal(CommandError("invalid_message", "A message must be a JSON object."))
    return _told(message, size)


def _id_at_the_start(text: str | bytes) -> RequestId:
    """What a client tells the answer by, if that is the first member of a message that cannot be read as a whole."""
    start = text[:MOST_AT_THE_START]
    found = _FIRST_ID.match(start if isinstance(start, str) else start.decode(errors="replace"))
    try:
        return None if found is None else _request_id({"requestId": pydantic_core.from_json(found[1])})
    except (ValueError, Refusal):
        return None


def _told(message: Mapping[str, Any], size: int) -> Message:
    request_id = _request_id(message)
    try:
        if message.get("type") == "command":
            return CommandMessage(_command(message), _params(message), request_id, size)
        if message.get("type") == "resync":
            return ResyncMessage(_streams(message))
        if message.get("type") == "ping":
            return PingMessage(request_id)
    except CommandError as error:
        raise Refusal(error, request_id) from error
    raise Refusal(_invalid("The `type` of a message must be 'command', 'resync' or 'ping'."), request_id)


def _request_id(message: Mapping[str, Any]) -> RequestId:
    found = message.get("requestId")
    if found is None or (isinstance(found, str) and len(found) <= LONGEST_ID):
        return found
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) < LARGEST_ID:
        return found
    raise Refusal(
        _invalid(f"`requestId` must be a string of at most {LONGEST_ID} characters, or an integer of at most 53 bits.")
    )


def _command(message: Mapping[str, Any]) -> str:
    found = message.get("command")
    if isinstance(found, str):
        return found
    raise _invalid("`command` must be the name of a command.")


def _params(message: Mapping[str, Any]) -> Mapping[str, Any]:
    found = message.get("params")
    if found is None:
        return {}
    if isinstance(found, dict):
        return found
    raise _invalid("`params` must be an object of the command's parameters, by their names.")


def _streams(message: Mapping[str, Any]) -> list[str] | None:
    found = message.get("streams")
    if found is None or (isinstance(found, list) and all(isinstance(each, str) for each in found)):
        return found
    raise _invalid("`streams` must be a list of the names of streams.")


def _invalid(message: str) -> CommandError:
    return CommandError("invalid_message", message)


def snapshot_text(snapshot: Snapshot, client_id: str) -> str:
    """Tells a client the state."""
    return f'{{"type":"snapshot","clientId":"{client_id}",{snapshot.json[1:].decode()}'


def patch_text(patch: Patch) -> str:
    """Tells clients how the state has changed, and which command did it if one did."""
    head = f'"epoch":"{patch.epoch}","baseVersion":{patch.base_version},"version":{patch.version}'
    operations = b",".join(each.to_json() for each in patch.operations).decode()
    return f'{{"type":"patch",{head},"patch":[{operations}]{_origin(patch.origin or {})}}}'


def _origin(origin: Mapping[str, Any]) -> str:
    """Who caused a patch, as members of its message; what is no command is told of as a whole."""
    own = {key: origin[key] for key in ORIGIN if key in origin}
    others = {key: value for key, value in origin.items() if key not in own}
    members = {**own, "origin": others} if others else own
    return f",{pydantic_core.to_json(members)[1:-1].decode()}" if members else ""


def pong_text(request_id: RequestId) -> str:
    """Tells a client that the server is there."""
    return json.dumps({"type": "pong", **_identified(request_id)})


def ack_text(request_id: RequestId, command: str, result: Any) -> str:
    """Tells a client what its command has given.

    :raises CommandError: if that cannot be made JSON.
    """
    message = {"type": "command_ack", **_identified(request_id), "command": command, "result": result}
    try:
        return pydantic_core.to_json(message, inf_nan_mode="null", fallback=_of_numpy).decode()
    except Exception as error:  # a serialiser of the result's class may raise anything
        raise CommandError(
            "invalid_result",
            f"The command was done, but its result cannot be made JSON, which must be plain data or a model: {error}",
            recoverable=False,
        ) from error


def at_version(text: str, version: int) -> str:
    """An answer that says which version the client has been told of before it."""
    return f'{text[:-1]},"version":{version}}}'


def _of_numpy(value: Any) -> Any:
    """A number or an array of numpy's as Python has it.

    :raises TypeError: if it is something else.
    """
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no plain data")


def error_text(request_id: RequestId, error: CommandError, command: str | None = None) -> str:
    """Tells a client that its command has failed."""
    message = {
        **error.details,
        "type": "command_error",
        **_identified(request_id),
        **({} if command is None else {"command": command}),
        "code": error.code,
        "message": error.message,
        "severity": error.severity,
        "display": error.display,
        "recoverable": error.recoverable,
    }
    return json.dumps(
        pydantic_core.to_jsonable_python(message, inf_nan_mode="null", serialize_unknown=True), default=str
    )


def _identified(request_id: RequestId) -> dict[str, Any]:
    return {} if request_id is None else {"requestId": request_id}
