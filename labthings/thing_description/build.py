"""Thing Descriptions, built from what a Thing says of its affordances."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from pydantic import TypeAdapter

from labthings.thing_description.alternatives import DataSchema
from labthings.thing_description.data_schema import action_input_schema, data_schema, is_json
from labthings.types.markers import kind_of
from labthings.types.media_types import FORMS

logger = logging.getLogger(__name__)

JSON = "application/json"
BLOBS_RELATION = "urn:labthings:rel:blobs"
"""The relation of a Thing to where clients upload blobs, to use them as inputs of its actions."""
PROBLEM = "application/problem+json"

CONTEXT: tuple[Any, ...] = (
    "https://www.w3.org/2019/wot/td/v1",  # node-wot on npm refuses a Thing Description without it
    "https://www.w3.org/2022/wot/td/v1.1",
    {"@language": "en"},
)
SECURITY = {"securityDefinitions": {"nosec_sc": {"scheme": "nosec"}}, "security": ["nosec_sc"]}
LONGEST_DEFAULT = 100  # elements of an array that are worth describing
WAIT_SECONDS = 60
"""How long the form that waits for an action's result asks the server to hold its answer."""


class DescribedAffordance(Protocol):
    """What properties and actions say of themselves."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str | None: ...
    @property
    def description(self) -> str | None: ...


class DescribedProperty(DescribedAffordance, Protocol):
    """What a Thing Description tells of a property."""

    @property
    def adapter(self) -> TypeAdapter[Any]: ...
    @property
    def readonly(self) -> bool: ...
    @property
    def is_observable(self) -> bool: ...
    @property
    def has_default(self) -> bool: ...
    @property
    def default(self) -> Any: ...
    @property
    def unit(self) -> str | None: ...


class DescribedAction(DescribedAffordance, Protocol):
    """What a Thing Description tells of an action."""

    @property
    def input_adapter(self) -> TypeAdapter[Any] | None: ...
    @property
    def output_adapter(self) -> TypeAdapter[Any] | None: ...
    @property
    def safe(self) -> bool: ...
    @property
    def idempotent(self) -> bool: ...


class DescribedStream(DescribedAffordance, Protocol):
    """What a Thing Description tells of a stream of pictures."""


class DescribedThing(DescribedAffordance, Protocol):
    """What a Thing Description tells of a Thing; ``path`` starts and ends in a slash."""

    @property
    def path(self) -> str: ...
    @property
    def properties(self) -> Mapping[str, DescribedProperty]: ...
    @property
    def actions(self) -> Mapping[str, DescribedAction]: ...
    @property
    def streams(self) -> Mapping[str, DescribedStream]: ...


def build_thing_description(thing: DescribedThing, base: str, identity: uuid.UUID) -> dict[str, Any]:
    """Describe ``thing`` as a W3C Thing Description 1.1.

    :param base: the server's URL as the client sees it, root path included, ending in a slash.
    :param identity: the server's; the Thing's ``id`` is made from it and the Thing's name.
    """
    urls = _Urls(base, thing.path)
    return {
        "@context": list(CONTEXT),
        "id": uuid.uuid5(identity, thing.name).urn,
        "title": thing.name,
        **_words(thing),
        "base": base,
        **SECURITY,
        "links": [
            {"rel": "collection", "type": "application/td+json", "href": absolute_url(base, "/.well-known/wot")},
            {"rel": "service-doc", "type": "text/html", "href": absolute_url(base, "/docs")},
            {"rel": BLOBS_RELATION, "type": "*/*", "href": urls.blobs},
            *(link for info in thing.streams.values() for link in _stream_links(info, urls)),
        ],
        "schemaDefinitions": {"ActionStatus": _ACTION_STATUS, "ProblemDetails": _PROBLEM_DETAILS},
        "properties": {name: _property(info, urls) for name, info in thing.properties.items()},
        "actions": {name: _action(info, urls) for name, info in thing.actions.items()},
        **_thing_forms(thing, urls),
    }


def absolute_url(base: str, path: str) -> str:
    """Join the server's URL and the ``path`` of one of its resources, which starts in a slash."""
    return base.rstrip("/") + quote(path)


@dataclass(frozen=True)
class _Urls:
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


def _words(described: DescribedAffordance) -> dict[str, str]:
    words = {"title": described.title, "description": described.description}
    return {key: text for key, text in words.items() if text}


def _property(info: DescribedProperty, urls: _Urls) -> dict[str, Any]:
    return {
        **data_schema(info.adapter, "serialization" if info.readonly else "validation"),
        **_default(info),
        **({"unit": info.unit} if info.unit else {}),
        **_words(info),
        "readOnly": info.readonly,
        "observable": info.is_observable,
        "forms": _property_forms(info, urls),
    }


def _default(info: DescribedProperty) -> dict[str, Any]:
    if not info.has_default:
        return {}
    try:
        value = info.default
        if isinstance(value, bytes) or getattr(value, "size", 0) > LONGEST_DEFAULT:
            return {}
        default = info.adapter.dump_python(value, mode="json", by_alias=True, warnings=False)
    except Exception:  # default factories and serialisers are the user's code
        logger.warning("The default of the property %r cannot be described.", info.name, exc_info=True)
        return {}
    return {"default": default} if is_json(default) else {}


def _property_forms(info: DescribedProperty, urls: _Urls) -> list[dict[str, Any]]:
    operations = ["readproperty"] if info.readonly else ["readproperty", "writeproperty"]
    json = {**_form(urls.of(info.name), *operations), "additionalResponses": [_FAILURE]}
    http = [json, *({**json, "contentType": each} for each in FORMS[kind_of(info.adapter)])]
    # last, because node-wot takes the first form that it has a client for, and its WebSocket client hangs
    websocket = _websocket_form(urls, "observeproperty", "unobserveproperty")
    return [*http, websocket] if info.is_observable else http


def _action(info: DescribedAction, urls: _Urls) -> dict[str, Any]:
    return {
        "synchronous": False,
        **({"input": action_input_schema(info.input_adapter)} if info.input_adapter else {}),
        **({"output": data_schema(info.output_adapter, "serialization")} if info.output_adapter else {}),
        **_words(info),
        "safe": info.safe,
        "idempotent": info.idempotent,
        "forms": _action_forms(info, urls),
        "uriVariables": {"id": {"type": "string", "format": "uuid"}},
    }


def _action_forms(info: DescribedAction, urls: _Urls) -> list[dict[str, Any]]:
    invoke = _form(urls.of(info.name), "invokeaction")
    wait = {"htv:fieldName": "Prefer", "htv:fieldValue": f"wait={WAIT_SECONDS}"}
    return [
        {**invoke, "additionalResponses": [_STARTED, _FAILURE]},
        {**invoke, "htv:headers": [wait]},
        {**_form(urls.invocation, "queryaction"), "htv:methodName": "GET"},
        *_output_forms(info, urls),
        {**_form(urls.invocation, "cancelaction"), "htv:methodName": "DELETE"},
    ]


def _stream_links(info: DescribedStream, urls: _Urls) -> list[dict[str, Any]]:
    href = urls.of(info.name)
    return [
        {"rel": "related", "type": "multipart/x-mixed-replace", "href": href, **_words(info)},
        {"rel": "related", "type": "text/html", "href": f"{href}/viewer", **_words(info)},
    ]


def _output_forms(info: DescribedAction, urls: _Urls) -> list[dict[str, Any]]:
    """Where an output with arrays is, in its binary forms: a client knows by them that it need not read JSON."""
    kind = "json" if info.output_adapter is None else kind_of(info.output_adapter)
    form = {**_form(f"{urls.invocation}/output", "queryaction"), "htv:methodName": "GET"}
    return [{**form, "contentType": each} for each in FORMS[kind] if kind != "bytes"]


def _thing_forms(thing: DescribedThing, urls: _Urls) -> dict[str, Any]:
    forms = []
    if thing.properties:
        writable = not all(info.readonly for info in thing.properties.values())
        write = ["writemultipleproperties"] if writable else []
        forms.append(_form(urls.of("properties"), "readallproperties", *write))
    if thing.actions:
        forms.append(_form(urls.of("actions"), "queryallactions"))
    if any(info.is_observable for info in thing.properties.values()):
        forms.append(_websocket_form(urls, "observeallproperties", "unobserveallproperties"))
    return {"forms": forms} if forms else {}


def _form(href: str, *operations: str) -> dict[str, Any]:
    return {"href": href, "op": list(operations), "contentType": JSON}


def _websocket_form(urls: _Urls, *operations: str) -> dict[str, Any]:
    return {**_form(urls.websocket, *operations), "subprotocol": "labthings"}


_STARTED = {"success": True, "contentType": JSON, "schema": "ActionStatus"}
_FAILURE = {"success": False, "contentType": PROBLEM, "schema": "ProblemDetails"}

_ACTION_STATUS: DataSchema = {
    "type": "object",
    "required": ["status", "href"],
    "properties": {
        "status": {"type": "string", "enum": ["pending", "running", "completed", "error", "cancelled"]},
        "id": {"type": "string", "format": "uuid"},
        "href": {"type": "string", "format": "uri"},
        "timeRequested": {"type": "string", "format": "date-time"},
        "timeStarted": {"type": "string", "format": "date-time"},
        "timeCompleted": {"type": "string", "format": "date-time"},
    },
}
_PROBLEM_DETAILS: DataSchema = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
