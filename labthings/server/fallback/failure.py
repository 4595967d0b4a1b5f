"""Why a server could not start, told to whoever stands in front of the instrument."""

from __future__ import annotations

import shlex
import textwrap
import traceback
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from labthings.exceptions import ConfigurationError, ServerNotRunningError
from labthings.problem_details import text_of
from labthings.server.config_faults import keys_by_message
from labthings.server.thing_class import place_of

LONGEST_TEXT = 20_000  # characters: what an error says has no bound of its own
LONGEST_LOG = 200_000


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    :param key: where in the configuration it is, as in ``things.stage.kwargs``; empty if nowhere in particular.
    """

    key: str
    text: str


@dataclass(frozen=True)
class Step:
    """What to do, and a command that does it, if one does."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a server could not start.

    :param error: what was raised.
    :param config: the configuration file, if there is one.
    :param source: where the configuration comes from: the file, or an option.
    :param host: the address that the server was to listen to.
    :param log: what was logged up to then.
    :param debug: whether programs are told where the error was raised, as people are.
    """

    error: BaseException
    config: Path | None = None
    source: str = "the configuration"
    host: str = ""
    log: str = ""
    debug: bool = False
    time: datetime = field(default_factory=lambda: datetime.now().astimezone())

    @cached_property
    def cause(self) -> BaseException:
        """What went wrong, if the error only says that something has."""
        cause = self.error.__cause__ or self.error if isinstance(self.error, ServerNotRunningError) else self.error
        while len(getattr(cause, "exceptions", ())) == 1:  # a group of one
            cause = cause.exceptions[0]  # type: ignore[attr-defined]
        return cause

    @cached_property
    def is_in_configuration(self) -> bool:
        """Whether it says itself what is wrong in the configuration."""
        return isinstance(self.cause, ConfigurationError)

    @cached_property
    def headline(self) -> str:
        """What failed, in a line."""
        if not self.is_in_configuration:
            return "An error that LabThings does not know was raised."
        first, _, rest = self._message.partition("\n")
        return f"{first.rstrip(':.')}." if rest.startswith("  ") else "The configuration cannot be used."

    @cached_property
    def faults(self) -> list[Fault]:
        """Each thing that is wrong."""
        errors = self.cause.errors if isinstance(self.cause, ConfigurationError) else []
        if errors:
            return [Fault(", ".join(keys), _end_of(text, LONGEST_TEXT)) for text, keys in keys_by_message(errors)]
        rest = self._message.partition("\n")[2]
        is_indented = self.is_in_configuration and rest.startswith("  ")
        return [Fault("", textwrap.dedent(rest) if is_indented else self._message)]

    @cached_property
    def steps(self) -> list[Step]:
        """What to do about it."""
        if self.is_in_configuration:
            correct = Step("Correct the configuration, or the code that it names.")
            return [correct, Step("Check it:", self._check_command)]
        return [
            Step("Look at the traceback below: begin with the last line of your own code that it names."),
            Step("If it names none, report the traceback to the developers of LabThings."),
        ]

    @cached_property
    def traceback(self) -> str:
        """Where it was raised, and what caused it."""
        return _end_of("".join(traceback.format_exception(self.error)), LONGEST_LOG)

    @cached_property
    def end_of_log(self) -> str:
        """The log, or as much of its end as a page can show."""
        return _end_of(self.log, LONGEST_LOG)

    @cached_property
    def _message(self) -> str:
        text = text_of(self.cause)
        if not self.is_in_configuration:
            text = f"{type(self.cause).__name__}{place_of(self.cause)}: {text}"
        return _end_of(text, LONGEST_TEXT)

    @property
    def _check_command(self) -> str:
        return shlex.join(["labthings-server", "check", *(["-c", str(self.config)] if self.config else ["-j", "JSON"])])


def _end_of(text: str, most: int) -> str:
    return text if len(text) <= most else f"…\n{text[-most:]}"
