"""A client that is being made."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar


class Closable(Protocol):
    """What is closed in an event loop."""

    async def aclose(self) -> None: ...


Client = TypeVar("Client", bound=Closable)


class Opening(Generic[Client]):
    """Makes a client: ``await`` it, or use it in ``async with``, at the end of which the client is closed.

    :param make: makes the client.
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Client]]) -> None:
        self._make = make

    def __await__(self) -> Generator[Any, Any, Client]:
        return self._make().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self
        return self._client

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()
