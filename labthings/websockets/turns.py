"""The order in which the requests of one client are dealt with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable

MOST_TASKS = 64


class Turns:
    """Tasks of which those about the same subjects run one after the other, as they came, and others side by side."""

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, subjects: Collection[Hashable], work: Callable[[], Awaitable[None]]) -> None:
        """Start a task, which begins once all earlier ones about any of its subjects have ended.

        :param work: what it does; it must not raise.
        """
        earlier = {self._last[each] for each in subjects if each in self._last}
        task = asyncio.create_task(_after(earlier, work))
        self._tasks.add(task)
        for each in subjects:
            self._last[each] = task
        task.add_done_callback(lambda done: self._forget(subjects, done))

    async def room(self) -> None:
        """Wait until there are few enough tasks that there may be one more."""
        while len(self._tasks) >= MOST_TASKS:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def end(self) -> None:
        """Wait until all tasks have ended. If this is cancelled, so are they."""
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()

    def _forget(self, subjects: Collection[Hashable], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        for each in subjects:
            if self._last.get(each) is task:
                del self._last[each]


async def _after(earlier: set[asyncio.Task[None]], work: Callable[[], Awaitable[None]]) -> None:
    if earlier:
        await asyncio.wait(earlier)
    await work()
