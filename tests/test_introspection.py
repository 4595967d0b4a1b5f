"""Docstrings under attributes, docstrings' parts, and annotations that name what is not defined yet."""

from __future__ import annotations

import linecache
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

import labthings as lt
from labthings.introspection import MISSING, SourceLocation, annotation_of, attribute_docstring, documentation


class Documented(lt.Thing):
    plain: int = lt.property(default=1)
    """The plain one."""

    over_several_lines: int = lt.property(
        default=2,
        ge=0,
    )
    """The long one.

    It has more to say.
        And is indented.
    """

    undocumented: int = lt.property(default=3)

    # a comment, and then something that is no docstring
    followed_by_code: int = lt.property(default=4)
    helper = "not a docstring"
    """Of the helper."""

    kept: str = lt.setting(default="")
    """A setting."""

    subscripted = lt.DataProperty[Any, int](default=6)
    """The subscripted one."""

    other: OtherThing | None = lt.thing_slot(None)
    """A slot."""


class OtherThing(lt.Thing):
    plain: int = lt.property(default=1)

    class Nested:
        inner: int = 1
        """Not of a property."""


# --- docstrings under attributes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "title", "description"),
    [
        ("plain", "The plain one.", None),
        ("over_several_lines", "The long one.", "It has more to say.\n    And is indented."),
        ("undocumented", "undocumented", None),
        ("followed_by_code", "followed_by_code", None),
        ("kept", "A setting.", None),
        ("subscripted", "The subscripted one.", None),
    ],
)
def test_the_string_under_an_attribute_documents_it(name: str, title: str, description: str | None) -> None:
    info = Documented.properties[name]
    assert (info.title, info.description) == (title, description)


def test_slots_are_documented_like_that_too() -> None:
    assert vars(Documented)["other"].title == "A slot."


def test_a_class_without_strings_has_none_of_anothers() -> None:
    assert OtherThing.properties["plain"].title == "plain"


def test_a_docstring_that_is_given_wins_over_the_one_below() -> None:
    class Stage(lt.Thing):
        position: int = lt.DataProperty(0, docstring="Given.")
        """Below."""

    assert Stage.properties["position"].title == "Given."


def test_code_without_a_source_file_has_no_docstrings_and_works() -> None:
    names: dict[str, Any] = {"lt": lt}
    exec('class Stage(lt.Thing):\n    x: int = lt.property(default=1)\n    "Lost."', names)
    assert names["Stage"].properties["x"].title == "x"


def test_a_file_that_cannot_be_parsed_has_no_docstrings() -> None:
    linecache.cache["<cell>"] = (0, None, ["%matplotlib inline\n", "x = 1\n", "'Lost.'\n"], "<cell>")
    assert attribute_docstring(SourceLocation("<cell>", 2)) is None


# --- the parts of a docstring -------------------------------------------------------------------------------


def test_a_docstring_has_a_title_a_description_and_parameters() -> None:
    found = documentation(
        """Move somewhere.

        Slowly,
        that is.

        :param x: where to,
            in mm.
        :param float speed: how fast.
        :param **others: the rest.
        :return: where it is.
        :raises ValueError: never.
        """,
        "move",
    )
    assert (found.title, found.description) == ("Move somewhere.", "Slowly,\nthat is.")
    assert found.parameters == {"x": "where to, in mm.", "speed": "how fast.", "others": "the rest."}


@pytest.mark.parametrize("docstring", [None, "", "   \n  ", ":param x: all there is."])
def test_without_a_first_line_the_title_is_the_name(docstring: str | None) -> None:
    found = documentation(docstring, "move")
    assert (found.title, found.description) == ("move", None)


@given(st.text() | st.none())
def test_a_title_is_never_empty_and_the_description_never_blank(docstring: str | None) -> None:
    found = documentation(docstring, "name")
    assert found.title.strip() == found.title != ""
    assert "\n" not in found.title
    assert found.description is None or found.description.strip() == found.description != ""


# --- annotations --------------------------------------------------------------------------------------------


class Early(lt.Thing):
    limits: Limits = lt.property(default_factory=lambda: Limits(low=0, high=1))
    several: list["Limits"] = lt.property(default_factory=list)  # noqa: UP037
    tree: Tree = lt.property(default_factory=lambda: Tree(children=[Tree()]))
    unit: Unit = lt.property(default="mm")

    Unit = Annotated[str, Field(max_length=2)]

    @lt.property
    def measured(self) -> Limits:
        return Limits(low=2, high=3)

    @lt.action
    def widen(self, limits: Limits, by: float = 1) -> Limits:
        return Limits(low=limits.low - by, high=limits.high + by)


class Limits(BaseModel):
    low: float
    high: float


class Tree(BaseModel):
    children: list[Tree] = []


def test_types_may_be_defined_after_the_thing(serve: Any) -> None:
    server, client = serve({"early": Early})
    assert Early.properties["limits"].value_type is Limits
    assert client.get("/early/limits").json() == {"low": 0, "high": 1}
    assert client.put("/early/several", json=[{"low": 1, "high": 2}]).status_code == 204
    assert server.things["early"].several == [Limits(low=1, high=2)]
    assert client.get("/early/tree").json() == {"children": [{"children": []}]}
    assert client.get("/early/measured").json() == {"low": 2, "high": 3}
    answer = client.post("/early/widen", json={"limits": {"low": 2, "high": 3}}, headers={"Prefer": "wait=10"})
    assert answer.json()["output"] == {"low": 1, "high": 4}
    assert client.get("/early/").status_code == 200


def test_types_may_be_defined_in_the_thing(serve: Any) -> None:
    _, client = serve({"early": Early})
    assert client.put("/early/unit", json="um").status_code == 204
    assert client.put("/early/unit", json="inch").status_code == 422


class Unfinished(lt.Thing):
    fine: int = lt.property(default=1)
    limits: NowhereDefined = lt.property(default=1)  # type: ignore[name-defined]  # noqa: F821

    @lt.property
    def measured(self) -> NowhereDefined:  # type: ignore[name-defined]  # noqa: F821
        return 1

    @lt.action
    def widen(self, limits: NowhereDefined) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass


def test_a_type_that_is_defined_nowhere_is_named_with_its_attribute_and_harms_no_other(serve: Any) -> None:
    _, client = serve({"unfinished": Unfinished})
    expected = "The annotations of 'Unfinished.{}' cannot be evaluated: name 'NowhereDefined' is not defined"
    for name in ("limits", "measured"):
        assert expected.format(name) in client.get(f"/unfinished/{name}").json()["detail"]
    assert expected.format("widen") in client.post("/unfinished/widen", json={}).json()["detail"]
    assert client.get("/unfinished/fine").json() == 1


def test_an_attribute_without_an_annotation_has_none() -> None:
    class Annotations:
        there: int
        forward: list[Limits]

    assert annotation_of(Annotations, "there") is int
    assert annotation_of(Annotations, "forward") == list[Limits]
    assert annotation_of(Annotations, "not_there") is MISSING
    assert repr(MISSING) == "<missing>"


def test_an_annotation_keeps_its_metadata() -> None:
    class Annotations:
        there: Annotated[int, Field(ge=0)]

    assert annotation_of(Annotations, "there").__metadata__[0].metadata
