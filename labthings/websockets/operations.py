"""What clients can ask for in the Web Thing Protocol."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Protocol

from labthings.client_blobs import ClientBlobs
from labthings.routes.served_thing import ServedThings
from labthings.routes.thing_access import ThingAccess
from labthings.websockets.action_operations import ActionOperations
from labthings.websockets.answers import Methods, Texts
from labthings.websockets.event_operations import EventOperations
from labthings.websockets.property_operations import PropertyOperations
from labthings.websockets.requests import Request
from labthings.websockets.subscriptions import Subscriptions


class SocketServer(ServedThings, Protocol):
    """A server, as far as WebSockets know it."""

    @property
    def accesses(self) -> Mapping[str, ThingAccess]: ...
    @property
    def client_blobs(self) -> ClientBlobs: ...
    @property
    def identity(self) -> uuid.UUID: ...


class Operations:
    """Does what one client asks for.

    :param server: the Things' server.
    :param subscriptions: the client's.
    """

    def __init__(self, server: SocketServer, subscriptions: Subscriptions) -> None:
        self._methods: Methods = {
            **PropertyOperations(subscriptions, server.message_broker.epoch).methods,
            **ActionOperations(subscriptions, server.action_manager).methods,
            **EventOperations(subscriptions, server.message_broker).methods,
        }

    async def perform(self, request: Request) -> Texts:
        """Do what a request asks for, and give what to send: the response, and what follows at once."""
        request.thing.served.require_running()
        return await self._methods[request.operation](request)
