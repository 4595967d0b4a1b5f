"""One run of an action, from the request for it until it is forgotten."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timezone
from enum import Enum
from logging import LogRecord
from typing import Any
from weakref import ref

import pydantic_core

from labthings.actions.info import ActionInfo
from labthings.actions.output import Output, input_of, output_of
from labthings.actions.telling import wait_until_told, wait_until_told_async
from labthings.exceptions import GlobalLockBusyError, InvocationCancelledError, InvocationError
from labthings.global_lock import GlobalLock
from labthings.invocation_contexts import InvocationContext, Progress, use_invocation_context
from labthings.outputs.blob_data import LocalData
from labthings.problem_details import ProblemDetails, printable, problem_details, text_of
from labthings.retention import Sizes
from labthings.url_for import with_address

PROGRESS_SECONDS = 0.1  # how often observers are told of progress at most


class InvocationStatus(str, Enum):
    """What has become of an invocation."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ERROR = "error"

    @property
    def has_ended(self) -> bool:
        return self not in (InvocationStatus.PENDING, InvocationStatus.RUNNING)


class Told(dict[str, Any]):
    """What observers are told of an invocation, as JSON; and what it has returned, for those who tell of that too.

    :param output: that, which is told of for as long as the invocation is kept: it may be large, and observers slow.
    """

    def __init__(self, status: Mapping[str, Any], output: Output | None = None) -> None:
        super().__init__(status)
        self._output: Callable[[], Output | None] = _nothing if output is None else ref(output)

    @property
    def output(self) -> Output | None:
        """What the action has returned, if it has, and that is still kept."""
        return self._output()


class Invocation:
    """One run of an action.

    :param info: the action of a Thing.
    :param arguments: its validated arguments.
    :param debug: whether clients are told where errors were raised.
    :param lock_log_level: the level at which it is logged that the global lock was busy.
    """

    def __init__(
        self, info: ActionInfo, arguments: dict[str, Any], *, debug: bool = False, lock_log_level: int = 40
    ) -> None:
        self.info = info
        self._context: InvocationContext | None = InvocationContext(on_progress=self._publish_progress)
        self._log: Sequence[LogRecord] = self._context.log
        self._progress: Progress | None = None
        self.id = str(self._context.id)
        self.error: ProblemDetails | None = None
        self.output: Output | None = None
        self.time_requested = _now()
        self.time_started: str | None = None
        self.time_completed: str | None = None
        self._interface = info.thing._thing_server_interface
        self._arguments = arguments
        self._input = input_of(info, arguments)
        self._debug, self._lock_log_level = debug, lock_log_level
        self._begun = threading.Lock()  # taken once: by the thread that runs it, or to cancel it before that
        self._is_cancelled = False
        self._task: asyncio.Task[None] | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._progress_told_at = 0.0
        self._status = InvocationStatus.PENDING
        self._publish()

    @property
    def status(self) -> InvocationStatus:
        """What has become of it."""
        return self._status

    @status.setter
    def status(self, status: InvocationStatus) -> None:
        self._status = status
        self._publish()

    # --- running it ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the action in this thread."""
        context = self._begin()
        if context is None:
            return
        with use_invocation_context(context):
            try:
                self._complete(self._call(context))
            except BaseException as error:  # noqa: BLE001 - it is told to whoever asks for the invocation
                self._fail(error)

    async def run_async(self) -> None:
        """Run an ``async`` action in the event loop."""
        context = self._begin()
        if context is None:
            return
        self._task = asyncio.current_task()
        with use_invocation_context(context):
            try:
                self._complete(await self._call_async(context))
            except BaseException as error:  # noqa: BLE001 - it is told to whoever asks for the invocation
                self._fail(error)

    def cancel(self) -> None:
        """Ask the action to end; if it has not begun, it never will. Call this in the event loop."""
        if self._begun.acquire(blocking=False):
            self._end(InvocationStatus.CANCELLED)
            self.release_waiters()
            return
        context = self._context
        if self._is_cancelled or context is None:  # a second request must not interrupt the tidying up after the first
            return
        self._is_cancelled = True
        context.cancel_event.set()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> InvocationContext | None:
        """The context to run in, unless it has been cancelled."""
        if not self._begun.acquire(blocking=False):
            return None
        self.time_started = _now()
        self.status = InvocationStatus.RUNNING
        return self._context

    def _call(self, context: InvocationContext) -> Any:
        try:
            with lock.hold() if (lock := self._lock) is not None else _NOTHING:
                return self.info.call(self._arguments)
        finally:
            wait_until_told(context)

    async def _call_async(self, context: InvocationContext) -> Any:
        try:
            async with lock.hold_async() if (lock := self._lock) is not None else _NOTHING:
                return await self.info.call(self._arguments)
        finally:
            self._task = None  # what it has done is told of, though it should be cancelled now
            await wait_until_told_async(context)

    def _complete(self, output: Any) -> None:
        self.output = output_of(self.info, output)
        self._end(InvocationStatus.COMPLETED)

    def _fail(self, error: BaseException) -> None:
        was_cancelled = isinstance(error, InvocationCancelledError | asyncio.CancelledError)
        try:
            self._log_failure(error)
            if not was_cancelled:
                self.error = problem_details(error, self._debug)
        finally:  # whatever happens to its log, it has ended
            self._end(InvocationStatus.CANCELLED if was_cancelled else InvocationStatus.ERROR)

    def _log_failure(self, error: BaseException) -> None:
        logger, name = self.info.thing.logger, self.info.name
        if isinstance(error, InvocationCancelledError | asyncio.CancelledError):
            logger.info("Action '%s' was cancelled.", name)
        elif isinstance(error, GlobalLockBusyError):
            logger.log(self._lock_log_level, "Action '%s' did not run: %s", name, text_of(error))
        elif isinstance(error, InvocationError):
            logger.error("Action '%s' ended: %s", name, text_of(error))
        else:
            logger.error("Action '%s' failed: %s: %s", name, type(error).__name__, text_of(error), exc_info=error)

    def _end(self, status: InvocationStatus) -> None:
        context, self._context = self._context, None  # what is kept for minutes should take little memory
        if context is not None:
            self._log, self._progress = tuple(context.log), context.progress
        self._arguments = {}
        self.time_completed = _now()
        self.status = status

    @property
    def _lock(self) -> GlobalLock | None:
        return self._interface.global_lock if self.info.descriptor.takes_global_lock else None

    # --- what it keeps ------------------------------------------------------------------------------------------

    @property
    def blobs(self) -> tuple[LocalData, ...]:
        """The blobs that it was given and returned, which live as long as it is kept."""
        given, returned = self._input.blobs, () if self.output is None else self.output.blobs
        return given + returned if returned else given

    @property
    def sizes(self) -> Sizes:
        """How much room its input and output take."""
        given, returned = self._input.sizes, _NO_SIZE if self.output is None else self.output.sizes
        return Sizes(
            given.in_memory + returned.in_memory,
            given.in_files + returned.in_files,
            given.open_files + returned.open_files,
        )

    # --- waiting for its end, in the event loop -----------------------------------------------------------------

    async def wait(self, seconds: float) -> bool:
        """Wait until it has ended, or the time has passed; and say whether it has ended."""
        if not self.status.has_ended and seconds > 0:
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            self._waiters.add(future)
            timer = loop.call_later(seconds, _resolve, future)
            try:
                await future
            finally:
                timer.cancel()
                self._waiters.discard(future)
        return self.status.has_ended

    def release_waiters(self) -> None:
        """Let those who wait for the end go on."""
        for future in self._waiters:
            _resolve(future)

    # --- telling of it ------------------------------------------------------------------------------------------

    @property
    def told(self) -> Told:
        """What observers of the action are told of it."""
        status = self.status
        told = Told({"action name": self.info.name, "status": status.value, "id": self.id}, self.output)
        told.update(self._told_progress)
        times = {"timeRequested": self.time_requested, "timeStarted": self.time_started}
        if status.has_ended:
            times["timeCompleted"] = self.time_completed
        told.update((key, time) for key, time in times.items() if time is not None)
        if self.error is not None:
            told["error"] = self.error.as_dict()
        return told

    def summary(self, url: str) -> dict[str, Any]:
        """What lists of invocations tell of it.

        :param url: the URL of all invocations, ending in a slash.
        """
        told = {
            "status": self.status.value,
            "id": self.id,
            "action": self.info.path,
            "href": url + self.id,
            "timeRequested": self.time_requested,
            "timeStarted": self.time_started,
            "timeCompleted": self.time_completed,
            "links": [{"rel": "self", "href": url + self.id}, {"rel": "output", "href": f"{url}{self.id}/output"}],
        }
        return told | self._told_progress

    def to_json(self, url: str, *, without_arrays: bool = False) -> bytes:
        """All there is to tell of it.

        :param url: the URL of all invocations, ending in a slash.
        :param without_arrays: whether to leave out an output that has arrays in it.
        """
        told = self.summary(url)
        told["log"] = [self._log_entry(record) for record in tuple(self._log)]
        if self.error is not None:
            told["error"] = self.error.as_dict()
        parts = [pydantic_core.to_json(told)[:-1], b',"input":', self._input.json]
        if not (without_arrays and self.has_large_output):
            parts += [b',"output":', b"null" if self.output is None else self.output.json]
        body = b"".join([*parts, b"}"])
        return with_address(body, url.removesuffix("/action_invocations/")) if self.blobs else body

    @property
    def has_large_output(self) -> bool:
        """Whether there are arrays in its output, so that making JSON of it takes time."""
        return self.output is not None and self.output.holds_arrays

    @property
    def _told_progress(self) -> dict[str, Any]:
        context = self._context
        progress = context.progress if context is not None else self._progress
        return {} if progress is None else {"progress": vars(progress)}

    def _log_entry(self, record: LogRecord) -> dict[str, Any]:
        entry = {
            "message": printable(record.getMessage()),
            "levelname": record.levelname,
            "levelno": record.levelno,
            "lineno": record.lineno,
            "filename": record.filename,
            "created": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
        }
        if getattr(record, "exception_type", None):
            entry["exception_type"] = getattr(record, "exception_type", None)
            if self._debug:
                entry["traceback"] = record.exc_text
        return entry

    def _publish(self) -> None:
        name = self.info.name
        if self._interface.is_observed(name):
            self._interface.publish_action(name, self.told)

    def _publish_progress(self) -> None:
        now = time.monotonic()
        if now - self._progress_told_at >= PROGRESS_SECONDS:
            self._progress_told_at = now
            self._publish()


def _nothing() -> None:
    """Stand for an output that there is not."""


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_NOTHING = nullcontext()
_NO_SIZE = Sizes()
