"""Blobs that actions return, and those that they are given."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pydantic_core
import pytest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.testclient import TestClient

import labthings as lt
from labthings.exceptions import BlobGoneError, BlobTransferError, FailedToInvokeActionError, UnserialisableTypeError
from labthings.outputs.blob import Blob
from tests import raw_server
from tests.raw_server import Content, response

SENT = b"\x89PNG and so on"


class PNG(Blob):
    media_type = "image/png"


class Capture(BaseModel):
    image: PNG
    exposure: float = 1.0


@dataclass
class Labelled:
    blob: Blob
    label: str


class Camera(lt.Thing):
    @lt.action
    def snap(self) -> PNG:
        return PNG.from_bytes(SENT, description="a cell")

    @lt.action
    def capture(self) -> dict[str, list[Capture]]:
        return {"captures": [Capture(image=PNG.from_bytes(SENT)), Capture(image=PNG.from_bytes(b""))]}

    @lt.action
    def links(self) -> list[dict[str, Any]]:
        link = {"href": "/blob/1", "media_type": "image/png"}
        return [link, {**link, "rel": "self"}, {**link, "rel": "output", "media_type": "no media type"}]

    @lt.property
    def last(self) -> PNG:
        return self.kept

    @lt.action
    def keep(self) -> None:
        self.kept = PNG.from_bytes(SENT)


class Store(lt.Thing):
    """Tells what it is given."""

    @lt.action
    def sizes(self, blob: Blob, others: list[Blob] | None = None) -> list[int]:
        return [len(each.content) for each in [blob, *(others or [])]]

    @lt.action
    def media_type(self, blob: Blob) -> str:
        return blob.media_type

    @lt.action
    def captured(self, capture: Capture) -> int:
        return len(capture.image.content)

    @lt.action
    def labelled(self, labelled: dict[str, Labelled]) -> int:
        return len(labelled["first"].blob.content)

    @lt.action
    def png(self, png: PNG) -> None:
        pass


@pytest.fixture
def camera(connect) -> Any:
    return connect(Camera)


@pytest.fixture
def store(connect) -> Any:
    return connect(Store)


def requests_of(client: Any) -> list[str]:
    """The requests that a client makes from now on."""
    made: list[str] = []
    request = client._thing.connection.request

    def note(method: str, url: Any, **options: Any) -> Any:
        made.append(f"{method} {httpx2.URL(str(url)).path}")
        return request(method, url, **options)

    client._thing.connection.request = note
    return made


# --- outputs ------------------------------------------------------------------------------------------------


def test_an_output(camera):
    image = camera.snap()
    assert isinstance(image, Blob)
    assert (image.media_type, image.description, image.size) == ("image/png", "a cell", len(SENT))
    assert image.content == SENT


def test_an_output_is_not_downloaded_before_it_is_needed(camera):
    made = requests_of(camera)
    camera.snap()
    assert made == ["POST /thing/snap"]


def test_blobs_in_an_output(camera):
    captures = camera.capture()["captures"]
    assert [each["exposure"] for each in captures] == [1.0, 1.0]
    assert [each["image"].content for each in captures] == [SENT, b""]


def test_a_property(camera):
    camera.keep()
    assert camera.last.content == SENT


def test_what_is_only_like_a_blob(camera):
    assert [type(each) for each in camera.links()] == [dict, dict, dict]


def test_a_blob_outlives_its_client(serve_live, tmp_path):
    camera = lt.ThingClient.from_url(f"{serve_live({'thing': Camera}).url}/thing/")
    image = camera.snap()
    del camera
    gc.collect()
    assert image.content == SENT


def test_a_blob_can_be_saved_after_its_client_was_closed(serve_live, tmp_path):
    with lt.ThingClient.from_url(f"{serve_live({'thing': Camera}).url}/thing/") as camera:
        image = camera.snap()
    image.save(tmp_path / "image.png")
    assert (tmp_path / "image.png").read_bytes() == SENT


def test_a_blob_that_the_server_has_forgotten(connect):
    camera = connect(Camera, maximum_invocations=1)
    image, *_ = [camera.snap() for _ in range(3)]
    with pytest.raises(BlobGoneError, match="There is no blob '"):
        _ = image.content


# --- inputs -------------------------------------------------------------------------------------------------


def test_a_blob_from_the_same_server_is_not_sent_back(serve):
    _, http = serve({"camera": Camera, "store": Store})
    image = lt.ThingClient.from_url("/camera/", http).snap()
    store = lt.ThingClient.from_url("/store/", http)
    made = requests_of(store)
    assert store.sizes(image) == [len(SENT)]
    assert made == ["POST /store/sizes"]


def test_another_one_is_uploaded(store):
    assert store.sizes(Blob.from_bytes(SENT, "image/png")) == [len(SENT)]
    assert store.media_type(Blob.from_bytes(SENT, "image/png; x=1")) == "image/png; x=1"


def test_a_file_is_uploaded(store, tmp_path):
    (tmp_path / "data.csv").write_bytes(b"1,2,3")
    blob = Blob.from_file(tmp_path / "data.csv")
    assert (store.sizes(blob), store.media_type(blob)) == ([5], "text/csv")


def test_an_empty_one_is_uploaded(store):
    assert store.sizes(Blob.from_bytes(b"", "image/png")) == [0]


def test_a_blob_is_uploaded_once(store):
    blob, other = Blob.from_bytes(SENT, "image/png"), Blob.from_bytes(b"12", "image/png")
    made = requests_of(store)
    assert store.sizes(blob, [blob, other, PNG(blob.data)]) == [len(SENT), len(SENT), 2, len(SENT)]
    assert made == ["POST /blob/", "POST /blob/", "POST /thing/sizes"]


def test_blobs_in_arguments(store):
    png = PNG.from_bytes(SENT)
    assert store.captured({"image": png}) == len(SENT)
    assert store.captured(Capture(image=png)) == len(SENT)
    assert store.labelled({"first": Labelled(png, "one")}) == len(SENT)


def test_a_blob_from_another_server_is_passed_on(store):
    with raw_server.raw_server(Content(SENT)) as url:
        assert store.sizes(Blob.from_url(url)) == [len(SENT)]


def test_a_property_is_given_a_blob(connect):
    class Display(lt.Thing):
        @lt.property
        def image(self) -> PNG:
            return self.shown

        @image.setter
        def _set_image(self, image: PNG) -> None:
            self.shown = image

    display = connect(Display)
    display.image = PNG.from_bytes(SENT)
    assert display.image.content == SENT


def test_a_blob_of_the_wrong_type(store):
    with pytest.raises(FailedToInvokeActionError, match="A PNG is image/png, but this is text/plain"):
        store.png(Blob.from_bytes(b"text", "text/plain"))


def test_a_file_that_has_vanished(store, tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"1,2,3")
    blob = Blob.from_file(path)
    path.unlink()
    with pytest.raises(BlobGoneError, match=r"data\.csv"):
        store.sizes(blob)


def test_a_blob_that_is_too_large(connect):
    store = connect(Store, maximum_upload_size=10)
    with pytest.raises(BlobTransferError, match=r"Uploading <Blob a/b, 11 bytes> failed: .*maximum_upload_size"):
        store.sizes(Blob.from_bytes(bytes(11), "a/b"))


def test_nothing_is_uploaded_for_arguments_that_cannot_be_sent(store):
    made = requests_of(store)
    with pytest.raises(UnserialisableTypeError):
        store.sizes(Blob.from_bytes(SENT, "a/b"), [object()])
    assert made == []


# --- other servers ------------------------------------------------------------------------------------------


def description(base: str, **more: Any) -> dict[str, Any]:
    form = {"href": "/thing/act", "op": ["invokeaction"]}
    action = {"input": {"type": "object"}, "synchronous": True, "forms": [form]}
    return {"@context": "https://www.w3.org/2022/wot/td/v1.1", "base": base, "actions": {"act": action}, **more}


class OtherServer:
    """A server whose action returns what it is told to, and takes uploads if it is told where.

    :param uploads: what it answers to uploads, one by one.
    """

    def __init__(self, output: Any = None, uploads: Iterator[bytes] | None = None) -> None:
        self.output, self._uploads = output, uploads
        self.requests: list[raw_server.Request] = []
        self.uploaded: list[bytes] = []
        self.arguments: Any = None

    def __call__(self, request: raw_server.Request) -> bytes:
        self.requests.append(request)
        if request.path == "/thing/":
            links = [{"rel": "urn:labthings:rel:blobs", "href": "/blob/"}] if self._uploads else []
            return self._json(description("/", links=links))
        if request.path == "/blob/":
            return self._take(request)
        if request.path == "/thing/act":
            self.arguments = pydantic_core.from_json(request.body.read(int(request.headers["content-length"])))
            return self._json(self.output)
        return Content(SENT)(request)

    def _take(self, request: raw_server.Request) -> bytes:
        answer = next(self._uploads or iter([]))
        if not answer:
            request.body.read(5)
            return b""
        self.uploaded.append(request.body.read(int(request.headers["content-length"])))
        return answer

    def _json(self, value: Any) -> bytes:
        return response(200, pydantic_core.to_json(value), content_type="application/json")


@pytest.fixture
def other() -> Iterator[Callable[..., tuple[OtherServer, Any]]]:
    """Starts an `OtherServer`, and gives it and a client of it."""
    with ExitStack() as stack:

        def start(client: Any = None, **options: Any) -> tuple[OtherServer, Any]:
            server = OtherServer(**options)
            url = stack.enter_context(raw_server.raw_server(server))
            return server, stack.enter_context(lt.ThingClient.from_url(f"{url}/thing/", client))

        yield start


LINK = {"href": "/blob/1", "media_type": "image/png", "rel": "output"}
TAKEN = response(201, b"{}", location="/blob/2")


def test_a_relative_link(other):
    _, thing = other(output=LINK)
    image = thing.act()
    assert (image.media_type, image.size, image.content) == ("image/png", None, SENT)


def test_a_link_that_the_server_makes_with_an_address_of_its_own():
    async def behind_a_proxy(scope: Any, receive: Any, send: Any) -> None:
        path = Request(scope).url.path
        base = "http://inside:5000/"
        answers: dict[str, Any] = {
            "/lab/thing/": description(base),
            "/lab/thing/act": {**LINK, "href": f"{base}blob/1"},
        }
        answer = JSONResponse(answers[path]) if path in answers else PlainTextResponse(path)
        await answer(scope, receive, send)

    thing = lt.ThingClient.from_url("/lab/thing/", TestClient(behind_a_proxy))
    assert thing.act().content == b"/lab/blob/1"


def test_another_server_is_not_sent_what_this_one_may_know(other):
    elsewhere: list[raw_server.Request] = []

    def answer(request: raw_server.Request) -> bytes:
        elsewhere.append(request)
        return Content(SENT)(request)

    with raw_server.raw_server(answer) as url, httpx.Client(headers={"authorization": "Bearer key"}) as client:
        server, thing = other(client, output=[LINK, {**LINK, "href": f"{url}/blob/1"}])
        assert [each.content for each in thing.act()] == [SENT, SENT]
    assert server.requests[-1].headers["authorization"] == "Bearer key"
    assert "authorization" not in elsewhere[0].headers


def test_a_server_that_takes_no_uploads(other):
    server, thing = other(output=LINK)
    with pytest.raises(BlobTransferError, match="has no link for uploads"):
        thing.act(blob=Blob.from_bytes(SENT, "a/b"))
    thing.act(blob=thing.act())
    assert server.arguments["blob"]["href"].endswith("/blob/1")


def test_a_blob_of_a_server_at_the_same_address(other):
    server, thing = other(output={**LINK, "href": "/other_prefix/blob/1"}, uploads=iter([TAKEN]))
    thing.act(blob=thing.act())
    assert server.uploaded == [SENT]


# --- lost connections ---------------------------------------------------------------------------------------


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labthings.client.blobs.PAUSES", (0.0, 0.0))


@pytest.mark.usefixtures("no_pauses")
def test_an_upload_that_is_interrupted_is_made_again(other, caplog):
    server, thing = other(uploads=iter([b"", b"", TAKEN]))
    content = bytes(range(256)) * 2**13
    thing.act(blob=Blob.from_bytes(content, "a/b"))
    assert server.uploaded == [content]
    assert server.arguments["blob"]["href"] == f"http://{server.requests[0].headers['host']}/blob/2"
    assert [each for each in caplog.records if each.levelname not in {"INFO", "DEBUG"}] == []


@pytest.mark.usefixtures("no_pauses")
def test_an_upload_that_is_always_interrupted(other):
    server, thing = other(uploads=iter([b""] * 10))
    with pytest.raises(BlobTransferError, match=r"Uploading <Blob a/b, 2097152 bytes> failed: no answer from http://"):
        thing.act(blob=Blob.from_bytes(bytes(2**21), "a/b"))
    assert [each.path for each in server.requests] == ["/thing/", "/blob/", "/blob/", "/blob/"]


def test_a_file_that_grows_while_it_is_uploaded(other, tmp_path):
    path, content = tmp_path / "log.txt", bytes(2**24)
    path.write_bytes(content)

    def uploads() -> Iterator[bytes]:
        with path.open("ab") as file:
            file.write(b"more")
        yield TAKEN

    server, thing = other(uploads=uploads())
    thing.act(blob=Blob.from_file(path))
    assert server.uploaded == [content]


def test_an_upload_that_is_refused_at_once(serve_live):
    live = serve_live({"store": Store}, maximum_upload_size=10)
    with lt.ThingClient.from_url(f"{live.url}/store/") as store:
        made = requests_of(store)
        with pytest.raises(BlobTransferError, match="maximum_upload_size"):
            store.sizes(Blob.from_bytes(bytes(2**24), "a/b"))
    assert made == ["POST /blob/"]


@pytest.mark.parametrize("answer", [response(200), response(200, b"[]"), response(200, b"hello")])
def test_an_upload_whose_place_is_not_told(other, answer):
    _, thing = other(uploads=iter([answer]))
    with pytest.raises(BlobTransferError, match=r"Uploading <Blob a/b, 2 bytes> failed: "):
        thing.act(blob=Blob.from_bytes(b"12", "a/b"))


def test_the_place_of_an_upload_may_be_told_in_its_body_alone(other):
    server, thing = other(uploads=iter([response(201, b'{"href": "/blob/3"}')]))
    thing.act(blob=Blob.from_bytes(b"12", "a/b"))
    assert server.arguments["blob"]["href"].endswith("/blob/3")


# --- large ones ---------------------------------------------------------------------------------------------


def test_large_blobs_take_little_memory(serve_live, tmp_path: Path):
    size, path = 2**27, tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(size)

    class Archive(lt.Thing):
        @lt.action
        def fetch(self) -> Blob:
            return Blob.from_file(path)

        @lt.action
        def size(self, blob: Blob) -> int | None:
            return blob.size

    with lt.ThingClient.from_url(f"{serve_live({'archive': Archive}).url}/archive/") as archive:
        tracemalloc.start()  # it sees the server too
        try:
            archive.fetch().save(tmp_path / "saved")
            assert archive.size(Blob.from_file(path)) == size
            assert tracemalloc.get_traced_memory()[1] < 2**24
        finally:
            tracemalloc.stop()
    assert (tmp_path / "saved").stat().st_size == size
