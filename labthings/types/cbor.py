"""CBOR with typed arrays (RFC 8746), at any depth."""

from __future__ import annotations

import struct
from math import prod
from typing import Any

import cbor2
import numpy as np

from labthings.exceptions import InvalidValueError
from labthings.types.array_values import Array, is_supported, require_binary_form, shown

_TYPES = {
    **dict(enumerate(("|u1", ">u2", ">u4", ">u8", "|u1", "<u2", "<u4", "<u8"), 64)),  # 68: the clamped kind
    **dict(enumerate(("|i1", ">i2", ">i4", ">i8"), 72)),
    **dict(enumerate(("<i2", "<i4", "<i8"), 77)),
    **dict(enumerate((">f2", ">f4", ">f8"), 80)),
    **dict(enumerate(("<f2", "<f4", "<f8"), 84)),
}
_TAGS = {name: tag for tag, name in _TYPES.items() if tag != 68}
_ROW_MAJOR, _COLUMN_MAJOR, _HOMOGENEOUS = 40, 1040, 41
_REFUSED = (25, 28, 29, 35, 36, 256)  # references, by which few bytes may stand for no end of values; and code


def dumps(value: Any) -> bytes:
    """A value as CBOR.

    :param value: mappings, lists, strings, numbers, arrays, bytes.
    :raises ValueError: if it has something else in it.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind != "b":
        return _typed_array(value)  # in less memory
    try:
        return cbor2.dumps(value, default=_encode)
    except cbor2.CBOREncodeError as error:
        raise ValueError(f"{_cause(error)}") from error


def loads(document: bytes) -> Any:
    """The value that CBOR stands for.

    :raises InvalidValueError: if it is not CBOR, or incomplete, or has something in it that is not understood.
    """
    try:
        return cbor2.loads(document, tag_hook=_decode, semantic_decoders=dict.fromkeys(_REFUSED, _refuse))
    except (cbor2.CBORDecodeError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        raise InvalidValueError(f"This is not CBOR that can be used: {_cause(error)}") from error


def _encode(encoder: cbor2.CBOREncoder, value: Any) -> None:
    if isinstance(value, np.generic):
        encoder.encode(value.item())
    elif isinstance(value, np.ndarray):
        require_binary_form(value)
        encoder.encode(cbor2.CBORTag(_ROW_MAJOR, [list(value.shape), _elements(value)]))
    else:
        raise ValueError(f"a {type(value).__name__} has no CBOR form")


def _elements(array: Array) -> cbor2.CBORTag:
    if array.dtype.kind == "b":  # there are no typed arrays of booleans
        return cbor2.CBORTag(_HOMOGENEOUS, array.ravel().tolist())
    return cbor2.CBORTag(_TAGS[array.dtype.str], array.tobytes())


def _typed_array(array: Array) -> bytes:
    """An array as CBOR, with its elements copied only once."""
    require_binary_form(array)
    ordered = np.asarray(array, order="C")
    empty = cbor2.dumps(cbor2.CBORTag(_ROW_MAJOR, [list(array.shape), _elements(np.empty(0, array.dtype))]))
    return b"".join((empty[:-1], struct.pack(">BQ", 0x5B, array.nbytes), ordered.data))


def _decode(tag: cbor2.CBORTag, immutable: bool) -> Any:
    if tag.tag in _TYPES:
        return _flat(tag.value, np.dtype(_TYPES[tag.tag]))
    if tag.tag in (_ROW_MAJOR, _COLUMN_MAJOR):
        return _shaped(tag.value, "C" if tag.tag == _ROW_MAJOR else "F")
    if tag.tag == _HOMOGENEOUS:
        # booleans have no typed arrays, so that is what they come as
        is_empty = isinstance(tag.value, list | tuple) and not tag.value
        return np.empty(0, bool) if is_empty else _numbers(tag.value)
    raise ValueError(f"the tag {tag.tag} is not understood")


def _flat(octets: Any, dtype: np.dtype[Any]) -> Array:
    if not isinstance(octets, bytes) or len(octets) % dtype.itemsize:
        raise ValueError(f"a typed array of {dtype.name} is not a byte string of whole elements")
    return np.array(np.frombuffer(octets, dtype))  # a copy, since bytes cannot be changed


def _shaped(parts: Any, order: Any) -> Array:
    shape, elements = parts if isinstance(parts, list | tuple) and len(parts) == 2 else (None, None)
    if not isinstance(shape, list | tuple) or not all(type(each) is int and each >= 0 for each in shape):
        raise ValueError("an array with axes is not a list of its shape and its elements")
    flat = _numbers(elements)
    if prod(shape) != flat.size:
        raise ValueError(f"an array of shape {shown(shape)} has {prod(shape)} elements, but there are {flat.size}")
    shaped: Array = flat.reshape(tuple(shape), order=order)
    return np.asarray(shaped, order="C")


def _numbers(elements: Any) -> Array:
    array: Array = np.asarray(elements)
    if not isinstance(elements, np.ndarray | list | tuple) or array.ndim != 1 or not is_supported(array.dtype):
        raise ValueError("the elements of an array are not a list of numbers or booleans, or a typed array")
    return array


def _refuse(value: Any, immutable: bool) -> Any:
    raise ValueError("references, regular expressions and mails are not accepted")


def _cause(error: Exception) -> str:
    return str(error.__cause__ or error)
