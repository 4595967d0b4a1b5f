"""JSON Patch (RFC 6902) on plain data: applying one, and finding the one between two states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pydantic_core

from labthings.exceptions import InvalidPatchError
from labthings.state.operations import Operation

OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")
MOST_COPIED = 2**20  # bytes of JSON; a list that is copied into itself is twice as large each time


def escape(name: str) -> str:
    """A name as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1") if "~" in name or "/" in name else name


def parts(pointer: str) -> list[str]:
    """The names and indices that a JSON pointer consists of."""
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise InvalidPatchError(f"'{pointer}' is no JSON pointer: it does not begin with '/'.")
    found = pointer[1:].split("/")
    return [each.replace("~1", "/").replace("~0", "~") for each in found] if "~" in pointer else found


def at(data: Any, pointer: str) -> Any:
    """What a JSON pointer points to.

    :raises InvalidPatchError: if there is nothing.
    """
    for part in parts(pointer):
        data = data[_key(data, part, pointer)]
    return data


def same(one: Any, other: Any) -> bool:
    """Whether two pieces of plain data are the same JSON: ``True`` is not 1, and 1 is not 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and (one != 0 or str(one) == str(other))  # 0.0 is not -0.0


def applied(data: Any, operations: Iterable[Operation | Mapping[str, Any]]) -> Any:
    """Apply operations to plain data in place, all or none of them, and give what the data then is.

    :raises InvalidPatchError: if one of them does not fit; the data is then as it was.
    """
    patching = _Patching(data)
    try:
        for operation in operations:
            patching.apply(operation)
    except BaseException:
        patching.undo()
        raise
    return patching.data


class _Patching:
    """Data that is being patched, and how to undo it."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self._undo: list[Callable[[], object]] = []
        self._copied_bytes = 0

    def undo(self) -> None:
        for each in reversed(self._undo):
            each()

    def apply(self, operation: Operation | Mapping[str, Any]) -> None:
        if isinstance(operation, Operation):
            self._put(operation.op, operation.path, operation.value)
            return
        op, path = _member(operation, "op"), _member(operation, "path")
        if op not in OPERATIONS:
            raise InvalidPatchError(f"'{op}' is no operation of a JSON Patch.")
        if op == "test":
            self._test(path, _member(operation, "value"))
        elif op in ("move", "copy"):
            self._move(op, _member(operation, "from"), path)
        else:
            self._put(op, path, None if op == "remove" else _copy(_member(operation, "value")))

    def _test(self, path: str, value: Any) -> None:
        if not _equal(at(self.data, path), value):
            raise InvalidPatchError(f"What is at '{path}' is not what the patch says.")

    def _move(self, op: str, source: str, path: str) -> None:
        if op == "move" and path.startswith(f"{source}/"):
            raise InvalidPatchError(f"'{source}' cannot be moved into itself.")
        value = at(self.data, source)
        if op == "move":
            self._put("remove", source, None)
        self._put("add", path, value if op == "move" else self._copied(value))

    def _copied(self, value: Any) -> Any:
        json = pydantic_core.to_json(value)
        self._copied_bytes += len(json)
        if self._copied_bytes > MOST_COPIED:
            raise InvalidPatchError(f"A patch cannot copy more than {MOST_COPIED} bytes.")
        return pydantic_core.from_json(json)

    def _put(self, op: str, path: str, value: Any) -> None:
        if not path:
            if op == "remove":
                raise InvalidPatchError("The whole document cannot be removed.")
            self.data = value
            return
        *above, last = parts(path)
        parent = self.data
        for part in above:
            parent = parent[_key(parent, part, path)]
        if isinstance(parent, list) and op == "add":
            index = len(parent) if last == "-" else _index(last, len(parent) + 1, path)
            parent.insert(index, value)
            self._undo.append(lambda: parent.pop(index))
        elif isinstance(parent, dict) and op == "add" and last not in parent:
            parent[last] = value
            self._undo.append(lambda: parent.pop(last))
        else:
            self._overwrite(op, parent, _key(parent, last, path), value)

    def _overwrite(self, op: str, parent: Any, key: Any, value: Any) -> None:
        old = parent[key]
        if op != "remove":
            parent[key] = value
            self._undo.append(lambda: parent.__setitem__(key, old))
            return
        del parent[key]
        back = parent.insert if isinstance(parent, list) else parent.__setitem__
        self._undo.append(lambda: back(key, old))


def _member(operation: Mapping[str, Any], name: str) -> Any:
    if not isinstance(operation, Mapping) or name not in operation:
        raise InvalidPatchError(f"An operation of a patch has no '{name}'.")
    if name != "value" and not isinstance(operation[name], str):
        raise InvalidPatchError(f"The '{name}' of an operation of a patch is not a string.")
    return operation[name]


def _key(data: Any, part: str, pointer: str) -> Any:
    if isinstance(data, list):
        return _index(part, len(data), pointer)
    if not isinstance(data, dict) or part not in data:
        raise InvalidPatchError(f"There is nothing at '{pointer}'.")
    return part


def _index(part: str, end: int, pointer: str) -> int:
    is_number = part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")
    if not is_number or len(part) > 15 or int(part) >= end:
        raise InvalidPatchError(f"There is nothing at '{pointer}'.")
    return int(part)


def _copy(value: Any) -> Any:
    return pydantic_core.from_json(pydantic_core.to_json(value)) if isinstance(value, dict | list) else value


def _equal(one: Any, other: Any) -> bool:
    """Whether they are equal as RFC 6902 has it: numbers by value, but a boolean is no number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def difference(old: Any, new: Any, pointer: str = "") -> Iterator[Operation]:
    """The operations that make one piece of plain data the other."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _difference_of_objects(old, new, pointer)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _difference_of_arrays(old, new, pointer)
    elif not same(old, new):
        yield Operation("replace", pointer, pydantic_core.to_json(new))


def _difference_of_objects(old: dict[str, Any], new: dict[str, Any], pointer: str) -> Iterator[Operation]:
    for name in old.keys() - new.keys():
        yield Operation("remove", f"{pointer}/{escape(name)}")
    for name, value in new.items():
        path = f"{pointer}/{escape(name)}"
        if name in old:
            yield from difference(old[name], value, path)
        else:
            yield Operation("add", path, pydantic_core.to_json(value))


def _difference_of_arrays(old: list[Any], new: list[Any], pointer: str) -> Iterator[Operation]:
    shorter = min(len(old), len(new))
    start = next((index for index in range(shorter) if not same(old[index], new[index])), shorter)
    end = next(
        (index for index in range(shorter - start) if not same(old[-1 - index], new[-1 - index])), shorter - start
    )
    both = range(start, shorter - end)
    for index in both:
        yield from difference(old[index], new[index], f"{pointer}/{index}")
    for _ in range(len(old) - shorter):
        yield Operation("remove", f"{pointer}/{both.stop}")
    for index in range(both.stop, both.stop + len(new) - shorter):
        yield Operation("add", f"{pointer}/{index}", pydantic_core.to_json(new[index]))
