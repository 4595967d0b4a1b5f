"""A command as the cause of changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from labthings.state import origin
from labthings.sync.commands import CommandContext


class Cause:
    """Has patches say which command of which client has made them, and knows whether there are any."""

    def __init__(self, context: CommandContext) -> None:
        told = {"originClientId": context.client_id, "requestId": context.request_id, "command": context.command}
        self._origin = {key: value for key, value in told.items() if value is not None}
        self.has_changed = False

    @contextmanager
    def here(self) -> Iterator[None]:
        """Be the cause of what is changed meanwhile, in this thread or task."""
        token = _present.set(self)
        try:
            with origin(self._origin):
                yield
        finally:
            _present.reset(token)


_present: ContextVar[Cause | None] = ContextVar("_present", default=None)


def note_change() -> bool:
    """Note that something is changed here and now, and say whether a command is known to do so."""
    cause = _present.get()
    if cause is not None:
        cause.has_changed = True
    return cause is not None
