"""Properties whose value comes from a getter."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from inspect import iscoroutinefunction
from math import inf
from typing import Any, overload

from typing_extensions import Self

from labthings.base_descriptor import Host, Owner, Value, descriptors_of
from labthings.exceptions import (
    DependencyError,
    FeatureNotAvailableError,
    InconsistentTypeError,
    MissingDefaultError,
    MissingTypeError,
    OverspecifiedDefaultError,
    PropertyRedefinitionError,
    ReadOnlyPropertyError,
    UnsupportedConstraintError,
)
from labthings.introspection import MISSING, annotation_of, types_of
from labthings.properties.base import BaseProperty
from labthings.suggestions import did_you_mean
from labthings.workers import is_in_event_loop


class FunctionalProperty(BaseProperty[Owner, Value]):
    """A property that is read by calling a method, and may be set by calling another.

    Its type is what the getter is annotated to return. In the class's body, ``readonly``, ``constraints``, ``unit``,
    ``default``, ``default_factory`` and ``use_global_lock`` may be assigned to.

    :param getter: the method that returns its value.
    :param poll: how many seconds pass between the readings that observers are told of.
    :param depends_on: the properties that it is computed from, or their names.
    :param observable: whether it can be observed though neither of these is given, as the Thing says when it changes.
    """

    def __init__(
        self,
        getter: Callable[[Owner], Value],
        *,
        poll: float | None = None,
        depends_on: Sequence[Any] = (),
        observable: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(docstring=getter.__doc__ or "", **options)
        self.poll = poll
        self._depends_on = tuple(depends_on)
        self._observable = observable
        self._getter: Callable[[Any], Any] = getter
        self._setter: Callable[[Any, Any], Any] | None = None
        self._inherited_setter: Callable[[Any, Any], Any] | None = None
        self._resetter: Callable[[Any], Any] | None = None
        self._default: Any = MISSING
        self._default_factory: Callable[[], Any] | None = None

    # --- the definition -----------------------------------------------------------------------------------------

    def setter(self, setter: Callable[[Any, Any], Any]) -> Any:
        """Use a method to set the property.

        :param setter: takes the new value. It may have the getter's name, or another.
        :raises PropertyRedefinitionError: if the property has a setter already.
        """
        same_name = setter.__name__ == self._getter.__name__
        if self._name is not None and same_name:
            return self._copy().setter(setter)
        if self._name is not None:
            raise PropertyRedefinitionError(
                f"'{self._qualified_name}' belongs to another class. To change its setter in a subclass, "
                f"call the setter '{self._name}' too."
            )
        if self._setter is not None and self._setter is not self._inherited_setter:
            raise PropertyRedefinitionError(f"The property '{self._getter.__name__}' has two setters.")
        self._setter = setter
        return self if same_name else setter

    def resetter(self, resetter: Callable[[Any], Any]) -> Any:
        """Use a method to reset the property.

        :param resetter: takes no arguments. It must have another name than the getter.
        :raises PropertyRedefinitionError: if the property has a resetter already, or it has the getter's name.
        """
        if self._resetter is not None or self._name is not None:
            raise PropertyRedefinitionError(f"The property '{self._getter.__name__}' is defined already.")
        if resetter.__name__ == self._getter.__name__:
            raise PropertyRedefinitionError(f"The resetter of '{resetter.__name__}' needs a name of its own.")
        self._resetter = resetter
        return resetter

    @property
    def default(self) -> Any:
        """The value that documentation gives as the default.

        :raises MissingDefaultError: if there is none.
        """
        return self.default_value()

    @default.setter
    def default(self, default: Any) -> None:
        if self._default_factory is not None:
            raise OverspecifiedDefaultError(f"'{self._getter.__name__}' has a default factory already.")
        self._default = default

    @property
    def default_factory(self) -> Callable[[], Any] | None:
        """Makes the value that documentation gives as the default."""
        return self._default_factory

    @default_factory.setter
    def default_factory(self, factory: Callable[[], Any]) -> None:
        if self._default is not MISSING:
            raise OverspecifiedDefaultError(f"'{self._getter.__name__}' has a default already.")
        self._default_factory = factory

    @property
    def readonly(self) -> bool:
        """Whether clients may only read it."""
        return self._readonly or self._setter is None

    @readonly.setter
    def readonly(self, readonly: bool) -> None:
        self._readonly = readonly

    @property
    def is_observable(self) -> bool:  # type: ignore[override]
        return self._observable or self.poll is not None or bool(self._depends_on)

    @property
    def depends_on(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of the properties that it is computed from."""
        return tuple(each if isinstance(each, str) else each.name for each in self._depends_on)

    def check(self) -> None:
        self._check_observation()
        super().check()

    def _check_observation(self) -> None:
        if self.poll is not None and not 0 < self.poll < inf:
            raise UnsupportedConstraintError(
                f"'{self._qualified_name}' cannot be polled every {self.poll!r} s. Give a number of seconds above 0."
            )
        for each in self._depends_on:
            if not isinstance(each, str | BaseProperty):
                raise DependencyError(
                    f"'{self._qualified_name}' depends on {each!r}, which is neither a property nor the name of one."
                )
        for name in self.depends_on:
            self._check_dependency(name)

    def _check_dependency(self, name: str) -> None:
        other = getattr(self.owner, name, None)
        if not isinstance(other, BaseProperty) or name == self.name:
            others = [each for each in descriptors_of(self.owner, BaseProperty) if each != self.name]
            raise DependencyError(
                f"'{self._qualified_name}' depends on '{name}', which is not another property of {self.owner.__name__}."
                f"{did_you_mean(name, others)}"
            )
        if not other.is_observable:
            raise DependencyError(
                f"'{self._qualified_name}' depends on '{name}', which does not say when it changes. "
                "Declare that with `poll`, `depends_on` or `observable=True`."
            )

    @property
    def is_resettable(self) -> bool:  # type: ignore[override]
        return self._resetter is not None and not self._readonly

    @cached_property
    def value_type(self) -> Any:
        returned = types_of(self._getter, self.owner).get("return", MISSING)
        if returned is MISSING:
            raise MissingTypeError(
                f"The getter of '{self._qualified_name}' does not say what it returns. "
                f"Annotate it, as in `def {self.name}(self) -> float:`."
            )
        for other, place in ((annotation_of(self.owner, self.name), "annotation"), (self._set_type, "setter")):
            if other is not MISSING and other != returned:
                raise InconsistentTypeError(
                    f"'{self._qualified_name}' returns {returned!r}, but its {place} says {other!r}."
                )
        return returned

    @property
    def has_default(self) -> bool:  # type: ignore[override]
        return self._default is not MISSING or self._default_factory is not None

    def default_value(self) -> Any:
        if self._default_factory is not None:
            return self._default_factory()
        if self._default is MISSING:
            raise MissingDefaultError(f"The property '{self._getter.__name__}' has no default.")
        return copy.deepcopy(self._default)

    # --- values -------------------------------------------------------------------------------------------------

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Owner, owner: type | None = None) -> Value: ...
    def __get__(self, obj: Owner | None, owner: type | None = None) -> Self | Value:
        return self if obj is None else self._getter(obj)

    def instance_get(self, obj: Owner) -> Value:
        return self._getter(obj)  # type: ignore[no-any-return]

    def __set__(self, obj: Owner, value: Value) -> None:
        self._require_setter(obj)
        valid = self.validated(value, obj) if obj._validate_properties_on_set else value
        if self.has_async_setter:
            if is_in_event_loop():
                raise FeatureNotAvailableError(
                    f"'{obj.name}.{self.name}' has an async setter, so in the event loop it is set by "
                    f"`await thing.properties['{self.name}'].set_async(value)`."
                )
            obj._thing_server_interface.call_async_task(self._store_async, obj, valid)
            return
        with self.hold_lock(obj):
            self.store(obj, valid)

    def store(self, obj: Owner, value: Any) -> Any:
        return self._told(obj, self._require_setter(obj)(obj, value), self.has_async_setter)

    def restore_default(self, obj: Owner) -> Any:
        if self._resetter is None:
            raise FeatureNotAvailableError(f"'{obj.name}.{self.name}' has no resetter, so it cannot be reset.")
        return self._told(obj, self._resetter(obj), self.has_async_resetter)

    @property
    def has_async_getter(self) -> bool:
        return iscoroutinefunction(self._getter)

    @property
    def has_async_setter(self) -> bool:
        return iscoroutinefunction(self._setter)

    @property
    def has_async_resetter(self) -> bool:
        return iscoroutinefunction(self._resetter)

    # --- helpers ------------------------------------------------------------------------------------------------

    def _told(self, obj: Owner, changed: Any, is_async: bool) -> Any:
        """What a setter or resetter returned, observers being told when it is through."""
        if not self.is_observable:
            return changed
        if is_async:
            return self._tell_after(obj, changed)
        self.notify(obj)
        return changed

    async def _tell_after(self, obj: Owner, change: Awaitable[None]) -> None:
        await change
        self.notify(obj)

    async def _store_async(self, obj: Owner, value: Any) -> None:
        async with self.hold_lock_async(obj):
            await self.store(obj, value)

    def _require_setter(self, obj: Host) -> Callable[[Any, Any], Any]:
        if self._setter is None:
            raise ReadOnlyPropertyError(f"'{obj.name}.{self.name}' cannot be set: it has no setter.")
        return self._setter

    @property
    def _set_type(self) -> Any:
        if self._setter is None:
            return MISSING
        hints = types_of(self._setter, self.owner)
        names = self._setter.__code__.co_varnames[1:2] if hasattr(self._setter, "__code__") else ()
        return next((hints[name] for name in names if name in hints), MISSING)

    def _copy(self) -> Self:
        """This property, for a subclass to change."""
        clone = copy.copy(self)
        clone._name = clone._owner = None
        clone._is_checked = False
        clone._inherited_setter = self._setter
        for cached in ("adapter", "value_type", "documentation"):
            clone.__dict__.pop(cached, None)
        return clone
