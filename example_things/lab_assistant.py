"""A Thing that works with others: it moves a stage, waits for a temperature, and returns a table of data."""

import math
import random
from collections.abc import Mapping
from datetime import datetime, timezone
from threading import Lock
from typing import Annotated, Literal

from pydantic import BaseModel, Field

import labthings as lt
from example_things.counter import Counter
from example_things.motor_stage import MotorStage, Position
from example_things.temperature_controller import Temperature, TemperatureController
from labthings.exceptions import InvocationError

UNITS = {"x": "µm", "y": "µm", "z": "µm", "temperature": "°C", "signal": "V"}

Length = Annotated[float, Field(gt=0, le=10000, json_schema_extra={"unit": "µm"})]


class Column(BaseModel):
    """One quantity, at each point."""

    name: str
    unit: str
    values: list[float]


class Measurement(BaseModel):
    """A table of data."""

    started: datetime
    columns: list[Column]


class LabAssistant(lt.Thing):
    """Measures how bright a spot of light is, at points along a line."""

    stage: MotorStage = lt.thing_slot()
    """It needs a stage: the server does not start without one."""

    heater: TemperatureController | None = lt.thing_slot()
    """It can do without a heater."""

    counters: Mapping[str, Counter] = lt.thing_slot()
    """Any number of counters, which count the points."""

    integration_time: float = lt.setting(default=0.1, ge=0.01, le=10, unit="s")
    """How long is measured at each point."""

    latest: Measurement | None = lt.property(default=None, readonly=True)
    """The data of the latest scan, also while it runs, and after it was cancelled."""

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self._scanning = Lock()

    @lt.action
    def scan(
        self,
        length: Length = 1000,
        points: Annotated[int, Field(ge=2, le=1000)] = 11,
        axis: Literal["x", "y", "z"] = "x",
        temperature: Temperature | None = None,
    ) -> Measurement:
        """Measure along a line that has the stage's position at its middle, and go back there.

        If this is cancelled, the stage stops where it is, and the heater stays at the temperature that it has.

        :param length: the length of the line, in µm.
        :param points: how many points to measure, the ends of the line among them.
        :param axis: the direction of the line.
        :param temperature: where to bring the heater first, in °C. If it is not given, the heater is left alone.
        """
        if not self._scanning.acquire(blocking=False):
            raise InvocationError("A scan is running already. Wait until it ends, or cancel it.")
        try:
            middle = self.stage.position
            line = self._line(middle, axis, length, points)
            self._reach(temperature)
            measurement = self._measure_along(line)
            self.stage.move_to(*middle.coordinates)
            return measurement
        finally:
            self._scanning.release()

    def _line(self, middle: Position, axis: str, length: float, points: int) -> list[Position]:
        first = getattr(middle, axis) - length / 2
        places = [round(first + length * number / (points - 1), 3) for number in range(points)]
        return [self.stage.destination(**{axis: place}) for place in places]

    def _reach(self, temperature: float | None) -> None:
        if temperature is None:
            return
        if self.heater is None:
            raise InvocationError("There is no heater, so leave the temperature out.")
        self.heater.ramp_to(temperature)

    def _measure_along(self, line: list[Position]) -> Measurement:
        started, rows = datetime.now(timezone.utc), []
        for number, place in enumerate(line):
            lt.report_progress(number / len(line), f"{number} of {len(line)} points")
            self.stage.move_to(*place.coordinates)
            rows.append(self._measure())
            self.latest = _table(started, rows)
        lt.report_progress(1, f"{len(line)} of {len(line)} points")
        return _table(started, rows)

    def _measure(self) -> dict[str, float]:
        lt.cancellable_sleep(self.integration_time)
        for counter in self.counters.values():
            counter.increment()
        position = self.stage.position
        temperature = {"temperature": self.heater.temperature} if self.heater is not None else {}
        return {**position.model_dump(), **temperature, "signal": self._signal(position)}

    def _signal(self, position: Position) -> float:
        """What a photodiode sees, in V: a spot of light at the centre, and noise that averages out with time."""
        spot = 2.5 * math.exp(-((math.hypot(position.x, position.y) / 300) ** 2))
        return round(spot + random.gauss(0, 0.005 / math.sqrt(self.integration_time)), 4)


def _table(started: datetime, rows: list[dict[str, float]]) -> Measurement:
    columns = [Column(name=name, unit=UNITS[name], values=[row[name] for row in rows]) for name in rows[0]]
    return Measurement(started=started, columns=columns)
