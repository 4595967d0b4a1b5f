"""Requests to a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pydantic_core

from labthings.exceptions import LabThingsError, UnserialisableTypeError
from labthings.http_client import HTTPClient, Response
from labthings.outputs.blob import Blob

LONGEST_WAIT = 1.0  # seconds that a server is asked to wait for an action's end: its log is seen that often

T = TypeVar("T")


class Connection(ABC):
    """Makes requests, and does whatever else takes time.

    What the client does with properties and actions is written once, as coroutines that await nothing but this. One
    connection blocks instead of awaiting, so that a thread without an event loop can run them; the other one awaits.

    :param client: the HTTP client.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self.wait = _wait(client)

    async def send(
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

        :param content: bytes, or an iterator of pieces of them.
        :param attempt: what it is for, to begin a sentence about its failure.
        :param error: what to raise if there is no answer.
        """
        try:
            return await self.answer(method, url, content, headers, options)
        except Exception as cause:
            raise error(f"{attempt} failed: no answer from {url}: {type(cause).__name__}: {cause}") from cause

    @abstractmethod
    async def answer(
        self, method: str, url: Any, content: Any, headers: dict[str, str] | None, options: dict[str, Any]
    ) -> Response:
        """Make a request, and return its answer."""

    @abstractmethod
    async def pause(self, seconds: float) -> None:
        """Do nothing for a while."""

    @abstractmethod
    async def call(self, function: Callable[[], T]) -> T:
        """Call a function that takes its time."""

    @abstractmethod
    async def uninterrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work to its end, and only then heed Ctrl-C or a cancellation, unless there is a second one."""

    @property
    @abstractmethod
    def for_blobs(self) -> HTTPClient:
        """Downloads blobs, in whichever thread they are read, and also after this was closed."""


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


def _wait(client: Any) -> float:
    """How long a server may be asked to wait before it answers, so that the client does not give up on it."""
    timeout = getattr(client, "timeout", None)
    seconds = getattr(timeout, "read", timeout)
    return min(LONGEST_WAIT, seconds / 2) if isinstance(seconds, int | float) else LONGEST_WAIT
