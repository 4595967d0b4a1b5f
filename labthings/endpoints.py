"""Methods that are served by FastAPI as they are, beside the affordances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload

from typing_extensions import Self

from labthings.base_descriptor import BaseDescriptor, Host
from labthings.introspection import types_of

Params = ParamSpec("Params")
ReturnType = TypeVar("ReturnType")
HTTPMethod = Literal["get", "post", "put", "delete", "patch", "head", "options"]


class EndpointDescriptor(BaseDescriptor[Any, Any], Generic[Params, ReturnType]):
    """A method that FastAPI serves.

    :param function: the method.
    :param method: the HTTP method that it answers.
    :param path: its path below the Thing's; by default its name.
    :param options: further arguments of FastAPI's decorator for that HTTP method.
    """

    def __init__(
        self,
        function: Callable[Concatenate[Any, Params], ReturnType],
        method: str,
        path: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(docstring=function.__doc__ or "")
        self.function: Callable[..., Any] = function
        self.method = method.upper()
        self.options = options or {}
        self._path = path
        self.__doc__ = function.__doc__

    def check(self) -> None:
        types_of(self.function, self.owner)  # for the error that it raises

    @property
    def path(self) -> str:
        """Its path below the Thing's, without a slash at the start."""
        return self.name if self._path is None else self._path.lstrip("/")

    @property
    def is_page(self) -> bool:
        """Whether it is a page for people, which can be opened as it is."""
        answer = self.options.get("response_class")
        media_type = getattr(answer, "media_type", None)
        return self.method == "GET" and "{" not in self.path and media_type == "text/html"

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Host, owner: type | None = None) -> Callable[Params, ReturnType]: ...
    def __get__(self, obj: Host | None, owner: type | None = None) -> Self | Callable[Params, ReturnType]:
        if obj is None:
            return self
        bound: Callable[Params, ReturnType] = self.function.__get__(obj)
        return bound


def endpoint(
    method: HTTPMethod, path: str | None = None, **kwargs: Any
) -> Callable[[Callable[Concatenate[Any, Params], ReturnType]], EndpointDescriptor[Params, ReturnType]]:
    """Serve a method over HTTP without making it an action, such as a file to download at a known URL.

    It works as FastAPI's ``@app.get`` and its like do, and does not appear in the Thing Description.

    :param method: the HTTP method that it answers.
    :param path: its path below the Thing's; by default its name.
    :param kwargs: further arguments of FastAPI's decorator for that HTTP method.
    """
    return lambda function: EndpointDescriptor(function, method, path, kwargs)
