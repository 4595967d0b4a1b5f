"""What is in a stream, in the form it is sent in."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sized
from itertools import islice
from typing import Any, Protocol

import pydantic_core

from labthings.exceptions import InvalidValueError

ALIGNMENT = 8


class Contents(Protocol):
    """The items of a stream."""

    def __len__(self) -> int: ...

    def replace(self, values: Iterable[Any]) -> int:
        """Put other items in place of those that are there, and say how many."""

    def append(self, values: Iterable[Any]) -> int:
        """Add items, and say how many."""

    def drop(self, count: int) -> None:
        """Remove the oldest."""

    def message(self, head: Mapping[str, Any], count: int) -> str | bytes:
        """The newest items as a message."""


class JsonContents:
    """Items that are any JSON, which make a text."""

    def __init__(self) -> None:
        self._items: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def replace(self, values: Iterable[Any]) -> int:
        items = [_json(each) for each in _plain(values)]
        self._items = deque(items)
        return len(items)

    def append(self, values: Iterable[Any]) -> int:
        items = [_json(each) for each in _plain(values)]
        self._items.extend(items)
        return len(items)

    def drop(self, count: int) -> None:
        for _ in range(count):
            self._items.popleft()

    def message(self, head: Mapping[str, Any], count: int) -> str | bytes:
        newest = [*islice(reversed(self._items), count)]
        items = ",".join(reversed(newest))
        return f'{pydantic_core.to_json(head)[:-1].decode()},"data":[{items}]}}'


class FloatContents:
    """Numbers of 4 or 8 bytes, which make a binary message.

    It is the length of its head (4 bytes, little-endian), the head as JSON, with spaces after it up to a multiple of 8
    bytes from the start, and the numbers, little-endian.

    :param dtype: ``"float32"`` or ``"float64"``.
    """

    def __init__(self, dtype: str) -> None:
        self._size = int(dtype.removeprefix("float")) // 8
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data) // self._size

    def replace(self, values: Iterable[Any]) -> int:
        self._data = bytearray(self._bytes(values))
        return len(self)

    def append(self, values: Iterable[Any]) -> int:
        data = self._bytes(values)
        self._data += data
        return len(data) // self._size

    def drop(self, count: int) -> None:
        del self._data[: count * self._size]

    def message(self, head: Mapping[str, Any], count: int) -> str | bytes:
        text = pydantic_core.to_json(head)
        text += b" " * (-(4 + len(text)) % ALIGNMENT)
        return b"".join((len(text).to_bytes(4, "little"), text, self._data[len(self._data) - count * self._size :]))

    def _bytes(self, values: Iterable[Any]) -> bytes:
        import numpy as np

        given = values if hasattr(values, "__array__") else list(listed(values))
        try:
            array = np.asarray(given)
            if array.size and array.dtype.kind not in "biuf":
                raise TypeError(f"{array.dtype} is no type of real numbers")
        except (TypeError, ValueError) as error:
            raise InvalidValueError(f"A stream of floats takes numbers: {error}.") from error
        if array.ndim != 1:
            raise InvalidValueError(f"A stream takes a list of numbers, not an array of {array.ndim} dimensions.")
        try:
            with np.errstate(over="raise"):
                return array.astype(f"<f{self._size}").tobytes()
        except FloatingPointError as error:
            raise InvalidValueError(f"A number is too large for a stream of float{8 * self._size}.") from error


def _plain(values: Iterable[Any]) -> Iterable[Any]:
    """The same, with an array's numbers as Python's."""
    return listed(values.tolist() if hasattr(values, "tolist") else values)


def listed(values: Iterable[Any]) -> Collection[Any]:
    """The same, as something that has a length.

    :raises InvalidValueError: if it is one item by itself.
    """
    is_one = isinstance(values, str | bytes | bytearray | Mapping) or getattr(values, "ndim", 1) == 0
    if is_one or not isinstance(values, Iterable):
        raise InvalidValueError(f"A stream takes a list of items, as in `append([item])`, not {values!r:.100}.")
    return values if isinstance(values, Sized) else list(values)  # type: ignore[return-value]


def _json(value: Any) -> str:
    try:
        return pydantic_core.to_json(value, inf_nan_mode="null").decode()
    except ValueError as error:  # as pydantic's own errors are
        raise InvalidValueError(f"An item of a stream cannot be made JSON: {error}.") from error
