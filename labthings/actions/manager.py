"""The invocations of a server: those that run, and those that have ended not long ago."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from labthings.actions.info import ActionInfo
from labthings.actions.invocation import Invocation
from labthings.actions.spool import Spool
from labthings.client_blobs import SECONDS_TO_DOWNLOAD
from labthings.exceptions import InvocationEndedError, NotFoundError, ServerNotRunningError
from labthings.retention import Limits, Retention, Sizes
from labthings.workers import Lane, LoopCalls, Workers

LOGGER = logging.getLogger(__name__)
MOST_RUNNING = 16  # of one action at once; more wait, so that a flood of requests cannot use up the threads


@dataclass(frozen=True)
class Keeping:
    """What is kept of invocations that have ended.

    :param limits: how much, whatever their retention times.
    :param spool_size: blobs of more bytes than this are moved from memory to files.
    :param spool_folder: where those are; by default, where the system has temporary files.
    """

    limits: Limits = Limits(10_000, Sizes(2**28, 2**34, 256))  # noqa: RUF009 - it is immutable
    spool_size: int = 2**22
    spool_folder: str | None = None


class ActionManager:
    """Runs actions, each in a thread of its own, and keeps their invocations for a while after their end.

    It belongs to the event loop.

    :param loop_calls: how threads call back to the event loop.
    :param keeping: what is kept of those that have ended.
    :param debug: whether clients are told where errors were raised.
    :param lock_log_level: the level at which it is logged that an action did not run because of the global lock.
    """

    def __init__(
        self, loop_calls: LoopCalls, keeping: Keeping | None = None, *, debug: bool = False, lock_log_level: int = 40
    ) -> None:
        self._loop_calls = loop_calls
        keeping = keeping or Keeping()
        self._options: dict[str, Any] = {"debug": debug, "lock_log_level": lock_log_level}
        self._invocations: OrderedDict[str, Invocation] = OrderedDict()
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._retention = Retention("ended actions", keeping.limits, self._forget, self._label)
        self._spool = Spool(keeping.spool_size, keeping.spool_folder, keeping.limits.sizes.in_memory)
        self._stopping = False

    @property
    def invocations(self) -> list[Invocation]:
        """All that are known, the newest last."""
        return list(self._invocations.values())

    def get(self, id: str) -> Invocation:
        """An invocation by its id.

        :raises NotFoundError: if it is not known, or no longer.
        """
        try:
            return self._invocations[id]
        except KeyError:
            raise NotFoundError(
                f"There is no invocation '{id}'. It may have ended so long ago that the server has forgotten it."
            ) from None

    def invoke(self, info: ActionInfo, arguments: dict[str, Any], workers: Workers) -> Invocation:
        """Start an action.

        :param info: the action of a Thing.
        :param arguments: its validated arguments.
        :param workers: the Thing's threads.
        :raises BusyError: if too many invocations of it are waiting already.
        """
        if self._stopping:
            raise ServerNotRunningError("The server is stopping, so it starts no actions.")
        if info.descriptor.is_async:
            invocation = Invocation(info, arguments, **self._options)
            task = self._loop_calls.loop.create_task(self._run_async(invocation))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            lane = self._lane(info, workers)
            lane.check()
            invocation = Invocation(info, arguments, **self._options)
            lane.start(partial(self._run, invocation))
        self._invocations[invocation.id] = invocation
        return invocation

    def cancel(self, id: str) -> None:
        """Ask an invocation to end.

        :raises NotFoundError: if it is not known.
        :raises InvocationEndedError: if it has ended.
        """
        invocation = self.get(id)
        if invocation.status.has_ended:
            raise InvocationEndedError(
                f"The invocation '{id}' of {invocation.info} has ended already ({invocation.status.value})."
            )
        invocation.cancel()

    async def stop(self, timeout: float) -> None:
        """Cancel what runs, and wait for it to end, for ``timeout`` seconds at most."""
        self._stopping = True
        deadline = time.monotonic() + timeout
        running = list(self._running())
        for invocation in running:
            invocation.cancel()
        for invocation in running:
            if not await invocation.wait(deadline - time.monotonic()):
                LOGGER.error("%s goes on although it was cancelled: it is left behind.", invocation.info)
            invocation.release_waiters()
        self._retention.stop()

    def start(self) -> None:
        """Take invocations (again)."""
        self._stopping = False
        self._retention.start(self._loop_calls.loop)

    def _running(self) -> Iterator[Invocation]:
        return (each for each in self._invocations.values() if not each.status.has_ended)

    def _lane(self, info: ActionInfo, workers: Workers) -> Lane:
        key = (info.thing.name, info.name)
        if key not in self._lanes:
            self._lanes[key] = Lane(str(info), workers, self._loop_calls, MOST_RUNNING)
        return self._lanes[key]

    def _run(self, invocation: Invocation) -> None:
        try:
            invocation.run()
        finally:
            self._end(invocation)

    async def _run_async(self, invocation: Invocation) -> None:
        await invocation.run_async()
        if self._spool.takes(invocation):
            await asyncio.to_thread(self._end, invocation)
        else:
            self._ended(invocation, invocation.sizes)

    def _end(self, invocation: Invocation) -> None:
        """Have its end told, and then its large blobs moved to files, since that takes time. Not for the event loop."""
        if self._stopping or not self._spool.takes(invocation):
            self._call_loop(invocation, self._ended, invocation.sizes)
            return
        with self._spool.room_for(invocation):
            self._call_loop(invocation, self._ended, self._spool.sizes_to_be(invocation))
            self._spool.move(invocation)
        self._call_loop(invocation, self._moved)

    def _call_loop(self, invocation: Invocation, function: Callable[..., None], *args: object) -> None:
        try:
            self._loop_calls.call_soon(function, invocation, *args)
        except ServerNotRunningError:
            LOGGER.warning("%s ended after the server had stopped.", invocation.info)

    def _ended(self, invocation: Invocation, sizes: Sizes) -> None:
        invocation.release_waiters()
        seconds = invocation.info.retention_time
        if invocation.blobs or invocation.has_large_output:  # whoever is told of it must be able to download it
            seconds = max(seconds, SECONDS_TO_DOWNLOAD)
        self._retention.add(invocation.id, seconds, sizes)

    def _moved(self, invocation: Invocation) -> None:
        self._retention.resize(invocation.id, invocation.sizes)

    def _forget(self, id: str) -> None:
        self._invocations.pop(id, None)

    def _label(self, id: str) -> str:
        invocation = self._invocations[id]
        return f"The invocation of {invocation.info} that ended at {invocation.time_completed}"
