"""The Things that a client's messages are about."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import cached_property

from labthings.exceptions import NotFoundError, RequestError
from labthings.routes.thing_access import ThingAccess
from labthings.websockets.problems import remedy


class ThingFinder:
    """Finds Things by their names, or by the ids of their Thing Descriptions.

    :param things: all on the server, by name.
    :param identity: the server's.
    :param only: the one that the client's WebSocket is of; none if that is of the whole server.
    """

    def __init__(self, things: Mapping[str, ThingAccess], identity: uuid.UUID, only: ThingAccess | None) -> None:
        self._things, self._identity, self._only = things, identity, only

    def find(self, thing_id: object) -> ThingAccess:
        """The Thing that a message is about.

        :param thing_id: its ``thingID``; none if it has no such member.
        :raises NotFoundError: if there is no such Thing, or it is another than the WebSocket's.
        :raises RequestError: if the message must say which Thing it is about, and does not.
        """
        if thing_id is None and self._only is not None:
            return self._only
        if not isinstance(thing_id, str):
            raise RequestError(
                "The 'thingID' of a message must be a string: the `id` in a Thing Description, or the Thing's name. "
                "Only the WebSocket of a single Thing can do without it."
            )
        found = self._things.get(thing_id) or self._by_id.get(thing_id)
        if found is None:
            raise NotFoundError(f"There is no Thing '{thing_id}' on the server. {remedy(self._things)}")
        if self._only is not None and found is not self._only:
            raise NotFoundError(f"This is the WebSocket of '{self._only.served.name}', not of '{found.served.name}'.")
        return found

    def id_of(self, thing: ThingAccess) -> str:
        """The id in a Thing's description."""
        return uuid.uuid5(self._identity, thing.served.name).urn

    @property
    def own_id(self) -> str | None:
        """The id of the Thing that the WebSocket is of."""
        return None if self._only is None else self.id_of(self._only)

    @cached_property
    def _by_id(self) -> Mapping[str, ThingAccess]:
        return {self.id_of(each): each for each in self._things.values()}
