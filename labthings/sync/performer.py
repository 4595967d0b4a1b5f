"""Does commands, and says what has become of them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from pydantic import ValidationError

from labthings.exceptions import BusyError, CommandError
from labthings.problem_details import text_of
from labthings.state import origin
from labthings.sync.commands import CommandContext, Commands, Handler, invalid
from labthings.sync.messages import CommandMessage, ack_text, error_text
from labthings.workers import Lane

LOGGER = logging.getLogger(__name__)


class Performer:
    """Calls commands' handlers: those that are ``async def`` in the event loop, others in threads.

    :param new_lane: makes threads for one handler, so that it holds up no other when it hangs.
    :param steady: keeps the state as it is while a result is made JSON.
    """

    def __init__(
        self, commands: Commands, new_lane: Callable[[str], Lane], steady: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self._commands, self._new_lane, self._steady = commands, new_lane, steady
        self._lanes: dict[Handler, Lane] = {}

    async def perform(self, client_id: str, message: CommandMessage) -> str:
        """Do a command, and give the answer to it."""
        request_id, name = message.request_id, message.command
        try:
            result = await self._result(CommandContext(client_id, request_id, name), message)
            with self._steady():
                return ack_text(request_id, result)
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

    async def _result(self, context: CommandContext, message: CommandMessage) -> Any:
        command = self._commands.find(message.command)
        arguments = command.arguments(context, message.params)
        caused_by = {"originClientId": context.client_id, "requestId": context.request_id, "command": command.name}
        with origin({key: value for key, value in caused_by.items() if value is not None}):
            return await self.call(command.handler, **arguments)

    def _lane(self, function: Handler) -> Lane:
        if function not in self._lanes:
            self._lanes[function] = self._new_lane(getattr(function, "__name__", repr(function)))
        return self._lanes[function]


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
