"""Positions: how clients say from where they want to go on, such as ``1f3a90c2-41``.

The first part is the server's epoch, which tells one run of it from another. The second is a number that counts up.
"""

from __future__ import annotations

import re

from labthings.routes.http import Scope, query

_POSITION = re.compile(r"([0-9a-f]+)-([0-9]{1,18})")
_ENTITY_TAG = re.compile(r'"([^"]*)"')
_LONGEST_QUOTE = 60


def position_of(epoch: str, number: int) -> str:
    """A position as text."""
    return f"{epoch}-{number}"


def number_in_position(position: str, epoch: str) -> int | None:
    """The number in a position, if it is one of this run of the server."""
    found = _POSITION.fullmatch(position)
    return int(found[2]) if found and found[1] == epoch else None


def last_event_id(scope: Scope) -> str | None:
    """What a client of server-sent events has got last, by ``Last-Event-ID`` or ``?lastEventId=``, if it says that."""
    for name, value in scope["headers"]:
        if name == b"last-event-id" and value:
            return str(value.decode("latin-1"))
    return query(scope).get("lastEventId") or None if b"lastEventId" in scope["query_string"] else None


def known_tags(scope: Scope) -> list[str]:
    """The entity tags in ``If-None-Match``, if a request has some; those that make no sense are empty."""
    tags: list[str] = []
    for name, value in scope["headers"]:
        if name == b"if-none-match" and value.strip() != b"*":
            tags.extend(_ENTITY_TAG.findall(value.decode("latin-1")) or [""])
    return tags


def unknown(position: str) -> str:
    """What to tell a client whose position is not one of this run of the server."""
    shown = position if len(position) <= _LONGEST_QUOTE else f"{position[:_LONGEST_QUOTE]}..."
    return (
        f"'{shown}' is not a position in this run of the server, which may have been restarted. "
        "So it is not known what was missed."
    )
