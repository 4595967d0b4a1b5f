"""A simulated temperature controller: a thread that measures, an event, settings, and an action that takes long."""

import math
import random
from collections.abc import Mapping
from threading import Event, Lock, Thread
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import Self

import labthings as lt
from labthings.exceptions import InvocationCancelledError, InvocationError

ROOM_TEMPERATURE = 20.0  # °C
LOWEST, HIGHEST = 5.0, 95.0  # °C
TOLERANCE = 0.2  # K
POLL_SECONDS = 0.05

Celsius = Annotated[float, Field(json_schema_extra={"unit": "°C"})]
Temperature = Annotated[float, Field(ge=LOWEST, le=HIGHEST, json_schema_extra={"unit": "°C"})]


class SimulatedBlock:
    """A metal block on a Peltier element with its regulator. The driver of a real instrument would be in its place."""

    time_constant = 5.0  # s
    noise = 0.01  # K

    def __init__(self) -> None:
        self.temperature = ROOM_TEMPERATURE
        self._ramp = ROOM_TEMPERATURE

    def advance(self, seconds: float, set_point: float, rate: float) -> None:
        """Let time pass: a ramp goes to the set point, and the block follows with a lag of first order.

        :param set_point: where to go, in °C.
        :param rate: how fast, in K/s.
        """
        step = rate * seconds
        self._ramp += min(max(set_point - self._ramp, -step), step)
        self.temperature += (self._ramp - self.temperature) * (1 - math.exp(-seconds / self.time_constant))

    def read(self) -> float:
        """The temperature that the sensor gives, in °C."""
        return self.temperature + random.gauss(0, self.noise)


class TemperatureController(lt.Thing):
    """Heats or cools a sample, at a limited rate."""

    temperature: float = lt.property(default=ROOM_TEMPERATURE, readonly=True, unit="°C")
    """The measured temperature."""

    set_point: Temperature = lt.property(default=ROOM_TEMPERATURE)
    """The temperature to go to, and to stay at.

    It is not a setting: nothing should heat up by itself when the power comes back.
    """

    ramp_rate: float = lt.setting(default=30.0, ge=0.1, le=120, unit="K/min")
    """How fast the temperature changes at most."""

    calibration_offset: float = lt.setting(default=0.0, ge=-5, le=5, unit="K")
    """What is added to the sensor's reading."""

    alarm_temperature: Temperature = lt.setting(default=80.0)
    """The temperature above which it is too hot for the sample."""

    overheated: lt.Event[Celsius] = lt.event()
    """The temperature has risen above the alarm temperature.

    The event's data is what was measured.
    """

    def __init__(self, thing_server_interface: lt.ThingServerInterface, time_scale: float = 1) -> None:
        """Connect to nothing yet: that is done in `__enter__`.

        :param time_scale: how many times faster than real time the simulation runs.
        """
        super().__init__(thing_server_interface)
        if time_scale <= 0:
            raise ValueError(f"time_scale must be above 0, not {time_scale}.")
        self._time_scale = time_scale
        self._block = SimulatedBlock()
        self._ramping = Lock()
        self._is_too_hot = False

    def __enter__(self) -> Self:
        self._stopping = Event()
        self._monitor = Thread(target=self._measure, name=f"{self.name} monitor", daemon=True)
        self._monitor.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._monitor.join()

    @property
    def thing_state(self) -> Mapping[str, Any]:
        return {"temperature": self.temperature, "set_point": self.set_point}

    @lt.property(depends_on=["temperature", "set_point"])
    def is_stable(self) -> bool:
        """Whether the temperature is at the set point."""
        return abs(self.temperature - self.set_point) < TOLERANCE

    @lt.action
    def ramp_to(self, temperature: Temperature) -> float:
        """Go to a temperature at the ramp rate, wait until it is reached, and return what is measured then.

        If this is cancelled, the temperature stays where it has come to.

        :param temperature: where to go, in °C.
        """
        if not self._ramping.acquire(blocking=False):
            raise InvocationError("A ramp is running already. Wait until it ends, or cancel it.")
        try:
            self.logger.info("Ramping from %.1f °C to %.1f °C.", self.temperature, temperature)
            self.set_point = temperature
            self._wait_for(temperature)
            self.logger.info("Reached %.1f °C.", self.temperature)
            return self.temperature
        except InvocationCancelledError:
            self.logger.warning("The ramp was cancelled. Holding %.1f °C.", self.hold())
            raise
        finally:
            self._ramping.release()

    @lt.action
    def hold(self) -> float:
        """Stay at the present temperature, and return it."""
        self.set_point = min(max(self.temperature, LOWEST), HIGHEST)
        return self.set_point

    def _wait_for(self, temperature: float) -> None:
        whole = max(abs(temperature - self.temperature), TOLERANCE)
        while (left := abs(temperature - self.temperature)) >= TOLERANCE:
            if self.set_point != temperature:
                raise InvocationError(f"The ramp has ended, because the set point was changed to {self.set_point} °C.")
            lt.report_progress(1 - left / whole, f"{self.temperature:.1f} °C")
            lt.cancellable_sleep(POLL_SECONDS)
        lt.report_progress(1)

    def _measure(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            set_point = self.set_point - self.calibration_offset
            self._block.advance(POLL_SECONDS * self._time_scale, set_point, self.ramp_rate / 60)
            self.temperature = round(self._block.read() + self.calibration_offset, 3)
            self._watch_alarm()

    def _watch_alarm(self) -> None:
        """Tell that it is too hot, once: noise around the alarm temperature must not do so again and again."""
        was_too_hot = self._is_too_hot
        self._is_too_hot = self.temperature > self.alarm_temperature - TOLERANCE * was_too_hot
        if self._is_too_hot and not was_too_hot:
            self.logger.warning("Overheated: %.1f °C.", self.temperature)
            self.overheated.emit(self.temperature)
