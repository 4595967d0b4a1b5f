"""Read and change a property that is live state from the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from labthings.exceptions import InvalidValueError, StateError
from labthings.properties.base import invalid_value, parsed
from labthings.properties.property_document import PropertyDocument
from labthings.routes.property_access import LARGE, PropertyAccess
from labthings.state import Snapshot
from labthings.state.document import LONGEST_BATCH
from labthings.types.client_json import is_about_whole_numbers
from labthings.workers import Lane


class LivePropertyAccess(PropertyAccess):
    """Reads and changes live state of a Thing, at versions.

    What is large is dealt with in the Thing's own threads.
    """

    @property
    def document(self) -> PropertyDocument:
        """The live state."""
        return self.info.document

    async def read_snapshot(self) -> Snapshot:
        """Its value, as JSON, and its version."""
        self._served.require_running()
        with self._read_failures:
            snapshot: Snapshot = await self._done(self._reading, self.document.snapshot)
        self._last_size = len(snapshot.data)
        return snapshot

    def write_at_once(self, document: bytes) -> bool:
        return False

    async def write(self, value: Any) -> None:
        await self.replace(value)

    async def replace(
        self, value: Any, base_version: int | None = None, *, size: int = 0, is_from_json: bool = True
    ) -> int:
        """Set it to a value that has been validated, and give the version that this leads to.

        :param base_version: refuse that if there is another version.
        :param size: how many bytes a client has sent for it.
        :param is_from_json: whether the client has sent JSON.
        """
        return await self._changed(lambda: self.document.replace(value, base_version, is_from_json=is_from_json), size)

    async def patch(self, body: bytes, base_version: int | None) -> int:
        """Apply a JSON Patch to it, and give the version that this leads to.

        :param base_version: refuse that if there is another version.
        :raises InvalidPatchError: if an operation does not fit.
        :raises InvalidValueError: if it is no JSON Patch, or what would come of it is not valid.
        """
        operations = parsed(_OPERATIONS, body, f"The patch of {self.info}")
        return await self._changed(lambda: self._patched(operations, base_version), len(body))

    async def _changed(self, change: Callable[[], int], size: int) -> int:
        self._served.require_running()
        with self._write_failures:
            async with self.info.descriptor.hold_lock_async(self.info.thing):
                version: int = await self._done(self._writing, change, size)
        if self.info.is_setting:
            await self._saved()
        return version

    async def _saved(self) -> None:
        """Wait until it is on disk, for which a batch has to be finished."""
        told = threading.Event()
        self.document.when_told(told.set)
        if not told.is_set():
            await asyncio.to_thread(told.wait, LONGEST_BATCH)
            self.document.changed()
        await self._served.settings_saved()

    async def _done(self, lane: Lane, work: Callable[[], Any], size: int = 0) -> Any:
        return work() if max(self._last_size, size) < LARGE else await lane.run(work)

    def _patched(self, operations: list[dict[str, Any]], base_version: int | None) -> int:
        try:
            return self._patched_strictly(operations, base_version)
        except ValidationError as error:
            raise invalid_value(str(self.info), error) from error
        except StateError as error:
            if error.status_code < 500:
                raise
            raise InvalidValueError(f"{self.info}: {error}") from error

    def _patched_strictly(self, operations: list[dict[str, Any]], base_version: int | None) -> int:
        try:
            return self.document.patch(operations, base_version=base_version, strict=True)
        except ValidationError as error:
            if not is_about_whole_numbers(error):
                raise
        return self.document.patch(operations, base_version=base_version)


_OPERATIONS: TypeAdapter[list[dict[str, Any]]] = TypeAdapter(list[dict[str, Any]])
