"""Arrays as JSON, quickly: a table has all numbers of up to 16 bits, so that elements need no Python objects."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pydantic_core

from labthings.types.array_values import Array

_SMALL = 1000  # elements, for which the table is not worth its memory
_PIECE = 20_000  # elements that are written at once: small pieces stay in the processor's cache


def array_to_json(array: Array) -> bytes:
    """Nested lists, with ``null`` for NaN and infinities."""
    if array.ndim == 0 or array.size < _SMALL or array.dtype.kind not in "iu" or array.dtype.itemsize > 2:
        return pydantic_core.to_json(array.tolist(), inf_nan_mode="null")
    if array.ndim != 2:
        return b"[%b]" % b",".join(map(array_to_json, array)) if array.ndim > 2 else _rows(array[np.newaxis])
    at_once = max(1, _PIECE // array.shape[1])
    return b"[%b]" % b",".join(_rows(array[first : first + at_once]) for first in range(0, len(array), at_once))


def _rows(array: Array) -> bytes:
    """Rows with commas between them: numbers of the same width, padded with spaces, which are then removed."""
    lowest, numbers = _numbers(array.dtype.newbyteorder("="))
    indices = array.astype(np.int32, order="C") - lowest
    cells = numbers.take(indices, mode="clip").view(np.uint8).reshape(len(array), -1)  # the quickest mode
    rows = np.empty((len(array), cells.shape[1] + 2), np.uint8)
    rows[:, 0], rows[:, 1:-1], rows[:, -2], rows[:, -1] = ord("["), cells, ord("]"), ord(",")
    return rows.tobytes().translate(None, b" ")[:-1]


@cache
def _numbers(dtype: np.dtype[Any]) -> tuple[int, Any]:
    """The lowest number of a type, and the text of all of them in order, each with a comma."""
    limits = np.iinfo(dtype)
    return int(limits.min), np.array([b"%6d," % number for number in range(limits.min, limits.max + 1)])
