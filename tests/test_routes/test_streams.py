"""Streams over HTTP, through sockets."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from email.parser import BytesHeaderParser
from typing import Any

import httpx
import numpy
import pytest

import labthings as lt
from labthings.exceptions import ConfigurationError
from labthings.outputs import MJPEGStream, MJPEGStreamDescriptor
from labthings.routes import streams
from labthings.thing_description import validate_thing_description

SECONDS = 20  # in which everything must have happened


def jpeg(text: object, size: int = 0) -> bytes:
    return b"\xff\xd8\xff\xe0" + str(text).encode().ljust(size, b" ") + b"\xff\xd9"


class Camera(lt.Thing):
    """A camera."""

    live = MJPEGStreamDescriptor()
    """Live <picture>

    What it sees.
    """


class Part:
    """A frame, and what is told of it after it."""

    def __init__(self, head: bytes, frame: bytes) -> None:
        self.headers, self.frame = BytesHeaderParser().parsebytes(head), frame

    @property
    def index(self) -> int:
        return int(self.headers["X-Previous-Index"])


@contextmanager
def watching(url: str) -> Iterator[Iterator[Part]]:
    """The parts of a stream."""
    with httpx.stream("GET", url, timeout=SECONDS) as answer:
        assert answer.status_code == 200, answer.read()
        yield parts(answer.iter_raw())


def parts(chunks: Iterator[bytes]) -> Iterator[Part]:
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        while b"--frame\r\n" in buffer and b"\r\n\r\n" in buffer:
            frame, _, rest = buffer.partition(b"--frame\r\n")
            head, _, buffer = rest.partition(b"\r\n\r\n")
            if frame:
                yield Part(head + b"\r\n\r\n", frame.removesuffix(b"\r\n"))
    assert buffer == b""


def stalled_viewer(port: int) -> socket.socket:
    """A viewer that reads the start of the answer, and nothing after that."""
    viewer = socket.socket()
    viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    viewer.settimeout(SECONDS)
    viewer.connect(("127.0.0.1", port))
    viewer.sendall(b"GET /camera/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert b" 200 OK" in viewer.recv(100)
    return viewer


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@contextmanager
def filming(stream: MJPEGStream, size: int = 0, pause: float = 0.005) -> Iterator[list[float]]:
    """Have a thread add frames, and give how long it took to add each."""
    ended, took = threading.Event(), []

    def film() -> None:
        number = 0
        while not ended.wait(pause):
            began = time.perf_counter()
            stream.add_frame(jpeg(number, size))
            took.append(time.perf_counter() - began)
            number += 1

    thread = threading.Thread(target=film)
    thread.start()
    try:
        yield took
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def live(serve_live: Any) -> Any:
    """A server of a camera, its URL, and its stream."""
    served = serve_live({"camera": Camera})
    return served.url, served.server.things["camera"].live, served.port


def test_a_viewer_gets_the_last_frame_at_once_and_then_each_new_one(live):
    url, stream, _ = live
    stream.add_frame(jpeg("old"))
    with watching(f"{url}/camera/live") as shown:
        assert next(shown).frame == jpeg("old")
        for number in range(5):
            stream.add_frame(jpeg(number))
            part = next(shown)
            assert (part.frame, part.index) == (jpeg(number), number + 1)
        assert part.headers["Content-Type"] == "image/jpeg"
        assert datetime.fromisoformat(part.headers["X-Previous-Timestamp"]) == stream.ringbuffer_entry(5).timestamp
        assert stream.viewer_count == 1


def test_the_answer_says_what_it_is_and_what_the_server_thinks_the_time_is(live):
    url, _, _ = live
    before = datetime.now(timezone.utc)
    with httpx.stream("GET", f"{url}/camera/live") as answer:
        assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        assert answer.headers["cache-control"] == "no-store"
        assert before <= datetime.fromisoformat(answer.headers["x-timestamp"]) <= datetime.now(timezone.utc)


def test_the_end_of_the_stream_ends_the_answer(live):
    url, stream, _ = live
    stream.add_frame(jpeg("a"))
    with httpx.Client() as client:
        with client.stream("GET", f"{url}/camera/live", timeout=SECONDS) as answer:
            shown = parts(answer.iter_raw())
            next(shown)
            stream.stop()
            assert list(shown) == []
        refusal = client.get(f"{url}/camera/live")
    assert refusal.status_code == 503
    assert "no more frames of 'camera.live', because it has been stopped" in refusal.json()["detail"]
    stream.add_frame(jpeg("b"))
    with watching(f"{url}/camera/live") as shown:
        assert next(shown).frame == jpeg("b")


def test_an_invalid_frame_disturbs_no_viewer(live):
    url, stream, _ = live
    stream.add_frame(jpeg("a"))
    with watching(f"{url}/camera/live") as shown:
        next(shown)
        with pytest.raises(ValueError, match="is not a JPEG"):
            stream.add_frame(b"GIF89a")
        stream.add_frame(jpeg("b"))
        assert next(shown).frame == jpeg("b")


def test_head_ends(live):
    url, stream, _ = live
    answer = httpx.head(f"{url}/camera/live", timeout=SECONDS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("multipart/x-mixed-replace")
    until(lambda: stream.viewer_count == 0)
    assert httpx.post(f"{url}/camera/live").headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["live", "live/viewer"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_thing_that_does_not_run_has_no_stream(client_of, path, method):
    class Broken(Camera):
        def __enter__(self) -> Any:
            raise OSError("unplugged")

    answer = client_of(Broken).request(method, f"/thing/{path}")
    assert answer.status_code == 503
    assert method == "HEAD" or "unplugged" in answer.json()["detail"]


def test_stalled_viewers_delay_neither_the_camera_nor_others_and_cost_no_more_than_a_frame(live):
    url, stream, port = live
    size, pause = 300_000, 0.004
    with ExitStack() as stack:
        viewers = [stalled_viewer(port) for _ in range(5)]
        for viewer in viewers:
            stack.callback(viewer.close)
        took = stack.enter_context(filming(stream, size, pause))
        shown = stack.enter_context(watching(f"{url}/camera/live"))
        ages = []
        for _ in range(150):
            part = next(shown)
            ages.append(
                (
                    datetime.now(timezone.utc) - datetime.fromisoformat(part.headers["X-Previous-Timestamp"])
                ).total_seconds()
            )
        assert sorted(ages)[75] < 0.1
        assert sorted(took)[len(took) // 2] < pause
        assert stream.viewer_count == 6
        held = [each for each in gc.get_objects() if isinstance(each, dict) and is_large(each.get("body"))]
        assert len(held) <= 3
    until(lambda: stream.viewer_count == 0)


def is_large(body: object) -> bool:
    return isinstance(body, bytes) and len(body) > 100_000


def test_a_viewer_that_was_stalled_goes_on_with_the_newest_frame(live):
    _, stream, port = live
    with stalled_viewer(port) as viewer:
        for number in range(100):
            stream.add_frame(jpeg(number, 500_000))
        found = [part.index for part in first_parts(viewer, until_index=99)]
    assert found[-1] == 99
    assert len(found) < 30
    assert found == sorted(set(found))


def first_parts(viewer: socket.socket, until_index: int) -> Iterator[Part]:
    """The parts that come over a socket, up to one of them. The framing of the chunks is taken off."""
    file = viewer.makefile("rb")
    while file.readline() != b"\r\n":
        pass

    def chunks() -> Iterator[bytes]:
        while size := int(file.readline(), 16):
            yield file.read(size)
            file.readline()

    for part in parts(chunks()):
        yield part
        if part.index >= until_index:
            return


def test_the_frame_is_chosen_when_the_client_can_take_it_and_not_before(serve):
    server, _ = serve({"camera": Camera})
    stream = server.things["camera"].live
    sent: list[bytes] = []

    async def view() -> None:
        can_take, gone = asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:  # as uvicorn does, it holds up what follows a large body
            await can_take.wait()
            if message.get("body", b"").startswith(b"\xff"):
                sent.append(message["body"].partition(b"\r\n")[0])
                can_take.clear()

        viewing = asyncio.ensure_future(server.app(get("/camera/live"), receive, send))
        for first in (0, 10):
            for number in range(first, first + 10):
                stream.add_frame(jpeg(number))
                await asyncio.sleep(0.001)  # in which the viewer could take it, if it were not held up
            can_take.set()
            while can_take.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0)
        gone.set()
        await asyncio.wait_for(viewing, SECONDS)

    asyncio.run(asyncio.wait_for(view(), SECONDS))
    assert sent == [jpeg(9), jpeg(19)]


def test_a_viewer_that_goes_is_noticed_though_there_are_no_frames(live):
    _, stream, port = live
    for closing in ("close", "reset"):
        with stalled_viewer(port) as viewer:
            until(lambda: stream.viewer_count == 1)
            if closing == "reset":
                viewer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        until(lambda: stream.viewer_count == 0)


def test_nothing_is_left_of_a_thousand_viewers(serve):
    server, _ = serve({"camera": Camera})
    stream = server.things["camera"].live
    stream.add_frame(jpeg("a", 1000))

    async def view(count: int) -> None:
        for _ in range(count):
            await asyncio.wait_for(one_frame(server.app), SECONDS)

    asyncio.run(view(10))
    gc.collect()
    before = len(gc.get_objects())
    asyncio.run(view(1000))
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert (stream.viewer_count, len(stream._waiters)) == (0, 0)


async def one_frame(app: Any) -> None:
    """Watch a stream as an ASGI server does, and go after the first frame."""
    shown, sent = asyncio.Event(), []

    async def receive() -> dict[str, Any]:
        await shown.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if b"X-Previous-Index" in message.get("body", b""):
            shown.set()

    await app(get("/camera/live"), receive, send)
    assert [each["type"] for each in sent[:2]] == ["http.response.start", "http.response.body"]


def get(path: str) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "scheme": "http"}


def test_a_frame_is_one_message_that_is_made_once_for_all_viewers(serve):
    server, _ = serve({"camera": Camera})
    stream = server.things["camera"].live
    bodies: list[Any] = []

    async def view() -> None:
        done = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if jpeg("a") in message.get("body", b""):
                bodies.append(message["body"])
                if len(bodies) == 10:
                    done.set()

        viewers = [asyncio.ensure_future(server.app(get("/camera/live"), receive, send)) for _ in range(10)]
        while stream.viewer_count < 10:  # noqa: ASYNC110
            await asyncio.sleep(0)
        stream.add_frame(jpeg("a"))
        await asyncio.wait_for(asyncio.gather(*viewers), SECONDS)

    asyncio.run(view())
    assert len({id(each) for each in bodies}) == 1
    assert bodies[0].startswith(jpeg("a") + b"\r\n--frame\r\nContent-Type: image/jpeg\r\n")
    assert bodies[0].endswith(b"\r\n\r\n")


def test_what_a_server_raises_for_a_lost_connection_is_no_error(serve, caplog):
    server, _ = serve({"camera": Camera})
    server.things["camera"].live.add_frame(jpeg("a"))

    async def view() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(SECONDS)
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            if jpeg("a") in message.get("body", b""):
                raise OSError("broken pipe")

        await asyncio.wait_for(server.app(get("/camera/live"), receive, send), SECONDS)

    asyncio.run(view())
    assert not caplog.records


def test_frames_that_no_network_could_carry_are_left_out(monkeypatch, live):
    monkeypatch.setattr(streams, "BYTES_PER_SECOND", 1e6)
    url, stream, _ = live
    with filming(stream, 10_000, 0), watching(f"{url}/camera/live") as shown:
        began = time.monotonic()
        for _ in range(50):
            next(shown)
    assert time.monotonic() - began > 0.25, "which is twice as fast as it may be"


def test_of_many_viewers_together_each_gets_its_turn_and_no_debt_is_left(monkeypatch):
    monkeypatch.setattr(streams, "BYTES_PER_SECOND", 1e6)
    server = lt.ThingServer.from_things({"camera": Camera})

    async def view(stream: MJPEGStream, seconds: float) -> int:
        received = 0

        async def send(message: dict[str, Any]) -> None:
            nonlocal received
            if b"\xff\xd9" in message.get("body", b""):
                received += 1
                stream.add_frame(jpeg("", 10_000))

        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(server.app(get("/camera/live"), asyncio.Event().wait, send), seconds)
        return received

    async def watch() -> None:
        stream = server.things["camera"].live
        stream.add_frame(jpeg("", 10_000))
        began = time.monotonic()
        received = await asyncio.gather(*(view(stream, 0.7) for _ in range(20)))
        assert min(received) >= max(received) - 4  # the first one finds nobody waiting
        assert sum(received) * 10_000 < 1e6 * (time.monotonic() - began) + 100_000
        assert await view(stream, 0.5) > 15

    with server.test_client():
        asyncio.run(watch())


def test_viewers_take_turns_also_in_another_event_loop(monkeypatch):
    monkeypatch.setattr(streams, "BYTES_PER_SECOND", 1e6)
    server = lt.ThingServer.from_things({"camera": Camera})

    async def view_three_frames(stream: MJPEGStream) -> None:
        has_three, received = asyncio.Event(), []

        async def send(message: dict[str, Any]) -> None:
            if b"\xff\xd9" in message.get("body", b""):
                received.append(message)
                stream.add_frame(jpeg("", 10_000))
            if len(received) == 3:
                has_three.set()

        viewing = asyncio.ensure_future(server.app(get("/camera/live"), asyncio.Event().wait, send))
        await asyncio.wait_for(has_three.wait(), 10)
        viewing.cancel()

    async def watch() -> None:
        stream = server.things["camera"].live
        stream.add_frame(jpeg("", 10_000))
        await asyncio.gather(*(view_three_frames(stream) for _ in range(20)))

    with server.test_client():
        asyncio.run(watch())
        asyncio.run(watch())


def test_a_camera_in_a_tight_loop_does_not_starve_other_clients(live):
    url, stream, _ = live
    with filming(stream, 1000, 0), watching(f"{url}/camera/live") as shown, httpx.Client() as client:
        next(shown)
        took = [client.get(f"{url}/health").elapsed.total_seconds() for _ in range(20)]
    assert sorted(took)[10] < 0.1


def test_viewers_are_let_go_of_when_the_server_stops_and_may_come_again_when_it_starts(tmp_path):
    server = lt.ThingServer.from_things({"camera": Camera}, settings_folder=str(tmp_path))
    stream = server.things["camera"].live
    stream.add_frame(jpeg("a"))
    for _ in range(2):
        ended = threading.Event()
        with server.test_client() as client:

            def watch(client: Any = client, ended: threading.Event = ended) -> None:
                answer = client.get("/camera/live")  # the test client gives it when it is complete
                assert answer.content.startswith(b"--frame\r\nContent-Type: image/jpeg\r\n")
                ended.set()

            thread = threading.Thread(target=watch)
            thread.start()
            until(lambda: stream.viewer_count == 1)
            client.portal.call(server.end_streams)
            thread.join(SECONDS)
            assert ended.is_set()
            assert client.get("/camera/live").status_code == 503
    assert stream.viewer_count == 0


LAB = """
import sys, threading
import labthings as lt
from labthings.outputs import MJPEGStreamDescriptor

class Camera(lt.Thing):
    live = MJPEGStreamDescriptor()

    def __enter__(self):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.film)
        self.thread.start()
        return self

    def film(self):
        while not self.ended.wait(0.01):
            self.live.add_frame(bytes.fromhex("ffd8ffe0") + b"x" * 100_000 + bytes.fromhex("ffd9"))

    def __exit__(self, *error):
        self.ended.set()
        self.thread.join()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_server_stops_soon_while_viewers_watch_some_of_which_have_stalled(tmp_path, number):
    (tmp_path / "lab.py").write_text(LAB)
    (tmp_path / "config.json").write_text('{"things": {"camera": "lab:Camera"}}')
    command = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-m", "labthings.server.cli"]
    command += ["-c", "config.json", "--port", "0"]
    with (
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as stack,
    ):
        stack.callback(process.kill)
        assert process.stdout is not None
        announced = "".join(iter(process.stdout.readline, "Press Ctrl+C to stop.\n"))
        found = re.search(r"http://127\.0\.0\.1:(\d+)/camera/", announced)
        assert found, process.communicate(timeout=SECONDS)
        port, ends = int(found[1]), []
        stalled = [stalled_viewer(port) for _ in range(4)]
        for viewer in stalled:
            stack.callback(viewer.close)

        def watch(shown: Iterator[Part]) -> None:
            ends.append(sum(1 for _ in shown))

        shown = [stack.enter_context(watching(f"http://127.0.0.1:{port}/camera/live")) for _ in range(6)]
        for each in shown:
            next(each)
        threads = [threading.Thread(target=watch, args=(each,)) for each in shown]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=SECONDS)
        took = time.monotonic() - began
        for thread in threads:
            thread.join(SECONDS)
    assert took < 10  # on a busy machine; what waits for a client until that is cancelled says so on stderr
    assert len(ends) == 6  # complete answers: or else httpx would have raised
    assert (process.returncode, err) == (0, "")


def test_a_thing_description_links_to_the_stream_and_its_page(client_of):
    description = client_of(Camera, api_prefix="/api").get("/api/thing/").json()
    validate_thing_description(description)
    words = {"rel": "related", "title": "Live <picture>", "description": "What it sees."}
    url = "http://testserver/api/thing/live"
    assert description["links"][-2:] == [
        {"href": url, "type": "multipart/x-mixed-replace", **words},
        {"href": f"{url}/viewer", "type": "text/html", **words},
    ]


def test_both_paths_are_documented(client_of):
    paths = client_of(Camera).get("/openapi.json").json()["paths"]
    assert list(paths["/thing/live"]) == list(paths["/thing/live/viewer"]) == ["get"]
    operation = paths["/thing/live"]["get"]
    assert operation["summary"] == "Live <picture>"
    assert list(operation["responses"]["200"]["content"]) == ["multipart/x-mixed-replace"]
    assert list(paths["/thing/live/viewer"]["get"]["responses"]["200"]["content"]) == ["text/html"]


def test_a_stream_and_something_else_cannot_have_one_path(tmp_path):
    class Two(Camera):
        @lt.endpoint("get", "live/viewer")
        def page(self) -> str:
            return "mine"

    with pytest.raises(ConfigurationError, match=r"endpoint 'Two.page' and an affordance would both answer GET"):
        lt.ThingServer.from_things({"thing": Two}, settings_folder=str(tmp_path))


@pytest.mark.parametrize("name", ["properties", "actions", "ws", "path", "name"])
def test_a_stream_cannot_have_a_name_that_labthings_uses(name):
    with pytest.raises(AttributeError, match="must have another name"):
        type("Wrong", (lt.Thing,), {name: MJPEGStreamDescriptor()})


def test_the_page_is_whole_and_asks_nothing_of_other_servers(client_of):
    page = client_of(Camera).get("/thing/live/viewer")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "img-src data:" in page.headers["content-security-policy"]  # where the page's icon is
    assert "Live &lt;picture&gt;" in page.text
    assert "{{" not in page.text
    assert "<picture>" not in page.text
    assert not re.findall(r"https?:|//[a-z]", page.text.replace("; //", "").replace("  // ", ""))


# --- in a browser -------------------------------------------------------------------------------------------------


IS_LIVE = "document.body.classList.contains('live') && picture.width === 64"
NOTICE = "document.getElementById('notice').textContent"


def test_the_page_shows_the_picture_in_a_browser_and_never_an_old_one_as_live(live, tab):
    url, stream, _ = live
    image = numpy.zeros((48, 64, 3), "uint8")
    image[:, :, 1] = 220
    ended = threading.Event()

    def film() -> None:
        while not ended.wait(0.03):
            stream.add_array(image)

    thread = threading.Thread(target=film)
    thread.start()
    try:
        tab.open(f"{url}/camera/live/viewer")
        tab.until(IS_LIVE)
        pixel = """(() => { const canvas = new OffscreenCanvas(1, 1).getContext("2d");
            canvas.drawImage(picture, 0, 0); return Array.from(canvas.getImageData(0, 0, 1, 1).data); })()"""
        red, green, blue, _ = tab.evaluate(pixel)
        assert green > 180 > 60 > max(red, blue)
        assert tab.evaluate("document.title") == "camera: Live <picture>"
    finally:
        ended.set()
        thread.join()
    tab.until(f"{NOTICE}.startsWith('No new picture comes.')")
    assert not tab.evaluate(IS_LIVE)
    stream.add_array(image)
    tab.until(IS_LIVE)
    stream.stop()
    tab.until(f"{NOTICE}.includes('has been stopped')")
    assert not tab.evaluate(IS_LIVE)
    stream.add_array(image)
    tab.until(IS_LIVE)


def test_a_browser_shows_the_bare_stream_as_soon_as_a_frame_is_complete(live, tab):
    url, stream, _ = live
    stream.add_array(numpy.zeros((48, 64), "uint8"))
    tab.open(f"{url}/health")
    tab.until("document.readyState === 'complete' && location.pathname === '/health'")
    tab.evaluate("document.body.innerHTML = '<img id=picture src=/camera/live>'")
    tab.until("picture.naturalWidth === 64")
    stream.add_array(numpy.zeros((24, 32), "uint8"))
    tab.until("picture.naturalWidth === 32")
