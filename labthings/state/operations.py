"""What is told of a change of live state: operations, the patch they make, and the snapshot patches begin from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pydantic_core

from labthings.exceptions import StateError

DEEPEST = 190
"""How many arrays and objects may be within one another, which is a little less than what parsers of JSON take."""
LONGEST_NUMBER = 4300
"""How many digits a whole number may have, which is what parsers of JSON take."""
_TOO_LONG = re.compile(rb"\d{%d}" % (LONGEST_NUMBER + 1))


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a JSON Patch (RFC 6902).

    :param path: a JSON pointer (RFC 6901).
    :param json: the value as JSON; None for ``remove``, which has none.
    """

    op: Literal["add", "remove", "replace"]
    path: str
    json: bytes | None = None

    @property
    def value(self) -> Any:
        """The value as plain data, made anew each time."""
        return None if self.json is None else pydantic_core.from_json(self.json)

    def check(self) -> None:
        """Refuse a value that could not be read where it would be, or a path that could not be sent.

        :raises StateError: if the value is nested too deeply, or has too long a number; or the path is no Unicode.
        """
        if self.json is None:
            return
        json, above = self.json, self.path.count("/")
        is_deep = above + json.count(b"[") + json.count(b"{") > DEEPEST
        try:
            self.path.isascii() or self.path.encode()
            if is_deep or (len(json) > LONGEST_NUMBER and _TOO_LONG.search(json)):
                outer = 200 - DEEPEST + above
                pydantic_core.from_json(b"%b%b%b" % (b"[" * outer, json, b"]" * outer))
        except UnicodeEncodeError as error:
            raise StateError(f"{self.path!r} is no Unicode, as what is in live state must be.") from error
        except ValueError as error:
            raise StateError(
                f"Live state cannot be nested more than {DEEPEST} levels deep, "
                f"nor have numbers of more than {LONGEST_NUMBER} digits."
            ) from error

    def to_json(self) -> bytes:
        """The operation as JSON."""
        start = b'{"op":"%b","path":%b' % (self.op.encode(), pydantic_core.to_json(self.path))
        return b"%b}" % start if self.json is None else b'%b,"value":%b}' % (start, self.json)


@dataclass(slots=True)
class Patch:
    """Changes that take a document from one version to the next.

    :param origin: what caused them, as `labthings.state.origin` was told.
    """

    epoch: str
    base_version: int
    version: int
    operations: tuple[Operation, ...]
    origin: Mapping[str, Any] | None = None
    _json: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def json(self) -> bytes:
        """What is sent to replicas, encoded when it is first asked for, and once."""
        if self._json is None:
            self._json = self._encode()
        return self._json

    def _encode(self) -> bytes:
        versions = b'{"epoch":"%b","baseVersion":%d,"version":%d' % (
            self.epoch.encode(),
            self.base_version,
            self.version,
        )
        patch = b",".join(operation.to_json() for operation in self.operations)
        origin = b"" if self.origin is None else b',"origin":' + pydantic_core.to_json(self.origin)
        return b'%b,"patch":[%b]%b}' % (versions, patch, origin)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A document's state at a version.

    :param data: the state as JSON.
    """

    data: bytes
    epoch: str
    version: int

    @property
    def json(self) -> bytes:
        """What is sent to replicas."""
        return b'{"epoch":"%b","version":%d,"data":%b}' % (self.epoch.encode(), self.version, self.data)
