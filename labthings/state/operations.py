"""What is told of a change of live state: operations, the patch they make, and the snapshot patches begin from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pydantic_core

from labthings.exceptions import StateError

DEEPEST = 190
"""How many arrays and objects may be within one another, which is a little less than what parsers of JSON take."""


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

    def check_depth(self) -> None:
        """Refuse a value that could not be read where it would be, since it is nested too deeply.

        :raises StateError: if it is.
        """
        json = self.json or b""
        above = self.path.count("/")
        if above + json.count(b"[") + json.count(b"{") > DEEPEST:
            outer = 200 - DEEPEST + above
            try:
                pydantic_core.from_json(b"%b%b%b" % (b"[" * outer, json, b"]" * outer))
            except ValueError as error:
                raise StateError(f"Live state cannot be nested more than {DEEPEST} levels deep.") from error

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
