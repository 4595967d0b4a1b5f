"""Wait until what an action has changed of live state is told of, so that its end is told after that."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator

from labthings.invocation_contexts import InvocationContext, LiveState
from labthings.state.document import LONGEST_BATCH

LOGGER = logging.getLogger(__name__)


def wait_until_told(context: InvocationContext) -> None:
    """Wait for everything that the code of an invocation has changed; in general that takes no time."""
    deadline = time.monotonic() + LONGEST_BATCH
    for state, told in list(_untold(context)):
        if not told.wait(max(0.0, deadline - time.monotonic())):
            LOGGER.warning("A batch has not ended for %s s, so others are told of its part so far.", LONGEST_BATCH)
            state.flush()


async def wait_until_told_async(context: InvocationContext) -> None:
    """The same, in the event loop."""
    if any(not told.is_set() for _, told in list(_untold(context))):
        await asyncio.to_thread(wait_until_told, context)


def _untold(context: InvocationContext) -> Iterator[tuple[LiveState, threading.Event]]:
    asked: set[LiveState] = set()
    while left := context.changed - asked:  # again, as threads of the action may go on meanwhile
        asked |= left
        for state in left:
            told = threading.Event()
            state.when_told(told.set)
            yield state, told
