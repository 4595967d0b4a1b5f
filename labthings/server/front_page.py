"""The page for people who open the server's own address in a web browser."""

from __future__ import annotations

import html
import platform
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Protocol
from urllib.parse import quote

from labthings.endpoints import EndpointDescriptor
from labthings.problem_details import printable, text_of
from labthings.routes.http import Handler, Receive, Scope, Send, accepted
from labthings.routes.served_thing import ServedThing
from labthings.server.version import labthings_version

CONTENT_SECURITY_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", CONTENT_SECURITY_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"vary", b"Accept"),
)


class ShownThing(ServedThing, Protocol):
    """A Thing whose failure can be told."""

    @property
    def error(self) -> BaseException | None: ...
    @property
    def endpoints(self) -> Mapping[str, EndpointDescriptor[..., Any]]: ...


class Shown(Protocol):
    """A server, as far as the page goes."""

    @property
    def api_prefix(self) -> str: ...
    @property
    def served_things(self) -> Mapping[str, ShownThing]: ...


def with_front_page(server: Shown, otherwise: Handler) -> Handler:
    """Answer people who ask for the server itself with a page.

    :param otherwise: answers everybody and everything else.
    """
    places = {"", "/", server.api_prefix, f"{server.api_prefix}/"}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _path(scope) in places and _is_for_people(scope):
            await _send(scope, send, front_page(server, quote(scope.get("root_path", ""))).encode())
        else:
            await otherwise(scope, receive, send)

    return answer


def front_page(server: Shown, root: str) -> str:
    """The page, as HTML that needs nothing from the network.

    :param root: the path at which the client reaches the server, without a slash at the end.
    """
    things = server.served_things.values()
    return _template().substitute(
        computer=_escaped(platform.node() or "this computer"),
        summary=f"{len(things)} Thing{'' if len(things) == 1 else 's'}.",
        things="\n".join(_thing(each, root) for each in things),
        root=_escaped(root),
        prefix=_escaped(server.api_prefix),
        version=_escaped(labthings_version()),
    )


def _thing(thing: ShownThing, root: str) -> str:
    links = [f'<a href="{_escaped(root + thing.path)}">description</a>']
    links += [
        f'<a href="{_escaped(f"{root}{thing.path}{name}/viewer")}">watch {_escaped(name)}</a>' for name in thing.streams
    ]
    pages = (each for each in thing.endpoints.values() if each.is_page)
    links += [f'<a href="{_escaped(root + thing.path + each.path)}">{_escaped(each.title)}</a>' for each in pages]
    return "\n".join(["<li>", *_paragraphs(thing), f"<p>{' · '.join(links)}</p>", "</li>"])


def _paragraphs(thing: ShownThing) -> Iterator[str]:
    yield f'<h2>{_escaped(thing.name)}</h2><span class="state {_escaped(thing.state)}">{_escaped(thing.state)}</span>'
    yield f"<p>{_escaped(thing.description or thing.title)}</p>"
    if thing.error is not None:
        yield f'<p class="failed">{_escaped(f"{type(thing.error).__name__}: {text_of(thing.error)}")}</p>'


async def _send(scope: Scope, send: Send, body: bytes) -> None:
    headers = [*HEADERS, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})


def _path(scope: Scope) -> str:
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _is_for_people(scope: Scope) -> bool:
    """Whether a web browser asks, or something else that mentions HTML before JSON."""
    if scope["method"] not in ("GET", "HEAD"):
        return False
    first = next((each for each in accepted(scope) if "html" in each or "json" in each), "")
    return "html" in first


def _escaped(text: str) -> str:
    return html.escape(printable(text))


@cache
def _template() -> Template:
    return Template((files("labthings.server") / "front_page.html").read_text(encoding="utf-8"))
