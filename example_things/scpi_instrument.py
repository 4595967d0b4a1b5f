"""Talk SCPI to an instrument, through PyVISA. Keep this file as it is, and write a Thing like ``multimeter.py``."""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger
from threading import Lock
from typing import Any

from labthings.exceptions import InvocationError

try:
    import pyvisa
except ModuleNotFoundError as error:
    raise ImportError("PyVISA is missing. Install it with `pip install pyvisa pyvisa-py`.") from error

BACKEND = "@py"  # PyVISA-py. With "", PyVISA looks for the VISA library of National Instruments, Keysight or others.
NEXT_ERROR = "SYST:ERR?"
MOST_ERRORS = 30  # more than an instrument's queue has


class InstrumentError(InvocationError):
    """The instrument reports an error, or its answer makes no sense."""


class InstrumentUnreachableError(InstrumentError):
    """The instrument is switched off or unplugged, or it does not answer in time."""

    status_code = 503


class ScpiInstrument:
    """An instrument that speaks SCPI. Any thread may use it: they take turns.

    It is connected to when it is first needed, and again after anything has gone wrong. That does not reset it.

    :param address: its VISA resource name, such as ``TCPIP::192.168.1.20::5025::SOCKET`` or ``ASRL/dev/ttyUSB0``.
    :param logger: is told when the connection is made.
    :param timeout: how long to wait for a connection, and for an answer, in seconds.
    """

    def __init__(self, address: str, logger: Logger, timeout: float = 2) -> None:
        self.address = address
        self._logger = logger
        self._timeout = timeout
        self._turns = Lock()
        self._is_socket = address.upper().endswith("::SOCKET")
        self._connection: Any = None

    def write(self, command: str) -> None:
        """Give a command, and make sure that the instrument has accepted it.

        :raises InstrumentError: if it has not.
        """
        with self._turn(command):
            if self._is_socket:
                entry = self._ask(f"{command}\n{NEXT_ERROR}")  # in one packet: TCP would hold back the second for 40 ms
            else:
                self._connection.write(command)
                entry = self._ask(NEXT_ERROR)
            self._raise_errors(command, entry)

    def query(self, command: str, takes: float = 0) -> str:
        """Ask a question, and return the answer.

        :param takes: how long the instrument needs to find it, in seconds.
        :raises InstrumentError: if there is none.
        """
        with self._turn(command):
            self._connection.timeout = 1000 * (self._timeout + takes)
            answer = self._ask(command)
            self._connection.timeout = 1000 * self._timeout
            self._raise_errors(command, self._ask(NEXT_ERROR))
            return answer

    def query_number(self, command: str, takes: float = 0) -> float:
        """Ask for a number.

        :param takes: how long the instrument needs to find it, in seconds.
        :raises InstrumentError: if there is no answer, or it is something else.
        """
        answer = self.query(command, takes)
        try:
            return float(answer)
        except ValueError:
            self.close()
            raise InstrumentError(f"{self.address} answered {answer!r} to '{command}': not a number.") from None

    def close(self) -> None:
        """Hang up. The next command connects again."""
        with self._turns:
            self._disconnect()

    @contextmanager
    def _turn(self, command: str) -> Iterator[None]:
        """Have the connection to oneself. It is given up if it may have an answer left in it that came too late."""
        if not self._turns.acquire(timeout=2 * self._timeout):  # a command and its explanation can take so long
            raise InstrumentError(f"{self.address} is busy, so '{command}' was not sent. Try again later.")
        try:
            if self._connection is None:
                self._log(self._connect())
            yield
        except (pyvisa.Error, OSError) as error:
            self._disconnect()
            self._explain(command)
            raise InstrumentUnreachableError(f"{self.address} did not answer '{command}': {error}") from error
        finally:
            self._turns.release()

    def _connect(self) -> list[str]:
        """Connect, and return what is in the instrument's error queue."""
        try:
            self._connection = pyvisa.ResourceManager(BACKEND).open_resource(
                self.address,
                open_timeout=int(1000 * self._timeout),
                timeout=1000 * self._timeout,
                read_termination="\n",
                write_termination="\n",
                encoding="latin-1",  # in which any byte is a character, to be shown in error messages
            )
            identity = self._ask("*IDN?")
        except Exception as error:  # PyVISA-py raises nothing more precise
            self._disconnect()
            text = f"{self.address} cannot be connected to. Is it switched on, and is this its address?"
            raise InstrumentUnreachableError(f"{text} {type(error).__name__}: {error}") from error
        self._logger.info("Connected to %s: %s", self.address, identity)
        return self._errors(self._ask(NEXT_ERROR))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _log(self, errors: list[str]) -> None:
        for each in errors:
            self._logger.warning("%s had an error in its queue: %s", self.address, each)

    def _explain(self, command: str) -> None:
        """Raise what the instrument says of a command that it did not answer, if it can be reached again.

        It gives no answer to a query that it does not know, for instance.
        """
        try:
            errors = self._connect()
        except (InstrumentError, pyvisa.Error, OSError):  # then it has nothing to say
            self._disconnect()
        else:
            self._raise(errors, command)

    def _ask(self, command: str) -> str:
        answer: str = self._connection.query(command)
        return answer.strip()

    def _raise_errors(self, command: str, entry: str) -> None:
        self._raise(self._errors(entry), command)

    def _raise(self, errors: list[str], command: str) -> None:
        if errors:
            raise InstrumentError(f"{self.address} refused '{command}': {'; '.join(errors)}")

    def _errors(self, entry: str) -> list[str]:
        """What is in the error queue, of which one entry has been read already."""
        errors: list[str] = []
        while self._is_error(entry) and len(errors) < MOST_ERRORS:
            errors.append(entry)
            entry = self._ask(NEXT_ERROR)
        return errors

    def _is_error(self, entry: str) -> bool:
        code, comma, _ = entry.partition(",")
        if not comma or not code.lstrip("+-").isdigit():  # then this may be the answer to something else
            self._disconnect()
            raise InstrumentError(f"{self.address} answered {entry!r} to '{NEXT_ERROR}': that is no error of SCPI.")
        return int(code) != 0
