"""Arrays of every type and shape that can be sent, laid out in memory in every way."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labthings.types import array_values

DTYPES = [each.newbyteorder(order) for each in sorted(array_values.DTYPES, key=str) for order in "<>"]
LAYOUTS = {
    "C": lambda array: array,
    "Fortran": np.asfortranarray,
    "transposed": lambda array: array.T,
    "every other": lambda array: array[::2] if array.ndim else array,
    "read-only": lambda array: _read_only(array),
}


def arrays() -> st.SearchStrategy[np.ndarray[Any, Any]]:
    """Arrays of up to three axes, which may be empty, or have no axes at all."""
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    made = hnp.arrays(st.sampled_from(DTYPES), shapes)
    return st.builds(lambda array, layout: LAYOUTS[layout](array), made, st.sampled_from(list(LAYOUTS)))


def same(one: Any, other: Any) -> bool:
    """Whether two arrays have the same shape, type and elements, NaNs and signs of zeros included."""
    alike = (one.shape, one.dtype.newbyteorder("=")) == (other.shape, other.dtype.newbyteorder("="))
    return alike and one.astype(one.dtype.newbyteorder("<")).tobytes() == _little(other).tobytes()


def _little(array: Any) -> Any:
    return array.astype(array.dtype.newbyteorder("<"))


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array
