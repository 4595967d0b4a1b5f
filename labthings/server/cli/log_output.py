"""Where the log goes while the command line serves."""

from __future__ import annotations

import logging

from labthings.logs import THINGS_LOGGER


def show_log(*, debug: bool) -> None:
    """Show what is logged on stderr, unless the program has set up its logging already.

    :param debug: whether to show LabThings' and the Things' debug messages.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(ThingLogFormatter())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("labthings").setLevel(logging.DEBUG if debug else logging.INFO)


class ThingLogFormatter(logging.Formatter):
    """Formats a record with its time, level and Thing."""

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(source)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.source = record.name.removeprefix(f"{THINGS_LOGGER.name}.")
        return super().formatMessage(record)
