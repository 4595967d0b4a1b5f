"""A copy of live state that follows it, wherever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic_core
from pydantic import BaseModel

from labthings.exceptions import InvalidPatchError, SnapshotNeededError
from labthings.state.json_patch import applied
from labthings.state.operations import Patch, Snapshot
from labthings.state.reactive_model import ReactiveModel
from labthings.state.reading import readable

Model = TypeVar("Model", bound=BaseModel)


class Replica:
    """Plain JSON data that is kept as a document has it, by a snapshot and the patches after it.

    It does no input or output, and is for one thread at a time.

    :param snapshot: what to begin with; without it, `load` has to be called first.
    """

    def __init__(self, snapshot: Snapshot | Mapping[str, Any] | bytes | str | None = None) -> None:
        self.data: Any = None
        """The state, which is not to be changed."""
        self.epoch = ""
        self.version = -1
        self.needs_snapshot = True
        """Whether a patch is missing, so that the state is an old one."""
        if snapshot is not None:
            self.load(snapshot)

    def load(self, snapshot: Snapshot | Mapping[str, Any] | bytes | str) -> None:
        """Begin anew with a snapshot."""
        told = _told(snapshot)
        self.data, self.epoch, self.version = told["data"], told["epoch"], told["version"]
        self.needs_snapshot = False

    def apply(self, patch: Patch | Mapping[str, Any] | bytes | str) -> bool:
        """Apply a patch, all of it or nothing, and say whether it was news.

        :param patch: ``{"epoch", "baseVersion", "version", "patch"}``, or that as JSON.
        :raises SnapshotNeededError: if a patch before it is missing, or it is of another document.
        """
        told = _told(patch)
        if self.needs_snapshot or told["epoch"] != self.epoch:
            raise self._lost(f"a patch of {told['epoch']}, but this is {self.epoch or 'nothing'} yet")
        if told["version"] <= self.version:
            return False
        if told["baseVersion"] != self.version:
            raise self._lost(f"a patch of version {told['baseVersion']}, but this is version {self.version}")
        try:
            self.data = applied(self.data, told["patch"])
        except InvalidPatchError as error:
            raise self._lost(f"a patch that does not fit ({error})") from error
        self.version = told["version"]
        return True

    def read(self, model: type[Model]) -> Model:
        """The state as a model, which is a copy."""
        data = readable(self.data, model) if issubclass(model, ReactiveModel) else self.data
        return model.model_validate_json(
            pydantic_core.to_json(data, inf_nan_mode="constants"), by_alias=True, by_name=True
        )

    def _lost(self, fault: str) -> SnapshotNeededError:
        self.needs_snapshot = True
        return SnapshotNeededError(f"The replica was given {fault}: it needs a snapshot.")


def _told(message: Any) -> Mapping[str, Any]:
    """A message as plain data."""
    told = message.json if isinstance(message, Patch | Snapshot) else message
    found: Mapping[str, Any] = pydantic_core.from_json(told) if isinstance(told, bytes | str) else told
    return found
