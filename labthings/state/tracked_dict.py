"""A dict that tells the document it is part of how it changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex, TypeVar

from typing_extensions import Self

from labthings.state.containers import DictShape
from labthings.state.json_patch import escape
from labthings.state.operations import Operation
from labthings.state.revalidation import commit, taking
from labthings.state.tracked_list import unchanged
from labthings.state.tracking import Change, Child, ContainerTracking, Held, Node

Value = TypeVar("Value")
MISSING: Any = object()


class DictTracking(ContainerTracking):
    """Where a dict is, and what it may contain."""

    __slots__ = ("shape",)

    def __init__(self, shape: DictShape) -> None:
        super().__init__()
        self.shape = shape

    def children(self, node: dict[str, Any]) -> Iterable[Child]:
        if not self.shape.item.is_structured:
            return ()
        return [self.shape.child(key, each) for key, each in node.items() if isinstance(each, Node)]

    def key_of(self, node: dict[str, Any], child: Node) -> str | None:
        key: str = child.__tracking__.key
        return key if node.get(key) is child else None

    def part(self, node: dict[str, Any], key: str) -> str:
        return escape(key)

    def overwriting(self, node: TrackedDict[Any], contents: dict[str, Any]) -> Change:
        values = contents
        if self.shape.item.is_structured:
            may_take = taking(node, list(node.values()))
            values = {key: self.shape.item.tracked(each, each, may_take) for key, each in contents.items()}
        return _Update(node, values, [key for key in node if key not in contents])

    def replacement(self, node: dict[str, Any], key: str, pointer: str) -> list[Operation]:
        return [Operation("replace", f"{pointer}/{escape(key)}", self.shape.item.to_json(node[key]))]


class TrackedDict(dict[str, Value], Node):
    """A dict in live state: what is put into it is validated, and each change of it is told of."""

    __slots__ = ("__tracking__",)
    __tracking__: DictTracking

    def __init__(self, items: Iterable[tuple[str, Value]], shape: DictShape) -> None:
        super().__init__(items)
        self.__tracking__ = DictTracking(shape)

    def __setitem__(self, key: str, value: Value) -> None:
        with Held(self):
            if value is not self.get(key) or not isinstance(value, Node):  # `x["a"] += [...]` sets what is there
                self._put({key: value})

    def __delitem__(self, key: str) -> None:
        with Held(self):
            if key not in self:
                raise KeyError(key)
            self._remove([key])

    def pop(self, key: str, default: Any = MISSING) -> Any:
        with Held(self):
            if key not in self:
                if default is MISSING:
                    raise KeyError(key)
                return default
            value = self[key]
            self._remove([key])
            return value

    def popitem(self) -> tuple[str, Value]:
        with Held(self):
            if not self:
                raise KeyError("popitem(): dictionary is empty")
            key = next(reversed(self))
            return key, self.pop(key)

    def setdefault(self, key: str, default: Any = None) -> Any:
        with Held(self):
            if key in self:
                return self[key]
            return self[self._put({key: default})[0]]

    def update(self, *args: Any, **kwargs: Any) -> None:
        given = dict(*args, **kwargs)
        with Held(self):
            self._put(given)

    def clear(self) -> None:
        with Held(self):
            self._remove(list(self))

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def __reduce_ex__(self, _: SupportsIndex) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def _remove(self, keys: list[str]) -> None:
        self.__tracking__.shape.check_length(len(self) - len(keys), self)
        commit(_Update(self, {}, keys))

    def _put(self, given: dict[Any, Any]) -> list[str]:
        """Put valid values at keys, and give the valid keys."""
        shape = self.__tracking__.shape
        keys = [shape.validated_key(key) for key in given]
        values = [shape.validated(value, key) for key, value in given.items()]
        if added := set(keys) - self.keys():
            shape.check_length(len(self) + len(added), given)
        if shape.item.is_structured:
            may_take = taking(self, [self[key] for key in keys if key in self])
            values = [
                shape.item.tracked(value, each, may_take) for value, each in zip(values, given.values(), strict=True)
            ]
        commit(_Update(self, dict(zip(keys, values, strict=True)), []))
        return keys


class _Update(Change):
    """Valid values at keys, and keys that are removed."""

    def __init__(self, node: TrackedDict[Any], items: dict[str, Any], removed: list[str]) -> None:
        self.node: TrackedDict[Any] = node
        self._items = items
        self._removed = removed
        self._old = {key: node[key] for key in (*items, *removed) if key in node}
        self._order = dict(node) if removed and node.__tracking__.shape.whole else None

    def leaving(self) -> Iterable[object]:
        return self._old.values()

    def arriving(self) -> Iterable[Child]:
        shape = self.node.__tracking__.shape
        return [shape.child(key, each) for key, each in self._items.items() if isinstance(each, Node)]

    def write(self) -> None:
        dict.update(self.node, self._items)
        for key in self._removed:
            dict.__delitem__(self.node, key)

    def undo(self) -> None:
        for key in self._items.keys() - self._old.keys():
            dict.__delitem__(self.node, key)
        if self._order is not None:
            dict.clear(self.node)
        dict.update(self.node, self._old if self._order is None else self._order)

    def operations(self, pointer: str) -> list[Operation]:
        if self._removed and len(self._removed) > 1 and not self.node:
            return [Operation("replace", pointer, b"{}")]
        to_json = self.node.__tracking__.shape.item.to_json
        return [
            *(Operation("remove", f"{pointer}/{escape(key)}") for key in self._removed),
            *(
                Operation("replace" if key in self._old else "add", f"{pointer}/{escape(key)}", to_json(value))
                for key, value in self._items.items()
                if key not in self._old or not unchanged(self._old[key], value)
            ),
        ]
