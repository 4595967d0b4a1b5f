"""A client with the attributes and methods that a Thing Description asks for."""

from __future__ import annotations

import re
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar, cast

from labthings.client.docstring import action_docstring, property_docstring, thing_docstring
from labthings.client.remote_thing import RemoteThing
from labthings.client.signature import ActionSignature
from labthings.suggestions import did_you_mean
from labthings.thing_description.model import ActionAffordance, PropertyAffordance, ThingDescription

Client = TypeVar("Client", bound="DescribedClient")


class DescribedClient(ABC):
    """What the clients that block and those that are awaited have in common.

    :param thing: the Thing.
    """

    _settable: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, thing: RemoteThing) -> None:
        self._thing = thing

    @property
    def thing_description(self) -> ThingDescription:
        """What the server says of the Thing."""
        return self._thing.description

    @abstractmethod
    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do what an attribute or a method stands for."""

    @abstractmethod
    def _write(self, name: str, value: Any) -> None:
        """Do what setting a property's attribute stands for."""

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
        if name in self._thing.events:
            return AttributeError(f"{self._thing.name}.{name} is an event. Use `subscribe({name!r})`.")
        known = [*self._thing.properties, *self._thing.actions]
        text = f"{self._thing.name} has no property or action '{name}'.{did_you_mean(name, known)}"
        return AttributeError(text, name=name)  # without `obj`, so that Python does not add a suggestion to ours

    def _not_settable(self, name: str) -> AttributeError:
        if name in self._thing.actions:
            return AttributeError(f"{self._thing.name}.{name} is an action. Call it instead of setting it.")
        if name in self._thing.events:
            return AttributeError(f"{self._thing.name}.{name} is an event, which the Thing's own code emits.")
        if hasattr(type(self), name):
            return AttributeError(f"'{name}' cannot be set: it belongs to the client.")
        text = f"{self._thing.name} has no property '{name}'.{did_you_mean(name, self._thing.properties)}"
        return AttributeError(text, name=name)


class PropertyAttribute:
    """An attribute of a client that stands for a property of the Thing."""

    def __init__(self, name: str, affordance: PropertyAffordance) -> None:
        self._name = name
        self.__doc__ = property_docstring(affordance)

    def __get__(self, client: DescribedClient | None, owner: type[DescribedClient]) -> Any:
        return self if client is None else client._run(client._thing.properties[self._name].read())

    def __set__(self, client: DescribedClient, value: Any) -> None:
        client._write(self._name, value)


def described(cls: type[Client], face: type[DescribedClient], description: ThingDescription) -> type[Client]:
    """A subclass with the attributes and methods that the Thing Description asks for.

    :param face: the class of LabThings that ``cls`` is, or is made from. They take the place of its attributes, but
        not of those of its subclasses.
    """
    class_name = re.sub(r"\W+", "_", description.title or "Thing") + "Client"
    own = {name for each in cls.__mro__[: cls.__mro__.index(face)] for name in vars(each)}
    attributes: dict[str, Any] = {
        **{name: _method(class_name, name, each) for name, each in description.actions.items()},
        **{name: PropertyAttribute(name, each) for name, each in description.properties.items()},
    }
    namespace = {name: each for name, each in attributes.items() if name not in own and not _is_internal(name, face)}
    namespace |= {"_settable": own | description.properties.keys()}
    namespace |= {"__doc__": thing_docstring(description), "__module__": cls.__module__}
    return cast(type[Client], types.new_class(class_name, (cls,), exec_body=lambda body: body.update(namespace)))


def _is_internal(name: str, face: type[DescribedClient]) -> bool:
    return name == "_thing" or name.startswith("__") or (name.startswith("_") and hasattr(face, name))


def _method(class_name: str, name: str, affordance: ActionAffordance) -> Callable[..., Any]:
    signature = ActionSignature(affordance)

    def method(self: DescribedClient, /, *args: Any, **kwargs: Any) -> Any:
        try:
            arguments = signature.bind(args, kwargs)
        except TypeError as error:
            raise TypeError(f"{name}{signature}: {error}") from None
        return self._run(self._thing.actions[name].invoke(arguments))

    method.__name__, method.__qualname__, method.__module__ = name, f"{class_name}.{name}", __name__
    method.__doc__ = action_docstring(affordance)
    method.__annotations__ = signature.annotations
    vars(method)["__signature__"] = signature.of_method
    return method
