from __future__ import annotations

import datetime
import uuid
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import Field, TypeAdapter

from labthings.thing_description import data_schema, validate_thing_description

from .test_data_schema import Cat, Colour, Dog, Mixed, Point, Puppy, Size, Tree

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


class Leaf:
    """Types that have no parts, each with its values."""

    pairs: ClassVar[list[tuple[Any, st.SearchStrategy[Any]]]] = [
        (int, st.integers()),
        (float, st.floats(allow_nan=False, allow_infinity=False)),
        (str, st.text()),
        (bool, st.booleans()),
        (None, st.none()),
        (Literal["a", 1], st.sampled_from(["a", 1])),
        (Literal["b"], st.just("b")),
        (Colour, st.sampled_from(Colour)),
        (Mixed, st.sampled_from(Mixed)),
        (datetime.datetime, st.datetimes()),
        (uuid.UUID, st.uuids()),
        (bytes, st.text().map(str.encode)),
        (Annotated[int, Field(ge=0, le=5)], st.integers(0, 5)),
        (Annotated[str, Field(min_length=2)], st.text(min_size=2)),
        (Point, st.builds(Point, x=st.just(1.0), my_label=st.none() | st.text())),
        (Dog, st.builds(Dog)),
        (Puppy, st.builds(Puppy)),
        (Cat, st.builds(Cat)),
        (Size, st.builds(Size, width=st.integers(), tags=st.lists(st.text(), max_size=2))),
        (Tree, st.just(Tree(name="root", children=[Tree(name="leaf")]))),
        (Any, json_values),
    ]


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    one, two = inner, st.tuples(inner, inner)
    return st.one_of(
        one.map(lambda p: (list[p[0]], st.lists(p[1], max_size=3))),
        one.map(lambda p: (dict[str, p[0]], st.dictionaries(st.text(), p[1], max_size=3))),
        one.map(lambda p: (Optional[p[0]], st.none() | p[1])),  # noqa: UP045
        one.map(lambda p: (tuple[p[0], ...], st.lists(p[1], max_size=3).map(tuple))),
        two.map(lambda p: (tuple[p[0][0], p[1][0]], st.tuples(p[0][1], p[1][1]))),
        two.map(lambda p: (Union[p[0][0], p[1][0]], p[0][1] | p[1][1])),  # noqa: UP007
    )


types_and_values = st.recursive(st.sampled_from(Leaf.pairs), composed, max_leaves=5)


def terms(schema: dict[str, Any]) -> set[str]:
    """Every term that ``schema`` and its parts use, leaving out the names of objects' properties."""
    items = schema.get("items", [])
    parts = [*schema.get("oneOf", []), *schema.get("properties", {}).values()]
    parts += items if isinstance(items, list) else [items]
    return set(schema).union(*map(terms, parts))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_every_schema_is_a_data_schema_that_fits_the_types_values(data: st.DataObject) -> None:
    annotation, values = data.draw(types_and_values)
    adapter = TypeAdapter(annotation)
    value = adapter.dump_python(data.draw(values), mode="json", warnings=False)

    for mode in ("validation", "serialization"):
        schema = data_schema(adapter, mode)

        assert not terms(schema) & {
            "$ref",
            "$defs",
            "anyOf",
            "allOf",
            "prefixItems",
            "additionalProperties",
            "writeOnly",
        }
        validate_thing_description(thing_description_with(schema))
        assert [error.message for error in Draft7Validator(schema).iter_errors(value)] == []


def thing_description_with(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "@context": "https://www.w3.org/2022/wot/td/v1.1",
        "title": "T",
        "securityDefinitions": {"nosec_sc": {"scheme": "nosec"}},
        "security": "nosec_sc",
        "properties": {"p": {**schema, "forms": [{"href": "p"}]}},
        "actions": {"a": {"input": schema, "output": schema, "forms": [{"href": "a"}]}},
    }
