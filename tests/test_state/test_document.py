"""Documents: versions, batches, origins, loading, and who is told when."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ConfigDict, Field, ValidationError, computed_field

from labthings.exceptions import (
    InvalidPatchError,
    OutdatedPatchError,
    StateError,
    UntrackableTypeError,
    VersionConflictError,
)
from labthings.state import Document, Operation, Patch, ReactiveModel, Replica


class Channel(ReactiveModel):
    bias: float = 0.0


class State(ReactiveModel):
    number: int = 0
    name: str = ""
    main: Channel = Field(default_factory=Channel)
    channels: list[Channel] = Field(default_factory=lambda: [Channel()])
    table: dict[str, list[int]] = Field(default_factory=lambda: {"a": [1]})
    kept: int = Field(7, exclude=True)


def test_versions_are_counted_and_documents_told_apart(follow: Any) -> None:
    replica, other = follow(State()), follow(State())
    document = replica.document
    assert (document.version, document.snapshot().version) == (0, 0)
    assert document.epoch != other.document.epoch
    assert int(document.epoch, 16)
    document.model.number = 1
    document.model.number = 2
    assert document.version == 2
    assert replica.patches[1] == Patch(document.epoch, 1, 2, (Operation("replace", "/number", b"2"),))
    assert json.loads(replica.patches[1].json) == {
        "epoch": document.epoch,
        "baseVersion": 1,
        "version": 2,
        "patch": [{"op": "replace", "path": "/number", "value": 2}],
    }
    assert replica.patches[1].json is replica.patches[1].json


@pytest.mark.parametrize(
    "data",
    [
        {"number": 5, "channels": [{"bias": 1}, {"bias": 2}], "table": {"b": [2]}},
        b'{"number":5,"channels":[{"bias":1},{"bias":2}],"table":{"b":[2]}}',
        State(number=5, channels=[Channel(bias=1), Channel(bias=2)], table={"b": [2]}),
    ],
)
def test_loading_keeps_what_is_there_and_makes_one_patch(data: Any, follow: Any) -> None:
    state = State(name="before", kept=8)
    replica, main, channels, table = follow(state), state.main, state.channels, state.table
    first, lost = channels[0], table["a"]
    replica.document.load_state(data)
    assert [each[:2] for each in replica.operations] == [("replace", "")]
    assert (state.main, state.channels, state.table) == (Channel(), [Channel(bias=1), Channel(bias=2)], {"b": [2]})
    assert state.main is main
    assert state.channels is channels
    assert channels[0] is first
    assert state.kept == (7 if isinstance(data, State) and "kept" in data.model_fields_set else 8)
    lost.append(1)
    first.bias = 3
    channels[1].bias = 4
    table["b"].append(5)
    assert len(replica.patches) == 4
    replica.check()


def test_loading_what_is_not_valid_changes_nothing(follow: Any) -> None:
    replica = follow(State())
    with pytest.raises(ValidationError):
        replica.document.load_state({"number": 5, "channels": ["x"]})
    with pytest.raises(StateError, match="A Channel cannot be loaded where there is a State"):
        replica.document.load_state(Channel())
    assert replica.document.model == State()
    assert replica.patches == []


@pytest.mark.parametrize("data", [{"number": 5, "chanels": []}, b'{"number": 5, "chanels": []}'])
def test_what_is_loaded_and_unknown_is_told_of(data: Any, follow: Any, caplog: pytest.LogCaptureFixture) -> None:
    replica = follow(State())
    replica.document.load_state(data)
    assert replica.document.model.number == 5
    assert "A State has no field 'chanels'. Did you mean 'channels'?" in caplog.text
    replica.check()


def test_loading_its_own_state_is_possible(follow: Any) -> None:
    replica = follow(State(number=3))
    replica.document.load_state(replica.document.model)
    replica.document.load_state(replica.document.snapshot().data)
    assert replica.document.model.number == 3
    replica.check()


def test_a_client_may_patch_it(follow: Any) -> None:
    state = State()
    replica, first = follow(state), state.channels[0]
    replica.document.patch(
        [
            {"op": "test", "path": "/number", "value": 0},
            {"op": "add", "path": "/channels/-", "value": {"bias": 2}},
            {"op": "replace", "path": "/channels/0/bias", "value": "1"},
            {"op": "move", "from": "/table/a", "path": "/table/b"},
        ],
        base_version=0,
    )
    assert state.channels[0] is first
    assert (first.bias, len(state.channels), state.table, len(replica.patches)) == (1, 2, {"b": [1]}, 1)
    for operation, error in (
        ({"op": "remove", "path": "/nothing"}, InvalidPatchError),
        ({"op": "test", "version": 0}, OutdatedPatchError),
        ({"op": "test", "version": True}, OutdatedPatchError),
        ({"op": "test", "version": 1, "epoch": "another"}, OutdatedPatchError),
    ):
        with pytest.raises(error):
            replica.document.patch([{"op": "replace", "path": "/number", "value": 1}, operation])
    for change in (replica.document.patch, replica.document.load_state):
        with pytest.raises(VersionConflictError, match="for version 0, but now there is version 1"):
            change([], base_version=0)
    replica.document.patch([{"op": "test", "version": 1, "epoch": replica.epoch}], base_version=1)
    with pytest.raises(ValidationError):
        replica.document.patch([{"op": "replace", "path": "/number", "value": "x"}])
    state.channels[1].bias = 5
    replica.check()


def test_publishing_finds_what_was_done_behind_its_back(follow: Any) -> None:
    state = State()
    replica = follow(state)
    assert replica.document.publish() is None
    list.append(state.channels, Channel(bias=5))
    dict.update(state.table, b=[3])
    state.__dict__["number"] = 4
    patch = replica.document.publish()
    assert patch is not None
    assert sorted(each.path for each in patch.operations) == ["/channels/1", "/number", "/table/b"]
    state.channels[1].bias = 6
    replica.check()
    state.__dict__["channels"] = [Channel()]
    assert replica.document.publish() is not None
    state.channels[0].bias = 8
    replica.check()


def test_a_change_that_does_not_fit_what_was_told_is_made_good(follow: Any, caplog: pytest.LogCaptureFixture) -> None:
    state = State()
    replica, lost = follow(state), state.channels[0]
    list.append(state.channels, Channel(bias=5))
    state.channels.append(Channel(bias=6))
    assert "changed without being noticed" in caplog.text
    replica.check()
    list.remove(state.channels, lost)
    lost.bias = 9
    replica.document.publish()
    replica.check()


def test_subscribers_are_told_in_order_even_if_one_changes_something(follow: Any) -> None:
    document, told = Document(State()), list[tuple[str, int]]()

    def first(patch: Patch) -> None:
        told.append(("first", patch.version))
        if document.model.number < 3:
            document.model.number += 1

    document.subscribe(first)
    document.subscribe(lambda patch: told.append(("second", patch.version)))
    document.model.number = 1
    assert told == [(name, version) for version in (1, 2, 3) for name in ("first", "second")]


def test_a_subscriber_that_fails_is_logged_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    document, patches = Document(State()), list[Patch]()

    def fail(patch: Patch) -> None:
        raise ZeroDivisionError

    document.subscribe(fail)
    document.subscribe(patches.append)
    with caplog.at_level(logging.ERROR):
        document.model.number = 1
    assert len(patches) == 1
    assert "ZeroDivisionError" in caplog.text
    document.unsubscribe(fail)
    document.unsubscribe(fail)
    caplog.clear()
    document.model.number = 2
    assert caplog.text == ""


def test_a_subscriber_joins_while_another_thread_writes(follow: Any) -> None:
    """The snapshot waits for the change, so that it has it, or the first patch does."""
    document = Document(State())
    is_writing, may_go_on, snapshots = threading.Event(), threading.Event(), list[Replica]()

    def write(patch: Patch) -> None:
        is_writing.set()
        assert may_go_on.wait(10)

    def join() -> None:
        replica = Replica(document.subscribe(lambda patch: replica.apply(patch)))
        snapshots.append(replica)

    document.subscribe(write)
    writer = threading.Thread(target=lambda: setattr(document.model, "number", 1))
    joiner = threading.Thread(target=join)
    writer.start()
    assert is_writing.wait(10)
    joiner.start()
    joiner.join(0.02)
    assert joiner.is_alive()
    may_go_on.set()
    writer.join()
    joiner.join()
    assert (snapshots[0].version, snapshots[0].data["number"]) == (1, 1)
    document.model.number = 2
    assert snapshots[0].data["number"] == 2


def test_a_change_of_a_large_document_costs_what_it_does_in_a_small_one(follow: Any) -> None:
    """It is not looked at what has not changed: serialising counts as much as there is."""
    looked: list[int] = []

    class Counted(ReactiveModel):
        value: int = 0

        @computed_field
        @property
        def seen(self) -> int:
            looked.append(1)
            return 1

    class Many(ReactiveModel):
        number: int = 0
        items: list[Counted] = Field([])

    many = Many(items=[Counted() for _ in range(1000)])
    document = Document(many)
    looked.clear()
    many.number = 1
    many.items[500].value = 2
    assert document.version == 2
    assert len(looked) < 10


def test_a_document_of_a_model_that_forbids_what_it_does_not_know(follow: Any) -> None:
    class Strict(ReactiveModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        numbers: list[int] = Field([])

    replica = follow(Strict())
    with pytest.raises(ValidationError):
        replica.document.model.numbers.append("1")
    replica.document.load_state({"numbers": [1]})
    replica.check()


def test_changing_a_free_model_while_it_is_put_into_a_document_loses_nothing() -> None:
    for _ in range(30):
        document, channel = Document(State()), Channel()
        replica = Replica(document.subscribe(lambda patch: replica.apply(patch)))  # noqa: B023
        ready = threading.Barrier(2)

        def change(run: Callable[[], object] = ready.wait, channel: Channel = channel) -> None:
            run()
            for number in range(20):
                channel.bias = number

        thread = threading.Thread(target=change)
        thread.start()
        ready.wait()
        document.model.channels.append(channel)
        thread.join()
        assert replica.data == json.loads(document.model.model_dump_json())


def test_what_a_snapshot_has_can_be_loaded_patched_and_read(follow: Any) -> None:
    class Inner(ReactiveModel):
        model_config = ConfigDict(extra="forbid")
        number: float = Field(1.0, serialization_alias="the number")

        @computed_field
        @property
        def double(self) -> float:
            return self.number * 2

    class Outer(ReactiveModel):
        model_config = ConfigDict(extra="forbid")
        inner: list[Inner] = Field(default_factory=lambda: [Inner()])
        either: dict[str, Inner | Channel] = Field({})
        readings: list[float] = Field([])

    outer = Outer(inner=[Inner(number=3)], either={"a": Channel(bias=4), "b": Inner(number=5)})
    replica = follow(outer)
    outer.readings += [math.nan, math.inf, 1.5]
    told = replica.document.snapshot()
    copied = replica.read(Outer)
    assert (copied.inner, copied.either) == (outer.inner, outer.either)
    assert [str(each) for each in copied.readings] == ["nan", "nan", "1.5"]
    outer.inner.clear()
    for data in (told.data, json.loads(told.data)):
        replica.document.load_state(data)
        assert outer.inner[0].number == 3
    outer.readings[1] = math.inf
    replica.document.patch([{"op": "replace", "path": "/inner/0/the number", "value": 7}])
    assert (outer.inner[0].number, outer.readings[1]) == (7, math.inf)
    assert [each[1] for each in replica.operations[-2:]] == ["/inner/0/the number", "/inner/0/double"]
    replica.check()


def test_a_document_is_of_a_model() -> None:
    for wrong in (State, {"number": 1}, None):
        with pytest.raises(UntrackableTypeError, match="an instance of a ReactiveModel, not of"):
            Document(wrong)  # type: ignore[type-var]


def test_what_is_nested_too_deeply_is_refused(follow: Any) -> None:
    class Anything(ReactiveModel):
        field: Any = None

    def nested(levels: int) -> Any:
        return [nested(levels - 1)] if levels else []

    replica = follow(Anything(field=[]))
    for levels in (195, 230, 400):
        with pytest.raises((RuntimeError, ValueError), match=r"190 levels deep|depth exceeded"):
            replica.document.model.field = nested(levels)
        with pytest.raises((RuntimeError, ValueError), match=r"190 levels deep|depth exceeded"):
            replica.document.load_state({"field": nested(levels)})
    replica.document.model.field = nested(100)
    inner = replica.document.model.field
    while inner:
        inner = inner[0]
    with pytest.raises(StateError, match="190 levels deep"):
        inner.append(nested(100))
    inner.append(nested(80))
    replica.document.model.field = [[] for _ in range(500)]
    replica.check()
    assert len(replica.patches) == 3


def test_patches_that_wait_for_a_flush_are_bounded_though_their_origins_alternate() -> None:
    waiting: list[Any] = []
    document = Document(State(), schedule_flush=waiting.append)
    told: list[Patch] = []
    document.subscribe(told.append)
    for number in range(2500):
        with document.origin({"number": number % 2}):
            document.model.number = number + 1
    assert len(told) > 1000
    document.flush()
    assert [each.version for each in told] == list(range(1, 2501))


def test_who_notes_changes_need_not_fear_the_lock_though_the_code_that_makes_them_holds_it() -> None:
    taken = threading.Event()

    class Noted(Document[State]):
        def changed(self) -> None:
            thread = threading.Thread(target=self._take)
            thread.start()
            thread.join(5)

        def _take(self) -> None:
            with self.lock:
                taken.set()

    document = Noted(State())
    with document.lock:
        document.model.number = 1
        document.model.number = 2
    assert taken.is_set()


def test_a_change_whose_origin_cannot_be_told_leaves_the_lock_free() -> None:
    class Lost(Document[State]):
        def find_origin(self) -> None:
            raise LookupError("nobody")

    document = Lost(State())
    with pytest.raises(LookupError, match="nobody"):
        document.model.number = 1
    with pytest.raises(RuntimeError, match="does not have it"):
        document.lock.release()
    assert document.model.number == 0
