"""A tree of models, and who is told how it changes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import pydantic_core

from labthings.exceptions import AlreadyInStateError, InvalidPatchError, StateError, UntrackableTypeError
from labthings.state.ledger import Ledger, Subscribers
from labthings.state.merging import merge
from labthings.state.model_shape import shape_of
from labthings.state.operations import Operation, Patch, Snapshot
from labthings.state.origins import current_origin, origin
from labthings.state.reactive_model import ReactiveModel
from labthings.state.reading import readable
from labthings.state.revalidation import already_there, is_within
from labthings.state.tracking import FREE, ORPHANAGE, Change, Node, family, locate, release, settle

Model = TypeVar("Model", bound=ReactiveModel)
Callback = Callable[[Patch], object]
_LOGGER = logging.getLogger(__name__)


class Document(Generic[Model]):
    """Live state: a model that can be changed in place from any thread, each change of which is told of.

    What runs while the document's lock is held must only do work in memory: validators, serialisers, computed fields,
    ``schedule_flush`` and subscribers' callbacks.

    :param model: the root of the tree, which must not be part of a document yet, nor anything in it.
    :param schedule_flush: is given `flush` when something has changed, and has it called soon, once; what changes until
        then makes one patch. Without it, each change makes one at once. ``loop.call_soon_threadsafe`` is one.
    :raises AlreadyInStateError: if the model, or something in it, is elsewhere already, or at two places in it.
    """

    origin = staticmethod(origin)

    def __init__(self, model: Model, *, schedule_flush: Callable[[Callable[[], None]], object] | None = None) -> None:
        if not isinstance(model, ReactiveModel):
            raise UntrackableTypeError(f"A Document is made of an instance of a ReactiveModel, not of {model!r}.")
        self._model = model
        self.lock = threading.RLock()
        """Keeps others from changing the model while it is held."""
        self._schedule = schedule_flush
        self._is_scheduled = False
        self._depth = 0
        self._batches = 0
        self._is_telling = False
        self._pending: list[Operation] = []
        self._origin: Mapping[str, Any] | None = None
        self._derived: dict[int, Node] = {}
        self._untold: deque[Patch] = deque()
        self._awaiting: list[Callable[[], object]] = []
        self._subscribers = Subscribers(self._log_failure)
        with self.lock, FREE.lock:
            list(self._newcomers([model], None))
            self._ledger = Ledger(self._dump())
            self._settle()

    @property
    def model(self) -> Model:
        """The root of the tree."""
        return self._model

    @property
    def version(self) -> int:
        """How many patches there have been."""
        return self._ledger.version

    @property
    def epoch(self) -> str:
        """Tells this document from others, such as the one that the same model had before a restart."""
        return self._ledger.epoch

    def subscribe(self, callback: Callback) -> Snapshot:
        """Have something called with each patch, in order, from the snapshot on that this gives.

        :param callback: is called with the lock held, in the thread that made the change.
        """
        with self.lock:
            self._flush_unless_in_a_batch()
            self._subscribers.add(callback, self.version)
            return self._ledger.snapshot()

    def unsubscribe(self, callback: Callback) -> None:
        """Call something no more."""
        with self.lock:
            self._subscribers.remove(callback)

    def snapshot(self) -> Snapshot:
        """The state at the newest version, which is without what an unfinished batch has changed."""
        with self.lock:
            self._flush_unless_in_a_batch()
            return self._ledger.snapshot()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make one patch of what is changed meanwhile, by whomever, unless it has several origins.

        It takes back nothing: if an exception is raised, what was changed until then is told of.
        """
        with self.lock:
            self._batches += 1
        try:
            yield
        finally:
            with self.lock:
                self._batches -= 1
                self._flush_unless_in_a_batch()

    def flush(self) -> None:
        """Tell of what has changed, now, even if there is a batch that is not finished."""
        with self.lock:
            self._is_scheduled = False
            self._seal()
            self._tell()

    def when_told(self, callback: Callable[[], object]) -> None:
        """Have something called, with the lock held, once all that has changed until now is told of.

        That is at once, unless there is a batch that is not finished.
        """
        with self.lock:
            self._awaiting.append(callback)
            self._flush_unless_in_a_batch()

    def load_state(self, data: Any) -> None:
        """Replace the model's contents in place: objects in it stay, as far as the data has such.

        It makes one patch that replaces everything. Excluded fields that the data does not have stay as they are.

        :param data: what the model can be validated from: plain data, by names or aliases; JSON; or another model.
        :raises pydantic.ValidationError: if it is not valid; then nothing has changed.
        """
        with self._changing():
            self._merge(data)
            self._pending.extend([Operation("replace", "", self._dump())])

    def patch(self, operations: Iterable[Operation | Mapping[str, Any]], *, base_version: int | None = None) -> None:
        """Apply a JSON Patch (RFC 6902) to the model in place, all of it or nothing.

        :param base_version: refuse the patch if the document is at another version.
        :raises InvalidPatchError: if an operation does not fit, or the version.
        :raises pydantic.ValidationError: if what would come of it is not valid.
        """
        with self._changing():
            self._seal()
            if base_version not in (None, self.version):
                raise InvalidPatchError(f"The patch is for version {base_version}, but this is version {self.version}.")
            self._merge(pydantic_core.to_json(self._ledger.patched(operations)))
            self._pending.extend(self._ledger.difference(self._dump()))

    def publish(self) -> Patch | None:
        """Tell of what has changed without being noticed, such as the contents of an array.

        :return: the patch, or None if nothing has.
        """
        with self._changing():
            self._seal()
            self._settle()
            found = self._ledger.difference(self._dump())
            if not found:
                return None
            self._pending.extend(found)
            self._seal()
            return self._untold[-1]

    # --- what nodes need ---------------------------------------------------------------------------------

    def enter(self) -> None:
        """Begin a change, with the lock held."""
        self.lock.acquire()
        self._depth += 1
        caused_by = current_origin()
        if caused_by is not self._origin:
            self._change_origin(caused_by)

    def leave(self) -> None:
        """End a change, and tell of it if it is not part of a greater one."""
        try:
            if self._depth == 1 and (self._pending or self._derived or self._untold):
                self._tell_soon()
        finally:
            self._depth -= 1
            self.lock.release()

    def commit(self, change: Change) -> None:
        """Make a change and record it, or neither."""
        arriving = list(change.arriving())
        if arriving:
            with FREE.lock:
                self._commit(change, list(self._newcomers([child.node for child in arriving], change)))
                for key, node, opaque in arriving:
                    settle(node, self, change.node, key, opaque)
        else:
            self._commit(change, [])

    def touched(self, node: Node) -> None:
        """Have what is computed of a node computed again."""
        each: Node | None = node
        while each is not None:
            tracking = each.__tracking__
            if tracking.is_derived(each):
                self._derived[id(each)] = each
            each = tracking.parent

    # --- recording ---------------------------------------------------------------------------------------

    def _commit(self, change: Change, newcomers: list[Node]) -> None:
        change.write()
        try:
            operations = self._operations(change)
            for each in operations:
                each.check_depth()
        except BaseException:
            change.undo()
            raise
        leaving = [value for value in change.leaving() if isinstance(value, Node)]
        if leaving:
            kept = {id(each) for each in newcomers}
            for node in leaving:
                release(node, self, kept)
        self._pending.extend(operations)
        self.touched(change.node)

    def _operations(self, change: Change) -> list[Operation]:
        location = locate(change.node)
        if location is None:
            change.node.__tracking__.home = ORPHANAGE  # it was removed without our noticing
            return []
        if location.whole is None:
            return change.operations(location.pointer)
        return self._whole(location.pointer, *location.whole)

    def _whole(self, pointer: str, parent: Node | None, key: Any) -> list[Operation]:
        if parent is None:
            return [Operation("replace", "", self._dump())]
        return parent.__tracking__.replacement(parent, key, pointer)

    def _newcomers(self, nodes: Iterable[Node], change: Change | None) -> Iterator[Node]:
        """Nodes and all within them, each checked that it is nowhere else, or in what leaves with the change."""
        seen: set[int] = set()
        leaving: set[int] | None = None
        for node in nodes:
            for each in family(node):
                if id(each) in seen:
                    raise AlreadyInStateError(
                        f"A {type(each).__name__} would be at two places: put a copy at one of them."
                    )
                seen.add(id(each))
                if each.__tracking__.home not in (FREE, ORPHANAGE):
                    if leaving is None:
                        leaving = {id(value) for value in change.leaving()} if change else set()
                    if change is None or not is_within(each, change.node, leaving):
                        raise already_there(each)
                yield each

    def _merge(self, data: Any) -> None:
        model = self.model
        new = _validated(type(model), data)
        Operation("replace", "", shape_of(type(model)).to_json(new)).check_depth()  # before anything has changed
        before = list(family(model))
        merge(model, new)
        kept = {id(each) for each in family(model)}
        for node in before:
            if id(node) not in kept:
                node.__tracking__.home = ORPHANAGE
        self._settle()

    def _settle(self) -> None:
        with FREE.lock:
            settle(self.model, self, None, None, shape_of(type(self.model)).is_opaque)

    def _dump(self) -> bytes:
        return shape_of(type(self.model)).to_json(self.model)

    def _change_origin(self, caused_by: Mapping[str, Any] | None) -> None:
        """Have what changes from now on in another patch than what has changed."""
        try:
            self._seal()
            self._origin = caused_by
        except BaseException:
            self._depth -= 1
            self.lock.release()
            raise

    # --- telling -----------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def _flush_unless_in_a_batch(self) -> None:
        if not self._batches:
            self.flush()

    def _flush_as_scheduled(self) -> None:
        with self.lock:
            self._is_scheduled = False
            self._flush_unless_in_a_batch()

    def _tell_soon(self) -> None:
        if self._batches:
            return
        if self._schedule is None:
            self.flush()
        elif not self._is_scheduled:
            self._schedule_flush(self._schedule)

    def _schedule_flush(self, schedule: Callable[[Callable[[], None]], object]) -> None:
        self._is_scheduled = True
        try:
            schedule(self._flush_as_scheduled)
        except Exception:
            _LOGGER.exception("%r failed, so changes of live state are told of at once.", schedule)
            self.flush()

    def _seal(self) -> None:
        """Make a patch of what is pending."""
        operations = self._entered()
        self._pending = []
        derived, self._derived = self._derived, {}
        for model in derived.values():
            operations += self._recomputed(model)
        if operations:
            self._untold.append(self._ledger.patch(operations, self._origin))

    def _entered(self) -> list[Operation]:
        """What is pending, once replicas would have it too."""
        try:
            self._ledger.enter(self._pending)
        except InvalidPatchError as error:
            _LOGGER.warning("Live state was changed without being noticed, which is made good now: %s", error)
            self._settle()
            operations = self._ledger.difference(self._dump())
            self._ledger.enter(operations)
            return operations
        return self._pending

    def _recomputed(self, model: Node) -> list[Operation]:
        location = locate(model) if model.__tracking__.home is self else None
        if location is None:
            return []
        try:
            if location.whole is not None:
                found = self._whole(location.pointer, *location.whole)
            else:
                shape = shape_of(type(model))
                found = [each for name in shape.derived for each in shape.replacement(model, name, location.pointer)]
        except Exception:
            _LOGGER.exception(
                "What is computed of a %s cannot be computed, so it stays as it was.", type(model).__name__
            )
            return []
        found = [each for each in found if self._ledger.differs(each)]
        self._ledger.enter(found)
        return found

    def _tell(self) -> None:
        if self._is_telling:  # a subscriber has changed something: it is told of when all know of what was before
            return
        self._is_telling = True
        try:
            while self._untold:
                self._subscribers.tell(self._untold.popleft())
                if not self._batches and self._schedule is None:
                    self._seal()
        finally:
            self._is_telling = False
        if self._pending or self._derived:
            self._tell_soon()
            return
        awaiting, self._awaiting = self._awaiting, []
        for each in awaiting:
            each()

    def _log_failure(self, callback: Callback) -> None:
        _LOGGER.exception("%r failed, which was told of a change of live state.", callback)


def _validated(cls: type[Model], data: Any) -> Model:
    if isinstance(data, ReactiveModel):
        if not isinstance(data, cls):
            raise StateError(f"A {type(data).__name__} cannot be loaded where there is a {cls.__name__}.")
        return data.model_copy()
    if not isinstance(data, bytes | str):
        return cls.model_validate(readable(data, cls), by_alias=True, by_name=True)
    plain = readable(pydantic_core.from_json(data), cls)
    return cls.model_validate_json(pydantic_core.to_json(plain, inf_nan_mode="constants"), by_alias=True, by_name=True)
