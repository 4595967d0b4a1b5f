"""At every version, every replica has what the document has, whatever was done to it and by whom."""

from __future__ import annotations

import json
import math
import random
import threading
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, computed_field, field_serializer, model_validator

from labthings.exceptions import StateError
from labthings.state import Document, Patch, ReactiveModel, Replica, origin
from tests.test_state.followers import words


class Leaf(ReactiveModel):
    number: float = 0.0
    tag: Any = None


class Branch(ReactiveModel):
    name: str = Field("", alias="the/name~")
    leaves: list[Leaf] = Field(default_factory=list, max_length=6)
    table: dict[str, Leaf] = Field({})
    hidden: list[int] = Field([], exclude=True)

    @computed_field
    @property
    def total(self) -> float:
        return sum(leaf.number for leaf in self.leaves if math.isfinite(leaf.number))


class Special(Leaf):
    more: int = 0


class State(ReactiveModel):
    flag: Any = None
    matrix: list[list[int]] = Field(default_factory=lambda: [[1, 2], [3]])
    branches: list[Branch] = Field(default_factory=lambda: [Branch()])
    by_name: dict[str, Branch | None] = Field({})
    deep: dict[str, list[dict[str, list[int]]]] = Field({})
    scaled: float = 1.0
    limit: int = 5
    level: int = 1
    hidden: Branch = Field(default_factory=Branch, exclude=True)
    odd: Leaf | list[int] | None = None

    @field_serializer("scaled")
    def in_units(self, value: float) -> str:
        return f"{value} of {self.limit}"

    @model_validator(mode="after")
    def clamped(self) -> State:
        if self.level > self.limit:
            self.level = self.limit
        return self


NUMBERS = st.one_of(st.floats(width=32), st.integers(-5, 5))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.floats(width=16), st.text("a/~0", max_size=2)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "a/b", "~", ""]), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = st.sampled_from(["a", "b/c", "~0", ""])
LEAVES = st.builds(Leaf, number=NUMBERS, tag=JSON) | st.builds(Special, number=NUMBERS, more=st.integers(0, 9))
BRANCHES = st.builds(
    lambda name, leaves: Branch(name=name, leaves=leaves), st.text("xyz", max_size=2), st.lists(LEAVES, max_size=3)
)
INDICES = st.integers(-4, 4)
SLICES = st.builds(slice, st.none() | INDICES, st.none() | INDICES, st.none() | st.sampled_from([1, 2, -1, -2]))


def items_for(target: Any, draw: Any) -> Any:
    """A strategy of what fits into a list or dict, more or less."""
    where = getattr(target.__tracking__.shape, "where", "")
    if target.__tracking__.shape.item.is_any:
        return JSON
    models = target.__tracking__.shape.item.models
    if Leaf in models:
        return LEAVES
    if Branch in models:
        return BRANCHES if "by_name" not in where else BRANCHES | st.none()
    if target.__tracking__.shape.item.lists:
        return st.lists(st.integers(-3, 3), max_size=3) if "matrix" in where else st.just([{"k": [1]}])
    return (
        st.dictionaries(KEYS, st.lists(st.integers(), max_size=2), max_size=2)
        if "deep" in where
        else st.integers(-3, 3)
    )


def nodes(model: Any) -> list[Any]:
    found, waiting = [], [model]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(child.node for child in node.__tracking__.children(node))
    return found


LIST_CHANGES = (
    *("append", "insert", "pop", "remove", "extend", "iadd", "set", "set_slice", "del", "del_slice"),
    *("sort", "reverse", "clear", "imul", "move"),
)
DICT_CHANGES = ("set", "del", "pop", "popitem", "update", "setdefault", "clear", "ior")


def change_list(target: list[Any], draw: Any) -> None:
    item, index = items_for(target, draw), draw(INDICES)
    match draw(st.sampled_from(LIST_CHANGES)):
        case "append":
            target.append(draw(item))
        case "insert":
            target.insert(index, draw(item))
        case "pop":
            target.pop(index)
        case "remove":
            target.remove(target[index])
        case "extend":
            target.extend(draw(st.lists(item, max_size=3)))
        case "iadd":
            target += draw(st.lists(item, max_size=3))
        case "set":
            target[index] = draw(item)
        case "set_slice":
            target[draw(SLICES)] = draw(st.lists(item, max_size=3))
        case "del":
            del target[index]
        case "del_slice":
            del target[draw(SLICES)]
        case "sort":
            target.sort(key=str, reverse=draw(st.booleans()))
        case "reverse":
            target.reverse()
        case "clear":
            target.clear()
        case "imul":
            if len(target) < 20:
                target *= draw(st.integers(0, 2))
        case "move":
            target[:] = target[1:] + target[:1]


def change_dict(target: dict[str, Any], draw: Any) -> None:
    item, key = items_for(target, draw), draw(KEYS)
    match draw(st.sampled_from(DICT_CHANGES)):
        case "set":
            target[key] = draw(item)
        case "del":
            del target[key]
        case "pop":
            target.pop(key, None)
        case "popitem":
            target.popitem()
        case "update":
            target.update(draw(st.dictionaries(KEYS, item, max_size=2)))
        case "setdefault":
            target.setdefault(key, draw(item))
        case "clear":
            target.clear()
        case "ior":
            target |= draw(st.dictionaries(KEYS, item, max_size=2))


FIELDS: dict[type, dict[str, Any]] = {
    Leaf: {"number": NUMBERS | st.just("wrong"), "tag": JSON},
    Special: {"number": NUMBERS, "more": st.integers(0, 9), "tag": JSON},
    Branch: {
        "name": st.text("xyz/", max_size=2),
        "leaves": st.lists(LEAVES, max_size=7),
        "hidden": st.lists(st.integers()),
    },
    State: {
        "flag": JSON | st.sampled_from([True, 1, 1.0, False, 0, 0.0, -0.0]),
        "matrix": st.lists(st.lists(st.integers(-3, 3), max_size=3), max_size=3),
        "branches": st.lists(BRANCHES, max_size=3),
        "by_name": st.dictionaries(KEYS, BRANCHES | st.none(), max_size=2),
        "deep": st.just({"a": [{"b": [1, 2]}, {}]}),
        "scaled": NUMBERS,
        "limit": st.integers(0, 9),
        "level": st.integers(0, 9),
        "odd": LEAVES | st.lists(st.integers(), max_size=3) | st.none(),
        "hidden": BRANCHES,
    },
}


def change(document: Document[State], orphans: list[Any], draw: Any) -> None:
    """Do anything that can be done."""
    target = draw(st.sampled_from(nodes(document.model) + orphans[-2:]))
    orphans.append(target)
    before = words(json.loads(document.model.model_dump_json())), len(nodes(document.model))
    try:
        if isinstance(target, list):
            change_list(target, draw)
        elif isinstance(target, dict):
            change_dict(target, draw)
        else:
            name = draw(st.sampled_from(sorted(FIELDS[type(target)])))
            setattr(target, name, draw(FIELDS[type(target)][name]))
    except (ValidationError, StateError, IndexError, KeyError, ValueError):
        assert (words(json.loads(document.model.model_dump_json())), len(nodes(document.model))) == before


class Watcher:
    """Who joins and leaves, and remembers which state it had at which version."""

    def __init__(self, document: Document[Any]) -> None:
        self.document, self.states = document, dict[int, str]()
        self.replica = Replica(document.subscribe(self.told))
        self.remember()

    def told(self, patch: Patch) -> None:
        self.replica.apply(patch.json)
        self.remember()

    def remember(self) -> None:
        self.states[self.replica.version] = words(self.replica.data)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_replica_has_the_state_of_its_version(data: st.DataObject) -> None:
    document = Document(State())
    truth: dict[int, str] = {}
    watchers, orphans = [Watcher(document)], list[Any]()
    for _ in range(data.draw(st.integers(3, 12))):
        kind = data.draw(st.sampled_from(["change"] * 6 + ["batch", "load", "join", "leave", "origin"]))
        if kind == "change":
            change(document, orphans, data.draw)
        elif kind == "batch":
            with document.batch():
                for _ in range(data.draw(st.integers(1, 4))):
                    change(document, orphans, data.draw)
        elif kind == "origin":
            with document.batch(), origin({"by": data.draw(st.integers(0, 1))}):
                change(document, orphans, data.draw)
        elif kind == "load":
            document.load_state(
                State(matrix=data.draw(FIELDS[State]["matrix"]), branches=data.draw(FIELDS[State]["branches"]))
            )
        elif kind == "join":
            watchers.append(Watcher(document))
        elif len(watchers) > 1:
            document.unsubscribe(watchers.pop().told)
        truth[document.version] = words(json.loads(document.model.model_dump_json()))
        assert words(json.loads(document.snapshot().data)) == truth[document.version]
        for watcher in watchers:
            assert watcher.states[document.version] == truth[document.version]
    assert document.publish() is None
    check_places(document)
    for one in watchers:
        for other in watchers:
            shared = one.states.keys() & other.states.keys()
            assert {each: one.states[each] for each in shared} == {each: other.states[each] for each in shared}


def check_places(document: Document[Any]) -> None:
    """Each object knows where it is, and is there once."""
    found = nodes(document.model)
    assert len({id(each) for each in found}) == len(found)
    for node in found:
        assert node.__tracking__.home is document
        for child in node.__tracking__.children(node):
            assert child.node.__tracking__.parent is node
            assert node.__tracking__.key_of(node, child.node) == child.key


@pytest.mark.parametrize("with_batches", [False, True])
def test_threads_may_change_it_while_others_join_and_leave(with_batches: bool) -> None:
    document = Document(State(branches=[Branch(leaves=[Leaf(), Leaf()])]))
    watchers, faults = [Watcher(document)], list[BaseException]()

    def check(patch: Patch) -> None:  # with the lock held, so that it is the state of that version
        if not with_batches and watchers[0].states[patch.version] != words(
            json.loads(document.model.model_dump_json())
        ):
            faults.append(AssertionError(f"version {patch.version} is wrong"))

    document.subscribe(check)

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for number in range(60):
                if number % 15 == seed:
                    watchers.append(Watcher(document))
                with document.batch() if with_batches and chance.random() < 0.3 else nullcontext():
                    change_a_little(document, chance)
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert faults == []
    assert len(watchers) == 17
    for watcher in watchers:
        assert watcher.states.items() <= watchers[0].states.items()
    assert watchers[0].states[document.version] == words(json.loads(document.model.model_dump_json()))
    assert {watcher.replica.version for watcher in watchers} == {document.version}
    assert document.publish() is None
    check_places(document)


def change_a_little(document: Document[State], chance: random.Random) -> None:
    """Do something that needs no agreement with others."""
    state = document.model
    leaf = Leaf(number=chance.random())
    changes: list[Any] = [
        lambda: state.branches[0].leaves.append(leaf),
        lambda: state.branches[0].leaves.pop(0),
        lambda: state.branches[0].leaves.reverse(),
        lambda: setattr(state.branches[0].leaves[-1], "number", chance.random()),
        lambda: setattr(state.branches[0], "leaves", [leaf]),
        lambda: state.branches[0].table.update(a=leaf),
        lambda: setattr(state.branches[0].table["a"], "tag", [1]),
        lambda: state.branches[0].table["a"].tag.append({"b": 2}),
        lambda: setattr(state, "limit", chance.randrange(9)),
        lambda: state.matrix[0].append(1),
        lambda: state.matrix.insert(0, [2]),
        lambda: document.load_state({"branches": [{"leaves": [{}]}], "matrix": [[1]]}),
        lambda: setattr(leaf, "number", 1),
    ]
    try:
        for each in chance.sample(changes, 3):
            each()
    except (IndexError, KeyError, AttributeError, StateError, ValidationError):
        pass
