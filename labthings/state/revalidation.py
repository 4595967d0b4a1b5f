"""What stands between a change of a list or dict and its being made: validators that see more than one item."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from labthings.exceptions import AlreadyInStateError
from labthings.state.containers import Taking
from labthings.state.tracking import FREE, ORPHANAGE, Change, Node, ancestors, locate


def commit(change: Change) -> None:
    """Make a change of a list or dict, unless what validates it as a whole refuses it."""
    node = change.node
    child: Node = node
    if node.__tracking__.shape.whole:  # type: ignore[attr-defined]
        for each in ancestors(node):
            commit_within = getattr(each.__tracking__, "commit_within", None)  # only models have it
            if commit_within is not None:
                commit_within(each, child.__tracking__.key, change)
                return
            child = each
    node.__tracking__.home.commit(change)


def taking(node: Node, leaving: Iterable[object]) -> Taking:
    """Say which lists and dicts may be put into a node as they are: free ones, and those that leave it.

    :param leaving: the values that leave it.
    """
    free = (FREE, ORPHANAGE)

    def may_take(given: Node) -> bool:
        tracking = given.__tracking__
        if tracking.parent is None and tracking.home in free:
            return True
        if is_within(given, node, {id(each) for each in leaving}):
            return True
        if tracking.home not in free and node.__tracking__.home not in free:
            raise already_there(given)
        return False

    return may_take


def is_within(node: Node, parent: Node, tops: set[int]) -> bool:
    """Whether a node is one of some values in a parent, by their ``id``, or is within one."""
    chain = list(ancestors(node))
    return any(above is parent and id(each) in tops for each, above in pairwise(chain))


def already_there(node: Node) -> AlreadyInStateError:
    """The error to raise if a node is put somewhere while it is elsewhere."""
    location: Any = locate(node)
    place = f"at '{location.pointer}' of" if location and location.pointer else "in"
    copying = "`model_copy()`" if hasattr(node, "model_copy") else "`list(...)` or `dict(...)`"
    return AlreadyInStateError(
        f"This {type(node).__name__} is {place} a document already, and can be at one place only: "
        f"remove it there first, or put a copy here, made with {copying}."
    )
