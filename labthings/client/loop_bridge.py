"""From a thread to an asynchronous HTTP client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from labthings.http_client import AsyncHTTPClient, Response, streamed

T = TypeVar("T")


class LoopBridge:
    """Makes requests in an event loop for other threads, which block meanwhile.

    :param client: tells which client makes them; if there is none, another one is opened for each.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Callable[[], AsyncHTTPClient | None]) -> None:
        self._loop, self._client = loop, client

    def request(self, method: str, url: Any, **options: Any) -> Response:
        """Make a request."""
        with self.stream(method, url, **options) as response:
            response.read()
            answer: Response = response
            return answer

    @contextmanager
    def stream(
        self, method: str, url: Any, *, headers: dict[str, str] | None = None, follow_redirects: bool = True
    ) -> Iterator[Any]:
        """Make a request whose answer is read bit by bit."""
        client: Any = self._client()
        if client is None:
            with streamed(None, method, url, headers or {}) as response:
                yield response
            return
        answer = client.stream(method, url, headers=headers, follow_redirects=follow_redirects)
        response = self._call(answer.__aenter__)
        try:
            yield _Answer(response, self._call)
        finally:
            self._call(lambda: answer.__aexit__(None, None, None))

    def _call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if _running_loop() is self._loop:
            raise RuntimeError(
                "this would block the event loop: use the blob as in `await asyncio.to_thread(blob.save, path)`"
            )
        if not self._loop.is_running():
            raise RuntimeError("the event loop of its client has ended")
        return asyncio.run_coroutine_threadsafe(function(), self._loop).result()


class _Answer:
    """An answer of an asynchronous client, for a thread."""

    def __init__(self, response: Any, call: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]) -> None:
        self._response, self._call = response, call
        self.status_code, self.url, self.headers = response.status_code, response.url, response.headers

    @property
    def content(self) -> bytes:
        content: bytes = self._response.content
        return content

    def read(self) -> bytes:
        content: bytes = self._call(self._response.aread)
        return content

    def iter_bytes(self) -> Iterator[bytes]:
        pieces = self._response.aiter_bytes()
        while (piece := self._call(lambda: _next(pieces))) is not None:
            yield piece


async def _next(pieces: Any) -> bytes | None:
    return await anext(pieces, None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
