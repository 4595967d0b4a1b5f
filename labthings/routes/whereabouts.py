"""Where clients are in what happens, if they do not say so themselves."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from labthings.routes.connection import Connection
from labthings.routes.http import Scope

RETURN_SECONDS = 5.0  # in which a client that has closed its connection comes by another, for the next answer
MOST_EXPECTED = 1000

Look: TypeAlias = tuple[str, bytes]


class Whereabouts:
    """Remembers up to where each client of one resource has been told.

    A client is known by its connection. One that closes its connection after each answer, as node-wot and wotpy do, is
    known by its address and ``User-Agent``, and expected to come back soon. Clients that look the same take the places
    of each other, the newest first.
    """

    def __init__(self) -> None:
        self._connected: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._expected: deque[_Expected] = deque(maxlen=MOST_EXPECTED)

    def note(self, scope: Scope, connection: Connection, number: int) -> None:
        """Remember that the client of a request has been told of everything up to a number."""
        look = _look_of_closing(scope)
        if look is None:
            self._connected[connection.identity] = number
        else:
            self._expected.append(_Expected(look, number, time.monotonic() + RETURN_SECONDS))

    def recall(self, scope: Scope, connection: Connection) -> int | None:
        """Up to where the client of a request has been told, if that is known."""
        look = _look_of_closing(scope)
        if look is None:
            return self._connected.get(connection.identity)
        now = time.monotonic()
        found = next((each for each in reversed(self._expected) if each.look == look and each.until > now), None)
        if found is None:
            return None
        self._expected.remove(found)
        return found.number


class _Expected(NamedTuple):
    look: Look
    number: int
    until: float


def _look_of_closing(scope: Scope) -> Look | None:
    """What a client looks like that closes the connection of this request; none if it keeps it."""
    headers = dict(scope["headers"])
    if b"close" not in headers.get(b"connection", b"").lower():
        return None
    host, _ = scope.get("client") or ("", 0)
    return host, headers.get(b"user-agent", b"")
