"""A bench multimeter, driven through PyVISA: copy it to drive an instrument of your own.

``multimeter.example.json``, in this folder, serves it with a simulated instrument. The commands that are in here are
those of most multimeters that speak SCPI.
"""

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from threading import Lock
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Field

import labthings as lt
from example_things.scpi_instrument import InstrumentError, InstrumentUnreachableError, ScpiInstrument
from labthings.exceptions import InvocationError

LINE_FREQUENCY = 50  # Hz
SELF_TEST_SECONDS = 10
OVERLOAD = 9.9e37  # what SCPI has in place of infinity

Function = Literal["voltage", "current", "resistance"]
COMMANDS: dict[Function, str] = {"voltage": "VOLT:DC", "current": "CURR:DC", "resistance": "RES"}
UNITS: dict[Function, str] = {"voltage": "V", "current": "A", "resistance": "Ω"}

Count = Annotated[int, Field(ge=1, le=10000)]
Seconds = Annotated[float, Field(ge=0, le=3600, json_schema_extra={"unit": "s"})]


class Reading(BaseModel):
    """What was measured once."""

    value: float
    unit: str
    time: datetime


class Series(BaseModel):
    """What was measured several times.

    ``times`` are in seconds since the first.
    """

    started: datetime
    unit: str
    times: list[float]
    values: list[float]


class Setup(NamedTuple):
    """How to measure.

    :param command: tells it to the instrument.
    :param duration: how long it takes, in s.
    """

    command: str
    duration: float
    unit: str


class Multimeter(lt.Thing):
    """Measures voltages, currents and resistances."""

    function: Function = lt.setting(default="voltage")
    """What is measured."""

    measuring_range: float | None = lt.setting(default=None, gt=0)
    """The largest value to expect, in V, A or Ω. If it is not given, the multimeter chooses its range by itself."""

    integration_time: float = lt.setting(default=1, ge=0.02, le=100, unit="power-line cycles")
    """How long a measurement takes. The longer, the less noise."""

    series: Series | None = lt.property(default=None, readonly=True)
    """The latest series, also while it is measured, and after it was cancelled or has failed."""

    overloaded: lt.Event[None] = lt.event()
    """The value was out of the measuring range."""

    def __init__(self, thing_server_interface: lt.ThingServerInterface, address: str, timeout: float = 2) -> None:
        """Connect to nothing yet: that is done when the instrument is first needed, so it may be switched on later.

        :param address: the instrument's VISA resource name, such as ``TCPIP::192.168.1.20::5025::SOCKET``.
        :param timeout: how long to wait for an answer, in seconds.
        """
        super().__init__(thing_server_interface)
        self._instrument = ScpiInstrument(address, self.logger, timeout)
        self._measuring = Lock()
        self._measuring_series = Lock()

    def __exit__(self, *error: object) -> None:
        self._instrument.close()

    @property
    def thing_state(self) -> Mapping[str, Any]:
        return {"function": self.function, "integration_time": self.integration_time}

    @lt.property
    def identity(self) -> str:
        """The instrument's maker, model, serial number and version."""
        return self._instrument.query("*IDN?")

    @lt.property(poll=2)
    def is_connected(self) -> bool:
        """Whether the instrument answers. It is asked."""
        try:
            return bool(self._instrument.query("*IDN?"))
        except InstrumentUnreachableError:
            return False

    @lt.property(poll=1)
    def reading(self) -> Reading:
        """What is measured now."""
        return self._measure(self._setup())

    @lt.action
    def measure(self) -> Reading:
        """Measure once."""
        return self._measure(self._setup())

    @lt.action
    def measure_series(self, count: Count = 10, interval: Seconds = 0) -> Series:
        """Measure several times, with the settings as they are at the start.

        If this is cancelled, or fails, what was measured until then is in the property `series`.

        :param count: how many times.
        :param interval: the time from one measurement to the next, in s. 0 means as fast as it goes.
        """
        if not self._measuring_series.acquire(blocking=False):
            raise InvocationError("A series is measured already. Wait until it ends, or cancel it.")
        try:
            return self._measure_series(count, interval)
        finally:
            self._measuring_series.release()

    @lt.action
    def self_test(self) -> None:
        """Have the instrument test itself."""
        with self._measuring:
            result = self._instrument.query_number("*TST?", takes=SELF_TEST_SECONDS)
        if result != 0:
            raise InstrumentError(
                f"The self-test has failed, with {result:g}. The instrument's manual says what that is."
            )

    @lt.action
    def reset(self) -> None:
        """Reset the instrument. The settings stay as they are."""
        with self._measuring:
            self._instrument.write("*RST")

    def _setup(self) -> Setup:
        function, cycles = self.function, self.integration_time  # read once: a client may set them at any time
        command, span = COMMANDS[function], self.measuring_range or "DEF"
        return Setup(
            command=f"CONF:{command} {span};:SENS:{command}:NPLC {cycles}",
            duration=cycles / LINE_FREQUENCY,
            unit=UNITS[function],
        )

    def _measure(self, setup: Setup) -> Reading:
        """Measure, and leave the connection to others meanwhile.

        The settings go with each measurement, in one message: then it does not matter what the instrument had before,
        or if it was switched off and on again.
        """
        with self._measuring:
            self._instrument.write(f"{setup.command};:INIT")
            started = datetime.now(timezone.utc)
            lt.cancellable_sleep(setup.duration)
            value = self._instrument.query_number("FETC?")
        if abs(value) >= OVERLOAD:
            self.overloaded.emit()
            raise InstrumentError("Overload: the value is out of the measuring range.")
        return Reading(value=value, unit=setup.unit, time=started)

    def _measure_series(self, count: int, interval: float) -> Series:
        setup, start = self._setup(), time.monotonic()
        self.series, readings = None, []
        for number in range(count):
            lt.report_progress(number / count, f"{number} of {count}")
            lt.cancellable_sleep(max(0, start + number * interval - time.monotonic()))
            readings.append(self._measure(setup))
            self.series = _series(readings)
        lt.report_progress(1, f"{count} of {count}")
        return _series(readings)


def _series(readings: list[Reading]) -> Series:
    first = readings[0]
    times = [round((each.time - first.time).total_seconds(), 3) for each in readings]
    return Series(started=first.time, unit=first.unit, times=times, values=[each.value for each in readings])
