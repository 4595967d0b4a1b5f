"""Leaving out what makes no difference in the end."""

from __future__ import annotations

from collections.abc import Sequence

from labthings.state.operations import Operation

_STRUCTURED = (b"{", b"[")


def condensed(operations: Sequence[Operation]) -> list[Operation]:
    """Operations without those whose value is replaced by a later one before anything depends on it.

    A thread that sets a field in a tight loop tells of few of its values. An operation that adds, removes or replaces
    something with parts begins anew, since what comes after it may be about those.
    """
    kept: dict[object, Operation] = {}
    beginning = 0
    for number, each in enumerate(operations):
        if each.op == "replace" and each.json is not None and each.json[:1] not in _STRUCTURED:
            key = (beginning, each.path)
            kept.pop(key, None)
            kept[key] = each
        else:
            beginning = number
            kept[number] = each
    return list(kept.values())
