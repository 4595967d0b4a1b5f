"""A simulated camera: a live stream that a thread makes, images as files with metadata, and images as arrays."""

import io
import json
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Annotated, Any

from PIL import ExifTags, Image
from pydantic import Field
from typing_extensions import Self

import labthings as lt
from example_things.motor_stage import MotorStage
from example_things.simulated_camera import SimulatedCamera
from labthings.types.numpy import ArrayType, NDArray

UNWATCHED_SECONDS = 1.0  # between two frames that nobody watches
QUALITY = 85  # of JPEGs, from 1 to 95

Picture = Annotated[NDArray, ArrayType(dtype="uint8", shape=(None, None, 3))]
Count = Annotated[int, Field(ge=1, le=1000)]
Seconds = Annotated[float, Field(ge=0, le=3600, json_schema_extra={"unit": "s"})]


class JPEG(lt.blob.Blob):
    """An image. Its Exif `UserComment` says, in JSON, how things were when it was taken."""

    media_type = "image/jpeg"


class Zip(lt.blob.Blob):
    """Several files in one."""

    media_type = "application/zip"


class Camera(lt.Thing):
    """Looks at a sample through a microscope."""

    stage: MotorStage | None = lt.thing_slot()
    """What moves the sample, if anything does."""

    exposure_time: float = lt.setting(default=20.0, ge=0.1, le=1000, unit="ms")
    """How long light is collected for an image."""

    gain: float = lt.setting(default=0.0, ge=0, le=24, unit="dB")
    """How much the signal is amplified, and its noise with it."""

    frame_rate: float = lt.setting(default=10.0, ge=0.1, le=30, unit="1/s")
    """How many images the stream has, if somebody watches it."""

    stream = lt.outputs.MJPEGStreamDescriptor()
    """What the camera sees now."""

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self._camera = SimulatedCamera()

    def __enter__(self) -> Self:
        self._stopping = Event()
        self._streaming = Thread(target=self._fill_stream, name=f"{self.name} stream", daemon=True)
        self._streaming.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._streaming.join()

    @property
    def thing_state(self) -> Mapping[str, Any]:
        return {"exposure_time": self.exposure_time, "gain": self.gain}

    @lt.property
    def raw_image(self) -> Picture:
        """An image, as an array of bytes: rows, columns, and the colours red, green and blue."""
        return self._image()

    @lt.action
    def snapshot(self) -> JPEG:
        """Take an image, and return it as a file."""
        return JPEG.from_bytes(self._jpeg(), description=f"An image from {self.name}")

    @lt.action
    def capture_sequence(self, count: Count = 10, interval: Seconds = 0.1) -> Zip:
        """Take several images, and return them in a zip file.

        :param count: how many.
        :param interval: the time from one to the next, in s.
        """
        folder = TemporaryDirectory()
        try:
            self._fill_zip(Path(folder.name) / "sequence.zip", count, interval)
        except BaseException:  # also if it was cancelled
            folder.cleanup()
            raise
        return Zip.from_temporary_directory(folder, "sequence.zip", description=f"{count} images from {self.name}")

    def _image(self) -> Picture:
        lt.cancellable_sleep(self.exposure_time / 1000)
        x, y, _ = (0, 0, 0) if self.stage is None else self.stage.position.coordinates
        return self._camera.read(self.exposure_time, self.gain, x, y)

    def _jpeg(self) -> bytes:
        metadata = json.dumps(self._thing_server_interface.get_thing_states())
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"ASCII\0\0\0" + metadata.encode()
        file = io.BytesIO()
        Image.fromarray(self._image()).save(file, "JPEG", quality=QUALITY, exif=exif)
        return file.getvalue()

    def _fill_zip(self, path: Path, count: int, interval: float) -> None:
        start = time.monotonic()
        with zipfile.ZipFile(path, "w") as file:
            for number in range(count):
                lt.report_progress(number / count, f"{number} of {count} images")
                lt.cancellable_sleep(max(0, start + number * interval - time.monotonic()))
                file.writestr(f"image_{number:04}.jpg", self._jpeg())
        lt.report_progress(1, f"{count} of {count} images")

    def _fill_stream(self) -> None:
        wait, failure = 0.0, ""
        while not self._stopping.wait(wait):
            start = time.monotonic()
            try:
                self.stream.add_array(self._image(), QUALITY)
                failure = ""
            except Exception as error:  # the stream goes on when the camera does
                if str(error) != failure:
                    self.logger.exception("The camera gives no image: %s", error)
                failure = str(error)
            period = 1 / self.frame_rate if self.stream.viewer_count and not failure else UNWATCHED_SECONDS
            wait = max(0, start + period - time.monotonic())
