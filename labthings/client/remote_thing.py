"""A Thing on a server, as its Thing Description tells of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from typing_extensions import Self

from labthings.client.addresses import Addresses
from labthings.client.connection import Connection, from_json
from labthings.client.remote_action import RemoteAction
from labthings.client.remote_property import RemoteProperty
from labthings.exceptions import ClientPropertyError, FailedToInvokeActionError, ThingUnavailableError
from labthings.http_client import HTTPClient, Response
from labthings.problem_reports import checked
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
        self.streams = {url.rpartition("/")[2]: url for url in streams}
        self.properties = {
            name: RemoteProperty(f"{self.name}.{name}", each, addresses, connection, url_type)
            for name, each in description.properties.items()
        }
        self.actions = {
            name: RemoteAction(f"{self.name}.{name}", each, addresses, connection, url_type, logger)
            for name, each in description.actions.items()
        }

    @classmethod
    def at(cls, url: str, client: HTTPClient | None = None) -> Self:
        """Read the Thing Description at ``url``.

        :param client: makes the requests; by default, one is opened.
        :raises ThingUnavailableError: if there is none.
        """
        connection = Connection(client)
        response = _request(connection, url)
        if response.status_code == 404 and not url.endswith("/"):
            response = _request(connection, f"{url}/")
        response = checked(response, ThingUnavailableError, f"Reading a Thing Description from {url}")
        return cls(_parse(response, url), response.url, connection)

    def property(self, name: str) -> RemoteProperty:
        """One of the properties.

        :raises ClientPropertyError: if there is none of that name.
        """
        if name not in self.properties:
            raise ClientPropertyError(f"{self.name} has no property '{name}'.{suggestion(name, self.properties)}")
        return self.properties[name]

    def action(self, name: str) -> RemoteAction:
        """One of the actions.

        :raises FailedToInvokeActionError: if there is none of that name.
        """
        if name not in self.actions:
            raise FailedToInvokeActionError(f"{self.name} has no action '{name}'.{suggestion(name, self.actions)}")
        return self.actions[name]


def suggestion(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the name that was meant, if there is one like it."""
    from difflib import get_close_matches

    matches = get_close_matches(name, known, n=1)
    return f" Did you mean '{matches[0]}'?" if matches else ""


def _request(connection: Connection, url: str) -> Response:
    attempt = f"Reading a Thing Description from {url}"
    return connection.send("GET", url, attempt, ThingUnavailableError, headers=ACCEPT, follow_redirects=True)


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
