"""Blobs over HTTP: downloads, in whole or in part, uploads, and how long they live."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import labthings as lt
from labthings import client_blobs
from labthings.outputs import blob_data

SOON = 20.0
CONTENT = bytes(range(256)) * 4


class Png(lt.blob.Blob):
    media_type = "image/png"


class Pair(BaseModel):
    left: Png
    others: list[lt.blob.Blob]


class Camera(lt.Thing):
    """A camera for tests."""

    latest: lt.blob.Blob | None = lt.property(default=None)

    @lt.property
    def fresh(self) -> Png:
        """A new picture."""
        return Png.from_bytes(b"fresh")

    @lt.action
    def snap(self) -> Png:
        """Take a picture."""
        return Png.from_bytes(CONTENT, description="A picture")

    @lt.action
    async def snap_async(self, size: int) -> lt.blob.Blob:
        """Take a picture in the event loop."""
        return lt.blob.Blob.from_bytes(bytes(size))

    @lt.action
    def pair(self) -> Pair:
        """Take two pictures."""
        return Pair(left=Png.from_bytes(b"left"), others=[lt.blob.Blob.from_bytes(b"other")])

    @lt.action
    def large(self, size: int) -> lt.blob.Blob:
        """Take a large picture."""
        return lt.blob.Blob.from_bytes(bytes(size))

    @lt.action
    def file(self, path: str) -> lt.blob.Blob:
        """Give a file."""
        return lt.blob.Blob.from_file(path)

    @lt.action
    def temporary(self) -> lt.blob.Blob:
        """Make a file."""
        folder = TemporaryDirectory()
        (Path(folder.name) / "übung 1.txt").write_text("hello")
        return lt.blob.Blob.from_temporary_directory(folder, "übung 1.txt")

    @lt.action
    def wrong(self) -> Png:
        """Return something else than it says."""
        return lt.blob.Blob.from_bytes(b"", media_type="text/plain")  # type: ignore[return-value]

    @lt.action(retention_time=0)
    def forgotten(self) -> Png:
        """Take a picture that nobody keeps."""
        return Png.from_bytes(b"forgotten")

    @lt.action
    def size_of(self, data: lt.blob.Blob) -> int:
        """Measure."""
        return len(data.content)

    @lt.action
    def size_of_png(self, data: Png) -> int:
        """Measure a picture."""
        return len(data.content)


@pytest.fixture
def camera(client_of: Callable[..., Any]) -> Any:
    return client_of({"camera": Camera})


def run(client: Any, action: str, **arguments: Any) -> Any:
    """Invoke an action, and give its finished invocation."""
    answer = client.post(f"/camera/{action}?wait=20", json=arguments)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["status"] == "completed", told
    return told


# --- downloads ----------------------------------------------------------------------------------------------------


def test_an_output_is_a_link_to_the_bytes(camera: Any) -> None:
    output = run(camera, "snap")["output"]
    answer = camera.get(output.pop("href"))
    assert output == {"media_type": "image/png", "rel": "output", "description": "A picture", "size": len(CONTENT)}
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"].endswith(".png")


def test_a_browser_does_not_act_on_what_it_shows(camera: Any) -> None:
    answer = camera.get(run(camera, "snap")["output"]["href"])
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_blobs_may_be_anywhere_in_an_output(camera: Any) -> None:
    output = run(camera, "pair")["output"]
    assert camera.get(output["left"]["href"]).content == b"left"
    assert camera.get(output["others"][0]["href"]).content == b"other"


def test_the_output_of_an_invocation_is_the_file_itself(camera: Any) -> None:
    told = run(camera, "snap")
    answer = camera.get(f"/action_invocations/{told['id']}/output", headers={"range": "bytes=1-2"})
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (206, CONTENT[1:3], "image/png")
    nested = camera.get(f"/action_invocations/{run(camera, 'pair')['id']}/output").json()
    assert camera.get(nested["left"]["href"]).content == b"left"


def test_a_file_may_have_any_name(camera: Any, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b'"\r\nX: \xff.txt')
    path.write_text("hello")
    camera.server.things["camera"].latest = lt.blob.Blob.from_file(path)
    answer = camera.get(camera.get("/camera/latest").json()["href"])
    assert answer.content == b"hello"
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''%22%0D%0AX%3A%20%3F.txt"


def test_a_file_has_its_name(camera: Any) -> None:
    answer = camera.get(run(camera, "temporary")["output"]["href"])
    assert answer.text == "hello"
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''%C3%BCbung%201.txt"


def test_every_client_gets_the_address_by_which_it_reaches_the_server(client_of: Any) -> None:
    client = client_of({"camera": Camera}, api_prefix="/api/v1")
    told = client.post("/api/v1/camera/snap?wait=20").json()
    for host in ("lab.example:5000", "192.168.1.5"):
        output = client.get(f"/api/v1/action_invocations/{told['id']}", headers={"host": host}).json()["output"]
        assert output["href"].startswith(f"http://{host}/api/v1/blob/")
    assert client.get(output["href"]).content == CONTENT
    fresh = client.get("/api/v1/camera/fresh", headers={"host": "lab"}).json()
    assert fresh["href"].startswith("http://lab/api/v1/blob/")


def test_head_tells_everything_but_the_bytes(camera: Any) -> None:
    href = run(camera, "snap")["output"]["href"]
    head, get = camera.head(href), camera.get(href)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers
    assert camera.head(href, headers={"range": "bytes=0-9"}).status_code == 200
    assert camera.head(href, headers={"range": "bytes=9999-"}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=5-5", 5, 6),
        ("bytes=1000-", 1000, 1024),
        ("bytes=1000-99999", 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=-99999", 0, 1024),
        ("BYTES=0-0", 0, 1),
    ],
)
def test_a_part_can_be_asked_for(camera: Any, asked: str, start: int, stop: int) -> None:
    answer = camera.get(run(camera, "snap")["output"]["href"], headers={"range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/1024"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize(
    "asked", ["bytes=9-5", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "", "bytes", "bytes=0-" + "9" * 5000]
)
def test_what_is_no_part_gives_everything(camera: Any, asked: str) -> None:
    answer = camera.get(run(camera, "snap")["output"]["href"], headers={"range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_a_part_that_is_not_there_is_refused(camera: Any, refused: Any, asked: str) -> None:
    answer = camera.get(run(camera, "snap")["output"]["href"], headers={"range": asked})
    refused(answer, 416, "There are 1024 bytes")
    assert answer.headers["content-range"] == "bytes */1024"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 1100), length=st.integers(1, 1100))
def test_any_part_is_that_part(camera: Any, start: int, length: int) -> None:
    href = camera.__dict__.setdefault("href", None) or run(camera, "snap")["output"]["href"]
    camera.href = href
    answer = camera.get(href, headers={"range": f"bytes={start}-{start + length - 1}"})
    assert answer.status_code == (206 if start < 1024 else 416)
    if start < 1024:
        assert answer.content == CONTENT[start : start + length]


def test_a_part_of_another_version_is_not_given(camera: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"before")
    href = run(camera, "file", path=str(tmp_path / "data"))["output"]["href"]
    etag = camera.get(href).headers["etag"]
    part = camera.get(href, headers={"range": "bytes=3-", "if-range": etag})
    assert (part.status_code, part.content) == (206, b"ore")
    (tmp_path / "data").write_bytes(b"after!!")
    whole = camera.get(href, headers={"range": "bytes=3-", "if-range": etag})
    assert (whole.status_code, whole.content) == (200, b"after!!")


def test_what_a_client_has_is_not_sent_again(camera: Any) -> None:
    href = run(camera, "snap")["output"]["href"]
    etag = camera.get(href).headers["etag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = camera.get(href, headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert camera.get(href, headers={"if-none-match": '"other"'}).status_code == 200


def test_an_empty_blob_is_empty(camera: Any) -> None:
    output = run(camera, "large", size=0)["output"]
    assert output["size"] == 0
    assert camera.get(output["href"]).content == b""


def test_one_that_never_was_is_not_found(camera: Any, refused: Any) -> None:
    refused(camera.get("/blob/1234"), 404, "There is no blob '1234'")


def test_a_file_that_has_vanished_is_not_found(camera: Any, refused: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"data")
    href = run(camera, "file", path=str(tmp_path / "data"))["output"]["href"]
    (tmp_path / "data").unlink()
    refused(camera.get(href), 404, "The file of the blob 'data' cannot be read: No such file or directory.")


def test_another_media_type_than_the_action_says_is_an_error(camera: Any) -> None:
    told = camera.post("/camera/wrong?wait=20").json()
    assert told["status"] == "error"
    assert told["error"]["title"] == "MediaTypeMismatchError"
    assert (
        "'camera.wrong' returned another media type: A Png is image/png, but this is text/plain"
        in told["error"]["detail"]
    )


def test_a_file_that_gets_shorter_does_not_seem_whole(serve_live: Any, tmp_path: Path, caplog: Any) -> None:
    size = 64 * 2**20
    path = tmp_path / "data"
    with path.open("wb") as file:
        file.truncate(size)
    live = serve_live({"camera": Camera})
    with httpx.Client(base_url=live.url, timeout=SOON) as client:
        href = run(client, "file", path=str(path))["output"]["href"]
        with client.stream("GET", href) as answer:
            chunks = answer.iter_raw()
            next(chunks)
            os.truncate(path, 0)
            with pytest.raises(httpx.RemoteProtocolError):
                list(chunks)
    assert "The blob 'data' could not be sent to its end: the file is shorter now" in caplog.text


def test_a_client_that_goes_is_not_sent_the_rest(serve_live: Any, tmp_path: Path) -> None:
    path = tmp_path / "data"
    with path.open("wb") as file:
        file.truncate(2**40)  # which nobody could be sent in the time of a test
    live = serve_live({"camera": Camera})
    with httpx.Client(base_url=live.url, timeout=SOON) as client:
        href = run(client, "file", path=str(path))["output"]["href"]
        with client.stream("GET", href) as answer:
            assert answer.headers["content-length"] == str(2**40)
        assert client.get("/camera/latest").json() is None
    assert live.url  # the fixture asserts that the server stops


def test_a_download_that_breaks_off_can_go_on_though_the_invocation_is_forgotten(
    serve_live: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_broken_off, keep_on = threading.Event(), client_blobs.ClientBlobs.keep_on

    def noting(self: client_blobs.ClientBlobs, data: Any, *, until_resumed: bool) -> None:
        keep_on(self, data, until_resumed=until_resumed)
        has_broken_off.set()

    monkeypatch.setattr(client_blobs.ClientBlobs, "keep_on", noting)
    path = tmp_path / "data"
    with path.open("wb") as file:
        file.truncate(2**40)
    live = serve_live({"camera": Camera}, maximum_invocations=1)
    with httpx.Client(base_url=live.url, timeout=SOON) as client:
        href = run(client, "file", path=str(path))["output"]["href"]
        with client.stream("GET", href):
            run(client, "snap")
        assert has_broken_off.wait(SOON)
        assert client.get(href, headers={"range": "bytes=-9"}).content == bytes(9)


# --- uploads and inputs -------------------------------------------------------------------------------------------


def upload(client: Any, content: Any, media_type: str | None = "image/png") -> Any:
    return client.post("/blob/", content=content, headers={"content-type": media_type} if media_type else {})


def test_an_upload_is_an_input(camera: Any) -> None:
    answer = upload(camera, CONTENT)
    link = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, link["href"])
    assert {**link, "href": ""} == {"href": "", "media_type": "image/png", "rel": "output", "size": 1024}
    assert camera.get(link["href"]).content == CONTENT
    told = run(camera, "size_of_png", data=link)
    assert (told["output"], told["input"]) == (1024, {"data": link})
    assert run(camera, "size_of", data={"href": link["href"]})["output"] == 1024


def test_an_output_is_an_input_too(camera: Any) -> None:
    assert run(camera, "size_of", data=run(camera, "snap")["output"])["output"] == 1024


def test_without_a_media_type_an_upload_is_just_bytes(camera: Any) -> None:
    assert upload(camera, b"1", None).json()["media_type"] == "application/octet-stream"


def test_a_large_upload_goes_to_a_file(client_of: Any, tmp_path: Path) -> None:
    client = client_of({"camera": Camera}, spool_size=1000, spool_folder=str(tmp_path))
    content = os.urandom(3 * 2**20 + 7)
    link = upload(client, content).json()
    data = blob_data.local_data(link["href"].rpartition("/")[2])
    assert (data.in_memory, data.in_files) == (0, len(content))
    assert client.get(link["href"]).content == content
    assert run(client, "size_of", data=link)["output"] == len(content)
    assert list(tmp_path.iterdir()) == []


def test_a_chunked_upload_without_a_length_is_taken(camera: Any) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"1" * 1000
        yield b"2" * 1000

    assert upload(camera, chunks()).json()["size"] == 2000


@pytest.mark.parametrize("is_told", [True, False])
def test_too_large_an_upload_is_refused(client_of: Any, refused: Any, is_told: bool) -> None:
    client = client_of({"camera": Camera}, maximum_upload_size=1000)
    content: Any = b"1" * 1001 if is_told else iter([b"1" * 600, b"2" * 600])
    refused(upload(client, content), 413, "1000 bytes, the `maximum_upload_size`")
    assert upload(client, b"1" * 1000).status_code == 201


def test_a_form_is_refused_with_the_remedy(camera: Any, refused: Any) -> None:
    refused(camera.post("/blob/", files={"file": b"1"}), 415, "--data-binary @FILE")
    refused(upload(camera, b"1", "nonsense"), 415, "'Content-Type: nonsense' is not a media type")


def test_a_full_disk_is_told(client_of: Any, refused: Any, tmp_path: Path) -> None:
    client = client_of({"camera": Camera}, spool_size=10, spool_folder=str(tmp_path / "missing"))
    refused(upload(client, b"1" * 11), 507, "cannot be kept on the server's disk: No such file or directory")
    assert upload(client, b"1" * 10).status_code == 201


def test_a_disk_is_not_filled_to_the_brim(client_of: Any, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of({"camera": Camera}, spool_size=10)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(total=10**13, free=2**30 + 20))
    refused(upload(client, b"1" * 21), 507, f"of the {2**30 + 20} bytes that are free, {2**30} are spared")
    assert upload(client, b"1" * 20).status_code == 201


def test_an_upload_that_breaks_off_leaves_nothing(serve_live: Any) -> None:
    live = serve_live({"camera": Camera}, spool_size=1000)
    gc.collect()
    before = len(blob_data._known)
    with socket.create_connection(("127.0.0.1", live.port), timeout=SOON) as connection:
        connection.sendall(b"POST /blob/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + b"1" * 2_000_000)
    with httpx.Client(base_url=live.url, timeout=SOON) as client:
        assert upload(client, b"1").status_code == 201
    assert len(blob_data._known) == before + 1


def test_a_link_to_nothing_is_refused(camera: Any, refused: Any) -> None:
    problem = refused(camera.post("/camera/size_of", json={"data": {"href": "/blob/1"}}), 422, "There is no blob '1'")
    assert problem["errors"][0]["loc"] == ["data"]
    refused(camera.post("/camera/size_of", json={"data": "text"}), 422, 'as in {"href": "..."}')


def test_an_input_of_another_media_type_is_refused(camera: Any, refused: Any) -> None:
    link = upload(camera, b"1", "text/plain").json()
    answer = camera.post("/camera/size_of_png", json={"data": link})
    refused(answer, 422, "data: A Png is image/png, but this is text/plain")


def test_a_link_of_another_server_is_not_followed(camera: Any, refused: Any) -> None:
    link = {"href": "http://169.254.169.254/latest/meta-data"}
    refused(camera.post("/camera/size_of", json={"data": link}), 422, "There is no blob 'meta-data'")


# --- in properties ------------------------------------------------------------------------------------------------


def test_a_property_may_hold_a_blob(camera: Any) -> None:
    link = upload(camera, b"picture").json()
    assert camera.put("/camera/latest", json=link).status_code == 204
    assert camera.get(camera.get("/camera/latest").json()["href"]).content == b"picture"
    assert camera.server.things["camera"].latest.content == b"picture"


def test_what_a_getter_makes_can_be_downloaded(camera: Any) -> None:
    href = camera.get("/camera/fresh").json()["href"]
    gc.collect()
    assert camera.get(href).content == b"fresh"


def test_observers_are_told_of_a_link_that_works_for_them(camera: Any) -> None:
    with camera.websocket_connect("/camera/ws", headers={"host": "lab:5000"}) as socket:
        socket.send_json({"messageType": "addPropertyObservation", "data": {"latest": True}})
        camera.put("/camera/latest", json=upload(camera, b"picture").json())
        href = socket.receive_json()["data"]["latest"]["href"]
    assert href.startswith("http://lab:5000/blob/")
    assert camera.get(href).content == b"picture"


# --- how long they live -------------------------------------------------------------------------------------------


def known() -> int:
    gc.collect()
    return len(blob_data._known)


def test_a_blob_goes_with_its_invocation(client_of: Any, refused: Any) -> None:
    client = client_of({"camera": Camera}, maximum_invocations=1)
    href = run(client, "snap")["output"]["href"]
    run(client, "snap")
    refused(client.get(href), 404, "The server may have forgotten it")


def test_the_blob_of_an_action_that_keeps_nothing_can_be_downloaded(camera: Any) -> None:
    assert camera.get(run(camera, "forgotten")["output"]["href"]).content == b"forgotten"


def test_a_thousand_captures_leave_nothing(client_of: Any) -> None:
    client = client_of({"camera": Camera}, maximum_invocations=5)
    before = known()
    for _ in range(1000):
        client.post("/camera/snap?wait=20")
    assert known() <= before + 5


def test_an_input_lives_as_long_as_the_invocation_that_was_given_it(client_of: Any) -> None:
    client = client_of({"camera": Camera}, maximum_invocations=1)
    link = upload(client, b"1").json()
    told = run(client, "size_of", data=link)
    id = link["href"].rpartition("/")[2]
    client.server.blocking_portal.call(client.server.client_blobs._retention._drop, id)
    assert client.get(told["input"]["data"]["href"]).content == b"1"
    run(client, "snap")
    assert client.get(link["href"]).status_code == 404


def test_an_upload_that_nobody_uses_goes_after_its_time(client_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_blobs, "SECONDS_TO_DOWNLOAD", 0)
    client = client_of({"camera": Camera}, upload_retention=0)
    before = known()
    link = upload(client, b"1").json()
    assert client.post("/camera/size_of", json={"data": link}).status_code == 422
    assert known() == before


def test_outputs_take_no_more_memory_than_they_may(client_of: Any, caplog: pytest.LogCaptureFixture) -> None:
    client = client_of({"camera": Camera}, maximum_kept_memory=250_000, spool_size=10**9)
    with caplog.at_level(logging.INFO):
        hrefs = [run(client, "large", size=100_000)["output"]["href"] for _ in range(4)]
    assert [client.get(href).status_code for href in hrefs] == [404, 404, 200, 200]
    assert "The invocation of camera.large that ended at " in caplog.text
    assert "is forgotten early: ended actions take" in caplog.text


def test_outputs_take_no_more_of_the_disk_than_they_may(client_of: Any) -> None:
    client = client_of({"camera": Camera}, maximum_kept_files=250_000, spool_size=1000)
    hrefs = []
    for _ in range(4):
        hrefs.append(run(client, "large", size=100_000)["output"]["href"])
        wait_until_in_file(client, hrefs[-1])
    gc.collect()  # that function has left cycles behind
    assert [client.get(href).status_code for href in hrefs] == [404, 404, 200, 200]


@pytest.mark.parametrize("action", ["large", "snap_async"])
def test_outputs_that_come_faster_than_the_disk_takes_them_wait_for_it(
    client_of: Any, action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, move = threading.Event(), blob_data.BytesData.move_to_file

    def move_slowly(data: blob_data.BytesData, folder: str | None) -> None:
        assert may_write.wait(SOON)
        move(data, folder)

    monkeypatch.setattr(blob_data.BytesData, "move_to_file", move_slowly)
    client = client_of({"camera": Camera}, spool_size=1000, maximum_kept_memory=250_000)
    hrefs = [run(client, action, size=100_000)["output"]["href"] for _ in range(2)]
    third = client.post(f"/camera/{action}?wait=0.2", json={"size": 100_000})
    may_write.set()
    ended = client.get(third.headers["location"] + "?wait=20").json()
    hrefs.append(ended["output"]["href"])
    assert [client.get(href).status_code for href in hrefs] == [200, 200, 200]


@pytest.mark.parametrize("action", ["large", "snap_async"])
def test_large_outputs_go_to_files(client_of: Any, action: str, tmp_path: Path) -> None:
    client = client_of({"camera": Camera}, spool_size=1000, spool_folder=str(tmp_path))
    href = run(client, action, size=100_000)["output"]["href"]
    wait_until_in_file(client, href)
    assert client.get(href, headers={"range": "bytes=99990-"}).content == bytes(10)
    assert list(tmp_path.iterdir()) == []


def wait_until_in_file(client: Any, href: str) -> None:
    data = blob_data.local_data(href.rpartition("/")[2])
    moved = threading.Event()
    manager = client.server.action_manager
    retention = manager._retention

    def look() -> None:
        if data.in_memory == 0 and retention.sizes.in_memory < 10_000:
            moved.set()
        else:
            client.server.loop_calls.loop.call_later(0.005, look)

    client.server.loop_calls.call_soon(look)
    assert moved.wait(SOON)


def test_what_cannot_be_moved_to_a_file_stays_in_memory(client_of: Any, tmp_path: Path) -> None:
    client = client_of({"camera": Camera}, spool_size=1000, spool_folder=str(tmp_path / "missing"))
    warned = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: "cannot be moved to a file" in record.getMessage() and warned.set()  # type: ignore[method-assign,assignment,func-returns-value]
    logger = logging.getLogger("labthings.actions.spool")
    logger.addHandler(handler)
    try:
        href = run(client, "large", size=100_000)["output"]["href"]
        assert warned.wait(SOON)
    finally:
        logger.removeHandler(handler)
    assert client.get(href).content == bytes(100_000)
