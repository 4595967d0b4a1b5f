"""Where a Thing Description says that requests go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit, urlunsplit

from labthings.thing_description.model import Affordance, Form, ThingDescription

WEB_THING_PROTOCOL = "webthingprotocol"  # the subprotocol of WebSockets that serve all of a Thing
BLOBS = "urn:labthings:rel:blobs"  # the relation of a Thing to where blobs are uploaded


@dataclass(frozen=True)
class Target:
    """A request that carries out an operation."""

    method: str
    url: str


class Addresses:
    """The URLs in a Thing Description, made absolute.

    A server behind a proxy may not know by which address clients reach it. So if the description was found at a URL
    that ends in the Thing's path, everything beneath its ``base`` is sought at the same address.

    :param found_at: the URL of the description.
    """

    def __init__(self, description: ThingDescription, found_at: str) -> None:
        self._told = urljoin(found_at, description.base or "")
        parts = urlsplit(found_at)
        self._found_at = urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/", query="", fragment=""))
        self._reached = self._find_base(description)
        link = next((each.href for each in description.links if each.rel == BLOBS), None)
        self.blobs = None if link is None else self.absolute(link)
        """Where blobs are uploaded, if they can be."""

    def absolute(self, href: str, relative_to: str | None = None) -> str:
        """Make an ``href`` absolute.

        :param relative_to: the URL of the document that contains it, if that is not the description.
        """
        url = urljoin(relative_to or self._told, href)
        return self._reached + url[len(self._told) :] if url.startswith(self._told) else url

    def target(self, affordance: Affordance, operation: str, method: str) -> Target | None:
        """The request for an operation, by the first form that says how to make it over HTTP with JSON.

        :param method: the HTTP method, where the form does not say.
        """
        for form in affordance.forms_for(operation):
            url = self.absolute(form.href)
            if urlsplit(url).scheme in {"http", "https"} and _is_plain(form):
                return Target(form.method or method, url)
        return None

    def socket(self, description: ThingDescription) -> str | None:
        """The URL of the WebSocket on which the Web Thing Protocol is spoken, if there is one."""
        affordances = (description, *description.properties.values(), *description.events.values())
        forms = (form for each in affordances for form in each.forms if form.subprotocol == WEB_THING_PROTOCOL)
        return next((self._socket(form.href) for form in forms), None)

    def is_same_server(self, url: str) -> bool:
        """Whether something is on the server where the description was found."""
        return urlsplit(url)[:2] == urlsplit(self._found_at)[:2]

    def has_blob(self, url: str) -> bool:
        """Whether a blob is on the server. One that does not tell where its blobs are is believed to have all there."""
        return self.is_same_server(url) if self.blobs is None else url.startswith(self.blobs)

    def _socket(self, href: str) -> str:
        """Make the address of a WebSocket absolute. On the same server, it is as secure as requests are."""
        url = urljoin(self._told, href)
        told = urlsplit(self._told)
        if urlsplit(url).netloc == told.netloc:
            url = urlunsplit(urlsplit(url)._replace(scheme=told.scheme))
        return re.sub("^http", "ws", self.absolute(url))

    def _find_base(self, description: ThingDescription) -> str:
        for href in _hrefs(description):
            url = urljoin(self._told, href)
            folder = url[len(self._told) :].rpartition("/")[0]
            if folder and url.startswith(self._told) and self._found_at.endswith(f"/{folder}/"):
                return self._found_at.removesuffix(f"{folder}/")
        return self._told


def _hrefs(description: ThingDescription) -> Iterator[str]:
    for affordance in (*description.properties.values(), *description.actions.values()):
        yield from (form.href for form in affordance.forms)


def _is_plain(form: Form) -> bool:
    media_type = form.content_type.partition(";")[0].strip()
    is_json = media_type == "application/json" or media_type.endswith("+json")
    return is_json and form.subprotocol is None and "{" not in form.href
