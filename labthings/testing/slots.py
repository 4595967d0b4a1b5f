"""Thing slots that are filled by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labthings.base_descriptor import descriptors_of
from labthings.exceptions import ThingSlotError
from labthings.testing.lone_server import LoneServer
from labthings.testing.mocks import mock_thing_instance
from labthings.thing import Thing
from labthings.thing_slots import ThingSlot


def manually_connect_thing_slot(
    thing: Thing, slot_name: str, target: Thing | Mapping[str, Thing] | Iterable[Thing] | None
) -> None:
    """Fill a thing slot.

    :param thing: the Thing whose slot it is. If `create_thing_without_server` made it, it keeps the target alive.
    :param target: a Thing, or a mock of one; for a slot that takes several, a mapping of names to Things, or several
        of them; ``None`` to leave an optional slot empty.
    :raises ThingSlotError: if there is no such slot, or it does not take the target.
    """
    slots = descriptors_of(type(thing), ThingSlot)
    if slot_name not in slots:
        known = ", ".join(slots) or "none"
        raise ThingSlotError(f"{type(thing).__name__} has no thing slot '{slot_name}'. Its slots are: {known}.")
    named = dict(target) if isinstance(target, Mapping) else _named(target, slot_name)
    slots[slot_name].connect(thing, named, list(named))
    server = thing._thing_server_interface.server
    if isinstance(server, LoneServer):
        server.things |= named


def mock_slots(thing: Thing) -> None:
    """Fill all of a Thing's slots with mocks: as many as its slots have names by default, or one."""
    for name, slot in descriptors_of(type(thing), ThingSlot).items():
        mocks = {each: mock_thing_instance(slot.thing_type[0], name=each) for each in _names_in(slot)}
        manually_connect_thing_slot(thing, name, mocks)


def empty_optional_slots(thing: Thing) -> None:
    """Leave the slots empty that may be."""
    for slot in descriptors_of(type(thing), ThingSlot).values():
        if slot.is_optional:
            slot.connect(thing, {}, None)


def _names_in(slot: ThingSlot[Any]) -> list[str]:
    if slot.default is None and slot.is_optional:
        return []
    if slot.default is None or slot.default is ...:
        return [slot.name]
    return [slot.default] if isinstance(slot.default, str) else list(slot.default)


def _named(target: Any, slot_name: str) -> dict[str, Thing]:
    things = [] if target is None else [target] if isinstance(target, Thing) else list(target)
    named = {each.name if isinstance(each.name, str) else slot_name: each for each in things}
    if len(named) < len(things):
        raise ThingSlotError(f"Several Things for '{slot_name}' have one name. Give a mapping of names to Things.")
    return named
