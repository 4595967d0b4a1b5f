"""JSON Patch as RFC 6902 has it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labthings.exceptions import InvalidPatchError
from labthings.state.json_patch import applied, at, difference, same

JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(0, 2), st.sampled_from([0.0, -0.0, 1.0]), st.text("a/~", max_size=2)
    ),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "/", "~1", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(JSON, JSON)
def test_the_difference_leads_from_one_to_the_other(old: Any, new: Any) -> None:
    operations = list(difference(old, new))
    assert (operations == []) == same(old, new)
    told = [json.loads(each.to_json()) for each in operations]
    assert same(applied(copy.deepcopy(old), operations), new)
    assert same(applied(copy.deepcopy(old), told), new)


@pytest.mark.parametrize(
    ("data", "operation", "expected"),
    [
        ({}, {"op": "add", "path": "/a~1b~0", "value": 1}, {"a/b~": 1}),
        ({"a": 1}, {"op": "add", "path": "/a", "value": 2}, {"a": 2}),
        ([1], {"op": "add", "path": "/-", "value": 2}, [1, 2]),
        ([1], {"op": "add", "path": "/0", "value": 2}, [2, 1]),
        ([1], {"op": "add", "path": "/1", "value": 2}, [1, 2]),
        ({"": 1}, {"op": "remove", "path": "/"}, {}),
        ({"a": [1]}, {"op": "replace", "path": "", "value": None}, None),
        ({"a": [1]}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": [1], "b": [1]}),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": "/c"}, {"a": {}, "c": 1}),
        ([1, 2, 3], {"op": "move", "from": "/0", "path": "/2"}, [2, 3, 1]),
        ({"a": 1}, {"op": "test", "path": "/a", "value": 1.0}, {"a": 1}),
        ({"0": 1}, {"op": "replace", "path": "/0", "value": 2}, {"0": 2}),
    ],
)
def test_an_operation(data: Any, operation: Any, expected: Any) -> None:
    assert applied(data, [operation]) == expected


@pytest.mark.parametrize(
    ("data", "operation"),
    [
        ([1], {"op": "add", "path": "/2", "value": 2}),
        ([1], {"op": "remove", "path": "/-"}),
        ([1, 2], {"op": "remove", "path": "/01"}),
        ([1], {"op": "replace", "path": "/-1", "value": 2}),
        ([1], {"op": "replace", "path": "/٠", "value": 2}),
        ([1], {"op": "replace", "path": "/" + "9" * 5000, "value": 2}),
        ({"a": 1}, {"op": "remove", "path": "/b"}),
        ({"a": 1}, {"op": "remove", "path": ""}),
        ({"a": 1}, {"op": "replace", "path": "a", "value": 2}),
        ({"a": 1}, {"op": "test", "path": "/a", "value": True}),
        ({"a": {}}, {"op": "move", "from": "/a", "path": "/a/b"}),
        ({"a": 1}, {"op": "add", "path": 5, "value": 1}),
        ("text", {"op": "add", "path": "/0", "value": 1}),
    ],
)
def test_an_operation_that_does_not_fit_is_refused(data: Any, operation: Any) -> None:
    before = copy.deepcopy(data)
    with pytest.raises(InvalidPatchError):
        applied(data, [operation])
    assert data == before


def test_a_patch_cannot_grow_without_bound() -> None:
    data = {"a": [1, 2], "b": ["x" * 2**16]}
    for path, source in (("/a/-", "/a"), ("/b/-", "/b/0")):
        with pytest.raises(InvalidPatchError, match="cannot copy more than 1048576 bytes"):
            applied(data, [{"op": "copy", "from": source, "path": path}] * 300)
    assert data == {"a": [1, 2], "b": ["x" * 2**16]}


def test_what_a_copy_brings_is_not_shared() -> None:
    data = applied({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/-", "value": 2}])
    assert data == {"a": [1], "b": [1, 2]}


def test_what_a_pointer_points_to() -> None:
    assert at({"a/b": [1, {"~": 2}]}, "/a~1b/1/~0") == 2
    assert at(5, "") == 5
