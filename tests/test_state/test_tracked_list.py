"""A tracked list does what a list does, and replicas do the same."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from labthings.exceptions import AlreadyInStateError
from labthings.state import ReactiveModel, TrackedList


class Row(ReactiveModel):
    values: list[int] = Field(default_factory=lambda: [3, 1, 2])
    few: list[Annotated[int, Field(lt=10)]] = Field([1], min_length=1, max_length=3)
    matrix: list[list[int]] = Field(default_factory=lambda: [[1], [2, 3]])


class Cell(ReactiveModel):
    number: int = 0


class Sheet(ReactiveModel):
    cells: list[Cell] = Field(default_factory=lambda: [Cell(number=number) for number in range(3)])


def set_at(index: Any, value: Any) -> Callable[[Any], Any]:
    return lambda items: items.__setitem__(index, value)


def delete(index: Any) -> Callable[[Any], Any]:
    return lambda items: items.__delitem__(index)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "append": lambda items: items.append(4),
    "insert": lambda items: items.insert(1, 4),
    "insert before the start": lambda items: items.insert(-9, 4),
    "insert after the end": lambda items: items.insert(9, 4),
    "pop": lambda items: items.pop(),
    "pop first": lambda items: items.pop(0),
    "pop what is not there": lambda items: items.pop(3),
    "pop with no index": lambda items: items.pop("a"),
    "remove": lambda items: items.remove(1),
    "remove what is not there": lambda items: items.remove(9),
    "extend": lambda items: items.extend(number for number in (4, 5)),
    "extend with itself": lambda items: items.extend(items),
    "extend with no iterable": lambda items: items.extend(4),
    "add": lambda items: items.__add__([4]),
    "iadd": lambda items: items.__iadd__((4, 5)) is items,
    "imul": lambda items: items.__imul__(2) is items,
    "imul by nothing": lambda items: items.__imul__(0) is items,
    "imul by less": lambda items: items.__imul__(-1) is items,
    "set": set_at(1, 4),
    "set from the end": set_at(-1, 4),
    "set what is not there": set_at(3, 4),
    "set at no index": set_at("a", 4),
    "set slice": set_at(slice(0, 2), [4, 5, 6]),
    "set empty slice": set_at(slice(2, 1), [4]),
    "set all": set_at(slice(None), [4]),
    "set extended slice": set_at(slice(None, None, 2), [4, 5]),
    "set extended slice backwards": set_at(slice(None, None, -1), [4, 5, 6]),
    "set extended slice of another length": set_at(slice(None, None, 2), [4]),
    "set slice to no iterable": set_at(slice(0, 1), 4),
    "delete": delete(0),
    "delete what is not there": delete(-4),
    "delete slice": delete(slice(1, None)),
    "delete extended slice": delete(slice(None, None, 2)),
    "delete backwards": delete(slice(None, None, -1)),
    "get slice": lambda items: items[0:2],
    "sort": lambda items: items.sort(),
    "sort by a key": lambda items: items.sort(key=lambda number: -number, reverse=True),
    "sort by a key that fails": lambda items: items.sort(key=lambda number: 1 / (number - 1)),
    "sort by position": lambda items: items.sort(lambda number: number),
    "reverse": lambda items: items.reverse(),
    "clear": lambda items: items.clear(),
    "copy": lambda items: items.copy(),
    "count": lambda items: items.count(1),
}


def outcome(change: Callable[[Any], Any], items: Any) -> Any:
    try:
        return change(items)
    except Exception as error:  # noqa: BLE001
        return type(error)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_that_of_a_list(name: str, follow: Any) -> None:
    plain, row = [3, 1, 2], Row()
    replica, kept = follow(row), row.values
    free = Row().values
    expected = outcome(CHANGES[name], plain)
    assert outcome(CHANGES[name], row.values) == outcome(CHANGES[name], free) == expected
    assert row.values == free == plain
    assert row.values is kept
    assert len(replica.patches) == (plain != [3, 1, 2])
    replica.check()


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_an_empty_list_is_that_of_an_empty_list(name: str, follow: Any) -> None:
    plain: list[int] = []
    row = Row(values=[])
    replica = follow(row)
    assert outcome(CHANGES[name], row.values) == outcome(CHANGES[name], plain)
    assert row.values == plain
    replica.check()


def test_it_is_a_list() -> None:
    items = Row().values
    assert isinstance(items, TrackedList)
    assert isinstance(items, list)
    assert items == [3, 1, 2]
    assert repr(items) == "[3, 1, 2]"
    assert json.dumps(items) == "[3, 1, 2]"
    assert Row().model_dump_json() == '{"values":[3,1,2],"few":[1],"matrix":[[1],[2,3]]}'
    assert Row().model_dump()["values"] == [3, 1, 2]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda items: pickle.loads(pickle.dumps(items))])
def test_a_copy_is_a_plain_list(copied: Callable[[Any], Any]) -> None:
    found = copied(Row().matrix)
    assert (type(found), found) == (list, [[1], [2, 3]])


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.few.append(10),
        lambda row: row.few.append("x"),
        lambda row: row.few.extend([2, 3, 4]),
        lambda row: row.few.extend([2, 10]),
        lambda row: row.few.clear(),
        lambda row: row.few.pop(),
        lambda row: row.few.__setitem__(0, 10),
        lambda row: row.few.__setitem__(slice(None), []),
        lambda row: row.few.__imul__(4),
        lambda row: row.matrix.append([1, "x"]),
        lambda row: row.matrix[0].append("x"),
        lambda row: row.matrix.append(1),
    ],
)
def test_what_is_not_valid_is_refused_and_nothing_has_changed(change: Callable[[Row], Any], follow: Any) -> None:
    row = Row()
    replica = follow(row)
    before = row.model_dump()
    with pytest.raises(ValidationError):
        change(row)
    assert row.model_dump() == before
    assert replica.patches == []


def test_the_error_says_where() -> None:
    with pytest.raises(ValidationError, match=r"Row\.few\n2\n  Input should be less than 10") as caught:
        Row().few.extend([2, 10])
    assert caught.value.errors()[0]["loc"] == (2,)


def test_items_are_made_what_they_should_be(follow: Any) -> None:
    row = Row()
    replica = follow(row)
    row.values.append("4")  # type: ignore[arg-type]
    row.matrix.append(("5",))  # type: ignore[arg-type]
    row.matrix[2].append(6)
    assert (row.values[3], row.matrix[2]) == (4, [5, 6])
    replica.check()


def test_operations_are_as_few_as_they_can_be(follow: Any) -> None:
    row = Row(values=range(10))
    replica = follow(row)
    row.values.append(10)
    row.values.insert(0, -1)
    row.values[3] = 7
    del row.values[1:3]
    row.values.sort(reverse=True)
    row.values.clear()
    assert replica.operations == [
        ("add", "/values/10", 10),
        ("add", "/values/0", -1),
        ("replace", "/values/3", 7),
        ("remove", "/values/2"),
        ("remove", "/values/1"),
        ("replace", "/values", [10, 9, 8, 7, 7, 6, 5, 4, 3, -1]),
        ("replace", "/values", []),
    ]


def test_items_that_move_are_still_told_of(follow: Any) -> None:
    sheet = Sheet()
    replica = follow(sheet)
    first, second, third = sheet.cells
    sheet.cells.insert(0, Cell(number=-1))
    second.number = 20
    sheet.cells.sort(key=lambda cell: -cell.number)
    third.number = 30
    sheet.cells.reverse()
    first.number = 10
    sheet.cells[0:2] = [sheet.cells[1], sheet.cells[0]]
    del sheet.cells[0]
    third.number = 31
    assert [cell.number for cell in sheet.cells] == [-1, 31, 20]
    replica.check()


def test_an_item_that_is_removed_is_told_of_no_more_until_it_is_put_back(follow: Any) -> None:
    sheet = Sheet()
    replica = follow(sheet)
    cell = sheet.cells.pop(1)
    cell.number = 50
    assert len(replica.patches) == 1
    sheet.cells.append(cell)
    cell.number = 51
    assert replica.data["cells"][2] == {"number": 51}
    replica.check()


def test_a_list_that_is_removed_may_be_put_back(follow: Any) -> None:
    row = Row()
    replica = follow(row)
    inner = row.matrix.pop(0)
    inner.append(9)
    row.matrix.append(inner)
    assert row.matrix[1] is inner
    inner.append(10)
    assert replica.data["matrix"] == [[2, 3], [1, 9, 10]]


@pytest.mark.parametrize(
    "change",
    [
        lambda sheet: sheet.cells.append(sheet.cells[0]),
        lambda sheet: sheet.cells.extend([Cell(), sheet.cells[1]]),
        lambda sheet: sheet.cells.extend([cell := Cell(), cell]),
        lambda sheet: sheet.cells.__setitem__(0, sheet.cells[1]),
        lambda sheet: sheet.cells.__imul__(2),
        lambda sheet: setattr(sheet, "cells", [sheet.cells[0], sheet.cells[0]]),
    ],
)
def test_an_item_cannot_be_there_twice(change: Callable[[Sheet], Any], follow: Any) -> None:
    sheet = Sheet()
    replica = follow(sheet)
    before = list(sheet.cells)
    with pytest.raises(AlreadyInStateError):
        change(sheet)
    assert all(one is other for one, other in zip(sheet.cells, before, strict=True))
    assert replica.patches == []
    sheet.cells[0].number = 5
    replica.check()


def test_a_list_of_the_document_is_not_put_elsewhere_in_it(follow: Any) -> None:
    row = Row()
    replica = follow(row)
    with pytest.raises(AlreadyInStateError, match=r"at '/matrix/0' of a document already.*`list\(\.\.\.\)`"):
        row.matrix.append(row.matrix[0])
    row.matrix.append(list(row.matrix[0]))
    row.matrix[2].append(5)
    assert row.matrix == [[1], [2, 3], [1, 5]]
    replica.check()


def test_adding_in_place_to_what_an_item_is_makes_one_change(follow: Any) -> None:
    row = Row()
    replica = follow(row)
    row.values += [9]
    row.matrix[0] += [9]
    assert replica.operations == [("add", "/values/3", 9), ("add", "/matrix/0/1", 9)]
    replica.check()
