"""Functions of Things that are called when something happens on another Thing, or the same one."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Protocol, TypeAlias

from typing_extensions import Self

from labthings.exceptions import InvocationCancelledError, ServerNotRunningError
from labthings.inbox import Inbox
from labthings.message_broker import MessageBroker
from labthings.messages import Message, MessagesLost, Reply
from labthings.workers import Lane, LoopCalls, Workers, awaited

LOGGER = logging.getLogger(__name__)
Callback: TypeAlias = Callable[[Any], Any]
Call: TypeAlias = tuple[Callback, Any]
Item: TypeAlias = "Message | MessagesLost | Reply"


class Hearing(Protocol):
    """What has functions called when something happens."""

    def add(
        self, thing: str, affordance: str, callback: Callback, on_error: Callable[[Exception], Any] | None
    ) -> Subscription: ...
    def remove(self, subscription: Subscription) -> None: ...
    def inbox(self, thing: str, affordance: str) -> AbstractAsyncContextManager[Inbox]: ...


@dataclass(eq=False)
class Subscription:
    """A function that is called whenever something happens, until this is closed.

    :param callback: the function: an ordinary one, which is called in a thread, or an ``async`` one.
    """

    thing: str
    affordance: str
    callback: Callback
    on_error: Callable[[Exception], Any] | None
    _listeners: Hearing = field(repr=False)
    _failure: str | None = field(default=None, init=False, repr=False)

    def close(self) -> None:
        """Have the function called no more. A call that has begun goes on."""
        self._listeners.remove(self)

    def works(self) -> None:
        """Note that the function has not failed."""
        if self._failure is not None:
            self._failure = None
            LOGGER.info("The listener %s works again.", self)

    def failed(self, error: BaseException) -> None:
        """Log what the function raised: in full when that is new, as it may be called many times in a second."""
        text = f"{type(error).__name__}: {error}"
        if text != self._failure:
            self._failure = text
            LOGGER.error("The listener %s failed: %s", self, text, exc_info=error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{getattr(self.callback, '__qualname__', self.callback)} for {self.thing}.{self.affordance}"


class Listeners:
    """Calls the functions that listen to Things.

    Each is called for one message after the other. Between calls, newer values of a property replace older ones.

    :param broker: what the Things tell.
    :param calls: how threads call back to the event loop.
    """

    def __init__(self, broker: MessageBroker, calls: LoopCalls) -> None:
        self._broker, self._calls = broker, calls
        self._workers = Workers("listeners")
        self._subscriptions: list[Subscription] = []  # those that were made before the server started
        self._listening: dict[Subscription, tuple[Inbox, asyncio.Task[None]]] = {}

    def add(
        self, thing: str, affordance: str, callback: Callback, on_error: Callable[[Exception], Any] | None
    ) -> Subscription:
        """Have a function called with each value or each event's data, from now on; in any thread.

        While the server does not run, it is called from the server's next start on.
        """
        subscription = Subscription(thing, affordance, callback, on_error, self)
        try:
            self._in_loop(self._begin, subscription)
        except ServerNotRunningError:
            self._subscriptions.append(subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
        try:
            self._in_loop(self._end, subscription)
        except ServerNotRunningError:
            return  # in which case nothing is listening

    def start(self) -> None:
        """Call the functions that were added before there was an event loop. For its own thread."""
        for subscription in self._subscriptions:
            self._begin(subscription)

    async def stop(self, timeout: float) -> None:
        """Call no more functions, once those are through that have something to be called for."""
        tasks = [task for _, task in self._listening.values()]
        for inbox, _ in self._listening.values():
            self._broker.unsubscribe_all(inbox)
            inbox.close()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                LOGGER.error("%s goes on although the server stops: it is left behind.", task.get_name())
                task.cancel()
        self._listening.clear()
        await asyncio.to_thread(self._workers.close, 0.5)

    @asynccontextmanager
    async def inbox(self, thing: str, affordance: str) -> AsyncIterator[Inbox]:
        """An inbox for what happens meanwhile. For the event loop's thread."""
        self._calls.loop  # noqa: B018 - raises if there is none
        inbox = Inbox()
        self._broker.subscribe_nowait(thing, affordance, inbox)
        try:
            yield inbox
        finally:
            self._broker.unsubscribe_all(inbox)

    def _in_loop(self, function: Callable[[Subscription], None], subscription: Subscription) -> None:
        """Call a function in the event loop, and wait until that is done: what happens next is listened to."""
        if self._calls.is_here:
            function(subscription)
        else:
            self._calls.call(function, subscription)

    def _begin(self, subscription: Subscription) -> None:
        inbox = Inbox()
        self._broker.subscribe_nowait(subscription.thing, subscription.affordance, inbox)
        task = Context().run(self._start, subscription, inbox)  # not in that of an action which happens to subscribe
        self._listening[subscription] = (inbox, task)

    def _start(self, subscription: Subscription, inbox: Inbox) -> asyncio.Task[None]:
        return self._calls.loop.create_task(self._listen(subscription, inbox), name=f"The listener {subscription}")

    def _end(self, subscription: Subscription) -> None:
        inbox, _ = self._listening.pop(subscription, (None, None))
        if inbox is not None:
            self._broker.unsubscribe_all(inbox)
            inbox.drop()
            inbox.close()

    async def _listen(self, subscription: Subscription, inbox: Inbox) -> None:
        lane = Lane(str(subscription), self._workers, self._calls, running=1)
        async for message in inbox:
            try:
                await self._tell(subscription, [message, *_waiting(inbox)], lane)
            except (Exception, InvocationCancelledError):
                LOGGER.exception("The listener %s failed.", subscription)

    async def _tell(self, subscription: Subscription, items: list[Item], lane: Lane) -> None:
        """Tell a listener of all that has come, in one visit to a thread unless something in it is ``async``."""
        calls = [call for item in items if (call := _call_for(subscription, item)) is not None]
        if not calls:
            return
        if not any(iscoroutinefunction(function) for function, _ in calls):
            await lane.run(self._make, subscription, calls)
            return
        left = deque(calls)
        while left:  # in one task, as to wait for one per call would take many turns of the event loop
            try:
                await awaited(self._make_async(subscription, left, lane))
            except Exception as error:  # noqa: BLE001 - the listener was cancelled, which the rest of the calls is not
                subscription.failed(error)

    async def _make_async(self, subscription: Subscription, left: deque[Call], lane: Lane) -> None:
        while left:
            function, argument = left.popleft()
            if subscription not in self._listening:
                continue
            try:
                await (function(argument) if iscoroutinefunction(function) else lane.run(function, argument))
            except (Exception, InvocationCancelledError) as error:  # noqa: BLE001 - it is the listener's own
                subscription.failed(error)
            else:
                subscription.works()

    def _make(self, subscription: Subscription, calls: list[Call]) -> None:
        for function, argument in calls:
            if subscription not in self._listening:  # it has been closed meanwhile
                return
            try:
                function(argument)
            except (Exception, InvocationCancelledError) as error:  # noqa: BLE001 - it is the listener's own
                subscription.failed(error)
            else:
                subscription.works()


def _waiting(inbox: Inbox) -> Iterator[Item]:
    """What else has come."""
    while not inbox.is_empty:
        yield inbox.receive_nowait()


def _call_for(subscription: Subscription, item: Item) -> Call | None:
    if isinstance(item, MessagesLost):
        LOGGER.error("%s is too slow: %d were lost.", subscription, item.count)
        return None
    if not isinstance(item, Message):
        return None
    if item.error is None:
        return subscription.callback, item.payload
    return None if subscription.on_error is None else (subscription.on_error, item.error)
