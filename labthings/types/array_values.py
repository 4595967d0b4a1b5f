"""Arrays from what Python code or a JSON document has, without loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from pydantic_core import PydanticCustomError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Shape: TypeAlias = tuple[int | None, ...]

_NAMES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"
DTYPES = frozenset(map(np.dtype, _NAMES.split()))
"""The types of elements that there are, on the wire and in Things."""

_EXACT = 2**53  # a float64 beyond this may stand for another whole number
_JSON_NAMES = {str: "a string", dict: "an object", list: "a list", type(None): "null", bool: "a boolean"}
_UNFIT = {
    "c": "complex numbers have no JSON form: use two arrays, or one with another axis",
    "O": "they are no numbers of up to 64 bits",
}


def is_supported(dtype: np.dtype[Any]) -> bool:
    """Whether elements of a type can be sent, in whichever byte order."""
    return dtype.newbyteorder("=") in DTYPES


def require_binary_form(array: Array) -> None:
    """Check that an array can be sent.

    :raises ValueError: if it cannot.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise ValueError("a masked array has no binary form: use its `filled` method to make an ordinary one")
    if not is_supported(array.dtype):
        raise ValueError(f"an array of {array.dtype} has no binary form")


def from_python(value: Any, dtype: np.dtype[Any] | None, shape: Shape | None) -> Array:
    """An array, or nested sequences of numbers, as an array. One that fits is not copied.

    :param dtype: the type of elements that is wanted; any if it is None.
    :param shape: the shape that is wanted, with None for any length; any if it is None.
    :raises PydanticCustomError: if it does not fit, or some of its values would change.
    """
    expected = described(dtype, shape)
    if isinstance(value, np.ma.MaskedArray):
        raise _fault("array_masked", expected, "a masked array: use its `filled` method to make an ordinary one")
    try:
        array = _exact(np.asarray(value), value)
    except (ValueError, TypeError, OverflowError) as error:
        raise _fault("array_ragged", expected, _reason(error)) from None
    if not is_supported(array.dtype):
        raise _fault("array_type", expected, _unsupported(value, array))
    rounds = not isinstance(value, np.ndarray | np.generic)  # a number that is written out has no precision of its own
    return _fitted(array, dtype, shape, rounds)


def from_json(value: Any, dtype: np.dtype[Any] | None, shape: Shape | None) -> Array:
    """Nested lists of numbers or booleans from a JSON document, as an array. ``null`` is read as NaN.

    :param dtype: the type of elements that is wanted; any if it is None.
    :param shape: the shape that is wanted, with None for any length; any if it is None.
    :raises PydanticCustomError: if they do not fit.
    """
    expected = described(dtype, shape)
    if not isinstance(value, list) and shape != ():
        raise _fault("array_type", expected, _json_name(type(value)))
    kinds = _kinds_of_elements(value, expected) if isinstance(value, list) else {type(value)}
    _check_kinds(kinds, dtype, expected)
    is_float = type(None) in kinds or (dtype is not None and dtype.kind == "f")
    try:
        array = np.array(value, np.float64) if is_float else _exact(np.array(value), value)
    except (ValueError, OverflowError) as error:
        raise _fault("array_ragged", expected, _reason(error)) from None
    if array.dtype.kind == "O":
        raise _fault("array_value", expected, "numbers that take more than 64 bits")
    return _fitted(array, dtype, shape, rounds=True)


def described(dtype: np.dtype[Any] | None, shape: Shape | None) -> str:
    """An array, in words."""
    elements = "" if dtype is None else f" of {dtype.name}"
    return f"an array{elements}" + ("" if shape is None else f" of shape {shown(shape)}")


def shown(shape: Sequence[int | None]) -> str:
    """A shape, as numpy writes it, with an asterisk for any length."""
    return str(tuple(shape)).replace("None", "*")


def _exact(array: Array, value: Any) -> Array:
    """The same, but not rounded: numpy makes floating-point numbers of lists of small and very large integers."""
    if array is value or array.dtype != np.float64 or not (np.abs(array) >= 2.0**63).any():
        return array
    objects = np.array(value, dtype=object)
    if not all(isinstance(each, int | np.integer) for each in objects.flat):
        return array
    return objects if objects.min() < 0 else objects.astype(np.uint64)


def _fitted(array: Array, dtype: np.dtype[Any] | None, shape: Shape | None, rounds: bool) -> Array:
    if shape is not None:
        array = _with_lost_axes(array, shape)
        if not _has_shape(array, shape):
            raise _fault("array_shape", described(dtype, shape), f"{array.dtype.name} of shape {shown(array.shape)}")
    return array if dtype is None or array.dtype == dtype else _converted(array, dtype, shape, rounds)


def _has_shape(array: Array, shape: Shape) -> bool:
    return array.ndim == len(shape) and all(
        wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
    )


def _with_lost_axes(array: Array, shape: Shape) -> Array:
    """An empty list stands for an array without elements, however many axes that has."""
    if array.size or array.ndim >= len(shape):
        return array
    return array.reshape(*array.shape, *(length or 0 for length in shape[array.ndim :]))


def _converted(array: Array, dtype: np.dtype[Any], shape: Shape | None, rounds: bool) -> Array:
    with np.errstate(all="ignore"):
        converted = array.astype(dtype)
        changed = _overflown(array, converted) if rounds and dtype.kind == "f" else _changed(array, converted)
    if changed.any():
        limits = f" (from {_limits(dtype)})" if dtype.kind in "iu" else ""
        found = f"{array[changed].flat[0]!s} among values of {array.dtype.name}"
        cure = "" if dtype.kind != "f" else f": use `array.astype({dtype.name!r})` if they may be rounded"
        raise _fault("array_value", described(dtype, shape) + limits, found + cure)
    return converted


def _overflown(array: Array, converted: Array) -> Any:
    return np.isinf(converted) & np.isfinite(array)


def _changed(array: Array, converted: Array) -> Any:
    changed = (converted.astype(array.dtype) != array) | ((converted < 0) != (array < 0))
    if array.dtype.kind == "f" and converted.dtype.kind == "f":
        return changed & ~np.isnan(array)
    return changed | (np.abs(array) > _EXACT) if array.dtype.kind == "f" else changed


def _limits(dtype: np.dtype[Any]) -> str:
    limits = np.iinfo(dtype)
    return f"{limits.min} to {limits.max}"


def _kinds_of_elements(value: list[Any], expected: str) -> set[type]:
    kinds = set(map(type, value))
    if list not in kinds:
        return kinds
    if len(kinds) > 1:
        raise _fault("array_ragged", expected, "lists beside other values")
    return set().union(*(_kinds_of_elements(each, expected) for each in value))


def _check_kinds(kinds: set[type], dtype: np.dtype[Any] | None, expected: str) -> None:
    """Booleans, numbers and nulls are different things in JSON."""
    allowed: set[type] = {bool} if dtype is not None and dtype.kind == "b" else {int, float}
    if dtype is None and bool in kinds:
        allowed = {bool}
    elif dtype is None or dtype.kind == "f":
        allowed.add(type(None))
    if bool in kinds and kinds & {int, float}:
        raise _fault("array_type", expected, "booleans beside numbers")
    for kind in kinds - allowed:
        raise _fault("array_type", expected, f"{_json_name(kind)} in it")


def _reason(error: Exception) -> str:
    """Why numpy made no array of it."""
    if isinstance(error, OverflowError):
        return "numbers that are too large"
    return "lists that are of unequal lengths, or too deep inside each other"


def _json_name(kind: type) -> str:
    return _JSON_NAMES.get(kind, "a number")


def _unsupported(value: Any, array: Array) -> str:
    if isinstance(value, bytes):
        return "octets that are not told the type of: the header `Array-DType` tells it, as in '<u2'"
    if array.ndim == 0 and not isinstance(value, np.ndarray | np.generic | complex):
        return f"a {type(value).__name__}"
    reason = _UNFIT.get(array.dtype.kind, f"the types of elements are {_NAMES.replace(' ', ', ')}")
    return f"{array.dtype.name} of shape {shown(array.shape)}: {reason}"


def _fault(kind: str, expected: str, found: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "expected {expected}, found {found}", {"expected": expected, "found": found})
