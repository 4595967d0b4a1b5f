"""The inside of a simulated bench multimeter: what its commands do, its error queue, and what it measures."""

import asyncio
import math
import random
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

IDENTITY = "LabThings,Simulated multimeter,SIM0001,1.0"
SELF_TEST_SECONDS, SELF_TEST_RESULT = 0.5, "+0"
LINE_FREQUENCY = 50.0  # Hz
LONGEST_QUEUE = 20  # errors
OVERLOAD = 9.9e37  # what SCPI has in place of infinity
ERRORS = {
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -222: "Data out of range",
    -230: "Data corrupt or stale",
    -350: "Queue overflow",
}

Command = Callable[[list[str]], Awaitable[str | None]]


class ScpiError(Exception):
    """A command cannot be obeyed.

    :param code: SCPI's number for the reason.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f'{code},"{ERRORS[code]}"')
        self.is_command_error = -200 < code <= -100


@dataclass
class Function:
    """Something that it measures. Values are in V, A or Ω.

    :param notation: its name in commands, the capital letters being the short form.
    :param level: what is between the terminals.
    :param noise: the standard deviation of a measurement of one power-line cycle.
    """

    notation: str
    level: float
    noise: float
    ranges: tuple[float, ...]
    range: float | None = None
    cycles: float = 1

    @property
    def short(self) -> str:
        return re.sub("[^A-Z:]", "", self.notation).removesuffix(":DC")

    def value(self) -> float:
        """What a measurement gives now: it drifts slowly, and the noise averages out with time."""
        drift = 2e-5 * self.level * math.sin(2 * math.pi * time.monotonic() / 60)
        value = self.level + drift + random.gauss(0, self.noise / math.sqrt(self.cycles))
        return value if abs(value) <= 1.2 * (self.range or self.ranges[-1]) else OVERLOAD


def _functions() -> list[Function]:
    return [
        Function("VOLTage[:DC]", level=1.25, noise=2e-5, ranges=(0.1, 1, 10, 100, 1000)),
        Function("CURRent[:DC]", level=4.2e-3, noise=2e-7, ranges=(0.01, 0.1, 1, 3)),
        Function("RESistance", level=1098.0, noise=5e-3, ranges=(100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)),
    ]


@dataclass
class SimulatedMultimeter:
    """The state of the instrument since it was switched on."""

    functions: list[Function] = field(default_factory=_functions)
    errors: deque[str] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._commands = {_pattern(notation): command for notation, command in self._vocabulary()}
        self._bus = asyncio.Lock()
        self._reset()

    @property
    def function(self) -> Function:
        """What is measured at present."""
        return self._function

    async def obey(self, message: str) -> str | None:
        """Do what a line says, and return the answer, if there is one.

        :param message: one command, or several with semicolons between.
        """
        async with self._bus:
            answers, path = [], ""
            for unit in filter(None, map(str.strip, message.split(";"))):
                header, _, parameters = unit.partition(" ")
                header, path = _whole(header, path)
                try:
                    answers.append(await self._command(header)([each.strip() for each in parameters.split(",")]))
                except ScpiError as error:
                    self._remember(error)
                    if error.is_command_error:  # the rest of the line cannot be relied on
                        break
            return ";".join(filter(None, answers)) or None

    def _vocabulary(self) -> Iterator[tuple[str, Command]]:
        yield "*IDN?", self._answer(lambda: IDENTITY)
        yield "*RST", self._do(self._reset)
        yield "*CLS", self._do(self.errors.clear)
        yield "*OPC?", self._answer(lambda: "1")
        yield "*TST?", self._test
        yield "SYSTem:ERRor[:NEXT]?", self._answer(lambda: self.errors.popleft() if self.errors else '+0,"No error"')
        yield "SYSTem:VERSion?", self._answer(lambda: "1999.0")
        yield "CONFigure?", self._answer(self._configuration)
        yield "INITiate[:IMMediate]", self._do(self._initiate)
        yield "ABORt", self._do(self._abort)
        yield "FETCh?", self._fetch
        yield "READ?", self._read
        for function in self.functions:
            yield f"CONFigure:{function.notation}", partial(self._configure, function)
            yield f"MEASure:{function.notation}?", partial(self._measure, function)
            yield f"[SENSe:]{function.notation}:NPLCycles", partial(self._integrate, function)
            yield f"[SENSe:]{function.notation}:NPLCycles?", self._answer(partial(_cycles_of, function))

    def _command(self, header: str) -> Command:
        for pattern, command in self._commands.items():
            if pattern.fullmatch(header):
                return command
        raise ScpiError(-113)

    def _remember(self, error: ScpiError) -> None:
        if len(self.errors) == LONGEST_QUEUE:
            self.errors[-1] = str(ScpiError(-350))
        else:
            self.errors.append(str(error))

    # --- commands -----------------------------------------------------------------------------------------------

    def _answer(self, function: Callable[[], str]) -> Command:
        async def command(parameters: list[str]) -> str:
            _require_none(parameters)
            return function()

        return command

    def _do(self, function: Callable[[], None]) -> Command:
        async def command(parameters: list[str]) -> None:
            _require_none(parameters)
            function()

        return command

    def _reset(self) -> None:
        for function, fresh in zip(self.functions, _functions(), strict=True):
            function.range, function.cycles = fresh.range, fresh.cycles
        self._function = self.functions[0]
        self._abort()

    def _abort(self) -> None:
        self._ready_at: float | None = None

    def _initiate(self) -> None:
        self._ready_at = time.monotonic() + self._function.cycles / LINE_FREQUENCY

    def _configuration(self) -> str:
        return f'"{self._function.short} {self._function.range or self._function.ranges[-1]:+.6E}"'

    async def _configure(self, function: Function, parameters: list[str]) -> None:
        function.range = _range_for(parameters[0], function.ranges)
        function.cycles = 1
        self._function = function
        self._abort()

    async def _integrate(self, function: Function, parameters: list[str]) -> None:
        cycles = _number(parameters[0])
        if not 0.02 <= cycles <= 100:
            raise ScpiError(-222)
        function.cycles = cycles
        self._abort()

    async def _fetch(self, parameters: list[str]) -> str:
        _require_none(parameters)
        if self._ready_at is None:
            raise ScpiError(-230)
        await asyncio.sleep(self._ready_at - time.monotonic())
        return f"{self._function.value():+.8E}"

    async def _read(self, parameters: list[str]) -> str:
        self._initiate()
        return await self._fetch(parameters)

    async def _measure(self, function: Function, parameters: list[str]) -> str:
        await self._configure(function, parameters)
        return await self._read([""])

    async def _test(self, parameters: list[str]) -> str:
        _require_none(parameters)
        await asyncio.sleep(SELF_TEST_SECONDS)
        return SELF_TEST_RESULT


def _pattern(notation: str) -> re.Pattern[str]:
    """What matches the short and the long form of a header, such as ``SYSTem:ERRor[:NEXT]?``."""
    escaped = re.sub(r"[?*]", r"\\\g<0>", notation).replace("[", "(?:").replace("]", ")?")
    return re.compile(re.sub("([A-Z]+)([a-z]+)", r"\1(?:\2)?", escaped), re.IGNORECASE)


def _whole(header: str, path: str) -> tuple[str, str]:
    """A header from the root, and the path that the next one continues: as in ``VOLT:NPLC 10;NPLC?``."""
    if header.startswith("*"):
        return header, path
    whole = header[1:] if header.startswith(":") else path + header
    return whole, whole[: whole.rfind(":") + 1]


def _require_none(parameters: list[str]) -> None:
    if any(parameters):
        raise ScpiError(-108)


def _number(text: str) -> float:
    if not text:
        raise ScpiError(-109)
    try:
        return float(text)
    except ValueError:
        raise ScpiError(-104) from None


def _range_for(text: str, ranges: tuple[float, ...]) -> float | None:
    """The smallest range that will do, or none if the instrument is to choose."""
    word = text.upper()
    if word in ("", "DEF", "AUTO"):
        return None
    if word in ("MIN", "MAX"):
        return ranges[0 if word == "MIN" else -1]
    wanted = _number(text)
    if not 0 <= wanted <= ranges[-1]:
        raise ScpiError(-222)
    return next(each for each in ranges if each >= wanted)


def _cycles_of(function: Function) -> str:
    return f"{function.cycles:+.8E}"
