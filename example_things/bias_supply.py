"""A simulated bias supply: live state that is changed in place, an interlock, actions, and a web page."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from math import ceil
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Annotated, Any

from fastapi.responses import HTMLResponse
from pydantic import Field, computed_field, model_validator
from typing_extensions import Self

import labthings as lt
from labthings.exceptions import InvocationError
from labthings.state import batch, document_of

PANEL = Path(__file__).with_suffix(".html")
LOADS = (1.0, 2.2, 4.7, 10.0)  # MΩ, one at each channel
POLL_SECONDS, STEP_SECONDS = 0.1, 0.02

Volts = Annotated[float, Field(ge=-20, le=20, json_schema_extra={"unit": "V"})]
Limit = Annotated[float, Field(ge=0.1, le=100, json_schema_extra={"unit": "µA"})]
Microamperes = Annotated[float, Field(json_schema_extra={"unit": "µA"})]
Number = Annotated[int, Field(ge=1, le=len(LOADS))]


class Channel(lt.ReactiveModel):
    """One of the supply's outputs."""

    is_enabled: bool = Field(default=False, description="Whether the output is switched on.")
    voltage: Volts = Field(default=0.0, description="The set point.")
    limit: Limit = Field(default=10.0, description="The compliance limit: there will not be more current than this.")
    current: Microamperes = Field(default=0.0, description="What is measured. It is overwritten ten times a second.")

    @computed_field(description="Whether the current is at its limit, and the voltage below its set point.")
    def is_limiting(self) -> bool:
        return abs(self.current) >= self.limit


class State(lt.ReactiveModel):
    """The supply, as its front panel shows it."""

    is_lid_open: bool = Field(default=False, description="Whether the interlock keeps the outputs off.")
    channels: list[Channel] = Field(
        default_factory=lambda: [Channel() for _ in LOADS], min_length=len(LOADS), max_length=len(LOADS)
    )

    @model_validator(mode="after")
    def _respect_the_interlock(self) -> Self:
        if self.is_lid_open and any(each.is_enabled for each in self.channels):
            raise ValueError("The lid is open, so no output can be switched on. Close it first.")
        return self


class SimulatedLoad:
    """A resistor at an output. The driver of a real instrument would be in its place.

    :param resistance: in MΩ.
    """

    noise = 0.002  # µA

    def __init__(self, resistance: float) -> None:
        self._resistance = resistance

    def read(self, channel: Channel) -> float:
        """The current that an ammeter shows, in µA."""
        if not channel.is_enabled:
            return 0.0
        current = channel.voltage / self._resistance + random.gauss(0, self.noise)
        return round(min(max(current, -channel.limit), channel.limit), 3)


class BiasSupply(lt.Thing):
    """Gives voltages to several outputs, and measures the current through each."""

    state: State = lt.property(default_factory=State)
    """Everything that the front panel shows.

    It is not a setting: no output should be switched on by itself when the power comes back.
    """

    ramp_rate: float = lt.setting(default=2.0, ge=0.1, le=1000, unit="V/s")
    """How fast `ramp` changes a voltage."""

    def __enter__(self) -> Self:
        self._loads = [SimulatedLoad(each) for each in LOADS]
        self._ramps = [Lock() for _ in LOADS]
        self._stopping = Event()
        self._monitor = Thread(target=self._measure, name=f"{self.name} monitor", daemon=True)
        self._monitor.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._monitor.join()

    @property
    def thing_state(self) -> Mapping[str, Any]:
        return self.state.model_dump()

    @lt.endpoint("get", response_class=HTMLResponse)
    def panel(self) -> str:
        """A page that shows the state, and changes it."""
        return PANEL.read_text(encoding="utf-8")

    @lt.action
    def ramp(self, channel: Number, voltage: Volts) -> Microamperes:
        """Switch a channel on, go to a voltage at the ramp rate, and return the current that is measured then.

        If this is cancelled, the voltage stays where it has come to.

        :param channel: the number of the channel.
        :param voltage: where to go, in V.
        """
        with self._ramping(channel):
            output = self._switched_on(channel)
            steps = list(_steps(output.voltage, voltage, self.ramp_rate * STEP_SECONDS))
            for number, (before, after) in enumerate(steps, 1):
                lt.cancellable_sleep(STEP_SECONDS)
                self._step(channel, before, after)
                lt.report_progress(number / len(steps), f"{after:.2f} V")
            return self._loads[channel - 1].read(output)

    @lt.action
    def switch_off(self) -> None:
        """Switch all channels off at once."""
        with batch(self.state):  # which makes one patch
            for channel in self.state.channels:
                channel.is_enabled = False

    @lt.action
    def open_lid(self) -> None:
        """Pretend to open the lid of the sample's box, at which the interlock switches all channels off."""
        with document_of(self.state).lock, batch(self.state):  # so that nobody switches one on in between
            self.switch_off()
            self.state.is_lid_open = True

    @lt.action
    def close_lid(self) -> None:
        """Pretend to close the lid again. The channels stay off."""
        self.state.is_lid_open = False

    @contextmanager
    def _ramping(self, number: int) -> Iterator[None]:
        """Have a channel to oneself. A second ramp is refused: one that waited would come as a surprise."""
        lock = self._ramps[number - 1]
        if not lock.acquire(blocking=False):
            raise InvocationError(f"Channel {number} is ramping already. Wait until it is there, or cancel that ramp.")
        try:
            yield
        finally:
            lock.release()

    def _switched_on(self, number: int) -> Channel:
        channel = self.state.channels[number - 1]
        with document_of(self.state).lock, batch(self.state):
            if self.state.is_lid_open:
                raise InvocationError(f"Channel {number} cannot be switched on: the lid is open.")
            if not channel.is_enabled:
                channel.voltage, channel.is_enabled = 0.0, True
        return channel

    def _step(self, number: int, before: float, after: float) -> None:
        """Change a voltage, unless somebody else has done so in the meantime."""
        channel = self.state.channels[number - 1]
        with document_of(self.state).lock:
            if not channel.is_enabled:
                cause = "the lid was opened" if self.state.is_lid_open else "it was switched off"
                raise InvocationError(f"The ramp of channel {number} has ended, because {cause}.")
            if channel.voltage != before:
                raise InvocationError(f"The ramp of channel {number} has ended: it was set to {channel.voltage} V.")
            channel.voltage = after

    def _measure(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            with batch(self.state):
                for channel, load in zip(self.state.channels, self._loads, strict=True):
                    channel.current = load.read(channel)


def _steps(start: float, end: float, step: float) -> Iterator[tuple[float, float]]:
    """Pairs of voltages, each of which begins where the one before it ends."""
    count = ceil(abs(end - start) / step)
    voltages = [start, *(round(start + (end - start) * each / count, 4) for each in range(1, count)), end]
    yield from pairwise(voltages)
