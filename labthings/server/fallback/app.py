"""The web application that has one answer to everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labthings.problem_details import MEDIA_TYPE, problem_details
from labthings.routes.http import JSON, Headers, Receive, Scope, Send, accepted
from labthings.server.fallback.failure import Failure
from labthings.server.fallback.page import CONTENT_SECURITY_POLICY, page

PROBE = "/labthings_fallback"
HTML = (b"content-type", b"text/html; charset=utf-8")
PROBLEM = (b"content-type", MEDIA_TYPE.encode())


class FallbackApp:
    """Answers every request with why the server could not start: as a page, or as JSON to those who ask for that.

    Pages of other sites cannot read it: no answer permits them to.

    :param failure: why.
    """

    def __init__(self, failure: Failure) -> None:
        problem = replace(problem_details(failure.cause, failure.debug), status=500)
        self._page, self._problem = page(failure).encode(), problem.to_json()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _answer(scope, send, *self._answer_to(scope))
        elif scope["type"] == "websocket":
            await self._refuse(scope, receive, send)

    def _answer_to(self, scope: Scope) -> tuple[int, tuple[bytes, bytes], bytes]:
        if scope["path"] == PROBE and scope["method"] in ("GET", "HEAD"):
            return 200, JSON, b"true"
        return (500, PROBLEM, self._problem) if _wants_json(scope) else (500, HTML, self._page)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close"})
            return
        headers = _headers(PROBLEM, self._problem)
        await send({"type": "websocket.http.response.start", "status": 500, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": self._problem})


async def _answer(scope: Scope, send: Send, status: int, media_type: tuple[bytes, bytes], body: bytes) -> None:
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": _headers(media_type, body)}
    await send(start)
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _headers(media_type: tuple[bytes, bytes], body: bytes) -> Headers:
    return [
        media_type,
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", CONTENT_SECURITY_POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"vary", b"Accept"),
    ]


def _wants_json(scope: Scope) -> bool:
    """Whether the client mentions a kind of JSON before it mentions HTML, if it does that."""
    for media_type in accepted(scope):
        if media_type.startswith("text/html"):
            return False
        if media_type == "application/json" or media_type.endswith("+json"):
            return True
    return False
