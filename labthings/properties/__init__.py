"""Properties of Things: values that clients can read, write and observe; and settings, which are kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from labthings.exceptions import (
    MissingDefaultError,
    MissingTypeError,
    OverspecifiedDefaultError,
    PropertyNotObservableError,
    PropertyRedefinitionError,
    ReadOnlyPropertyError,
    UnsupportedConstraintError,
)
from labthings.introspection import MISSING
from labthings.properties.base import BaseProperty
from labthings.properties.data import DataProperty
from labthings.properties.functional import FunctionalProperty
from labthings.properties.info import PropertyCollection, PropertyInfo, SettingCollection, SettingInfo
from labthings.properties.settings import BaseSetting, DataSetting, FunctionalSetting

Owner = TypeVar("Owner")
Value = TypeVar("Value")


@overload
def property(getter: Callable[[Any], Value], /) -> FunctionalProperty[Any, Value]: ...
@overload
def property(
    *,
    default: Value,
    readonly: bool = False,
    use_global_lock: bool | None = None,
    unit: str | None = None,
    **constraints: Any,
) -> Value: ...
@overload
def property(
    *,
    default_factory: Callable[[], Value],
    readonly: bool = False,
    use_global_lock: bool | None = None,
    unit: str | None = None,
    **constraints: Any,
) -> Value: ...
def property(
    getter: Any = MISSING,
    /,
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    readonly: bool = False,
    use_global_lock: bool | None = None,
    unit: str | None = None,
    **constraints: Any,
) -> Any:
    """Declare a property of a Thing: ``speed: float = lt.property(default=1.0)``, or a decorator of a getter.

    :param getter: when used as a decorator, the method that returns the value.
    :param default: the value at first. Each Thing gets a copy.
    :param default_factory: makes the value at first, instead of ``default``.
    :param readonly: whether clients may only read it. The Thing's own code may still set it.
    :param use_global_lock: whether setting it takes the server's global lock, if there is one.
    :param unit: the unit of the value, as in ``"mm"``.
    :param constraints: ``gt``, ``ge``, ``lt``, ``le``, ``multiple_of``, ``allow_inf_nan``, ``min_length``,
        ``max_length`` and ``pattern``, as for `pydantic.Field`.
    :raises MissingDefaultError: if there is neither a getter nor a default.
    :raises OverspecifiedDefaultError: if there is more than one of them.
    :raises UnsupportedConstraintError: if a constraint is not one of those.
    """
    if getter is not MISSING:
        _check_getter(getter, default, default_factory)
        return FunctionalProperty(getter)
    return DataProperty(
        default,
        default_factory=default_factory,
        readonly=readonly,
        use_global_lock=use_global_lock,
        unit=unit,
        constraints=constraints,
    )


@overload
def setting(getter: Callable[[Any], Value], /) -> FunctionalSetting[Any, Value]: ...
@overload
def setting(
    *,
    default: Value,
    readonly: bool = False,
    use_global_lock: bool | None = None,
    unit: str | None = None,
    **constraints: Any,
) -> Value: ...
@overload
def setting(
    *,
    default_factory: Callable[[], Value],
    readonly: bool = False,
    use_global_lock: bool | None = None,
    unit: str | None = None,
    **constraints: Any,
) -> Value: ...
def setting(
    getter: Any = MISSING,
    /,
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    readonly: bool = False,
    use_global_lock: bool | None = None,
    unit: str | None = None,
    **constraints: Any,
) -> Any:
    """Declare a setting of a Thing: a property that is kept on disk, and has its value again after a restart.

    It takes the parameters of `property`. A functional setting needs a setter, which loads the value too.

    :raises MissingDefaultError: if there is neither a getter nor a default.
    :raises OverspecifiedDefaultError: if there is more than one of them.
    :raises UnsupportedConstraintError: if a constraint is not known.
    """
    if getter is not MISSING:
        _check_getter(getter, default, default_factory)
        return FunctionalSetting(getter)
    return DataSetting(
        default,
        default_factory=default_factory,
        readonly=readonly,
        use_global_lock=use_global_lock,
        unit=unit,
        constraints=constraints,
    )


def _check_getter(getter: Any, default: Any, default_factory: Any) -> None:
    if not callable(getter):
        raise MissingDefaultError(f"Name the default value, as in `default={getter!r}`.")
    if default is not MISSING or default_factory is not None:
        raise OverspecifiedDefaultError("A property has a getter or a default, not both.")


__all__ = [
    "BaseProperty",
    "BaseSetting",
    "DataProperty",
    "DataSetting",
    "FunctionalProperty",
    "FunctionalSetting",
    "MissingDefaultError",
    "MissingTypeError",
    "OverspecifiedDefaultError",
    "PropertyCollection",
    "PropertyInfo",
    "PropertyNotObservableError",
    "PropertyRedefinitionError",
    "ReadOnlyPropertyError",
    "SettingCollection",
    "SettingInfo",
    "UnsupportedConstraintError",
    "property",
    "setting",
]
