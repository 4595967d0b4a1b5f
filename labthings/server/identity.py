"""What tells one server from another."""

from __future__ import annotations

import logging
import socket
import uuid
from functools import lru_cache
from pathlib import Path
from threading import Lock

LOGGER = logging.getLogger(__name__)
_LOCK = Lock()


@lru_cache(maxsize=64)
def server_identity(settings_folder: Path) -> uuid.UUID:
    """An id that stays the same for as long as the settings do.

    It is made up once, and kept in the folder; where nothing can be written it is made from the computer's name.
    """
    with _LOCK:  # or two who ask at once might be told two
        return _identity(settings_folder)


def _identity(settings_folder: Path) -> uuid.UUID:
    file = settings_folder / "server-id.txt"
    try:
        if file.exists():
            return uuid.UUID(file.read_text(encoding="ascii").strip())
        identity = uuid.uuid4()
        settings_folder.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{identity}\n", encoding="ascii")
    except (OSError, ValueError) as error:
        LOGGER.warning("The server's identity cannot be kept in %s, so it is made from its name: %s", file, error)
        return uuid.uuid5(uuid.NAMESPACE_URL, f"labthings://{socket.gethostname()}{settings_folder.absolute()}")
    return identity
