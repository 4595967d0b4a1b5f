"""Log here what a server logs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

LOGGER = logging.getLogger("labthings.client")


class LogRelay:
    """Logs each record of an invocation once, although the server tells of its latest 1,000 again and again.

    :param logger: the logger that handles them.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._known: Sequence[Mapping[str, Any]] = ()

    def relay(self, log: Sequence[Mapping[str, Any]]) -> None:
        """Log what is new in ``log``, and remember the rest."""
        for entry in log[self._overlap(log) :]:
            self._handle(entry)
        self._known = log

    def _overlap(self, log: Sequence[Mapping[str, Any]]) -> int:
        """How many records at the start of ``log`` are the last of those that are known."""
        known = self._known
        return next((len(known) - i for i in range(len(known)) if known[i:] == log[: len(known) - i]), 0)

    def _handle(self, entry: Mapping[str, Any]) -> None:
        try:
            record = LogEntry.model_validate(entry).record(self._logger.name)
        except ValidationError:
            LOGGER.warning("The server sent a log record that cannot be understood: %s", entry)
            return
        if self._logger.isEnabledFor(record.levelno):
            self._logger.handle(record)


class LogEntry(BaseModel):
    """A log record, as a server tells of it."""

    model_config = ConfigDict(defer_build=True)

    message: str
    levelname: str = "INFO"
    levelno: int = logging.INFO
    filename: str = ""
    lineno: int = 0
    created: datetime | None = None
    traceback: str | None = None

    def record(self, name: str) -> logging.LogRecord:
        """The same as Python's ``logging`` has it, from a logger called ``name``."""
        record = logging.LogRecord(name, self.levelno, self.filename, self.lineno, self.message, None, None)
        record.levelname = self.levelname
        record.module = PurePath(self.filename).stem
        record.exc_text = self.traceback
        if self.created is not None:
            record.created = self.created.timestamp()
            record.msecs = self.created.microsecond / 1000
        return record
