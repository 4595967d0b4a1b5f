"""What of a setting's value is kept on disk, and which types would lose something there."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreSchema, SchemaSerializer

from labthings.exceptions import SettingNotSavedWarning, UnserialisableTypeError
from labthings.introspection import SourceLocation
from labthings.types.markers import holds_blobs, parts_of

_warned: dict[Any, Any] = {}


def to_saved(schema: CoreSchema, value: Any) -> Any:
    """A value as it is kept on disk: by the names of fields, without what is computed, and with NaN and infinities.

    :param schema: pydantic's, of the value's type.
    """
    serialiser = SchemaSerializer(schema, {"ser_json_inf_nan": "constants"})
    return serialiser.to_python(value, mode="json", by_alias=False, round_trip=True, warnings="error")


def from_saved(adapter: TypeAdapter[Any], document: bytes) -> Any:
    """The value that was saved as a JSON document.

    :raises pydantic.ValidationError: if it does not fit.
    """
    try:
        return adapter.validator.validate_json(document, strict=True, by_alias=True, by_name=True)
    except ValidationError:  # strict types refuse some of what serialisers write, such as durations in seconds
        return adapter.validator.validate_json(document, by_alias=True, by_name=True)


def is_kept(saved: Any, saved_again: Any) -> bool:
    """Whether what was read back is saved as it was before."""
    return json.dumps(saved, sort_keys=True) == json.dumps(saved_again, sort_keys=True)


def saved_document(saved: Any) -> bytes:
    """What is kept on disk, as the JSON that it is read from."""
    return pydantic_core.to_json(saved)


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
    parts = list(_parts_told(adapter))
    _check_secrets(parts, name)
    _check_keys(parts, name)
    _check_bytes(parts, name)
    _check_excluded(parts, name, location)


def _parts_told(adapter: TypeAdapter[Any]) -> Iterator[Mapping[str, Any]]:
    """The parts of a type's schema that pydantic itself makes JSON of."""
    return parts_of(adapter, lambda part: not _has_own_serialiser(part))


def _has_own_serialiser(part: Mapping[str, Any]) -> bool:
    function = _serialiser(part)
    return function is not None and not str(getattr(function, "__module__", "")).startswith("pydantic.")


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
    if any(part.get("type") == "dict" and _is_misread(part.get("keys_schema", {})) for part in parts):
        raise UnserialisableTypeError(
            f"The setting '{name}' holds a dict whose keys would not be read back after a restart, since JSON has only "
            "strings as keys. Use `dict[str, ...]`, or literals or an Enum of strings."
        )


def _is_misread(key: Mapping[str, Any]) -> bool:
    if key.get("type") == "enum":
        return key.get("sub_type") != "int" and not all(isinstance(each.value, str) for each in key["members"])
    if key.get("type") == "literal":
        return not all(isinstance(each, str) for each in key["expected"])
    return key.get("type") in ("tuple", "none")


def _check_bytes(parts: list[Mapping[str, Any]], name: str) -> None:
    configurations = (part.get("config") or {} for part in parts)
    forms = {(each.get("ser_json_bytes", "utf8"), each.get("val_json_bytes", "utf8")) for each in configurations}
    different = [form for form in forms if form[0] != form[1]]
    if different and any(part.get("type") == "bytes" for part in parts):
        written, read = different[0]
        raise UnserialisableTypeError(
            f"The setting '{name}' writes bytes as '{written}', and would read them as '{read}' after a restart. Give "
            "`ser_json_bytes` and `val_json_bytes` the same value in the `model_config`."
        )


def _check_excluded(parts: list[Mapping[str, Any]], name: str, location: SourceLocation) -> None:
    for field, schema in (each for part in parts for each in _fields(part)):
        if schema.get("serialization_exclude") is not True:
            continue
        remedy = "Keep it in a setting of its own, or, if it need not be kept, in a property."
        if schema["schema"]["type"] != "default":
            raise UnserialisableTypeError(
                f"The setting '{name}' could not be read back: its field '{field}' is needed, but not saved, because "
                f"of `exclude=True`. {remedy}"
            )
        text = f"The field '{field}' of the setting '{name}' is lost at a restart, because of `exclude=True`. {remedy}"
        warnings.warn_explicit(text, SettingNotSavedWarning, *location, registry=_warned)


def _fields(part: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    fields = part.get("fields", {})
    if part.get("type") in ("model-fields", "typed-dict"):
        yield from fields.items()
    elif part.get("type") == "dataclass-args":
        yield from ((each["name"], each) for each in fields)
