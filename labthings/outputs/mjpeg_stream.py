"""Streams of JPEG frames, such as a camera's live picture."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from labthings.base_descriptor import BaseDescriptor, DescriptorInfo, Host
from labthings.exceptions import NoFrameError, StreamEndedError
from labthings.outputs.jpeg import checked_jpeg, encoded_jpeg
from labthings.workers import is_in_event_loop

CLOSE_TOGETHER = 0.001  # seconds between frames that come faster than viewers can follow
PAUSE = 0.0002  # seconds for which a thread that adds such frames lets the event loop work


@dataclass(frozen=True, slots=True)
class RingbufferEntry:
    """A frame of a stream.

    :param frame: the JPEG.
    :param timestamp: when it was added.
    :param index: its number in the stream, from 0.
    """

    frame: bytes = field(repr=False)
    timestamp: datetime
    index: int


class MJPEGStream:
    """The latest frames of a stream, and whoever waits for the next one.

    Any thread may add frames. However many it adds, the event loop is woken once: who was too slow for a frame gets a
    newer one instead.

    :param name: what messages call it.
    :param ringbuffer_size: how many frames to keep.
    """

    def __init__(self, name: str = "the stream", ringbuffer_size: int = 10) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._entries: deque[RingbufferEntry] = deque(maxlen=_checked_size(ringbuffer_size))
        self._count = 0
        self._waiters: dict[asyncio.Future[None], None] = {}  # in the order in which they began to wait
        self._viewers: set[asyncio.Future[None]] = set()
        self._pace = _Pace()
        self._is_stopped = False
        self._is_closed = False

    # --- adding frames ------------------------------------------------------------------------------------------

    def add_frame(self, frame: bytes) -> None:
        """Show a JPEG as the next frame. A stream that was stopped goes on with it.

        :raises InvalidFrameError: if it is not a JPEG. The stream goes on without it.
        """
        jpeg = checked_jpeg(frame, self.name)
        with self._lock:
            entry = RingbufferEntry(jpeg, datetime.now(timezone.utc), self._count)
            self._entries.append(entry)
            self._count += 1
            self._is_stopped = False
            is_superfluous = self._pace.added() and bool(self._viewers)
            waiters = self._take_waiters()
        _wake(waiters)
        if is_superfluous and not is_in_event_loop():
            time.sleep(PAUSE)

    def add_array(self, image: Any, quality: int = 80) -> None:
        """Show an image as the next frame.

        :param image: a numpy array of uint8, with the shape (height, width) if it is grey, or (height, width, 3) if it
            is red, green and blue.
        :param quality: of the JPEG that is made of it, from 1 to 95.
        :raises InvalidFrameError: if it is something else.
        """
        self.add_frame(encoded_jpeg(image, quality, self.name))

    def reset(self, ringbuffer_size: int | None = None) -> None:
        """Forget the frames, and go on if the stream was stopped.

        :param ringbuffer_size: how many frames to keep from now on; by default as many as before.
        """
        with self._lock:
            size = self._entries.maxlen if ringbuffer_size is None else _checked_size(ringbuffer_size)
            self._entries = deque(maxlen=size)
            self._is_stopped = False

    def stop(self) -> None:
        """Say that no more frames come: viewers' responses end, and whoever waits for a frame gets an error.

        `MJPEGStream.add_frame` and `MJPEGStream.reset` start it again.
        """
        with self._lock:
            self._is_stopped = True
            waiting = [*self._take_waiters(), *self._viewers]
        _wake(waiting)

    # --- getting frames -----------------------------------------------------------------------------------------

    async def grab_frame(self) -> bytes:
        """Wait for the next frame.

        :raises StreamEndedError: if the stream has stopped, or stops before there is one, or the server does.
        """
        return (await self.next_entry(after=self._count - 1)).frame

    async def next_frame_size(self) -> int:
        """Wait for the next frame, and give its size in bytes.

        :raises StreamEndedError: if the stream has stopped, or stops before there is one, or the server does.
        """
        return len(await self.grab_frame())

    async def frame_async_generator(self) -> AsyncIterator[bytes]:
        """The frames from the next one on, until the stream ends. Those that are added meanwhile are left out."""
        index = self._count - 1
        with suppress(StreamEndedError):
            while True:
                entry = await self.next_entry(after=index)
                index = entry.index
                yield entry.frame

    async def next_entry(self, after: int = -1) -> RingbufferEntry:
        """The newest frame, as soon as its index is greater than ``after``.

        :raises StreamEndedError: if the stream has stopped, or stops before there is one, or the server does.
        """
        while True:
            with self._lock:
                if self._entries and self._entries[-1].index > after:
                    self._pace.taken()
                    return self._entries[-1]
                self._require_streaming()
                waiter = asyncio.get_running_loop().create_future()
                self._waiters[waiter] = None
            try:
                await waiter
            finally:
                with self._lock:
                    self._waiters.pop(waiter, None)

    def ringbuffer_entry(self, index: int) -> RingbufferEntry:
        """A frame that is still kept.

        :raises NoFrameError: if it is not kept any more, or not there yet.
        """
        with self._lock:
            entries = list(self._entries)
        if entries and entries[0].index <= index <= entries[-1].index:
            return entries[index - entries[0].index]
        kept = f"frames {entries[0].index} to {entries[-1].index}" if entries else "no frames"
        raise NoFrameError(f"There is no frame {index} in {self.name}, which has {kept}.")

    @property
    def last_frame(self) -> bytes | None:
        """The newest frame, if there is one."""
        with self._lock:
            return self._entries[-1].frame if self._entries else None

    @property
    def last_frame_index(self) -> int | None:
        """The index of the newest frame, if there is one."""
        with self._lock:
            return self._entries[-1].index if self._entries else None

    @property
    def is_streaming(self) -> bool:
        """Whether frames may come: not once it has stopped, or its server has."""
        return not (self._is_stopped or self._is_closed)

    @property
    def viewer_count(self) -> int:
        """How many clients are watching."""
        return len(self._viewers)

    # --- for the server -----------------------------------------------------------------------------------------

    @contextmanager
    def viewed(self) -> Iterator[asyncio.Future[None]]:
        """Count a client that is watching, and give a future that tells of the stream's end.

        :raises StreamEndedError: if it has ended.
        """
        ended = asyncio.get_running_loop().create_future()
        with self._lock:
            self._require_streaming()
            self._viewers.add(ended)
        try:
            yield ended
        finally:
            with self._lock:
                self._viewers.discard(ended)

    def close(self) -> None:
        """End it, because the server stops."""
        with self._lock:
            self._is_closed = True
            waiting = [*self._take_waiters(), *self._viewers]
        _wake(waiting)

    def open(self) -> None:
        """Take it up again, because the server starts."""
        self._is_closed = False

    # --- helpers ------------------------------------------------------------------------------------------------

    def _take_waiters(self) -> Iterable[asyncio.Future[None]]:
        waiters, self._waiters = self._waiters, {}
        return waiters

    def _require_streaming(self) -> None:
        if self._is_closed:
            raise StreamEndedError(f"There are no more frames of {self.name}, because the server has stopped.")
        if self._is_stopped:
            raise StreamEndedError(f"There are no more frames of {self.name}, because it has been stopped.")


class _Pace:
    """Notices frames that come faster than anybody can follow."""

    def __init__(self) -> None:
        self._added_at = 0.0
        self._is_taken = True

    def added(self) -> bool:
        """Note a frame, and say whether it came close upon one that nobody has taken yet."""
        now = time.monotonic()
        is_close, self._added_at = now - self._added_at < CLOSE_TOGETHER, now
        is_taken, self._is_taken = self._is_taken, False
        return is_close and not is_taken

    def taken(self) -> None:
        self._is_taken = True


def _checked_size(size: int) -> int:
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"`ringbuffer_size` must be a whole number of at least 1, not {size!r}.")
    return size


def _wake(waiters: Iterable[asyncio.Future[None]]) -> None:
    """Have event loops wake those that wait in them: each loop once, however many there are."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for waiter in waiters:
        by_loop.setdefault(waiter.get_loop(), []).append(waiter)
    for loop, its in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            loop.call_soon_threadsafe(_resolve, its)


def _resolve(waiters: Iterable[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


class MJPEGStreamDescriptor(BaseDescriptor[Host, MJPEGStream]):
    """An `MJPEGStream` as an attribute of a Thing, which the server makes available to clients.

    :param ringbuffer_size: how many frames to keep.
    """

    def __init__(self, ringbuffer_size: int = 10) -> None:
        super().__init__()
        self.ringbuffer_size = _checked_size(ringbuffer_size)

    def instance_get(self, obj: Host) -> MJPEGStream:
        found: MJPEGStream | None = obj.__dict__.get(self.name)
        if found is None:
            stream = MJPEGStream(f"'{obj.name}.{self.name}'", self.ringbuffer_size)
            found = obj.__dict__.setdefault(self.name, stream)
        return found

    def __set__(self, obj: Host, value: object) -> None:
        raise AttributeError(f"'{self._qualified_name}' is a stream: use its `add_frame`, instead of assigning to it.")


class MJPEGStreamInfo(DescriptorInfo[MJPEGStreamDescriptor]):
    """A stream of a class, or of one Thing."""

    @property
    def stream(self) -> MJPEGStream:
        """The stream.

        :raises NotBoundToInstanceError: if this is a stream of a class.
        """
        return self.descriptor.instance_get(self.thing)
