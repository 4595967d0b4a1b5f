"""Functions that listen to a Thing that has no server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from inspect import iscoroutinefunction
from typing import Any

from labthings.exceptions import FeatureNotAvailableError, ServerNotRunningError
from labthings.inbox import Inbox
from labthings.listeners import Callback, Subscription
from labthings.message_broker import MessageBroker
from labthings.messages import Message


class LoneListeners:
    """Calls functions at once, in the thread that has something to tell. Those that are ``async`` are refused."""

    def __init__(self) -> None:
        self._functions: list[Subscription] = []

    def add(
        self, thing: str, affordance: str, callback: Callback, on_error: Callable[[Exception], Any] | None
    ) -> Subscription:
        if iscoroutinefunction(callback):
            raise FeatureNotAvailableError(
                f"{callback.__qualname__} cannot listen to {thing}.{affordance}: it is async, and without a server "
                "there is no event loop."
            )
        subscription = Subscription(thing, affordance, callback, on_error, self)
        self._functions.append(subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        if subscription in self._functions:
            self._functions.remove(subscription)

    def inbox(self, thing: str, affordance: str) -> AbstractAsyncContextManager[Inbox]:
        raise ServerNotRunningError(f"Nothing can wait for {thing}.{affordance}, as there is no server.")

    def of(self, thing: str, affordance: str) -> list[Subscription]:
        """The functions that listen to an affordance."""
        return [each for each in self._functions if (each.thing, each.affordance) == (thing, affordance)]


class LoneBroker(MessageBroker):
    """Passes messages on to functions at once, without an event loop.

    :param listeners: the functions.
    :param read: reads a property of a Thing.
    """

    def __init__(self, listeners: LoneListeners, read: Callable[[str, str], Any]) -> None:
        super().__init__()
        self._listeners, self._read = listeners, read

    def is_observed(self, thing: str, affordance: str) -> bool:
        return bool(self._listeners.of(thing, affordance))

    def post(self, message: Message) -> None:
        for each in self._listeners.of(message.thing, message.affordance):
            each.callback(message.payload)

    def post_change(self, thing: str, affordance: str) -> None:
        self.post(Message(thing, affordance, "property", self._read(thing, affordance)))
