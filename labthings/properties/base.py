"""What all properties have in common: a type with constraints, validation, and who may write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation
from typing_extensions import TypedDict

from labthings.base_descriptor import FieldTypedBaseDescriptor, Host, Owner, Value
from labthings.exceptions import (
    FeatureNotAvailableError,
    InvalidReturnValueError,
    InvalidValueError,
    MediaTypeMismatchError,
    MissingDefaultError,
    ReadOnlyPropertyError,
    UnserialisableTypeError,
    UnsupportedConstraintError,
)
from labthings.properties.saving import from_saved
from labthings.types.client_json import validated_strictly
from labthings.types.markers import kind_of
from labthings.types.plain_values import plain

CONSTRAINTS = frozenset({"gt", "ge", "lt", "le", "multiple_of", "allow_inf_nan", "min_length", "max_length", "pattern"})


class BaseProperty(FieldTypedBaseDescriptor[Owner, Value]):
    """A property of a Thing.

    :param readonly: whether clients may only read it.
    :param use_global_lock: whether setting it takes the server's global lock, if there is one. By default it does
        where clients may write it.
    :param unit: the unit of its value, as in ``"mm"``.
    :param constraints: limits of its value, by the names that `pydantic.Field` gives them.
    """

    has_default = False
    is_observable = False
    poll: float | None = None
    depends_on: tuple[str, ...] = ()
    is_resettable = False

    def __init__(
        self,
        *,
        readonly: bool = False,
        use_global_lock: bool | None = None,
        unit: str | None = None,
        constraints: Mapping[str, Any] | None = None,
        docstring: str | None = None,
    ) -> None:
        super().__init__(docstring)
        self.readonly = readonly
        self.use_global_lock = use_global_lock
        self.unit = unit
        self.constraints = constraints or {}

    @property
    def constraints(self) -> Mapping[str, Any]:
        """Limits of the value, by the names that `pydantic.Field` gives them.

        :raises UnsupportedConstraintError: on setting one that is not known.
        """
        return self._constraints

    @constraints.setter
    def constraints(self, constraints: Mapping[str, Any]) -> None:
        unknown = ", ".join(sorted(set(constraints) - CONSTRAINTS))
        if unknown:
            known = ", ".join(sorted(CONSTRAINTS))
            raise UnsupportedConstraintError(f"A property has no constraint {unknown}. There are: {known}.")
        self._constraints = dict(constraints)
        self.__dict__.pop("adapter", None)

    @property
    def takes_global_lock(self) -> bool:
        """Whether setting the property takes the global lock, if the server has one."""
        return not self.readonly if self.use_global_lock is None else self.use_global_lock

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Validates and serialises values.

        :raises UnserialisableTypeError: if the type has no JSON form.
        :raises UnsupportedConstraintError: if a constraint does not apply to the type.
        """
        adapter = adapter_of(self.constrained_type, self._qualified_name)
        if self._constraints and kind_of(adapter) == "array":
            raise UnsupportedConstraintError(
                f"'{self._qualified_name}' is an array, so {', '.join(self._constraints)} does not apply. "
                "Annotate it with `ArrayType` for its shape and the type of its elements."
            )
        return adapter

    @property
    def constrained_type(self) -> Any:
        """The type of the value, with the constraints."""
        return Annotated[self.value_type, Field(**self._constraints)] if self._constraints else self.value_type

    def check(self) -> None:
        self.adapter  # noqa: B018 - made for the errors that it raises

    def validated(self, value: Any, obj: Host | None = None) -> Any:
        """A value as the property's type, converted where pydantic does so.

        :raises InvalidValueError: if it does not fit the type or the constraints.
        """
        try:
            return self.adapter.validator.validate_python(value)
        except ValidationError as error:
            raise invalid_value(self._name_in(obj), error) from error
        except TypeError as error:
            raise self._inapplicable(error) from error

    def validated_json(self, body: bytes, obj: Host | None = None) -> Any:
        """The value that a JSON document stands for.

        :raises InvalidValueError: if it is not JSON, or does not fit the type or the constraints.
        """
        try:
            return parsed(self.adapter, body, self._name_in(obj))
        except TypeError as error:
            raise self._inapplicable(error) from error

    def validated_saved(self, document: bytes, obj: Host | None = None) -> Any:
        """The value that was saved as a JSON document.

        :raises InvalidValueError: if it does not fit.
        """
        try:
            return from_saved(self.adapter, document)
        except ValidationError as error:
            raise invalid_value(self._name_in(obj), error) from error
        except TypeError as error:
            raise self._inapplicable(error) from error

    def _name_in(self, obj: Host | None) -> str:
        return f"{obj.name if obj is not None else self.owner.__name__}.{self.name}"

    def _inapplicable(self, error: TypeError) -> UnsupportedConstraintError:
        limits = ", ".join(self._constraints) or "none"
        return UnsupportedConstraintError(
            f"'{self._qualified_name}' cannot be validated: {error}. Do its constraints ({limits}) apply to its type?"
        )

    def default_value(self) -> Any:
        """A new default value.

        :raises MissingDefaultError: if there is none.
        """
        raise MissingDefaultError(f"The property '{self._qualified_name}' has no default.")

    def store(self, obj: Owner, value: Any) -> Any:
        """Set the property to a value that has been validated, whatever the global lock.

        :return: an awaitable if the property has an ``async`` setter.
        """
        raise ReadOnlyPropertyError(f"'{obj.name}.{self.name}' cannot be set.")

    def restore_default(self, obj: Owner) -> Any:
        """Give the property its default value again, whatever the global lock.

        :return: an awaitable if the property has an ``async`` resetter.
        :raises FeatureNotAvailableError: if it cannot be reset.
        """
        raise FeatureNotAvailableError(f"'{obj.name}.{self.name}' cannot be reset.")

    def __set__(self, obj: Owner, value: Value) -> None:
        raise ReadOnlyPropertyError(f"'{obj.name}.{self.name}' cannot be set.")

    def notify(self, obj: Owner) -> None:
        """Tell observers of the present value."""
        obj._thing_server_interface.property_changed(self.name)

    def load(self, obj: Owner, value: Any) -> Any:
        """Store a value that was saved before, without telling anybody.

        :return: an awaitable if the property has an ``async`` setter.
        """
        return self.store(obj, value)

    def hold_lock(self, obj: Owner) -> AbstractContextManager[None]:
        """Hold the global lock, if there is one and the property takes it."""
        lock = obj._thing_server_interface.global_lock
        return lock.hold() if lock is not None and self.takes_global_lock else nullcontext()

    def hold_lock_async(self, obj: Owner) -> AbstractAsyncContextManager[None]:
        """The same, in the event loop."""
        lock = obj._thing_server_interface.global_lock
        return lock.hold_async() if lock is not None and self.takes_global_lock else nullcontext()


def typed_dictionary(name: str, fields: Mapping[str, Any], *, extra: Literal["allow", "forbid"]) -> Any:
    """The type of dictionaries with certain keys.

    :param fields: the type of each key's value, marked ``Required`` where the key must be there.
    :param extra: whether there may be other keys.
    """
    make: Any = TypedDict
    made = make(name, dict(fields), total=False)
    made.__pydantic_config__ = ConfigDict(extra=extra)
    return made


def parsed(adapter: TypeAdapter[Any], document: bytes, name: str) -> Any:
    """The value that a client's JSON document stands for, which must be of the right JSON type: ``"1"`` is no number.

    Whole numbers may have a decimal point, though, since some languages write them so.

    :param name: the affordance, for the error's message.
    :raises InvalidValueError: if it is not JSON, or does not fit.
    """
    try:
        return validated_strictly(adapter, document)
    except ValidationError as error:
        raise invalid_value(name, error) from error


def invalid_value(name: str, error: ValidationError) -> InvalidValueError:
    """pydantic's error, as one that names the affordance."""
    return InvalidValueError(f"{name}: {summary(error)}", _faults(error))


def summary(error: ValidationError) -> str:
    """pydantic's error, in one line."""
    return "; ".join(
        ".".join(map(str, each["loc"])) + (": " if each["loc"] else "") + each["msg"] for each in _faults(error)
    )


def _faults(error: ValidationError) -> list[dict[str, Any]]:
    """What is wrong and where, without pydantic's words before the message of a `ValueError`."""
    return [
        {"loc": list(each["loc"]), "msg": each["msg"].removeprefix("Value error, "), "type": each["type"]}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def adapter_of(value_type: Any, name: str) -> TypeAdapter[Any]:
    """Validates and serialises values of a type.

    :param name: the affordance, for the error's message.
    :raises NameError: if a model in it mentions a name that is not defined (yet).
    :raises UnserialisableTypeError: if the type has no JSON form.
    :raises UnsupportedConstraintError: if a constraint does not apply to the type.
    """
    with _refused_types(name):
        adapter: TypeAdapter[Any] = TypeAdapter(value_type)
        adapter.rebuild(raise_errors=True)  # does nothing, unless a model was defined before what it is made of
    return adapter


@contextmanager
def _refused_types(name: str) -> Iterator[None]:
    """Turn pydantic's errors about types into ones that name the attribute."""
    try:
        yield
    except PydanticUndefinedAnnotation as error:
        reason = str(error).partition("\n")[0]
        raise NameError(f"The type of '{name}' has annotations that cannot be evaluated: {reason}.") from error
    except PydanticSchemaGenerationError as error:
        reason = str(error).partition("\n")[0]
        if "numpy.ndarray" in reason:
            reason = "Annotate arrays with `labthings.types.numpy.NDArray`."
        raise UnserialisableTypeError(f"The type of '{name}' has no JSON form. {reason}") from error
    except TypeError as error:
        raise UnsupportedConstraintError(f"A constraint of '{name}' does not apply to its type: {error}") from error


def serialised(adapter: TypeAdapter[Any], value: Any, name: object, validate: bool = True) -> bytes:
    """What a Thing's own code returned, as JSON.

    :param name: the affordance, for the error's message.
    :param validate: whether the value may not fit the type.
    :raises InvalidReturnValueError: if it does not fit the type, or has no JSON form.
    """
    if validate:
        value = checked(adapter, value, name)
    try:  # with a word for `warnings`, pydantic lets go of the GIL, so that the event loop and the thread wait in turn
        return adapter.serializer.to_json(value, by_alias=True, warnings=False if validate else "error")
    except ValueError as error:  # pydantic-core's serialisation errors
        raise _without_form(name, "has no JSON form", error) from error


def told_plainly(adapter: TypeAdapter[Any], value: Any, name: object, validate: bool = True) -> Any:
    """What a Thing's own code returned, in mappings, lists, strings, numbers, arrays; or bytes.

    :param name: the affordance, for the error's message.
    :param validate: whether the value may not fit the type.
    :raises InvalidReturnValueError: if it does not fit the type, or cannot be told so.
    """
    if validate:
        value = checked(adapter, value, name)
    try:
        return plain(adapter, value)
    except ValueError as error:  # pydantic-core's serialisation errors
        raise _without_form(name, "cannot be sent", error) from error


def checked(adapter: TypeAdapter[Any], value: Any, name: object) -> Any:
    """What a Thing's own code returned, as its type.

    :param name: the affordance, for the error's message.
    :raises InvalidReturnValueError: if it does not fit the type.
    :raises MediaTypeMismatchError: if it is a blob of another media type.
    """
    try:
        return adapter.validator.validate_python(value)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            cause = each.get("ctx", {}).get("error")
            if isinstance(cause, MediaTypeMismatchError):
                raise MediaTypeMismatchError(f"'{name}' returned another media type: {cause}") from error
        raise InvalidReturnValueError(
            f"'{name}' returned a value that does not fit its type: {summary(error)}"
        ) from error


def checked_argument(adapter: TypeAdapter[Any], value: Any, name: str) -> tuple[Any, bytes]:
    """What a Thing's own code tells, as its type and as JSON.

    :param name: the affordance, for the error's message.
    :raises InvalidValueError: if it does not fit the type, or has no JSON form.
    """
    try:
        valid = adapter.validator.validate_python(value)
        return valid, adapter.serializer.to_json(valid, by_alias=True, warnings="error")
    except ValidationError as error:
        raise invalid_value(name, error) from error
    except ValueError as error:  # pydantic-core's serialisation errors
        raise InvalidValueError(f"{name}: this has no JSON form: {error}{_hint(error)}") from error


def _without_form(name: object, fault: str, error: ValueError) -> InvalidReturnValueError:
    return InvalidReturnValueError(f"'{name}' returned a value that {fault}: {error}{_hint(error)}")


def _hint(error: ValueError) -> str:
    is_numpys = "<class 'numpy." in str(error)
    return ". Numpy's numbers and arrays may be in a `labthings.types.numpy.DenumpifyingDict`" if is_numpys else ""
