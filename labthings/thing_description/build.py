"""Thing Descriptions, built from what a Thing says of its affordances."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from labthings.thing_description.alternatives import DataSchema
from labthings.thing_description.data_schema import action_input_schema, data_schema, is_json
from labthings.thing_description.described import (
    ANYTHING,
    DescribedAction,
    DescribedAffordance,
    DescribedEvent,
    DescribedProperty,
    DescribedStream,
    DescribedThing,
    known,
)
from labthings.thing_description.forms import (
    ThingUrls,
    absolute_url,
    action_forms,
    event_forms,
    property_forms,
    thing_forms,
)

logger = logging.getLogger(__name__)

BLOBS_RELATION = "urn:labthings:rel:blobs"
"""The relation of a Thing to where clients upload blobs, to use them as inputs of its actions."""

CONTEXT: tuple[Any, ...] = (
    "https://www.w3.org/2019/wot/td/v1",  # node-wot on npm refuses a Thing Description without it
    "https://www.w3.org/2022/wot/td/v1.1",
    {"@language": "en"},
)
SECURITY = {"securityDefinitions": {"nosec_sc": {"scheme": "nosec"}}, "security": ["nosec_sc"]}
PROFILE = "https://www.w3.org/2022/wot/profile/http-sse/v1"
LONGEST_DEFAULT = 100  # elements of an array that are worth describing


def build_thing_description(thing: DescribedThing, base: str, identity: uuid.UUID) -> dict[str, Any]:
    """Describe ``thing`` as a W3C Thing Description 1.1.

    :param base: the server's URL as the client sees it, root path included, ending in a slash.
    :param identity: the server's; the Thing's ``id`` is made from it and the Thing's name.
    """
    urls = ThingUrls(base, thing.path)
    return {
        "@context": list(CONTEXT),
        "id": uuid.uuid5(identity, thing.name).urn,
        "title": thing.name,
        **_words(thing),
        "base": base,
        "profile": [PROFILE],
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
        "events": {name: _event(info, urls) for name, info in thing.events.items()},
        **({"forms": forms} if (forms := thing_forms(thing, urls)) else {}),
    }


def _words(described: DescribedAffordance) -> dict[str, str]:
    words = {"title": described.title, "description": described.description}
    return {key: text for key, text in words.items() if text}


def _property(info: DescribedProperty, urls: ThingUrls) -> dict[str, Any]:
    adapter = known(lambda: info.adapter, ANYTHING)
    return {
        **data_schema(adapter, "serialization" if info.readonly else "validation", computed_too=True),
        **_default(info),
        **({"unit": info.unit} if info.unit else {}),
        **_words(info),
        "readOnly": info.readonly,
        "observable": info.is_observable,
        "forms": property_forms(info, urls),
    }


def _default(info: DescribedProperty) -> dict[str, Any]:
    if not info.has_default or known(lambda: info.adapter, ANYTHING) is ANYTHING:
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


def _action(info: DescribedAction, urls: ThingUrls) -> dict[str, Any]:
    arguments, output = known(lambda: info.input_adapter, ANYTHING), known(lambda: info.output_adapter, ANYTHING)
    return {
        "synchronous": False,
        **({"input": action_input_schema(arguments)} if arguments else {}),
        **({"output": data_schema(output, "serialization")} if output else {}),
        **_words(info),
        "safe": info.safe,
        "idempotent": info.idempotent,
        "forms": action_forms(info, urls),
        "uriVariables": {"id": {"type": "string", "format": "uuid"}},
    }


def _event(info: DescribedEvent, urls: ThingUrls) -> dict[str, Any]:
    data = known(lambda: info.adapter, ANYTHING)
    return {
        **({"data": data_schema(data, "serialization")} if data else {}),
        **_words(info),
        "forms": event_forms(info, urls),
    }


def _stream_links(info: DescribedStream, urls: ThingUrls) -> list[dict[str, Any]]:
    href = urls.of(info.name)
    return [
        {"rel": "related", "type": "multipart/x-mixed-replace", "href": href, **_words(info)},
        {"rel": "related", "type": "text/html", "href": f"{href}/viewer", **_words(info)},
    ]


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
