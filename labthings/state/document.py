"""A tree of models, and who is told how it changes."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Generic, TypeVar

from labthings.exceptions import UntrackableTypeError, VersionConflictError
from labthings.state.fair_lock import FairLock
from labthings.state.ledger import Subscribers
from labthings.state.operations import Operation, Patch, Snapshot
from labthings.state.origins import current_origin, origin
from labthings.state.reactive_model import ReactiveModel
from labthings.state.recorder import Recorder

Model = TypeVar("Model", bound=ReactiveModel)
Callback = Callable[[Patch], object]
MOST_PENDING = 1000
"""Operations and patches that may wait for a flush. Whoever makes more tells of them itself, however slow that is."""
MOST_IN_A_BATCH = 1_000_000
LONGEST_BATCH = 2.0  # seconds that whoever has to do so waits for others to finish a batch
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
        self.lock = FairLock()
        """Keeps others from changing the model while it is held."""
        self._schedule = schedule_flush
        self._is_scheduled = False
        self._depth = 0
        self._batches = 0
        self.batch_began: float | None = None
        """When the batch began that is not finished, if there is one, as ``time.monotonic`` gives it."""
        self._is_telling = False
        self._told: Snapshot | None = None
        self._origin: Mapping[str, Any] | None = None
        self._untold: deque[Patch] = deque()
        self._awaiting: list[Callable[[], object]] = []
        self._subscribers = Subscribers(self._log_failure)
        with self.lock:
            self._recorder = Recorder(model, self)
        self._ledger = self._recorder.ledger
        self.commit, self.touched = self._recorder.commit, self._recorder.touched

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
            snapshot = self.snapshot()
            self._subscribers.add(callback, snapshot.version)
            return snapshot

    def unsubscribe(self, callback: Callback) -> None:
        """Call something no more."""
        with self.lock:
            self._subscribers.remove(callback)

    def snapshot(self) -> Snapshot:
        """The state at the newest version, which is without what an unfinished batch has changed."""
        with self.lock:
            self._flush_unless_in_a_batch()
            return self._told or self._ledger.snapshot()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make one patch of what is changed meanwhile, by whomever, unless it has several origins.

        It takes back nothing: if an exception is raised, what was changed until then is told of.
        """
        with self.lock:
            self._batches += 1
            if self._batches == 1:
                self.batch_began = time.monotonic()
        try:
            yield
        finally:
            with self.lock:
                self._batches -= 1
                self._end_batch()

    def tell(self) -> None:
        """Tell of what has changed, now, unless there is a batch that is not finished."""
        with self.lock:
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

    def load_state(self, data: Any, *, base_version: int | None = None, is_from_json: bool | None = None) -> int:
        """Replace the model's contents in place: objects in it stay, as far as the data has such.

        It makes one patch that replaces everything. Excluded fields that the data does not have stay as they are.

        :param data: what the model can be validated from: plain data, by names or aliases; JSON; or another model.
        :param base_version: refuse the data if the document is at another version.
        :param is_from_json: whether the data was made of JSON, which tells less than there is: what is the same in JSON
            stays as it is, such as a number of which JSON has fewer digits. By default, whether the data is JSON.
        :return: the version that this leads to.
        :raises pydantic.ValidationError: if it is not valid; then nothing has changed.
        :raises VersionConflictError: if the document is at another version.
        """
        with self._changing():
            self._require_version(base_version)
            self._recorder.load(data, isinstance(data, bytes | str) if is_from_json is None else is_from_json)
            self._seal()
            return self.version

    def patch(
        self,
        operations: Iterable[Operation | Mapping[str, Any]],
        *,
        base_version: int | None = None,
        strict: bool | None = None,
    ) -> int:
        """Apply a JSON Patch (RFC 6902) to the model in place, all of it or nothing.

        Besides the operations of RFC 6902 there is ``{"op": "test", "version": 7}``, which may have an ``epoch`` too.

        :param base_version: refuse the patch if the document is at another version.
        :param strict: whether everything must be of the right type of JSON then: ``"1"`` is no number.
        :return: the version that this leads to.
        :raises InvalidPatchError: if an operation does not fit.
        :raises VersionConflictError: if the document is at another version.
        :raises pydantic.ValidationError: if what would come of it is not valid.
        """
        with self._changing():
            self._require_version(base_version)
            self._recorder.patch(operations, strict)
            self._seal()
            return self.version

    def publish(self) -> Patch | None:
        """Tell of what has changed without being noticed, such as the contents of an array.

        :return: the patch, or None if nothing has.
        """
        with self._changing():
            self._seal()
            self._recorder.search()
            return self._seal()

    # --- for subclasses ----------------------------------------------------------------------------------

    def find_origin(self) -> Mapping[str, Any] | None:
        """What causes the change that is made here and now: each time the same object for the same cause."""
        return current_origin()

    def changed(self) -> None:
        """Is called after changes, once the thread that has made them has let go of the lock."""

    # --- what nodes need ---------------------------------------------------------------------------------

    def enter(self) -> None:
        """Begin a change, with the lock held."""
        self.lock.acquire()
        self._depth += 1
        try:
            caused_by = self.find_origin()
            if caused_by is not self._origin:
                self._seal()
                self._origin = caused_by
        except BaseException:
            self._depth -= 1
            self.lock.release()
            raise

    def leave(self) -> None:
        """End a change, and tell of it if it is not part of a greater one."""
        try:
            if self._depth == 1 and (self._recorder.has_news or self._untold):
                self.lock.after_release = self.changed
                self._tell_soon()
        finally:
            self._depth -= 1
            self.lock.release()

    def _require_version(self, base_version: int | None) -> None:
        self._seal()
        if base_version not in (None, self.version):
            raise VersionConflictError(f"This is for version {base_version}, but now there is version {self.version}.")

    # --- telling -----------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def _end_batch(self) -> None:
        if not self._batches:
            self.batch_began = None
            if self._recorder.has_news or self._untold:
                self.lock.after_release = self.changed
            self.flush()

    def _flush_unless_in_a_batch(self) -> None:
        if not self._batches:
            self.flush()

    def _flush_as_scheduled(self) -> None:
        with self.lock:
            self._is_scheduled = False
            self._flush_unless_in_a_batch()

    def _tell_soon(self) -> None:
        if self._batches:
            self._bound_batch()
            return
        if self._schedule is None or self._recorder.size + len(self._untold) > MOST_PENDING:
            self.flush()
        elif not self._is_scheduled:
            self._schedule_flush(self._schedule)

    def _bound_batch(self) -> None:
        """Tell of a batch that has become so large that it may never end."""
        if self._recorder.size + len(self._untold) > MOST_IN_A_BATCH:
            _LOGGER.warning("A batch of live state has %s changes, which are told of before it ends.", MOST_IN_A_BATCH)
            self.flush()

    def _schedule_flush(self, schedule: Callable[[Callable[[], None]], object]) -> None:
        self._is_scheduled = True
        try:
            schedule(self._flush_as_scheduled)
        except Exception:
            _LOGGER.exception("%r failed, so changes of live state are told of at once.", schedule)
            self.flush()

    def _seal(self) -> Patch | None:
        """Make a patch of what is pending, if anything is."""
        if self._batches and self._told is None and not self._is_telling and self._recorder.has_news:
            self._told = self._ledger.snapshot()
        operations = self._recorder.take()
        if not operations:
            return None
        self._untold.append(self._ledger.patch(operations, self._origin))
        return self._untold[-1]

    def _tell(self) -> None:
        if self._is_telling:  # a subscriber has changed something: it is told of when all know of what was before
            return
        self._is_telling, self._told = True, None
        try:
            while self._untold:
                Context().run(self._subscribers.tell, self._untold.popleft())  # whoever tells is not the cause of it
                if not self._batches and self._schedule is None:
                    self._seal()
        finally:
            self._is_telling = False
        if self._recorder.has_news:
            self._tell_soon()
            return
        awaiting, self._awaiting = self._awaiting, []
        for each in awaiting:
            each()

    def _log_failure(self, callback: Callback) -> None:
        _LOGGER.exception("%r failed, which was told of a change of live state.", callback)
