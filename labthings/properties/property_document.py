"""The live state that is a property of a Thing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import pydantic_core

from labthings.exceptions import UnfinishedBatchError
from labthings.invocation_contexts import InvocationContext, current_invocation_context
from labthings.pacing import REST, Pacer
from labthings.properties.saving import to_saved
from labthings.state import Document, Patch, ReactiveModel, current_origin
from labthings.state.document import LONGEST_BATCH
from labthings.state.patch_log import PatchLog
from labthings.state.tracking import Held
from labthings.thing_server_interface import ThingServerInterface


class PropertyDocument(Document[ReactiveModel]):
    """A document whose patches are told to a property's observers, by the event loop: at once, and then after a rest.

    :param model: the property's value.
    :param interface: gives access to the server.
    :param name: the property's name.
    :param is_saved: whether it is kept on disk.
    """

    def __init__(self, model: ReactiveModel, interface: ThingServerInterface, name: str, *, is_saved: bool) -> None:
        super().__init__(model, schedule_flush=Pacer(interface.loop_calls, REST).call_soon)
        self._interface, self._name, self._is_saved = interface, name, is_saved
        self._cause: tuple[object, object, Mapping[str, Any] | None] = (None, None, None)
        self.log = PatchLog(partial(_patch_text, name))
        """The newest patches, if the property is observed. Hold the lock to look at it."""
        self.subscribe(self._tell_observers)

    def find_origin(self) -> Mapping[str, Any] | None:
        """What the code that makes a change has said of its origin, and which invocation of an action runs it."""
        context, told = current_invocation_context(), current_origin()
        if context is None:
            return told
        context.changed.add(self)
        return context.origin if told is None else self._both(context, told)

    def changed(self) -> None:
        if self._is_saved:
            self._interface.setting_changed(self._name)

    def replace(self, model: ReactiveModel, base_version: int | None = None, *, is_from_json: bool = False) -> int:
        """Give the model the contents of another one, which stays as it is.

        :param base_version: refuse them if the document is at another version.
        :param is_from_json: whether the other one was made of JSON.
        :return: the version that this leads to.
        :raises VersionConflictError: if it is.
        """
        with Held(model):  # it may be part of another document
            copied = model.model_copy()
        return self.load_state(copied, base_version=base_version, is_from_json=is_from_json)

    def to_saved(self) -> Any:
        """What is to be kept on disk, in dictionaries, lists, strings and numbers.

        :raises UnfinishedBatchError: while a batch is not finished, as half of it may be worse than nothing.
        """
        with self.lock:
            if self.batch_began is not None and time.monotonic() - self.batch_began < LONGEST_BATCH:
                raise UnfinishedBatchError(f"'{self._interface.name}.{self._name}' is being changed in a batch.")
            return to_saved(type(self.model).__pydantic_core_schema__, self.model)

    def copy(self) -> ReactiveModel:
        """A copy of the model, which is part of no document."""
        with self.lock:
            return self.model.model_copy()

    def notify(self) -> None:
        """Tell observers of whole values what there is now."""
        self._interface.publish_property(self._name, self.model, self._to_json)

    def texts_after(self, version: int | None) -> tuple[list[str], int]:
        """What tells somebody who knows a version what there is to tell since, and the version that this leads to.

        :param version: none if it is not known, so that everything has to be told.
        """
        with self.lock:
            texts = None if version is None else self.log.all_after(version)
            if texts is None or version is None:
                snapshot = self.snapshot()
                return [_snapshot_text(self._name, snapshot.json)], snapshot.version
            return texts, version + len(texts)

    def _tell_observers(self, patch: Patch) -> None:
        if self._interface.is_observed(self._name):
            self.log.add(patch)
            self.notify()

    def _to_json(self, model: object) -> bytes:
        return self.snapshot().data

    def _both(self, context: InvocationContext, told: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if self._cause[0] is not context or self._cause[1] is not told:
            self._cause = (context, told, {**told, **context.origin})
        return self._cause[2]


def _patch_text(name: str, patch: Patch) -> str:
    return _text("propertyPatch", name, patch.json)


def _snapshot_text(name: str, snapshot: bytes) -> str:
    return _text("propertySnapshot", name, snapshot)


def _text(message_type: str, name: str, told: bytes) -> str:
    return f'{{"messageType":"{message_type}","data":{{{pydantic_core.to_json(name).decode()}:{told.decode()}}}}}'
