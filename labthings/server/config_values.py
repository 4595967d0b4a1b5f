"""The kinds of value that a configuration has, and what each has to look like."""

from __future__ import annotations

import logging
import os
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from labthings.exceptions import ConfigurationError
from labthings.server.thing_class import IMPORT_STRING, import_string, thing_class
from labthings.thing import Thing

RESERVED_NAMES = frozenset(
    {
        "action_invocations",
        "blob",
        "cls",
        "docs",
        "health",
        "metrics",
        "redoc",
        "ws",
        "thing_descriptions",
        "things",
        "ui",
    }
)
THING_NAME = r"^[a-zA-Z0-9_-]+$"
API_PREFIX = r"^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$"
ORIGIN = r"^(\*|[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^\s/:@?#\[\]]+)(:[0-9]{1,5})?)$"
LOG_LEVELS = {name: getattr(logging, name) for name in ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")}


def _thing_name(name: str) -> str:
    if not re.fullmatch(THING_NAME, name):
        raise ConfigurationError(
            "The name of a Thing is part of its URL, so it may only have letters (a-z), digits, '_' and '-'."
        )
    if name in RESERVED_NAMES:
        raise ConfigurationError(f"The server itself uses '{name}' in its URLs. Give the Thing another name.")
    return name


def _slot_target(target: Any) -> Any:
    names = target if isinstance(target, list | tuple) else [target]
    if target is None or all(isinstance(name, str) for name in names):
        return list(target) if isinstance(target, tuple) else target
    raise ConfigurationError("Should be the name of a Thing, a list of such names, or null.")


def _log_level(level: Any) -> Any:
    if isinstance(level, str) and level.upper() in LOG_LEVELS:
        return LOG_LEVELS[level.upper()]
    if isinstance(level, int) and not isinstance(level, bool) and 0 <= level <= logging.CRITICAL:
        return level
    raise ConfigurationError(f"Should be one of {', '.join(LOG_LEVELS)}, or a number from 0 to 50.")


def _api_prefix(prefix: str) -> str:
    if re.fullmatch(API_PREFIX, prefix):
        return prefix
    raise ConfigurationError(
        "Should be empty or a path like '/api/v1': a '/' before each part, none at the end, "
        "and only letters (a-z), digits, '-', '_', '.' and '~' in between."
    )


def _origin(origin: str) -> str:
    found = re.fullmatch(ORIGIN, origin.lower())
    if found is None:
        raise ConfigurationError(
            "Should be '*', or a web origin without a path, like 'https://lab.example.org' or 'http://127.0.0.1:3000'."
        )
    default_port = {"http": ":80", "https": ":443"}.get(found[0].partition(":")[0], "")
    return found[0].removesuffix(default_port)  # browsers leave it out


def _folder(folder: Any) -> Any:
    return os.fspath(folder) if isinstance(folder, os.PathLike) else folder


ThingName = Annotated[str, AfterValidator(_thing_name)]
ThingClass = Annotated[
    type[Thing],
    BeforeValidator(thing_class),
    PlainSerializer(import_string, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": IMPORT_STRING,
            "description": "The class of the Thing, like 'package.module:ClassName'.",
        }
    ),
]
SlotTarget = Annotated[str | list[str] | None, BeforeValidator(_slot_target)]
LogLevel = Annotated[
    int,
    BeforeValidator(_log_level),
    WithJsonSchema({"anyOf": [{"enum": list(LOG_LEVELS)}, {"type": "integer", "minimum": 0, "maximum": 50}]}),
]
ApiPrefix = Annotated[str, AfterValidator(_api_prefix)]
Origin = Annotated[str, AfterValidator(_origin)]
Folder = Annotated[str, BeforeValidator(_folder)]
