"""The JavaScript module with which web pages follow live state."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files

from labthings.routes.http import Receive, Route, Scope, Send, send_body, send_nothing
from labthings.routes.positions import known_tags

NAME = "labthings.js"


class JavaScript:
    """Answers with the module. Browsers ask each time whether it is another by now."""

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        all_headers = [
            *headers,
            (b"content-type", b"text/javascript; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"etag", f'"{self._tag}"'.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        if self._tag in known_tags(scope):
            await send_nothing(send, 304, all_headers)
        else:
            await send_body(send, self._module, 200, all_headers)

    @cached_property
    def _module(self) -> bytes:
        return (files("labthings.server") / NAME).read_bytes()

    @cached_property
    def _tag(self) -> str:
        return hashlib.sha256(self._module).hexdigest()[:16]


def javascript_route(prefix: str) -> Route:
    """The route of the module.

    :param prefix: what its path begins with.
    """
    return Route(f"{prefix}/{NAME}", "GET", JavaScript())
