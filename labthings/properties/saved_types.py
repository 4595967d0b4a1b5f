"""Which types of settings would lose something on disk."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

from pydantic import TypeAdapter

from labthings.exceptions import SettingNotSavedWarning, UnserialisableTypeError
from labthings.introspection import SourceLocation
from labthings.types.markers import holds_blobs, parts_of, parts_within

_warned: dict[Any, Any] = {}

_EXCLUSIONS = {
    "serialization_exclude": "because of `exclude=True`",
    "serialization_exclude_if": "where `exclude_if` says so",
}
_MISREAD_KEYS = {"tuple", "named-tuple", "call", "none", "nullable"}  # named tuples are calls in older pydantics


def check_saved(adapter: TypeAdapter[Any], name: str, location: SourceLocation) -> None:
    """Make sure that values of a type can be kept on disk.

    :param name: the setting, for the error's message.
    :param location: where it is defined, for warnings.
    :raises UnserialisableTypeError: if they cannot.
    """
    if holds_blobs(adapter):
        raise UnserialisableTypeError(
            f"The setting '{name}' cannot hold a blob: the link to it would lead nowhere after a restart. Save the "
            "bytes to a file, and have a setting with its path."
        )
    parts = list(parts_of(adapter, _is_told))
    _check_secrets(parts, name)
    _check_keys(parts, name)
    _check_bytes(parts, name)
    _check_aliases(parts, name)
    _check_excluded(parts, name, location)


def _is_told(part: Mapping[str, Any]) -> bool:
    """Whether pydantic itself makes JSON of a part: a serialiser that wraps pydantic's own may leave it to that."""
    if part.get("serialization", {}).get("type") != "function-plain":
        return True
    return str(getattr(_serialiser(part), "__module__", "")).startswith("pydantic.")


def _serialiser(part: Mapping[str, Any]) -> Any:
    return part.get("serialization", {}).get("function")


def _check_secrets(parts: list[Mapping[str, Any]], name: str) -> None:
    if any("secret" in getattr(_serialiser(part), "__name__", "") for part in parts):
        raise UnserialisableTypeError(
            f"The setting '{name}' cannot hold one of pydantic's secrets, such as a SecretStr: that is saved as "
            "asterisks, so it would be lost at a restart. If clients may read it, and anybody who sees the file, say "
            "`str`. If not, have a setting with the path of a file that holds it, or take it from an environment "
            "variable."
        )


def _check_keys(parts: list[Mapping[str, Any]], name: str) -> None:
    named = {part["ref"]: part for part in parts if "ref" in part}
    keys = (list(_kinds(part.get("keys_schema", {}), named)) for part in parts if part.get("type") == "dict")
    if any(_are_misread(kinds) for kinds in keys):
        raise UnserialisableTypeError(
            f"The setting '{name}' holds a dict whose keys would not be read back after a restart, since JSON has only "
            "strings as keys. Use `dict[str, ...]`, or literals or an Enum of strings."
        )


def _kinds(key: Mapping[str, Any], named: Mapping[str, Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The schemas of what a key may be.

    :param named: those that are referred to.
    """
    if not _is_told(key):
        return
    kind = key.get("type", "any")
    if kind == "definition-ref":
        yield from _kinds(named.get(key["schema_ref"], {}), named)
    elif kind in ("union", "tagged-union"):
        for each in _choices(key):
            yield from _kinds(each, named)
    elif "schema" in key and (kind == "default" or kind.startswith("function-")):
        yield from _kinds(key["schema"], named)
    else:
        yield key


def _choices(union: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    choices = union["choices"]
    for each in choices.values() if isinstance(choices, Mapping) else choices:
        yield each[0] if isinstance(each, tuple) else each  # which may have a label


def _are_misread(kinds: list[Mapping[str, Any]]) -> bool:
    takes_any_string = len(kinds) > 1 and any(each.get("type") in ("str", "bytes") for each in kinds)
    return any(_is_misread(each) or (takes_any_string and not _is_string(each)) for each in kinds)


def _is_misread(key: Mapping[str, Any]) -> bool:
    if key.get("type") == "enum":
        return key.get("sub_type") != "int" and not all(isinstance(each.value, str) for each in key["members"])
    if key.get("type") == "literal":
        return not _is_string(key)
    return key.get("type") in _MISREAD_KEYS


def _is_string(key: Mapping[str, Any]) -> bool:
    if key.get("type") == "literal":
        return all(isinstance(each, str) for each in key["expected"])
    return key.get("type") == "str" or key.get("sub_type") == "str"


def _check_bytes(parts: list[Mapping[str, Any]], name: str) -> None:
    for part in parts:
        config = part.get("config") or {}
        written, read = config.get("ser_json_bytes", "utf8"), config.get("val_json_bytes", "utf8")
        if written != read and any(each.get("type") == "bytes" for each in _configured(part)):
            raise UnserialisableTypeError(
                f"The setting '{name}' writes bytes as '{written}', and would read them as '{read}' after a restart. "
                "Give `ser_json_bytes` and `val_json_bytes` the same value in the `model_config`."
            )


def _configured(part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a part's configuration applies to: not what has one of its own."""
    return parts_within(part, lambda each: _is_told(each) and (each is part or "config" not in each))


def _check_aliases(parts: list[Mapping[str, Any]], name: str) -> None:
    for fields in (dict(_fields(part)) for part in parts):
        for field, schema in fields.items():
            taken = [each for each in _looked_up_before(field, schema) if each in fields]
            if taken:
                raise UnserialisableTypeError(
                    f"The setting '{name}' would be read back with the values of other fields: its field '{field}' has "
                    f"the alias '{taken[0]}', which is the name of another. Fields are saved by their names, so give "
                    "one of the two another name."
                )


def _looked_up_before(field: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """The names by which a field is looked up before its own: of paths, the first."""
    alias = schema.get("validation_alias", field)
    paths = [[alias]] if isinstance(alias, str) else alias if isinstance(alias[0], list) else [alias]
    return takewhile(lambda each: each != field, (path[0] for path in paths))


def _check_excluded(parts: list[Mapping[str, Any]], name: str, location: SourceLocation) -> None:
    for field, schema in (each for part in parts for each in _fields(part)):
        reason = next((words for key, words in _EXCLUSIONS.items() if schema.get(key)), None)
        if reason is None:
            continue
        remedy = "Keep it in a setting of its own, or, if it need not be kept, in a property."
        if schema.get("required", schema["schema"]["type"] != "default"):
            raise UnserialisableTypeError(
                f"The setting '{name}' could not be read back: its field '{field}' is needed, but not saved {reason}. "
                f"{remedy}"
            )
        text = f"The field '{field}' of the setting '{name}' is lost at a restart {reason}. {remedy}"
        warnings.warn_explicit(text, SettingNotSavedWarning, *location, registry=_warned)


def _fields(part: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    fields = part.get("fields", {})
    if part.get("type") in ("model-fields", "typed-dict"):
        yield from fields.items()
    elif part.get("type") == "dataclass-args":
        yield from ((each["name"], each) for each in fields)
