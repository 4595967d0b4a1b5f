"""Numbers, or other items, that come too fast to be state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, Literal, NamedTuple

from labthings.exceptions import ConfigurationError, InvalidValueError, StateError
from labthings.sync.stream_contents import FloatContents, JsonContents, listed

Mode = Literal["append", "replace"]
DType = Literal["float32", "float64", "json"]


class Breath(Coroutine[Any, Any, None]):
    """May be awaited, so that a coroutine that feeds a stream in a loop lets others have their turn.

    It need not be. As a coroutine, it can also be given to what takes only those, such as
    ``asyncio.run_coroutine_threadsafe``.
    """

    def __init__(self) -> None:
        self._steps = _one_turn()

    def __await__(self) -> Generator[Any, None, None]:
        return self._steps

    def send(self, value: Any) -> Any:
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        return self._steps.throw(*error)

    def close(self) -> None:
        self._steps.close()


def _one_turn() -> Generator[None, Any, None]:
    yield  # which an event loop takes as leave to do something else first


class News(NamedTuple):
    """What a client is told of a stream.

    :param message: None if there is nothing new.
    :param position: how far the client has been told with it.
    """

    message: str | bytes | None
    position: int


class Stream:
    """The newest items of something that goes on, such as a trace, which all clients have.

    Any thread may change it. A client that is too slow is told of several changes at once, or gets all that is there.

    :param mode: ``"append"``: the newest items are kept; ``"replace"``: all are replaced at once.
    :param capacity: how many items are kept.
    :param changed: is called when the contents have.
    """

    def __init__(self, name: str, mode: Mode, capacity: int, dtype: DType, changed: Callable[[Stream], object]) -> None:
        _check(name, mode, capacity, dtype)
        self.name, self.mode, self.capacity, self.dtype = name, mode, capacity, dtype
        self._changed = changed
        self._contents = JsonContents() if dtype == "json" else FloatContents(dtype)
        self._lock = threading.Lock()
        self._sequence = self._resumable = 0
        self._encoded: dict[int, str | bytes] = {}

    @property
    def sequence(self) -> int:
        """Grows by one with each item that is appended, and with each replacement of everything."""
        return self._sequence

    def append(self, values: Iterable[Any]) -> Breath:
        """Add items; past the capacity, the oldest go.

        :raises InvalidValueError: if they are not of the stream's type.
        """
        if self.mode == "replace":
            raise StateError(
                f"The items of the stream '{self.name}' are replaced, not appended to: it is in that mode."
            )
        with self._lock:
            self._sequence += self._contents.append(values)
            self._contents.drop(max(0, len(self._contents) - self.capacity))
            self._resumable = max(self._resumable, self._sequence - len(self._contents))
            self._encoded.clear()
        self._changed(self)
        return Breath()

    def replace(self, values: Iterable[Any]) -> Breath:
        """Put other items in place of all.

        :raises InvalidValueError: if they are not of the stream's type, or more than its capacity.
        """
        taken = listed(values)
        if len(taken) > self.capacity:
            raise InvalidValueError(f"The stream '{self.name}' has room for {self.capacity} items, not {len(taken)}.")
        with self._lock:
            self._contents.replace(taken)
            self._sequence += 1
            self._resumable = self._sequence
            self._encoded.clear()
        self._changed(self)
        return Breath()

    def since(self, position: int | None) -> News:
        """What somebody is to be told who has been told up to a position, or nothing yet."""
        with self._lock:
            if position == self._sequence:
                return News(None, self._sequence)
            base = position if position is not None and position >= self._resumable else -1
            if base not in self._encoded:
                self._encoded[base] = self._everything() if base < 0 else self._appended(base)
            return News(self._encoded[base], self._sequence)

    def _everything(self) -> str | bytes:
        about = {"mode": self.mode, "dtype": self.dtype, "capacity": self.capacity}
        head = {"type": "stream", "stream": self.name, "op": "replace", **about, "sequence": self._sequence}
        return self._contents.message(head, len(self._contents))

    def _appended(self, base: int) -> str | bytes:
        head = {"type": "stream", "stream": self.name, "op": "append", "baseSequence": base, "sequence": self._sequence}
        return self._contents.message(head, self._sequence - base)


def _check(name: str, mode: str, capacity: int, dtype: str) -> None:
    if mode not in ("append", "replace"):
        raise ConfigurationError(f"The mode of the stream '{name}' must be 'append' or 'replace', not {mode!r}.")
    if dtype not in ("float32", "float64", "json"):
        raise ConfigurationError(f"The stream '{name}' can be of 'float32', 'float64' or 'json', not {dtype!r}.")
    if type(capacity) is not int or capacity < 1:
        raise ConfigurationError(f"The capacity of the stream '{name}' must be a number of items, not {capacity!r}.")
