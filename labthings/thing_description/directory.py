"""The Thing that lists a server's Things, as W3C's WoT Discovery has it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labthings.exceptions import InvalidValueError
from labthings.thing_description.build import CONTEXT, SECURITY
from labthings.thing_description.forms import PROBLEM, absolute_url
from labthings.types.media_types import JSON

DISCOVERY_CONTEXT = "https://www.w3.org/2022/wot/discovery"
THING_DESCRIPTION = "application/td+json"


def build_directory_description(
    base: str, identity: uuid.UUID, things: Mapping[str, str], prefix: str = ""
) -> dict[str, Any]:
    """Describe a server's directory of Things.

    :param base: the server's URL as the client sees it, root path included, ending in a slash.
    :param things: the absolute URL of each Thing's description, by the Thing's name.
    :param prefix: the path that the directory is served under, such as ``/api``.
    """
    return {
        "@context": [*CONTEXT[:2], DISCOVERY_CONTEXT, *CONTEXT[2:]],
        "@type": ["Thing", "ThingDirectory"],
        "id": identity.urn,
        "title": "LabThings server directory",
        "base": base,
        **SECURITY,
        "links": [{"rel": "item", "type": THING_DESCRIPTION, "href": href} for href in things.values()],
        "properties": {"things": _things(absolute_url(base, f"{prefix}/things"))},
        "actions": {"retrieveThing": _retrieve_thing(absolute_url(base, f"{prefix}/things/"))},
    }


@dataclass(frozen=True)
class DirectoryPage:
    """Some of a directory's Thing Descriptions; ``next_offset`` is where those after it start, if there are any."""

    thing_descriptions: list[dict[str, Any]]
    next_offset: int | None


def directory_page(
    thing_descriptions: Iterable[dict[str, Any]], offset: int = 0, limit: int | None = None
) -> DirectoryPage:
    """Take at most ``limit`` Thing Descriptions in order of their ids, leaving out the first ``offset``.

    :raises InvalidValueError: if ``offset`` is negative or ``limit`` is not positive.
    """
    if offset < 0 or (limit is not None and limit < 1):
        raise InvalidValueError(f"No page starts at offset {offset} with limit {limit}: use 0 or more and 1 or more.")
    ordered = sorted(thing_descriptions, key=lambda description: str(description["id"]))
    end = len(ordered) if limit is None else offset + limit
    return DirectoryPage(ordered[offset:end], end if end < len(ordered) else None)


def _things(url: str) -> dict[str, Any]:
    return {
        "description": "Retrieve all Thing Descriptions",
        "readOnly": True,
        "observable": False,
        "type": "array",
        "items": {"type": "object"},
        "uriVariables": {"offset": {"type": "number", "default": 0}, "limit": {"type": "number"}},
        "forms": [_get("readproperty", url + "{?offset,limit}", "application/ld+json", 400)],
    }


def _retrieve_thing(url: str) -> dict[str, Any]:
    return {
        "safe": True,
        "idempotent": True,
        "synchronous": True,
        "uriVariables": {"id": {"type": "string", "format": "iri-reference"}},
        "output": {"type": "object"},
        "forms": [_get("invokeaction", url + "{id}", THING_DESCRIPTION, 404)],
    }


def _get(operation: str, href: str, content_type: str, failure: int) -> dict[str, Any]:
    return {
        "href": href,
        "op": [operation],
        "htv:methodName": "GET",
        "contentType": JSON,
        "response": {"contentType": content_type, "htv:statusCodeValue": 200},
        "additionalResponses": [{"success": False, "contentType": PROBLEM, "htv:statusCodeValue": failure}],
    }
