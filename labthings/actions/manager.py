"""The invocations of a server: those that run, and those that have ended not long ago."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

from labthings.actions.info import ActionInfo
from labthings.actions.invocation import Invocation
from labthings.exceptions import InvocationEndedError, NotFoundError, ServerNotRunningError
from labthings.workers import Lane, LoopCalls, Workers

LOGGER = logging.getLogger(__name__)
MOST_RUNNING = 16  # of one action at once; more wait, so that a flood of requests cannot use up the threads


class ActionManager:
    """Runs actions, each in a thread of its own, and keeps their invocations for a while after their end.

    It belongs to the event loop.

    :param loop_calls: how threads call back to the event loop.
    :param most_ended: how many ended invocations to keep, whatever their retention times.
    :param debug: whether clients are told where errors were raised.
    :param lock_log_level: the level at which it is logged that an action did not run because of the global lock.
    """

    def __init__(
        self, loop_calls: LoopCalls, *, most_ended: int = 10_000, debug: bool = False, lock_log_level: int = 40
    ) -> None:
        self._loop_calls = loop_calls
        self._most_ended = most_ended
        self._options: dict[str, Any] = {"debug": debug, "lock_log_level": lock_log_level}
        self._invocations: OrderedDict[str, Invocation] = OrderedDict()
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._expiry: list[tuple[float, int, str]] = []  # a heap of when to forget which
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
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
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def start(self) -> None:
        """Take invocations (again)."""
        self._stopping = False
        self._expire()

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
            try:
                self._loop_calls.call_soon(self._ended, invocation)
            except ServerNotRunningError:
                LOGGER.warning("%s ended after the server had stopped.", invocation.info)

    async def _run_async(self, invocation: Invocation) -> None:
        await invocation.run_async()
        self._ended(invocation)

    def _ended(self, invocation: Invocation) -> None:
        invocation.release_waiters()
        forget_at = time.monotonic() + invocation.info.retention_time
        heapq.heappush(self._expiry, (forget_at, next(self._numbers), invocation.id))
        while len(self._expiry) > self._most_ended:
            self._forget_first()
        if self._timer is None or forget_at < self._timer_at:
            self._set_timer()

    def _expire(self) -> None:
        self._timer = None
        while self._expiry and self._expiry[0][0] <= time.monotonic():
            self._forget_first()
        self._set_timer()

    def _forget_first(self) -> None:
        _, _, id = heapq.heappop(self._expiry)
        self._invocations.pop(id, None)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._expiry and not self._stopping:
            self._timer_at = self._expiry[0][0]
            self._timer = self._loop_calls.loop.call_later(max(0.0, self._timer_at - time.monotonic()), self._expire)
