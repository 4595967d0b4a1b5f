"""What caused the changes of live state that are made meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pydantic_core

_origin: ContextVar[Mapping[str, Any] | None] = ContextVar("labthings_state_origin", default=None)


@contextmanager
def origin(data: Mapping[str, Any] | None) -> Iterator[None]:
    """Attach an origin to the patches of changes that are made meanwhile: in this thread or task, to any document.

    :param data: what can be made JSON, such as ``{"invocation": "..."}``; None: they have no origin.
    """
    if data is not None and not isinstance(data, Mapping):
        raise TypeError(f"An origin is a dictionary, such as {{'by': 'me'}}, not {data!r}.")
    token = _origin.set(None if data is None else pydantic_core.from_json(pydantic_core.to_json(data)))
    try:
        yield
    finally:
        _origin.reset(token)


def current_origin() -> Mapping[str, Any] | None:
    """The origin of what is changed here and now."""
    return _origin.get()
