"""The affordances of one Thing on a server, as every way to reach them shares them."""

from __future__ import annotations

from collections.abc import Mapping

from labthings.client_blobs import ClientBlobs
from labthings.message_broker import MessageBroker
from labthings.routes.all_properties import AllProperties
from labthings.routes.live_property_access import LivePropertyAccess
from labthings.routes.property_access import PropertyAccess
from labthings.routes.property_watch import PropertyWatch
from labthings.routes.served_thing import ServedThing
from labthings.workers import LoopCalls


class ThingAccess:
    """Reads and writes the properties of a Thing, and looks out for changes while they are observed.

    :param served: the Thing.
    :param broker: knows who observes what.
    :param calls: how threads call back to the event loop.
    :param blobs: keeps the blobs to which there are links in what observers are told.
    """

    def __init__(self, served: ServedThing, broker: MessageBroker, calls: LoopCalls, blobs: ClientBlobs) -> None:
        self.served = served
        self.properties: Mapping[str, PropertyAccess] = {
            name: (LivePropertyAccess if info.is_live else PropertyAccess)(served, info, calls)
            for name, info in served.properties.items()
        }
        self.everything = AllProperties(served, self.properties)
        for access in self.properties.values():
            if access.info.is_observable and not access.info.is_data:
                access.watch = PropertyWatch(access, broker, served.name, blobs.keep_mentioned)
                broker.watch(served.name, access.info.name, access.watch)
