"""Requests to a server."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager
from typing import Any

import pydantic_core

from labthings.exceptions import LabThingsError, UnserialisableTypeError
from labthings.http_client import HTTPClient, Response, open_client, streamed
from labthings.outputs.blob import Blob

LONGEST_WAIT = 1.0  # seconds that a server is asked to wait for an action's end: its log is seen that often


class Connection:
    """Makes requests, and closes the client that makes them if it opened it.

    :param client: by default, one is opened.
    """

    def __init__(self, client: HTTPClient | None = None) -> None:
        self._close: weakref.finalize[[], Connection] | None = None
        if client is None:
            own = open_client()
            self._close = weakref.finalize(self, own.close)
            client = own
        self._client: HTTPClient = client
        self.request = client.request
        self.wait = _wait(client)

    def send(
        self,
        method: str,
        url: Any,
        attempt: str,
        error: type[LabThingsError],
        content: Any = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> Response:
        """Make a request, and return its answer, be it good or bad.

        :param attempt: what it is for, to begin a sentence about its failure.
        :param error: what to raise if there is no answer.
        """
        try:
            return self.request(method, url, content=content, headers=headers, **options)
        except Exception as cause:
            raise error(f"{attempt} failed: no answer from {url}: {type(cause).__name__}: {cause}") from cause

    def stream(
        self, method: str, url: str, *, headers: dict[str, str], follow_redirects: bool = True
    ) -> AbstractContextManager[Any]:
        """Make a request whose answer is read bit by bit: a blob is, which may be saved after this was closed."""
        is_closed = self._close is not None and not self._close.alive
        return streamed(None if is_closed else self._client, method, url, headers)

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
    if isinstance(value, Blob):
        return value.link()
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no equivalent in JSON")


def _wait(client: HTTPClient) -> float:
    """How long a server may be asked to wait before it answers, so that the client does not give up on it."""
    timeout = getattr(client, "timeout", None)
    seconds = getattr(timeout, "read", timeout)
    return min(LONGEST_WAIT, seconds / 2) if isinstance(seconds, int | float) else LONGEST_WAIT
