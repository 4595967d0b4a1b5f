"""What a server was asked, and has not answered yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from labthings.client.endpoint import UnreachableError


class Question:
    """A request that somebody waits for the answer to.

    :param heed: is called with the answer, also as text, before anything that the server sends after it is heeded.
    :param live: the name of the property whose live state is asked for, if it is that: the answer has no correlation.
    """

    def __init__(self, heed: Callable[[Mapping[str, Any], str], object], live: str | None = None) -> None:
        self.id, self.live = str(uuid4()), live
        self.correlation = {"correlationID": self.id} if live is None else {}
        self.answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._heed = heed

    def settle(self, message: Mapping[str, Any], text: str) -> None:
        """Give the answer to whoever waits for it."""
        self.answer.set_result(message)
        self._heed(message, text)


class Questions:
    """The questions that are open, in the order in which they were asked."""

    def __init__(self) -> None:
        self._open: dict[str, Question] = {}

    @contextmanager
    def waiting(self, question: Question) -> Iterator[None]:
        """Have answers given to a question meanwhile."""
        self._open[question.id] = question
        try:
            yield
        finally:
            del self._open[question.id]
            if not question.answer.cancel() and not question.answer.cancelled():
                question.answer.exception()  # so that asyncio does not report it as overlooked

    def settle(self, message: Mapping[str, Any], text: str) -> bool:
        """Give an answer to the question that it is for, and say whether there is one."""
        if "correlationID" in message:
            fitting = [each for each in self._waiting() if each.id == message["correlationID"]]
        else:
            fitting = [each for each in self._waiting() if each.live and message.get("name", each.live) == each.live]
        for question in fitting[:1]:  # without a name it answers the first one, as the server takes them in turn
            question.settle(message, text)
        return bool(fitting)

    def settle_live(self, name: str, message: Mapping[str, Any], text: str) -> None:
        """Give a snapshot to all who have asked for it."""
        for question in self._waiting():
            if question.live == name:
                question.settle(message, text)

    def fail_live(self, name: str, error: Exception) -> None:
        """Give the error that a snapshot makes no sense to all who have asked for it."""
        for question in self._waiting():
            if question.live == name:
                question.answer.set_exception(error)

    def give_up(self, reason: str) -> None:
        """Have nobody wait any more."""
        for question in self._waiting():
            question.answer.set_exception(UnreachableError(reason))

    def _waiting(self) -> list[Question]:
        return [each for each in self._open.values() if not each.answer.done()]
