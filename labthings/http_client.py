"""What makes HTTP requests, of whichever library it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
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


def open_client() -> Any:
    """Open an ``httpx.Client``."""
    import httpx

    return httpx.Client(
        timeout=httpx.Timeout(TIMEOUT, connect=10.0),
        limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE),
        follow_redirects=True,
    )


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
