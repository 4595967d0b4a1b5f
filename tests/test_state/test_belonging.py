"""Which document something is part of, if any."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from labthings.exceptions import StateError
from labthings.state import Document, ReactiveModel, batch, document_of
from labthings.state.belonging import made_read_only


class Inner(ReactiveModel):
    number: int = 0


class Outer(ReactiveModel):
    inner: Inner = Field(default_factory=Inner)
    items: list[Inner] = Field(default_factory=lambda: [Inner()])
    table: dict[str, int] = Field(default_factory=dict)


def test_everything_in_a_document_is_part_of_it() -> None:
    document = Document(Outer())
    for each in (document.model, document.model.inner, document.model.items, document.model.table):
        assert document_of(each) is document
    with batch(document.model.items[0]):
        document.model.inner.number = 1
        document.model.table["a"] = 2
    assert document.version == 1


@pytest.mark.parametrize("other", [Outer(), [], 3, None])
def test_other_things_are_not(other: Any) -> None:
    with pytest.raises(StateError, match="is not part of live state"):
        document_of(other)


def test_what_was_removed_is_not_any_more() -> None:
    document = Document(Outer())
    removed = document.model.items.pop()
    with pytest.raises(StateError, match="This Inner is not part of live state, or not any more"):
        batch(removed)


def test_what_is_read_only_refuses_changes_and_can_be_copied() -> None:
    model = made_read_only(Outer(), "Ask the server.")
    changes = (
        lambda: setattr(model.inner, "number", 5),
        lambda: setattr(model, "inner", Inner()),
        lambda: model.items.append(Inner()),
        lambda: model.items.clear(),
        lambda: model.table.update(a=1),
        lambda: setattr(model.items[0], "number", 5),
    )
    for change in changes:
        with pytest.raises(StateError, match=r"This is a copy, .* Ask the server\."):
            change()
    assert model == Outer()
    for copied in (model.model_copy(), model.model_copy(deep=True)):
        copied.items[0].number = 5
        copied.table["a"] = 1
        assert Document(copied).model.items[0].number == 5
    assert model == Outer()
