"""How a model's fields are assigned, and how it is found where it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labthings.state.model_shape import shape_of
from labthings.state.operations import Operation
from labthings.state.revalidation import taking
from labthings.state.shapes import alike
from labthings.state.tracked_list import unchanged
from labthings.state.tracking import Change, Child, ContainerTracking, Held, Node, Tracking

MISSING: Any = object()
_put = object.__setattr__


class ModelTracking(Tracking):
    """Where a model is.

    :param is_draft: whether it is a copy that an assignment is tried on.
    """

    __slots__ = ("is_draft",)

    def __init__(self) -> None:
        super().__init__()
        self.is_draft = False

    def children(self, node: Any) -> Iterable[Child]:
        shape = shape_of(type(node))
        if not shape.structured:
            return ()
        wrap_contents(node)  # what was put there behind our back
        values = ((name, node.__dict__.get(name)) for name in shape.structured)
        return [
            Child(name, value, shape.fields[name].is_opaque(value)) for name, value in values if isinstance(value, Node)
        ]

    def key_of(self, node: Any, child: Node) -> str | None:
        key: str = child.__tracking__.key
        return key if node.__dict__.get(key) is child else None

    def part(self, node: Any, key: str) -> str:
        return shape_of(type(node)).json_names[key].part

    def replacement(self, node: Any, key: str, pointer: str) -> list[Operation]:
        return shape_of(type(node)).replacement(node, key, pointer)

    def is_derived(self, node: Any) -> bool:
        return bool(shape_of(type(node)).derived)

    def commit_within(self, model: Any, name: str, change: Change) -> None:
        """Make a change of something in a field, unless the validators of the field or the model refuse it."""
        if self.busy:
            self.home.commit(change)
            return
        top = model.__dict__[name]
        change.write()
        try:
            changed = _validated(model, name, top)
            value = changed.pop(name)
            is_as_given = alike(value, top)
        finally:
            change.undo()
        if is_as_given:
            self.home.commit(change)
        elif change.node is top and isinstance(value, list | dict) and isinstance(top.__tracking__, ContainerTracking):
            self.home.commit(top.__tracking__.overwriting(top, value))
        else:
            changed[name] = value
        if changed:
            _store(model, changed, {})


def assign(model: Any, name: str, value: Any) -> None:
    """Set a field to a value, once it is validated."""
    if model.__tracking__.is_draft:
        content, _, names = shape_of(type(model)).validate_fields(model.__dict__, name, value)
        _put(model, "__dict__", content)
        model.__pydantic_fields_set__.update(names)
        return
    with Held(model):
        if not isinstance(value, Node) or value is not model.__dict__.get(
            name
        ):  # `x.items += [...]` sets what is there
            _store(model, _validated(model, name, value), {name: value})


def wrap_contents(model: Any) -> None:
    """Have the lists and dicts in a model's fields tracked."""
    shape = shape_of(type(model))
    for name in shape.structured:
        value = model.__dict__.get(name)
        if value is None or (isinstance(value, Node) and value.__tracking__.parent is model):
            continue
        tracked = shape.fields[name].tracked(value, None, taking(model, ()))
        model.__dict__[name] = tracked
        if isinstance(tracked, list | dict):
            tracked.__tracking__.parent, tracked.__tracking__.key = model, name  # type: ignore[union-attr]


def _validated(model: Any, name: str, value: Any) -> dict[str, Any]:
    """What the fields would be that change if one is set: that one, and those that the model's validators change."""
    shape = shape_of(type(model))
    if not shape.has_validators:
        content, _, names = shape.validate_fields(dict(model.__dict__), name, value)  # which it changes
        model.__pydantic_fields_set__.update(names)
        return {name: content[name]}
    tracking, draft = model.__tracking__, _draft(model)
    before, tracking.busy = tracking.busy, True
    try:
        type(model).__pydantic_validator__.validate_assignment(draft, name, value)
    finally:
        tracking.busy = before
    model.__pydantic_fields_set__.update(draft.__pydantic_fields_set__)
    _put(model, "__pydantic_private__", draft.__pydantic_private__)
    content, old, fields = draft.__dict__, model.__dict__, shape.fields
    return {
        each: content[each]
        for each in fields
        if each == name or content.get(each, MISSING) is not old.get(each, MISSING)
    }


def _draft(model: Any) -> Any:
    """A copy to try an assignment on, so that nothing has happened if it is refused."""
    cls: Any = type(model)
    draft = cls.__new__(cls)
    private = model.__pydantic_private__
    _put(draft, "__dict__", dict(model.__dict__))
    _put(draft, "__pydantic_fields_set__", set(model.__pydantic_fields_set__))
    _put(draft, "__pydantic_extra__", None)
    _put(draft, "__pydantic_private__", None if private is None else dict(private))
    draft.__tracking__.is_draft = True
    return draft


def _store(model: Any, changed: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Set fields to valid values.

    :param given: what some of these were made of.
    """
    fields, old = shape_of(type(model)).fields, model.__dict__
    if not any(fields[name].is_structured for name in changed):
        model.__tracking__.home.commit(_Assignment(model, changed))
        return
    may_take = taking(model, [old.get(name) for name in changed])
    values = {
        name: fields[name].tracked(value, given.get(name), may_take) if fields[name].is_structured else value
        for name, value in changed.items()
    }
    model.__tracking__.home.commit(_Assignment(model, values))


class _Assignment(Change):
    """Valid values for fields."""

    def __init__(self, node: Any, values: Mapping[str, Any]) -> None:
        self.node = node
        self._shape = shape_of(type(node))
        self._values = values
        self._old = {name: node.__dict__[name] for name in values if name in node.__dict__}

    def leaving(self) -> Iterable[object]:
        return self._old.values()

    def arriving(self) -> Iterable[Child]:
        return [
            Child(name, value, self._shape.fields[name].is_opaque(value))
            for name, value in self._values.items()
            if isinstance(value, Node)
        ]

    def write(self) -> None:
        self.node.__dict__.update(self._values)

    def undo(self) -> None:
        for name in self._values.keys() - self._old.keys():
            del self.node.__dict__[name]
        self.node.__dict__.update(self._old)

    def operations(self, pointer: str) -> list[Operation]:
        changed = (name for name, value in self._values.items() if not unchanged(self._old.get(name, MISSING), value))
        return [each for name in changed for each in self._shape.replacement(self.node, name, pointer)]
