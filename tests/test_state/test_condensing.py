"""Leaving out what makes no difference in the end."""

from __future__ import annotations

from typing import Any

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labthings.exceptions import InvalidPatchError
from labthings.state import Operation
from labthings.state.condensing import condensed
from labthings.state.json_patch import applied


def replace(path: str, value: Any) -> Operation:
    return Operation("replace", path, pydantic_core.to_json(value))


def add(path: str, value: Any) -> Operation:
    return Operation("add", path, pydantic_core.to_json(value))


A1, A2, B1, WHOLE, DEEP = (
    replace("/a", 1),
    replace("/a", 2),
    replace("/b", 1),
    replace("/a", {"c": 1}),
    replace("/a/c", 2),
)


@pytest.mark.parametrize(
    ("operations", "kept"),
    [
        ([], []),
        ([A1, A2], [A2]),
        ([A1, B1, A2], [B1, A2]),
        ([A1, WHOLE, DEEP, A2], [A1, WHOLE, DEEP, A2]),
        ([A1, add("/l/0", 1), A2], [A1, add("/l/0", 1), A2]),
        ([replace("/l/0", 1), Operation("remove", "/l/0"), replace("/l/0", 2)], None),
        ([replace("/a", []), replace("/a", [])], None),
    ],
)
def test_only_what_nothing_depends_on_is_left_out(operations: list[Operation], kept: list[Operation] | None) -> None:
    assert condensed(operations) == (operations if kept is None else kept)


VALUES = st.sampled_from([None, 0, 1, "x", True, [], [1], [1, 2], {}, {"a": 1}, {"a": [1]}])
PATHS = st.lists(st.sampled_from(["a", "b", "0", "1"]), min_size=0, max_size=3).map(
    lambda parts: "".join(f"/{each}" for each in parts)
)
OPERATIONS = st.lists(
    st.one_of(
        st.builds(replace, PATHS, VALUES),
        st.builds(add, PATHS, VALUES),
        PATHS.filter(bool).map(lambda path: Operation("remove", path)),
    ),
    max_size=12,
)
START = {"a": {"a": 1, "b": [1, 2]}, "b": [0, {"a": 1}]}


@given(OPERATIONS)
def test_it_leads_to_the_same(operations: list[Operation]) -> None:
    fitting: list[Operation] = []
    data: Any = pydantic_core.from_json(pydantic_core.to_json(START))
    for each in operations:
        try:
            data = applied(data, [each])
        except InvalidPatchError:
            continue
        fitting.append(each)
    again = pydantic_core.from_json(pydantic_core.to_json(START))
    assert pydantic_core.to_json(applied(again, condensed(fitting))) == pydantic_core.to_json(data)
