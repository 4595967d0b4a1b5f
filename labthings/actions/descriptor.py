"""Methods that clients can invoke."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from inspect import Parameter
from types import MethodType
from typing import Annotated, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from pydantic import Field, TypeAdapter
from typing_extensions import NotRequired, Required, Self

from labthings.base_descriptor import BaseDescriptor, Host
from labthings.exceptions import UnserialisableTypeError
from labthings.introspection import types_of
from labthings.properties.base import adapter_of, typed_dictionary
from labthings.types.markers import holds_arrays

Params = ParamSpec("Params")
ReturnType = TypeVar("ReturnType")


class ActionDescriptor(BaseDescriptor[Any, Any], Generic[Params, ReturnType]):
    """A method that clients can invoke, and that other code calls like any method.

    :param function: the method.
    :param retention_time: how many seconds an invocation is kept after its end.
    :param response_timeout: how many seconds to wait for the end before answering a client that does not say.
    :param use_global_lock: whether it takes the server's global lock, if there is one. By default it does.
    :param safe: whether it leaves everything as it was.
    :param idempotent: whether invoking it twice does no more than invoking it once.
    """

    def __init__(
        self,
        function: Callable[Concatenate[Any, Params], ReturnType],
        *,
        retention_time: float = 300,
        response_timeout: float = 0,
        use_global_lock: bool | None = None,
        safe: bool = False,
        idempotent: bool = False,
    ) -> None:
        super().__init__(docstring=function.__doc__ or "")
        self.function: Callable[..., Any] = function
        self.retention_time = retention_time
        self.response_timeout = response_timeout
        self.takes_global_lock = use_global_lock is not False
        self.safe, self.idempotent = safe, idempotent
        self.is_async = inspect.iscoroutinefunction(function)
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Host, owner: type | None = None) -> Callable[Params, ReturnType]: ...
    def __get__(self, obj: Host | None, owner: type | None = None) -> Self | Callable[Params, ReturnType]:
        if obj is None:
            return self
        if not self.takes_global_lock or obj._thing_server_interface.global_lock is None:
            return MethodType(self.function, obj)
        call: Callable[..., Any] = self._call_async_locked if self.is_async else self._call_locked
        return partial(call, obj)

    def __call__(self, obj: Any, *args: Params.args, **kwargs: Params.kwargs) -> ReturnType:
        result: ReturnType = self.__get__(obj)(*args, **kwargs)
        return result

    @cached_property
    def input_type(self) -> Any:
        """A typed dictionary of the arguments; none if there are none.

        :raises UnserialisableTypeError: if a parameter has no JSON form.
        """
        fields = dict(self._fields())
        takes_others = any(each.kind is Parameter.VAR_KEYWORD for each in self._parameters)
        if not fields and not takes_others:
            return None
        return typed_dictionary(f"{self.name}_input", fields, extra="allow" if takes_others else "forbid")

    @cached_property
    def input_adapter(self) -> TypeAdapter[Any] | None:
        """Validates the arguments, as a dictionary; none if there are none.

        :raises UnserialisableTypeError: if a parameter has no JSON form.
        """
        if self.input_type is None:
            return None
        return adapter_of(self.input_type, self._qualified_name)

    @cached_property
    def output_adapter(self) -> TypeAdapter[Any] | None:
        """Validates and serialises what the action returns; none if that is nothing.

        :raises UnserialisableTypeError: if it has no JSON form.
        """
        returned = self._hints.get("return", Any)
        if returned in (None, type(None)):
            return None
        return adapter_of(returned, self._qualified_name)

    @cached_property
    def returns_arrays(self) -> bool:
        """Whether there may be numpy arrays in what the action returns."""
        return self.output_adapter is not None and holds_arrays(self.output_adapter)

    @cached_property
    def positional_only(self) -> tuple[str, ...]:
        """The names of parameters that can't be given by name in Python, though clients do."""
        return tuple(each.name for each in self._parameters if each.kind is Parameter.POSITIONAL_ONLY)

    def check(self) -> None:
        self.input_adapter, self.output_adapter  # noqa: B018 - made for the errors that they raise

    @cached_property
    def receiver(self) -> str:
        """What the method calls its Thing, usually ``self``."""
        return next(iter(inspect.signature(self.function).parameters))

    @cached_property
    def _parameters(self) -> list[Parameter]:
        return list(inspect.signature(self.function).parameters.values())[1:]

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return types_of(self.function, self.owner)

    def _fields(self) -> Iterator[tuple[str, Any]]:
        for parameter in self._parameters:
            if parameter.kind is Parameter.VAR_POSITIONAL:
                raise UnserialisableTypeError(
                    f"The action '{self._qualified_name}' takes '*{parameter.name}', but clients give arguments "
                    "by name. Declare a parameter that is a list instead."
                )
            if parameter.kind is Parameter.VAR_KEYWORD:
                continue
            annotation = self._described(parameter.name)
            if parameter.default is Parameter.empty:
                yield parameter.name, Required[annotation]
            else:
                yield parameter.name, NotRequired[Annotated[annotation, _default(parameter.default)]]

    def _described(self, name: str) -> Any:
        """A parameter's type, with what the docstring says of it where the annotation says nothing."""
        annotation, text = self._hints.get(name, Any), self.documentation.parameters.get(name)
        if not text or any(getattr(each, "description", None) for each in getattr(annotation, "__metadata__", ())):
            return annotation
        return Annotated[annotation, Field(description=text)]

    def _call_locked(self, obj: Host, *args: Any, **kwargs: Any) -> Any:
        with obj._thing_server_interface.hold_global_lock():
            return self.function(obj, *args, **kwargs)

    async def _call_async_locked(self, obj: Host, *args: Any, **kwargs: Any) -> Any:
        lock = obj._thing_server_interface.global_lock
        assert lock is not None
        async with lock.hold_async():
            return await self.function(obj, *args, **kwargs)


def _default(value: Any) -> Any:
    """A field with a default, which is copied if it can be changed."""
    if hasattr(value, "tolist"):  # numpy's arrays and numbers, which cannot be written in a schema as they are
        return Field(default_factory=value.copy, json_schema_extra={"default": value.tolist()})
    return Field(default=value)
