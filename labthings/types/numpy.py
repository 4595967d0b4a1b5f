"""Numpy arrays as values of properties, and as inputs and outputs of actions.

Clients get them as nested lists in JSON, or in a binary form if they ask for one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import CoreSchema, PydanticCustomError, PydanticSerializationUnexpectedValue, core_schema

from labthings.exceptions import UnsupportedConstraintError
from labthings.types.array_values import DTYPES, Array, Shape, from_json, from_python, is_supported
from labthings.types.markers import ARRAY, ARRAYS_INSIDE
from labthings.types.plain_values import KeptArrays

_JSON_TYPES = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}
_LARGEST_EXACT = 4  # bytes of an integer whose limits every reader of JSON knows exactly


@dataclass(frozen=True)
class ArrayType:
    """What an array must be: ``Annotated[NDArray, ArrayType(dtype="uint16", shape=(None, 3))]``.

    :param dtype: the type of its elements, as numpy names it; any if it is None.
    :param shape: its length along each axis, None for any length; any shape if it is None.
    :raises UnsupportedConstraintError: if there are no such arrays.
    """

    dtype: Any = None
    shape: Shape | None = None

    def __post_init__(self) -> None:
        if self.dtype is not None:
            object.__setattr__(self, "dtype", _dtype(self.dtype))
        if self.shape is not None:
            object.__setattr__(self, "shape", _shape(self.shape))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self._merged_with(_inner_type(source, handler))._core_schema

    def _merged_with(self, inner: ArrayType | None) -> ArrayType:
        if inner is None:
            return self
        dtype = inner.dtype if self.dtype is None else self.dtype
        return replace(self, dtype=dtype, shape=inner.shape if self.shape is None else self.shape)

    @property
    def _core_schema(self) -> CoreSchema:
        # Python mode gives the array itself
        return core_schema.json_or_python_schema(
            core_schema.no_info_plain_validator_function(lambda value: from_json(value, self.dtype, self.shape)),
            core_schema.no_info_plain_validator_function(lambda value: from_python(value, self.dtype, self.shape)),
            serialization=core_schema.plain_serializer_function_ser_schema(_lists, info_arg=True, when_used="json"),
            metadata={ARRAY: self, "pydantic_js_functions": [self._json_schema]},
        )

    def _json_schema(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return _nested(self.shape, _elements(self.dtype))


NDArray: TypeAlias = Annotated[Array, ArrayType()]
"""A numpy array. In JSON it is nested lists."""


class _Denumpified:
    """What makes a dictionary one that may hold arrays and numpy's numbers."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            _without_unfit,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(_builtins, info_arg=True, when_used="json"),
            metadata={ARRAYS_INSIDE: True},
        )


DenumpifyingDict: TypeAlias = Annotated[dict[Any, Any], _Denumpified()]
"""A dictionary that may hold numpy's arrays and numbers anywhere. In JSON they are nested lists and numbers."""


def _dtype(named: Any) -> np.dtype[Any]:
    names = ", ".join(sorted(each.name for each in DTYPES))
    try:
        dtype: np.dtype[Any] = np.dtype(named)
    except TypeError as error:
        raise UnsupportedConstraintError(f"Numpy has no dtype {named!r}. Arrays may be of: {names}.") from error
    if not is_supported(dtype):
        raise UnsupportedConstraintError(f"Arrays cannot be of the dtype {named!r}. They may be of: {names}.")
    return dtype


def _shape(given: Any) -> Shape:
    lengths = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not all(each is None or (isinstance(each, int) and each >= 0) for each in lengths):
        raise UnsupportedConstraintError(
            f"{given!r} is not the shape of an array. Give the length of each axis, or None for any length, "
            "as in `(None, 3)`."
        )
    return lengths


def _inner_type(source: Any, handler: GetCoreSchemaHandler) -> ArrayType | None:
    """What another annotation has said already."""
    try:
        inner = handler(source)
    except PydanticSchemaGenerationError:  # there is none: pydantic itself knows no arrays
        return None
    found = (inner.get("metadata") or {}).get(ARRAY)
    return found if isinstance(found, ArrayType) else None


def _elements(dtype: np.dtype[Any] | None) -> dict[str, Any]:
    if dtype is None:
        return {"anyOf": [{"type": "number"}, {"type": "boolean"}]}
    described: dict[str, Any] = {"type": _JSON_TYPES[dtype.kind]}
    if dtype.kind in "iu" and dtype.itemsize <= _LARGEST_EXACT:
        limits = np.iinfo(dtype)
        described |= {"minimum": int(limits.min), "maximum": int(limits.max)}
    return described


def _nested(shape: Shape | None, elements: dict[str, Any]) -> dict[str, Any]:
    if shape is None:  # lists of elements, of lists of elements, and so on
        members = elements.get("anyOf", [elements])
        return {"type": "array", "items": {"anyOf": [*members, {"type": "array"}]}}
    described = elements
    for length in reversed(shape):
        bounds = {} if length is None else {"minItems": length, "maxItems": length}
        described = {"type": "array", "items": described, **bounds}
    return described


def _lists(array: Any, info: Any) -> Any:
    if not isinstance(array, np.ndarray):
        raise PydanticSerializationUnexpectedValue(f"Expected an array, found {type(array).__name__}")
    may_be_kept = isinstance(info.context, KeptArrays) and is_supported(array.dtype)
    return info.context.keep(array) if may_be_kept else array.tolist()


def _without_unfit(values: dict[Any, Any]) -> dict[Any, Any]:
    for array in _arrays_in(values):
        if not is_supported(array.dtype) and array.dtype.kind not in "US":
            raise PydanticCustomError("array_type", "a {dtype} array has no JSON form", {"dtype": array.dtype.name})
    return values


def _arrays_in(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _arrays_in(each)


def _builtins(value: Any, info: Any) -> Any:
    if isinstance(value, dict):
        return {_builtins(key, info): _builtins(each, info) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_builtins(each, info) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    return _lists(value, info) if isinstance(value, np.ndarray) else value
