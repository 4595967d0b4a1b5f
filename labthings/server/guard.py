"""Who may talk to the server: web pages of other sites may not, unless the configuration names them."""

from __future__ import annotations

import logging
from collections.abc import Collection, MutableMapping
from typing import Any

from labthings.exceptions import ForbiddenOriginError
from labthings.routes.http import Headers, Scope, Send

LOGGER = logging.getLogger(__name__)
MOST_LOGGED = 100  # sites whose refusal is logged, once each: whoever invents names must not fill the disk
LONGEST_LOGGED = 200  # characters
METHODS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
PREFLIGHT_SECONDS = b"600"
EXPOSED = (
    b"Location, Preference-Applied, ETag, Link, Accept-Ranges, Content-Range, Content-Disposition, "
    b"Array-DType, Array-Shape, Messages-Lost"
)


class Guard:
    """Refuses requests that a web browser makes for a page of another site.

    :param allowed_origins: the sites whose pages may make requests, as in ``"http://panel.local:8080"``; ``"*"`` for
        all of them.
    :param where: what to add a site to, to have it allowed.
    """

    def __init__(
        self, allowed_origins: Collection[str], where: str = "`allowed_origins` in the server's configuration"
    ) -> None:
        self._where = where
        self._allowed = frozenset(origin.rstrip("/").lower().encode("latin-1") for origin in allowed_origins)
        self._logged: set[str] = set()

    def foreign_origin(self, scope: Scope) -> bytes | None:
        """The other site whose page makes the request, if one does and may.

        :raises ForbiddenOriginError: if one does and may not.
        """
        origin = host = None
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name == b"host":
                host = value
        if origin is None or self._is_own(scope, origin, host):
            return None
        if b"*" in self._allowed or origin.lower() in self._allowed:
            return bytes(origin)
        self._log(origin.decode("latin-1")[:LONGEST_LOGGED], scope)
        raise ForbiddenOriginError(
            f"Web pages of {origin.decode('latin-1')} may not use this server. To let them, add that to {self._where}."
        )

    def _log(self, origin: str, scope: Scope) -> None:
        """Say so once for each site."""
        if origin in self._logged or len(self._logged) == MOST_LOGGED:
            return
        self._logged.add(origin)
        LOGGER.warning(
            "A web page of %r was refused %.200r, asked for by %s. If it is one of yours, add the site to %s. "
            "This is logged once for each site%s.",
            origin,
            scope["path"],
            (scope.get("client") or ("an unknown address",))[0],
            self._where,
            ", and this was the last: there are too many" if len(self._logged) == MOST_LOGGED else "",
        )

    def _is_own(self, scope: Scope, origin: bytes, host: bytes | None) -> bool:
        scheme = str(scope["scheme"]).replace("ws", "http")
        return host is not None and origin.lower() == b"%b://%b" % (scheme.encode(), host.lower())


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks beforehand what a page of another site may do."""
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


def preflight_headers(scope: Scope, origin: bytes) -> Headers:
    """The answer to that."""
    asked = next((value for name, value in scope["headers"] if name == b"access-control-request-headers"), b"")
    return [
        *_permission(origin),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", asked),
        (b"access-control-max-age", PREFLIGHT_SECONDS),
    ]


def permitting(send: Send, origin: bytes) -> Send:
    """Send answers that let a page of another site read them."""

    async def send_permitted(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            exposed = (b"access-control-expose-headers", EXPOSED)
            message = {**message, "headers": [*message.get("headers", ()), *_permission(origin), exposed]}
        await send(message)

    return send_permitted


def _permission(origin: bytes) -> Headers:
    return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
