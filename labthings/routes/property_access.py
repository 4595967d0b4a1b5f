"""Read and write a property from the event loop, whatever kind of property it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any

from labthings.exceptions import InvalidReturnValueError, InvalidValueError, NotAcceptableError
from labthings.properties import PropertyInfo
from labthings.routes.http import Headers
from labthings.routes.negotiation import decoded, represented
from labthings.routes.property_watch import PropertyWatch
from labthings.routes.served_thing import FailureLog, ServedThing
from labthings.workers import Lane, LoopCalls, awaited

MOST_READING = 16  # of one property at once, so that a slow one cannot use up the threads
MOST_WRITING = 1  # so that values are written in the order in which they came
LARGE = 100_000  # bytes of JSON that are worth a thread's time


class PropertyAccess:
    """Reads, writes and resets one property of a Thing.

    Values are read in the event loop; getters and setters run in the Thing's own threads, unless they are ``async``.
    """

    def __init__(self, served: ServedThing, info: PropertyInfo, calls: LoopCalls) -> None:
        self.info = info
        self._served = served
        self._reading = Lane(str(info), served.workers, calls, MOST_READING, brief=True)
        self._writing = Lane(str(info), served.workers, calls, MOST_WRITING)
        self._read_failures = FailureLog(served, f"Reading {info}")
        self._write_failures = FailureLog(served, f"Writing {info}")
        self._reset_failures = FailureLog(served, f"Resetting {info}")
        self.kind = info.kind
        self.watch: PropertyWatch | None = None
        self._last_size = 0 if self.kind == "json" else LARGE
        self._is_data = info.is_data
        self._is_stored_at_once = info.is_data and not info.is_setting and info.takes_no_lock

    def read_at_once(self) -> bytes | None:
        """Its value, as JSON, if that takes no waiting and nothing is wrong: the usual case, in little time."""
        if not self._is_data or self._last_size >= LARGE or self._served.state != "running":
            return None
        try:
            body = self._quick_json()
        except Exception:  # noqa: BLE001 - reading it again tells what is wrong
            return None
        self._last_size = len(body)
        self._read_failures.works()
        return body

    def write_at_once(self, document: bytes) -> bool:
        """Set it to what a JSON document stands for, if that takes no waiting; and say whether it did."""
        if not self._is_stored_at_once or len(document) >= LARGE or self._served.state != "running":
            return False
        self.info.store_unlocked(self.info.validate_json(document))
        return True

    async def read(self) -> bytes:
        """Its value, as JSON."""
        self._served.require_running()
        with self._read_failures:
            if self.info.is_data and self._last_size < LARGE:
                body = self._get_json()
            elif self.info.is_data or not self.info.is_read_in_loop:
                body = await self._reading.run(self._get_json)
            else:
                body = self._to_json(await awaited(self.info.get_async()))
        self._last_size = len(body)
        if self.watch is not None:
            self.watch.notice(body)
        return body

    async def read_with_json(self) -> tuple[Any, bytes]:
        """Its value, and the same as JSON."""
        self._served.require_running()
        with self._read_failures:
            if self.info.is_data or not self.info.is_read_in_loop:
                read: tuple[Any, bytes] = await self._reading.run(self._get_with_json)
                return read
            value = await awaited(self.info.get_async())
            return value, self._to_json(value)

    async def read_as(self, accept: str) -> tuple[Headers, bytes]:
        """Its value in the form that a client wants, as `represented` gives it."""
        answer: tuple[Headers, bytes] = await self._told(lambda value: self._represented(value, accept))
        return answer

    async def read_plain(self) -> Any:
        """Its value in mappings, lists, strings, numbers, arrays; or bytes."""
        return await self._told(self.info.to_plain)

    async def parse_binary(self, body: bytes, headers: dict[bytes, bytes]) -> Any:
        """The value that a request's body stands for, which is not JSON.

        :raises InvalidValueError: if it is not what its media type says, or does not fit.
        :raises UnsupportedMediaTypeError: if it is of an unknown media type.
        """
        return await self._writing.run(self._decoded, body, headers)

    async def parse(self, document: bytes) -> Any:
        """The value that a JSON document stands for.

        :raises InvalidValueError: if it is not JSON, or does not fit.
        """
        if len(document) < LARGE:
            return self.info.validate_json(document)
        return await self._writing.run(self.info.validate_json, document)

    async def read_value(self) -> Any:
        """Its value."""
        self._served.require_running()
        with self._read_failures:
            if not self.info.is_read_in_loop:
                return await self._reading.run(self.info.get)
            return self.info.get_copy() if self.info.is_data else await awaited(self.info.get_async())

    async def write(self, value: Any) -> None:
        """Set it to a value that has been validated, and wait until that is on disk if it is a setting."""
        self._served.require_running()
        await self._change(
            self._write_failures,
            self.info.is_written_in_loop,
            lambda: self.info.store_async(value),
            lambda: self._writing.run(self.info.store, value),
        )

    async def reset(self) -> None:
        """Give it its default value again."""
        self._served.require_running()
        await self._change(
            self._reset_failures,
            self.info.is_reset_in_loop,
            self.info.reset_async,
            lambda: self._writing.run(self.info.reset),
        )

    async def _change(
        self,
        failures: FailureLog,
        in_loop: bool,
        change_in_loop: Callable[[], Awaitable[None]],
        change_in_thread: Callable[[], asyncio.Future[Any]],
    ) -> None:
        with failures:
            await (change_in_loop() if in_loop else change_in_thread())
        if self.info.is_setting:
            await self._served.settings_saved()

    @cached_property
    def _quick_json(self) -> Callable[[], bytes]:
        return self.info.quick_json()

    async def _told(self, tell: Callable[[Any], Any]) -> Any:
        """What a function makes of its value, in a thread."""
        self._served.require_running()
        with self._read_failures:
            if self.info.is_data or not self.info.is_read_in_loop:
                return await self._reading.run(lambda: tell(self.info.get()))
            return await self._reading.run(tell, await awaited(self.info.get_async()))

    def _represented(self, value: Any, accept: str) -> tuple[Headers, bytes]:
        plain = self.info.to_plain(value) if accept else None  # which nobody needs if it is JSON that is wanted
        return represented(plain, accept, lambda: self._to_json(value))

    def _to_json(self, value: Any) -> bytes:
        if self.kind == "array":
            from labthings.types.array_json import array_to_json  # imports numpy

            return array_to_json(self.info.to_plain(value))
        try:
            return self.info.to_json(value)
        except InvalidReturnValueError as error:
            if self.kind != "bytes" or not isinstance(value, bytes):
                raise
            raise NotAcceptableError(
                f"'{self.info}' is bytes that are no text, so they have no JSON form. Ask for them with the header "
                "'Accept: application/cbor', or for them alone with 'Accept: application/octet-stream'."
            ) from error

    def _decoded(self, body: bytes, headers: dict[bytes, bytes]) -> Any:
        try:
            value = decoded(body, headers)
        except InvalidValueError as error:
            raise InvalidValueError(f"{self.info}: {error}") from error
        return self.info.validate(value)

    def _get_json(self) -> bytes:
        return self._to_json(self.info.get())

    def _get_with_json(self) -> tuple[Any, bytes]:
        value = self.info.get()
        return value, self._to_json(value)
