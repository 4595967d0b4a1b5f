"""Replicas that check what they are told."""

from __future__ import annotations

import json
from typing import Any

from labthings.state import Document, Patch, Replica


class Follower(Replica):
    """A replica that follows a document, and checks at each patch that it has what the document has."""

    def __init__(self, document: Document[Any]) -> None:
        self.document = document
        self.patches: list[Patch] = []
        super().__init__(document.subscribe(self.follow))

    def follow(self, patch: Patch) -> None:
        """Apply a patch as it is on the wire."""
        self.patches.append(patch)
        assert self.apply(patch.json)

    @property
    def operations(self) -> list[tuple[Any, ...]]:
        """All operations so far: what is done, where, and with which value."""
        told = [each for patch in self.patches for each in patch.operations]
        return [(each.op, each.path) if each.json is None else (each.op, each.path, each.value) for each in told]

    def leave(self) -> None:
        """Follow no more."""
        self.document.unsubscribe(self.follow)

    def check(self) -> None:
        """Have what the document has, in the same words."""
        assert words(self.data) == words(json.loads(self.document.snapshot().data))
        assert words(self.data) == words(json.loads(self.document.model.model_dump_json()))
        assert self.version == self.document.version


def words(data: Any) -> str:
    """Data as JSON, which tells ``True`` from 1, and 1 from 1.0."""
    return json.dumps(data, sort_keys=True)
