"""Docstrings, from Thing Descriptions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from labthings.client.signature import annotation
from labthings.thing_description.model import ActionAffordance, Affordance, PropertyAffordance

_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def thing_docstring(description: Affordance) -> str:
    """What there is to say of a Thing."""
    return "\n\n".join(_words(description))


def property_docstring(affordance: PropertyAffordance) -> str:
    """What there is to say of a property: its type, unit and limits too."""
    schema = affordance.data_schema
    access = ["read-only"] if affordance.read_only else ["write-only"] if affordance.write_only else []
    facts = [_type_name(schema), *_facts(schema), *access]
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


def _words(affordance: Affordance) -> list[str]:
    return [text for text in (affordance.title, affordance.description) if text]


def _field(name: str, schema: Mapping[str, Any]) -> str:
    words = [schema[key] for key in ("title", "description") if schema.get(key)]
    text = ". ".join(str(each).rstrip(".") for each in words)
    facts = ", ".join(_facts(schema))
    return f"{name} {text}{f' ({facts})' if text and facts else facts}" if text or facts else ""


def _facts(schema: Mapping[str, Any]) -> Iterator[str]:
    if schema.get("unit"):
        yield f"in {schema['unit']}"
    yield from (f"{words} {schema[key]}" for key, words in _LIMITS.items() if key in schema)


def _type_name(schema: Mapping[str, Any]) -> str:
    return inspect.formatannotation(annotation(schema))
