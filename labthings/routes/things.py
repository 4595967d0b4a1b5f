"""Thing Descriptions, the directory of Things, and their health, over HTTP."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pydantic_core

from labthings.exceptions import NotFoundError, RequestError
from labthings.routes.http import (
    Headers,
    Receive,
    Route,
    Scope,
    Send,
    accepted,
    base_url,
    number_in,
    query,
    send_body,
    send_json,
)
from labthings.routes.served_thing import ServedThing, ServedThings
from labthings.thing_description import build_directory_description, build_thing_description, directory_page

TD_MEDIA_TYPE = "application/td+json"
MOST_HOSTS = 16  # names by which clients reach the server, for each of which Thing Descriptions are remembered


class Described(ServedThings, Protocol):
    """A server with an identity."""

    @property
    def identity(self) -> uuid.UUID: ...
    def health(self) -> Mapping[str, Any]: ...


class Descriptions:
    """The Thing Descriptions of a server, made when they are first asked for."""

    def __init__(self, server: Described) -> None:
        self._server = server
        self._made: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def of(self, served: ServedThing, base: str) -> dict[str, Any]:
        """A Thing Description.

        :param base: the URL at which the client reaches the server, ending in a slash.
        """
        return build_thing_description(served, base, self._server.identity)

    def json_of(self, served: ServedThing, base: str) -> bytes:
        """The same, as JSON."""
        key = (base, served.name)
        if key not in self._made:
            self._made[key] = pydantic_core.to_json(self.of(served, base))
            if len(self._made) > MOST_HOSTS * len(self._server.served_things):  # a client may invent names for ever
                self._made.popitem(last=False)
        return self._made[key]

    def all_json(self, base: str) -> bytes:
        """All Thing Descriptions, by name, as JSON."""
        pairs = ((name, self.json_of(served, base)) for name, served in self._server.served_things.items())
        return b"{%b}" % b",".join(b"%b:%b" % (pydantic_core.to_json(name), td) for name, td in pairs)


def description_route(descriptions: Descriptions, served: ServedThing) -> Route:
    """The route of a Thing's description, which is there even if the Thing is not running."""

    async def describe(scope: Scope, receive: Receive, send: Send) -> None:
        body = descriptions.json_of(served, base_url(scope))
        await send_body(send, body, 200, _td_headers(scope))

    return Route(served.path, "GET", describe)


def directory_routes(server: Described, descriptions: Descriptions) -> Iterator[Route]:
    """The routes that tell which Things there are."""

    def urls(scope: Scope) -> dict[str, str]:
        base = base_url(scope)[:-1]
        return {name: base + served.path for name, served in server.served_things.items()}

    async def list_urls(scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, pydantic_core.to_json(urls(scope)))

    async def list_descriptions(scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, descriptions.all_json(base_url(scope)))

    async def list_page(scope: Scope, receive: Receive, send: Send) -> None:
        base, wanted = base_url(scope), query(scope)
        limit = number_in(wanted, "limit")
        if limit == 0:
            raise RequestError("'limit' must be 1 or more, not '0'.")
        page = directory_page(
            (descriptions.of(served, base) for served in server.served_things.values()),
            number_in(wanted, "offset") or 0,
            limit,
        )
        headers: Headers = [(b"content-type", b"application/ld+json")]
        if page.next_offset is not None:
            href = f"{base}{server.api_prefix.lstrip('/')}{'/' if server.api_prefix else ''}things"
            link = f'<{href}?offset={page.next_offset}&limit={limit}>; rel="next"'
            headers.append((b"link", link.encode("latin-1")))
        await send_body(send, pydantic_core.to_json(page.thing_descriptions), 200, headers)

    async def show_one(scope: Scope, receive: Receive, send: Send) -> None:
        wanted = scope["path_params"]["id"]
        for served in server.served_things.values():
            description = descriptions.of(served, base_url(scope))
            if wanted in (description["id"], served.name):
                await send_body(send, pydantic_core.to_json(description), 200, [_TD_TYPE])
                return
        raise NotFoundError(f"There is no Thing with the id '{wanted}'.")

    async def describe_directory(scope: Scope, receive: Receive, send: Send) -> None:
        base = base_url(scope)
        description = build_directory_description(base, server.identity, urls(scope), server.api_prefix)
        await send_body(send, pydantic_core.to_json(description), 200, _td_headers(scope))

    async def tell_health(scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, pydantic_core.to_json(server.health()), headers=[(b"cache-control", b"no-store")])

    prefix = server.api_prefix
    yield Route(f"{prefix}/things/", "GET", list_urls)
    yield Route(f"{prefix}/things", "GET", list_page)
    yield Route(f"{prefix}/things/{{id}}", "GET", show_one)
    yield Route(f"{prefix}/thing_descriptions/", "GET", list_descriptions)
    yield Route("/.well-known/wot", "GET", describe_directory)
    yield Route("/health", "GET", tell_health)


_TD_TYPE = (b"content-type", TD_MEDIA_TYPE.encode())


def _td_headers(scope: Scope) -> Headers:
    content_type = TD_MEDIA_TYPE if TD_MEDIA_TYPE in accepted(scope) else "application/json"
    return [(b"content-type", content_type.encode()), (b"vary", b"Accept")]
