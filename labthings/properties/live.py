"""Which properties are live state, which is changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from labthings.exceptions import InvalidValueError, UnknownFieldError, UntrackableTypeError
from labthings.state import ReactiveModel
from labthings.state.reading import readable
from labthings.types.markers import parts_of


def is_live_type(value_type: Any) -> bool:
    """Whether a type is that of live state."""
    if get_origin(value_type) is Annotated:
        return is_live_type(get_args(value_type)[0])
    return isinstance(value_type, type) and get_origin(value_type) is None and issubclass(value_type, ReactiveModel)


def model_of(value_type: Any) -> type[ReactiveModel]:
    """The class of live state's root."""
    found: type[ReactiveModel] = get_args(value_type)[0] if get_origin(value_type) is Annotated else value_type
    return found


def readable_json(document: bytes, value_type: Any, name: str) -> bytes:
    """What clients send of live state, as JSON that it can be validated from: what is computed of it is left out.

    :param name: the property, for the error's message.
    :raises InvalidValueError: if there is something in it that is no field.
    """
    try:
        data = from_json(document)
    except ValueError:  # it is not JSON, which validating it tells best
        return document
    return to_json(_readable(data, value_type, name), inf_nan_mode="constants")


def readable_values(document: bytes, value_types: Mapping[str, Any], thing: str) -> bytes:
    """The same, of an object with the values of several properties.

    :param value_types: the types of those that are live state, by their names.
    :param thing: the Thing, for the error's message.
    """
    try:
        values = from_json(document) if value_types else None
    except ValueError:
        return document
    if not isinstance(values, dict):
        return document
    live = {name: each for name, each in value_types.items() if name in values}
    read = {name: _readable(values[name], each, f"{thing}.{name}") for name, each in live.items()}
    return to_json({**values, **read}, inf_nan_mode="constants")


def model_of_data(data: Mapping[str, Any], value_type: Any, name: str) -> ReactiveModel:
    """What the Thing's own code gives as plain data, as the model.

    :param name: the property, for the error's message.
    :raises InvalidValueError: if there is something in it that is no field.
    :raises pydantic.ValidationError: if it does not fit.
    """
    model = model_of(value_type)
    return model.model_validate(_readable(data, value_type, name), by_alias=True, by_name=True)


def _readable(data: Any, value_type: Any, name: str) -> Any:
    try:
        return readable(data, model_of(value_type), refuse_unknown=True)
    except UnknownFieldError as error:
        fault = {"loc": list(error.place), "msg": str(error), "type": "extra_forbidden"}
        raise InvalidValueError(f"{name}: {error}", [fault]) from error


def check_live(value_type: Any, adapter: TypeAdapter[Any], name: str) -> None:
    """Make sure that live state in a property's value can be told of.

    :param adapter: validates the value.
    :raises UntrackableTypeError: if it is somewhere within the value, where its changes would not be noticed, or if
        something else than the model has a say in what is valid.
    """
    if is_live_type(value_type):
        if adapter.core_schema["type"] != model_of(value_type).__pydantic_core_schema__["type"]:
            raise UntrackableTypeError(
                f"What validates '{name}' beside its model would not see changes in place: put it in the model."
            )
    elif any(is_live_type(each.get("cls")) for each in parts_of(adapter)):
        raise UntrackableTypeError(
            f"Changes of what is in '{name}' would not be noticed: only a property whose type is a ReactiveModel "
            "itself is live state. Make it one, with a field for what is there now."
        )
