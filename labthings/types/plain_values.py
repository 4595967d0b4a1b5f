"""Values as JSON has them, except for arrays, which stay arrays."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter


class KeptArrays(list[Any]):
    """As the context of a serialisation, it has arrays replaced by placeholders, and keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f"array {uuid4().hex} "  # which nobody can guess

    def keep(self, array: Any) -> str:
        """Keep an array, and give what stands for it."""
        self.append(array)
        return f"{self._prefix}{len(self) - 1}"

    def put_back(self, value: Any) -> Any:
        """A value with arrays in place of what stands for them."""
        if isinstance(value, str) and value.startswith(self._prefix):
            return self[int(value[len(self._prefix) :])]
        if isinstance(value, dict):
            return {key: self.put_back(each) for key, each in value.items()}
        return [self.put_back(each) for each in value] if isinstance(value, list) else value


def plain(adapter: TypeAdapter[Any], value: Any) -> Any:
    """A valid value of a type in mappings, lists, strings, numbers, arrays; and bytes, if it is nothing else.

    The arrays are the value's own, not copies.

    :raises ValueError: if it cannot be serialised.
    """
    if isinstance(value, bytes):
        return value
    kept = KeptArrays()
    told = adapter.serializer.to_python(value, mode="json", by_alias=True, warnings="error", context=kept)
    return kept.put_back(told) if kept else told
