"""Where a Thing's WebSocket is, and how it is opened."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from labthings.client.addresses import WEB_THING_PROTOCOL
from labthings.client.remote_thing import RemoteThing
from labthings.problem_reports import problem_of

CONNECT_SECONDS = 10.0
PING_SECONDS = 4.0  # how often a connection that is silent is tried
CLOSE_SECONDS = 1.0

_PER_CONNECTION = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-length", "content-type"}


class UnreachableError(Exception):
    """A WebSocket could not be opened, or was lost."""


class Endpoint:
    """Opens WebSockets to a Thing.

    :param thing: the Thing.
    :param client: makes HTTP requests to it. What it sends with each, such as passwords, is sent here too.
    """

    def __init__(self, thing: RemoteThing, client: Any) -> None:
        self._client = client
        self._problem = _problem(thing, client)
        self.url = thing.socket or ""

    async def open(self) -> Any:
        """Open one.

        :raises UnreachableError: if that fails.
        """
        if self._problem is not None:
            raise UnreachableError(self._problem)
        if getattr(self._client, "is_closed", False):
            raise UnreachableError("the client has been closed.")
        from websockets.exceptions import InvalidStatus

        try:
            socket = await self._connect()
        except InvalidStatus as error:
            raise UnreachableError(f"{self.url} refuses: {_refusal(error)}") from error
        except Exception as error:  # also what the client's own code raises, such as that for passwords
            raise UnreachableError(f"no answer from {self.url}: {type(error).__name__}: {error}") from error
        if socket.subprotocol != WEB_THING_PROTOCOL:
            await socket.close()
            raise UnreachableError(f"{self.url} does not speak the Web Thing Protocol.")
        return socket

    async def _connect(self) -> Any:
        from websockets.asyncio.client import connect
        from websockets.typing import Subprotocol

        return await connect(
            self.url,
            subprotocols=[Subprotocol(WEB_THING_PROTOCOL)],
            additional_headers=_headers(self._client, self.url),
            compression=None,  # which would take longer than sending
            max_size=None,
            open_timeout=CONNECT_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=2 * PING_SECONDS,
            close_timeout=CLOSE_SECONDS,
            **_security(self._client, self.url),
        )


def _problem(thing: RemoteThing, client: Any) -> str | None:
    if hasattr(client, "websocket_connect"):
        return (
            f"the HTTP client of this ThingClient is a {type(client).__name__}, which has no network and so no "
            "WebSockets. Serve the Thing, as `labthings-server` does, and use its URL."
        )
    return None if thing.socket else "the Thing Description tells of no WebSocket for the Web Thing Protocol."


def _refusal(error: Any) -> str:
    problem = problem_of(_Answer(error.response))
    return f"{problem.detail} ({problem.status} {problem.title})"


class _Answer:
    """What a server says instead of opening a WebSocket, as an HTTP response."""

    def __init__(self, response: Any) -> None:
        self.status_code, self.content = response.status_code, response.body or b""
        self.url, self.headers = "", response.headers


def _headers(client: Any, url: str) -> list[tuple[str, str]]:
    """What an HTTP client would send with a request: cookies, passwords, and headers of its user's."""
    if not hasattr(client, "build_request"):
        return []
    plain = client.build_request("GET", f"http{url.removeprefix('ws')}")
    auth = getattr(client, "auth", None)
    request = plain if auth is None else next(auth.auth_flow(plain))
    return [(name, value) for name, value in request.headers.items() if name.lower() not in _PER_CONNECTION]


def _security(client: Any, url: str) -> dict[str, Any]:
    """What an HTTP client takes for proof of who the server is, as far as it lets on."""
    if urlsplit(url).scheme != "wss":
        return {}
    pool = getattr(getattr(client, "_transport", None), "_pool", None)
    context = getattr(pool, "_ssl_context", None)
    return {} if context is None else {"ssl": context}
