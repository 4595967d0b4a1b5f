"""All properties of a Thing at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import cached_property
from typing import Any

import pydantic_core
from pydantic import TypeAdapter

from labthings.exceptions import InvalidValueError
from labthings.properties.base import parsed, typed_dictionary
from labthings.properties.live import readable_values
from labthings.routes.http import Headers
from labthings.routes.negotiation import represented
from labthings.routes.property_access import PropertyAccess
from labthings.routes.served_thing import ServedThing
from labthings.types.media_types import CBOR


class AllProperties:
    """Reads and writes several properties of a Thing.

    :param served: the Thing.
    :param accesses: its properties, by name.
    """

    def __init__(self, served: ServedThing, accesses: Mapping[str, PropertyAccess]) -> None:
        self._served, self._accesses = served, accesses

    async def read_json(self, names: Iterable[str] | None = None) -> bytes:
        """The values of all properties, or of some, as a JSON object.

        :param names: which; they must be there.
        """
        wanted = list(self._accesses if names is None else names)
        values = await asyncio.gather(*(self._accesses[name].read() for name in wanted))
        pairs = zip(map(pydantic_core.to_json, wanted), values, strict=True)
        return b"{%b}" % b",".join(map(b"%b:%b".__mod__, pairs))

    async def read_cbor(self) -> tuple[Headers, bytes]:
        """The values of all properties as a CBOR map, and the headers of an answer with it."""
        values = await asyncio.gather(*(access.read_plain() for access in self._accesses.values()))
        named = dict(zip(self._accesses, values, strict=True))
        return await asyncio.to_thread(represented, named, CBOR, bytes)

    async def write_json(self, body: bytes) -> None:
        """Write those properties that are keys of a JSON object: all of them, or none.

        :raises InvalidValueError: if it is no such object, or a value does not fit.
        """
        self._served.require_running()
        values = self._parsed(body)
        async with self._lock_for(values):
            await self._write_all(values)

    def _parsed(self, body: bytes) -> dict[str, Any]:
        try:
            document = readable_values(body, self._live_types, self._served.name)
            values: dict[str, Any] = parsed(self._writable, document, f"{self._served.name}.properties")
        except InvalidValueError as error:
            read_only = [each for each in error.errors if len(each["loc"]) == 1 and each["loc"][0] in self._accesses]
            if any(each["type"] == "extra_forbidden" for each in read_only):
                names = ", ".join(str(each["loc"][0]) for each in read_only if each["type"] == "extra_forbidden")
                raise InvalidValueError(f"{self._served.name}.properties: {names}: read-only", error.errors) from error
            raise
        return values

    def _lock_for(self, values: Mapping[str, Any]) -> AbstractAsyncContextManager[None]:
        """The global lock, if there is one and any of the properties takes it: nothing may come between them."""
        for name in values:
            info = self._accesses[name].info
            if info.descriptor.takes_global_lock:
                return info.descriptor.hold_lock_async(info.thing)
        return nullcontext()

    async def _write_all(self, values: Mapping[str, Any]) -> None:
        """Write values one after the other; if one fails, put back those that were written before it."""
        before: list[tuple[PropertyAccess, Any]] = []
        try:
            for name, value in values.items():
                access = self._accesses[name]
                previous = await access.read_value() if len(values) > 1 else None
                await access.write(value)
                before.append((access, previous))
        except Exception:
            for access, previous in reversed(before):
                await self._put_back(access, previous)
            raise

    async def _put_back(self, access: PropertyAccess, value: Any) -> None:
        try:
            await access.write(value)
        except Exception:
            self._served.logger.exception(
                "%s was written together with another property, which failed, and could not be put back.", access.info
            )

    @cached_property
    def _live_types(self) -> Mapping[str, Any]:
        infos = (access.info for access in self._accesses.values())
        return {info.name: info.value_type for info in infos if info.is_live}

    @cached_property
    def _writable(self) -> TypeAdapter[Any]:
        """Validates values of properties that clients may write."""
        fields: dict[str, Any] = {
            name: access.info.descriptor.constrained_type
            for name, access in self._accesses.items()
            if not access.info.readonly
        }
        return TypeAdapter(typed_dictionary("properties", fields, extra="forbid"))
