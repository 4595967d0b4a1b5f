"""What lists and dicts in live state may contain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from labthings.state.tracking import Child, Node


class Taking(Protocol):
    """Says which tracked lists and dicts may be put at a place as they are, rather than copied there.

    It raises `AlreadyInStateError` for one that is, and stays, at another place of a document.
    """

    def __call__(self, given: Node, /) -> bool: ...


class ItemShape(Protocol):
    """What an item may be."""

    @property
    def is_structured(self) -> bool: ...

    def validated(self, value: Any) -> Any: ...

    def to_json(self, value: Any) -> bytes: ...

    def tracked(self, value: Any, given: Any, may_take: Taking) -> Any: ...

    def is_opaque(self, value: Any) -> bool: ...


@dataclass(eq=False, slots=True)
class ContainerShape:
    """What a list or dict may contain.

    :param where: the field that it is in, for messages.
    :param item: what each item, or value, may be.
    :param whole: whether something validates it as a whole, or something around it.
    """

    where: str
    kind: str
    item: ItemShape
    least: int | None
    most: int | None
    whole: bool

    def check_length(self, length: int, contents: Any) -> None:
        """Refuse a number of items that is too small or too large."""
        if self.most is not None and length > self.most:
            raise self._refusal("too_long", "max_length", self.most, length, contents)
        if self.least is not None and length < self.least:
            raise self._refusal("too_short", "min_length", self.least, length, contents)

    def validated(self, value: Any, key: Any) -> Any:
        """A valid item, made of what is to be put at a key or index."""
        try:
            return self.item.validated(value)
        except ValidationError as error:
            raise located(error, self.where, key) from None

    def child(self, key: Any, value: Node) -> Child:
        """A node among the items."""
        return Child(key, value, self.item.is_opaque(value))

    def _refusal(self, fault: Any, limit: str, bound: int, length: int, contents: Any) -> ValidationError:
        context = {"field_type": self.kind, limit: bound, "actual_length": length}
        return ValidationError.from_exception_data(
            self.where, [InitErrorDetails(type=fault, loc=(), input=contents, ctx=context)]
        )


@dataclass(eq=False, slots=True)
class ListShape(ContainerShape):
    """What a list may contain."""


@dataclass(eq=False, slots=True)
class DictShape(ContainerShape):
    """What a dict may contain.

    :param key: what its keys may be.
    """

    key: ItemShape

    def validated_key(self, key: Any) -> str:
        """A valid key."""
        try:
            valid = self.key.validated(key)
        except ValidationError as error:
            raise located(error, self.where, key) from None
        if type(valid) is not str:
            raise TypeError(f"{self.where}: the key {key!r} is not a string, and JSON has no other keys.")
        return valid


def located(error: ValidationError, where: str, key: Any) -> ValidationError:
    """The same faults, told of as faults of a field's item."""
    prefix: Sequence[int | str] = (key if isinstance(key, int | str) else str(key),)
    faults = [
        InitErrorDetails(
            type=PydanticCustomError(each["type"], "{message}", {"message": each["msg"]}),
            loc=(*prefix, *each["loc"]),
            input=each["input"],
        )
        for each in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data(where, faults)
