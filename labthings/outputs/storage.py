"""Room on a disk, and for open files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from labthings.exceptions import StorageFullError

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def room_in(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Say where there is no room, if something in a ``with`` block finds that out.

    :raises StorageFullError: if so.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        text = f"There is no room for the blob in {os.fspath(folder)}: {error.strerror}."
        raise StorageFullError(text) from error


def most_files_to_hold_open() -> int:
    """How many files may be held open for blobs of a kind: a quarter of what the process may open, sockets included."""
    try:
        import resource
    except ImportError:  # on Windows, where a process may open 8192
        return 2048
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if most == resource.RLIM_INFINITY else most // 4
