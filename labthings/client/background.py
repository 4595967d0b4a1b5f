"""A thread that keeps up what a client observes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from labthings.client.channel import Channel
from labthings.client.mailbox import Mailbox
from labthings.client.topic import Topic

T = TypeVar("T")


class Background:
    """Keeps up what a client observes, in a thread that begins with the first observation and ends with the last.

    :param open_channel: makes the channel on which the server tells of it.
    """

    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        self._open_channel = open_channel
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None

    def join(self, topic: Topic, mailbox: Mailbox) -> Membership:
        """Have what is told of a topic put into a mailbox.

        :raises LabThingsError: what the topic makes of it, if there is no connection, or the server refuses.
        """
        with self._lock:
            thread = self._thread = self._thread or LoopThread(self._open_channel())
            thread.users += 1
        try:
            return Membership(self, thread, thread.call(thread.channel.join(topic, mailbox)), mailbox)
        except CancelledError as error:
            raise topic.failure("the client was closed meanwhile.") from error
        except BaseException:
            self.release(thread)
            raise

    def release(self, thread: LoopThread, *, wait: bool = True) -> None:
        """Note that somebody needs a thread no longer, and end it if nobody does.

        :param wait: whether to wait for its end.
        """
        with self._lock:
            thread.users -= 1
            if thread.users or self._thread is not thread:
                return
            self._thread = None
        thread.stop(wait=wait)

    def close(self) -> None:
        """End everything that is observed."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()


class Membership:
    """A mailbox that gets what is told of a topic."""

    def __init__(self, background: Background, thread: LoopThread, topic: Topic, mailbox: Mailbox) -> None:
        self._background, self._thread = background, thread
        self._topic, self._mailbox = topic, mailbox

    def end(self) -> None:
        """Close the mailbox, and wait until nothing is done for it any more."""
        self._mailbox.close()
        try:
            self._thread.call(self._leave())
        except CancelledError:  # the client was closed, and everything with it
            return
        self._background.release(self._thread)

    def abandon(self) -> None:
        """Close the mailbox in a while, without waiting for anything: the garbage collector may call this anywhere."""
        self._thread.call_soon(lambda: asyncio.ensure_future(self._leave_and_release()))

    async def _leave(self) -> None:
        await self._thread.channel.leave(self._topic, self._mailbox)

    async def _leave_and_release(self) -> None:
        await self._leave()
        self._background.release(self._thread, wait=False)


class LoopThread:
    """A thread with an event loop for a channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.users = 0
        self._is_stopped = False
        self._lock = threading.Lock()
        self._enough = asyncio.Event()
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(),), name="labthings-client", daemon=True)
        self._thread.start()
        self._loop = self._started.result()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Have something done there, and wait for it.

        :raises concurrent.futures.CancelledError: if the thread ends first.
        """
        with self._lock:
            if self._is_stopped:
                work.close()
                raise CancelledError
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have something done there, unless the thread has ended."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def stop(self, *, wait: bool = True) -> None:
        """End it.

        :param wait: whether to wait for its end.
        """
        with self._lock:
            self._is_stopped = True
            self.call_soon(self._enough.set)
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()

    async def _run(self) -> None:
        self._started.set_result(asyncio.get_running_loop())
        await self._enough.wait()
        await self.channel.aclose()
