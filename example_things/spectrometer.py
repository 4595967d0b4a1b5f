"""A simulated spectrometer: arrays as properties and outputs, an event, and a dark reference that is kept."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from threading import Lock
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

import labthings as lt
from labthings.exceptions import InvocationError
from labthings.types.numpy import NDArray

SATURATED = 65535  # counts: the sensor's converter has 16 bits
LAMP_LINES = {404.7: 0.4, 435.8: 0.9, 546.1: 1.0, 577.0: 0.2, 579.1: 0.2, 696.5: 0.3, 763.5: 0.6, 811.5: 0.5}  # nm

Averages = Annotated[int, Field(ge=1, le=10000)]


class Spectrum(BaseModel):
    """What was measured.

    ``counts`` are the averages of several exposures, at ``wavelengths`` in nm. Where a pixel was saturated, even once,
    they are too low.
    """

    time: datetime
    wavelengths: NDArray
    counts: NDArray
    integration_time: float
    averages: int
    is_dark_subtracted: bool
    saturated_pixels: int


class DarkReference(BaseModel):
    """What the sensor gives without light, in counts. It holds for one integration time."""

    time: datetime
    counts: NDArray
    integration_time: float


class SimulatedSensor:
    """A line of pixels behind a grating, which looks at a lamp. The driver of a real one would be in its place."""

    pixels = 1024
    offset = 1200.0  # counts
    read_noise = 8.0  # counts
    brightness = 4e5  # counts/s at the brightest line
    electrons = 2.0  # per count

    def __init__(self) -> None:
        self.wavelengths = np.linspace(350, 850, self.pixels)
        self._random = np.random.default_rng()
        self._light = self.brightness * _lamp(self.wavelengths)
        self._dark_current = 300 + 5000 * np.random.default_rng(1).random(self.pixels) ** 40  # with some hot pixels

    def read(self, seconds: float, is_shutter_open: bool = True) -> NDArray:
        """What has come together in an exposure, as counts of 16 bits."""
        rate = self._dark_current + self._light * is_shutter_open
        photons = self._random.poisson(rate * seconds * self.electrons) / self.electrons  # this is the shot noise
        counts = self.offset + photons + self._random.normal(0, self.read_noise, self.pixels)
        return np.clip(counts, 0, SATURATED).astype(np.uint16)


class Spectrometer(lt.Thing):
    """Measures the spectrum of a lamp."""

    integration_time: float = lt.setting(default=0.05, ge=0.001, le=10, unit="s")
    """How long light is collected for one exposure."""

    dark_reference: DarkReference | None = lt.setting(default=None, readonly=True)
    """What is subtracted from spectra of the same integration time."""

    live: Spectrum | None = lt.property(default=None, readonly=True)
    """The latest exposure."""

    saturated: lt.Event[int] = lt.event()
    """There was too much light for the sensor.

    The event's data is how many pixels were saturated.
    """

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self._sensor = SimulatedSensor()
        self._exposing = Lock()

    @property
    def thing_state(self) -> Mapping[str, Any]:
        return {"integration_time": self.integration_time}

    @lt.property
    def wavelengths(self) -> NDArray:
        """The wavelength of each pixel."""
        return self._sensor.wavelengths

    wavelengths.unit = "nm"

    @lt.action
    def acquire(self, averages: Averages = 1) -> Spectrum:
        """Measure a spectrum, and return it.

        The dark reference is subtracted, if there is one of the same integration time.

        :param averages: how many exposures to average.
        """
        with self._exclusively():
            spectrum = self._expose(averages)
        if spectrum.saturated_pixels:
            self.logger.warning("%d pixels were saturated: integrate for less time.", spectrum.saturated_pixels)
        if self.dark_reference is not None and not spectrum.is_dark_subtracted:
            self.logger.warning("The dark reference has another integration time, so it was not subtracted.")
        return spectrum

    @lt.action
    def watch(self) -> None:
        """Show one exposure after the other in `live`, until this is cancelled."""
        with self._exclusively():
            while True:
                self._expose(1)

    @lt.action
    def take_dark_reference(self, averages: Averages = 20) -> None:
        """Close the shutter, measure, and keep the result to be subtracted from spectra.

        :param averages: how many exposures to average. Its noise is added to that of each spectrum.
        """
        with self._exclusively():
            seconds = self.integration_time
            counts, _ = self._average(seconds, averages, is_shutter_open=False)
        self.dark_reference = DarkReference(time=_now(), counts=counts, integration_time=seconds)

    @lt.action
    def forget_dark_reference(self) -> None:
        """Subtract nothing from now on."""
        self.dark_reference = None

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        if not self._exposing.acquire(blocking=False):
            raise InvocationError("The spectrometer is measuring already. Wait until it ends, or cancel that.")
        try:
            yield
        finally:
            self._exposing.release()

    def _expose(self, averages: int) -> Spectrum:
        seconds, dark = self.integration_time, self.dark_reference
        counts, saturated_pixels = self._average(seconds, averages)
        is_dark_known = dark is not None and math.isclose(dark.integration_time, seconds)
        spectrum = self.live = Spectrum(
            time=_now(),
            wavelengths=self._sensor.wavelengths,
            counts=counts - dark.counts if dark is not None and is_dark_known else counts,
            integration_time=seconds,
            averages=averages,
            is_dark_subtracted=is_dark_known,
            saturated_pixels=saturated_pixels,
        )
        if saturated_pixels:
            self.saturated.emit(saturated_pixels)
        return spectrum

    def _average(self, seconds: float, averages: int, is_shutter_open: bool = True) -> tuple[NDArray, int]:
        """The mean of some exposures, and how many pixels were saturated in any of them."""
        total, is_saturated = np.zeros(self._sensor.pixels), np.zeros(self._sensor.pixels, dtype=bool)
        for number in range(averages):
            lt.report_progress(number / averages, f"{number} of {averages} exposures")
            lt.cancellable_sleep(seconds)
            counts = self._sensor.read(seconds, is_shutter_open)
            total += counts
            is_saturated |= counts == SATURATED
        lt.report_progress(1, f"{averages} of {averages} exposures")
        return total / averages, int(is_saturated.sum())


def _lamp(wavelengths: NDArray) -> NDArray:
    """The light of a mercury-argon lamp in daylight: lines 1.5 nm wide, and something broad below them."""
    daylight = 0.02 * np.exp(-(((wavelengths - 580) / 160) ** 2))
    lines = [height * np.exp(-(((wavelengths - line) / 0.9) ** 2)) for line, height in LAMP_LINES.items()]
    return daylight + sum(lines)


def _now() -> datetime:
    return datetime.now(timezone.utc)
