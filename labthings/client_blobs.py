"""Blobs that only clients know of: what they have uploaded, and what they have been told of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from labthings.outputs.blob_data import LocalData
from labthings.retention import Limits, Retention, Sizes

SECONDS_TO_DOWNLOAD = 30.0  # or rather, to begin to


@dataclass(frozen=True)
class BlobLimits:
    """How much is kept for clients.

    :param upload_size: how many bytes they may upload at once.
    :param upload_seconds: how long that is kept.
    :param spool_size: larger ones are kept in temporary files.
    :param spool_folder: where those are; by default, where the system has temporary files.
    :param kept: how much room all of them may take.
    """

    upload_size: int
    upload_seconds: float
    spool_size: int
    spool_folder: str | None
    kept: Sizes


class ClientBlobs:
    """Keeps blobs for clients, as long as they may need to use them. It belongs to the event loop.

    What is given to an action is kept with its invocation besides.
    """

    def __init__(self, limits: BlobLimits) -> None:
        self.limits = limits
        self._data: dict[str, LocalData] = {}
        self._retention = Retention(
            "blobs for clients", Limits(10_000, limits.kept), self._forget, "The blob '{}'".format
        )

    def keep_upload(self, data: LocalData) -> None:
        """Keep what a client has uploaded until it is used."""
        self._keep(data, self.limits.upload_seconds)

    def keep_mentioned(self, resources: Iterable[object]) -> None:
        """Keep what a client has been told of until it has downloaded it: a getter may have made it for this client."""
        for each in resources:
            if isinstance(each, LocalData):
                self._keep(each, SECONDS_TO_DOWNLOAD)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget what is due (from now on)."""
        self._retention.start(loop)

    def stop(self) -> None:
        """Forget nothing more until it is started again."""
        self._retention.stop()

    def keep_on(self, data: LocalData, *, until_resumed: bool) -> None:
        """Keep what a client has downloaded a while longer, if it is kept here, or the client may want the rest.

        :param until_resumed: whether the download has broken off.
        """
        if until_resumed or data.id in self._data:
            self._keep(data, SECONDS_TO_DOWNLOAD)

    def _keep(self, data: LocalData, seconds: float) -> None:
        self._data[data.id] = data
        self._retention.add(data.id, seconds, Sizes(data.in_memory, data.in_files, data.open_files))

    def _forget(self, id: str) -> None:
        self._data.pop(id, None)
