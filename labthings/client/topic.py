"""What a server is asked to tell of."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from labthings.client.mailbox import Backlog, Failure, LatestValue, Mailbox, Value
from labthings.exceptions import (
    ClientPropertyError,
    FailedToSubscribeError,
    LabThingsError,
    UnobservableClientPropertyError,
)
from labthings.problem_details import ProblemDetails
from labthings.problem_reports import failed_attempt, problem_from

LOGGER = logging.getLogger("labthings.client")

Message = Mapping[str, Any]
"""What the server sends, as the Web Thing Protocol has it."""


class Topic(ABC):
    """A property that is observed, or an event that is subscribed to, by whoever has a mailbox.

    :param name: its name.
    :param label: the names of the Thing and of it.
    :param received: makes of a value in JSON, and the text that it is part of, what it is in Python.
    """

    operation: ClassVar[str]
    refusal: ClassVar[type[LabThingsError]]
    trying: ClassVar[str]
    mailbox_type: ClassVar[type[Mailbox]]

    def __init__(self, name: str, label: str, received: Callable[[Any, str], Any]) -> None:
        self.name, self.label, self._received = name, label, received
        self.attempt = f"{self.trying} {label}"
        self.mailboxes: list[Mailbox] = []
        self.is_open = False

    @property
    def opening(self) -> dict[str, Any]:
        """The request to be told of it."""
        return {"operation": self.operation, "name": self.name}

    @property
    def closing(self) -> dict[str, Any]:
        """The request not to be told of it any more."""
        return {"operation": f"un{self.operation}", "name": self.name}

    @property
    def live(self) -> str | None:
        """The property's name, if that is how answers say what they answer."""
        return None

    @property
    def reading(self) -> dict[str, Any] | None:
        """The request for what is to be told first, if there is any."""
        return None

    def opened(self, response: Message, text: str) -> None:
        """Take note of the answer to the first request."""
        self.is_open = "error" not in response

    def begin_to_read(self, mailboxes: list[Mailbox]) -> None:  # noqa: B027 - not all topics are read
        """Take note that some mailboxes are to get what is read."""

    def read(self, response: Message, text: str) -> None:  # noqa: B027
        """Give what was read to those who still wait for it."""

    @abstractmethod
    def notified(self, message: Message, text: str) -> None:
        """Give a notification to everybody."""

    def admit(self, mailbox: Mailbox) -> None:
        """Have everything put into a further mailbox."""
        self.mailboxes.append(mailbox)

    def connected(self, is_connected: bool, reason: str = "") -> None:
        """Tell everybody that the connection was lost, or is back.

        :param reason: why it was lost.
        """
        self.is_open = is_connected
        for each in self.mailboxes:
            each.connect(is_connected)

    def failure(self, reason: str) -> LabThingsError:
        """The error that it cannot be asked for."""
        return self.refusal(f"{self.attempt} failed: {reason}")

    def refused(self, error: Mapping[str, Any]) -> LabThingsError:
        """The error that a server refuses it."""
        return failed_attempt(self.refusal, self.attempt, problem_of(error))

    def fail(self, error: LabThingsError) -> None:
        """Tell everybody of an error."""
        for each in self.mailboxes:
            each.put(Failure(error))


class ObservedProperty(Topic):
    """A property that is observed.

    Its value is read too, as soon as the server has begun to tell of changes. If it tells of one before it answers,
    then the change is at least as new.

    :param is_readable: whether it can be read.
    """

    operation = "observeproperty"
    refusal = ClientPropertyError
    trying = "Observing"
    mailbox_type = LatestValue

    def __init__(self, name: str, label: str, received: Callable[[Any, str], Any], is_readable: bool) -> None:
        super().__init__(name, label, received)
        self._is_readable = is_readable
        self._without_value: list[Mailbox] = []

    @property
    def reading(self) -> dict[str, Any] | None:
        return {"operation": "readproperty", "name": self.name} if self._is_readable else None

    def begin_to_read(self, mailboxes: list[Mailbox]) -> None:
        self._without_value += [each for each in mailboxes if each not in self._without_value]

    def read(self, response: Message, text: str) -> None:
        self._give(self._without_value, response, text)

    def notified(self, message: Message, text: str) -> None:
        self._give(self.mailboxes, message, text)

    def refused(self, error: Mapping[str, Any]) -> LabThingsError:
        problem = problem_of(error)
        kind = UnobservableClientPropertyError if problem.status == 403 else self.refusal
        return failed_attempt(kind, self.attempt, problem)

    def _give(self, mailboxes: list[Mailbox], message: Message, text: str) -> None:
        item = self._item(message, text)
        for each in mailboxes:
            each.put(item)
        self._without_value.clear()

    def _item(self, message: Message, text: str) -> Value | Failure:
        if "error" in message:
            return Failure(failed_attempt(ClientPropertyError, f"Reading {self.label}", problem_of(message["error"])))
        return Value(self._received(message.get("value"), text))


class SubscribedEvent(Topic):
    """An event that is subscribed to. It knows what came last, so that the server can go on from there."""

    operation = "subscribeevent"
    refusal = FailedToSubscribeError
    trying = "Subscribing to"
    mailbox_type = Backlog

    _last_id: str | None = None
    _epoch: str | None = None

    @property
    def opening(self) -> dict[str, Any]:
        return super().opening | ({} if self._last_id is None else {"lastEventID": self._last_id})

    def opened(self, response: Message, text: str) -> None:
        super().opened(response, text)
        epoch = response.get("epoch")
        if self.is_open and epoch != self._epoch:
            self._epoch, self._last_id = epoch, response.get("eventID")

    def notified(self, message: Message, text: str) -> None:
        if "messagesLost" in message:
            self._lose(message["messagesLost"])
            return
        self._last_id = message.get("eventID", self._last_id)
        item = Value(self._received(message.get("data"), text))
        for each in self.mailboxes:
            each.put(item)

    def _lose(self, count: int | None) -> None:
        known = "Some events may have been lost, since the server was restarted" if count is None else f"{count} lost"
        LOGGER.warning("%s: %s.", self.label, known)
        for each in self.mailboxes:
            each.lost += count or 0


def problem_of(error: Mapping[str, Any]) -> ProblemDetails:
    """The problem that a server describes. Its status is text."""
    status = str(error.get("status", ""))
    return problem_from({**error, "status": int(status)} if status.isdigit() else error, 500)
