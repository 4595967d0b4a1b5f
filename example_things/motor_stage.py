"""A simulated motor stage: limits, an event, and actions of which only one at a time may use the motors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import dist
from threading import Lock
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import labthings as lt
from labthings.exceptions import InvocationError

STEP_SECONDS = 0.02

LATERAL, VERTICAL = (-5000, 5000), (0, 2000)  # µm

Axis = Literal["x", "y", "z"]
Lateral = Annotated[float, Field(ge=LATERAL[0], le=LATERAL[1], json_schema_extra={"unit": "µm"})]
Vertical = Annotated[float, Field(ge=VERTICAL[0], le=VERTICAL[1], json_schema_extra={"unit": "µm"})]
Distance = Annotated[float, Field(json_schema_extra={"unit": "µm"})]


class Position(BaseModel):
    """A place that the stage can reach, in µm."""

    model_config = ConfigDict(frozen=True)

    x: Lateral = 0
    y: Lateral = 0
    z: Vertical = 0

    @property
    def coordinates(self) -> tuple[float, float, float]:
        """x, y and z, in µm."""
        return self.x, self.y, self.z


class Limit(BaseModel):
    """An end of one of the stage's axes."""

    axis: Axis
    is_upper: bool


class MotorStage(lt.Thing):
    """Moves a sample in three directions."""

    position: Position = lt.property(default=Position(), readonly=True)
    """Where the stage is, also while it moves."""

    is_moving: bool = lt.property(default=False, readonly=True)
    """Whether the motors are running."""

    is_homed: bool = lt.property(default=False, readonly=True)
    """Whether the stage has been at its home position since it was switched on."""

    speed: float = lt.setting(default=1000.0, ge=1, le=5000, unit="µm/s")
    """How fast the stage moves."""

    limit_reached: lt.Event[Limit] = lt.event()
    """The stage has come to the end of an axis."""

    def __init__(self, thing_server_interface: lt.ThingServerInterface, time_scale: float = 1) -> None:
        """Connect to nothing: a real stage would be connected to in `__enter__`.

        :param time_scale: how many times faster than real time the simulation runs.
        """
        super().__init__(thing_server_interface)
        if time_scale <= 0:
            raise ValueError(f"time_scale must be above 0, not {time_scale}.")
        self._time_scale = time_scale
        self._starting = Lock()

    @property
    def thing_state(self) -> Mapping[str, Any]:
        return self.position.model_dump()

    @lt.action
    def move_to(self, x: Lateral | None = None, y: Lateral | None = None, z: Vertical | None = None) -> Position:
        """Go to a position, and return it.

        If this is cancelled, the stage stops where it is.

        :param x: where to go, in µm. A coordinate that is not given stays as it is.
        :param y: where to go, in µm.
        :param z: how high to go, in µm.
        """
        with self._moving():
            return self._travel(self.destination(x, y, z))

    @lt.action
    def move_by(self, x: Distance = 0, y: Distance = 0, z: Distance = 0) -> Position:
        """Go some way from the present position, and return the new one.

        If this is cancelled, the stage stops where it is.

        :param x: how far, in µm.
        :param y: how far, in µm.
        :param z: how far up, in µm.
        """
        with self._moving():
            here = self.position
            return self._travel(self.destination(here.x + x, here.y + y, here.z + z))

    @lt.action
    def home(self) -> None:
        """Go down, then to the centre, where the stage learns its position."""
        with self._moving():
            self.is_homed = False
            self._travel(self.destination(z=0))
            self._travel(Position())
            self.is_homed = True
            self.logger.info("The stage is at its home position.")

    def destination(self, x: float | None = None, y: float | None = None, z: float | None = None) -> Position:
        """Where the stage would go, if asked to go to x, y and z in µm.

        A coordinate that is not given stays as it is.

        :raises InvocationError: if it is out of reach.
        """
        here = self.position
        wanted = {"x": here.x if x is None else x, "y": here.y if y is None else y, "z": here.z if z is None else z}
        try:
            return Position(**wanted)
        except ValidationError as error:
            faults = [f"{each['loc'][0]} cannot be {each['input']} µm: {each['msg']}." for each in error.errors()]
            raise InvocationError(f"The stage cannot go there. {' '.join(faults)}") from error

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Have the motors to oneself. A second move is refused: one that waited would come as a surprise."""
        with self._starting:
            if self.is_moving:
                raise InvocationError("The stage is moving already. Wait until it stops, or cancel that move.")
            self.is_moving = True
        try:
            yield
        finally:
            self.is_moving = False

    def _travel(self, target: Position) -> Position:
        start, travelled = self.position.coordinates, 0.0
        distance = dist(start, target.coordinates)
        while travelled < distance:
            lt.cancellable_sleep(STEP_SECONDS)
            travelled += self.speed * STEP_SECONDS * self._time_scale
            self.position = _between(start, target.coordinates, min(travelled / distance, 1))
        self._tell_of_limits(start)
        return self.position

    def _tell_of_limits(self, start: tuple[float, ...]) -> None:
        limits: tuple[tuple[Axis, tuple[int, int]], ...] = (("x", LATERAL), ("y", LATERAL), ("z", VERTICAL))
        for (axis, ends), before, now in zip(limits, start, self.position.coordinates, strict=True):
            if now != before and now in ends:
                self.limit_reached.emit(Limit(axis=axis, is_upper=now == ends[1]))


def _between(start: tuple[float, ...], end: tuple[float, ...], fraction: float) -> Position:
    """A position on the way, to the nanometre."""
    x, y, z = (round(a + (b - a) * fraction, 3) for a, b in zip(start, end, strict=True))
    return Position(x=x, y=y, z=z)
