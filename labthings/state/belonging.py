"""Which document something is part of."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, TypeVar

from labthings.exceptions import StateError
from labthings.state.document import Document
from labthings.state.reactive_model import ReactiveModel
from labthings.state.tracking import Change, Node, settle

ReactiveModelType = TypeVar("ReactiveModelType", bound=ReactiveModel)


def document_of(node: object) -> Document[Any]:
    """The document that a model, list or dict is part of.

    :raises StateError: if it is part of none.
    """
    home = node.__tracking__.home if isinstance(node, Node) else None
    if not isinstance(home, Document):
        raise StateError(f"This {type(node).__name__} is not part of live state, or not any more.")
    return home


def made_read_only(model: ReactiveModelType, remedy: str) -> ReactiveModelType:
    """A model that is part of no document, and refuses to be changed from now on, as is everything in it.

    :param remedy: what to do instead, for the error's message.
    """
    settle(model, _ReadOnly(remedy), None, None, False)
    return model


class _ReadOnly:
    """Where models are that cannot be changed."""

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy

    def enter(self) -> None:
        raise StateError(f"This is a copy, and changing it would change nothing else. {self._remedy}")

    def leave(self) -> None:
        """Nothing has begun."""

    def commit(self, change: Change) -> None:
        self.enter()

    def touched(self, node: Node) -> None:
        """Nobody is to be told."""


def batch(node: object) -> AbstractContextManager[None]:
    """Make one patch of what is changed meanwhile: ``with batch(self.state): ...``.

    :param node: a model, list or dict of live state. The batch is of everything in the same document.
    :raises StateError: if it is part of none.
    """
    return document_of(node).batch()
