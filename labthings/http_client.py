"""What makes HTTP requests, of whichever library it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

TIMEOUT = 60.0  # seconds that a server may take to answer
KEEP_ALIVE = 4.0  # seconds: less than servers' usual five, so that no request is sent on a connection that is closing


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
    """What makes HTTP requests: an ``httpx.Client``, an ``httpx2.Client``, Starlette's ``TestClient``.

    One that also has httpx's ``stream`` downloads large blobs bit by bit.
    """

    def request(
        self,
        method: str,
        url: Any,
        *,
        content: Any = None,
        headers: dict[str, str] | None = None,
        follow_redirects: bool = False,
    ) -> Response: ...


class AsyncHTTPClient(Protocol):
    """What makes HTTP requests in an event loop: an ``httpx.AsyncClient``, an ``httpx2.AsyncClient``."""

    async def request(
        self,
        method: str,
        url: Any,
        *,
        content: Any = None,
        headers: dict[str, str] | None = None,
        follow_redirects: bool = False,
    ) -> Response: ...


def open_client() -> Any:
    """Open an ``httpx.Client``. What it does is logged only if httpx's logger has the level DEBUG."""
    import httpx

    client: Any = httpx.Client(**_options(httpx))
    send = client.send

    def send_quietly(*args: Any, **kwargs: Any) -> Any:
        with _quietly():
            return send(*args, **kwargs)

    client.send = send_quietly
    return client


def open_async_client() -> Any:
    """Open an ``httpx.AsyncClient``. What it does is logged only if httpx's logger has the level DEBUG."""
    import httpx

    client: Any = httpx.AsyncClient(**_options(httpx))
    send = client.send

    async def send_quietly(*args: Any, **kwargs: Any) -> Any:
        with _quietly():
            return await send(*args, **kwargs)

    client.send = send_quietly
    return client


def _options(httpx: Any) -> dict[str, Any]:
    return {
        "timeout": httpx.Timeout(TIMEOUT, connect=10.0),
        "limits": httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE),
        "follow_redirects": True,
    }


@contextmanager
def _quietly() -> Iterator[None]:
    """Have requests not logged: httpx logs each at the level INFO, which would drown what actions log."""
    _HTTPX_LOGGER.addFilter(_is_wanted)  # which has no effect if it is there already
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def _is_wanted(record: logging.LogRecord) -> bool:
    return not _is_quiet.get() or _HTTPX_LOGGER.isEnabledFor(logging.DEBUG)


_HTTPX_LOGGER = logging.getLogger("httpx")
_is_quiet: ContextVar[bool] = ContextVar("labthings_is_quiet", default=False)


@contextmanager
def streamed(client: HTTPClient | None, method: str, url: str, headers: dict[str, str]) -> Iterator[Any]:
    """Make a request, and give an answer whose content is not there yet: see `pieces`.

    :param client: by default, one is opened for this request.
    """
    with ExitStack() as stack:
        if client is None:
            client = stack.enter_context(open_client())
        stream = getattr(client, "stream", None)
        if stream is None:
            yield client.request(method, url, headers=headers, follow_redirects=True)
        else:
            yield stack.enter_context(stream(method, url, headers=headers, follow_redirects=True))


def pieces(response: Any) -> Iterator[bytes]:
    """The content of a streamed answer, as it arrives."""
    yield from response.iter_bytes() if hasattr(response, "iter_bytes") else [response.content]


def read(response: Any) -> Response:
    """A streamed answer with all its content."""
    if hasattr(response, "read"):
        response.read()
    return response  # type: ignore[no-any-return]
