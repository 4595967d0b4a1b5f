"""Which part of some bytes a client asks for (RFC 9110)."""

from __future__ import annotations

import re
from typing import NamedTuple

from labthings.exceptions import RangeNotSatisfiableError

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


class ByteRange(NamedTuple):
    """Bytes from one place up to, but without, another."""

    start: int
    stop: int


def wanted_range(headers: dict[bytes, bytes], size: int, etag: str) -> ByteRange | None:
    """The part that a request asks for; none if it asks for everything, or for several parts.

    :param size: how many bytes there are.
    :param etag: tells this version from others: a part of another version would not fit.
    :raises RangeNotSatisfiableError: if there is no such part.
    """
    found = _RANGE.fullmatch(headers.get(b"range", b"").decode("latin-1"))
    if found is None or found.groups() == ("", "") or headers.get(b"if-range", etag.encode()) != etag.encode():
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    if last and first and int(last) < int(first):
        return None
    if start >= size:
        raise RangeNotSatisfiableError(
            f"There are {size} bytes, so none at {start}.", [("Content-Range", f"bytes */{size}")]
        )
    return ByteRange(start, stop)


def is_known(headers: dict[bytes, bytes], etag: str) -> bool:
    """Whether the client has this version already."""
    listed = headers.get(b"if-none-match", b"").decode("latin-1")
    return listed.strip() == "*" or etag in (each.strip().removeprefix("W/") for each in listed.split(","))
