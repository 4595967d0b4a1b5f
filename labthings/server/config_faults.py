"""What is wrong with a configuration, said so that a person can put it right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from labthings.exceptions import ConfigurationError
from labthings.suggestions import did_you_mean

KnownKeys = Callable[[tuple[Any, ...]], list[str]]


@contextmanager
def explained(source: str, known_keys: KnownKeys) -> Iterator[None]:
    """Turn pydantic's errors into one that names each key and what to do about it.

    :param source: what is being validated, such as the name of a file.
    :param known_keys: tells which keys there may be in the object at a location.
    :raises ConfigurationError: if the validation fails. Its cause is what made an import fail, if anything did.
    """
    try:
        yield
    except ValidationError as error:
        faults = error.errors()
        found = [
            {"loc": list(fault["loc"]), "msg": _message(fault, known_keys), "type": fault["type"]} for fault in faults
        ]
        lines = (": ".join([*filter(None, [", ".join(keys)]), message]) for message, keys in keys_by_message(found))
        text = "\n".join([f"{source} cannot be used:", *(f"  {line}" for line in lines)])
        raise ConfigurationError(text, found) from _cause(faults)


def keys_by_message(errors: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, list[str]]]:
    """What is wrong in a configuration, and under which keys: several may have the same cause."""
    keys: dict[str, list[str]] = {}
    for each in errors:
        keys.setdefault(each["msg"], []).append(_key(each["loc"]))
    return keys.items()


def _key(location: Iterable[Any]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if part != "[key]")
    return "".join(parts).lstrip(".")


def _cause(faults: list[Any]) -> BaseException | None:
    errors = (fault.get("ctx", {}).get("error") for fault in faults)
    causes = (error.__cause__ for error in errors if isinstance(error, BaseException))
    return next((cause for cause in causes if cause is not None), None)


_EXPECTATIONS = {
    "bool_type": "Should be true or false",
    "dict_type": "Should be an object, {...}",
    "mapping_type": "Should be an object, {...}",
    "model_type": "Should be an object, {...}",
    "list_type": "Should be a list, [...]",
    "int_type": "Should be a whole number",
}


def _message(fault: Any, known_keys: KnownKeys) -> str:
    match fault["type"]:
        case "missing":
            return "This key is missing."
        case "extra_forbidden":
            return _unknown_key(str(fault["loc"][-1]), known_keys(fault["loc"][:-1]))
        case "value_error":
            return str(fault["ctx"]["error"])
        case "argument":
            return str(fault["msg"])
    expectation = _EXPECTATIONS.get(fault["type"]) or re.sub(r"^Input should (be a valid)?", _should, fault["msg"])
    return f"{expectation}, not {_shown(fault['input'])}."


def _should(words: re.Match[str]) -> str:
    return "Should be a" if words[1] else "Should "


def _unknown_key(key: str, possible: list[str]) -> str:
    hint = did_you_mean(key, possible) or f" The keys here are {', '.join(possible)}."
    return f"There is no such key.{hint}"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr) if not isinstance(value, Mapping) else "an object"
    return text if len(text) <= 60 else f"{text[:57]}..."
