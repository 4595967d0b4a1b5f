"""Everybody who is told of the state and the streams."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from labthings.pacing import REST, Pacer
from labthings.state import Patch, Snapshot
from labthings.state.patch_log import PatchLog
from labthings.sync.messages import patch_text
from labthings.sync.outbox import Outbox
from labthings.sync.shared_document import SharedDocument
from labthings.sync.streams import Stream
from labthings.workers import LoopCalls


class Listener(Protocol):
    """A client that is connected."""

    outbox: Outbox

    def nudge(self) -> None:
        """Send what there is in the outbox."""

    def stop(self) -> None:
        """End the connection."""


class Audience:
    """Passes on what happens in any thread to the clients, which are in the event loop.

    :param calls: the way there, which keeps the order.
    """

    def __init__(self, calls: LoopCalls) -> None:
        self._calls = calls
        self._clients: set[Listener] = set()
        self._changed: set[Stream] = set()
        self._pacer = Pacer(calls, REST)
        self.log = PatchLog(patch_text)
        self.streams: dict[str, Stream] = {}
        self.document: SharedDocument | None = None

    # --- from any thread ---------------------------------------------------------------------------------------

    def follow(self, document: SharedDocument) -> None:
        """Tell the clients of a document."""
        self.document = document
        document.subscribe(self._told)
        self.soon(self._nudge_all)

    def changed(self, stream: Stream) -> None:
        """Tell the clients what is new in a stream: at once, and then after a rest."""
        if stream not in self._changed:
            self._changed.add(stream)
            self._pacer.call_soon(self._tell_of_streams)

    @property
    def unclaimed_changes(self) -> int:
        """How many changes have been begun of which it is not known whether a command has made them."""
        return 0 if self.document is None else self.document.unclaimed_changes

    def when_told(self, function: Callable[[int], object]) -> None:
        """Have something done in the event loop when there is a patch of all that has changed until now.

        :param function: is given the version then. It waits for the end of a batch, if there is one.
        """
        document = self.document
        if document is None:
            self.soon(function, 0)
        else:
            document.when_told(lambda: self.soon(function, document.version))

    def once_told(self, function: Callable[[], object]) -> None:
        """Have something done in the event loop when there is a patch of all that has changed, except in a batch."""
        if self.document is not None:
            self.document.tell()
        self.soon(function)

    def soon(self, function: Callable[..., object], *args: Any) -> None:
        """Have something done in the event loop, if there is one."""
        with suppress(RuntimeError):  # there is none, or it has just ended, so there are no clients
            self._calls.call_soon(function, *args)

    # --- in the event loop -------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot | None:
        """The state, if there is one yet."""
        return None if self.document is None else self.document.snapshot()

    def join(self, client: Listener) -> None:
        """Tell a client everything, and what happens from now on."""
        for stream in tuple(self.streams.values()):
            client.outbox.tell_of(stream)
        self._clients.add(client)

    def leave(self, client: Listener) -> None:
        """Tell a client no more."""
        self._clients.discard(client)

    def resync(self, client: Listener, names: list[str] | None) -> None:
        """Tell a client again what is in some streams; or else everything."""
        if names is None:
            client.outbox.resync()
        for name, stream in tuple(self.streams.items()):
            if names is None or name in names:
                client.outbox.tell_of(stream, anew=True)
        client.nudge()

    def stop(self) -> None:
        """End all connections."""
        for client in tuple(self._clients):
            client.stop()

    def _told(self, patch: Patch) -> None:
        self.soon(self._add, patch)

    def _add(self, patch: Patch) -> None:
        self.log.add(patch)
        self._nudge_all()

    def _tell_of_streams(self) -> None:
        for stream in tuple(self._changed):
            self._changed.discard(stream)
            for client in self._clients:
                client.outbox.tell_of(stream)
        self._nudge_all()

    def _nudge_all(self) -> None:
        for client in tuple(self._clients):
            client.nudge()
