"""What live state was at each version, found without what tells replicas of it."""

from __future__ import annotations

import json
from typing import Any

from labthings.state import Document, Patch
from tests.test_state.followers import words


class Truth:
    """Has pydantic dump the model whenever a version begins, with the document's lock held."""

    def __init__(self, document: Document[Any]) -> None:
        self.document, self.epoch = document, document.epoch
        self.states: dict[int, str] = {}
        self.causes: dict[int, Any] = {}
        with document.lock:
            document.tell()
            self._remember(document.version)
            self._seal, document._seal = document._seal, self._sealed  # type: ignore[method-assign]
        document.subscribe(self._told)

    def close(self) -> None:
        """Look no more."""
        with self.document.lock:
            self.document._seal = self._seal  # type: ignore[method-assign]
        self.document.unsubscribe(self._told)

    def __getitem__(self, version: int) -> Any:
        return json.loads(self.states[version])

    def caused_by(self, invocation: str) -> list[int]:
        """The versions that an invocation of an action has led to."""
        return [version for version, cause in self.causes.items() if (cause or {}).get("invocation") == invocation]

    def _sealed(self) -> Patch | None:
        patch = self._seal()
        if patch is not None:
            self._remember(patch.version)
        return patch

    def _told(self, patch: Patch) -> None:
        self.causes[patch.version] = patch.origin

    def _remember(self, version: int) -> None:
        self.states[version] = words(json.loads(self.document.model.model_dump_json()))
