"""What can be listened to within a server: events, and properties that can be observed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from labthings.base_descriptor import Descriptor, DescriptorInfo
from labthings.listeners import Subscription
from labthings.messages import Message, MessagesLost

LOGGER = logging.getLogger(__name__)


class ObservableInfo(DescriptorInfo[Descriptor]):
    """An affordance that other Things, and the Thing's own code, can listen to.

    ``async for`` gives, in the server's event loop, what happens from then on.
    """

    def on(self, callback: Callable[[Any], Any], *, on_error: Callable[[Exception], Any] | None = None) -> Subscription:
        """Have a function called with each new value, or each event's data, from now on.

        It is called in a thread, or in the event loop if it is ``async``, and never twice at once. Of a property's
        values that come while it runs, it is given the last.

        :param on_error: called with the reason when an observed property cannot be read.
        :return: what ends this when it is closed.
        """
        self.require_observable()
        if not callable(callback):
            raise TypeError(f"{callback!r} cannot be called for {self}: it is not a function.")
        return self.thing._thing_server_interface.listen(self.name, callback, on_error)

    async def __aiter__(self) -> AsyncIterator[Any]:
        self.require_observable()
        async with self.thing._thing_server_interface.inbox(self.name) as inbox:
            async for message in inbox:
                if isinstance(message, MessagesLost):
                    LOGGER.error("An `async for` over %s is too slow: %d were lost.", self, message.count)
                elif isinstance(message, Message) and message.error is None:
                    yield message.payload

    def require_observable(self) -> None:
        """Make sure that there is something to listen to.

        :raises PropertyNotObservableError: if it is a property that does not say when it changes.
        """
