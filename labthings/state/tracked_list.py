"""A list that tells the document it is part of how it changes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex, TypeVar

from typing_extensions import Self

from labthings.state.containers import ListShape
from labthings.state.operations import Operation
from labthings.state.revalidation import commit, taking
from labthings.state.tracking import Change, Child, ContainerTracking, Held, Node

Item = TypeVar("Item")


class ListTracking(ContainerTracking):
    """Where a list is, and what it may contain."""

    __slots__ = ("shape",)

    def __init__(self, shape: ListShape) -> None:
        super().__init__()
        self.shape = shape

    def children(self, node: list[Any]) -> Iterable[Child]:
        if not self.shape.item.is_structured:
            return ()
        return [self.shape.child(index, each) for index, each in enumerate(node) if isinstance(each, Node)]

    def key_of(self, node: list[Any], child: Node) -> int | None:
        hint = child.__tracking__.key
        if type(hint) is int and hint < len(node) and node[hint] is child:
            return hint
        found = None
        for index, each in enumerate(node):  # all of them, since what has moved one has moved others too
            if isinstance(each, Node):
                each.__tracking__.key = index
                found = index if each is child else found
        return found

    def part(self, node: list[Any], key: int) -> str:
        return str(key)

    def overwriting(self, node: TrackedList[Any], contents: list[Any]) -> Change:
        values = contents
        if self.shape.item.is_structured:
            values = [self.shape.item.tracked(each, each, taking(node, list(node))) for each in contents]
        return _Splice(node, 0, len(node), values)

    def replacement(self, node: list[Any], key: int, pointer: str) -> list[Operation]:
        return [Operation("replace", f"{pointer}/{key}", self.shape.item.to_json(node[key]))]


class TrackedList(list[Item], Node):
    """A list in live state: what is put into it is validated, and each change of it is told of."""

    __slots__ = ("__tracking__",)
    __tracking__: ListTracking

    def __init__(self, items: Iterable[Item], shape: ListShape) -> None:
        super().__init__(items)
        self.__tracking__ = ListTracking(shape)

    def append(self, item: Item) -> None:
        with Held(self):
            self._splice(len(self), len(self), [item])

    def insert(self, index: SupportsIndex, item: Item) -> None:
        with Held(self):
            start = slice(index, None).indices(len(self))[0]
            self._splice(start, start, [item])

    def extend(self, items: Iterable[Item]) -> None:
        given = list(items)
        with Held(self):
            self._splice(len(self), len(self), given)

    def pop(self, index: SupportsIndex = -1) -> Item:
        with Held(self):
            start = self._index(index, "pop index out of range" if self else "pop from empty list")
            item = self[start]
            self._splice(start, start + 1, [])
            return item

    def remove(self, item: Item) -> None:
        with Held(self):
            start = self.index(item)
            self._splice(start, start + 1, [])

    def clear(self) -> None:
        with Held(self):
            self._splice(0, len(self), [])

    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        with Held(self):
            self._rearrange(sorted(self, key=key, reverse=reverse))

    def reverse(self) -> None:
        with Held(self):
            self._rearrange(self[::-1])

    def __setitem__(self, index: Any, item: Any) -> None:
        if isinstance(index, slice):
            self._set_slice(index, list(item))
            return
        with Held(self):
            start = self._index(index, "list assignment index out of range")
            if item is not self[start] or not isinstance(item, Node):  # `x[0] += [...]` sets what is there
                self._splice(start, start + 1, [item])

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        with Held(self):
            if not isinstance(index, slice):
                start = self._index(index, "list assignment index out of range")
                self._splice(start, start + 1, [])
            elif (span := _span(index, len(self))) is not None:
                self._splice(*span, [])
            else:
                kept = list(self)
                del kept[index]
                self._rearrange(kept)

    def __iadd__(self, items: Iterable[Item]) -> Self:  # type: ignore[override, misc]
        self.extend(items)
        return self

    def __imul__(self, times: SupportsIndex) -> Self:
        with Held(self):
            items = list(self)
            if not items * times:
                self._splice(0, len(self), [])
            else:
                self._splice(len(self), len(self), (items * times)[len(items) :])
            return self

    def __reduce_ex__(self, _: SupportsIndex) -> tuple[Any, ...]:
        return list, (list(self),)

    def _set_slice(self, index: slice, given: list[Any]) -> None:
        with Held(self):
            if (span := _span(index, len(self))) is not None:
                self._splice(*span, given)
                return
            items = list(self)
            items[index] = given  # which checks how many there are
            self._splice(0, len(self), items)

    def _index(self, index: SupportsIndex, fault: str) -> int:
        if not -len(self) <= operator.index(index) < len(self):
            raise IndexError(fault)
        return range(len(self))[index]

    def _rearrange(self, items: list[Any]) -> None:
        self.__tracking__.shape.check_length(len(items), items)
        commit(_Splice(self, 0, len(self), items))

    def _splice(self, start: int, stop: int, given: list[Any]) -> None:
        """Put items in place of those from one index to another."""
        shape = self.__tracking__.shape
        values = [shape.validated(item, start + index) for index, item in enumerate(given)]
        length = len(self) - (stop - start) + len(given)
        if length != len(self):
            shape.check_length(length, given)
        if shape.item.is_structured:
            may_take = taking(self, self[start:stop])
            values = [shape.item.tracked(value, item, may_take) for value, item in zip(values, given, strict=True)]
        commit(_Splice(self, start, stop, values))


def _span(index: slice, length: int) -> tuple[int, int] | None:
    """Where a slice begins and ends, unless it leaves out items between."""
    start, stop, step = index.indices(length)
    return (start, max(start, stop)) if step == 1 else None


class _Splice(Change):
    """Valid items in place of those from one index to another."""

    def __init__(self, node: TrackedList[Any], start: int, stop: int, items: list[Any]) -> None:
        self.node: TrackedList[Any] = node
        self._start = start
        self._items = items
        self._old = list.__getitem__(node, slice(start, stop))

    def leaving(self) -> Iterable[object]:
        return self._old if self.node.__tracking__.shape.item.is_structured else ()

    def arriving(self) -> Iterable[Child]:
        shape = self.node.__tracking__.shape
        if not shape.item.is_structured:
            return ()
        return [
            shape.child(self._start + index, each) for index, each in enumerate(self._items) if isinstance(each, Node)
        ]

    def write(self) -> None:
        list.__setitem__(self.node, slice(self._start, self._start + len(self._old)), self._items)

    def undo(self) -> None:
        list.__setitem__(self.node, slice(self._start, self._start + len(self._items)), self._old)

    def operations(self, pointer: str) -> list[Operation]:
        to_json = self.node.__tracking__.shape.item.to_json
        both = min(len(self._old), len(self._items))
        replaced = [index for index in range(both) if not unchanged(self._old[index], self._items[index])]
        count = len(replaced) + abs(len(self._old) - len(self._items))
        if count > 1 and 2 * count > len(self.node):
            return [Operation("replace", pointer, b"[%b]" % b",".join(map(to_json, self.node)))]
        paths = [f"{pointer}/{self._start + index}" for index in range(max(len(self._old), len(self._items)))]
        return [
            *(Operation("replace", paths[index], to_json(self._items[index])) for index in replaced),
            *(Operation("remove", path) for path in reversed(paths[len(self._items) :])),
            *(Operation("add", paths[index], to_json(self._items[index])) for index in range(both, len(self._items))),
        ]


_SCALARS = (str, int, bool, type(None))


def unchanged(old: object, new: object) -> bool:
    """Whether one value in place of another makes no difference, since neither can change by itself."""
    if isinstance(new, Node):
        return old is new
    if type(old) is not type(new):
        return False
    if type(new) is float:
        return old == new and (new != 0 or str(old) == str(new))  # 0.0 is not -0.0
    return type(new) in _SCALARS and old == new
