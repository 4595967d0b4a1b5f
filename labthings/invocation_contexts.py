"""What belongs to one invocation of an action, found through a context variable by the code that it runs."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from logging import LogRecord
from typing import Any, Protocol

from labthings.exceptions import InvocationCancelledError, NoInvocationContextError

MOST_LOG_RECORDS = 1000


class CancelEvent(threading.Event):
    """Set to ask an invocation to end.

    Raising the cancellation clears it, so that code which tidies up after one can sleep in its turn.
    """

    def raise_if_set(self) -> None:
        """Raise `InvocationCancelledError` if the invocation has been cancelled."""
        if self.is_set():
            self.clear()
            raise InvocationCancelledError("The action was cancelled.")

    def sleep(self, seconds: float) -> None:
        """Wait, unless the invocation is cancelled.

        :raises InvocationCancelledError: as soon as it is.
        """
        self.wait(seconds)
        self.raise_if_set()


@dataclass(frozen=True)
class Progress:
    """How far an invocation has come.

    :param fraction: from 0 to 1.
    :param message: what it is doing.
    """

    fraction: float
    message: str | None = None


class LiveState(Protocol):
    """State whose changes are told of a little later than they are made."""

    def when_told(self, callback: Callable[[], object]) -> None:
        """Have something called once all that has changed until now is told of."""

    def flush(self) -> None:
        """Tell of what has changed, now."""


@dataclass(eq=False)
class InvocationContext:
    """What the code that runs in an invocation shares with whoever watches it."""

    id: uuid.UUID = field(default_factory=uuid.uuid4)
    log: deque[LogRecord] = field(default_factory=lambda: deque(maxlen=MOST_LOG_RECORDS))
    progress: Progress | None = None
    on_progress: Callable[[], None] | None = None

    @property
    def cancel_event(self) -> CancelEvent:
        """Set to ask the code to end. It is made when it is first asked for, since most actions never do."""
        event: CancelEvent | None = self.__dict__.get("_cancel_event")
        return event if event is not None else self.__dict__.setdefault("_cancel_event", CancelEvent())

    @property
    def changed(self) -> set[LiveState]:
        """The live state that the code has changed. The set is made when it is first asked for, as the event is."""
        changed: set[LiveState] | None = self.__dict__.get("_changed")
        return changed if changed is not None else self.__dict__.setdefault("_changed", set())

    @cached_property
    def origin(self) -> Mapping[str, str]:
        """What is told of the changes of live state that the code makes."""
        return {"invocation": str(self.id)}


_context: ContextVar[InvocationContext] = ContextVar("labthings_invocation_context")


def current_invocation_context() -> InvocationContext | None:
    """The context of the invocation that runs this code, if any."""
    return _context.get(None)


def require_invocation_context() -> InvocationContext:
    """The context of the invocation that runs this code.

    :raises NoInvocationContextError: if there is none.
    """
    context = _context.get(None)
    if context is None:
        raise NoInvocationContextError(
            "This code is not running in an invocation of an action. In a test, use `fake_invocation_context()`."
        )
    return context


@contextmanager
def use_invocation_context(context: InvocationContext) -> Iterator[InvocationContext]:
    """Run the block's code in an invocation's context."""
    token = _context.set(context)
    try:
        yield context
    finally:
        _context.reset(token)


def get_invocation_id() -> uuid.UUID:
    """The id of the invocation that runs this code.

    :raises NoInvocationContextError: if there is none.
    """
    return require_invocation_context().id


@contextmanager
def set_invocation_id(id: uuid.UUID) -> Iterator[None]:
    """Run the block's code as an invocation with the given id."""
    with use_invocation_context(InvocationContext(id)):
        yield


@contextmanager
def fake_invocation_context() -> Iterator[InvocationContext]:
    """Run the block's code as if an action had been invoked."""
    with use_invocation_context(InvocationContext()) as context:
        yield context


def cancellable_sleep(interval: float) -> None:
    """Sleep, but end at once if the action is cancelled; outside an action, just sleep.

    :param interval: how long, in seconds.
    :raises InvocationCancelledError: if the action is cancelled.
    """
    context = _context.get(None)
    if context is None:
        time.sleep(interval)
    else:
        context.cancel_event.sleep(interval)


def raise_if_cancelled() -> None:
    """End the action here if it has been cancelled; outside an action, do nothing.

    :raises InvocationCancelledError: if the action has been cancelled.
    """
    context = _context.get(None)
    if context is not None:
        context.cancel_event.raise_if_set()


def report_progress(fraction: float, message: str | None = None) -> None:
    """Tell whoever watches this action how far it has come; outside an action, do nothing.

    :param fraction: from 0 to 1.
    :param message: what the action is doing.
    """
    context = _context.get(None)
    if context is not None:
        context.progress = Progress(min(max(0.0, float(fraction)), 1.0), message)  # NaN is no progress
        if context.on_progress is not None:
            context.on_progress()


class ThreadWithInvocationID(threading.Thread):
    """A thread with an invocation's id, log and cancellation of its own.

    :param target: the function to call.
    :param args: positional arguments for ``target``.
    :param kwargs: keyword arguments for ``target``.
    """

    def __init__(
        self,
        target: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *super_args: Any,
        **super_kwargs: Any,
    ) -> None:
        super().__init__(*super_args, **super_kwargs)
        self._call = (target, tuple(args or ()), dict(kwargs or {}))
        self._invocation_context = InvocationContext()
        self._result: Any = None
        self._exception: BaseException | None = None

    @property
    def invocation_id(self) -> uuid.UUID:
        """The id that code in the thread sees."""
        return self._invocation_context.id

    @property
    def result(self) -> Any:
        """What ``target`` returned."""
        return self._result

    @property
    def exception(self) -> BaseException | None:
        """What ``target`` raised."""
        return self._exception

    def cancel(self) -> None:
        """Ask the code in the thread to end."""
        self._invocation_context.cancel_event.set()

    def join_and_propagate_cancel(self, poll_interval: float = 0.2) -> None:
        """Wait for the thread to end, and cancel it if the calling action is cancelled meanwhile.

        :param poll_interval: how often to look for a cancellation, in seconds.
        :raises InvocationCancelledError: if the calling action was cancelled, once the thread has ended.
        """
        cancelled: InvocationCancelledError | None = None
        while self.is_alive():
            try:
                raise_if_cancelled()
            except InvocationCancelledError as error:
                cancelled = error
                self.cancel()
            self.join(poll_interval)
        if cancelled is not None:
            raise cancelled
        raise_if_cancelled()

    def run(self) -> None:
        target, args, kwargs = self._call
        with use_invocation_context(self._invocation_context):
            try:
                self._result = target(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - the caller asks for it
                self._exception = error
