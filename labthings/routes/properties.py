"""Properties over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

from labthings.routes.all_properties import AllProperties
from labthings.routes.http import (
    Handler,
    Receive,
    Route,
    Scope,
    Send,
    read_body,
    read_json,
    send_body,
    send_json,
    send_nothing,
)
from labthings.routes.live_properties import live_property_routes
from labthings.routes.live_property_access import LivePropertyAccess
from labthings.routes.negotiation import VARY, accept_of, best_offer, is_json
from labthings.routes.observation import Observation
from labthings.routes.property_access import PropertyAccess
from labthings.routes.server_sent_events import read_or_follow
from labthings.routes.thing_access import ThingAccess
from labthings.types.media_types import CBOR, JSON


def property_routes(thing: ThingAccess, observation: Observation, limit: int) -> Iterator[Route]:
    """The routes of all properties of a Thing.

    :param observation: has clients observe them.
    :param limit: how many bytes the body of a request may have.
    """
    path = thing.served.path
    for name, access in thing.properties.items():
        routes = live_property_routes if isinstance(access, LivePropertyAccess) else _routes
        yield from routes(access, observation.follow(name), path + name, limit)  # type: ignore[arg-type]
    yield from _routes_of_all(thing.everything, observation.follow_all(), f"{path}properties", limit)
    yield from observation.routes()


def _routes_of_all(everything: AllProperties, follow: Handler, path: str, limit: int) -> Iterator[Route]:
    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        if best_offer(accept_of(scope) or JSON, (JSON, CBOR)) == CBOR:
            headers, body = await everything.read_cbor()
            await send_body(send, body, 200, headers)
        else:
            await send_json(send, await everything.read_json(), headers=[VARY])

    async def write(scope: Scope, receive: Receive, send: Send) -> None:
        await everything.write_json(await read_json(scope, receive, limit))
        await send_nothing(send)

    yield Route(path, "GET", read_or_follow(read, follow))
    yield Route(path, "PUT", write)


def _routes(access: PropertyAccess, follow: Handler, path: str, limit: int) -> Iterator[Route]:
    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        body = access.read_at_once()
        await send_json(send, await access.read() if body is None else body)

    async def write(scope: Scope, receive: Receive, send: Send) -> None:
        document = await read_json(scope, receive, limit)
        if not access.write_at_once(document):
            await access.write(await access.parse(document))
        await send_nothing(send)

    async def read_as_wanted(scope: Scope, receive: Receive, send: Send) -> None:
        headers, body = await access.read_as(accept_of(scope))
        await send_body(send, body, 200, headers)

    async def write_any(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = await read_body(headers, receive, limit)
        await access.write(await (access.parse(body) if is_json(headers) else access.parse_binary(body, headers)))
        await send_nothing(send)

    async def reset(scope: Scope, receive: Receive, send: Send) -> None:
        await access.reset()
        await send_nothing(send)

    is_plain = access.kind == "json"
    yield Route(path, "GET", read_or_follow(read if is_plain else read_as_wanted, follow))
    if not access.info.readonly:
        yield Route(path, "PUT", write if is_plain else write_any)
    if access.info.is_resettable:
        yield Route(f"{path}/reset", "POST", reset)
