"""Does commands, and says what has become of them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from pydantic import ValidationError

from labthings.exceptions import BusyError, CommandError
from labthings.problem_details import text_of
from labthings.sync.cause import Cause
from labthings.sync.commands import CommandContext, Commands, Handler, invalid
from labthings.sync.messages import CommandMessage, ack_text, error_text
from labthings.workers import Lane

LOGGER = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What a client is told of its command.

    :param follows_changes: whether the command has changed the state.
    """

    text: str
    follows_changes: bool


class Performer:
    """Calls commands' handlers: those that are ``async def`` in the event loop, others in threads.

    :param new_lane: makes threads for one handler, so that it holds up no other when it hangs.
    :param steady: keeps the state as it is while a result is made JSON.
    """

    def __init__(
        self, commands: Commands, new_lane: Callable[[str], Lane], steady: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self._commands, self._new_lane, self._steady = commands, new_lane, steady
        self._lanes: dict[int, Lane] = {}

    async def perform(self, client_id: str, message: CommandMessage) -> Answer:
        """Do a command, and give the answer to it."""
        context = CommandContext(client_id, message.request_id, message.command)
        cause = Cause(context)
        text = await self._text(context, message, cause)
        return Answer(text, cause.has_changed)

    async def _text(self, context: CommandContext, message: CommandMessage, cause: Cause) -> str:
        request_id, name = message.request_id, message.command
        try:
            result = await self._result(context, message, cause)
            with self._steady():
                return ack_text(request_id, name, result)
        except Exception as error:  # noqa: BLE001 - every failure is told to the client
            return error_text(request_id, _as_command_error(name, error), name[:100])

    async def call(self, function: Handler, /, **arguments: Any) -> Any:
        """Call a function where it belongs.

        :raises CommandError: if it cancels itself.
        """
        if not inspect.iscoroutinefunction(function):
            return await self._lane(function).run(partial(function, **arguments))
        task = asyncio.ensure_future(function(**arguments))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if task.cancelled():  # which is not to end what calls it
            raise CommandError("cancelled", "It was cancelled.")
        return task.result()

    async def _result(self, context: CommandContext, message: CommandMessage, cause: Cause) -> Any:
        command = self._commands.find(message.command)
        arguments = command.arguments(context, message.params)
        with cause.here():
            return await self.call(command.handler, **arguments)

    def _lane(self, function: Handler) -> Lane:
        key = id(function)  # not every function can be a key, and those that are called here stay
        if key not in self._lanes:
            self._lanes[key] = self._new_lane(getattr(function, "__name__", repr(function)))
        return self._lanes[key]


def _as_command_error(name: str, error: Exception) -> CommandError:
    if isinstance(error, CommandError):
        return error
    if isinstance(error, BusyError):
        return CommandError("busy", str(error))
    if isinstance(error, ValidationError):
        LOGGER.warning("The command '%s' came upon a value that is not valid", name, exc_info=error)
        return invalid("invalid_value", f"'{name}' came upon a value that is not valid", error)
    LOGGER.error("The command '%s' failed", name, exc_info=error)
    return CommandError("command_failed", f"{type(error).__name__}: {text_of(error)}", recoverable=False)
