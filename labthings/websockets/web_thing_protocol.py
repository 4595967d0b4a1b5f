"""The messages of the Web Thing Protocol that a server sends."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from labthings.messages import Message, MessagesLost
from labthings.url_for import placeholder_url
from labthings.websockets.labthings_dialect import without_json_form
from labthings.websockets.problems import problem_members, worded
from labthings.websockets.subscriptions import Dialect
from labthings.websockets.texts import to_text

SUBPROTOCOL = "webthingprotocol"
DIALECT: Dialect = "Web Thing Protocol"
OPERATIONS = {"property": "observeproperty", "action": "invokeaction", "event": "subscribeevent"}
STATES = {"error": "failed"}


def response(head: Mapping[str, Any], members: str = "") -> str:
    """What answers a request.

    :param head: what it has in common with the request.
    :param members: what else there is to tell, as JSON without braces.
    """
    text = to_text({"messageID": str(uuid.uuid4()), "messageType": "response", **head})
    return f"{text[:-1]},{members}}}" if members else text


def refusal(head: Mapping[str, Any], error: BaseException, debug: bool) -> str:
    """What answers a request that cannot be met.

    :param head: what it has in common with the request.
    :param debug: whether to tell where the error was raised.
    """
    return response(head, f'"error":{to_text(problem_members(error, debug))}')


def tail(thing_id: str, correlation_id: str | None) -> str:
    """The end of a notification, which is each subscriber's own."""
    own = {"thingID": thing_id, "correlationID": correlation_id}
    return "," + to_text({key: value for key, value in own.items() if value is not None})[1:]


def notification(message: Message) -> str:
    """The beginning of a notification, which all subscribers share."""
    timestamp = datetime.fromtimestamp(message.time, timezone.utc).isoformat()
    return (
        f'{{"messageID":"{uuid.uuid4()}","messageType":"notification","operation":"{OPERATIONS[message.message_type]}",'
        f'"name":{to_text(message.affordance)},{_told(message)},"timestamp":"{timestamp}"'
    )


def _told(message: Message) -> str:
    if message.error is not None:
        return f'"error":{to_text(problem_members(message.error))}'
    if message.message_type == "action":
        return f'"actionID":{to_text(message.payload.get("id"))},"status":{action_status(message.payload)}'
    try:
        value = message.payload_json().decode()
    except Exception as error:  # noqa: BLE001 - the value is the Thing's own
        return f'"error":{to_text(problem_members(RuntimeError(without_json_form(message, error))))}'
    return f'"{"data" if message.message_type == "event" else "value"}":{value}'


def action_status(told: Mapping[str, Any], *, with_output: bool = True) -> str:
    """The state of an invocation.

    :param told: what observers of the action are told of it.
    """
    id, state = told.get("id"), told["status"]
    members = {"actionID": id, "state": STATES.get(state, state), "href": placeholder_url(f"action_invocations/{id}")}
    members |= {key: told[key] for key in ("progress", "timeRequested", "timeStarted") if key in told}
    if "timeCompleted" in told:
        members["timeEnded"] = told["timeCompleted"]
    if "error" in told:
        members["error"] = worded(told["error"])
    text = to_text(members)
    output = getattr(told, "output", None) if with_output else None
    if output is None or output.holds_arrays:
        return text
    return f'{text[:-1]},"output":{output.json.decode()}}}'


def loss(lost: MessagesLost) -> str:
    """What tells a client that it was too slow for its subscriptions."""
    return f"{loss_of_events(None, lost.count)}}}"


def loss_of_events(event: str | None, count: int | None) -> str:
    """The beginning of what tells a client that there were events of which it is not told.

    :param event: none for all of the Thing's.
    :param count: how many; none if that is not known, because the server has been started again.
    """
    told = {"operation": "subscribeallevents"} if event is None else {"operation": "subscribeevent", "name": event}
    common = {"messageID": str(uuid.uuid4()), "messageType": "notification"}
    return to_text({**common, **told, "messagesLost": count})[:-1]
