from __future__ import annotations

import inspect
import pydoc
from typing import Annotated, Any, Literal

import numpy
import pytest
from pydantic import BaseModel, Field

import labthings as lt
from labthings.client.docstring import action_docstring, property_docstring
from labthings.client.signature import ActionSignature
from labthings.exceptions import ClientPropertyError
from labthings.outputs.blob import Blob
from labthings.thing_description.model import ActionAffordance, PropertyAffordance
from labthings.types.numpy import NDArray


class Position(BaseModel):
    x: float


class Spectrum(BaseModel):
    """What was measured.

    In counts.
    """

    wavelengths: NDArray
    counts: NDArray


class Stage(lt.Thing):
    """A stage.

    It moves in two directions.
    """

    speed: float = lt.property(default=1.0, gt=0, le=5)
    """How fast it moves.

    In both directions.
    """

    @lt.property
    def position(self) -> Position:
        """Where it is."""
        return Position(x=0)

    @lt.action
    def move(
        self,
        to: Annotated[float, Field(description="The position.", ge=0)],
        how: Literal["fast", "slow"] = "fast",
        via: list[int] | None = None,
        *,
        careful: bool,
    ) -> tuple[int, str]:
        """Move.

        It may take a while.
        """
        return (1, "")

    @lt.action
    def park(self) -> None:
        """Go home."""


def test_signature_of_an_action(connect):
    signature = inspect.signature(connect(Stage).move)
    assert str(signature) == (
        "(to: float, how: Literal['fast', 'slow'] = 'fast', via: list[int] | None = None, *, careful: bool)"
        " -> tuple[int, str]"
    )


def test_annotations_of_an_action(connect):
    assert connect(Stage).park.__annotations__ == {"return": None}
    assert connect(Stage).move.__annotations__["to"] is float


def test_docstring_of_an_action(connect):
    assert inspect.getdoc(connect(Stage).move) == (
        "Move.\n\nIt may take a while.\n\n:param to: The position (at least 0)"
    )


def test_docstring_of_a_property(connect):
    attribute = type(connect(Stage)).speed
    assert inspect.getdoc(attribute) == (
        "How fast it moves.\n\nIn both directions.\n\nType: float, more than 0, at most 5."
    )


def test_docstring_of_a_thing_with_events(connect):
    class Block(lt.Thing):
        """A block."""

        overheated: lt.Event[float] = lt.event()
        """It is too hot.

        The data is its
        temperature.
        """

        opened: lt.Event[None] = lt.event()

    assert connect(Block).__doc__ == (
        "Block\n\nA block.\n\nEvents to subscribe to:\n\n"
        "    overheated (float): It is too hot. The data is its temperature.\n"
        "    opened"
    )


def test_docstring_of_the_thing(connect):
    assert inspect.getdoc(connect(Stage)) == "Stage\n\nA stage.\n\nIt moves in two directions."


def test_help_and_an_error_say_where_a_stream_is_shown(connect):
    class Camera(lt.Thing):
        """A camera."""

        view = lt.outputs.MJPEGStreamDescriptor()
        """What it sees."""

    client = connect(Camera)
    page = client.thing_description.links[-1].href
    assert page.endswith("/view/viewer")
    assert inspect.getdoc(client) == f"Camera\n\nA camera.\n\nWhat it sees: {page}"
    with pytest.raises(AttributeError, match=rf"\.view is a stream: see {page} in a web browser"):
        _ = client.view
    with pytest.raises(ClientPropertyError, match=rf"\.view is a stream: see {page} in a web browser"):
        client.live("view")


def test_help_on_an_action_and_on_the_thing(connect):
    client = connect(Stage)
    assert "park() -> None method of" in pydoc.plain(pydoc.render_doc(client.park))
    page = pydoc.plain(pydoc.render_doc(client))
    assert "park(self) -> None" in page
    assert "Where it is." in page
    assert "Type: dict[str, Any], with the key 'x', read-only." in page.replace("typing.", "")


def signature_of(schema: dict[str, Any], output: dict[str, Any] | None = None) -> str:
    return str(ActionSignature(ActionAffordance(input=schema, output=output)))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer"}, "int"),
        ({"type": "number"}, "float"),
        ({"type": "string", "format": "date"}, "str"),
        ({"type": "boolean"}, "bool"),
        ({"type": "null"}, "None"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"type": "array"}, "list[Any]"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, "list[list[float]]"),
        ({"type": "array", "items": [{"type": "integer"}, {"type": "string"}]}, "tuple[int, str]"),
        ({"enum": ["a", 1, None]}, "Literal['a', 1, None]"),
        ({"const": "a"}, "Literal['a']"),
        ({"type": "array", "enum": [[1]]}, "list[Any]"),
        ({"oneOf": [{"type": "null"}, {"type": "integer"}]}, "int | None"),
        ({"oneOf": [{"type": "integer"}, {"type": "integer"}]}, "int"),
        ({"oneOf": [{"type": "integer"}, {}]}, "Any"),
        (
            {"oneOf": [{"type": t} for t in ("object", "array", "string", "number", "boolean", "null")]},
            "Any",
        ),
        ({}, "Any"),
    ],
)
def test_annotation(schema, expected):
    text = signature_of({"type": "object", "properties": {"a": schema}, "required": ["a"]}, schema)
    text = text.replace("typing.", "").replace("Optional[int]", "int | None")
    assert text == f"(a: {expected}) -> {expected}"


def test_arrays_are_arrays_and_dictionaries_have_keys(connect):
    class Spectrometer(lt.Thing):
        latest: Spectrum | None = lt.property(default=None, readonly=True)
        """The latest one."""

        wavelengths: NDArray = lt.property(default_factory=lambda: numpy.zeros(3), unit="nm")
        """One for each pixel."""

        @lt.action
        def measure(self) -> NDArray:
            """Measure."""
            return numpy.zeros(3)

        @lt.action
        def describe(self) -> Spectrum:
            """Measure, and tell more."""

    client = connect(Spectrometer)
    assert inspect.signature(client.measure).return_annotation is numpy.ndarray
    assert inspect.getdoc(type(client).wavelengths) == "One for each pixel.\n\nType: numpy.ndarray, in nm."
    keys = "with the keys 'wavelengths', 'counts'"
    assert (inspect.getdoc(type(client).latest) or "").endswith(f" | None, {keys}, read-only.")
    assert inspect.getdoc(client.describe) == (
        f"Measure, and tell more.\n\n:return: Spectrum. What was measured.\n\n    In counts ({keys})"
    )


def test_blobs_are_blobs(connect):
    class Copier(lt.Thing):
        @lt.action
        def copy(self, page: Blob, more: list[Blob]) -> Blob:
            return page

    signature = inspect.signature(connect(Copier).copy)
    assert [each.annotation for each in signature.parameters.values()] == [Blob, list[Blob]]
    assert signature.return_annotation is Blob


def test_names_that_python_cannot_spell_go_into_kwargs():
    affordance = ActionAffordance(input={"properties": {"a": {"type": "integer"}, "class": {}, "x-y": {}, "self": {}}})
    signature = ActionSignature(affordance)
    assert str(signature).replace("Optional[int]", "int | None").replace("typing.", "") == (
        "(a: int | None = None, **kwargs: Any) -> None"
    )
    given = {"class": 1, "x-y": 2, "self": 3}
    assert signature.bind([0], given) == {"a": 0, **given}


def test_name_of_the_further_arguments_is_its_own():
    assert "**_kwargs" in signature_of({"properties": {"kwargs": {}}, "additionalProperties": True})


def test_further_arguments_that_the_description_forbids():
    signature = ActionSignature(ActionAffordance(input={"properties": {"a": {}}, "additionalProperties": False}))
    with pytest.raises(TypeError, match="b"):
        signature.bind([1], {"b": 2})


def test_docstrings_from_foreign_descriptions():
    schema = {"properties": {"t": {"title": "Time", "unit": "s"}, "u": {"type": "string"}}}
    action = ActionAffordance(description="Wait.", input=schema, output={"description": "How long it was."})
    assert action_docstring(action) == "Wait.\n\n:param t: Time (in s)\n:return: How long it was"
    assert property_docstring(
        PropertyAffordance.model_validate({"type": "number", "unit": "°C", "writeOnly": True})
    ) == ("Type: float, in °C, write-only.")
    assert action_docstring(ActionAffordance()) == ""


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("how long, in s.", "how long, in s (at least 0)"),
        ("how long, in steps.", "how long, in steps (in s, at least 0)"),
    ],
)
def test_a_unit_is_not_said_twice(description, expected):
    schema = {"properties": {"t": {"description": description, "unit": "s", "minimum": 0}}}
    assert action_docstring(ActionAffordance(input=schema)) == f":param t: {expected}"


def test_parameters_that_the_description_explains_already():
    schema = {"properties": {"t": {"description": "How long."}}}
    action = ActionAffordance(description="Wait.\n\n:param t: how long.", input=schema)
    assert action_docstring(action) == "Wait.\n\n:param t: how long."
