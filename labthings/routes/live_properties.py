"""Live state over HTTP: versions, and patches."""

from __future__ import annotations

from collections.abc import Iterator

from labthings.exceptions import UnsupportedMediaTypeError
from labthings.routes.entity_tags import entity_tag, is_known, wanted_version
from labthings.routes.http import Handler, Receive, Route, Scope, Send, read_body, send_body, send_nothing
from labthings.routes.live_property_access import LivePropertyAccess
from labthings.routes.negotiation import VARY, accept_of, is_json, represented
from labthings.routes.server_sent_events import read_or_follow
from labthings.types.media_types import JSON, JSON_PATCH, bare

NO_CACHE = (b"cache-control", b"no-cache")  # which means: ask if there is another version


def live_property_routes(access: LivePropertyAccess, follow: Handler, path: str, limit: int) -> Iterator[Route]:
    """The routes of a property that is live state.

    :param follow: has clients observe it.
    :param limit: how many bytes the body of a request may have.
    """

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        snapshot = await access.read_snapshot()
        accept = accept_of(scope) if access.kind != "json" else ""
        headers, body = represented(await access.read_plain() if accept else None, accept, lambda: snapshot.data)
        if headers[0][1] != JSON.encode():
            await send_body(send, body, 200, headers)
            return
        tag = entity_tag(snapshot.epoch, snapshot.version)
        if is_known(scope, tag):
            await send_nothing(send, 304, [(b"etag", tag), NO_CACHE, VARY])
        else:
            await send_body(send, body, 200, [*headers, (b"etag", tag), NO_CACHE])

    async def write(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = await read_body(headers, receive, limit)
        sends_json, base_version = is_json(headers), wanted_version(scope, access.document)
        value = await (access.parse(body) if sends_json else access.parse_binary(body, headers))
        await done(send, await access.replace(value, base_version, size=len(body), is_from_json=sends_json))

    async def patch(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        media_type = bare(headers.get(b"content-type", b"").decode("latin-1"))
        if media_type != JSON_PATCH:
            raise UnsupportedMediaTypeError(
                f"Send a JSON Patch, with the header 'Content-Type: {JSON_PATCH}', which is '{media_type}'.",
                [("Accept-Patch", JSON_PATCH)],
            )
        body = await read_body(headers, receive, limit)
        await done(send, await access.patch(body, wanted_version(scope, access.document)))

    async def reset(scope: Scope, receive: Receive, send: Send) -> None:
        value = access.info.default
        base_version = wanted_version(scope, access.document)
        await done(send, await access.replace(value, base_version, is_from_json=False))

    async def done(send: Send, version: int) -> None:
        await send_nothing(send, headers=[(b"etag", entity_tag(access.document.epoch, version))])

    yield Route(path, "GET", read_or_follow(read, follow))
    if not access.info.readonly:
        yield Route(path, "PUT", write)
        yield Route(path, "PATCH", patch)
        yield Route(f"{path}/reset", "POST", reset)
