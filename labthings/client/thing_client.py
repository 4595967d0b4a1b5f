"""A Thing on a server, with its properties as attributes and its actions as methods."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, TypeVar, cast

from typing_extensions import Self

from labthings.client.docstring import action_docstring, property_docstring, thing_docstring
from labthings.client.remote_thing import RemoteThing, suggestion
from labthings.client.signature import ActionSignature
from labthings.http_client import HTTPClient
from labthings.thing_description.model import ActionAffordance, PropertyAffordance, ThingDescription

Client = TypeVar("Client", bound="ThingClient")


class ThingClient:
    """Uses a Thing on a server, over HTTP.

    `from_url` makes one with the Thing's properties as attributes and its actions as methods, which block until the
    action has ended. They take the place of this class's own attributes of the same name, but not of those that begin
    with an underscore, nor of those of a subclass: `get_property`, `set_property` and `invoke_action` still reach them.
    It may be used by several threads at once.

    :param thing: the Thing. Use `from_url` instead.
    """

    _settable: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, thing: RemoteThing) -> None:
        self._thing = thing

    @classmethod
    def from_url(cls, thing_url: str, client: HTTPClient | None = None) -> Self:
        """Use the Thing at a URL.

        :param thing_url: the URL of the Thing, which is also that of its Thing Description. Requests go where that
            says. If it speaks of another address than this one, as it may behind a proxy, they go to this one.
        :param client: makes the requests: an ``httpx.Client``, or anything with its interface, such as the test client
            of a server. By default, one is opened, and closed with the ThingClient.
        :raises ThingUnavailableError: if there is no Thing at the URL, or it cannot be reached.
        """
        thing = RemoteThing.at(str(thing_url), client)
        return _described(cls, thing.description)(thing)

    def get_property(self, name: str) -> Any:
        """Read a property.

        :raises ClientPropertyError: if the server refuses, or cannot be reached.
        """
        return self._thing.property(name).read()

    def set_property(self, name: str, value: Any) -> None:
        """Write a property.

        :raises ClientPropertyError: if the server refuses, or cannot be reached.
        """
        self._thing.property(name).write(value)

    def invoke_action(self, name: str, /, **kwargs: Any) -> Any:
        """Run an action, and return its output.

        :raises FailedToInvokeActionError: if the server refuses to start it, or cannot be reached.
        :raises ServerActionError: if it ends in an error.
        :raises InvocationCancelledError: if somebody cancels it.
        :raises GlobalLockBusyError: if something else holds the server's global lock.
        """
        return self._thing.action(name).invoke(kwargs)

    @property
    def thing_description(self) -> ThingDescription:
        """What the server says of the Thing."""
        return self._thing.description

    def close(self) -> None:
        """Close the connections to the server, unless the client that makes them was given."""
        self._thing.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thing.connection.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._thing.url}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also when there is no Thing yet, as in a copy
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        raise self._no_attribute(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in self._settable:
            raise self._not_settable(name)
        super().__setattr__(name, value)

    def _no_attribute(self, name: str) -> AttributeError:
        if name in self._thing.streams:
            url = self._thing.streams[name]
            return AttributeError(f"{self._thing.name}.{name} is a stream: see {url}/viewer in a web browser.")
        known = [*self._thing.properties, *self._thing.actions]
        text = f"{self._thing.name} has no property or action '{name}'.{suggestion(name, known)}"
        return AttributeError(text, name=name)  # without `obj`, so that Python does not add a suggestion to ours

    def _not_settable(self, name: str) -> AttributeError:
        if name in self._thing.actions:
            return AttributeError(f"{self._thing.name}.{name} is an action. Call it instead of setting it.")
        if hasattr(type(self), name):
            return AttributeError(f"'{name}' cannot be set: it belongs to ThingClient.")
        text = f"{self._thing.name} has no property '{name}'.{suggestion(name, self._thing.properties)}"
        return AttributeError(text, name=name)


class PropertyAttribute:
    """An attribute of a ThingClient that stands for a property of the Thing."""

    def __init__(self, name: str, affordance: PropertyAffordance) -> None:
        self._name = name
        self.__doc__ = property_docstring(affordance)

    def __get__(self, client: ThingClient | None, owner: type[ThingClient]) -> Any:
        return self if client is None else client._thing.properties[self._name].read()

    def __set__(self, client: ThingClient, value: Any) -> None:
        client._thing.properties[self._name].write(value)


def _described(cls: type[Client], description: ThingDescription) -> type[Client]:
    """A subclass with the attributes and methods that the Thing Description asks for."""
    class_name = re.sub(r"\W+", "_", description.title or "Thing") + "Client"
    own = {name for each in cls.__mro__[: cls.__mro__.index(ThingClient)] for name in vars(each)}
    attributes: dict[str, Any] = {
        **{name: _method(class_name, name, each) for name, each in description.actions.items()},
        **{name: PropertyAttribute(name, each) for name, each in description.properties.items()},
    }
    namespace = {name: each for name, each in attributes.items() if name not in own and not _is_internal(name)}
    namespace |= {"_settable": own | description.properties.keys()}
    namespace |= {"__doc__": thing_docstring(description), "__module__": cls.__module__}
    return cast(type[Client], type(class_name, (cls,), namespace))


def _is_internal(name: str) -> bool:
    return name == "_thing" or name.startswith("__") or (name.startswith("_") and hasattr(ThingClient, name))


def _method(class_name: str, name: str, affordance: ActionAffordance) -> Callable[..., Any]:
    signature = ActionSignature(affordance)

    def method(self: ThingClient, /, *args: Any, **kwargs: Any) -> Any:
        try:
            arguments = signature.bind(args, kwargs)
        except TypeError as error:
            raise TypeError(f"{name}{signature}: {error}") from None
        return self._thing.actions[name].invoke(arguments)

    method.__name__, method.__qualname__, method.__module__ = name, f"{class_name}.{name}", __name__
    method.__doc__ = action_docstring(affordance)
    method.__annotations__ = signature.annotations
    vars(method)["__signature__"] = signature.of_method
    return method
