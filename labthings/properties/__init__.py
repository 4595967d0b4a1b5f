"""Properties of Things: values that clients can read, write and observe; and settings, which are kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, overload

from labthings.exceptions import (
    DependencyError,
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
@overload
def property(
    *,
    poll: float | None = None,
    depends_on: Sequence[Any] = (),
    observable: bool = False,
    readonly: bool = False,
    use_global_lock: bool | None = None,
    unit: str | None = None,
    **constraints: Any,
) -> Callable[[Callable[[Any], Value]], FunctionalProperty[Any, Value]]: ...
def property(
    getter: Any = MISSING,
    /,
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    poll: float | None = None,
    depends_on: Sequence[Any] = (),
    observable: bool = False,
    readonly: bool = False,
    use_global_lock: bool | None = None,
    unit: str | None = None,
    **constraints: Any,
) -> Any:
    """Declare a property of a Thing: ``speed: float = lt.property(default=1.0)``, or a decorator of a getter.

    Observers of a property that holds a value are told whenever it is set. A getter has to say how they are to be
    told, as in ``@lt.property(poll=0.5)``; one that does not cannot be observed.

    :param getter: when used as a decorator, the method that returns the value.
    :param poll: how many seconds pass between two calls of the getter, while somebody observes the property.
    :param depends_on: properties that the getter's value is computed from, or their names: when one of them changes,
        the getter is called.
    :param observable: whether the Thing says when the value changes, by ``self.properties["speed"].notify()``.
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
    telling = {"poll": poll, "depends_on": _dependencies(depends_on), "observable": observable}
    options = {
        "readonly": readonly,
        "use_global_lock": use_global_lock,
        "unit": unit,
        "constraints": constraints,
    }
    return _declared(FunctionalProperty, DataProperty, getter, default, default_factory, telling, options)


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
@overload
def setting(
    *,
    poll: float | None = None,
    depends_on: Sequence[Any] = (),
    observable: bool = False,
    readonly: bool = False,
    use_global_lock: bool | None = None,
    unit: str | None = None,
    **constraints: Any,
) -> Callable[[Callable[[Any], Value]], FunctionalSetting[Any, Value]]: ...
def setting(
    getter: Any = MISSING,
    /,
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    poll: float | None = None,
    depends_on: Sequence[Any] = (),
    observable: bool = False,
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
    telling = {"poll": poll, "depends_on": _dependencies(depends_on), "observable": observable}
    options = {
        "readonly": readonly,
        "use_global_lock": use_global_lock,
        "unit": unit,
        "constraints": constraints,
    }
    return _declared(FunctionalSetting, DataSetting, getter, default, default_factory, telling, options)


_TELLS_NOTHING: dict[str, Any] = {"poll": None, "depends_on": (), "observable": False}


def _declared(
    functional: type[FunctionalProperty[Any, Any]],
    data: type[DataProperty[Any, Any]],
    getter: Any,
    default: Any,
    default_factory: Any,
    telling: dict[str, Any],
    options: dict[str, Any],
) -> Any:
    """What a declaration makes: a descriptor, or a decorator if it says how a getter's changes become known."""
    if getter is not MISSING:
        _check_getter(getter, default, default_factory)
        return functional(getter)
    if telling != _TELLS_NOTHING:
        _check_has_no_default(default, default_factory)
        return partial(functional, **telling, **options)
    return data(default, default_factory=default_factory, **options)


def _dependencies(depends_on: Any) -> tuple[Any, ...]:
    if isinstance(depends_on, str | BaseProperty):
        raise DependencyError('`depends_on` is a list of properties or their names, as in `depends_on=["position"]`.')
    return tuple(depends_on)


def _check_has_no_default(default: Any, default_factory: Any) -> None:
    if default is not MISSING or default_factory is not None:
        raise OverspecifiedDefaultError(
            "`poll`, `depends_on` and `observable` are for getters. A property that holds a value tells its observers "
            "of it whenever it is set."
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
