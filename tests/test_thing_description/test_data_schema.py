from __future__ import annotations

import dataclasses
import datetime
import logging
import uuid
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

import pytest
from jsonschema import Draft7Validator
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    Json,
    PlainValidator,
    SecretStr,
    TypeAdapter,
    WithJsonSchema,
    computed_field,
    create_model,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import NotRequired, TypeAliasType, TypedDict

from labthings.thing_description import action_input_schema, data_schema
from labthings.thing_description.data_schema import any_value

ANY = {"oneOf": [{"type": t} for t in ("object", "array", "string", "number", "boolean", "null")]}


class Colour(Enum):
    """What light looks like."""

    RED = "red"
    BLUE = "blue"


class Mixed(Enum):
    NAME = "auto"
    NUMBER = 1


class Point(BaseModel):
    """A place on the stage."""

    x: float
    y: float = Field(0.0, ge=-1, le=1, title="Across", json_schema_extra={"unit": "mm"})
    my_label: str | None = None


class Path(BaseModel):
    points: list[Point]
    colour: Colour = Colour.RED


class Tree(BaseModel):
    """A node and what hangs from it."""

    name: str
    children: list[Tree] = []


class Chicken(BaseModel):
    lays: Egg | None


class Egg(BaseModel):
    hatches: Chicken | None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: int = 1


class Puppy(Dog):
    age: float = 0.5


@dataclasses.dataclass
class Size:
    width: int
    tags: list[str] = dataclasses.field(default_factory=list)


class Range(NamedTuple):
    low: int
    high: float


class Options(TypedDict):
    gain: float
    label: NotRequired[str]


def described(annotation: Any, mode: Literal["validation", "serialization"] = "validation") -> dict[str, Any]:
    return data_schema(TypeAdapter(annotation), mode)


NUMBER = {"type": "number"}
STRING = {"type": "string"}
POINT = {
    "type": "object",
    "title": "Point",
    "description": "A place on the stage.",
    "properties": {
        "x": NUMBER,
        "y": {"type": "number", "minimum": -1, "maximum": 1, "default": 0.0, "title": "Across", "unit": "mm"},
        "my_label": {"oneOf": [STRING, {"type": "null"}], "default": None},
    },
    "required": ["x"],
}
COLOUR = {"type": "string", "enum": ["red", "blue"], "title": "Colour", "description": "What light looks like."}

TYPES: list[tuple[Any, dict[str, Any]]] = [
    (int, {"type": "integer"}),
    (bool, {"type": "boolean"}),
    (None, {"type": "null"}),
    (Optional[int], {"oneOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
    (Union[int, str], {"oneOf": [{"type": "integer"}, STRING]}),  # noqa: UP007
    (Literal["a"], {"type": "string", "const": "a"}),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    (Literal["a", 1, None], {"enum": ["a", 1, None]}),
    (Colour, COLOUR),
    (Mixed, {"enum": ["auto", 1], "title": "Mixed"}),
    (Point, POINT),
    (
        Path,
        {
            "type": "object",
            "title": "Path",
            "properties": {"points": {"type": "array", "items": POINT}, "colour": {**COLOUR, "default": "red"}},
            "required": ["points"],
        },
    ),
    (
        Annotated[float, Field(gt=0, le=9, multiple_of=0.5)],
        NUMBER | {"exclusiveMinimum": 0, "maximum": 9, "multipleOf": 0.5},
    ),
    (Annotated[float, Field(lt=3)], NUMBER | {"exclusiveMaximum": 3}),
    (
        Annotated[str, Field(min_length=1, max_length=4, pattern="^a")],
        STRING | {"minLength": 1, "maxLength": 4, "pattern": "^a"},
    ),
    (
        Annotated[list[int], Field(min_length=1, max_length=4)],
        {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 4},
    ),
    (dict[str, float], {"type": "object"}),
    (list[str], {"type": "array", "items": STRING}),
    (list, {"type": "array", "items": ANY}),
    (set[int], {"type": "array", "items": {"type": "integer"}}),
    (tuple[int, str], {"type": "array", "items": [{"type": "integer"}, STRING], "minItems": 2, "maxItems": 2}),
    (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    (tuple[()], {"type": "array", "minItems": 0, "maxItems": 0}),
    (Any, ANY),
    (object, ANY),
    (Optional[Any], ANY),  # noqa: UP045
    (datetime.datetime, STRING | {"format": "date-time"}),
    (uuid.UUID, STRING | {"format": "uuid"}),
    (bytes, STRING | {"format": "binary"}),
    (Json[int], STRING | {"contentMediaType": "application/json"}),
    (SecretStr, STRING | {"format": "password"}),
    (
        Annotated[int, Field(description="How many.", title="Count")],
        {"type": "integer", "title": "Count", "description": "How many."},
    ),
    (Annotated[Point, Field(description="Where.")], {**POINT, "description": "Where."}),
    (Annotated[Any, Field(description="Whatever.")], {"description": "Whatever.", **ANY}),
    (
        Options,
        {"type": "object", "title": "Options", "properties": {"gain": NUMBER, "label": STRING}, "required": ["gain"]},
    ),
    (
        Size,
        {
            "type": "object",
            "title": "Size",
            "properties": {"width": {"type": "integer"}, "tags": {"type": "array", "items": STRING}},
            "required": ["width"],
        },
    ),
    (
        Tree,
        {
            "type": "object",
            "title": "Tree",
            "description": "A node and what hangs from it.",
            "properties": {
                "name": STRING,
                "children": {
                    "type": "array",
                    "items": {"type": "object", "title": "Tree", "description": "A node and what hangs from it."},
                    "default": [],
                },
            },
            "required": ["name"],
        },
    ),
    (
        Egg,
        {
            "type": "object",
            "title": "Egg",
            "properties": {
                "hatches": {
                    "oneOf": [
                        {
                            "type": "object",
                            "title": "Chicken",
                            "properties": {"lays": {"oneOf": [{"type": "object", "title": "Egg"}, {"type": "null"}]}},
                            "required": ["lays"],
                        },
                        {"type": "null"},
                    ]
                }
            },
            "required": ["hatches"],
        },
    ),
]


@pytest.mark.parametrize(("annotation", "expected"), TYPES, ids=[str(annotation) for annotation, _ in TYPES])
def test_each_kind_of_type_has_its_schema(annotation: Any, expected: dict[str, Any]) -> None:
    assert described(annotation) == expected


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int | float, NUMBER),
        (Annotated[int | float | None, Field(ge=0)], {"oneOf": [NUMBER | {"minimum": 0}, {"type": "null"}]}),
        (str | datetime.datetime, STRING),
        (
            Annotated[str | int, Field(description="Either.")] | None,
            {"oneOf": [STRING, {"type": "integer"}, {"type": "null"}]},
        ),
        (Literal["auto"] | float, {"oneOf": [{"type": "string", "const": "auto"}, NUMBER]}),
        (Literal["auto"] | str, STRING),
        (
            Literal["a"] | Literal["b", 1] | bool,
            {"oneOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "integer", "enum": [1]}, {"type": "boolean"}]},
        ),
        (list[int] | list[str], {"type": "array", "items": {"oneOf": [{"type": "integer"}, STRING]}}),
        (list | list[int], {"type": "array", "items": ANY}),
        (Point | dict[str, int], {"type": "object"}),
    ],
    ids=str,
)
def test_no_two_alternatives_fit_the_same_value(annotation: Any, expected: dict[str, Any]) -> None:
    assert described(annotation) == expected


def test_a_named_tuple_is_an_array() -> None:
    schema = described(Range)

    assert [item["type"] for item in schema["items"]] == ["integer", "number"]
    assert (schema["type"], schema["minItems"], schema["maxItems"]) == ("array", 2, 2)


def test_tagged_models_stay_apart() -> None:
    schema = described(Annotated[Cat | Dog, Field(discriminator="kind")])

    assert [member["title"] for member in schema["oneOf"]] == ["Cat", "Dog"]


def test_a_model_and_its_subclass_become_one_object() -> None:
    schema = described(Dog | Puppy)

    assert schema["type"] == "object"
    assert schema["properties"].keys() == {"kind", "lives", "age"}
    assert list(Draft7Validator(schema).iter_errors(Puppy().model_dump())) == []


def test_a_recursive_alias_is_cut_where_it_recurs() -> None:
    tree = TypeAliasType("tree", "dict[str, tree] | list[tree] | str")  # type: ignore[misc]

    assert described(tree) == {"oneOf": [{"type": "object"}, {"type": "array", "items": ANY}, STRING]}


def test_models_that_multiply_are_cut_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    annotation: Any = int
    for level in range(12):
        fields: dict[str, Any] = {f"field_{n}": annotation for n in range(3)}
        annotation = create_model(f"Level{level}", **fields)

    schema = described(annotation)

    assert len(str(schema)) < 200_000
    assert "too many models" in caplog.text


def test_computed_fields_are_read_only_where_what_is_accepted_is_read_too() -> None:
    class Part(BaseModel):
        volts: float = 0

        @computed_field(alias="power", description="In W.")  # type: ignore[prop-decorator]
        @property
        def watts(self) -> float:
            return self.volts**2

    @pydantic_dataclass
    class Whole:
        part: Part

        @computed_field  # type: ignore[prop-decorator]
        @property
        def parts(self) -> list[Part]:
            return [self.part]

    described = data_schema(TypeAdapter(Whole), "validation", computed_too=True)
    assert described["required"] == ["part"]
    assert described["properties"]["parts"]["readOnly"] is True
    power = described["properties"]["part"]["properties"]["power"]
    assert power == {"type": "number", "description": "In W.", "readOnly": True}
    assert "power" not in str(data_schema(TypeAdapter(Whole), "validation"))


def test_computed_fields_are_part_of_what_is_produced() -> None:
    class Square(BaseModel):
        side: float

        @computed_field
        def area(self) -> float:
            return self.side**2

    assert described(Square, "validation")["properties"].keys() == {"side"}
    assert described(Square, "serialization")["properties"]["area"] == {"type": "number", "readOnly": True}


def test_what_json_cannot_say_is_left_out() -> None:
    class Limits(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        high: float = float("inf")
        marker: Any = Field(default=object(), examples=[1])

    assert described(Limits)["properties"] == {"high": NUMBER, "marker": ANY}


class Custom:
    """A class that pydantic knows nothing of."""


def test_a_part_that_json_schema_has_no_word_for_is_any_value(caplog: pytest.LogCaptureFixture) -> None:
    class Job(BaseModel):
        name: str
        run: Callable[[], None]

    assert described(Job)["properties"] == {"name": STRING, "run": ANY}
    assert "CallableSchema" in caplog.text


@pytest.mark.parametrize("hint", [PlainValidator(lambda value: value), InstanceOf()], ids=["validator", "instance"])
def test_a_class_that_pydantic_does_not_know_is_any_value(hint: Any) -> None:
    assert described(Annotated[Custom, hint]) == ANY


def test_a_type_whose_own_hook_fails_is_any_value(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(BaseModel):
        @classmethod
        def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
            raise RuntimeError("no schema today")

    assert described(Broken) == ANY
    assert "no schema today" in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"type": ["string", "null"]}, {"oneOf": [STRING, {"type": "null"}]}),
        (
            {
                "type": "object",
                "allOf": [
                    {"properties": {"a": STRING}, "required": ["a"]},
                    {"properties": {"b": {}}, "required": ["b"]},
                ],
            },
            {"type": "object", "properties": {"a": STRING, "b": ANY}, "required": ["a", "b"]},
        ),
        ({"$ref": "https://example.com/elsewhere", "description": "Gone."}, {"description": "Gone.", **ANY}),
        ({"type": "array", "items": True}, {"type": "array", "items": ANY}),
        ({"type": "object", "patternProperties": {"^a": {"type": "string"}}}, {"type": "object"}),
    ],
    ids=str,
)
def test_schemas_that_users_write_are_converted(written: dict[str, Any], expected: dict[str, Any]) -> None:
    assert described(Annotated[Any, WithJsonSchema(written)]) == expected


# --- action inputs ------------------------------------------------------------------------------------------


class Arguments(TypedDict):
    position: int
    speed: NotRequired[Annotated[float, Field(default=2.5, description="How fast.", gt=0)]]
    label: NotRequired[Annotated[Optional[str], Field(default=None, description="A name.")]]  # noqa: UP045
    limit: NotRequired[Annotated[Optional[int], Field(default=5)]]  # noqa: UP045
    either: NotRequired[Annotated[Union[int, str, None], Field(default=None)]]  # noqa: UP007
    extra: NotRequired[Annotated[Any, Field(default=None)]]
    must_say: Optional[int]  # noqa: UP045


def test_an_argument_that_may_be_none_is_described_as_what_it_is_when_given() -> None:
    assert action_input_schema(TypeAdapter(Arguments)) == {
        "type": "object",
        "properties": {
            "position": {"type": "integer"},
            "speed": {"type": "number", "default": 2.5, "description": "How fast.", "exclusiveMinimum": 0},
            "label": {"type": "string", "description": "A name."},
            "limit": {"oneOf": [{"type": "integer"}, {"type": "null"}], "default": 5},
            "either": {"oneOf": [{"type": "integer"}, STRING]},
            "extra": ANY,
            "must_say": {"oneOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["position", "must_say"],
    }


def test_arguments_that_are_all_optional_require_nothing() -> None:
    class Optionals(TypedDict, total=False):
        a: int

    assert action_input_schema(TypeAdapter(Optionals)) == {"type": "object", "properties": {"a": {"type": "integer"}}}


def test_any_value_is_made_anew() -> None:
    any_value()["oneOf"].clear()

    assert any_value() == ANY
