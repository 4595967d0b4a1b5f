"""A Thing with live state of all kinds, and everything that can be done to that."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, computed_field, field_serializer, model_validator

import labthings as lt
from labthings.exceptions import SettingNotSavedWarning, StateError
from labthings.state import ReactiveModel, batch

warnings.simplefilter("ignore", SettingNotSavedWarning)  # what is hidden in `kept` is lost on purpose


class Leaf(ReactiveModel):
    number: float = 0.0
    tag: Any = None


class Branch(ReactiveModel):
    name: str = Field("", alias="the/name~")
    leaves: list[Leaf] = Field(default_factory=list, max_length=5)
    hidden: int = Field(0, exclude=True)

    @computed_field
    @property
    def total(self) -> float:
        return sum(leaf.number for leaf in self.leaves if math.isfinite(leaf.number))


class Tree(ReactiveModel):
    note: str = ""
    flag: Any = None
    level: int = 1
    limit: int = Field(5, ge=0)
    angle: Annotated[float, BeforeValidator(float)] = 0.5
    branches: list[Branch] = Field(default_factory=lambda: [Branch(leaves=[Leaf(), Leaf()])])
    table: dict[str, Leaf] = Field(default_factory=dict)
    matrix: list[list[int]] = Field(default_factory=lambda: [[1, 2], [3]])

    @field_serializer("angle")
    def in_words(self, value: float) -> str:
        return str(value)

    @model_validator(mode="after")
    def clamped(self) -> Tree:
        if self.level > self.limit:
            self.level = self.limit
        return self


class Garden(lt.Thing):
    tree: Tree = lt.property(default_factory=Tree)
    kept: Tree = lt.setting(default_factory=Tree)

    @lt.action
    def work(self, name: str, changes: list[Any], fails: bool = False) -> None:
        """Change live state, and perhaps fail."""
        change(getattr(self, name), changes)
        if fails:
            raise ZeroDivisionError

    @lt.action
    async def work_in_loop(self, name: str, changes: list[Any], fails: bool = False) -> None:
        """The same, in the event loop."""
        change(getattr(self, name), changes)
        if fails:
            raise ZeroDivisionError


def change(tree: Tree, changes: list[tuple[str, int, Any]]) -> None:
    """Do to live state whatever of that can be done.

    :param changes: what is done, a number to do it with, and a value.
    """
    for kind, number, value in changes:
        try:
            CHANGES[kind](tree, number, value)
        except REFUSALS:
            continue


def change_as_one(tree: Tree, changes: list[tuple[str, int, Any]], fails: bool) -> None:
    """The same, in a batch, which may end by an exception."""
    with batch(tree):
        change(tree, changes)
        if fails:
            raise ZeroDivisionError


REFUSALS = (ValidationError, StateError, IndexError, KeyError, ValueError, AttributeError, TypeError)
"""What may be raised, as other threads may have taken away what is to be changed."""


def leaf_of(tree: Tree, number: int) -> Leaf:
    leaves = tree.branches[number % 3].leaves
    return leaves[number % len(leaves)] if leaves else tree.table["a"]


def new_branch(number: int, value: Any) -> Branch:
    return Branch(name="xyz"[number % 3], leaves=[Leaf(number=number, tag=value)], hidden=number)


def rotate(tree: Tree) -> None:
    tree.branches[:] = tree.branches[1:] + tree.branches[:1]


def assign_and_change(tree: Tree, number: int, value: Any) -> None:
    tree.branches[0].leaves = [Leaf(number=number)]
    tree.branches[0].leaves.append(Leaf(tag=value))
    tree.branches[0].leaves[0].number += 1


def change_orphan(tree: Tree, number: int, value: Any) -> None:
    leaf = tree.branches[number % 3].leaves.pop()
    leaf.number, leaf.tag = number, value
    tree.table[KEYS[number % 4]] = leaf
    leaf.number += 1


def shift_and_change(tree: Tree, number: int) -> None:
    leaf = tree.branches[-1].leaves[-1]
    leaf.number = number
    tree.branches.insert(0, Branch())
    leaf.number += 1


def change_tag(tree: Tree, number: int, value: Any) -> None:
    tag = leaf_of(tree, number).tag
    if isinstance(tag, list):
        tag.insert(0, value)
    else:
        tag["~/"] = value


KEYS = ("a", "b/c", "~0", "")
ODD = (0.5, math.nan, math.inf, -0.0)
EQUAL = (True, 1, 1.0, False, 0, 0.0, -0.0)
CHANGES: dict[str, Callable[[Tree, int, Any], object]] = {
    "flag": lambda tree, number, value: setattr(tree, "flag", value),
    "what is equal": lambda tree, number, value: setattr(tree, "flag", EQUAL[number % 7]),
    "large note": lambda tree, number, value: setattr(tree, "note", str(number) * 20_000),
    "level": lambda tree, number, value: setattr(tree, "level", number),
    "limit": lambda tree, number, value: setattr(tree, "limit", number),
    "wrong limit": lambda tree, number, value: setattr(tree, "limit", -1),
    "angle": lambda tree, number, value: setattr(tree, "angle", ODD[number % 4]),
    "append": lambda tree, number, value: tree.branches.append(new_branch(number, value)),
    "insert": lambda tree, number, value: tree.branches.insert(number % 3, new_branch(number, value)),
    "pop": lambda tree, number, value: tree.branches.pop(number % 3),
    "delete": lambda tree, number, value: tree.branches.__delitem__(slice(number % 3, 4)),
    "reverse": lambda tree, number, value: tree.branches.reverse(),
    "sort": lambda tree, number, value: tree.branches.sort(key=lambda each: each.total),
    "rotate": lambda tree, number, value: rotate(tree),
    "clear": lambda tree, number, value: tree.branches.clear(),
    "extend": lambda tree, number, value: tree.branches.extend(new_branch(each, value) for each in range(number % 3)),
    "too many": lambda tree, number, value: tree.branches[0].leaves.extend(Leaf() for _ in range(6)),
    "name": lambda tree, number, value: setattr(tree.branches[number % 3], "name", "pqr"[number % 3]),
    "hidden": lambda tree, number, value: setattr(tree.branches[number % 3], "hidden", number),
    "leaf": lambda tree, number, value: setattr(leaf_of(tree, number), "number", ODD[number % 4] + number),
    "tag": lambda tree, number, value: setattr(leaf_of(tree, number), "tag", value),
    "in a tag": change_tag,
    "assign and change": assign_and_change,
    "orphan": change_orphan,
    "shift": lambda tree, number, value: shift_and_change(tree, number),
    "two places": lambda tree, number, value: tree.table.update(a=leaf_of(tree, number)),
    "copy": lambda tree, number, value: tree.table.update(a=leaf_of(tree, number).model_copy()),
    "set": lambda tree, number, value: tree.table.__setitem__(KEYS[number % 4], Leaf(tag=value)),
    "set default": lambda tree, number, value: tree.table.setdefault(KEYS[number % 4], Leaf(number=number)),
    "update": lambda tree, number, value: tree.table.update({each: Leaf(tag=value) for each in KEYS[: number % 4]}),
    "or": lambda tree, number, value: tree.table.__ior__({KEYS[number % 4]: Leaf(number=number)}),
    "pop key": lambda tree, number, value: tree.table.pop(KEYS[number % 4]),
    "pop item": lambda tree, number, value: tree.table.popitem(),
    "clear table": lambda tree, number, value: tree.table.clear(),
    "in the table": lambda tree, number, value: setattr(tree.table[KEYS[number % 4]], "number", number),
    "row": lambda tree, number, value: tree.matrix.insert(0, [number] * (number % 3)),
    "cell": lambda tree, number, value: tree.matrix[number % 2].append(number),
    "add": lambda tree, number, value: tree.matrix[number % 2].__iadd__([number, "1"]),
    "multiply": lambda tree, number, value: tree.matrix[0].__imul__(number % 3),
    "slice": lambda tree, number, value: tree.matrix[0].__setitem__(slice(None, None, 2), [number]),
    "matrix": lambda tree, number, value: setattr(tree, "matrix", [[number], [2, 3]]),
}
