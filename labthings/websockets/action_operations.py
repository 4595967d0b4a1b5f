"""Operations on actions in the Web Thing Protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from labthings.actions import ActionManager, Invocation
from labthings.exceptions import NotFoundError
from labthings.messages import Message
from labthings.websockets.answers import Methods, Texts, answer
from labthings.websockets.requests import Request
from labthings.websockets.subscriptions import Subscriptions
from labthings.websockets.texts import to_text
from labthings.websockets.web_thing_protocol import DIALECT, action_status, notification, tail

MANY = 100
MOST_FOLLOWED = 1000  # of one action, before it is looked whether they are still known


class ActionOperations:
    """Invokes actions for one client, and tells it what becomes of them.

    :param subscriptions: the client's.
    :param manager: runs actions.
    """

    def __init__(self, subscriptions: Subscriptions, manager: ActionManager) -> None:
        self._subscriptions, self._manager = subscriptions, manager
        self.methods: Methods = {
            "invokeaction": self._invoke,
            "queryaction": self._query,
            "cancelaction": self._cancel,
            "queryallactions": self._query_all,
        }

    async def _invoke(self, request: Request) -> Texts:
        info, served = request.find_action(), request.thing.served
        arguments = info.validate_json(request.document("input"))
        followed = self._followed(served.name, info.name)  # before it begins, so that no state is missed
        try:
            invocation = self._manager.invoke(info, arguments, served.workers)
            followed.add(invocation.id, tail(request.thing_id, request.correlation_id))
        finally:
            followed.end_if_idle()
        pending = {"id": invocation.id, "status": "pending", "timeRequested": invocation.time_requested}
        return _told_of(request, invocation, action_status(pending))

    async def _query(self, request: Request) -> Texts:
        invocation = self._invocation(request)
        return _told_of(request, invocation, action_status(invocation.told))

    async def _cancel(self, request: Request) -> Texts:
        invocation = self._invocation(request)
        self._manager.cancel(invocation.id)
        return _told_of(request, invocation, action_status(invocation.told))

    async def _query_all(self, request: Request) -> Texts:
        served = request.thing.served
        its = [each for each in self._manager.invocations if each.info.thing.name == served.name]
        statuses = await asyncio.to_thread(_listed, its) if len(its) > MANY else _listed(its)
        return answer(request, f'"statuses":{statuses}')

    def _invocation(self, request: Request) -> Invocation:
        """
        :raises NotFoundError: if there is none with this id, or it is of another Thing or action.
        """
        invocation = self._manager.get(request.members["actionID"])
        thing, action = request.thing.served.name, request.members.get("name")
        if invocation.info.thing.name != thing or action not in (None, invocation.info.name):
            raise NotFoundError(
                f"The invocation '{invocation.id}' is of '{invocation.info}', not of what the request names."
            )
        return invocation

    def _followed(self, thing: str, action: str) -> Followed:
        followed = self._subscriptions.get(thing, action, DIALECT)
        if not isinstance(followed, Followed):
            followed = Followed(self._manager, lambda: self._subscriptions.remove(thing, action, DIALECT))
            self._subscriptions.add(thing, action, DIALECT, followed)
        return followed


class Followed:
    """The invocations of an action that one client has asked for: it is told of these and no others.

    :param manager: knows which invocations there are.
    :param end: is called when there is none left.
    """

    def __init__(self, manager: ActionManager, end: Callable[[], None]) -> None:
        self._manager, self._end = manager, end
        self._tails: dict[str, str] = {}

    def __call__(self, message: Message) -> Sequence[str]:
        id, status = message.payload.get("id"), message.payload["status"]
        if id not in self._tails or status == "pending":  # which the response has told
            return ()
        text = message.encoded(notification) + self._tails[id]
        if status != "running":
            del self._tails[id]
            asyncio.get_running_loop().call_soon(self.end_if_idle)  # but not while the message is being delivered
        return (text,)

    def add(self, id: str, tail: str) -> None:
        """Tell the client of an invocation.

        :param tail: the end of its notifications.
        """
        if len(self._tails) >= MOST_FOLLOWED:  # a client that is too slow may never be told how one has ended
            known = {each.id for each in self._manager.invocations}
            self._tails = {each: tail for each, tail in self._tails.items() if each in known}
        self._tails[id] = tail

    def end_if_idle(self) -> None:
        """Have it be told of nothing any more, if there is nothing to tell."""
        if not self._tails:
            self._end()


def _told_of(request: Request, invocation: Invocation, status: str) -> Texts:
    name = to_text(invocation.info.name)
    named = "" if "name" in request.members else f'"name":{name},'
    return answer(request, f'{named}"actionID":"{invocation.id}","status":{status}')


def _listed(invocations: Iterable[Invocation]) -> str:
    """The states of invocations by the names of their actions."""
    statuses: dict[str, list[str]] = {}
    for each in invocations:
        statuses.setdefault(each.info.name, []).append(action_status(each.told, with_output=False))
    return "{" + ",".join(f"{to_text(name)}:[{','.join(each)}]" for name, each in statuses.items()) + "}"
