"""All the Things on a server: making them, connecting them, starting and stopping them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from labthings.server.hosted_thing import HostedThing
from labthings.thing_slots import ThingSlot

LOGGER = logging.getLogger(__name__)


class Household:
    """The Things on a server.

    :param hosted: they, by name.
    :param start_timeout: how many seconds to wait for a Thing to start before the others start without it.
    :param stop_timeout: how many seconds to wait for a Thing to stop.
    """

    def __init__(self, hosted: Mapping[str, HostedThing], start_timeout: float, stop_timeout: float) -> None:
        self.hosted = hosted
        self._start_timeout, self._stop_timeout = start_timeout, stop_timeout
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._given_up: asyncio.Future[None] | None = None
        self._by_thing: dict[int, HostedThing] = {}

    def prepare(self) -> None:
        """Make the Things, fill their slots and load their settings.

        :raises ThingSlotError: if a slot cannot be filled.
        """
        for each in self.hosted.values():
            each.tell_of_faults()
            each.make()
        candidates = {name: each.candidate for name, each in self.hosted.items()}
        self._by_thing = {id(each.candidate): each for each in self.hosted.values()}
        for each in self.hosted.values():
            each.connect(candidates)
        working = [each for each in self.hosted.values() if each.state != "failed"]
        while sum(map(self._do_without_failures, working)):  # one failure may bring about the next
            working = [each for each in working if each.state != "failed"]
        for each in self.hosted.values():
            each.load_settings()
            each.settle()

    async def start(self) -> None:
        """Enter the Things, those that others are connected to first.

        One that takes too long is left to start in its own time, and so are those that need it.
        """
        for each in self.hosted.values():
            each.reset()
        self._starts = {}
        self._given_up = given_up = asyncio.get_running_loop().create_future()
        for each in self._in_slot_order():
            if given_up.done():
                break
            before = [self._starts[name] for name in self._needs(each) if name in self._starts]
            late = any(not task.done() for task in before)
            task = self._starts[each.name] = asyncio.create_task(self._start(each, before))
            timeout = 0 if late else self._start_timeout
            await asyncio.wait({task, given_up}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and not given_up.done():
                LOGGER.error("'%s' is taking too long to start: the server goes on without it.", each.name)

    def give_up_starting(self) -> None:
        """Do not wait for the Thing that is starting, and start no others. For the event loop's thread."""
        if self._given_up is not None and not self._given_up.done():
            self._given_up.set_result(None)

    async def stop(self) -> None:
        """Exit the Things, in the reverse order, and end their threads."""
        for name in reversed(self._starts):
            task, each = self._starts[name], self.hosted[name]
            await self._within_time(task, f"'{name}' has not finished starting")
            await self._within_time(asyncio.create_task(each.stop()), f"'{name}' has not finished stopping")
        for each in self.hosted.values():
            for thread in await asyncio.to_thread(each.workers.close, 0.5):
                LOGGER.error("The thread '%s' goes on although the server stops: it is left behind.", thread)

    async def _start(self, each: HostedThing, before: list[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        self._do_without_failures(each)
        await each.start()

    async def _within_time(self, task: asyncio.Task[None], complaint: str) -> None:
        _, late = await asyncio.wait({task}, timeout=self._stop_timeout)
        if late:
            LOGGER.error("%s after %g s: it is left behind.", complaint, self._stop_timeout)
            task.cancel()

    def _do_without_failures(self, each: HostedThing) -> bool:
        """Have a Thing do without those that are not available, or fail too; and say whether it has any of them."""
        lost = [(slot, other) for slot, other in self._connections(each) if other.state == "failed"]
        for slot, other in lost:
            if each.state != "failed":
                each.lose(slot, other)
        return bool(lost) and each.state == "failed"

    def _in_slot_order(self) -> Iterator[HostedThing]:
        """Each Thing after those that it is connected to, except where they are connected in a circle."""
        seen: set[str] = set()

        def visit(each: HostedThing) -> Iterator[HostedThing]:
            if each.name not in seen:
                seen.add(each.name)
                for name in self._needs(each):
                    yield from visit(self.hosted[name])
                yield each

        for each in self.hosted.values():
            yield from visit(each)

    def _needs(self, each: HostedThing) -> list[str]:
        return [other.name for _, other in self._connections(each)]

    def _connections(self, each: HostedThing) -> list[tuple[ThingSlot[Any], HostedThing]]:
        return [(slot, self._by_thing[id(thing)]) for slot, thing in each.connections()]
