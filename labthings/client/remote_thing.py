"""A Thing on a server, as its Thing Description tells of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from typing_extensions import Self

from labthings.client.addresses import Addresses
from labthings.client.blobs import Blobs
from labthings.client.connection import Connection, from_json
from labthings.client.live_property import LiveProperty
from labthings.client.remote_action import RemoteAction
from labthings.client.remote_property import RemoteProperty
from labthings.client.topic import ObservedProperty, SubscribedEvent
from labthings.exceptions import (
    ClientPropertyError,
    FailedToInvokeActionError,
    FailedToSubscribeError,
    ThingUnavailableError,
    UnobservableClientPropertyError,
)
from labthings.http_client import Response
from labthings.problem_reports import checked
from labthings.suggestions import did_you_mean
from labthings.thing_description.model import ThingDescription

STREAM = "multipart/x-mixed-replace"
ACCEPT = {"accept": "application/td+json, application/json"}


class RemoteThing:
    """The properties and actions of a Thing on a server, and the URLs of its streams.

    :param description: its Thing Description.
    :param found_at: where that was found, as the HTTP client has it.
    """

    def __init__(self, description: ThingDescription, found_at: Any, connection: Connection) -> None:
        self.description, self.connection, self.url = description, connection, str(found_at)
        self.name = _name(description, self.url)
        logger = logging.getLogger(f"labthings.client.{self.name}")
        addresses, url_type = Addresses(description, self.url), type(found_at)
        streams = [addresses.absolute(link.href) for link in description.links if link.type == STREAM]
        self.socket = addresses.socket(description)
        self.streams = {url.rpartition("/")[2]: url for url in streams}
        self.properties = {
            name: RemoteProperty(f"{self.name}.{name}", each, addresses, connection, url_type)
            for name, each in description.properties.items()
        }
        self.actions = {
            name: RemoteAction(f"{self.name}.{name}", each, addresses, connection, url_type, logger)
            for name, each in description.actions.items()
        }

        self.events = description.events
        self._blobs = Blobs(addresses, connection)

    @classmethod
    async def at(cls, url: str, connection: Connection) -> Self:
        """Read the Thing Description at ``url``.

        :raises ThingUnavailableError: if there is none.
        """
        response = await _request(connection, url)
        if response.status_code == 404 and not url.endswith("/"):
            response = await _request(connection, f"{url}/")
        response = checked(response, ThingUnavailableError, f"Reading a Thing Description from {url}")
        return cls(_parse(response, url), response.url, connection)

    def property(self, name: str) -> RemoteProperty:
        """One of the properties.

        :raises ClientPropertyError: if there is none of that name.
        """
        if name not in self.properties:
            raise ClientPropertyError(f"{self.name} has no property '{name}'.{did_you_mean(name, self.properties)}")
        return self.properties[name]

    def action(self, name: str) -> RemoteAction:
        """One of the actions.

        :raises FailedToInvokeActionError: if there is none of that name.
        """
        if name not in self.actions:
            raise FailedToInvokeActionError(f"{self.name} has no action '{name}'.{did_you_mean(name, self.actions)}")
        return self.actions[name]

    def observed(self, name: str) -> ObservedProperty:
        """One of the properties, to be observed.

        :raises ClientPropertyError: if there is none of that name, or it cannot be observed.
        """
        remote, affordance = self._followed(name), self.description.properties[name]
        label = f"{self.name}.{name}"
        if not affordance.observable and not affordance.forms_for("observeproperty"):
            raise UnobservableClientPropertyError(
                f"{label} cannot be observed: the server does not tell of its changes. Read it now and then."
            )
        return ObservedProperty(name, label, remote.received, not affordance.write_only)

    def live(self, name: str, model: type[BaseModel] | None) -> LiveProperty:
        """One of the properties, to be followed as live state.

        :param model: what to make of the state.
        :raises ClientPropertyError: if there is none of that name.
        """
        self._followed(name)
        return LiveProperty(name, f"{self.name}.{name}", model)

    def subscribed(self, name: str) -> SubscribedEvent:
        """One of the events, to be subscribed to.

        :raises FailedToSubscribeError: if there is none of that name.
        """
        if name in self.properties:
            raise FailedToSubscribeError(f"{self.name}.{name} is a property. Use `observe({name!r})`.")
        if name not in self.events:
            raise FailedToSubscribeError(f"{self.name} has no event '{name}'.{did_you_mean(name, self.events)}")
        return SubscribedEvent(name, f"{self.name}.{name}", self._data)

    def _followed(self, name: str) -> RemoteProperty:
        if name in self.events:
            raise ClientPropertyError(f"{self.name}.{name} is an event. Use `subscribe({name!r})`.")
        if name in self.actions:
            raise ClientPropertyError(f"{self.name}.{name} is an action, which cannot be observed. Call it.")
        if name in self.streams:
            page = f"{self.streams[name]}/viewer"
            raise ClientPropertyError(f"{self.name}.{name} is a stream: see {page} in a web browser.")
        return self.property(name)

    def _data(self, value: Any, text: str) -> Any:
        return self._blobs.told(value, text, self.url)


async def _request(connection: Connection, url: str) -> Response:
    attempt = f"Reading a Thing Description from {url}"
    return await connection.send("GET", url, attempt, ThingUnavailableError, headers=ACCEPT, follow_redirects=True)


def _parse(response: Response, url: str) -> ThingDescription:
    document = from_json(response, ThingUnavailableError, f"Reading a Thing Description from {url}")
    if not isinstance(document, Mapping) or not document.keys() & {"@context", "properties", "actions"}:
        raise ThingUnavailableError(f"{url} is not the URL of a Thing: what is there is not a Thing Description.")
    try:
        return ThingDescription.model_validate(document)
    except ValidationError as error:
        raise ThingUnavailableError(f"The Thing Description at {url} is wrong: {error}") from error


def _name(description: ThingDescription, url: str) -> str:
    """Its name on the server, which is the last part of its URL; otherwise its title."""
    name = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    return name if re.fullmatch(r"[\w-]+", name) else re.sub(r"[^\w-]+", "_", description.title or "thing")
