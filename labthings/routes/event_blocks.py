"""What happens, as the blocks of a stream of server-sent events."""

from __future__ import annotations

import pydantic_core

from labthings.messages import Message
from labthings.problem_details import problem_details
from labthings.routes.positions import position_of, unknown

COMMENT = ":\n\n"
RETRY_MILLISECONDS = 1000  # after which a browser connects again; by default some wait for five seconds
LOST, PROBLEM = "messagesLost", "problem"


class Blocks:
    """Makes blocks of messages. Whoever does that for several clients uses one of these, so that each is made once.

    :param epoch: the server's.
    :param debug: whether clients are told where errors were raised.
    """

    def __init__(self, epoch: str, debug: bool) -> None:
        self._epoch, self._debug = epoch, debug

    def of_property(self, message: Message) -> bytes:
        """A property's value, or why it could not be read."""
        if message.error is not None:
            return self.of_problem(message.affordance, message.error)
        try:
            return self.of_value(message.affordance, message.payload_json())
        except Exception as error:  # noqa: BLE001 - the value is the Thing's own, and the client is told
            return self.of_problem(message.affordance, error)

    def of_value(self, name: str, document: bytes) -> bytes:
        """A property's value.

        :param document: the value, as JSON.
        """
        return self._block(name, 0, document)

    def of_problem(self, name: str, error: Exception) -> bytes:
        """Why a property could not be read."""
        problem = {"name": name, "error": problem_details(error, self._debug).as_dict()}
        return self._block(PROBLEM, 0, pydantic_core.to_json(problem, serialize_unknown=True))

    def of_event(self, message: Message) -> bytes:
        """An event, among others like it."""
        return self._block(message.affordance, message.number, message.payload_json())

    def of_thing_event(self, message: Message) -> bytes:
        """An event, among all those of its Thing."""
        return self._block(message.affordance, message.thing_number, message.payload_json())

    def of_position(self, number: int) -> bytes:
        """Where the client is, and how soon to come back. An ``EventSource`` takes note of it without a word."""
        return b"retry: %d\nid: %b\n\n" % (RETRY_MILLISECONDS, position_of(self._epoch, number).encode())

    def _block(self, event: str, number: int, data: bytes) -> bytes:
        head = f"event: {event}\nid: {position_of(self._epoch, number)}\ndata: "
        return b"%b%b\n\n" % (head.encode(), data)


def lost_block(count: int) -> bytes:
    """How many messages a client has not been sent, which it should have been."""
    return b'event: %b\ndata: {"count":%d}\n\n' % (LOST.encode(), count)


def unknown_block(position: str) -> bytes:
    """That it is not known what a client has not been sent.

    :param position: from where it wanted to go on.
    """
    data = pydantic_core.to_json({"count": None, "reason": unknown(position)})
    return b"event: %b\ndata: %b\n\n" % (LOST.encode(), data)
