"""Properties that hold a value."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, overload

from pydantic import ValidationError
from typing_extensions import Self

from labthings.base_descriptor import Host, Owner, Value
from labthings.exceptions import InvalidValueError, MissingDefaultError, OverspecifiedDefaultError
from labthings.introspection import MISSING
from labthings.properties.base import BaseProperty, invalid_value, serialised
from labthings.properties.live import check_live, is_live_type, model_of, model_of_data, readable_json
from labthings.properties.property_document import PropertyDocument
from labthings.state import ReactiveModel, document_of
from labthings.state.reading import validated


class _FalseUntilKnown(cached_property[bool]):
    """Whether something is so, found out once; or not, while a name that it depends on is not defined yet."""

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        try:
            return super().__get__(obj, owner)
        except NameError:
            return False


class DataProperty(BaseProperty[Owner, Value]):
    """A property that holds a value, which observers are told of when it is set.

    If its type is a `ReactiveModel`, the value is live state, which is changed in place. Setting the property replaces
    the contents of the one that is there.

    :param default: its value at first. Each Thing gets a copy.
    :param default_factory: makes its value at first, instead of ``default``.
    :raises MissingDefaultError: if neither is given.
    :raises OverspecifiedDefaultError: if both are.
    """

    has_default = True
    is_observable = True
    is_saved = False

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
        if default_factory is not None and not callable(default_factory):
            raise MissingDefaultError(
                f"A `default_factory` is called to make the default value, which {default_factory!r} cannot be. Give a "
                "class or a function, without brackets after it."
            )
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
        check_live(self.value_type, self.adapter, self._qualified_name)
        if not self._makes_default:
            value = self.default_value()  # which finds constraints that do not apply to it
            if self.is_live:
                self._check_first(value)

    @property
    def is_resettable(self) -> bool:  # type: ignore[override]
        return not self.readonly

    @_FalseUntilKnown
    def is_live(self) -> bool:
        """Whether it is live state. As long as its type cannot be looked up, nobody knows."""
        return is_live_type(self.value_type)

    def document(self, obj: Owner) -> PropertyDocument:
        """The live state."""
        document: Any = document_of(self.__get__(obj))
        return document  # type: ignore[no-any-return]

    def validated_json(self, body: bytes, obj: Host | None = None) -> Any:
        if self.is_live:
            body = readable_json(body, self.value_type, self._name_in(obj))
        return super().validated_json(body, obj)

    def validated_saved(self, document: bytes, obj: Host | None = None) -> Any:
        if not self.is_live:
            return super().validated_saved(document, obj)
        try:
            return validated(model_of(self.value_type), document, name=f"'{self._name_in(obj)}'")
        except ValidationError as error:
            raise invalid_value(self._name_in(obj), error) from error

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
            return obj.__dict__.setdefault(self.name, self._first(obj, self.default_value()))  # type: ignore[no-any-return]

    def instance_get(self, obj: Owner) -> Value:
        return self.__get__(obj)

    def __set__(self, obj: Owner, value: Value) -> None:
        if obj._validate_properties_on_set:
            value = (self._validated_live if self.is_live else self.validated)(value, obj)
        if obj._thing_server_interface.global_lock is None:  # the usual case, in little time
            self.store(obj, value)
        else:
            with self.hold_lock(obj):
                self.store(obj, value)

    def store(self, obj: Owner, value: Any) -> None:
        if self.is_live:
            self.document(obj).replace(self._validated_live(value, obj))
            return
        name, interface = self._name, obj._thing_server_interface
        with interface.property_lock:  # so that what is published last is what is stored
            obj.__dict__[name] = value  # type: ignore[index]
            if interface.is_observed(name):  # type: ignore[arg-type]
                interface.publish_property(name, value, self._to_json(obj))  # type: ignore[arg-type]

    def _validated_live(self, value: Any, obj: Owner) -> Any:
        if not isinstance(value, Mapping):
            return self.validated(value, obj)
        try:
            return model_of_data(value, self.value_type, self._name_in(obj))
        except ValidationError as error:
            raise invalid_value(self._name_in(obj), error) from error

    def notify(self, obj: Owner) -> None:
        interface = obj._thing_server_interface
        self.__get__(obj)  # which makes its default value, if it has not been set yet
        if self.is_live:
            self.document(obj).notify()
            return
        with interface.property_lock:  # or else another thread might set it between reading and publishing it
            interface.publish_property(self.name, obj.__dict__[self.name], self._to_json(obj))

    def restore_default(self, obj: Owner) -> None:
        self.store(obj, self.default_value())

    def load(self, obj: Owner, value: Any) -> None:
        if self.is_live and self.name in obj.__dict__:
            self.document(obj).replace(value)
        else:
            obj.__dict__[self.name] = self._first(obj, value)

    def _first(self, obj: Owner, value: Any) -> Any:
        """A value to begin with."""
        if not self.is_live:
            return value
        model = self._check_first(value)
        return PropertyDocument(model, obj._thing_server_interface, self.name, is_saved=self.is_saved).model

    def _check_first(self, value: Any) -> ReactiveModel:
        """A value for live state to begin with.

        :raises InvalidValueError: if it is of another class: a default may be anything.
        """
        model: ReactiveModel = self.validated(value)
        if type(model) is not model_of(self.value_type):
            raise InvalidValueError(
                f"The default of '{self._qualified_name}' is a {type(model).__name__}: it must be a "
                f"{model_of(self.value_type).__name__}, as the property's type says."
            )
        return model

    def _to_json(self, obj: Owner) -> Callable[[Any], bytes]:
        """Makes JSON of a value, just as for those who read it."""
        if obj._validate_properties_on_set:
            return partial(self.adapter.serializer.to_json, by_alias=True, warnings="error")
        return partial(serialised, self.adapter, name=f"{obj.name}.{self.name}")
