"""The forms of a Thing Description: which requests carry out which operations.

node-wot takes the first form that it has a client for, and its WebSocket client hangs, so WebSocket forms come last.
Its client of server-sent events passes over those that have a name, so long-polling comes before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

from labthings.thing_description.described import (
    ANYTHING,
    DescribedAction,
    DescribedEvent,
    DescribedProperty,
    DescribedThing,
    known,
)
from labthings.types.markers import kind_of
from labthings.types.media_types import FORMS, JSON

Form: TypeAlias = dict[str, Any]

PROBLEM = "application/problem+json"
LONG_POLL, SERVER_SENT_EVENTS, WEB_THING_PROTOCOL = "longpoll", "sse", "webthingprotocol"
WAIT_SECONDS = 60
"""How long the form that waits for an action's result asks the server to hold its answer."""

_STARTED = {"success": True, "contentType": JSON, "schema": "ActionStatus"}
_FAILURE = {"success": False, "contentType": PROBLEM, "schema": "ProblemDetails"}


def absolute_url(base: str, path: str) -> str:
    """Join the server's URL and the ``path`` of one of its resources, which starts in a slash."""
    return base.rstrip("/") + quote(path)


@dataclass(frozen=True)
class ThingUrls:
    """Where a Thing's affordances are.

    :param base: the server's URL.
    :param path: the Thing's, starting and ending in a slash.
    """

    base: str
    path: str

    def of(self, name: str) -> str:
        return absolute_url(self.base, self.path + name)

    @property
    def websocket(self) -> str:
        return "ws" + self.of("ws").removeprefix("http")

    @property
    def invocation(self) -> str:
        return absolute_url(self.base, f"{self._prefix}/action_invocations/") + "{id}"

    @property
    def blobs(self) -> str:
        return absolute_url(self.base, f"{self._prefix}/blob/")

    @property
    def _prefix(self) -> str:
        return self.path.rstrip("/").rpartition("/")[0]


def property_forms(info: DescribedProperty, urls: ThingUrls) -> list[Form]:
    """How to read, write and observe a property."""
    access = ["readproperty"] if info.readonly else ["readproperty", "writeproperty"]
    observe = ["observeproperty", "unobserveproperty"] if info.is_observable else []
    json = {**_form(urls.of(info.name), *access), "additionalResponses": [_FAILURE]}
    return [
        json,
        *({**json, "contentType": each} for each in FORMS[kind_of(known(lambda: info.adapter, ANYTHING))]),
        *(_streaming_forms(info.name, urls, *observe) if observe else ()),
        _websocket_form(urls, *access, *observe),
    ]


def event_forms(info: DescribedEvent, urls: ThingUrls) -> list[Form]:
    """How to subscribe to an event."""
    return _streaming_forms(info.name, urls, "subscribeevent", "unsubscribeevent")


def action_forms(info: DescribedAction, urls: ThingUrls) -> list[Form]:
    """How to invoke an action, and see what becomes of that."""
    invoke = _form(urls.of(info.name), "invokeaction")
    wait = {"htv:fieldName": "Prefer", "htv:fieldValue": f"wait={WAIT_SECONDS}"}
    return [
        {**invoke, "additionalResponses": [_STARTED, _FAILURE]},
        {**invoke, "htv:headers": [wait]},
        {**_form(urls.invocation, "queryaction"), "htv:methodName": "GET"},
        *_output_forms(info, urls),
        {**_form(urls.invocation, "cancelaction"), "htv:methodName": "DELETE"},
        _websocket_form(urls, "invokeaction", "queryaction", "cancelaction"),
    ]


def thing_forms(thing: DescribedThing, urls: ThingUrls) -> list[Form]:
    """How to have to do with several affordances at once, as far as the Thing has them."""
    properties = thing.properties.values()
    write = ["writemultipleproperties"] if not all(info.readonly for info in properties) else []
    observe = ["observeallproperties", "unobserveallproperties"] if any(i.is_observable for i in properties) else []
    subscribe = ["subscribeallevents", "unsubscribeallevents"] if thing.events else []
    query = ["queryallactions"] if thing.actions else []
    read, read_some = (["readallproperties"], ["readmultipleproperties"]) if properties else ([], [])
    return [
        form
        for form in (
            _form(urls.of("properties"), *read, *write),
            _sse_form(urls.of("properties"), *observe),
            _sse_form(urls.of("events"), *subscribe),
            _form(urls.of("actions"), *query),
            _websocket_form(urls, *read, *read_some, *write, *observe, *query, *subscribe),
        )
        if form["op"]
    ]


def _output_forms(info: DescribedAction, urls: ThingUrls) -> list[Form]:
    """Where an output with arrays is, in its binary forms: a client knows by them that it need not read JSON."""
    output = known(lambda: info.output_adapter, ANYTHING)
    kind = "json" if output is None else kind_of(output)
    form = {**_form(f"{urls.invocation}/output", "queryaction"), "htv:methodName": "GET"}
    return [{**form, "contentType": each} for each in FORMS[kind] if kind != "bytes"]


def _streaming_forms(name: str, urls: ThingUrls, *operations: str) -> list[Form]:
    long_poll = {**_form(urls.of(f"{name}/observe"), *operations), "subprotocol": LONG_POLL}
    return [long_poll, _sse_form(urls.of(name), *operations)]


def _sse_form(href: str, *operations: str) -> Form:
    return {**_form(href, *operations), "subprotocol": SERVER_SENT_EVENTS}


def _websocket_form(urls: ThingUrls, *operations: str) -> Form:
    return {**_form(urls.websocket, *operations), "subprotocol": WEB_THING_PROTOCOL}


def _form(href: str, *operations: str) -> Form:
    return {"href": href, "op": list(operations), "contentType": JSON}
