"""Replicas notice what they have missed, and apply a patch as a whole or not at all."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from pydantic import Field

from labthings.exceptions import SnapshotNeededError
from labthings.state import Document, Patch, ReactiveModel, Replica


class State(ReactiveModel):
    number: int = 0
    items: list[int] = Field([], alias="the items")


@pytest.fixture
def history() -> tuple[Document[State], list[Patch]]:
    """A document with three patches, beginning at version 0."""
    document, patches = Document(State()), list[Patch]()
    document.subscribe(patches.append)
    document.model.items.append(1)
    document.model.items.append(2)
    document.model.number = 3
    return document, patches


def start(document: Document[State]) -> dict[str, Any]:
    return {"epoch": document.epoch, "version": 0, "data": {"number": 0, "the items": []}}


def test_patches_are_applied_in_whatever_form_they_come(history: Any) -> None:
    document, patches = history
    replica = Replica(start(document))
    assert replica.apply(patches[0])
    assert replica.apply(patches[1].json)
    assert replica.apply(json.loads(patches[2].json))
    assert (replica.version, replica.data) == (3, {"number": 3, "the items": [1, 2]})
    assert replica.read(State) == document.model
    assert replica.read(State).items is not document.model.items


def test_what_is_known_already_is_no_news(history: Any) -> None:
    document, patches = history
    replica = Replica(document.snapshot())
    assert not replica.apply(patches[0])
    assert not replica.apply(patches[2])
    assert replica.data == {"number": 3, "the items": [1, 2]}


def test_a_gap_is_noticed_and_a_snapshot_mends_it(history: Any) -> None:
    document, patches = history
    replica = Replica(start(document))
    replica.apply(patches[0])
    with pytest.raises(SnapshotNeededError, match="a patch of version 2, but this is version 1"):
        replica.apply(patches[2])
    assert replica.needs_snapshot
    with pytest.raises(SnapshotNeededError):
        replica.apply(patches[1])
    assert replica.data["the items"] == [1]
    replica.load(document.snapshot().json)
    assert not replica.needs_snapshot
    assert replica.data["number"] == 3


def test_another_epoch_is_noticed(history: Any) -> None:
    document, patches = history
    replica = Replica({**start(document), "epoch": "0"})
    with pytest.raises(SnapshotNeededError, match="needs a snapshot"):
        replica.apply(patches[0])


def test_without_a_snapshot_there_is_nothing_to_apply_to(history: Any) -> None:
    _, patches = history
    with pytest.raises(SnapshotNeededError):
        Replica().apply(patches[0])


@pytest.mark.parametrize(
    "fault",
    [
        {"op": "remove", "path": "/the items/7"},
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "add", "path": "/number/a", "value": 1},
        {"op": "fly", "path": "/number"},
        {"op": "add", "path": "/number"},
        {"path": "/number"},
        {"op": "test", "path": "/number", "value": False},
        "nonsense",
    ],
)
def test_a_patch_that_does_not_fit_is_not_applied_at_all(fault: Any, history: Any) -> None:
    document, _ = history
    replica = Replica(document.snapshot())
    before = copy.deepcopy(replica.data)
    operations = [
        {"op": "add", "path": "/the items/0", "value": 9},
        {"op": "remove", "path": "/the items/1"},
        {"op": "add", "path": "/new", "value": {}},
        {"op": "replace", "path": "/number", "value": 0},
        {"op": "move", "from": "/new", "path": "/newer"},
        fault,
    ]
    with pytest.raises(SnapshotNeededError, match="does not fit"):
        replica.apply({"epoch": document.epoch, "baseVersion": 3, "version": 4, "patch": operations})
    assert (replica.data, replica.version) == (before, 3)
