"""Requests to a server."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pydantic_core

from labthings.exceptions import LabThingsError, UnserialisableTypeError

TIMEOUT = 60.0  # seconds that a server may take to answer
KEEP_ALIVE = 4.0  # seconds: less than servers' usual five, so that no request is sent on a connection that is closing
LONGEST_WAIT = 1.0  # seconds that a server is asked to wait for an action's end: its log is seen that often


class Response(Protocol):
    """An answer, as httpx gives it."""

    @property
    def status_code(self) -> int: ...
    @property
    def url(self) -> Any: ...
    @property
    def content(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class HTTPClient(Protocol):
    """What makes HTTP requests: an ``httpx.Client``, an ``httpx2.Client``, Starlette's ``TestClient``."""

    def request(
        self,
        method: str,
        url: Any,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        follow_redirects: bool = False,
    ) -> Response: ...


class Connection:
    """Makes requests, and closes the client that makes them if it opened it.

    :param client: by default, one is opened.
    """

    def __init__(self, client: HTTPClient | None = None) -> None:
        self._close: Callable[[], Any] | None = None
        if client is None:
            client, close = _open_client()
            self._close = weakref.finalize(self, close)
        self._request = client.request
        self.wait = _wait(client)

    def send(
        self,
        method: str,
        url: Any,
        attempt: str,
        error: type[LabThingsError],
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> Response:
        """Make a request, and return its answer, be it good or bad.

        :param attempt: what it is for, to begin a sentence about its failure.
        :param error: what to raise if there is no answer.
        """
        try:
            return self._request(method, url, content=content, headers=headers, **options)
        except Exception as cause:
            raise error(f"{attempt} failed: no answer from {url}: {type(cause).__name__}: {cause}") from cause

    def close(self) -> None:
        """Close the client, if it was opened here."""
        if self._close is not None:
            self._close()


def from_json(response: Response, error: type[LabThingsError], attempt: str) -> Any:
    """The value that an answer carries; none if it is empty.

    :param error: what to raise if it is not JSON.
    :param attempt: what it answers, to begin a sentence about its failure.
    """
    content = response.content
    try:
        return pydantic_core.from_json(content) if content else None
    except ValueError as cause:
        media_type = response.headers.get("content-type")
        raise error(f"{attempt} failed: {response.url} sent {media_type}, not JSON.") from cause


def to_json(value: Any) -> bytes:
    """Write a value as JSON: also numpy's numbers and arrays, pydantic's models, dates and the like.

    :raises UnserialisableTypeError: if it cannot be.
    """
    try:
        return pydantic_core.to_json(value, fallback=_plain, inf_nan_mode="constants", by_alias=True)
    except pydantic_core.PydanticSerializationError as error:
        raise UnserialisableTypeError(f"This cannot be sent as JSON: {value!r:.200}") from error


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no equivalent in JSON")


def _open_client() -> tuple[HTTPClient, Callable[[], None]]:
    import httpx

    client = httpx.Client(
        timeout=httpx.Timeout(TIMEOUT, connect=10.0),
        limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE),
        follow_redirects=True,
    )
    return client, client.close


def _wait(client: HTTPClient) -> float:
    """How long a server may be asked to wait before it answers, so that the client does not give up on it."""
    timeout = getattr(client, "timeout", None)
    seconds = getattr(timeout, "read", timeout)
    return min(LONGEST_WAIT, seconds / 2) if isinstance(seconds, int | float) else LONGEST_WAIT
