"""Where the objects of live state are: each is at one place in the tree of one document, or free."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from labthings.state.operations import Operation

_LOGGER = logging.getLogger(__name__)


class Node:
    """A model, list or dict whose changes are tracked."""

    __slots__ = ()
    __tracking__: Tracking


class Child(NamedTuple):
    """A node within another one.

    :param key: the name of a field, an index, or a key of a dict.
    :param opaque: whether its JSON is not made part by part of its parts, so that it is sent whole.
    """

    key: Any
    node: Node
    opaque: bool


class Tracking(ABC):
    """What is known of a node: whose it is, and where it is in that.

    :param home: the document it is part of, or where free nodes are.
    :param key: its place in the parent; only a hint if that is a list.
    :param busy: whether its validators run at the moment.
    """

    __slots__ = ("busy", "home", "key", "opaque", "parent")

    def __init__(self) -> None:
        self.home: Home = FREE
        self.parent: Node | None = None
        self.key: Any = None
        self.opaque = False
        self.busy = False

    @abstractmethod
    def children(self, node: Any) -> Iterable[Child]:
        """The nodes that are directly within."""

    @abstractmethod
    def key_of(self, node: Any, child: Node) -> Any:
        """Where a child is, or None if it is there no more."""

    @abstractmethod
    def part(self, node: Any, key: Any) -> str:
        """A key as a part of a JSON pointer."""

    @abstractmethod
    def replacement(self, node: Any, key: Any, pointer: str) -> list[Operation]:
        """What tells that a child has another value.

        :param pointer: where the node is.
        """

    def is_derived(self, node: Any) -> bool:
        """Whether the node's JSON has something that is computed from other values in it."""
        return False


class ContainerTracking(Tracking):
    """What is known of a list or dict."""

    __slots__ = ()

    @abstractmethod
    def overwriting(self, node: Any, contents: Any) -> Change:
        """The change that gives it other contents, which are valid."""


class Change(ABC):
    """A change of a node's contents that is yet to be made."""

    node: Node

    @abstractmethod
    def leaving(self) -> Iterable[object]:
        """The values that will be there no more."""

    @abstractmethod
    def arriving(self) -> Iterable[Child]:
        """The nodes among the values that will be there."""

    @abstractmethod
    def write(self) -> None:
        """Make the change."""

    @abstractmethod
    def undo(self) -> None:
        """Take it back."""

    @abstractmethod
    def operations(self, pointer: str) -> list[Operation]:
        """What tells of the change, once it is made.

        :param pointer: where the node is.
        """


class Home(Protocol):
    """Who keeps nodes: a document, or nobody."""

    def enter(self) -> None: ...

    def leave(self) -> None: ...

    def commit(self, change: Change) -> None: ...

    def touched(self, node: Node) -> None: ...


class Limbo:
    """Where nodes are that are part of no document."""

    lock = threading.RLock()
    """Is held where a free node changes, or becomes part of a document; a document's own lock is taken before it."""

    def enter(self) -> None:
        self.lock.acquire()

    def leave(self) -> None:
        self.lock.release()

    def commit(self, change: Change) -> None:
        newcomers = list(change.arriving())
        change.write()
        for value in change.leaving():
            if isinstance(value, Node) and value.__tracking__.parent is change.node:
                value.__tracking__.parent = None
        for key, node, _ in newcomers:
            if node.__tracking__.home in (FREE, ORPHANAGE):
                node.__tracking__.parent, node.__tracking__.key = change.node, key

    def touched(self, node: Node) -> None:
        """Nobody is to be told."""


class Orphanage(Limbo):
    """Where nodes are that were part of a document once."""

    def commit(self, change: Change) -> None:
        _LOGGER.debug("A %s was changed that is no longer part of live state.", type(change.node).__name__)
        super().commit(change)


FREE = Limbo()
ORPHANAGE = Orphanage()


class Held:
    """Keep everybody else from changing the document that a node is part of: ``with Held(node) as home``."""

    __slots__ = ("_home", "_tracking")

    def __init__(self, node: Node) -> None:
        self._tracking = node.__tracking__

    def __enter__(self) -> Home:
        while True:
            home = self._tracking.home
            home.enter()
            if self._tracking.home is home:
                self._home = home
                return home
            home.leave()  # it has moved before it was locked

    def __exit__(self, *_: object) -> None:
        self._home.leave()


class Location(NamedTuple):
    """Where a node's changes are told of.

    :param pointer: of the node; or of the parent of the outermost node around it that is sent whole.
    :param whole: that node's parent, which is None if it is the root; and its key there.
    """

    pointer: str
    whole: tuple[Node | None, Any] | None = None


def locate(node: Node) -> Location | None:
    """Where a node of a document is, or None if it is there no more."""
    found: list[str] = []
    whole: tuple[Node | None, Any] | None = None
    tracking = node.__tracking__
    while (parent := tracking.parent) is not None:
        above = parent.__tracking__
        key = above.key_of(parent, node)
        if key is None:
            return None
        if tracking.opaque:
            whole = (parent, key)
            found.clear()
        else:
            found.append(above.part(parent, key))
        node, tracking = parent, above
    if tracking.opaque:
        return Location("", (None, None))
    return Location("/" + "/".join(reversed(found)) if found else "", whole)


def ancestors(node: Node) -> Iterator[Node]:
    """A node, and all that it is within."""
    each: Node | None = node
    while each is not None:
        yield each
        each = each.__tracking__.parent


def family(node: Node) -> Iterator[Node]:
    """A node, and all that are within it."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        yield each
        waiting.extend(child.node for child in each.__tracking__.children(each))


def settle(node: Node, home: Home, parent: Node | None, key: Any, opaque: bool) -> None:
    """Give a node, and all that are within it, their place in a document."""
    waiting: list[tuple[Node | None, Child]] = [(parent, Child(key, node, opaque))]
    while waiting:
        above, child = waiting.pop()
        tracking = child.node.__tracking__
        tracking.home, tracking.parent, tracking.key, tracking.opaque = home, above, child.key, child.opaque
        waiting.extend((child.node, each) for each in tracking.children(child.node))


def release(node: Node, home: Home, kept: set[int]) -> None:
    """Let a node, and all that are within it, go from a document.

    :param kept: the ``id`` of those that stay in the document.
    """
    waiting = [node]
    while waiting:
        each = waiting.pop()
        tracking = each.__tracking__
        if id(each) in kept or tracking.home is not home:
            continue
        waiting.extend(child.node for child in tracking.children(each))
        tracking.home = ORPHANAGE
    if id(node) not in kept:
        node.__tracking__.parent = None
