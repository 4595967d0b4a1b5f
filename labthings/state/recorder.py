"""What has changed in a tree of models, until it is told."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pydantic_core

from labthings.exceptions import AlreadyInStateError, InvalidPatchError
from labthings.state.condensing import condensed
from labthings.state.ledger import Ledger
from labthings.state.merging import merge
from labthings.state.model_shape import shape_of
from labthings.state.operations import Operation
from labthings.state.reading import validated
from labthings.state.revalidation import already_there, is_within
from labthings.state.tracking import FREE, ORPHANAGE, Change, Home, Node, family, locate, release, settle

_LOGGER = logging.getLogger(__name__)


class Recorder:
    """Makes changes of a model, and records them as operations, while its document's lock is held.

    :param model: the root of the tree.
    :param home: the document.
    :raises AlreadyInStateError: if the model, or something in it, is elsewhere already, or at two places in it.
    """

    def __init__(self, model: Any, home: Home) -> None:
        self._model, self._home = model, home
        self._pending: list[Operation] = []
        self._derived: dict[int, Node] = {}
        with FREE.lock:
            list(self._newcomers([model], None))
            self.ledger = Ledger(self._dump())
            self._settle()

    @property
    def has_news(self) -> bool:
        """Whether there is something to take."""
        return bool(self._pending or self._derived)

    @property
    def size(self) -> int:
        """How many operations there are to take."""
        return len(self._pending)

    # --- changing ---------------------------------------------------------------------------------------

    def commit(self, change: Change) -> None:
        """Make a change and record it, or neither."""
        arriving = list(change.arriving())
        if arriving:
            with FREE.lock:
                self._commit(change, list(self._newcomers([child.node for child in arriving], change)))
                for key, node, opaque in arriving:
                    settle(node, self._home, change.node, key, opaque)
        else:
            self._commit(change, [])

    def touched(self, node: Node) -> None:
        """Have what is computed of a node computed again."""
        each: Node | None = node
        while each is not None:
            tracking = each.__tracking__
            if tracking.is_derived(each):
                self._derived[id(each)] = each
            each = tracking.parent

    def load(self, data: Any, is_from_json: bool) -> None:
        """Replace the contents of everything, and record that as one operation.

        :param is_from_json: whether the data was made of JSON.
        """
        document = self._replace(validated(type(self._model), data), is_from_json)
        self._pending.append(Operation("replace", "", document))

    def patch(self, operations: Iterable[Operation | Mapping[str, Any]], strict: bool | None) -> None:
        """Apply operations, all or none, and record what has become different. Take what there is before.

        :param strict: whether everything must be of the right type of JSON then.
        :raises InvalidPatchError: if one does not fit.
        """
        patched = pydantic_core.to_json(self.ledger.patched(operations))
        document = self._replace(validated(type(self._model), patched, strict), is_from_json=True)
        self._pending.extend(self.ledger.difference(document))

    def search(self) -> None:
        """Record what has changed without being noticed. Take what there is before."""
        self._settle()
        self._pending.extend(self.ledger.difference(self._dump()))

    # --- telling ----------------------------------------------------------------------------------------

    def take(self) -> list[Operation]:
        """What has been recorded, which replicas have from now on."""
        if len(self._pending) > 1:
            self._pending = condensed(self._pending)
        operations = self._entered()
        self._pending = []
        derived, self._derived = self._derived, {}
        for model in derived.values():
            operations += self._recomputed(model)
        return operations

    def _entered(self) -> list[Operation]:
        """What is pending, once replicas would have it too."""
        try:
            self.ledger.enter(self._pending)
        except InvalidPatchError as error:
            _LOGGER.warning("Live state was changed without being noticed, which is made good now: %s", error)
            self._settle()
            operations = self.ledger.difference(self._dump())
            self.ledger.enter(operations)
            return operations
        return self._pending

    def _recomputed(self, model: Node) -> list[Operation]:
        location = locate(model) if model.__tracking__.home is self._home else None
        if location is None:
            return []
        try:
            if location.whole is not None:
                found = self._whole(location.pointer, *location.whole)
            else:
                shape = shape_of(type(model))
                found = [each for name in shape.derived for each in shape.replacement(model, name, location.pointer)]
            for each in found:
                each.check()
        except Exception:
            _LOGGER.exception(
                "What is computed of a %s cannot be computed, so it stays as it was.", type(model).__name__
            )
            return []
        found = [each for each in found if self.ledger.differs(each)]
        self.ledger.enter(found)
        return found

    # --- the tree ---------------------------------------------------------------------------------------

    def _commit(self, change: Change, newcomers: list[Node]) -> None:
        change.write()
        try:
            operations = self._operations(change)
            for each in operations:
                each.check()
        except BaseException:
            change.undo()
            raise
        leaving = [value for value in change.leaving() if isinstance(value, Node)]
        if leaving:
            kept = {id(each) for each in newcomers}
            for node in leaving:
                release(node, self._home, kept)
        self._pending.extend(operations)
        self.touched(change.node)

    def _operations(self, change: Change) -> list[Operation]:
        location = locate(change.node)
        if location is None:
            change.node.__tracking__.home = ORPHANAGE  # it was removed without our noticing
            return []
        if location.whole is None:
            return change.operations(location.pointer)
        return self._whole(location.pointer, *location.whole)

    def _whole(self, pointer: str, parent: Node | None, key: Any) -> list[Operation]:
        if parent is None:
            return [Operation("replace", "", self._dump())]
        return parent.__tracking__.replacement(parent, key, pointer)

    def _newcomers(self, nodes: Iterable[Node], change: Change | None) -> Iterator[Node]:
        """Nodes and all within them, each checked that it is nowhere else, or in what leaves with the change."""
        seen: set[int] = set()
        leaving: set[int] | None = None
        for node in nodes:
            for each in family(node):
                if id(each) in seen:
                    raise AlreadyInStateError(
                        f"A {type(each).__name__} would be at two places: put a copy at one of them."
                    )
                seen.add(id(each))
                if each.__tracking__.home not in (FREE, ORPHANAGE):
                    if leaving is None:
                        leaving = {id(value) for value in change.leaving()} if change else set()
                    if change is None or not is_within(each, change.node, leaving):
                        raise already_there(each)
                yield each

    def _replace(self, new: Any, is_from_json: bool) -> bytes:
        """Give the model other contents, and give it as JSON; if it has none then, it is as it was."""
        before = self._model.model_copy()
        self._merge(new, is_from_json)
        try:
            document = self._dump()
            Operation("replace", "", document).check()
        except BaseException:
            self._merge(before, is_from_json=False)
            raise
        return document

    def _merge(self, new: Any, is_from_json: bool) -> None:
        model = self._model
        before = list(family(model))
        merge(model, new, is_from_json=is_from_json)
        kept = {id(each) for each in family(model)}
        for node in before:
            if id(node) not in kept:
                node.__tracking__.home = ORPHANAGE
        self._settle()

    def _settle(self) -> None:
        with FREE.lock:
            settle(self._model, self._home, None, None, shape_of(type(self._model)).is_opaque)

    def _dump(self) -> bytes:
        return shape_of(type(self._model)).to_json(self._model)
