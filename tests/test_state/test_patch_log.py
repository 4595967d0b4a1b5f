"""A slow client costs nothing: what it has not taken in time is gone, and it knows."""

from __future__ import annotations

from typing import Any

import pytest

from labthings.state import Document, Patch, ReactiveModel, Replica, patch_log
from labthings.state.patch_log import PatchLog
from tests.test_state.followers import words


class State(ReactiveModel):
    text: str = ""
    items: list[int] = []  # noqa: RUF012 - pydantic copies it


def logged() -> tuple[Document[State], PatchLog, list[Patch]]:
    """A document, a log of its patches, and which of them have been made texts."""
    document, texts = Document(State()), list[Patch]()
    log = PatchLog(lambda patch: texts.append(patch) or patch.json.decode())  # type: ignore[func-returns-value]
    document.subscribe(log.add)
    return document, log, texts


def test_each_follows_at_a_place_of_its_own() -> None:
    document, log, texts = logged()
    first, second = Replica(document.snapshot()), Replica(document.snapshot())
    for number in range(5):
        document.model.items.append(number)
        first.apply(str(log.after(first.version)))
    while second.version < log.version:
        second.apply(str(log.after(second.version)))
    assert words(first.data) == words(second.data) == words({"text": "", "items": [0, 1, 2, 3, 4]})
    assert [patch.version for patch in texts] == [1, 2, 3, 4, 5]  # each once


@pytest.mark.parametrize(("limit", "text"), [(("MOST_PATCHES", 3), "x"), (("MOST_BYTES", 1000), "x" * 100)])
def test_who_is_too_slow_is_told_so(limit: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_log, *limit)
    document, log, _ = logged()
    slow = Replica(document.snapshot())
    for number in range(3):
        document.model.text = text + str(number)
    assert log.after(0) is not None
    document.model.text = text + "3"
    assert log.after(0) is None
    slow.load(document.snapshot())
    document.model.text = text + "4"
    slow.apply(str(log.after(slow.version)))
    assert (slow.version, slow.data["text"]) == (5, text + "4")
    assert len(log._entries) == 3


def test_one_patch_is_kept_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_log, "MOST_BYTES", 10)
    document, log, _ = logged()
    for number in range(1, 4):
        document.model.text = str(number) * 100
        assert log.after(number - 1) is not None
        assert len(log._entries) == 1


def test_what_came_while_nobody_listened_is_not_made_up() -> None:
    document, log, _ = logged()
    document.model.items.append(1)
    document.unsubscribe(log.add)
    document.model.items.append(2)
    document.subscribe(log.add)
    document.model.items.append(3)
    assert [log.after(version) is None for version in range(3)] == [True, True, False]
