"""What clients may have done."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from labthings.exceptions import CommandError, ConfigurationError
from labthings.types.client_json import validated_strictly

Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class CommandContext:
    """Who wants a command to be done.

    :param client_id: the client, for as long as it is connected.
    :param request_id: what the client tells the command's answer by.
    :param command: the command's name.
    """

    client_id: str
    request_id: str | int | None
    command: str


class Command:
    """A function that clients may have called.

    :raises ConfigurationError: if its parameters cannot be given by their names, or validated.
    """

    def __init__(self, name: str, handler: Handler) -> None:
        self.name, self.handler = name, handler
        hints = self._hints()
        parameters = inspect.signature(handler).parameters
        if next(iter(parameters), None) == "self":
            raise ConfigurationError(
                f"The command '{name}' is a method, and nothing says of which object: make it a command in `__init__`, "
                f"with `sync.command(self.{handler.__name__})`."
            )
        self._contexts = [each for each in parameters if _is_context(hints.get(each))]
        taken = [each.replace(annotation=hints.get(each.name, Any)) for each in parameters.values()]
        self._adapter = self._adapter_of([each for each in taken if each.name not in self._contexts])

    def arguments(self, context: CommandContext, params: Mapping[str, Any]) -> dict[str, Any]:
        """What to call the handler with.

        :raises CommandError: if the parameters do not fit.
        """
        try:
            valid = validated_strictly(self._adapter, pydantic_core.to_json(params))
        except ValidationError as error:
            raise invalid("invalid_params", f"'{self.name}' cannot be done with these parameters", error) from error
        return {**valid, **dict.fromkeys(self._contexts, context)}

    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self.handler, include_extras=True)
        except NameError as error:
            raise ConfigurationError(
                f"The annotations of the command '{self.name}' cannot be evaluated: {error}. "
                "Define it in the module, not in a function."
            ) from error

    def _adapter_of(self, parameters: list[inspect.Parameter]) -> TypeAdapter[dict[str, Any]]:
        """Validates parameters and gives them, with defaults for those that are missing."""
        for each in parameters:
            if each.kind in (each.POSITIONAL_ONLY, each.VAR_POSITIONAL):
                raise ConfigurationError(
                    f"The command '{self.name}' takes '{each.name}' by position, but clients name their parameters."
                )

        def collect(*args: Any, **kwargs: Any) -> dict[str, Any]:
            return {**dict(zip(names, args, strict=False)), **kwargs}

        names = [each.name for each in parameters]
        collect.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        collect.__annotations__ = {each.name: each.annotation for each in parameters}
        adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(collect)  # type: ignore[arg-type]
        return adapter


class Commands:
    """All commands, by their names."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}

    def add(self, name: str, handler: Handler) -> None:
        """
        :raises ConfigurationError: if there is one of that name, or the handler cannot be one.
        """
        if name in self._commands:
            raise ConfigurationError(f"There is a command '{name}' already.")
        self._commands[name] = Command(name, handler)

    def find(self, name: str) -> Command:
        """
        :raises CommandError: if there is none of that name.
        """
        if name in self._commands:
            return self._commands[name]
        known = ", ".join(sorted(self._commands)) or "none"
        raise CommandError("unknown_command", f"There is no command {name[:100]!r}. There are: {known}.")


def _is_context(hint: Any) -> bool:
    is_union = typing.get_origin(hint) in (typing.Union, UnionType)
    return hint is CommandContext or (is_union and CommandContext in typing.get_args(hint))


def invalid(code: str, what: str, error: ValidationError) -> CommandError:
    """Tells of values that are not valid: what is wrong, and where."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in errors[:5])
    return CommandError(code, f"{what}: {faults}", errors=errors[:100])
