"""Where the log goes while the command line serves."""

from __future__ import annotations

import logging
from collections import deque

from typing_extensions import Self

from labthings.logs import THINGS_LOGGER


def show_log(*, debug: bool) -> None:
    """Show what is logged on stderr, unless the program has set up its logging already.

    :param debug: whether to show LabThings' and the Things' debug messages.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(ThingLogFormatter())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("labthings").setLevel(logging.DEBUG if debug else logging.INFO)


class RecentLog(logging.Handler):
    """Keeps the last records of all that is logged in a ``with`` block, as text."""

    def __init__(self, most: int = 500) -> None:
        super().__init__()
        self._records: deque[str] = deque(maxlen=most)
        self.setFormatter(ThingLogFormatter())

    @property
    def text(self) -> str:
        """What was logged, a record after the other."""
        return "\n".join(self._records)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._records.append(self.format(record))
        except Exception:  # noqa: BLE001 - as all handlers do: what is wrong with a message must not end the server
            self.handleError(record)

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger().removeHandler(self)


class ThingLogFormatter(logging.Formatter):
    """Formats a record with its time, level and Thing."""

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(source)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.source = record.name.removeprefix(f"{THINGS_LOGGER.name}.")
        return super().formatMessage(record)
