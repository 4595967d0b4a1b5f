"""Models that are changed in place: what is validated, what is told of, and the ways to be wrong."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

import pytest
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from labthings.exceptions import AlreadyInStateError, StateError
from labthings.state import Document, ReactiveModel, TrackedDict, TrackedList


class Channel(ReactiveModel):
    bias: float = 0.0
    name: str | None = None


class State(ReactiveModel):
    enabled: Any = False
    main: Channel = Field(default_factory=Channel)
    channels: list[Channel] = Field(default_factory=lambda: [Channel()])


def test_assignments_are_validated_and_told_of(follow: Any) -> None:
    state = State()
    replica = follow(state)
    state.enabled = True
    state.channels[0].bias = "1.25"  # type: ignore[assignment]
    state.main = {"bias": 2}  # type: ignore[assignment]
    state.main.name = "x"
    assert replica.operations == [
        ("replace", "/enabled", True),
        ("replace", "/channels/0/bias", 1.25),
        ("replace", "/main", {"bias": 2.0, "name": None}),
        ("replace", "/main/name", "x"),
    ]
    replica.check()


def test_an_assignment_that_is_refused_leaves_everything_as_it_was(follow: Any) -> None:
    state = State()
    replica, main, fields_set = follow(state), state.main, set(state.model_fields_set)
    with pytest.raises(ValidationError, match="main"):
        state.main = 5  # type: ignore[assignment]
    with pytest.raises(ValidationError):
        state.channels = [Channel(), "x"]  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no attribute"):
        state.other = 5
    with pytest.raises(StateError, match="'main' of a State cannot be deleted"):
        del state.main
    assert (state.main is main, state.model_fields_set, replica.patches) == (True, fields_set, [])


@pytest.mark.parametrize(("old", "new"), [(1, True), (True, 1), (1, 1.0), (0.0, -0.0), (False, 0), ([1], [True])])
def test_what_is_equal_in_python_and_not_in_json_is_told_of(old: Any, new: Any, follow: Any) -> None:
    state = State(enabled=old)
    replica = follow(state)
    state.enabled = new
    assert len(replica.patches) == 1
    replica.check()


@pytest.mark.parametrize("value", [1, "a", None, True, 2.5, 0.0, -0.0])
def test_the_same_value_again_is_no_change(value: Any, follow: Any) -> None:
    state = State(enabled=value)
    replica = follow(state)
    state.enabled = value
    assert replica.patches == []


def test_a_container_that_is_assigned_and_changed_in_one_batch(follow: Any) -> None:
    state = State()
    replica = follow(state)
    with replica.document.batch():
        state.channels = [Channel(), Channel()]
        state.channels[1].bias = 1
        state.channels.pop(0)
        state.channels[0].name = "last"
    assert len(replica.patches) == 1
    assert replica.operations[0] == ("replace", "/channels", [{"bias": 0.0, "name": None}] * 2)
    replica.check()


def test_what_was_given_is_copied_and_what_is_there_is_tracked(follow: Any) -> None:
    state, given = State(), [Channel()]
    replica = follow(state)
    state.channels = given
    given.append(Channel())
    given[0].bias = 3
    assert (type(state.channels), len(state.channels)) == (TrackedList, 1)
    replica.check()


@pytest.mark.parametrize(
    "change",
    [
        lambda state: setattr(state, "main", state.channels[0]),
        lambda state: state.channels.append(state.main),
        lambda state: setattr(state, "enabled", state.main),
        lambda state: setattr(state, "enabled", [state.main]),
        lambda state: setattr(state, "enabled", {"a": state.channels}),
        lambda state: setattr(state, "enabled", state.channels),
        lambda state: setattr(state, "enabled", state),
    ],
)
def test_an_object_is_at_one_place(change: Callable[[State], None], follow: Any) -> None:
    state = State()
    replica = follow(state)
    with pytest.raises(AlreadyInStateError, match="a document already"):
        change(state)
    assert replica.patches == []
    assert state == State()
    replica.check()


def test_an_object_is_in_one_document(follow: Any) -> None:
    state = State()
    follow(state)
    with pytest.raises(AlreadyInStateError):
        Document(state)
    with pytest.raises(AlreadyInStateError):
        Document(State(main=state.main))
    channel = Channel()
    with pytest.raises(AlreadyInStateError, match="two places"):
        Document(State(main=channel, channels=[channel]))
    Document(State(main=channel))


def test_what_is_replaced_may_be_part_of_what_replaces_it(follow: Any) -> None:
    state = State(channels=[Channel(bias=bias) for bias in range(4)])
    replica, last = follow(state), state.channels[3]
    state.channels = [each for each in state.channels if each.bias > 1]
    last.bias = 30
    state.channels = state.channels[::-1]
    last.bias = 31
    state.enabled = {"a": {"b": Channel()}}
    inner = state.enabled["a"]
    state.enabled = inner["b"]
    state.enabled.bias = 7
    inner["c"] = 5
    replica.check()
    assert replica.data["channels"][0]["bias"] == 31


def test_an_orphan_tells_nobody_but_the_log(follow: Any, caplog: pytest.LogCaptureFixture) -> None:
    state = State()
    replica, main, channels = follow(state), state.main, state.channels
    state.main, state.channels = Channel(), []
    with caplog.at_level(logging.DEBUG, "labthings.state"):
        main.bias = 5
        channels.append(Channel())
        channels[0].bias = 6
    assert caplog.text.count("no longer part of live state") == 3
    assert len(replica.patches) == 2
    state.main = main
    main.bias = 7
    replica.check()


@pytest.mark.parametrize(
    "copied",
    [
        lambda state: state.model_copy(),
        lambda state: state.model_copy(deep=True),
        copy.copy,
        copy.deepcopy,
        lambda state: pickle.loads(pickle.dumps(state)),
        lambda state: State.model_validate(state.model_dump()),
        lambda state: State.model_validate_json(state.model_dump_json()),
    ],
)
def test_a_copy_is_free(copied: Callable[[State], State], follow: Any) -> None:
    state = State(enabled={"a": [1]})
    replica = follow(state)
    other = copied(state)
    assert other == state
    other.channels[0].bias = 9
    other.channels.append(Channel())
    other.enabled["a"].append(2)
    other.main.bias = 3
    assert (state.main.bias, len(state.channels), state.channels[0].bias) == (0, 1, 0)
    assert replica.patches == []
    replica.check()
    second = follow(other)
    other.channels[1].bias = 1
    second.check()


def test_a_copy_may_have_other_values() -> None:
    copied = State().model_copy(update={"channels": [{"bias": 1}], "enabled": {"a": 1}})
    assert (type(copied.channels), copied.channels[0].bias, type(copied.enabled)) == (TrackedList, 1, TrackedDict)
    with pytest.raises(ValidationError):
        State().model_copy(update={"channels": 5})


def test_validators_of_models_may_change_other_fields(follow: Any) -> None:
    class Axis(ReactiveModel):
        limit: int = 10
        position: int = 0
        history: list[int] = Field([])
        area: int = 0

        @model_validator(mode="after")
        def clamped(self) -> Axis:
            if self.position < 0:
                raise ValueError("negative")
            self.area = self.limit * self.position
            if self.position > self.limit:
                self.position = self.limit
            if len(self.history) > 3:
                raise ValueError("long")
            return self

    axis = Axis(position=50)
    assert axis.position == 10
    replica = follow(axis)
    axis.limit = 5
    assert (axis.position, axis.area) == (5, 50)
    before = axis.model_dump()
    for change in (
        lambda: setattr(axis, "position", -1),
        lambda: axis.history.extend([1, 2, 3, 4]),
        lambda: setattr(axis, "history", [1, 2, 3, 4]),
    ):
        with pytest.raises(ValidationError):
            change()
        assert axis.model_dump() == before
    history = axis.history
    axis.history += [1, 2]
    assert axis.history is history
    assert len(replica.patches) == 2
    replica.check()


def test_validators_of_models_may_change_lists_in_place(follow: Any) -> None:
    class Bank(ReactiveModel):
        size: int = 1
        channels: list[Channel] = Field([])

        @model_validator(mode="after")
        def filled(self) -> Bank:
            while len(self.channels) < self.size:
                self.channels.append(Channel(bias=len(self.channels)))
            return self

    bank = Bank(size=2)
    replica = follow(bank)
    first = bank.channels[0]
    bank.size = 4
    bank.channels.pop()
    bank.channels[3].bias = 7
    assert [channel.bias for channel in bank.channels] == [0, 1, 2, 7]
    assert bank.channels[0] is first
    replica.check()


def test_validators_of_fields_see_the_whole(follow: Any) -> None:
    def even(items: list[int]) -> list[int]:
        if len(items) % 2:
            raise ValueError("odd")
        return items

    class Lists(ReactiveModel):
        ordered: list[int] = Field([1, 2])
        pairs: Annotated[list[int], AfterValidator(even)] = Field([1, 2])
        nested: dict[str, Annotated[list[int], AfterValidator(even)]] = Field({"a": [1, 2]})
        limits: Annotated[dict[str, int], AfterValidator(lambda value: {**value, "z": 0})] = Field({})

        @field_validator("ordered")
        @classmethod
        def sort(cls, items: list[int]) -> list[int]:
            return sorted(items)

    lists = Lists()
    replica, ordered, inner = follow(lists), lists.ordered, lists.nested["a"]
    ordered.append(0)
    ordered[0] = 9
    assert lists.ordered is ordered
    assert ordered == [1, 2, 9]
    for items in (lists.pairs, inner):
        with pytest.raises(ValidationError, match="odd"):
            items.append(3)
        with pytest.raises(ValidationError, match="odd"):
            items.pop(0)
        items += [3, 4]
    assert lists.nested["a"] is inner == [1, 2, 3, 4]
    lists.limits["a"] = 1
    lists.limits.pop("z")
    assert lists.limits == {"a": 1, "z": 0}
    replica.check()


T = TypeVar("T")


class Box(ReactiveModel, Generic[T]):
    content: T
    inner: Box[T] | None = None


def test_generic_and_recursive_models(follow: Any) -> None:
    box = Box[list[int]](content=[1])
    replica = follow(box)
    box.content.append("2")  # type: ignore[arg-type]
    box.inner = Box[list[int]](content=[3])
    box.inner.content.append(4)
    box.inner.inner = Box[list[int]](content=[])
    box.inner.inner.content += [5]
    box.inner = box.inner.inner
    box.inner.content += [6]
    assert replica.data == {"content": [1, 2], "inner": {"content": [5, 6], "inner": None}}
    replica.check()


def test_private_attributes_and_what_is_done_after_making_one(follow: Any) -> None:
    class Device(ReactiveModel):
        items: list[int] = Field([])
        _connection: Any = PrivateAttr(None)

        def model_post_init(self, context: Any) -> None:
            self.items.append(len(self.items))
            self._connection = self.items

    device = Device()
    assert device.items == [0]
    replica = follow(device)
    device._connection.append(1)
    device._connection = object()
    assert replica.operations == [("add", "/items/1", 1)]
    with pytest.raises(ValidationError):
        Device().items.append("x")  # type: ignore[arg-type]


def test_a_frozen_model_stays_as_it_is(follow: Any) -> None:
    class Frozen(ReactiveModel):
        model_config = ConfigDict(frozen=True)
        items: list[int] = Field([])

    frozen = Frozen()
    replica = follow(frozen)
    with pytest.raises(ValidationError, match="frozen"):
        frozen.items = [1]
    frozen.items.append(1)
    replica.check()


def test_defaults_are_not_shared(follow: Any) -> None:
    class Shared(ReactiveModel):
        channel: Channel = Channel()
        items: list[list[int]] = Field([[1]])

    one, other = Shared(), Shared()
    replica = follow(one)
    one.channel.bias = 1
    one.items[0].append(2)
    assert (other.channel.bias, other.items) == (0, [[1]])
    follow(other)
    replica.check()


def test_a_model_that_was_constructed_without_validation(follow: Any) -> None:
    state = State.model_construct(channels=[Channel.model_construct(bias=1.0)])
    replica = follow(state)
    state.channels.append(Channel())
    state.channels[0].bias = 2
    replica.check()
    assert json.loads(state.model_dump_json())["channels"][0]["bias"] == 2
