"""What a Thing Description needs to know of a Thing and its affordances."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter

from labthings.exceptions import LabThingsError

logger = logging.getLogger(__name__)
Found = TypeVar("Found")
Substitute = TypeVar("Substitute")
ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


def known(find: Callable[[], Found], substitute: Substitute) -> Found | Substitute:
    """A type, or what validates it: something else, if that mentions what is not defined. The server logs that."""
    try:
        return find()
    except (NameError, LabThingsError) as error:
        logger.debug("Something is described as any value. %s", error)
        return substitute


class DescribedAffordance(Protocol):
    """What properties, actions and events say of themselves."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str | None: ...
    @property
    def description(self) -> str | None: ...


class DescribedProperty(DescribedAffordance, Protocol):
    """What a Thing Description tells of a property."""

    @property
    def adapter(self) -> TypeAdapter[Any]: ...
    @property
    def readonly(self) -> bool: ...
    @property
    def is_observable(self) -> bool: ...
    @property
    def has_default(self) -> bool: ...
    @property
    def default(self) -> Any: ...
    @property
    def unit(self) -> str | None: ...


class DescribedAction(DescribedAffordance, Protocol):
    """What a Thing Description tells of an action."""

    @property
    def input_adapter(self) -> TypeAdapter[Any] | None: ...
    @property
    def output_adapter(self) -> TypeAdapter[Any] | None: ...
    @property
    def safe(self) -> bool: ...
    @property
    def idempotent(self) -> bool: ...


class DescribedEvent(DescribedAffordance, Protocol):
    """What a Thing Description tells of an event; ``adapter`` is ``None`` if it carries no data."""

    @property
    def adapter(self) -> TypeAdapter[Any] | None: ...


class DescribedStream(DescribedAffordance, Protocol):
    """What a Thing Description tells of a stream of pictures."""


class DescribedThing(DescribedAffordance, Protocol):
    """What a Thing Description tells of a Thing; ``path`` starts and ends in a slash."""

    @property
    def path(self) -> str: ...
    @property
    def properties(self) -> Mapping[str, DescribedProperty]: ...
    @property
    def actions(self) -> Mapping[str, DescribedAction]: ...
    @property
    def events(self) -> Mapping[str, DescribedEvent]: ...
    @property
    def streams(self) -> Mapping[str, DescribedStream]: ...
