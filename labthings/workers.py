"""Threads for the Things' own code, and the way back from them to the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from functools import partial
from typing import Any

from labthings.exceptions import BusyError, InvocationCancelledError, ServerNotRunningError

LOGGER = logging.getLogger(__name__)

Job = Callable[[], None]
BRIEF_SECONDS = 0.002
NOT_RUNNING = "The server is not running, so nothing can run in its event loop."


def is_in_event_loop() -> bool:
    """Whether this code runs in an event loop, which it must not block."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def awaited(work: Coroutine[Any, Any, Any]) -> Any:
    """Await a Thing's own code. If that is cancelled, it has failed, unless whoever awaits it is cancelled too."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()
    try:
        return task.result()
    except (asyncio.CancelledError, InvocationCancelledError) as error:
        raise RuntimeError("It was cancelled.") from error


class LoopCalls:
    """Calls that any thread may leave for the event loop; however many there are, they wake it once."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._lock = threading.RLock()  # reentrant, as the garbage collector may leave calls anywhere
        self._woken: asyncio.AbstractEventLoop | None = None
        self._later: dict[object, tuple[asyncio.TimerHandle, Callable[[], object]]] = {}

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop.

        :raises ServerNotRunningError: if there is none.
        """
        if self._loop is None:
            raise ServerNotRunningError(NOT_RUNNING)
        return self._loop

    @property
    def is_here(self) -> bool:
        """Whether this code runs in the event loop."""
        return self._loop is not None and asyncio._get_running_loop() is self._loop

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        for _, function in self._later.values():  # which the loop before has ended without
            self._calls.append((function, ()))
        self._later.clear()
        if self._calls:
            loop.call_soon_threadsafe(self._run)

    def detach(self) -> None:
        """Do without the event loop, once it has made the calls that were left for it. For its own thread."""
        self._run()
        with self._lock:
            self._loop = None
        for handle, function in list(self._later.values()):
            handle.cancel()
            self._calls.append((function, ()))
        self._later.clear()
        self._run()  # what these calls, or other threads, have left meanwhile

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Have the event loop call a function.

        :raises ServerNotRunningError: if there is no event loop.
        """
        with self._lock:  # so that `detach` makes the call, or else it is refused
            loop = self.loop
            self._calls.append((function, args))
        if self._woken is not loop:  # appended before it is looked at: `_run` clears it before it counts the calls
            self._woken = loop
            context = contextvars.Context()  # and not this thread's, as others leave calls too
            try:
                loop.call_soon_threadsafe(self._run, context=context)
            except RuntimeError as error:  # it has been closed since this thread asked for it
                if self._has_lost(loop):
                    raise ServerNotRunningError(NOT_RUNNING) from error

    def call_later(self, seconds: float, function: Callable[[], object]) -> None:
        """Have the event loop call a function in a while; or before, if it ends. For its own thread.

        :raises ServerNotRunningError: if there is no event loop.
        """
        key = object()
        self._later[key] = (self.loop.call_later(seconds, self._call_now, key), function)

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Have the event loop call a function, and wait until it has. Not to be called in the event loop.

        :raises ServerNotRunningError: if there is no event loop, or it ends meanwhile.
        """
        done: Future[None] = Future()
        self.call_soon(_call, done, function, args)
        while not wait({done}, timeout=1).done:
            self.loop  # noqa: B018 - raises if there is none any more
        done.result()

    def _has_lost(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether an event loop was closed without `detach`, which makes the calls that were left for it."""
        with self._lock:
            self._woken = None
            if self._loop is not loop:
                return False
            self._calls.clear()
            return True

    def _call_now(self, key: object) -> None:
        self._later.pop(key)[1]()

    def _run(self) -> None:
        self._woken = None
        for _ in range(len(self._calls)):
            function, args = self._calls.popleft()
            try:
                function(*args)
            except Exception:
                LOGGER.exception("A call in the event loop failed: %r", function)


class Workers:
    """Threads that come when there is work and go when there has been none for a while.

    :param name: what the threads are named after.
    :param idle_seconds: how long a thread waits for more work.
    """

    def __init__(self, name: str, idle_seconds: float = 10) -> None:
        self.name = name
        self._idle_seconds = idle_seconds
        self._crew = _Crew(name, idle_seconds)

    def start(self, job: Job) -> None:
        """Run a job in a thread, which is a new one if all are busy."""
        self._crew.start(job)

    def close(self, timeout: float) -> list[str]:
        """Let the threads end, wait for them, and name those that are still busy after ``timeout`` seconds.

        Jobs that are started afterwards run in new threads.
        """
        crew, self._crew = self._crew, _Crew(self.name, self._idle_seconds)
        return crew.close(timeout)


class _Crew:
    def __init__(self, name: str, idle_seconds: float) -> None:
        self._name, self._idle_seconds = name, idle_seconds
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0  # threads that wait for a job and have not been promised one
        self._closed = False
        self._threads: set[threading.Thread] = set()
        self._made = 0

    def start(self, job: Job) -> None:
        with self._lock:
            if self._free and not self._closed:
                self._free -= 1
                self._jobs.put(job)
                return
            self._made += 1
            thread = threading.Thread(target=self._work, args=([job],), name=f"{self._name} {self._made}", daemon=True)
            thread.start()
            self._threads.add(thread)

    def close(self, timeout: float) -> list[str]:
        deadline = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            for _ in threads:
                self._jobs.put(None)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name for thread in threads if thread.is_alive()]

    def _work(self, first: list[Job]) -> None:
        job: Job | None = first.pop()  # from a list, as a thread keeps its arguments until it ends
        while job is not None:
            try:
                job()
            except BaseException:
                LOGGER.exception("A job of '%s' failed", self._name)
            del job  # what it refers to must not live until the next one comes
            job = self._next_job()
        with self._lock:
            self._threads.discard(threading.current_thread())

    def _next_job(self) -> Job | None:
        with self._lock:
            if self._closed:
                return None
            self._free += 1
        while True:
            try:
                return self._jobs.get(timeout=self._idle_seconds)
            except queue.Empty:
                with self._lock:
                    if self._free:
                        self._free -= 1
                        return None


class Lane:
    """The calls of one affordance: only so many run at once, and only so many more wait.

    A lane of its own keeps a slow affordance from holding up the others.

    :param name: the affordance, for messages.
    :param workers: the threads that the calls run in.
    :param calls: how they call back to the event loop.
    :param running: how many may run at once.
    :param waiting: how many more may wait.
    :param brief: whether calls usually end within `BRIEF_SECONDS`. Then one thread makes them all, one after the other,
        and is joined by more only while it does not keep up: waking a thread costs more than a brief call.
    """

    def __init__(
        self, name: str, workers: Workers, calls: LoopCalls, running: int, *, waiting: int = 1000, brief: bool = False
    ) -> None:
        self.name = name
        self._workers, self._calls = workers, calls
        self._most_running, self._most_waiting = running, waiting
        self._brief = brief
        self._watched_in: asyncio.AbstractEventLoop | None = None
        self._running = 0
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()

    def run(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Call a function in a worker thread, with the caller's context variables. For the event loop's thread.

        :raises BusyError: if too many calls are waiting.
        """
        future = self._calls.loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            if future.cancelled():  # nobody waits for it any more
                return
            try:
                result, error = context.run(function, *args), None
            except BaseException as raised:  # noqa: BLE001 - it is raised where the future is awaited
                result, error = None, raised
            try:
                self._calls.call_soon(_finish, future, result, error)
            except ServerNotRunningError:
                LOGGER.warning("'%s' ended after the server had stopped", self.name)

        self.start(job)
        return future

    def start(self, job: Job) -> None:
        """Run a job in a worker thread, as soon as those before it allow. For the event loop's thread.

        :raises BusyError: if too many jobs are waiting.
        """
        with self._lock:
            if self._running >= (1 if self._brief else self._most_running):
                self._require_room()
                self._waiting.append(job)
            else:
                self._workers.start(partial(self._work, job))
                self._running += 1
                return
        if self._brief and self._watched_in is not self._calls.loop:
            self._watch()

    def check(self) -> None:
        """Make sure that one more job can be taken.

        :raises BusyError: if too many jobs are waiting.
        """
        with self._lock:
            self._require_room()

    def _add_thread(self) -> None:
        """Have another thread help, if calls still wait."""
        self._watched_in = None
        with self._lock:
            if not self._waiting or self._running >= self._most_running:
                return
            self._workers.start(partial(self._work, self._waiting[0]))
            self._waiting.popleft()
            self._running += 1
        self._watch()

    def _watch(self) -> None:
        self._watched_in = self._calls.loop
        self._watched_in.call_later(BRIEF_SECONDS, self._add_thread)

    def _require_room(self) -> None:
        if len(self._waiting) >= self._most_waiting:
            raise BusyError(
                f"'{self.name}' is busy: {self._running} calls are running and {len(self._waiting)} are waiting. "
                "Try again later."
            )

    def _work(self, job: Job) -> None:
        """Run a job, and then those that wait: a thread that is awake costs less than waking another."""
        while True:
            try:
                job()
            except BaseException:
                LOGGER.exception("A job of '%s' failed", self.name)
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                job = self._waiting.popleft()


def _call(done: Future[None], function: Callable[..., object], args: tuple[Any, ...]) -> None:
    try:
        function(*args)
    except Exception as error:  # noqa: BLE001 - it is raised where the call is waited for
        done.set_exception(error)
    else:
        done.set_result(None)


def _finish(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # nobody waits any more
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration) or not isinstance(error, Exception):  # these are not for a future
        future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
    else:
        future.set_exception(error)
