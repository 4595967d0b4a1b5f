"""A server that was found on the network, as far as it can be believed."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import unquote, urlsplit

from labthings.thing_description.model import Affordance, ThingDescription

LONGEST_TEXT = 300
LONGEST_URL = 2000
HREFS_TO_TRY = 20
HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # what could move the cursor, turn text around, or end a line


@dataclass(frozen=True)
class FoundThing:
    """A Thing of a server that was found.

    :param url: give it to `ThingClient.from_url`.
    """

    name: str
    title: str
    description: str
    url: str


@dataclass(frozen=True)
class FoundServer:
    """A server that was found on the network.

    It is safe to print its texts; but what they say is up to whoever is there.

    :param name: how it calls itself on the network.
    :param url: where it is, ending in a slash; empty if it does not say that.
    :param things: its Things, as far as they are known.
    :param error: why they are not all known; empty if they are.
    """

    name: str
    url: str
    things: tuple[FoundThing, ...] = ()
    error: str = ""


def shown(text: Any, longest: int = LONGEST_TEXT) -> str:
    """A text that is safe to print, on one line and not too long; empty if it is no text."""
    if not isinstance(text, str):
        return ""
    line = " ".join(text[: longest + 1].split())
    clean = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(each) in HIDDEN else each for each in line)
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def is_web_url(url: str) -> bool:
    """Whether people and clients may be given a URL: it is of the web, and has nothing but plain characters."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def found_thing(description: ThingDescription, items: Collection[str], otherwise: str) -> FoundThing:
    """The Thing that a description is of.

    :param items: the URLs of Things that its directory has links to, each ending in a slash.
    :param otherwise: the URL of the description itself, for a Thing that has none of these.
    """
    item = next((each for each in _places(description) if each in items), None)
    title = shown(description.title)
    name = shown(unquote(urlsplit(item).path.rstrip("/").rpartition("/")[2])) if item else title
    return FoundThing(name or title or "?", title, shown(description.description), item or otherwise)


def _places(description: ThingDescription) -> Iterator[str]:
    """The URLs above those of the affordances."""
    for href in islice(_hrefs(description), HREFS_TO_TRY):
        for _ in range(3):  # an affordance, what belongs to it, and no more
            href = href.rpartition("/")[0]
            yield f"{href}/"


def _hrefs(description: ThingDescription) -> Iterator[str]:
    for affordances in (description.properties, description.actions, description.events):
        for affordance in affordances.values():
            yield from _hrefs_of(affordance, description)
    yield from _hrefs_of(description, description)


def _hrefs_of(affordance: Affordance, description: ThingDescription) -> Iterator[str]:
    return (description.resolve(form.href)[:LONGEST_URL] for form in affordance.forms)
