"""The state, commands and streams that browsers share."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, overload

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from labthings.exceptions import ConfigurationError, ForbiddenOriginError, LabThingsError, NotFoundError, StateError
from labthings.problem_details import MEDIA_TYPE, problem_details
from labthings.server.guard import Guard
from labthings.server.javascript import NAME, JavaScript
from labthings.state import Document, Patch, ReactiveModel
from labthings.sync.audience import Audience
from labthings.sync.client import Client
from labthings.sync.commands import Commands
from labthings.sync.performer import Performer
from labthings.sync.presence import Presence
from labthings.sync.shared_document import SharedDocument
from labthings.sync.streams import DType, Mode, Stream
from labthings.sync.updaters import Updater
from labthings.workers import Lane, LoopCalls, Workers

Model = TypeVar("Model", bound=ReactiveModel)
Handler = TypeVar("Handler", bound=Callable[..., Any])
LOGGER = logging.getLogger(__name__)
MOST_THREADS = 64
END_SECONDS = 5
POLICY_VIOLATION = 1008


class LabSync:
    """Shares live state, commands and streams with clients, over a WebSocket each.

    :param path: what the paths of its `routes` begin with.
    :param allowed_origins: other sites whose pages may use it, as in ``"http://panel.local:8080"``; ``"*"``: all.
    :param most_message_bytes: how large a message of a client's may be.
    """

    def __init__(
        self, *, path: str = "/sync", allowed_origins: Collection[str] = (), most_message_bytes: int = 2**20
    ) -> None:
        if path and not path.startswith("/"):
            raise ConfigurationError(f"The path of a LabSync must begin with a slash, as '/sync' does, not {path!r}.")
        self._path, self._most_message_bytes = path.rstrip("/"), most_message_bytes
        self._guard = Guard(allowed_origins, "the `allowed_origins` of this LabSync")
        self._javascript = JavaScript()
        self._commands, self._updaters = Commands(), list[Updater]()
        self._calls, self._workers = LoopCalls(), Workers("labthings sync")
        self._performer = Performer(self._commands, self._lane, self._steady)
        self._audience = Audience(self._calls)
        self._presence = Presence(self._calls, self._ended)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lives = False

    # --- the state -----------------------------------------------------------------------------------------------

    def bind_state(self, model: Model) -> Model:
        """Share a model, which can be changed in place from now on, from any thread.

        :return: the same model.
        :raises StateError: if there is one already.
        """
        if self._audience.document is not None:
            raise StateError("A LabSync has one state: make it a field of the model that is bound already.")
        self._audience.follow(SharedDocument(model, self._calls))
        return model

    @property
    def document(self) -> Document[Any]:
        """What the model is in.

        :raises StateError: if no state is bound yet.
        """
        if self._audience.document is None:
            raise StateError("This LabSync has no state yet: use `bind_state` first.")
        return self._audience.document

    def batch(self) -> Batch:
        """Make one patch of what is changed meanwhile: ``with sync.batch():`` or ``async with sync.batch():``."""
        return Batch(self.document.batch())

    def load_state(self, data: Any) -> None:
        """Replace the model's contents in place, in one patch.

        :param data: what the model can be validated from, such as a saved snapshot.
        :raises pydantic.ValidationError: if it is not valid; then nothing has changed.
        """
        self.document.load_state(data)

    def publish(self) -> Patch | None:
        """Tell of what has changed without being noticed, such as the contents of an array.

        :return: the patch, or None if nothing has.
        """
        return self.document.publish()

    # --- what else there is --------------------------------------------------------------------------------------

    @overload
    def command(self, handler: Handler, /) -> Handler: ...

    @overload
    def command(self, handler: None = None, /, *, name: str) -> Callable[[Handler], Handler]: ...

    def command(self, handler: Any = None, /, *, name: str | None = None) -> Any:
        """Let clients call a function: ``@sync.command`` or ``@sync.command(name="...")``.

        :raises ConfigurationError: if there is a command of that name, or its parameters cannot be validated.
        """

        def register(function: Handler) -> Handler:
            self._commands.add(name or function.__name__, function)
            return function

        if handler is not None and not callable(handler):
            raise ConfigurationError(f"The name of a command is said by name: `@sync.command(name={handler!r})`.")
        return register if handler is None else register(handler)

    def stream(self, name: str, *, mode: Mode = "append", capacity: int = 1000, dtype: DType = "float64") -> Stream:
        """Share a stream.

        :param mode: ``"append"``: the newest items are kept; ``"replace"``: all are replaced at once.
        :param capacity: how many items are kept.
        :param dtype: what items are: ``"float32"`` or ``"float64"``, which are sent in binary, or ``"json"``.
        :raises ConfigurationError: if there is a stream of that name.
        """
        if name in self._audience.streams:
            raise ConfigurationError(f"There is a stream '{name}' already.")
        stream = Stream(name, mode, capacity, dtype, self._audience.changed)
        self._audience.streams[name] = stream
        self._audience.changed(stream)
        return stream

    def updater(self, *, interval: float) -> Callable[[Handler], Handler]:
        """Have a function called again and again while the `lifespan` lasts: ``@sync.updater(interval=0.5)``.

        :param interval: seconds from one call to the next.
        :raises ConfigurationError: if that is not more than 0.
        """
        if interval <= 0:
            raise ConfigurationError(f"The interval of an updater must be more than 0 seconds, not {interval}.")

        def register(function: Handler) -> Handler:
            self._updaters.append(Updater(function, interval))
            return function

        return register

    # --- serving -------------------------------------------------------------------------------------------------

    def create_app(self) -> Starlette:
        """An application that serves this, and nothing else."""
        return Starlette(routes=self.routes, lifespan=self.lifespan)

    @property
    def routes(self) -> list[BaseRoute]:
        """For an application of one's own: ``/sync/ws``, the WebSocket, ``/sync/state``, and ``/sync/labthings.js``."""
        return [
            WebSocketRoute(f"{self._path}/ws", self.handle_ws),
            Route(f"{self._path}/state", self._get_state, methods=["GET"]),
            Route(f"{self._path}/{NAME}", self._get_javascript, methods=["GET"]),
        ]

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Run the updaters meanwhile, and afterwards end what still runs."""
        with self._presence.here():
            self._lives = True
            updaters = [self._start(each.run(self._performer.call)) for each in self._updaters]
            try:
                yield
            finally:
                self._lives = False
                self._audience.stop()
                await _cancel([*updaters, *self._tasks])
                await self._end_threads()

    async def handle_ws(self, websocket: WebSocket) -> None:
        """Serve a client, until it goes."""
        if not self._may_come(websocket):
            await websocket.close(POLICY_VIOLATION)
            return
        if self._updaters and not self._lives:
            LOGGER.warning("Updaters do not run, as the application was not given this LabSync's `lifespan`")
        client_id = secrets.token_hex(8)
        with self._presence.here():
            perform, most_bytes = self._performer.perform, self._most_message_bytes
            await Client(client_id, websocket, self._audience, perform, self._start, most_bytes).run()

    async def _get_state(self, request: Request) -> Response:
        try:
            permission = self._permission(request)
            snapshot = self._audience.snapshot()
            if snapshot is None:
                raise NotFoundError("There is no state yet: use `bind_state`.")
        except LabThingsError as error:
            return _problem(error)
        headers = {**permission, "cache-control": "no-cache"}
        return Response(snapshot.json, headers=headers, media_type="application/json")

    async def _get_javascript(self, request: Request) -> ASGIApp:
        try:
            permission = self._permission(request)
        except ForbiddenOriginError as error:
            return _problem(error)
        headers = [(name.encode(), value.encode("latin-1")) for name, value in permission.items()]
        return partial(self._javascript, headers=headers)

    def _permission(self, request: Request) -> dict[str, str]:
        """Headers that let a page of another site read the answer.

        :raises ForbiddenOriginError: if there is one, and it may not.
        """
        origin = self._guard.foreign_origin(request.scope)
        return {"access-control-allow-origin": origin.decode("latin-1"), "vary": "Origin"} if origin else {}

    def _may_come(self, connection: HTTPConnection) -> bool:
        try:
            self._guard.foreign_origin(connection.scope)
        except ForbiddenOriginError:
            return False
        return True

    # --- in between ----------------------------------------------------------------------------------------------

    def _start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """Start a task that ends, at the latest, with the lifespan."""
        self._presence.enter()
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _lane(self, name: str) -> Lane:
        return Lane(name, self._workers, self._calls, MOST_THREADS)

    def _steady(self) -> AbstractContextManager[object]:
        document = self._audience.document
        return nullcontext() if document is None else document.lock

    def _ended(self) -> None:
        """Tell of what waits for a loop that has ended."""
        if self._audience.document is not None:
            self._audience.document.flush()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._presence.leave()
        if not task.cancelled() and task.exception() is not None:
            LOGGER.error("A task of a LabSync failed", exc_info=task.exception())

    async def _end_threads(self) -> None:
        busy = await asyncio.to_thread(self._workers.close, END_SECONDS)
        if busy:
            LOGGER.warning("Still busy %s s after the end: %s", END_SECONDS, ", ".join(busy))


class Batch:
    """Changes that make one patch."""

    def __init__(self, batch: AbstractContextManager[None]) -> None:
        self._batch = batch

    def __enter__(self) -> None:
        self._batch.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._batch.__exit__(kind, error, trace)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self.__exit__(kind, error, trace)


def _problem(error: LabThingsError) -> Response:
    problem = problem_details(error)
    return Response(problem.to_json(), problem.status, media_type=MEDIA_TYPE)


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    for each in tasks:
        each.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=END_SECONDS)
