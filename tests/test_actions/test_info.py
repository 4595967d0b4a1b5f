"""What is known about an action, of a class and of a Thing."""

from typing import Annotated, Any

import pytest
from pydantic import Field

import labthings as lt
from labthings.exceptions import InvalidReturnValueError, InvalidValueError, NotBoundToInstanceError


class Robot(lt.Thing):
    @lt.action(safe=True)
    def add(self, a: Annotated[int, Field(description="The first.")], b: int = 2, c: int = 3) -> int:
        """Add numbers.

        They are whole.

        :param a: overruled by the annotation.
        :param b: the second.
        """
        return a + b + c

    @lt.action
    def nothing(self) -> None:
        return None


@pytest.fixture
def add(serve: Any) -> Any:
    return serve({"mine": Robot})[0].things["mine"].actions["add"]


def test_the_docstring_says_title_description_and_what_parameters_are(add: Any) -> None:
    for info in (Robot.actions["add"], add):
        assert (info.name, info.title, info.description, info.safe) == ("add", "Add numbers.", "They are whole.", True)
        schema = info.input_adapter.json_schema()
        assert schema["required"] == ["a"]
        described = {name: each.get("description") for name, each in schema["properties"].items()}
        assert described == {"a": "The first.", "b": "the second.", "c": None}
        assert schema["properties"]["b"]["default"] == 2
    assert Robot.actions["nothing"].title == "nothing"


def test_without_arguments_or_result_there_is_no_adapter() -> None:
    assert Robot.actions["nothing"].input_adapter is None
    assert Robot.actions["nothing"].output_adapter is None
    assert Robot.actions["add"].output_adapter is not None


@pytest.mark.parametrize(
    ("document", "arguments"),
    [(b'{"a": 1}', {"a": 1, "b": 2, "c": 3}), (b' {"a": 1.0, "b": 5} ', {"a": 1, "b": 5, "c": 3})],
)
def test_arguments_are_parsed_and_converted(add: Any, document: bytes, arguments: Any) -> None:
    assert add.validate_json(document) == arguments
    assert add.call(add.validate_json(document)) == sum(arguments.values())


@pytest.mark.parametrize("document", [b"", b"null", b"{}", b"[]", b"{", b'{"a": "one"}', b'{"a": 1, "d": 1}', b"\xff"])
def test_arguments_that_do_not_fit_are_refused_by_name(add: Any, document: bytes) -> None:
    with pytest.raises(InvalidValueError, match=r"^mine\.add: "):
        add.validate_json(document)


def test_no_arguments_are_nothing_null_or_an_empty_object() -> None:
    nothing = Robot.actions["nothing"]
    for document in (b"", b" ", b"null", b" {} "):
        assert nothing.validate_json(document) == {}
    for document in (b'{"a": 1}', b"[]", b"0", b'""', b"false", b"{"):
        with pytest.raises(InvalidValueError, match=r"^Robot\.nothing: "):
            nothing.validate_json(document)


def test_arguments_and_output_become_json(add: Any) -> None:
    assert add.input_to_json({"a": 1, "b": 2}) == b'{"a":1,"b":2}'
    assert Robot.actions["nothing"].input_to_json({}) == b"{}"
    assert add.output_to_json(3) == b"3"
    assert Robot.actions["nothing"].output_to_json(None) == b"null"
    with pytest.raises(InvalidReturnValueError, match=r"'mine\.add'"):
        add.output_to_json("three")


def test_an_action_of_a_class_cannot_be_called() -> None:
    with pytest.raises(NotBoundToInstanceError):
        Robot.actions["add"].call({"a": 1})
