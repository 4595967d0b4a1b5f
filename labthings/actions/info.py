"""What is known about an action of a class or of a Thing."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import quote

import pydantic_core
from pydantic import TypeAdapter

from labthings.actions.descriptor import ActionDescriptor
from labthings.base_descriptor import DescriptorInfo, InfoCollection
from labthings.exceptions import InvalidValueError
from labthings.properties.base import parsed, serialised, told_plainly


class ActionInfo(DescriptorInfo[ActionDescriptor[Any, Any]]):
    """An action of a class, or of one Thing."""

    @cached_property
    def path(self) -> str:
        """The path of its URL, as in ``/stage/move_to``."""
        return self.thing._thing_server_interface.path + quote(self.name)

    @property
    def input_adapter(self) -> TypeAdapter[Any] | None:
        """Validates its arguments, as a dictionary; none if it takes no arguments."""
        return self.descriptor.input_adapter

    @property
    def output_adapter(self) -> TypeAdapter[Any] | None:
        """Validates and serialises what it returns; none if it returns nothing."""
        return self.descriptor.output_adapter

    @property
    def safe(self) -> bool:
        """Whether it leaves everything as it was."""
        return self.descriptor.safe

    @property
    def idempotent(self) -> bool:
        """Whether invoking it twice does no more than invoking it once."""
        return self.descriptor.idempotent

    @property
    def retention_time(self) -> float:
        """How many seconds an invocation is kept after its end."""
        return self.descriptor.retention_time

    @property
    def response_timeout(self) -> float:
        """How many seconds an invocation is waited for when the client does not say."""
        return self.descriptor.response_timeout

    def validate_json(self, document: bytes) -> dict[str, Any]:
        """The arguments that a JSON document stands for; nothing, ``null`` and ``{}`` are no arguments.

        :raises InvalidValueError: if it is not JSON, or does not fit.
        """
        document = document.strip()
        if document in (b"", b"null"):
            document = b"{}"
        if self.input_adapter is None:
            return self._no_arguments(document)
        arguments: dict[str, Any] = parsed(self.input_adapter, document, str(self))
        if self.descriptor.receiver in arguments:
            raise InvalidValueError(f"{self}: '{self.descriptor.receiver}' cannot be the name of an argument.")
        return arguments

    def input_to_json(self, arguments: dict[str, Any]) -> bytes:
        """The arguments as JSON, to show what an invocation was given."""
        if self.input_adapter is None:
            return b"{}"
        return self.input_adapter.serializer.to_json(arguments, by_alias=True, warnings=False, fallback=str)

    def output_to_json(self, output: Any) -> bytes:
        """What the action returned, as JSON.

        :raises InvalidReturnValueError: if it does not fit the type, or has no JSON form.
        """
        return serialised(self.output_adapter or _NOTHING, output, self)

    @property
    def returns_arrays(self) -> bool:
        """Whether there may be numpy arrays in what it returns."""
        return self.descriptor.returns_arrays

    def output_to_plain(self, output: Any) -> Any:
        """What the action returned, in mappings, lists, strings, numbers, arrays.

        :raises InvalidReturnValueError: if it does not fit the type, or cannot be told so.
        """
        return told_plainly(self.output_adapter or _NOTHING, output, self)

    def call(self, arguments: dict[str, Any]) -> Any:
        """Run the action's code with validated arguments."""
        positional = [arguments.pop(name) for name in self.descriptor.positional_only if name in arguments]
        return self.descriptor.function(self.thing, *positional, **arguments)

    def _no_arguments(self, document: bytes) -> dict[str, Any]:
        try:
            sent = pydantic_core.from_json(document)
        except ValueError as error:
            raise InvalidValueError(f"{self}: the input is not JSON: {error}") from error
        if sent != {}:
            raise InvalidValueError(f"{self}: this action takes no input, so send none, `null` or `{{}}`.")
        return {}


class ActionCollection(InfoCollection[ActionInfo]):
    """The actions of a class or of a Thing, by name."""


_NOTHING: TypeAdapter[Any] = TypeAdapter(None)
