"""Descriptors that know their name, class, type and documentation, and info objects that describe them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload
from weakref import WeakKeyDictionary, ref

from typing_extensions import Self

from labthings.exceptions import (
    DescriptorAddedToClassTwiceError,
    DescriptorNotAddedToClassError,
    InconsistentTypeError,
    MissingTypeError,
    NotBoundToInstanceError,
)
from labthings.introspection import (
    MISSING,
    Documentation,
    SourceLocation,
    annotation_of,
    attribute_docstring,
    calling_location,
    documentation,
)
from labthings.suggestions import did_you_mean
from labthings.thing_server_interface import ThingServerInterface

Owner = TypeVar("Owner", bound="Host")
Value = TypeVar("Value")


class Host(Protocol):
    """What a descriptor needs of the Thing that it is an attribute of."""

    _thing_server_interface: ThingServerInterface
    _validate_properties_on_set: ClassVar[bool]

    @property
    def name(self) -> str: ...
    @property
    def logger(self) -> Any: ...


class BaseDescriptor(Generic[Owner, Value]):
    """An attribute of a Thing's class that LabThings makes available to clients or fills in.

    :param docstring: what documents it; by default, the string literal beneath the attribute.
    """

    def __init__(self, docstring: str | None = None) -> None:
        self._name: str | None = None
        self._owner: ref[type] | None = None
        self._is_checked = False
        self._docstring = docstring
        self._location: SourceLocation = calling_location()

    def __set_name__(self, owner: type, name: str) -> None:
        if self._name is not None:
            raise DescriptorAddedToClassTwiceError(
                f"'{owner.__name__}.{name}' and '{self._qualified_name}' are one object. Each attribute needs its own."
            )
        self._name, self._owner = name, ref(owner)
        if self._docstring is None:
            self._docstring = attribute_docstring(self._location)

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Owner, owner: type | None = None) -> Value: ...
    def __get__(self, obj: Owner | None, owner: type | None = None) -> Self | Value:
        return self if obj is None else self.instance_get(obj)

    def instance_get(self, obj: Owner) -> Value:
        """The attribute's value on an instance."""
        raise AttributeError(f"'{self._qualified_name}' has no value.")

    @property
    def name(self) -> str:
        """The attribute's name.

        :raises DescriptorNotAddedToClassError: if it is not an attribute yet.
        """
        if self._name is None:
            kind = type(self).__name__
            raise DescriptorNotAddedToClassError(f"A {kind} was used that is not an attribute of a class.")
        return self._name

    @property
    def owner(self) -> type:
        """The class in whose body the attribute stands."""
        owner = self._owner() if self._owner is not None else None
        if owner is None:
            raise DescriptorNotAddedToClassError(f"The class of a {type(self).__name__} does not exist (any more).")
        return owner

    @cached_property
    def documentation(self) -> Documentation:
        return documentation(self._docstring, self.name)

    @property
    def title(self) -> str:
        """The first line of the docstring, or the name."""
        return self.documentation.title

    @property
    def description(self) -> str | None:
        """The docstring after its first line."""
        return self.documentation.description

    def check(self) -> None:
        """Raise whatever is wrong with the definition, once the class is complete.

        :raises NameError: if its type mentions a name that is not defined (yet).
        """

    def check_once(self) -> None:
        """Do the same, unless it is known that nothing is wrong."""
        if not self._is_checked:
            self.check()
            self._is_checked = True

    @property
    def _qualified_name(self) -> str:
        owner = self._owner() if self._owner is not None else None
        return f"{owner.__name__ if owner else '?'}.{self._name}"


class FieldTypedBaseDescriptor(BaseDescriptor[Owner, Value]):
    """A descriptor whose type is the attribute's annotation.

    It may also be given as a subscript, ``DataProperty[Any, int](...)``.
    """

    __orig_class__: Any

    def check(self) -> None:
        self.value_type  # noqa: B018 - evaluated for the errors it raises

    @cached_property
    def value_type(self) -> Any:
        """The type of the attribute's value.

        :raises MissingTypeError: if it is not annotated.
        :raises InconsistentTypeError: if it has two types that disagree.
        """
        annotated, subscript = annotation_of(self.owner, self.name), self._subscript
        if annotated is MISSING and subscript is MISSING:
            raise MissingTypeError(
                f"'{self._qualified_name}' has no type. Annotate it, as in `{self.name}: float = ...`."
            )
        if annotated is MISSING:
            return subscript
        if subscript is not MISSING and subscript != annotated:
            raise InconsistentTypeError(
                f"'{self._qualified_name}' is annotated as {annotated!r}, but its value says {subscript!r}."
            )
        return annotated

    @property
    def _subscript(self) -> Any:
        arguments = getattr(getattr(self, "__orig_class__", None), "__args__", ())
        return arguments[-1] if arguments and not isinstance(arguments[-1], TypeVar) else MISSING


Descriptor = TypeVar("Descriptor", bound=BaseDescriptor[Any, Any])
Info = TypeVar("Info", bound="DescriptorInfo[Any]")


class DescriptorInfo(Generic[Descriptor]):
    """An affordance of a class, or of one Thing.

    :param descriptor: the attribute of the class.
    :param thing: the Thing; none to describe the affordance of the class.
    """

    def __init__(self, descriptor: Descriptor, thing: Host | None = None) -> None:
        self.descriptor = descriptor
        self._thing = thing
        self.name = descriptor.name
        self.title = descriptor.title
        self.description = descriptor.description

    @property
    def is_bound(self) -> bool:
        """Whether this is an affordance of one Thing."""
        return self._thing is not None

    @property
    def thing(self) -> Host:
        """The Thing.

        :raises NotBoundToInstanceError: if this is an affordance of a class.
        """
        if self._thing is None:
            raise NotBoundToInstanceError(
                f"'{self}' belongs to a class, which has no values. Ask an instance of it instead."
            )
        return self._thing

    def __str__(self) -> str:
        host = self._thing.name if self._thing is not None else self.descriptor.owner.__name__
        return f"{host}.{self.name}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class InfoCollection(Mapping[str, Info]):
    """The affordances of one kind, by name."""

    def __init__(self, infos: Mapping[str, Info]) -> None:
        self._infos = dict(infos)

    def __getitem__(self, name: str) -> Info:
        if name not in self._infos:
            raise KeyError(f"There is no '{name}' here.{did_you_mean(name, self._infos)}")
        return self._infos[name]

    def __contains__(self, name: object) -> bool:
        return name in self._infos

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self._infos) or 'nothing'}>"


Collection = TypeVar("Collection", bound="InfoCollection[Any]")


class Affordances(Generic[Descriptor, Collection]):
    """Gives the affordances of one kind, of a class or of an instance.

    :param kind: the class of the descriptors.
    :param info: makes an info object of a descriptor and an instance.
    :param collection: the mapping to give.
    """

    def __init__(
        self,
        kind: type[Descriptor],
        info: Callable[[Descriptor, Host | None], Any],
        collection: type[Collection],
    ) -> None:
        self._kind, self._info, self._collection = kind, info, collection
        self._key = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = f"_{name}_collection"

    def __get__(self, obj: Host | None, owner: type) -> Collection:
        if obj is None:
            return self._collect(owner, None)
        found: Collection | None = obj.__dict__.get(self._key)
        if found is None:
            found = obj.__dict__.setdefault(self._key, self._collect(type(obj), obj))
        return found

    def _collect(self, cls: type, obj: Host | None) -> Collection:
        descriptors = descriptors_of(cls, self._kind)
        return self._collection({name: self._info(each, obj) for name, each in descriptors.items()})


def descriptors_of(cls: type, kind: type[Descriptor]) -> Mapping[str, Descriptor]:
    """A class's descriptors of one kind, by name, in the order in which they were defined."""
    by_kind = _found.setdefault(cls, {})
    if kind not in by_kind:
        by_kind[kind] = _find_descriptors(cls, kind)
    return by_kind[kind]


def faults_of(cls: type) -> Mapping[str, Exception]:
    """What is wrong with a class's descriptors, now that all that they mention should be defined, by their names."""
    found: dict[str, Exception] = {}
    for name, descriptor in descriptors_of(cls, BaseDescriptor).items():
        try:
            descriptor.check_once()
        except Exception as error:  # noqa: BLE001 - one that is wrong must not hide the others
            found[name] = error
    return found


def _find_descriptors(cls: type, kind: type[Descriptor]) -> Mapping[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, kind):
                found[name] = value
            else:
                found.pop(name, None)
    return found


_found: WeakKeyDictionary[type, dict[type, Mapping[str, Any]]] = WeakKeyDictionary()
