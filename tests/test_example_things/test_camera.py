"""The camera, as its users see it."""

import io
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import ExifTags, Image

import labthings as lt
from example_things.camera import Camera
from example_things.motor_stage import MotorStage
from labthings.exceptions import InvocationCancelledError
from labthings.invocation_contexts import fake_invocation_context

STAGE = {"class": MotorStage, "kwargs": {"time_scale": 1e6}}


@pytest.fixture
def client(serve: Callable[..., Any]) -> Any:
    return serve({"stage": STAGE, "camera": Camera})


@pytest.fixture
def camera(client: Any) -> Any:
    return lt.ThingClient.from_url("/camera/", client)


def test_an_image_is_an_array(camera: Any) -> None:
    image = camera.raw_image
    assert isinstance(image, np.ndarray)
    assert (image.shape, image.dtype) == ((360, 480, 3), np.uint8)


def test_exposure_time_and_gain_make_it_brighter(camera: Any) -> None:
    normal = camera.raw_image.mean()
    camera.exposure_time = 10
    assert camera.raw_image.mean() == pytest.approx(normal / 2, rel=0.1)
    camera.gain = 6.02
    assert camera.raw_image.mean() == pytest.approx(normal, rel=0.1)


def test_gain_makes_noise_where_light_is_missing(camera: Any) -> None:
    clear = _noise(camera.raw_image)
    camera.exposure_time, camera.gain = 2, 20
    assert _noise(camera.raw_image) > 2 * clear


def test_too_long_an_exposure_clips(camera: Any) -> None:
    assert np.mean(camera.raw_image == 255) < 0.01
    camera.exposure_time = 200
    assert np.mean(camera.raw_image == 255) > 0.5


def test_the_scene_moves(camera: Any) -> None:
    seen = {camera.raw_image.tobytes() for _ in range(2)}
    assert len(seen) == 2


def test_the_scene_moves_with_the_stage(client: Any, camera: Any) -> None:
    here = camera.raw_image.astype(float)
    lt.ThingClient.from_url("/stage/", client).move_to(x=100, y=50)
    there = camera.raw_image.astype(float)
    shifted = np.abs(there[:-50, :-100] - here[50:, 100:]).mean()
    assert shifted < 0.5 * np.abs(there - here).mean()


def test_it_can_do_without_a_stage(serve: Callable[..., Any]) -> None:
    camera = lt.ThingClient.from_url("/camera/", serve({"camera": Camera}))
    assert camera.raw_image.shape == (360, 480, 3)


def test_a_snapshot_is_a_jpeg_that_says_how_things_were(client: Any, camera: Any) -> None:
    lt.ThingClient.from_url("/stage/", client).move_to(x=12.5)
    camera.gain = 3
    blob = camera.snapshot()
    assert blob.media_type == "image/jpeg"
    image = Image.open(io.BytesIO(blob.content))
    image.load()
    assert (image.format, image.size) == ("JPEG", (480, 360))
    states = _comment(image)
    assert states["stage"]["x"] == 12.5
    assert states["camera"] == {"exposure_time": 20, "gain": 3}


def test_a_sequence_is_a_zip_file_of_images(camera: Any, tmp_path: Path) -> None:
    blob = camera.capture_sequence(count=3, interval=0)
    assert blob.media_type == "application/zip"
    blob.save(tmp_path / "sequence.zip")
    with zipfile.ZipFile(tmp_path / "sequence.zip") as file:
        assert file.namelist() == ["image_0000.jpg", "image_0001.jpg", "image_0002.jpg"]
        image = Image.open(io.BytesIO(file.read("image_0002.jpg")))
        assert _comment(image)["camera"]["gain"] == 0


def test_a_sequence_that_is_cancelled_leaves_no_files(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with fake_invocation_context() as context:
        monkeypatch.setattr(Camera, "_jpeg", lambda self: context.cancel_event.set() or b"")
        with pytest.raises(InvocationCancelledError):
            client.server.things["camera"].capture_sequence(2)
    assert list(tmp_path.iterdir()) == []


def test_the_stream_shows_what_the_camera_sees(serve_live: Callable[..., Any]) -> None:
    live = serve_live({"camera": Camera})
    with httpx.stream("GET", f"{live.url}/camera/stream", timeout=10) as response:
        assert response.headers["content-type"].startswith("multipart/x-mixed-replace")
        images = _images(response.iter_bytes())
        assert [next(images).size for _ in range(3)] == [(480, 360)] * 3


def test_few_frames_are_made_while_nobody_watches(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = client.server.things["camera"]
    waits: list[float] = []
    enough = threading.Event()

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            if len(waits) == 3:
                enough.set()
            return super().wait(0.001 if len(waits) < 3 else timeout)

    camera.__exit__(None, None, None)
    monkeypatch.setattr("example_things.camera.Event", Stopping)
    camera.__enter__()
    assert enough.wait(10)
    assert all(0.7 < wait <= 1 for wait in waits[1:3])


def test_its_thread_ends_with_the_server(make_server: Callable[..., Any]) -> None:
    with make_server({"camera": Camera}).test_client():
        assert "camera stream" in _names_of_threads()
    assert "camera stream" not in _names_of_threads()


@pytest.mark.parametrize(("setting", "value"), [("exposure_time", 0), ("gain", -1), ("frame_rate", 1000)])
def test_settings_have_limits(client: Any, refused: Any, setting: str, value: float) -> None:
    refused(client.put(f"/camera/{setting}", json=value), 422, setting)


def _noise(image: Any) -> float:
    """How much neighbours differ in the median, which is not at the edges of anything."""
    return float(np.median(np.abs(np.diff(image.astype(float), axis=1))))


def _comment(image: Any) -> Any:
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    return json.loads(comment.removeprefix(b"ASCII\0\0\0"))


def _images(chunks: Any) -> Any:
    received = b""
    for chunk in chunks:
        received += chunk
        start, end = received.find(b"\xff\xd8\xff"), received.find(b"\xff\xd9")
        if 0 <= start < end:
            image = Image.open(io.BytesIO(received[start : end + 2]))
            image.load()
            yield image
            received = received[end + 2 :]


def _names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]
