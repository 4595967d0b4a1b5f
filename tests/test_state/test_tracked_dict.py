"""A tracked dict does what a dict does, and replicas do the same."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, StringConstraints, ValidationError

from labthings.exceptions import AlreadyInStateError
from labthings.state import ReactiveModel, TrackedDict


class Cell(ReactiveModel):
    number: int = 0


class Table(ReactiveModel):
    values: dict[str, int] = Field(default_factory=lambda: {"a": 1, "b/~": 2})
    few: dict[Annotated[str, StringConstraints(to_lower=True, max_length=2)], int] = Field(
        {"a": 1}, min_length=1, max_length=2
    )
    sides: dict[Literal["left", "right"], int] = Field({})
    cells: dict[str, Cell] = Field(default_factory=lambda: {"one": Cell()})
    lists: dict[str, list[dict[str, int]]] = Field({})
    bare: dict = Field({})  # type: ignore[type-arg]


CHANGES: dict[str, Callable[[Any], Any]] = {
    "set": lambda items: items.__setitem__("c", 3),
    "set again": lambda items: items.__setitem__("b/~", 3),
    "delete": lambda items: items.__delitem__("a"),
    "delete what is not there": lambda items: items.__delitem__("c"),
    "pop": lambda items: items.pop("b/~"),
    "pop what is not there": lambda items: items.pop("c"),
    "pop with a default": lambda items: items.pop("c", None),
    "popitem": lambda items: items.popitem(),
    "update": lambda items: items.update({"a": 5, "c": 6}, d=7),
    "update with pairs": lambda items: items.update([("a", 5)]),
    "update with itself": lambda items: items.update(items),
    "update with nothing": lambda items: items.update(),
    "update with a number": lambda items: items.update(1),
    "setdefault": lambda items: items.setdefault("c", 3),
    "setdefault that is there": lambda items: items.setdefault("a", 3),
    "clear": lambda items: items.clear(),
    "ior": lambda items: items.__ior__({"c": 3}) is items,
    "or": lambda items: items | {"c": 3},
    "copy": lambda items: items.copy(),
    "get": lambda items: items.get("c", 4),
}


def outcome(change: Callable[[Any], Any], items: Any) -> Any:
    try:
        return change(items)
    except Exception as error:  # noqa: BLE001
        return type(error)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("start", [{"a": 1, "b/~": 2}, {}])
def test_a_change_is_that_of_a_dict(name: str, start: dict[str, int], follow: Any) -> None:
    plain, table, free = dict(start), Table(values=start), Table(values=start).values
    replica, kept = follow(table), table.values
    expected = outcome(CHANGES[name], plain)
    assert outcome(CHANGES[name], table.values) == outcome(CHANGES[name], free) == expected
    assert list(table.values.items()) == list(free.items()) == list(plain.items())
    assert table.values is kept
    assert len(replica.patches) == (plain != start)
    replica.check()


def test_it_is_a_dict() -> None:
    items = Table().values
    assert isinstance(items, TrackedDict)
    assert isinstance(items, dict)
    assert repr(items) == "{'a': 1, 'b/~': 2}"
    assert json.loads(json.dumps(items)) == items == {"a": 1, "b/~": 2}
    assert Table().model_dump(include={"values"}) == {"values": {"a": 1, "b/~": 2}}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda items: pickle.loads(pickle.dumps(items))])
def test_a_copy_is_a_plain_dict(copied: Callable[[Any], Any]) -> None:
    found = copied(Table().values)
    assert (type(found), found) == (dict, {"a": 1, "b/~": 2})


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.values.__setitem__("c", "x"),
        lambda table: table.values.__setitem__(1, 1),
        lambda table: table.values.update(c=1, d="x"),
        lambda table: table.few.update(b=1, c=2),
        lambda table: table.few.__setitem__("long", 2),
        lambda table: table.few.clear(),
        lambda table: table.few.pop("a"),
        lambda table: table.sides.__setitem__("up", 1),
        lambda table: table.cells.__setitem__("two", 2),
        lambda table: table.bare.__setitem__(1, 2),
        lambda table: table.bare.__setitem__("a", {1: 2}),
    ],
)
def test_what_is_not_valid_is_refused_and_nothing_has_changed(change: Callable[[Table], Any], follow: Any) -> None:
    table = Table()
    replica = follow(table)
    before = table.model_dump()
    with pytest.raises((ValidationError, TypeError)):
        change(table)
    assert table.model_dump() == before
    assert replica.patches == []


def test_keys_are_made_what_they_should_be(follow: Any) -> None:
    table = Table()
    replica = follow(table)
    table.few["A"] = 5
    assert table.few.setdefault("B", 6) == 6
    assert table.few == {"a": 5, "b": 6}
    table.sides["left"] = 3
    replica.check()


def test_names_are_escaped(follow: Any) -> None:
    table = Table()
    replica = follow(table)
    table.values["b/~"] = 3
    table.cells["/~1"] = Cell()
    table.cells["/~1"].number = 4
    table.lists[""] = [{"~0": 1}]
    table.lists[""][0]["~0"] += 1
    table.bare["a"] = {"b": [{"c": 1}]}
    table.bare["a"]["b"][0]["c"] = 2
    assert [each[1] for each in replica.operations][:3] == ["/values/b~1~0", "/cells/~1~01", "/cells/~1~01/number"]
    replica.check()


def test_a_model_is_at_one_key(follow: Any) -> None:
    table = Table()
    replica = follow(table)
    with pytest.raises(AlreadyInStateError):
        table.cells["two"] = table.cells["one"]
    assert list(table.cells) == ["one"]
    cell = table.cells.pop("one")
    cell.number = 1
    table.cells["two"] = cell
    cell.number = 2
    table.cells["two"] = cell
    assert replica.data["cells"] == {"two": {"number": 2}}
    replica.check()
