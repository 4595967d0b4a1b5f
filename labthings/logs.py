"""Collect what Things log while their actions run."""

from __future__ import annotations

import copy
import logging

from labthings.exceptions import LogConfigurationError
from labthings.invocation_contexts import current_invocation_context

THINGS_LOGGER = logging.getLogger("labthings.things")
_FORMATTER = logging.Formatter()


class InvocationLogHandler(logging.Handler):
    """Keeps each record with the invocation whose code logged it."""

    def emit(self, record: logging.LogRecord) -> None:
        context = current_invocation_context()
        if context is not None:
            try:
                context.log.append(self._kept(record))
            except Exception:  # noqa: BLE001 - as all handlers do: what is wrong with a message must not end the action
                self.handleError(record)

    def _kept(self, record: logging.LogRecord) -> logging.LogRecord:
        """A copy that holds on to nothing: neither the arguments, nor the frames of a traceback."""
        kept = copy.copy(record)
        kept.msg = kept.message = record.getMessage()
        kept.args = None
        if record.exc_info:
            kept.exc_text = record.exc_text or _FORMATTER.formatException(record.exc_info)
            kind = record.exc_info[0]
            kept.exception_type = kind.__name__ if kind else None
            kept.exc_info = None
        return kept


def configure_thing_logger(level: int | None = None) -> None:
    """Have the records of Things' loggers collected.

    :param level: the lowest level that Things log.
    """
    if not any(isinstance(handler, InvocationLogHandler) for handler in THINGS_LOGGER.handlers):
        THINGS_LOGGER.addHandler(InvocationLogHandler())
    if level is not None:
        THINGS_LOGGER.setLevel(level)


def require_thing_logger() -> None:
    """Make sure that records are collected.

    :raises LogConfigurationError: if other code has removed the handler that does it.
    """
    if not any(isinstance(handler, InvocationLogHandler) for handler in THINGS_LOGGER.handlers):
        raise LogConfigurationError(
            "The logger 'labthings.things' has lost its handler, so actions' logs are not kept. "
            "Do not remove handlers from it, nor configure logging with `force=True` after the server is made."
        )


def get_thing_logger(name: str) -> logging.Logger:
    """The logger of a Thing."""
    return THINGS_LOGGER.getChild(name)
