"""Blobs over HTTP: downloads, in whole or in part, and uploads."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, Protocol, TypeVar
from urllib.parse import quote

import pydantic_core

from labthings.client_blobs import ClientBlobs
from labthings.outputs.blob import Blob
from labthings.outputs.blob_data import BlobData, LocalData, local_data
from labthings.routes.byte_ranges import ByteRange, is_known, wanted_range
from labthings.routes.http import Headers, Receive, Route, Scope, Send, disconnected, send_json, send_nothing
from labthings.routes.upload import Upload

LOGGER = logging.getLogger(__name__)
CHUNK = 2**20  # bytes
IN_URLS = "%:/?#[]@!$&'()*+,;=~"  # what stays as it is
Result = TypeVar("Result")


class HasBlobs(Protocol):
    """A server, as far as blobs need it."""

    @property
    def api_prefix(self) -> str: ...
    @property
    def client_blobs(self) -> ClientBlobs: ...


def blob_routes(server: HasBlobs) -> Iterator[Route]:
    """The routes of all blobs."""

    async def download(scope: Scope, receive: Receive, send: Send) -> None:
        data = local_data(scope["path_params"]["id"])
        was_taken = await send_blob(scope, receive, send, data)
        server.client_blobs.keep_on(data, until_resumed=not was_taken)

    async def upload(scope: Scope, receive: Receive, send: Send) -> None:
        data = await Upload(scope, server.client_blobs.limits).receive(receive)
        server.client_blobs.keep_upload(data)
        link = Blob(data).link()
        await send_json(send, pydantic_core.to_json(link), 201, [(b"location", link["href"].encode())])

    path = f"{server.api_prefix}/blob/"
    yield Route(f"{path}{{id}}", "GET", download)
    yield Route(path, "POST", upload)


async def send_blob(scope: Scope, receive: Receive, send: Send, data: BlobData) -> bool:
    """Answer a request with a blob's bytes, or as many of them as it asks for; and say whether the client took them.

    :raises BlobGoneError: if they are no longer there.
    """
    if not isinstance(data, LocalData):
        await send_nothing(send, 307, [(b"location", quote(str(data.url), safe=IN_URLS).encode())])
        return True
    headers = dict(scope["headers"])
    size, etag = await _run(data, lambda: (data.size, f'"{data.version}"'))
    answer = _headers(data, etag)
    if is_known(headers, etag):
        await send_nothing(send, 304, answer)
        return True
    part = wanted_range(headers, size, etag) if scope["method"] == "GET" else None  # RFC 9110: a part is for GET
    if part is not None:
        answer.append((b"content-range", b"bytes %d-%d/%d" % (part.start, part.stop - 1, size)))
    status, part = (200, ByteRange(0, size)) if part is None else (206, part)
    answer.append((b"content-length", b"%d" % (part.stop - part.start)))
    source = None if scope["method"] == "HEAD" else await _run(data, data.open)
    await send({"type": "http.response.start", "status": status, "headers": answer})
    if source is None or part.start == part.stop:
        await send({"type": "http.response.body", "body": b""})
    return source is None or await _send_part(receive, send, source, part, data)


async def _send_part(receive: Receive, send: Send, source: BinaryIO, part: ByteRange, data: LocalData) -> bool:
    """Send bytes as fast as the client takes them, and stop when it goes; say whether it has taken all."""
    left = part.stop - part.start
    with source:
        source.seek(part.start)
        async with _watching(receive) as has_gone:
            while left and not has_gone():
                chunk = await _read(data, source, min(CHUNK, left))
                if not chunk:
                    break  # without an end, so that the client knows that something is missing
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
    return not left


async def _read(data: LocalData, source: BinaryIO, size: int) -> bytes:
    try:
        chunk = await _run(data, source.read, size)
    except OSError as error:
        LOGGER.error("The blob '%s' could not be sent to its end: %s", data.name or data.id, error)
        return b""
    if not chunk:
        LOGGER.error("The blob '%s' could not be sent to its end: the file is shorter now.", data.name or data.id)
    return chunk


async def _run(data: LocalData, function: Callable[..., Result], *args: Any) -> Result:
    """Call a function that reads a blob: in a thread, unless the bytes are in memory."""
    return function(*args) if data.in_memory else await asyncio.to_thread(function, *args)


@asynccontextmanager
async def _watching(receive: Receive) -> AsyncIterator[Callable[[], bool]]:
    """Tell whether the client has gone."""
    watching = asyncio.create_task(disconnected(receive))
    try:
        yield watching.done
    finally:
        watching.cancel()


def _headers(data: LocalData, etag: str) -> Headers:
    return [
        (b"content-type", data.media_type.encode("latin-1", "replace")),
        (b"content-disposition", f"inline; filename*=UTF-8''{_file_name(data)}".encode()),
        (b"etag", etag.encode()),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"private, no-cache"),
        # what somebody has uploaded must not act in this server's name when a browser shows it
        (b"content-security-policy", b"sandbox"),
        (b"x-content-type-options", b"nosniff"),
    ]


def _file_name(data: LocalData) -> str:
    name = data.name or data.id + (mimetypes.guess_extension(data.media_type.partition(";")[0].strip()) or "")
    return quote(name, safe="", errors="replace")
