"""Docstrings, from Thing Descriptions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from textwrap import indent
from typing import Any

from labthings.client.signature import annotation, value_annotation
from labthings.thing_description.model import (
    ActionAffordance,
    Affordance,
    EventAffordance,
    PropertyAffordance,
    ThingDescription,
)

_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def thing_docstring(description: ThingDescription) -> str:
    """What there is to say of a Thing, its events, and the pages about it, such as those that show its streams."""
    links = [link for link in description.links if (link.rel, link.type) == ("related", "text/html")]
    pages = "\n".join(f"{(link.title or 'See').rstrip('.')}: {description.resolve(link.href)}" for link in links)
    events = "\n".join(f"    {_event(name, each)}" for name, each in description.events.items())
    return "\n\n".join(filter(None, [*_words(description), events and f"Events to subscribe to:\n\n{events}", pages]))


def property_docstring(affordance: PropertyAffordance) -> str:
    """What there is to say of a property: its type, unit and limits too."""
    schema = affordance.data_schema
    access = ["read-only"] if affordance.read_only else ["write-only"] if affordance.write_only else []
    kind = inspect.formatannotation(value_annotation(affordance, schema))
    facts = [kind, *_facts(schema), *access]
    return "\n\n".join([*_words(affordance), f"Type: {', '.join(facts)}."])


def action_docstring(affordance: ActionAffordance) -> str:
    """What there is to say of an action, its parameters and its output."""
    text = "\n\n".join(_words(affordance))
    schemas = (affordance.input or {}).get("properties", {})
    fields = [
        *(_field(f":param {name}:", schema) for name, schema in schemas.items() if f":param {name}:" not in text),
        *([_field(":return:", affordance.output)] if affordance.output and ":return" not in text else []),
    ]
    return "\n\n".join(filter(None, [text, "\n".join(filter(None, fields))]))


def _event(name: str, affordance: EventAffordance) -> str:
    kind = f" ({inspect.formatannotation(annotation(affordance.data))})" if affordance.data else ""
    text = " ".join(" ".join(_words(affordance)).split())
    return f"{name}{kind}{f': {text}' if text and text != name else ''}"


def _words(affordance: Affordance) -> list[str]:
    return [text for text in (affordance.title, affordance.description) if text]


def _field(name: str, schema: Mapping[str, Any]) -> str:
    words = [schema[key] for key in ("title", "description") if schema.get(key)]
    text = indent(". ".join(str(each).rstrip(".") for each in words), "    ").lstrip()
    facts = ", ".join(fact for fact in _facts(schema) if not re.search(rf"\b{re.escape(fact)}(?!\w)", text))
    return f"{name} {text}{f' ({facts})' if text and facts else facts}" if text or facts else ""


def _facts(schema: Mapping[str, Any]) -> Iterator[str]:
    if schema.get("unit"):
        yield f"in {schema['unit']}"
    yield from (f"{words} {schema[key]}" for key, words in _LIMITS.items() if key in schema)
    yield from _keys(schema)


def _keys(schema: Mapping[str, Any]) -> Iterator[str]:
    """What one may look up in a dictionary."""
    objects = [each for each in schema.get("oneOf", [schema]) if each.get("properties")]
    if len(objects) == 1 and annotation(objects[0]) == dict[str, Any]:
        names = [repr(name) for name in objects[0]["properties"]]
        yield f"with the key{'s' if len(names) > 1 else ''} {', '.join(names)}"
