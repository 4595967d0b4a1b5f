"""A WebSocket on which a server tells of changes and events."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import anyio
import pydantic_core

from labthings.client.endpoint import Endpoint, UnreachableError
from labthings.client.live_property import LiveProperty
from labthings.client.mailbox import Mailbox
from labthings.client.questions import Question, Questions
from labthings.client.topic import Message, SubscribedEvent, Topic
from labthings.exceptions import LabThingsError

LOGGER = logging.getLogger("labthings.client")

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds before a further attempt to connect
SETTLED = 10.0  # seconds that a connection must have lasted for the pauses to begin anew
REPLY_SECONDS = 30.0
RANDOM = random.Random()  # whose numbers nobody else expects


class Channel:
    """Is connected to a server as long as there is somebody to be told something, and connects again by itself.

    It belongs to one event loop.

    :param endpoint: opens its WebSockets.
    :param thing_id: the ``id`` in the Thing Description, if there is one.
    """

    def __init__(self, endpoint: Endpoint, thing_id: str | None) -> None:
        self._endpoint = endpoint
        self._addressee: dict[str, str] = {} if thing_id is None else {"thingID": thing_id}
        self._topics: dict[tuple[str, str], Topic] = {}
        self._questions = Questions()
        self._socket: Any = None
        self._keeper: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._kept: set[asyncio.Task[None]] = set()
        self._joining = 0
        self._opening = asyncio.Lock()
        self._pause = SHORTEST_PAUSE

    async def join(self, topic: Topic, mailbox: Mailbox) -> Topic:
        """Have everything that is told of a topic put into a mailbox, and return the topic that is known already.

        :raises LabThingsError: what the topic makes of it, if there is no connection, or the server refuses.
        """
        self._joining += 1
        try:
            async with self._opening:
                await self._connect()
                topic = await self._open(topic, mailbox)
            self._spawn(self._read(topic, [mailbox]))
            return topic
        except UnreachableError as error:
            raise topic.failure(str(error)) from error.__cause__
        finally:
            self._joining -= 1
            await self._close_if_unused()

    async def leave(self, topic: Topic, mailbox: Mailbox) -> None:
        """Have no more put into a mailbox."""
        if mailbox not in topic.mailboxes:
            return
        if not self._drop(topic, mailbox):
            return
        if self._topics and self._socket is not None:
            self._spawn(self._say(topic.closing))
        await self._close_if_unused()

    async def aclose(self) -> None:
        """Close all mailboxes, and the connection."""
        for topic in self._topics.values():
            for mailbox in topic.mailboxes:
                mailbox.close()
        self._topics.clear()
        await self._close()

    # --- topics -------------------------------------------------------------------------------------------------

    async def _open(self, topic: Topic, mailbox: Mailbox) -> Topic:
        topic = self._topics.setdefault((topic.operation, topic.name), topic)
        topic.admit(mailbox)
        try:
            if not topic.is_open:
                await self._begin(topic)
        except BaseException:
            self._drop(topic, mailbox)
            raise
        mailbox.is_connected = True
        return topic

    async def _resume(self, topic: Topic) -> None:
        """Ask for a topic again, after the connection was lost."""
        try:
            await self._begin(topic)
        except LabThingsError as error:
            topic.fail(error)
            return
        topic.connected(True)
        await self._read(topic, topic.mailboxes)

    async def _resume_or_close(self, topic: Topic, socket: Any) -> None:
        """Ask for a topic again, and give up a connection on which there is no answer."""
        try:
            await self._resume(topic)
        except UnreachableError:
            await socket.close()
            raise

    async def _resync(self, topic: LiveProperty, socket: Any) -> None:
        """Ask for live state again, after something was missing: at once, but not again and again."""
        gaps = topic.count_gap(LONGEST_PAUSE + SETTLED)
        await asyncio.sleep(min(SHORTEST_PAUSE * 2 ** min(gaps - 2, 10), LONGEST_PAUSE) if gaps > 1 else 0)
        if topic.misses(gaps) and self._socket is socket:
            await self._resume_or_close(topic, socket)

    async def _begin(self, topic: Topic) -> None:
        addressee = self._addressee
        response = await self._ask(topic.opening, topic.opened, live=topic.live)
        if "error" in response and addressee:
            response = await self._ask_whoever_is_there(topic, addressee)
        if "error" in response:
            raise topic.refused(response["error"])

    async def _ask_whoever_is_there(self, topic: Topic, addressee: dict[str, str]) -> Message:
        """Ask again without an address: a server that has lost its settings has given its Things new ones."""
        self._addressee = {}
        response = await self._ask(topic.opening, topic.opened, live=topic.live)
        if not any(each.is_open for each in self._topics.values()):
            self._addressee = addressee
        return response

    def _drop(self, topic: Topic, mailbox: Mailbox) -> bool:
        """Have no more put into a mailbox, and tell whether nobody is interested in the topic any more."""
        topic.mailboxes.remove(mailbox)
        return not topic.mailboxes and self._topics.pop((topic.operation, topic.name), None) is not None

    async def _read(self, topic: Topic, mailboxes: list[Mailbox]) -> None:
        if topic.reading is not None:
            topic.begin_to_read(mailboxes)
            await self._ask(topic.reading, topic.read, may_take_time=True)

    # --- the connection -----------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        if self._keeper is None:
            socket = self._socket = await self._endpoint.open()
            self._keeper = asyncio.create_task(self._keep(socket))
        elif self._socket is None:
            raise UnreachableError(f"there is no connection to {self._endpoint.url} at the moment.")

    async def _keep(self, socket: Any) -> None:
        try:
            while True:
                began = time.monotonic()
                reason = await self._listen(socket)
                self._lose(reason, time.monotonic() - began)
                socket = self._socket = await self._reopen()
                for topic in self._topics.values():
                    self._spawn(self._resume_or_close(topic, socket))
        finally:
            await _close(socket)

    async def _listen(self, socket: Any) -> str:
        """Heed what the server sends until the connection is lost, and say why it was."""
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                self._heed(await socket.recv())
        except ConnectionClosed as closed:
            return str(closed)

    def _lose(self, reason: str, lasted: float) -> None:
        LOGGER.warning("The connection to %s is lost (%s). Trying to get it back.", self._endpoint.url, reason)
        self._socket = None
        self._pause = SHORTEST_PAUSE if lasted > SETTLED else self._pause
        lost = f"the connection to {self._endpoint.url} was lost: {reason}"
        for topic in self._topics.values():
            topic.connected(False, lost)
        self._questions.give_up(lost)

    async def _reopen(self) -> Any:
        lost_at, told = time.monotonic(), ""
        while True:
            await asyncio.sleep(self._pause * RANDOM.uniform(0.5, 1.0))
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            try:
                socket = await self._endpoint.open()
            except UnreachableError as error:
                LOGGER.log(logging.DEBUG if str(error) == told else logging.INFO, "Still not connected: %s", error)
                told = str(error)
            else:
                LOGGER.info("Connected to %s again, after %.1f s.", self._endpoint.url, time.monotonic() - lost_at)
                return socket

    async def _close_if_unused(self) -> None:
        if not self._topics and not self._joining:
            await self._close()

    async def _close(self) -> None:
        self._questions.give_up("it was closed meanwhile")
        for task in (*self._tasks, *([] if self._keeper is None else [self._keeper])):
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        self._keeper = self._socket = None
        await asyncio.gather(*self._ending, return_exceptions=True)

    # --- messages -----------------------------------------------------------------------------------------------

    async def _ask(
        self,
        request: dict[str, Any],
        heed: Callable[[Message, str], object],
        *,
        live: str | None = None,
        may_take_time: bool = False,
    ) -> Message:
        """Make a request, and return the answer.

        :param heed: is called with the answer, also as text, before anything that the server sends after it is heeded.
        :param live: the name of the property whose live state is asked for, if it is that.
        :param may_take_time: whether the connection is no worse if there is no answer for long.
        """
        question = Question(heed, live)
        with self._questions.waiting(question):
            try:
                with anyio.fail_after(None if may_take_time else REPLY_SECONDS):
                    await self._say({**request, **question.correlation})
                    return await question.answer
            except TimeoutError as error:
                raise UnreachableError(f"{self._endpoint.url} does not answer") from error

    async def _say(self, request: dict[str, Any]) -> None:
        from websockets.exceptions import ConnectionClosed

        if self._socket is None:
            raise UnreachableError(f"there is no connection to {self._endpoint.url} at the moment")
        message = {**self._addressee, "messageID": str(uuid4()), "messageType": "request", **request}
        try:
            await self._socket.send(pydantic_core.to_json(message).decode())
        except ConnectionClosed as closed:
            raise UnreachableError(f"the connection to {self._endpoint.url} was lost: {closed}") from closed

    def _heed(self, sent: str | bytes) -> None:
        try:
            text = sent if isinstance(sent, str) else sent.decode()
            message = pydantic_core.from_json(text)
            if message["messageType"] == "notification":
                self._notify(message, text)
            elif message["messageType"] in LiveProperty.messages:
                self._follow(message, text)
            else:
                self._answer(message, text)
        except Exception:
            LOGGER.exception("%s sent something that cannot be understood: %.200r", self._endpoint.url, sent)

    def _notify(self, message: Message, text: str) -> None:
        if "messagesLost" in message and "name" not in message:
            for topic in self._topics.values():
                if isinstance(topic, SubscribedEvent):
                    topic.notified(message, text)
        elif (message["operation"], message["name"]) in self._topics:
            self._topics[message["operation"], message["name"]].notified(message, text)

    def _follow(self, message: Message, text: str) -> None:
        for name in message["data"]:
            topic = self._topics.get((LiveProperty.operation, name))
            if isinstance(topic, LiveProperty):
                self._follow_one(topic, message, text)

    def _follow_one(self, topic: LiveProperty, message: Message, text: str) -> None:
        fault, is_snapshot = topic.follow(message, text), message["messageType"] == LiveProperty.snapshot
        if fault is not None:
            self._spawn(self._resync(topic, self._socket))
        if is_snapshot and fault is not None:
            self._questions.fail_live(topic.name, fault)
        elif is_snapshot:
            self._questions.settle_live(topic.name, message, text)

    def _answer(self, message: Message, text: str) -> None:
        if not self._questions.settle(message, text) and "error" in message:
            LOGGER.warning("%s: %s", self._endpoint.url, message["error"])

    # --- tasks --------------------------------------------------------------------------------------------------

    def keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do some work in a task that is not forgotten."""
        task = asyncio.create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return task

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_until_lost(work))
        task.add_done_callback(lambda _: work.close())  # which matters only if it was cancelled before it began
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _close(socket: Any) -> None:
    """Close a WebSocket, politely unless there is no time for that."""
    try:
        await socket.close()
    except asyncio.CancelledError:
        socket.transport.abort()
        raise


async def _until_lost(work: Coroutine[Any, Any, None]) -> None:
    """Do some work over a connection. If that is lost, whoever keeps it knows, and has the work done again."""
    try:
        await work
    except UnreachableError as error:
        LOGGER.debug("%s", error)
