"""Describe affordances to FastAPI, for its OpenAPI document. What is described here is served by the table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import Body, FastAPI, Header, Response
from pydantic import AnyUrl, BaseModel, Field

from labthings.actions import ActionInfo, InvocationStatus
from labthings.events import Event
from labthings.outputs.mjpeg_stream import MJPEGStreamInfo
from labthings.properties import PropertyInfo
from labthings.routes.served_thing import ServedThing, ServedThings
from labthings.thing_description.described import ANYTHING, known
from labthings.types.media_types import FORMS, JSON_PATCH


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None


class LinkDocument(BaseModel):
    """A link from an invocation."""

    rel: str
    href: AnyUrl


class LogDocument(BaseModel):
    """Something that an action logged."""

    message: str
    levelname: str
    levelno: int
    lineno: int
    filename: str
    created: datetime
    exception_type: str | None = None
    traceback: str | None = None


class ProgressDocument(BaseModel):
    """How far an action has come."""

    fraction: Annotated[float, Field(ge=0, le=1)]
    message: str | None = None


class BlobDocument(BaseModel):
    """A link to a blob."""

    href: AnyUrl
    media_type: str
    rel: str
    size: int


class InvocationSummary(BaseModel):
    """An invocation, as lists show it."""

    status: InvocationStatus
    id: str
    action: str
    href: AnyUrl
    timeRequested: datetime
    timeStarted: datetime | None
    timeCompleted: datetime | None
    links: list[LinkDocument]
    progress: ProgressDocument | None = None


class InvocationDocument(InvocationSummary):
    """One run of an action."""

    log: list[LogDocument]
    error: ProblemDocument | None = None
    input: Any
    output: Any


Range = Annotated[str | None, Header(examples=["bytes=0-999"])]
Wait = Annotated[str | None, Header(alias="Prefer", examples=["wait=60"])]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", examples=["1f3a90c2-41"])]
KnownPosition = Annotated[str | None, Header(alias="If-None-Match", examples=['"1f3a90c2-41"'])]
KnownVersion = Annotated[str | None, Header(alias="If-None-Match", examples=['"9f3c61d0a2b84e75-7"'])]
WantedVersion = Annotated[str | None, Header(alias="If-Match", examples=['"9f3c61d0a2b84e75-7"'])]
OPTIONAL_HEADERS = (Range, Wait, LastEventId, KnownPosition, KnownVersion, WantedVersion)
OCTETS_SCHEMA = {"type": "string", "format": "binary"}
OPERATION_SCHEMA = {
    "type": "object",
    "required": ["op"],
    "properties": {
        "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
        "path": {"type": "string", "format": "json-pointer"},
        "from": {"type": "string", "format": "json-pointer"},
        "value": {},
    },
}
PATCH_SCHEMA = {"type": "array", "items": OPERATION_SCHEMA}
PATCH_BODY = {"requestBody": {"required": True, "content": {JSON_PATCH: {"schema": PATCH_SCHEMA}}}}
SERVER_SENT_EVENTS = {"text/event-stream": {"schema": {"type": "string"}}}
PROBLEM = {"model": ProblemDocument, "content": {"application/problem+json": {}}}
VERSION = {"headers": {"ETag": {"description": "The version", "schema": {"type": "string"}}}}
READ_AT_VERSION: dict[int, Any] = {200: VERSION, 304: {"description": "The client has this version", **VERSION}}
CHANGED_AT_VERSION: dict[int, Any] = {204: VERSION, 412: {**PROBLEM, "description": "There is another version"}}
PATCHED: dict[int, Any] = {
    **CHANGED_AT_VERSION,
    409: {**PROBLEM, "description": "An operation, or a test, does not fit"},
    422: {**PROBLEM, "description": "What would come of it is not valid"},
}


def documented(server: ServedThings) -> FastAPI:
    """An application with a route for everything that the table serves."""
    app = FastAPI()
    for served in server.served_things.values():
        for info in served.properties.values():
            _add_property(app, served, info)
        for action in served.actions.values():
            _add_action(app, served, action)
        for event in served.events.values():
            _add_event(app, served, event)
        for stream in served.streams.values():
            _add_stream(app, served, stream)
        _add_thing(app, served)
    _add_invocations(app, server.api_prefix)
    _add_blobs(app, server.api_prefix)
    _add_directory(app, server.api_prefix)
    return app


def _add_property(app: FastAPI, served: ServedThing, info: PropertyInfo) -> None:
    kind = _type_of(lambda: info.adapter, lambda: info.descriptor.constrained_type)
    add = _Adder(app, served.path + info.name, served.name, info.name, info.title, info.description)
    octets = {media_type: {"schema": OCTETS_SCHEMA} for media_type in FORMS[info.kind]}
    content = {**octets, **(SERVER_SENT_EVENTS if info.is_observable else {})}
    read = READ_AT_VERSION if info.is_live else {}
    changed = CHANGED_AT_VERSION if info.is_live else {}
    responses: dict[int, Any] = {**read, 200: {**read.get(200, {}), "content": content}} if content else read
    seen: dict[str, Any] = {"if_none_match": KnownVersion} if info.is_live else {}
    wanted: dict[str, Any] = {"if_match": WantedVersion} if info.is_live else {}
    position = {"last_event_id": LastEventId} if info.is_observable else {}
    add("GET", _function(returns=kind, **position, **seen), "read", responses, response_description=info.title)
    if not info.readonly:
        body = {"requestBody": {"content": octets}} if octets else {}
        function = _function(value=Annotated[kind, Body()], **wanted)
        add("PUT", function, "write", changed, status_code=204, openapi_extra=body)
    if info.is_live and not info.readonly:
        add("PATCH", _function(**wanted), "patch", PATCHED, status_code=204, openapi_extra=PATCH_BODY)
    if info.is_resettable:
        path = f"{served.path}{info.name}/reset"
        _Adder(app, path, served.name, info.name, f"Reset {info.name}", None)(
            "POST", _function(**wanted), "reset", changed, status_code=204
        )
    if info.is_observable:
        _add_long_poll(app, served, info, kind, "change")


def _type_of(adapter: Callable[[], Any], annotated: Callable[[], Any]) -> Any:
    """The annotated type; any, if nothing can be made of it that validates values."""
    return Any if known(adapter, ANYTHING) is ANYTHING else annotated()


def _add_action(app: FastAPI, served: ServedThing, info: ActionInfo) -> None:
    add = _Adder(app, served.path + info.name, served.name, info.name, info.title, info.description)
    arguments: dict[str, Any] = {"prefer": Wait}
    kind = _type_of(lambda: info.input_adapter, lambda: info.descriptor.input_type)
    if kind is not None:
        arguments["arguments"] = Annotated[kind, Body()]
    add("POST", _function(returns=InvocationDocument, **arguments), "invoke", status_code=201)
    runs = _Adder(app, served.path + info.name, served.name, info.name, f"Invocations of {info.name}", None)
    runs("GET", _function(returns=list[InvocationSummary]), "list")


def _add_event(app: FastAPI, served: ServedThing, info: Event[Any]) -> None:
    add = _Adder(app, served.path + info.name, served.name, info.name, info.title, info.description)
    answer = {"description": info.title, "content": SERVER_SENT_EVENTS}
    function = _function(last_event_id=LastEventId)
    add("GET", function, "subscribe", responses={200: answer}, response_class=Response)
    _add_long_poll(app, served, info, _type_of(lambda: info.adapter, lambda: info.value_type), "event")


def _add_long_poll(
    app: FastAPI, served: ServedThing, info: PropertyInfo | Event[Any], returns: Any, awaited: str
) -> None:
    words = f"Wait for the next {awaited}: {info.title}"
    add = _Adder(app, f"{served.path}{info.name}/observe", served.name, info.name, words, info.description)
    nothing = {204: {"description": f"There was no {awaited} in the time that the client wanted to wait"}}
    function = _function(returns=returns, wait=float | None, if_none_match=KnownPosition)
    add("GET", function, "observe", responses=nothing)


def _add_stream(app: FastAPI, served: ServedThing, info: MJPEGStreamInfo) -> None:
    path, name = served.path + info.name, info.name
    described = {
        path: (name, info.title, "multipart/x-mixed-replace", "JPEG frames, for as long as the client wants them"),
        f"{path}/viewer": (f"{name}.viewer", "A page to watch this stream on", "text/html", "The page"),
    }
    for each, (id, title, media_type, words) in described.items():
        answer = {"description": words, "content": {media_type: {"schema": OCTETS_SCHEMA}}}
        add = _Adder(app, each, served.name, id, title, info.description)
        add("GET", _function(), "watch", responses={200: answer}, response_class=Response)


def _add_thing(app: FastAPI, served: ServedThing) -> None:
    everything = dict[str, Any]
    _Adder(app, served.path, served.name, "thing", served.title, served.description)(
        "GET", _function(returns=everything), "describe"
    )
    properties = _Adder(app, f"{served.path}properties", served.name, "properties", "All properties", None)
    is_observable = any(info.is_observable for info in served.properties.values())
    streamed = {200: {"content": SERVER_SENT_EVENTS}} if is_observable else {}
    properties("GET", _function(returns=everything), "read_all", responses=streamed)
    properties("PUT", _function(values=Annotated[everything, Body()]), "write_several", status_code=204)
    actions = _Adder(app, f"{served.path}actions", served.name, "actions", "All invocations of this Thing", None)
    actions("GET", _function(returns=list[InvocationSummary]), "list_all")
    if served.events:
        events = _Adder(app, f"{served.path}events", served.name, "events", "All events of this Thing", None)
        answer = {"description": "The events", "content": SERVER_SENT_EVENTS}
        function = _function(last_event_id=LastEventId)
        events("GET", function, "subscribe_all", responses={200: answer}, response_class=Response)


def _add_invocations(app: FastAPI, prefix: str) -> None:
    path = f"{prefix}/action_invocations"
    filters = dict.fromkeys(("thing", "action", "status"), str | None) | {"offset": int | None, "limit": int | None}
    _Adder(app, path, "invocations", "invocations", "All invocations", None)(
        "GET", _function(returns=list[InvocationSummary], **filters), "list_all"
    )
    one = _Adder(app, f"{path}/{{id}}", "invocations", "invocation", "An invocation", None)
    one("GET", _function(returns=InvocationDocument, id=str, wait=float | None), "show")
    one("DELETE", _function(id=str), "cancel", status_code=204)
    output = _Adder(app, f"{path}/{{id}}/output", "invocations", "output", "What an action returned", None)
    output("GET", _function(returns=Any, id=str, wait=float | None), "show")


def _add_blobs(app: FastAPI, prefix: str) -> None:
    octets = {"description": "The bytes", "content": {"*/*": {"schema": OCTETS_SCHEMA}}}
    one = _Adder(app, f"{prefix}/blob/{{id}}", "blobs", "blob", "The bytes of a blob, or a part of them", None)
    partial = {206: {**octets, "description": "A part of the bytes"}}
    one("GET", _function(id=str, range=Range), "download", responses={200: octets, **partial}, response_class=Response)
    several = _Adder(app, f"{prefix}/blob/", "blobs", "blobs", "Upload bytes, to use them as an action's input", None)
    body = {"requestBody": {"required": True, "content": octets["content"]}}
    several("POST", _function(returns=BlobDocument), "upload", status_code=201, openapi_extra=body)


def _add_directory(app: FastAPI, prefix: str) -> None:
    described = {
        f"{prefix}/things/": ("things", "The URLs of all Things", dict[str, str]),
        f"{prefix}/things": ("directory", "All Thing Descriptions, sorted by id", list[dict[str, Any]]),
        f"{prefix}/thing_descriptions/": ("descriptions", "All Thing Descriptions, by name", dict[str, Any]),
        "/.well-known/wot": ("well_known", "The directory's own Thing Description", dict[str, Any]),
        "/health": ("health", "Whether each Thing is running", dict[str, Any]),
    }
    for path, (name, title, kind) in described.items():
        _Adder(app, path, "server", name, title, None)("GET", _function(returns=kind), "show")
    _Adder(app, f"{prefix}/things/{{id}}", "server", "directory", "One Thing Description", None)(
        "GET", _function(returns=dict[str, Any], id=str), "show_one"
    )
    module = _Adder(app, f"{prefix}/labthings.js", "server", "javascript", "The module that follows live state", None)
    answer = {"description": "A JavaScript module", "content": {"text/javascript": {"schema": {"type": "string"}}}}
    module("GET", _function(), "show", responses={200: answer}, response_class=Response)


class _Adder:
    def __init__(self, app: FastAPI, path: str, tag: str, name: str, title: str, description: str | None) -> None:
        self._app, self._path, self._tag, self._name = app, path, tag, name
        self._words: dict[str, Any] = {"summary": title, "description": description or ""}

    def __call__(
        self, method: str, function: Callable[..., Any], verb: str, responses: Any = None, **options: Any
    ) -> None:
        self._app.add_api_route(
            self._path,
            function,
            methods=[method],
            tags=[self._tag],
            operation_id=f"{verb}.{self._tag}.{self._name}",
            responses={**(responses or {}), "4XX": PROBLEM, "5XX": PROBLEM},
            **self._words,
            **options,
        )


def _function(returns: Any = None, **parameters: Any) -> Callable[..., Any]:
    """A function that exists for its signature only."""

    def described(**arguments: Any) -> Any:
        raise AssertionError("This function documents a route that the table serves.")

    described.__signature__ = inspect.Signature(list(_parameters(parameters)), return_annotation=returns)  # type: ignore[attr-defined]
    return described


def _parameters(annotations: dict[str, Any]) -> Iterator[inspect.Parameter]:
    for name, annotation in annotations.items():
        optional = annotation in OPTIONAL_HEADERS or type(None) in getattr(annotation, "__args__", ())
        default = None if optional else inspect.Parameter.empty
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
