from __future__ import annotations

import asyncio
import gc
import io
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from PIL import Image

import labthings as lt
from labthings.exceptions import InvalidFrameError, NoFrameError, StreamEndedError
from labthings.outputs import MJPEGStream, MJPEGStreamDescriptor, mjpeg_stream

START, END = b"\xff\xd8\xff\xe0", b"\xff\xd9"


def jpeg(text: object) -> bytes:
    return START + str(text).encode() + END


class Camera(lt.Thing):
    live = MJPEGStreamDescriptor(ringbuffer_size=3)
    """What it sees."""


def waiting(stream: MJPEGStream, *coroutines: Coroutine[Any, Any, Any]) -> Callable[[], Coroutine[Any, Any, Any]]:
    """Have all wait for a frame, then give what has become of them."""

    async def wait() -> Any:
        tasks = [asyncio.ensure_future(each) for each in coroutines]
        while len(stream._waiters) < len(tasks):  # noqa: ASYNC110
            await asyncio.sleep(0)
        return tasks

    return wait


def test_a_frame_is_kept_with_its_index_and_when_it_was_added():
    stream, before = MJPEGStream(), datetime.now(timezone.utc)
    stream.add_frame(jpeg("a"))
    stream.add_frame(jpeg("b"))
    entry = stream.ringbuffer_entry(1)
    assert (entry.frame, entry.index) == (jpeg("b"), 1)
    assert before <= entry.timestamp <= datetime.now(timezone.utc)
    assert entry.timestamp.utcoffset() == timedelta(0)
    assert (stream.last_frame, stream.last_frame_index) == (jpeg("b"), 1)


def test_the_oldest_frames_make_room():
    stream = MJPEGStream("'camera.live'", ringbuffer_size=2)
    with pytest.raises(NoFrameError, match=r"no frame 0 in 'camera.live', which has no frames\."):
        stream.ringbuffer_entry(0)
    for number in range(5):
        stream.add_frame(jpeg(number))
    assert [stream.ringbuffer_entry(index).frame for index in (3, 4)] == [jpeg(3), jpeg(4)]
    for index in (-1, 2, 5):
        with pytest.raises(LookupError, match=rf"no frame {index} in 'camera.live', which has frames 3 to 4\."):
            stream.ringbuffer_entry(index)


def test_a_reset_forgets_the_frames_and_goes_on_counting():
    stream = MJPEGStream(ringbuffer_size=2)
    stream.add_frame(jpeg("a"))
    stream.reset(ringbuffer_size=5)
    assert (stream.last_frame, stream.last_frame_index) == (None, None)
    for _ in range(6):
        stream.add_frame(jpeg("b"))
    assert [stream.ringbuffer_entry(index).frame for index in (2, 6)] == [jpeg("b")] * 2
    stream.reset()
    for _ in range(6):
        stream.add_frame(jpeg("c"))
    assert stream.ringbuffer_entry(8).index == 8


@pytest.mark.parametrize("size", [0, -1, 1.5, "3", None])
def test_the_size_of_the_ring_buffer_is_checked(size):
    with pytest.raises(ValueError, match="at least 1"):
        MJPEGStreamDescriptor(ringbuffer_size=size)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (None, "must be bytes, not NoneType"),
        ("\xff\xd8\xff", "must be bytes, not str"),
        (numpy.zeros(3, "uint8"), r"not ndarray\. Use `add_array`"),
        (b"", "it is empty"),
        (b"\x89PNG\r\n", r"its 6 bytes start with 89 50 4e, not with ff d8 ff"),
        (jpeg("a")[:-2], r"end with e0 61, not with ff d9\. A part of it is missing"),
        (jpeg("a") + b"\n", "end with d9 0a"),
        (b"\xff\xd8\xff", "end with d8 ff"),
        (START + b"\0\0", "end with 00 00"),
    ],
)
def test_what_is_no_jpeg_is_refused_and_disturbs_nobody(frame, words):
    stream = MJPEGStream("'camera.live'")
    stream.add_frame(jpeg("a"))
    with pytest.raises(InvalidFrameError, match=rf"^A frame for 'camera.live' is not a JPEG: .*{words}") as raised:
        stream.add_frame(frame)
    assert isinstance(raised.value, ValueError)
    assert stream.last_frame_index == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_in_any_form_are_taken_without_the_zeros_after_them(kind):
    stream, padded = MJPEGStream(), bytearray(jpeg("a") + bytes(100))
    stream.add_frame(kind(padded))
    padded[4:5] = b"X"
    assert stream.last_frame == jpeg("a")


@pytest.mark.parametrize(("shape", "mode"), [((4, 6), "L"), ((4, 6, 3), "RGB")])
def test_an_array_becomes_a_jpeg(shape, mode):
    stream, image = MJPEGStream(), numpy.full(shape, 200, "uint8")
    image[:2] = 10
    stream.add_array(image)
    shown = Image.open(io.BytesIO(stream.last_frame))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", mode, (6, 4))
    assert numpy.abs(numpy.asarray(shown).astype(int) - image).max() < 40
    stream.add_array(image[:, ::-1], quality=1)  # not contiguous
    assert stream.last_frame_index == 1


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ([[1, 2]], "it must be a numpy array, not list"),
        (numpy.zeros((4, 6)), r"its dtype must be uint8, not float64\. Scale it"),
        (numpy.zeros((4, 6, 4), "uint8"), r"its shape must be .*, not \(4, 6, 4\)"),
        (numpy.zeros(6, "uint8"), r"its shape must be"),
        (numpy.zeros((0, 6), "uint8"), r"between 1 and 65500 pixels: its shape is \(0, 6\)"),
        (numpy.zeros((1, 70_000), "uint8"), r"between 1 and 65500 pixels"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(image, words):
    with pytest.raises(InvalidFrameError, match=rf"^An image for 'camera.live' cannot be shown: .*{words}"):
        MJPEGStream("'camera.live'").add_array(image)


@pytest.mark.parametrize("quality", [0, 96, 80.0, None])
def test_the_quality_is_checked(quality):
    with pytest.raises(InvalidFrameError, match="the quality must be a whole number from 1 to 95"):
        MJPEGStream().add_array(numpy.zeros((4, 6), "uint8"), quality)


def test_one_grabs_the_next_frame_and_not_the_last():
    stream = MJPEGStream()
    stream.add_frame(jpeg("old"))

    async def grab() -> list[Any]:
        tasks = await waiting(stream, stream.grab_frame(), stream.next_frame_size())()
        threading.Thread(target=stream.add_frame, args=(jpeg("new"),)).start()
        return list(await asyncio.gather(*tasks))

    assert asyncio.run(grab()) == [jpeg("new"), len(jpeg("new"))]


def test_a_frame_may_be_added_in_the_event_loop():
    stream = MJPEGStream()

    async def grab() -> Any:
        (task,) = await waiting(stream, stream.grab_frame())()
        stream.add_frame(jpeg("new"))
        return await task

    assert asyncio.run(grab()) == jpeg("new")


def test_frames_are_generated_until_the_stream_stops_and_those_that_came_meanwhile_are_left_out():
    stream = MJPEGStream()

    async def collect() -> list[bytes]:
        found = []
        stream.add_frame(jpeg("before"))
        generator = stream.frame_async_generator()
        (first,) = await waiting(stream, generator.__anext__())()
        stream.add_frame(jpeg(1))
        found.append(await first)
        stream.add_frame(jpeg(2))
        stream.add_frame(jpeg(3))
        stream.stop()
        return found + [each async for each in generator]

    assert asyncio.run(collect()) == [jpeg(1), jpeg(3)]


@pytest.mark.parametrize(("end", "words"), [("stop", "it has been stopped"), ("close", "the server has stopped")])
def test_whoever_waits_for_a_frame_is_told_that_none_comes(end, words):
    stream = MJPEGStream("'camera.live'")

    async def grab() -> None:
        (task,) = await waiting(stream, stream.grab_frame())()
        threading.Thread(target=getattr(stream, end)).start()
        with pytest.raises(StreamEndedError, match=f"no more frames of 'camera.live', because {words}"):
            await task
        with pytest.raises(StreamEndedError, match=words):
            await stream.grab_frame()

    asyncio.run(grab())
    assert not stream.is_streaming


@pytest.mark.parametrize("start", [lambda stream: stream.add_frame(jpeg("a")), lambda stream: stream.reset()])
def test_a_stream_that_was_stopped_goes_on(start):
    stream = MJPEGStream()
    stream.stop()
    start(stream)
    assert stream.is_streaming

    async def grab() -> Any:
        (task,) = await waiting(stream, stream.grab_frame())()
        stream.add_frame(jpeg("b"))
        return await task

    assert asyncio.run(grab()) == jpeg("b")


def test_who_gives_up_waiting_leaves_nothing_behind():
    stream = MJPEGStream()

    async def give_up() -> None:
        for task in await waiting(stream, *(stream.grab_frame() for _ in range(100)))():
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(give_up())
    assert not stream._waiters
    stream.add_frame(jpeg("a"))


def test_however_many_frames_are_added_the_loop_is_woken_once():
    stream, woken = MJPEGStream(), []

    async def count() -> Any:
        loop = asyncio.get_running_loop()
        tasks = await waiting(stream, *(stream.grab_frame() for _ in range(20)))()
        call = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args: (woken.append(1), call(*args))[1]  # type: ignore[method-assign]
        for number in range(1000):
            stream.add_frame(jpeg(number))
        return await asyncio.gather(*tasks)

    assert set(asyncio.run(count())) == {jpeg(999)}
    assert len(woken) == 1


def test_a_thread_that_adds_frames_without_pause_gives_way_to_viewers_only(monkeypatch):
    stream, pauses = MJPEGStream(), list[float]()
    monkeypatch.setattr(mjpeg_stream, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append))

    def pauses_for_100_frames() -> int:
        pauses.clear()
        for number in range(100):
            stream.add_frame(jpeg(number))
        return len(pauses)

    async def view() -> tuple[int, int]:
        with stream.viewed():
            return await asyncio.to_thread(pauses_for_100_frames), pauses_for_100_frames()

    alone = pauses_for_100_frames()
    in_thread, in_loop = asyncio.run(view())
    assert in_thread > 50 > alone == in_loop == 0


def test_threads_that_add_frames_at_once_lose_none():
    stream = MJPEGStream(ringbuffer_size=4000)
    threads = [threading.Thread(target=lambda: [stream.add_frame(jpeg("a")) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stream.last_frame_index == 3999
    times = [stream.ringbuffer_entry(index).timestamp for index in range(4000)]
    assert times == sorted(times)


def test_each_thing_has_one_stream_whoever_asks_for_it_first(serve):
    server, _ = serve({"left": Camera, "right": Camera})
    left, right = server.things["left"], server.things["right"]
    barrier, found = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        found.append(left.live)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(each) for each in found} == {id(left.live)}
    assert right.live is not left.live
    assert left.live.name == "'left.live'"
    assert isinstance(Camera.live, MJPEGStreamDescriptor)
    assert Camera.live.title == "What it sees."


def test_a_stream_cannot_be_assigned_to(serve):
    server, _ = serve({"camera": Camera})
    with pytest.raises(AttributeError, match=r"'Camera.live' is a stream: use its `add_frame`"):
        server.things["camera"].live = jpeg("a")


def test_frames_may_be_added_before_the_server_starts_and_after_it_has_stopped(tmp_path):
    server = lt.ThingServer.from_things({"camera": Camera}, settings_folder=str(tmp_path))
    stream = server.things["camera"].live
    stream.add_frame(jpeg("a"))
    for number in range(2):
        with server.test_client():
            assert stream.is_streaming
            stream.add_frame(jpeg(number))
        assert not stream.is_streaming
        stream.add_frame(jpeg("b"))
        assert stream.last_frame == jpeg("b")
        assert not stream.is_streaming


def test_an_action_grabs_a_frame(serve):
    class Snapper(Camera):
        @lt.action
        def snap(self) -> int:
            return self._thing_server_interface.call_async_task(self.live.next_frame_size)

        @lt.action
        async def snap_async(self) -> int:
            return len(await self.live.grab_frame())

    server, client = serve({"camera": Snapper})
    ended = threading.Event()

    def film() -> None:
        while not ended.wait(0.005):
            server.things["camera"].live.add_frame(jpeg("abc"))

    thread = threading.Thread(target=film)
    thread.start()
    try:
        for name in ("snap", "snap_async"):
            assert client.post(f"/camera/{name}?wait=20").json()["output"] == len(jpeg("abc"))
    finally:
        ended.set()
        thread.join()


def test_an_action_that_waits_for_a_frame_ends_when_the_server_stops(serve, tmp_path):
    waits = threading.Event()

    class Snapper(Camera):
        error: str = lt.property(default="")

        @lt.action
        def snap(self) -> None:
            waits.set()
            try:
                self._thing_server_interface.call_async_task(self.live.grab_frame)
            except StreamEndedError as error:
                self.error = str(error)
                raise

    server = lt.ThingServer.from_things({"camera": Snapper}, settings_folder=str(tmp_path))
    with server.test_client() as client:
        client.post("/camera/snap")
        assert waits.wait(20)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert "because the server has stopped" in server.things["camera"].error


def test_a_stream_does_not_keep_its_frames_after_its_thing_has_gone():
    stream = MJPEGStream()
    stream.add_frame(jpeg("a"))
    entry = weakref.ref(stream)
    del stream
    gc.collect()
    assert entry() is None
