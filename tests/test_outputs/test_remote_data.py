"""Blobs on a server, and what becomes of them when the network fails."""

from __future__ import annotations

import gzip
import io
import pickle
import resource
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from labthings.exceptions import BlobGoneError, BlobTransferError, MediaTypeMismatchError, StorageFullError
from labthings.outputs.blob import Blob
from labthings.outputs.download import PAUSES
from tests.raw_server import Answer, Content, Request, raw_server, response

TEXT = bytes(range(30))
GONE = b'{"detail": "It was forgotten.", "title": "BlobGoneError", "status": 404}'


class PNG(Blob):
    media_type = "image/png"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labthings.outputs.download.PAUSES", (0.0,) * len(PAUSES))


@pytest.fixture
def blob() -> Iterator[Callable[..., Blob]]:
    """Makes a blob whose bytes are what a server answers."""
    with ExitStack() as stack:

        def make(answer: Answer, **options: Any) -> Blob:
            url = stack.enter_context(raw_server(answer))
            return Blob.from_url(f"{url}/blob/1", **{"media_type": "image/png", **options})

        yield make


def test_nothing_is_downloaded_before_it_is_needed(blob):
    content = Content(TEXT)
    lazy = blob(content, size=30, description="Thirty bytes")
    assert (lazy.media_type, lazy.size, lazy.description) == ("image/png", 30, "Thirty bytes")
    assert content.ranges == []


def test_content(blob):
    assert blob(Content(TEXT)).content == TEXT


def test_an_empty_blob(blob):
    assert blob(Content(b"")).content == b""


def test_an_open_one_is_a_file(blob):
    with blob(Content(TEXT)).open() as file:
        file.seek(10)
        assert file.read(3) == TEXT[10:13]
        file.seek(-2, io.SEEK_END)
        assert file.read() == TEXT[-2:]


def test_its_size_is_known_afterwards(blob):
    it = blob(Content(TEXT))
    assert (it.size, it.content, it.size) == (None, TEXT, 30)


def test_it_is_saved(blob, tmp_path):
    blob(Content(TEXT)).save(tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    assert (tmp_path / "saved").read_bytes() == TEXT


def test_a_folder_is_no_file_to_save_it_in(blob, tmp_path):
    content = Content(TEXT)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        blob(content).save(tmp_path)
    assert content.ranges == []


def test_progress_is_reported(blob, tmp_path):
    reported: list[tuple[int, int | None]] = []
    blob(Content(TEXT)).save(tmp_path / "saved", lambda *numbers: reported.append(numbers))
    Blob.from_bytes(TEXT, "a/b").save(tmp_path / "local", lambda *numbers: reported.append(numbers))
    assert reported == [(30, 30), (30, 30)]


def test_giving_up_leaves_no_file(blob, tmp_path):
    def give_up(received: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blob(Content(TEXT)).save(tmp_path / "saved", give_up)
    assert list(tmp_path.iterdir()) == []


# --- lost connections ---------------------------------------------------------------------------------------


def test_after_a_lost_connection_the_rest_is_downloaded(blob, caplog):
    content = Content(TEXT, 10, 5)
    with caplog.at_level("INFO", "labthings"):
        assert blob(content).content == TEXT
    assert content.ranges == [None, "bytes=10-", "bytes=15-"]
    assert "was interrupted after 15 of 30 bytes" in caplog.text


def test_a_lost_connection_is_not_worth_a_warning(blob, caplog):
    assert blob(Content(TEXT, 10)).content == TEXT
    assert [record for record in caplog.records if record.levelname not in {"INFO", "DEBUG"}] == []


def test_a_server_without_parts_sends_everything_again(blob):
    content = Content(TEXT, 10, 20, etag=None)
    assert blob(content).content == TEXT
    assert content.ranges == [None, None, None]


def test_what_has_changed_meanwhile_is_not_mixed(blob):
    content = Content(b"old" * 10, 10)

    def change(request: Request) -> bytes:
        answer = content(request)
        content.content, content.etag = b"new" * 3, '"2"'
        return answer

    assert blob(change).content == b"new" * 3
    assert content.ranges == [None, "bytes=10-"]


def test_a_server_that_ignores_ranges(blob):
    asked: list[str | None] = []

    def ignore(request: Request) -> bytes:
        asked.append(request.headers.get("range"))
        return response(200, TEXT[: 10 * len(asked)], content_length=30, etag='"1"')

    assert blob(ignore).content == TEXT
    assert asked == [None, "bytes=10-", "bytes=20-"]


@pytest.mark.parametrize(
    "wrong",
    [
        response(206, TEXT[9:29], content_range="bytes 9-28/30", etag='"1"'),
        response(206, bytes(21), content_range="bytes 10-30/31", etag='"1"'),
        response(206, TEXT[10:], content_range="bytes 10-29/30", etag='"2"'),
        response(206, TEXT[10:]),
        response(416),
    ],
    ids=["elsewhere", "another size", "another version", "no range", "no such range"],
)
def test_a_wrong_rest_is_not_taken(blob, wrong):
    answers = iter([response(200, TEXT[:10], content_length=30, etag='"1"'), wrong, response(200, b"new")])
    assert blob(lambda request: next(answers)).content == b"new"


def test_a_rest_that_comes_in_parts(blob):
    first = response(200, TEXT[:10], content_length=30, etag='"1"')
    parts = [response(206, TEXT[n : n + 10], content_range=f"bytes {n}-{n + 9}/30") for n in (10, 20)]
    answers = iter([first, *parts])
    assert blob(lambda request: next(answers)).content == TEXT


def test_a_weak_etag_says_too_little_for_a_part(blob):
    content = Content(TEXT, 10, etag='W/"1"')
    assert blob(content).content == TEXT
    assert content.ranges == [None, None]


def test_a_download_of_unknown_size_that_is_cut_is_not_complete(blob):
    chunked = {"transfer_encoding": "chunked", "content_length": None, "etag": '"1"'}
    rest = response(206, TEXT[10:], content_range="bytes 10-29/30", etag='"1"')
    answers = iter([response(200, **chunked) + b"a\r\n" + TEXT[:10] + b"\r\n", rest])
    assert blob(lambda request: next(answers)).content == TEXT


def test_a_download_that_never_gets_further_is_given_up(blob, tmp_path):
    content = Content(TEXT, *[10] * 100, etag=None)
    with pytest.raises(
        BlobTransferError, match=r"Downloading http://.*/blob/1 failed after 10 of 30 bytes: "
    ) as caught:
        blob(content).save(tmp_path / "saved")
    assert len(content.ranges) == 1 + len(PAUSES)
    assert isinstance(caught.value.__cause__, httpx.TransportError)
    assert list(tmp_path.iterdir()) == []


def test_as_long_as_it_gets_further_it_is_not_given_up(blob):
    content = Content(TEXT[:10], *[1] * 9)
    assert blob(content).content == TEXT[:10]
    assert len(content.ranges) == 10 > len(PAUSES)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_server_that_is_away_for_a_moment(blob, status):
    content = Content(TEXT, 10)
    answers = iter([content, lambda request: response(status), content])
    assert blob(lambda request: next(answers)(request)).content == TEXT


def test_a_server_that_is_away_from_the_start(blob):
    with pytest.raises(BlobTransferError, match=r"starting \(503 Service Unavailable\)"):
        _ = blob(lambda request: response(503, b"starting")).content


def test_what_the_server_forgets_meanwhile(blob, tmp_path):
    answers = iter([response(200, TEXT[:10], content_length=30, etag='"1"'), response(404, GONE)])
    with pytest.raises(BlobGoneError, match="It was forgotten"):
        blob(lambda request: next(answers)).save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


# --- other faults -------------------------------------------------------------------------------------------


def test_what_the_server_has_forgotten(blob):
    with pytest.raises(BlobGoneError, match=r"Downloading http://.*/blob/1 failed: It was forgotten\.") as caught:
        _ = blob(lambda request: response(404, GONE)).content
    assert caught.value.problem.title == "BlobGoneError"


def test_a_server_that_is_not_there():
    with raw_server(Content(TEXT)) as url:
        pass
    with pytest.raises(BlobTransferError, match=f"Downloading {url}/1 failed: no answer: ConnectError: "):
        _ = Blob.from_url(f"{url}/1", media_type="a/b").content


def test_what_is_no_url():
    with pytest.raises(BlobTransferError, match="UnsupportedProtocol"):
        Blob.from_url("picture.png")


@pytest.mark.parametrize("status", [201, 204, 304])
def test_an_answer_without_the_content(blob, status):
    with pytest.raises(BlobTransferError, match=str(status)):
        _ = blob(lambda request: response(status)).content


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(blob, tmp_path):
    large = blob(Content(bytes(2**21)))
    with small_disk(2**20):
        with pytest.raises(StorageFullError, match=f"no room for the blob in {tmp_path}"):
            large.save(tmp_path / "saved")
        with pytest.raises(StorageFullError, match="no room for the blob in "):
            _ = large.content
        with pytest.raises(StorageFullError, match=f"no room for the blob in {tmp_path}"):
            Blob.from_bytes(bytes(2**21), "a/b").save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


# --- the media type -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("without_head", [False, True])
def test_the_server_is_asked_for_the_media_type(without_head):
    methods = []

    def answer(request: Request) -> bytes:
        methods.append(request.method)
        if request.method == "HEAD":
            return response(405) if without_head else response(200, content_type="image/png", content_length=30)
        return Content(TEXT)(request)

    with raw_server(answer) as url:
        found = PNG.from_url(url)
    assert (found.media_type, found.size) == ("image/png", 30)
    assert methods == (["HEAD", "GET"] if without_head else ["HEAD"])


def test_a_media_type_that_the_server_does_not_tell():
    with raw_server(lambda request: response(200)) as url:
        assert Blob.from_url(url).media_type == "application/octet-stream"


def test_a_media_type_that_does_not_fit():
    text = TestClient(Response(TEXT, media_type="text/csv"))
    with pytest.raises(MediaTypeMismatchError, match="A PNG is image/png, but this is text/csv"):
        PNG.from_url("http://testserver/blob/1", text)
    with pytest.raises(MediaTypeMismatchError):
        PNG.from_url("http://nowhere", media_type="text/plain")


def test_asking_for_the_media_type_of_nothing():
    nothing = TestClient(Response(GONE, 404))
    with pytest.raises(BlobGoneError, match=r"Asking what is at http://testserver/blob/1 failed: It was forgotten"):
        Blob.from_url("http://testserver/blob/1", nothing)


# --- clients ------------------------------------------------------------------------------------------------


class WholeAnswers:
    """A client that cannot stream."""

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        return httpx.request(method, url, **options)


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_clients(blob, library):
    content = Content(TEXT, 10)
    with library.Client() as client:
        assert blob(content, client=client).content == TEXT
    assert content.ranges == [None, "bytes=10-"]


def test_a_client_that_cannot_stream(blob, tmp_path):
    blob(Content(TEXT), client=WholeAnswers()).save(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == TEXT
    with pytest.raises(BlobTransferError, match="received 10 bytes, expected 30"):
        _ = blob(Content(TEXT, 10), client=WholeAnswers()).content


def test_a_test_client():
    found = PNG.from_url("http://testserver/blob/1", TestClient(Response(TEXT, media_type="image/png")))
    assert (found.size, found.content) == (30, TEXT)


def test_redirections_are_followed(blob):
    content = Content(TEXT)

    def answer(request: Request) -> bytes:
        return response(307, location="/elsewhere") if request.path == "/blob/1" else content(request)

    with httpx.Client() as client:
        assert blob(answer, client=client).content == TEXT


def test_what_is_compressed_on_its_way(blob):
    packed = gzip.compress(TEXT)
    headers = {"content_encoding": "gzip", "content_length": len(packed), "etag": '"1"'}
    answers = iter([response(200, packed[:20], **headers), response(200, packed, **headers)])
    asked: list[dict[str, str]] = []

    def answer(request: Request) -> bytes:
        asked.append(request.headers)
        return next(answers)

    assert blob(answer).content == TEXT
    assert [headers["accept-encoding"] for headers in asked] == ["identity", "identity"]
    assert "range" not in asked[1]


def test_another_process_makes_requests_of_its_own(blob):
    with httpx.Client() as client:
        assert pickle.loads(pickle.dumps(blob(Content(TEXT), client=client))).content == TEXT


def test_a_large_one_takes_little_memory(blob, tmp_path: Path):
    size, piece = 2**26, bytes(2**16)
    large = blob(lambda request: [response(200, content_length=size), *[piece] * (size // len(piece))])
    tracemalloc.start()
    try:
        large.save(tmp_path / "saved")
        large.open().close()
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert (tmp_path / "saved").stat().st_size == size
