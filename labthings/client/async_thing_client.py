"""A Thing on a server, for code that runs in an event loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel
from typing_extensions import Self

from labthings.client.async_connection import AsyncConnection
from labthings.client.async_live_state import AsyncLiveState
from labthings.client.async_observation import AsyncObservation
from labthings.client.channel import Channel
from labthings.client.described_client import DescribedClient, described
from labthings.client.endpoint import Endpoint
from labthings.client.moment import StateChange, StateVersion
from labthings.client.observation import OnConnection, OnError
from labthings.client.opening import Opening
from labthings.client.remote_property import AnyOperation
from labthings.client.remote_thing import RemoteThing
from labthings.http_client import AsyncHTTPClient

T = TypeVar("T")


class AsyncThingClient(DescribedClient):
    """Uses a Thing on a server, over HTTP, from an event loop of ``asyncio``.

    `from_url` makes one with the Thing's properties as attributes to be awaited, as in ``await client.position``, and
    its actions as methods, as in ``await client.move_to(x=1)``. They take the place of this class's own attributes of
    the same name, but not of those that begin with an underscore, nor of those of a subclass: `get_property`,
    `set_property` and `invoke_action` still reach them. A task that waits for an action cancels it if it is cancelled.

    :param thing: the Thing. Use `from_url` instead.
    """

    def __init__(self, thing: RemoteThing, connection: AsyncConnection) -> None:
        super().__init__(thing)
        self._connection = connection
        self._channel = Channel(Endpoint(thing, connection.client), thing.description.id)

    @classmethod
    def from_url(cls, thing_url: str, client: AsyncHTTPClient | None = None) -> Opening[Self]:
        """Use the Thing at a URL: ``await`` what this returns, or use it in ``async with``, which closes the client.

        :param thing_url: the URL of the Thing, which is also that of its Thing Description.
        :param client: makes the requests: an ``httpx.AsyncClient``, or anything with its interface. By default, one is
            opened, and closed with the AsyncThingClient.
        :raises ThingUnavailableError: if there is no Thing at the URL, or it cannot be reached.
        """
        return Opening(lambda: cls._at(str(thing_url), client))

    @classmethod
    async def _at(cls, thing_url: str, client: AsyncHTTPClient | None) -> Self:
        connection = AsyncConnection(client)
        try:
            thing = await RemoteThing.at(thing_url, connection)
        except BaseException:
            await connection.aclose()
            raise
        return described(cls, AsyncThingClient, thing.description)(thing, connection)

    async def get_property(self, name: str) -> Any:
        """Read a property.

        :raises ClientPropertyError: if the server refuses, or cannot be reached.
        """
        return await self._thing.property(name).read()

    async def set_property(self, name: str, value: Any) -> None:
        """Write a property.

        :raises ClientPropertyError: if the server refuses, or cannot be reached.
        """
        await self._thing.property(name).write(value)

    async def patch_property(
        self, name: str, operations: Iterable[AnyOperation], *, version: int | None = None
    ) -> StateVersion | None:
        """Change parts of a property that is live state, all as it is said or nothing.

        It gives the version that this has made, or None if the server does not tell.

        :param operations: a JSON Patch (RFC 6902), such as ``[{"op": "replace", "path": "/enabled", "value": True}]``.
        :param version: the one that the state must be at, as `AsyncLiveState.version` or this told it.
        :raises ClientPropertyError: if an operation does not fit, the outcome is not valid, the state is at another
            version, or the server refuses or cannot be reached.
        """
        return await self._thing.property(name).patch(operations, version)

    async def invoke_action(self, name: str, /, **kwargs: Any) -> Any:
        """Run an action, and return its output. If the task that awaits this is cancelled, so is the action.

        :raises FailedToInvokeActionError: if the server refuses to start it, or cannot be reached.
        :raises ServerActionError: if it ends in an error.
        :raises InvocationCancelledError: if somebody cancels it.
        :raises GlobalLockBusyError: if something else holds the server's global lock.
        """
        return await self._thing.action(name).invoke(kwargs)

    def observe(
        self,
        name: str,
        callback: Callable[[Any], object] | None = None,
        *,
        on_error: OnError | None = None,
        on_connection: OnConnection | None = None,
    ) -> AsyncObservation:
        """Be told of a property's value: the current one, and then each change. A slow reader gets the newest one.

        Use it as ``async for value in client.observe("position")``, or as
        ``await client.observe("position", callback)``.

        :param callback: is called with each value in turn, and awaited if it is asynchronous.
        :param on_error: is called with the error when the property cannot be read; by default, that is logged.
        :param on_connection: is called with ``False`` when the connection is lost, and with ``True`` when it is back.
        :raises ClientPropertyError: if there is no such property or it cannot be observed, and, when it begins, if the
            server refuses or cannot be reached.
        """
        return AsyncObservation(self._channel, self._thing.observed(name), callback, on_error, on_connection)

    def live(
        self,
        name: str,
        model: type[BaseModel] | None = None,
        callback: Callable[[StateChange], object] | None = None,
        *,
        on_error: OnError | None = None,
        on_connection: OnConnection | None = None,
    ) -> AsyncLiveState:
        """Follow a property that is live state: what this gives has it as the server has it, or says that it may not.

        Use it as ``state = await client.live("state")``, and then as ``state.data``, or ``state.value`` for a model;
        and for its changes as ``async for change in state``, or with a callback, as `observe`.

        :param model: what to make of the state.
        :param callback: is called with each `StateChange` in turn, the first of which is the state as it is. It is
            awaited if it is asynchronous.
        :param on_error: is called with the error when the server refuses to go on, or sends nonsense; by default, it is
            logged.
        :param on_connection: is called with ``False`` when the state is no longer current, because the connection is
            lost or something is missing, and with ``True`` when it is again.
        :raises ClientPropertyError: if there is no such property, and, when it begins, if it is not live state, or the
            server refuses or cannot be reached.
        """
        return AsyncLiveState(self._channel, self._thing.live(name, model), callback, on_error, on_connection)

    def subscribe(
        self,
        event: str,
        callback: Callable[[Any], object] | None = None,
        *,
        on_error: OnError | None = None,
        on_connection: OnConnection | None = None,
    ) -> AsyncObservation:
        """Be told of each event, by its data, in order.

        Use it as ``async for data in client.subscribe("overheated")``, or as
        ``await client.subscribe("overheated", callback)``.

        :param callback: is called with the data of each event in turn, and awaited if it is asynchronous.
        :param on_error: is called with the error when the server refuses to go on; by default, that is logged.
        :param on_connection: is called with ``False`` when the connection is lost, and with ``True`` when it is back.
        :raises FailedToSubscribeError: if there is no such event, and, when it begins, if the server refuses or cannot
            be reached.
        """
        return AsyncObservation(self._channel, self._thing.subscribed(event), callback, on_error, on_connection)

    async def aclose(self) -> None:
        """End what is observed, and close the connections to the server; the client only if it was opened here."""
        await self._channel.aclose()
        await self._connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await AsyncThingClient.aclose(self)

    def _run(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        return work

    def _write(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"Setting {self._thing.name}.{name} takes time. Use `await client.set_property({name!r}, {value!r:.100})`."
        )
