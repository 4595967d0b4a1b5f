"""Events that happened while a client was away."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labthings.event_history import MOST_BYTES, MOST_MESSAGES, EventHistory
from labthings.messages import Message


def record(history: EventHistory, data: Any, event: str = "opened", thing: str = "lid") -> Message:
    message = Message(thing, event, "event", data)
    history.record(message)
    return message


def missed(history: EventHistory, event: str | None, position: int, thing: str = "lid") -> tuple[int, list[Any]]:
    found = history.since(thing, event, position)
    return found.lost, [message.payload for message in found.messages]


def test_events_are_numbered_each_by_itself_and_all_of_a_thing_together() -> None:
    history = EventHistory()
    first, second = record(history, 1), record(history, 2, "closed")
    third, other = record(history, 3), record(history, 4, thing="pump")
    assert [(each.number, each.thing_number) for each in (first, second, third, other)] == [
        (1, 1),
        (1, 2),
        (2, 3),
        (1, 1),
    ]
    assert history.position("lid") == 3
    assert history.position("lid", "opened") == 2
    assert history.position("lid", "unheard of") == history.position("nobody") == 0


def test_what_has_happened_since() -> None:
    history = EventHistory()
    for number in range(1, 5):
        record(history, number, "opened" if number % 2 else "closed")
    assert missed(history, "opened", 0) == (0, [1, 3])
    assert missed(history, "opened", 1) == (0, [3])
    assert missed(history, "opened", 2) == (0, [])
    assert missed(history, None, 1) == (0, [2, 3, 4])
    assert missed(history, None, 99) == (0, [])
    assert missed(history, "opened", 0, "pump") == (0, [])


def test_what_is_no_longer_kept_is_counted() -> None:
    history = EventHistory()
    for number in range(MOST_MESSAGES + 10):
        record(history, number)
    record(history, "shut", "closed")
    lost, found = missed(history, "opened", 0)
    assert (lost, found[0], len(found)) == (10, 10, MOST_MESSAGES)
    assert missed(history, "opened", 4)[0] == 6
    assert missed(history, "opened", 10)[0] == 0
    assert missed(history, None, 0)[0] == 10
    assert missed(history, "closed", 0) == (0, ["shut"])


def test_large_data_does_not_fill_the_memory() -> None:
    history = EventHistory()
    megabyte = "x" * 2**20
    for _ in range(20):
        record(history, megabyte)
    lost, found = missed(history, "opened", 0)
    assert lost + len(found) == 20
    assert 1 <= len(found) * len(megabyte) <= MOST_BYTES


def test_the_last_event_is_kept_however_large() -> None:
    history = EventHistory()
    record(history, "x" * 2 * MOST_BYTES)
    record(history, "y" * 2 * MOST_BYTES)
    lost, [last] = missed(history, "opened", 0)
    assert (lost, last[0]) == (1, "y")


@pytest.mark.parametrize("event", ["a", "b", None])
@given(events=st.lists(st.sampled_from("ab"), max_size=40), position=st.integers(0, 50))
def test_what_is_lost_and_what_is_kept_is_all_that_has_happened_since(
    event: str | None, events: list[str], position: int
) -> None:
    history = EventHistory()
    for number, name in enumerate(events):
        record(history, number, name)
    happened = [number for number, name in enumerate(events) if event in (None, name)]
    lost, found = missed(history, event, position)
    assert lost == 0
    assert found == happened[position:]
