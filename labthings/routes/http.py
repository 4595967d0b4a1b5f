"""HTTP at the level of ASGI: read a body, send an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote

from labthings.exceptions import BodyTooLargeError, RequestError, UnsupportedMediaTypeError
from labthings.problem_details import MEDIA_TYPE, problem_details, problem_headers

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
LONGEST_WAIT = 300.0  # seconds that a request may be held open


@dataclass(frozen=True)
class Route:
    """What answers one HTTP method at one path. A part of the path may be ``{id}``."""

    path: str
    method: str
    handler: Handler


class ClientDisconnectedError(RequestError):
    """The client has gone before it sent all of its request."""


async def send_json(send: Send, body: bytes, status: int = 200, headers: Headers | None = None) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [JSON, length, *(headers or ())]})
    await send({"type": "http.response.body", "body": body})


async def send_body(send: Send, body: bytes, status: int, headers: Headers) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_nothing(send: Send, status: int = 204, headers: Headers | None = None) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers or []})
    await send({"type": "http.response.body", "body": b""})


async def send_problem(send: Send, error: BaseException, debug: bool, headers: Headers | None = None) -> None:
    problem = problem_details(error, debug)
    told = [(b"content-type", MEDIA_TYPE.encode()), *problem_headers(error), *(headers or ())]
    await send_body(send, problem.to_json(), problem.status, told)


async def read_json(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body of a request that sends JSON, or nothing.

    :param limit: how many bytes it may have.
    :raises BodyTooLargeError: if it has more.
    :raises UnsupportedMediaTypeError: if it is of another media type.
    """
    headers = dict(scope["headers"])
    body = await read_body(headers, receive, limit)
    if body:
        _check_media_type(headers.get(b"content-type", b""))
    return body


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The body of a request.

    :param limit: how many bytes it may have.
    :raises BodyTooLargeError: if it has more.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body") or message["type"] == "http.disconnect":
        body = await _read_rest(message, receive, limit)
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _read_rest(message: MutableMapping[str, Any], receive: Receive, limit: int) -> bytes:
    chunks, size = [message.get("body", b"")], len(message.get("body", b""))
    while message.get("more_body"):
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise _too_large(limit)
    if message["type"] == "http.disconnect":
        raise ClientDisconnectedError("The client disconnected before it had sent the whole request.")
    return b"".join(chunks)


async def disconnected(receive: Receive) -> None:
    """Wait until the client has gone, which sending to it does not tell. For requests whose body does not matter."""
    while (await receive())["type"] != "http.disconnect":
        continue


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"The request's body is larger than {limit} bytes, the `maximum_body_size` of the server's configuration.",
        [("connection", "close")],
    )


def _check_media_type(content_type: bytes) -> None:
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type != b"application/json" and not media_type.endswith(b"+json"):
        raise UnsupportedMediaTypeError(
            f"Send JSON, with the header 'Content-Type: application/json', not '{content_type.decode('latin-1')}'."
        )


def base_url(scope: Scope) -> str:
    """The URL at which the client reaches the application, ending in a slash."""
    host = next((value for name, value in scope["headers"] if name == b"host"), None)
    if not host:
        host = "{}:{}".format(*(scope.get("server") or ("localhost", 80))).encode()
    return _base_url(scope["scheme"], host, scope.get("root_path", ""))


@lru_cache(maxsize=64)
def _base_url(scheme: str, host: bytes, root_path: str) -> str:
    return f"{scheme.replace('ws', 'http')}://{host.decode('latin-1')}{quote(root_path).rstrip('/')}/"


def query(scope: Scope) -> dict[str, str]:
    """The query's parameters; the last of each name."""
    found = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return {name: values[-1] for name, values in found.items()}


def number_in(wanted: dict[str, str], name: str) -> int | None:
    """A whole number among the query's parameters, if it is there.

    :raises RequestError: if it is something else.
    """
    text = wanted.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise RequestError(f"'{name}' must be a whole number, not '{text}'.")
    return int(text)


def accepted(scope: Scope) -> Iterator[str]:
    """The media types that the client mentions in ``Accept``."""
    for name, value in scope["headers"]:
        if name == b"accept":
            for each in value.decode("latin-1").split(","):
                yield each.partition(";")[0].strip().lower()


def wanted_wait(scope: Scope) -> float | None:
    """How many seconds the client wants to wait, by ``?wait=`` or ``Prefer: wait=``; none if it does not say.

    :raises RequestError: if ``?wait=`` is not a number.
    """
    wanted: bytes = scope["query_string"]
    if b"wait" in wanted:
        alone = wanted.startswith(b"wait=") and wanted[5:].isdigit()  # the usual case, in little time
        text = wanted[5:].decode() if alone else query(scope).get("wait")
        if text is not None:
            seconds = _seconds(text)
            if seconds is None:
                raise RequestError(f"'wait' must be a number of seconds, not '{text}'.")
            return seconds
    for key, text in _preferences(scope):
        if key == "wait":
            return _seconds(text)  # what is malformed is passed over: RFC 7240
    return None


def wants_minimal(scope: Scope) -> bool:
    """Whether the client wants an answer without what takes long to send: ``Prefer: return=minimal``."""
    return ("return", "minimal") in _preferences(scope)


def _preferences(scope: Scope) -> Iterator[tuple[str, str]]:
    for name, value in scope["headers"]:
        if name == b"prefer":
            for each in value.decode("latin-1").replace(";", ",").split(","):
                key, _, text = each.partition("=")
                yield key.strip().lower(), text.strip().strip('"')


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT) if isfinite(seconds) else None
