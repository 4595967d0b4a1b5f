"""Which item of a list has become which, when all that is known of the change is the outcome."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import pydantic_core

from labthings.state.tracking import Node


def aligned(old: list[Any], new: list[Any]) -> list[Any]:
    """For each new item what it was before; what is new is given as it is.

    Items are the same if they are the same in JSON. The rest are taken for those that are left, in their order.
    """
    if len(old) == len(new) and not any(isinstance(each, Node) for each in new):
        return old
    before, after = list(map(_json, old)), list(map(_json, new))
    places: defaultdict[bytes, deque[int]] = defaultdict(deque)
    for index, each in enumerate(before):
        places[each].append(index)
    found = {index: place for index, each in enumerate(after) if (place := _taken(places[each], index)) is not None}
    left = sorted(set(range(len(old))) - set(found.values()))
    without = [index for index in range(len(new)) if index not in found]
    found.update(zip(without, left, strict=False))
    return [old[found[index]] if index in found else each for index, each in enumerate(new)]


def _taken(places: deque[int], index: int) -> int | None:
    """The place to take of those where items are alike, if there is any left: the same one, or else the first."""
    if index in places:
        places.remove(index)
        return index
    return places.popleft() if places else None


def _json(item: Any) -> bytes:
    return pydantic_core.to_json(item, by_alias=True, inf_nan_mode="null", fallback=repr)
