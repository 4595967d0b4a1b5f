"""A Thing on a server, with its properties as attributes and its actions as methods."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, TypeVar

from pydantic import BaseModel
from typing_extensions import Self

from labthings.client.background import Background
from labthings.client.blocking_connection import BlockingConnection, run
from labthings.client.channel import Channel
from labthings.client.described_client import DescribedClient, described
from labthings.client.endpoint import Endpoint
from labthings.client.live_state import LiveState
from labthings.client.moment import StateChange, StateVersion
from labthings.client.observation import Observation, OnConnection, OnError
from labthings.client.remote_property import AnyOperation
from labthings.client.remote_thing import RemoteThing
from labthings.http_client import HTTPClient

T = TypeVar("T")


class ThingClient(DescribedClient):
    """Uses a Thing on a server, over HTTP.

    `from_url` makes one with the Thing's properties as attributes and its actions as methods, which block until the
    action has ended. They take the place of this class's own attributes of the same name, but not of those that begin
    with an underscore, nor of those of a subclass: `get_property`, `set_property` and `invoke_action` still reach them.
    It may be used by several threads at once.

    :param thing: the Thing. Use `from_url` instead.
    """

    def __init__(self, thing: RemoteThing, connection: BlockingConnection) -> None:
        super().__init__(thing)
        self._connection = connection
        self._background = Background(lambda: Channel(Endpoint(thing, connection.client), thing.description.id))

    @classmethod
    def from_url(cls, thing_url: str, client: HTTPClient | None = None) -> Self:
        """Use the Thing at a URL.

        :param thing_url: the URL of the Thing, which is also that of its Thing Description. Requests go where that
            says. If it speaks of another address than this one, as it may behind a proxy, they go to this one.
        :param client: makes the requests: an ``httpx.Client``, or anything with its interface, such as the test client
            of a server. By default, one is opened, and closed with the ThingClient.
        :raises ThingUnavailableError: if there is no Thing at the URL, or it cannot be reached.
        """
        connection = BlockingConnection(client)
        thing = run(RemoteThing.at(str(thing_url), connection))
        return described(cls, ThingClient, thing.description)(thing, connection)

    def get_property(self, name: str) -> Any:
        """Read a property.

        :raises ClientPropertyError: if the server refuses, or cannot be reached.
        """
        return run(self._thing.property(name).read())

    def set_property(self, name: str, value: Any) -> None:
        """Write a property.

        :raises ClientPropertyError: if the server refuses, or cannot be reached.
        """
        run(self._thing.property(name).write(value))

    def patch_property(
        self, name: str, operations: Iterable[AnyOperation], *, version: int | None = None
    ) -> StateVersion | None:
        """Change parts of a property that is live state, all as it is said or nothing.

        It gives the version that this has made, or None if the server does not tell.

        :param operations: a JSON Patch (RFC 6902), such as ``[{"op": "replace", "path": "/enabled", "value": True}]``.
        :param version: the one that the state must be at, as `LiveState.version` or this told it.
        :raises ClientPropertyError: if an operation does not fit, the outcome is not valid, the state is at another
            version, or the server refuses or cannot be reached.
        """
        return run(self._thing.property(name).patch(operations, version))

    def invoke_action(self, name: str, /, **kwargs: Any) -> Any:
        """Run an action, and return its output.

        :raises FailedToInvokeActionError: if the server refuses to start it, or cannot be reached.
        :raises ServerActionError: if it ends in an error.
        :raises InvocationCancelledError: if somebody cancels it.
        :raises GlobalLockBusyError: if something else holds the server's global lock.
        """
        return run(self._thing.action(name).invoke(kwargs))

    def observe(
        self,
        name: str,
        callback: Callable[[Any], object] | None = None,
        *,
        on_error: OnError | None = None,
        on_connection: OnConnection | None = None,
    ) -> Observation:
        """Be told of a property's value: the current one, and then each change. A slow reader gets the newest one.

        Use it as ``for value in client.observe("position")``, or with a callback. What it calls is called in the thread
        that iterates, or else in one of its own, for one thing after the other.

        :param callback: is called with each value in turn.
        :param on_error: is called with the error when the property cannot be read; by default, that is logged.
        :param on_connection: is called with ``False`` when the connection is lost, and with ``True`` when it is back.
        :raises ClientPropertyError: if there is no such property, it cannot be observed, or the server refuses or
            cannot be reached.
        """
        return Observation(self._background, self._thing.observed(name), callback, on_error, on_connection)

    def live(
        self,
        name: str,
        model: type[BaseModel] | None = None,
        callback: Callable[[StateChange], object] | None = None,
        *,
        on_error: OnError | None = None,
        on_connection: OnConnection | None = None,
    ) -> LiveState:
        """Follow a property that is live state: what this gives has it as the server has it, or says that it may not.

        Use it as ``state.data``, or ``state.value`` for a model, and for its changes as
        ``for change in client.live("state")``, or with a callback, as `observe`.

        :param model: what to make of the state.
        :param callback: is called with each `StateChange` in turn, the first of which is the state as it is.
        :param on_error: is called with the error when the server refuses to go on, or sends nonsense; by default, it is
            logged.
        :param on_connection: is called with ``False`` when the state is no longer current, because the connection is
            lost or something is missing, and with ``True`` when it is again.
        :raises ClientPropertyError: if there is no such property, it is not live state, or the server refuses or cannot
            be reached.
        """
        return LiveState(self._background, self._thing.live(name, model), callback, on_error, on_connection)

    def subscribe(
        self,
        event: str,
        callback: Callable[[Any], object] | None = None,
        *,
        on_error: OnError | None = None,
        on_connection: OnConnection | None = None,
    ) -> Observation:
        """Be told of each event, by its data, in order.

        Use it as ``for data in client.subscribe("overheated")``, or with a callback, as `observe`.

        :param callback: is called with the data of each event in turn.
        :param on_error: is called with the error when the server refuses to go on; by default, that is logged.
        :param on_connection: is called with ``False`` when the connection is lost, and with ``True`` when it is back.
        :raises FailedToSubscribeError: if there is no such event, or the server refuses, or cannot be reached.
        """
        return Observation(self._background, self._thing.subscribed(event), callback, on_error, on_connection)

    def close(self) -> None:
        """End what is observed, and close the connections to the server; the client only if it was opened here."""
        self._background.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ThingClient.close(self)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return run(work)

    def _write(self, name: str, value: Any) -> None:
        run(self._thing.properties[name].write(value))
