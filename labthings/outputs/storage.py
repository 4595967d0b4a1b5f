"""Room on a disk, and for open files."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import gettempdir

from labthings.exceptions import StorageFullError

MOST_SPARED = 2**30  # bytes of a disk that are never used; of a small one, a twentieth

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


def require_room(folder: str | None, size: int) -> None:
    """Make sure that a temporary file leaves some room on its disk, where settings may have to be saved.

    :param folder: where it is; by default, where the system has temporary files.
    :param size: how many bytes are to be written.
    :raises OSError: if it would leave too little.
    """
    disk = shutil.disk_usage(folder or gettempdir())
    spared = min(disk.total // 20, MOST_SPARED)
    if disk.free - size < spared:
        reason = f"of the {disk.free} bytes that are free, {spared} are spared for settings and the like"
        raise OSError(errno.ENOSPC, reason)


def most_files_to_hold_open() -> int:
    """How many files may be held open for blobs of a kind: a quarter of what the process may open, sockets included."""
    try:
        import resource
    except ImportError:  # on Windows, where a process may open 8192
        return 2048
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if most == resource.RLIM_INFINITY else most // 4
