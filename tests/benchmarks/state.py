"""What a change of live state costs: ``python tests/benchmarks/state.py``.

The ratio of a change in a large document to one in a small document, and how many changes a second one thread makes,
with one subscriber and with a hundred, who all send the patch as it is encoded once.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from labthings.state import Document, Patch, ReactiveModel

ROUNDS = 9
CHANGES = 4000


class Channel(ReactiveModel):
    """An output."""

    bias: float = 0.0


class State(ReactiveModel):
    """An instrument."""

    voltage: float = 0.0
    spectrum: list[float]
    channels: list[Channel]


def document(length: int) -> Document[State]:
    """A document with as many floats in a list, and as many models."""
    return Document(State(spectrum=[0.5] * length, channels=[Channel() for _ in range(length)]))


def set_field(state: State, value: float) -> None:
    """Change a field of the root."""
    state.voltage = value


def set_item(state: State, value: float) -> None:
    """Change an item of a list of floats."""
    state.spectrum[5] = value


def set_nested(state: State, value: float) -> None:
    """Change a field of a model in a list."""
    state.channels[5].bias = value


def microseconds(state: State, change: Callable[[State, float], None]) -> float:
    """What one change takes."""
    start = time.perf_counter()
    for number in range(CHANGES):
        change(state, number + 0.5)
    return (time.perf_counter() - start) / CHANGES * 1e6


def ratio(change: Callable[[State, float], None]) -> float:
    """What a change costs in a large document, compared with a small one, by turns."""
    small, large = document(10), document(10_000)
    for each in (small, large):
        each.subscribe(lambda patch: patch.json)
    ratios = [microseconds(large.model, change) / microseconds(small.model, change) for _ in range(ROUNDS)]
    return round(statistics.median(ratios), 2)


def changes_per_second(subscribers: int) -> int:
    """How many changes of a field one thread makes, each of which is encoded."""
    made = document(10_000)
    for _ in range(subscribers):
        made.subscribe(_sender([]))
    return round(1e6 / statistics.median(microseconds(made.model, set_field) for _ in range(ROUNDS)))


def _sender(sent: list[bytes]) -> Callable[[Patch], None]:
    def send(patch: Patch) -> None:
        sent[:] = [patch.json]

    return send


def main() -> None:
    changes = {"field": set_field, "item of a list": set_item, "field of a model in a list": set_nested}
    found = {
        "10,000 floats and models, as a ratio to 10": {name: ratio(change) for name, change in changes.items()},
        "changes a second": {f"{count} subscribers": changes_per_second(count) for count in (0, 1, 100)},
        "microseconds": {
            name: round(min(microseconds(document(10).model, change) for _ in range(ROUNDS)), 1)
            for name, change in changes.items()
        },
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
