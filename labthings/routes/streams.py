"""Streams of JPEG frames over HTTP, and a page to watch them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import anyio

from labthings.exceptions import StreamEndedError
from labthings.outputs.mjpeg_stream import MJPEGStream, MJPEGStreamInfo, RingbufferEntry
from labthings.routes.http import Headers, Receive, Route, Scope, Send, send_body
from labthings.routes.served_thing import ServedThing
from labthings.routes.watching import body_part, while_watched

BYTES_PER_SECOND = 250e6  # of all clients of a stream together: twice what Gigabit Ethernet carries
SHORTEST_SLEEP, LONGEST_CREDIT = 0.001, 0.01  # seconds: event loops sleep a little too long, which is made up for
START = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"


def stream_routes(served: ServedThing) -> Iterator[Route]:
    """The routes of all streams of a Thing."""
    for info in served.streams.values():
        yield from _routes(served, info)


def _routes(served: ServedThing, info: MJPEGStreamInfo) -> Iterator[Route]:
    feed = _Feed()

    async def watch(scope: Scope, receive: Receive, send: Send) -> None:
        served.require_running()
        stream = info.stream
        with stream.viewed() as ended:
            await send({"type": "http.response.start", "status": 200, "headers": _stream_headers()})
            if scope["method"] == "HEAD":
                await send(body_part(b"", more=False))
            else:
                await while_watched(_send_frames(stream, feed, send), receive, ended)

    async def show_page(scope: Scope, receive: Receive, send: Send) -> None:
        served.require_running()
        await send_body(send, _viewer_page(served, info), 200, _page_headers())

    path = served.path + info.name
    yield Route(path, "GET", watch)
    yield Route(f"{path}/viewer", "GET", show_page)


async def _send_frames(stream: MJPEGStream, feed: _Feed, send: Send) -> None:
    """Send the newest frame whenever the client is ready for one, and in the end say that there are no more."""
    await send(body_part(START))
    newest = -1
    with suppress(StreamEndedError):
        while True:
            await send(body_part(b""))  # nothing, but it waits until the client has taken what was sent before
            await stream.next_entry(after=newest)
            await feed.turn()
            entry = await stream.next_entry(after=newest)  # which may be another by now
            newest = entry.index
            await send(feed.part(entry))
    await send(body_part(b"", more=False))


class _Feed:
    """What all clients of a stream share: each frame as a part of the response, and who may send when.

    First come, first served: after a frame, a client is behind those that are waiting for one.

    A reader in the same computer may take longer to read than it takes to send. What is sent faster than a network
    could carry only piles up in its socket, where it grows old, and keeps the others from being read.
    """

    def __init__(self) -> None:
        self._entry: RingbufferEntry | None = None
        self._part = body_part(b"")
        self._queue = anyio.Lock(fast_acquire=True)  # unlike that of asyncio, it works in any event loop
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait until a frame may be sent."""
        async with self._queue:
            seconds = self._free_at - asyncio.get_running_loop().time()
            if seconds >= SHORTEST_SLEEP:
                await asyncio.sleep(seconds)

    def part(self, entry: RingbufferEntry) -> MutableMapping[str, Any]:
        """A frame as a message to send now. It is made once."""
        earliest = asyncio.get_running_loop().time() - LONGEST_CREDIT
        self._free_at = max(self._free_at, earliest) + len(entry.frame) / BYTES_PER_SECOND
        if entry is not self._entry:
            self._entry, self._part = entry, body_part(_part(entry))
        return self._part


def _part(entry: RingbufferEntry) -> bytes:
    # the start of the next part follows at once, as Chromium shows a frame when it has seen the next one's headers
    tail = "\r\n--frame\r\nContent-Type: image/jpeg\r\nX-Previous-Timestamp: {}\r\nX-Previous-Index: {}\r\n\r\n"
    return entry.frame + tail.format(entry.timestamp.isoformat(), entry.index).encode()


def _stream_headers() -> Headers:
    return [
        (b"content-type", b"multipart/x-mixed-replace; boundary=frame"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # or else nginx, as a proxy, would collect frames
        (b"x-timestamp", datetime.now(timezone.utc).isoformat().encode()),
    ]


def _viewer_page(served: ServedThing, info: MJPEGStreamInfo) -> bytes:
    words = {"thing": served.name, "class": served.title, "stream": info.name, "title": info.title}
    page = _template()
    for name, text in {**words, "description": info.description or ""}.items():
        page = page.replace("{{" + name + "}}", escape(text))
    return page.encode()


@cache
def _template() -> str:
    return Path(__file__).with_name("viewer.html").read_text(encoding="utf-8")


def _page_headers() -> Headers:
    policy = (
        b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
    )
    return [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", policy),
    ]
