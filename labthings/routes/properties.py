"""Properties over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import cached_property
from typing import Any

import pydantic_core
from pydantic import TypeAdapter

from labthings.exceptions import InvalidValueError
from labthings.properties.base import parsed, typed_dictionary
from labthings.routes.http import Receive, Route, Scope, Send, read_body, read_json, send_body, send_json, send_nothing
from labthings.routes.negotiation import VARY, accept_of, best_offer, is_json, represented
from labthings.routes.property_access import PropertyAccess
from labthings.routes.served_thing import ServedThing, ServedThings
from labthings.types.media_types import CBOR, JSON


def property_routes(server: ServedThings, served: ServedThing) -> Iterator[Route]:
    """The routes of all properties of a Thing."""
    accesses = {name: PropertyAccess(served, info, server.loop_calls) for name, info in served.properties.items()}
    for access in accesses.values():
        yield from _routes(access, served.path + access.info.name, server.maximum_body_size)
    everything = AllProperties(served, accesses, server.maximum_body_size)
    yield Route(f"{served.path}properties", "GET", everything.read)
    yield Route(f"{served.path}properties", "PUT", everything.write)


def _routes(access: PropertyAccess, path: str, limit: int) -> Iterator[Route]:
    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        body = access.read_at_once()
        await send_json(send, await access.read() if body is None else body)

    async def write(scope: Scope, receive: Receive, send: Send) -> None:
        document = await read_json(scope, receive, limit)
        if not access.write_at_once(document):
            await access.write(await access.parse(document))
        await send_nothing(send)

    async def read_as_wanted(scope: Scope, receive: Receive, send: Send) -> None:
        headers, body = await access.read_as(accept_of(scope))
        await send_body(send, body, 200, headers)

    async def write_any(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = await read_body(headers, receive, limit)
        await access.write(await (access.parse(body) if is_json(headers) else access.parse_binary(body, headers)))
        await send_nothing(send)

    async def reset(scope: Scope, receive: Receive, send: Send) -> None:
        await access.reset()
        await send_nothing(send)

    is_plain = access.kind == "json"
    yield Route(path, "GET", read if is_plain else read_as_wanted)
    if not access.info.readonly:
        yield Route(path, "PUT", write if is_plain else write_any)
    if access.info.is_resettable:
        yield Route(f"{path}/reset", "POST", reset)


class AllProperties:
    """All properties of a Thing at once."""

    def __init__(self, served: ServedThing, accesses: Mapping[str, PropertyAccess], limit: int) -> None:
        self._served, self._accesses, self._limit = served, accesses, limit

    async def read(self, scope: Scope, receive: Receive, send: Send) -> None:
        if best_offer(accept_of(scope) or JSON, (JSON, CBOR)) == CBOR:
            await self._read_as_cbor(send)
            return
        values = await asyncio.gather(*(access.read() for access in self._accesses.values()))
        names = (pydantic_core.to_json(name) for name in self._accesses)
        body = b"{%b}" % b",".join(map(b"%b:%b".__mod__, zip(names, values, strict=True)))
        await send_json(send, body, headers=[VARY])

    async def _read_as_cbor(self, send: Send) -> None:
        values = await asyncio.gather(*(access.read_plain() for access in self._accesses.values()))
        named = dict(zip(self._accesses, values, strict=True))
        headers, body = await asyncio.to_thread(represented, named, CBOR, bytes)
        await send_body(send, body, 200, headers)

    async def write(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(scope, receive, self._limit)
        self._served.require_running()
        values = self._parsed(body)
        async with self._lock_for(values):
            await self._write_all(values)
        await send_nothing(send)

    def _parsed(self, body: bytes) -> dict[str, Any]:
        try:
            values: dict[str, Any] = parsed(self._writable, body, f"{self._served.name}.properties")
        except InvalidValueError as error:
            read_only = [each for each in error.errors if each["loc"] and each["loc"][0] in self._accesses]
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
    def _writable(self) -> TypeAdapter[Any]:
        """Validates values of properties that clients may write."""
        fields: dict[str, Any] = {
            name: access.info.descriptor.constrained_type
            for name, access in self._accesses.items()
            if not access.info.readonly
        }
        return TypeAdapter(typed_dictionary("properties", fields, extra="forbid"))
