"""The web application: affordances from a table, everything else from FastAPI, both behind the guard."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from labthings.client_blobs import ClientBlobs
from labthings.exceptions import InvalidValueError, LabThingsError, NotFoundError
from labthings.problem_details import problem_details
from labthings.routes.http import Receive, Scope, Send, base_url, send_nothing, send_problem
from labthings.routes.table import Table
from labthings.server.guard import Guard, is_preflight, permitting, preflight_headers
from labthings.url_for import asking

LOGGER = logging.getLogger(__name__)
MENTIONED = "labthings.mentioned"  # where a request's scope has what its answer mentions
Socket = Callable[[Scope, Receive, Send], Awaitable[None]]


class ServerApp(FastAPI):
    """A FastAPI application that looks requests up in a table of affordances first.

    :param table: answers requests for Things and their affordances.
    :param sockets: what serves WebSockets, by path.
    :param guard: says whose requests are served.
    :param client_blobs: keeps the blobs that answers mention.
    :param documented: makes an application that has a route for everything in the table, to document it.
    :param prefix: what the path of every URL begins with.
    :param debug: whether clients are told where errors were raised.
    """

    def __init__(
        self,
        table: Table,
        sockets: dict[str, Socket],
        guard: Guard,
        client_blobs: ClientBlobs,
        documented: Callable[[], FastAPI],
        prefix: str,
        *,
        debug: bool,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.startup_error: BaseException | None = None
        self._table, self._sockets, self._guard, self._client_blobs = table, sockets, guard, client_blobs
        self._documented, self._prefix, self._shows_tracebacks = documented, prefix, debug
        self._make_url = self._url
        self.add_exception_handler(Exception, self._answer_error)
        for kind in (LabThingsError, HTTPException, RequestValidationError):
            self.add_exception_handler(kind, self._answer_error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            token = asking.set((self._make_url, scope))
            try:
                await self._serve_request(scope, receive, send)
            finally:
                asking.reset(token)
                if MENTIONED in scope:  # taken out, since tasks and timers that were started have it in their context
                    self._client_blobs.keep_mentioned(scope.pop(MENTIONED))
        elif scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
        else:
            await self._live(scope, receive, send)

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            origin = self._guard.foreign_origin(scope)
            if origin is not None:
                if is_preflight(scope):
                    await send_nothing(send, headers=preflight_headers(scope, origin))
                    return
                send = permitting(send, origin)
            handler = self._table.find(scope)
            if handler is not None:
                await handler(scope, receive, send)
                return
        except Exception as error:  # noqa: BLE001 - the edge: every error becomes a problem document here
            await self._send_problem(scope, send, error)
            return
        await self.serve_rest(scope, receive, send)

    async def serve_rest(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request with FastAPI's own routes."""
        try:
            await super().__call__(scope, receive, send)
        except Exception:  # which the client has been told of; uvicorn would close the connection
            LOGGER.exception("%s %s failed", scope["method"], scope["path"])

    def openapi(self) -> dict[str, Any]:
        """The application's OpenAPI document, affordances included."""
        if self.openapi_schema is None:
            self.openapi_schema = get_openapi(
                title=self.title,
                version=self.version,
                summary=self.summary,
                description=self.description,
                terms_of_service=self.terms_of_service,
                contact=self.contact,
                license_info=self.license_info,
                tags=self.openapi_tags,
                servers=self.servers,
                webhooks=self.webhooks.routes,
                routes=[*self._documented().routes, *self.routes],
            )
        return self.openapi_schema

    def _url(self, scope: Scope, path: str, resource: object) -> str:
        scope.setdefault(MENTIONED, []).append(resource)
        return f"{base_url(scope)[:-1]}{self._prefix}/{path}"

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start, and stop when that is asked for."""
        try:
            await super().__call__(scope, receive, send)
        except BaseException as error:
            self.startup_error = error
            raise

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        serve = self._sockets.get(scope["path"].removeprefix(scope.get("root_path", "")))
        try:
            self._guard.foreign_origin(scope)
            if serve is not None:
                await serve(scope, receive, send)
                return
        except LabThingsError as error:
            await self._refuse_socket(WebSocket(scope, receive, send), error)
            return
        await super().__call__(scope, receive, send)

    async def _refuse_socket(self, websocket: WebSocket, error: LabThingsError) -> None:
        if "websocket.http.response" in websocket.scope.get("extensions", {}):
            await websocket.send_denial_response(self._response(error))
        else:
            await websocket.close(reason=str(error)[:120])

    async def _answer_error(self, request: Request, error: Exception) -> Response:
        return self._response(self._known(request.scope, error))

    async def _send_problem(self, scope: Scope, send: Send, error: Exception) -> None:
        if not isinstance(error, LabThingsError | HTTPException):
            LOGGER.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
        await send_problem(send, self._known(scope, error), self._shows_tracebacks)

    def _known(self, scope: Scope, error: Exception) -> Exception:
        """The error that says best what is wrong."""
        if isinstance(error, RequestValidationError):
            details = [{key: each[key] for key in ("loc", "msg", "type")} for each in error.errors()]
            text = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in details)
            return InvalidValueError(f"{scope['path']}: {text}", details)
        if isinstance(error, HTTPException) and error.status_code == 404 and error.detail == "Not Found":
            directory = f"{scope.get('root_path', '')}{self._prefix}/things/"
            there = self._table.names_beside(scope["path"])
            remedy = f"There is: {', '.join(there)}." if there else f"The Things here are listed at {directory}."
            return NotFoundError(f"There is nothing at {scope['path']}. {remedy}")
        return error

    def _response(self, error: Exception) -> Response:
        problem = problem_details(error, self._shows_tracebacks)
        headers = dict(getattr(error, "headers", None) or {})
        return Response(problem.to_json(), problem.status, headers, "application/problem+json")
