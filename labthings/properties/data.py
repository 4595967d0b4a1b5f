"""Properties that hold a value."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, overload

from typing_extensions import Self

from labthings.base_descriptor import Owner, Value
from labthings.exceptions import InvalidValueError, MissingDefaultError, OverspecifiedDefaultError
from labthings.introspection import MISSING
from labthings.properties.base import BaseProperty, serialised


class DataProperty(BaseProperty[Owner, Value]):
    """A property that holds a value, which observers are told of when it is set.

    :param default: its value at first. Each Thing gets a copy.
    :param default_factory: makes its value at first, instead of ``default``.
    :raises MissingDefaultError: if neither is given.
    :raises OverspecifiedDefaultError: if both are.
    """

    has_default = True
    is_observable = True

    def __init__(
        self,
        default: Value = MISSING,
        *,
        default_factory: Callable[[], Value] | None = None,
        readonly: bool = False,
        use_global_lock: bool | None = None,
        unit: str | None = None,
        constraints: Mapping[str, Any] | None = None,
        docstring: str | None = None,
    ) -> None:
        if default is MISSING and default_factory is None:
            raise MissingDefaultError(
                "A data property needs a `default` or a `default_factory`. The decorator of a getter takes no "
                "brackets, unless `poll`, `depends_on` or `observable=True` is in them."
            )
        if default is not MISSING and default_factory is not None:
            raise OverspecifiedDefaultError("A data property takes a `default` or a `default_factory`, not both.")
        super().__init__(
            readonly=readonly,
            use_global_lock=use_global_lock,
            unit=unit,
            constraints=constraints,
            docstring=docstring,
        )
        self._default_factory = default_factory or (lambda: copy.deepcopy(default))
        self._makes_default = default_factory is not None

    def check(self) -> None:
        super().check()
        if "adapter" in self.__dict__ and not self._makes_default:
            self.default_value()  # which finds constraints that do not apply to it

    @property
    def is_resettable(self) -> bool:  # type: ignore[override]
        return not self.readonly

    def default_value(self) -> Any:
        """A new default value, as the property's type if it fits that."""
        value = self._default_factory()
        try:
            return self.validated(value)
        except InvalidValueError:  # existing Things have defaults such as None; reading one tells what is wrong
            return value

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Owner, owner: type | None = None) -> Value: ...
    def __get__(self, obj: Owner | None, owner: type | None = None) -> Self | Value:
        if obj is None:
            return self
        try:
            return obj.__dict__[self._name]  # type: ignore[no-any-return, index]
        except KeyError:
            return obj.__dict__.setdefault(self.name, self.default_value())  # type: ignore[no-any-return]

    def instance_get(self, obj: Owner) -> Value:
        return self.__get__(obj)

    def __set__(self, obj: Owner, value: Value) -> None:
        if obj._validate_properties_on_set:
            value = self.validated(value, obj)
        if obj._thing_server_interface.global_lock is None:  # the usual case, in little time
            self.store(obj, value)
        else:
            with self.hold_lock(obj):
                self.store(obj, value)

    def store(self, obj: Owner, value: Any) -> None:
        name, interface = self._name, obj._thing_server_interface
        with interface.property_lock:  # so that what is published last is what is stored
            obj.__dict__[name] = value  # type: ignore[index]
            if interface.is_observed(name):  # type: ignore[arg-type]
                interface.publish_property(name, value, self._to_json(obj))  # type: ignore[arg-type]

    def notify(self, obj: Owner) -> None:
        interface = obj._thing_server_interface
        self.__get__(obj)  # which makes its default value, if it has not been set yet
        with interface.property_lock:  # or else another thread might set it between reading and publishing it
            interface.publish_property(self.name, obj.__dict__[self.name], self._to_json(obj))

    def restore_default(self, obj: Owner) -> None:
        self.store(obj, self.default_value())

    def load(self, obj: Owner, value: Any) -> None:
        obj.__dict__[self.name] = value

    def _to_json(self, obj: Owner) -> Callable[[Any], bytes]:
        """Makes JSON of a value, just as for those who read it."""
        if obj._validate_properties_on_set:
            return partial(self.adapter.serializer.to_json, by_alias=True, warnings="error")
        return partial(serialised, self.adapter, name=f"{obj.name}.{self.name}")
