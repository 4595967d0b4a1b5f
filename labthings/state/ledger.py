"""What a document has told of its state: the state as replicas have it, at which version."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pydantic_core

from labthings.exceptions import InvalidPatchError, OutdatedPatchError
from labthings.state.json_patch import applied, at, difference, same
from labthings.state.operations import Operation, Patch, Snapshot


class Ledger:
    """The state that replicas have if they have been told of everything, and its version.

    :param json: the state at first.
    """

    def __init__(self, json: bytes) -> None:
        self.epoch = secrets.token_hex(8)
        self.version = 0
        self._data = pydantic_core.from_json(json)
        self._snapshot: Snapshot | None = Snapshot(json, self.epoch, 0)

    def enter(self, operations: Iterable[Operation]) -> None:
        """Apply operations that the next patch is going to have.

        :raises InvalidPatchError: if they do not fit; then none is applied.
        """
        self._snapshot = None
        self._data = applied(self._data, operations)

    def patch(self, operations: Iterable[Operation], origin: Mapping[str, Any] | None) -> Patch:
        """Begin another version, and give the patch with the operations that lead to it."""
        self._snapshot = None
        self.version += 1
        return Patch(self.epoch, self.version - 1, self.version, tuple(operations), origin)

    def snapshot(self) -> Snapshot:
        """The state at the version."""
        if self._snapshot is None:
            self._snapshot = Snapshot(pydantic_core.to_json(self._data), self.epoch, self.version)
        return self._snapshot

    def differs(self, operation: Operation) -> bool:
        """Whether an operation makes a difference to replicas."""
        try:
            return operation.op == "remove" or not same(at(self._data, operation.path), operation.value)
        except InvalidPatchError:  # there is nothing yet
            return True

    def difference(self, json: bytes) -> list[Operation]:
        """The operations that lead to a state."""
        return list(difference(self._data, pydantic_core.from_json(json)))

    def patched(self, operations: Iterable[Operation | Mapping[str, Any]]) -> Any:
        """What the state would be with some operations, which are not applied to it.

        :raises InvalidPatchError: if they do not fit.
        """
        kept = [each for each in operations if not self._is_test_of_version(each)]
        return applied(pydantic_core.from_json(self.snapshot().data), kept)

    def _is_test_of_version(self, operation: Operation | Mapping[str, Any]) -> bool:
        """Whether an operation tests the version, which it then does.

        :raises OutdatedPatchError: if the version or the epoch is another.
        """
        if not isinstance(operation, Mapping) or operation.get("op") != "test" or "version" not in operation:
            return False
        version, epoch = operation["version"], operation.get("epoch", self.epoch)
        if type(version) is not int or version != self.version or epoch != self.epoch:
            told = f"{version!r}" if epoch == self.epoch else f"{version!r} of another epoch"
            raise OutdatedPatchError(f"The patch is for version {told}, but now there is version {self.version}.")
        return True


class Subscribers:
    """Who is told of a document's patches, one after the other."""

    def __init__(self, failed: Callable[[Callable[[Patch], object]], None]) -> None:
        self._callbacks: dict[Callable[[Patch], object], int] = {}
        self._failed = failed

    def add(self, callback: Callable[[Patch], object], version: int) -> None:
        """Tell somebody of patches from a version on."""
        self._callbacks[callback] = version

    def remove(self, callback: Callable[[Patch], object]) -> None:
        """Tell somebody no more."""
        self._callbacks.pop(callback, None)

    def tell(self, patch: Patch) -> None:
        """Tell all of a patch, except for those who had it in their snapshot."""
        for callback in tuple(self._callbacks):
            if self._callbacks.get(callback, patch.version) < patch.version:
                try:
                    callback(patch)
                except Exception:  # noqa: BLE001 - one subscriber's fault is not to keep the others from being told
                    self._failed(callback)
