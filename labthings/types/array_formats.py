"""Arrays and bytes as clients and servers send them to each other."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from labthings.exceptions import InvalidValueError
from labthings.types import cbor
from labthings.types.array_values import Array, is_supported, require_binary_form, shown
from labthings.types.media_types import ARRAY_DTYPE, ARRAY_SHAPE, CBOR, NPY, OCTETS

_MAGIC = b"\x93NUMPY"
_HEADERS = {1: (2, 10), 2: (4, 12)}  # by version: how many bytes tell the length of the header, and where it begins
_LONGEST_HEADER = 10_000
_UNREADABLE = (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError)


def media_types_for(value: Any) -> tuple[str, ...]:
    """The binary forms that a value has."""
    if isinstance(value, np.ndarray):
        return NPY, OCTETS, CBOR
    return (OCTETS, CBOR) if isinstance(value, bytes) else (CBOR,)


def encode(value: Any, media_type: str) -> tuple[dict[str, str], bytes]:
    """A value in one of its binary forms.

    :param value: mappings, lists, strings, numbers, arrays, bytes.
    :param media_type: one of `media_types_for` it.
    :return: headers that tell of the type and shape, where these are needed; and the bytes.
    :raises ValueError: if it cannot be told so.
    """
    if media_type == CBOR:
        return {}, cbor.dumps(value)
    if isinstance(value, bytes):
        return {}, value
    require_binary_form(value)
    return _to_npy(value) if media_type == NPY else _to_octets(value)


def decode(body: bytes, media_type: str, headers: Mapping[str, str]) -> Any:
    """The value that a body stands for.

    :param media_type: without parameters.
    :param headers: of the request or the response that it came with, in small letters.
    :raises InvalidValueError: if it is not of that media type, or incomplete.
    """
    if media_type == CBOR:
        return cbor.loads(body)
    if media_type == NPY:
        return _from_npy(body)
    if ARRAY_DTYPE not in headers:
        return body
    dtype = _dtype(headers[ARRAY_DTYPE])
    shape = _shape(headers[ARRAY_SHAPE]) if ARRAY_SHAPE in headers else (len(body) // dtype.itemsize,)
    return _array(body, 0, dtype, shape, "C")


def _to_npy(array: Array) -> tuple[dict[str, str], bytes]:
    ordered, header = np.asarray(array, order="C"), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(ordered))
    return {}, b"".join((header.getvalue(), ordered.data))


def _to_octets(array: Array) -> tuple[dict[str, str], bytes]:
    ordered = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    return {ARRAY_DTYPE: ordered.dtype.str, ARRAY_SHAPE: str(list(array.shape))}, ordered.tobytes()


def _from_npy(body: bytes) -> Array:
    """An array in numpy's format: neither pickles nor structures, and nothing is taken on trust."""
    width, begin = _HEADERS.get(body[6] if body[:6] == _MAGIC and len(body) > 12 else 0, (0, 0))
    if not width:
        raise InvalidValueError(f"This is not the .npy format, version 1 or 2: it begins with {body[:8]!r}.")
    end = begin + int.from_bytes(body[8 : 8 + width], "little")
    try:
        header = ast.literal_eval(body[begin : min(end, begin + _LONGEST_HEADER)].decode("latin-1").strip())
        dtype, shape, order = _dtype(header["descr"]), _shape(header["shape"]), "FC"[not header["fortran_order"]]
    except _UNREADABLE as error:
        raise InvalidValueError(f"The header of the .npy format cannot be used: {error}") from error
    return _array(body, end, dtype, shape, order)


def _dtype(name: Any) -> np.dtype[Any]:
    if not isinstance(name, str) or not re.fullmatch(r"[<>=|]?[biuf][1248]|bool|u?int\d\d?|float\d\d", name):
        raise InvalidValueError(f"There are no arrays of the type {name!r:.50}. An example of one is '<u2'.")
    try:
        dtype = np.dtype(name)
    except TypeError as error:
        raise InvalidValueError(f"Numpy has no type {name!r}: {error}") from error
    if not is_supported(dtype):
        raise InvalidValueError(f"Arrays of {dtype} are not supported.")
    return dtype


def _shape(given: Any) -> tuple[int, ...]:
    """A shape, from text such as ``[1000, 1000]`` or from a tuple."""
    lengths: Sequence[Any] = given
    if isinstance(given, str):
        lengths = [int(each) if each.strip().isdecimal() else each for each in given.strip("[]() ,").split(",") if each]
    if not isinstance(lengths, list | tuple) or not all(type(each) is int and each >= 0 for each in lengths):
        raise InvalidValueError(f"{given!r:.50} is not the shape of an array. An example of one is '[1000, 1000]'.")
    return tuple(lengths)


def _array(body: bytes, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> Array:
    expected, found = prod(shape) * dtype.itemsize, len(body) - offset
    if expected != found:
        raise InvalidValueError(
            f"An array of {dtype.name} of shape {shown(shape)} takes {expected} bytes, but there are {max(found, 0)}."
        )
    try:
        flat: Array = np.frombuffer(body, dtype, offset=offset) if found else np.empty(0, dtype)
        shaped: Array = flat.reshape(shape, order=order)
        return np.array(shaped, order="C")  # a copy, since bytes cannot be changed
    except ValueError as error:  # too many axes
        raise InvalidValueError(f"There are no arrays of shape {shown(shape)}: {error}") from error
