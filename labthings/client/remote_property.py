"""A property of a Thing on a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import pydantic_core

from labthings.client.addresses import Addresses, Target
from labthings.client.binary_forms import BinaryForms, value_of
from labthings.client.blobs import Blobs
from labthings.client.connection import Connection
from labthings.client.moment import StateVersion
from labthings.exceptions import ClientPropertyError, ReadOnlyClientPropertyError
from labthings.problem_reports import checked
from labthings.state import Operation
from labthings.thing_description.model import PropertyAffordance
from labthings.types.media_types import NPY

JSON_HEADERS = {"content-type": "application/json"}
PATCH_HEADERS = {"content-type": "application/json-patch+json"}

AnyOperation: TypeAlias = Mapping[str, Any] | Operation


class RemoteProperty:
    """Reads and writes a property.

    :param label: the names of the Thing and the property.
    :param url_type: what the HTTP client makes of URLs, to be made once instead of for each request.
    """

    def __init__(
        self,
        label: str,
        affordance: PropertyAffordance,
        addresses: Addresses,
        connection: Connection,
        url_type: type[Any],
    ) -> None:
        self._label = label
        self._connection, self._blobs = connection, Blobs(addresses, connection)
        reading = None if affordance.write_only else addresses.target(affordance, "readproperty", "GET")
        writing = None if affordance.read_only else addresses.target(affordance, "writeproperty", "PUT")
        self._read_forms = BinaryForms.of_property(affordance, "readproperty", addresses, reading)
        self._write_forms = BinaryForms.of_property(affordance, "writeproperty", addresses, writing)
        self._read_method, self._read_url = _request(reading, url_type)
        self._write_method, self._write_url = _request(writing, url_type)
        self._reading = f"Reading {label}"
        self._writing = f"Writing {label}"
        self._patching = f"Patching {label}"

    async def read(self) -> Any:
        """Read its value."""
        if self._read_method is None:
            raise ClientPropertyError(f"{self._label} cannot be read.")
        response = await self._connection.send(
            self._read_method, self._read_url, self._reading, ClientPropertyError, headers=self._read_forms.headers
        )
        if response.status_code != 200:
            checked(response, ClientPropertyError, self._reading)
        return self._blobs.received(value_of(response, ClientPropertyError, self._reading), response)

    async def write(self, value: Any) -> None:
        """Write a value."""
        if self._write_method is None:
            raise ReadOnlyClientPropertyError(f"{self._label} is read-only.")
        headers, body = self._write_forms.encoded(value) or (JSON_HEADERS, await self._blobs.to_json(value))
        response = await self._connection.send(
            self._write_method, self._write_url, self._writing, ClientPropertyError, body, headers
        )
        checked(response, ClientPropertyError, self._writing)

    async def patch(self, operations: Iterable[AnyOperation], version: int | None) -> StateVersion | None:
        """Change parts of its value, and return the version that this has made, if the server tells it.

        :param version: the one that it must be at.
        """
        if isinstance(operations, Mapping | str | bytes | Operation):
            raise TypeError(f"A JSON Patch is a list of operations, not {operations!r:.100}.")
        headers, listed = dict(PATCH_HEADERS), [_plain(each) for each in operations]
        if isinstance(version, StateVersion) and version.epoch:
            headers["if-match"] = version.etag
        elif version is not None:
            listed.insert(0, {"op": "test", "version": version})
        body, url = await self._blobs.to_json(listed), self._write_url or self._read_url
        response = await self._connection.send("PATCH", url, self._patching, ClientPropertyError, body, headers)
        checked(response, ClientPropertyError, self._patching)
        return StateVersion.from_etag(response.headers.get("etag", ""))

    def received(self, value: Any, text: str) -> Any:
        """A value that came in a message, as `read` returns it.

        :param text: the message.
        """
        if NPY in self._read_forms.media_types and isinstance(value, list):
            from numpy import asarray

            return asarray(value)
        return self._blobs.told(value, text, str(self._read_url))


def _plain(operation: AnyOperation) -> Mapping[str, Any]:
    told = pydantic_core.from_json(operation.to_json()) if isinstance(operation, Operation) else operation
    if not isinstance(told, Mapping):
        raise TypeError(f"An operation of a JSON Patch is an object with an 'op' and a 'path', not {told!r:.100}.")
    return told


def _request(target: Target | None, url_type: type[Any]) -> tuple[str | None, Any]:
    return (target.method, url_type(target.url)) if target else (None, None)
