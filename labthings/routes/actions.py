"""Actions over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pydantic_core

from labthings.actions import ActionInfo, Invocation
from labthings.actions.output import Output
from labthings.exceptions import InvocationNotEndedError, NotFoundError
from labthings.routes.blobs import send_blob
from labthings.routes.http import (
    Headers,
    Receive,
    Route,
    Scope,
    Send,
    base_url,
    number_in,
    query,
    read_json,
    send_body,
    send_json,
    send_nothing,
    wanted_wait,
    wants_minimal,
)
from labthings.routes.negotiation import accept_of, represented
from labthings.routes.served_thing import ServedThing, ServedThings
from labthings.url_for import with_address, with_address_inside

MANY = 100


def action_routes(server: ServedThings, served: ServedThing) -> Iterator[Route]:
    """The routes of all actions of a Thing."""
    for info in served.actions.values():
        yield from _routes(server, served, info)

    async def list_all(scope: Scope, receive: Receive, send: Send) -> None:
        mine = (each for each in server.action_manager.invocations if each.info.thing.name == served.name)
        await send_json(send, await listing(list(mine), invocations_url(server, scope)))

    yield Route(f"{served.path}actions", "GET", list_all)


def _routes(server: ServedThings, served: ServedThing, info: ActionInfo) -> Iterator[Route]:
    async def invoke(scope: Scope, receive: Receive, send: Send) -> None:
        served.require_running()
        arguments = info.validate_json(await read_json(scope, receive, server.maximum_body_size))
        wait = wanted_wait(scope)
        invocation = server.action_manager.invoke(info, arguments, served.workers)
        ended = await invocation.wait(info.response_timeout if wait is None else wait)
        url = invocations_url(server, scope)
        headers = [(b"location", f"{url}{invocation.id}".encode())]
        if ended and wait is not None:
            headers.append((b"preference-applied", b"wait=%g" % wait))
        body = await _document(invocation, url, scope)
        await send_json(send, body, 200 if ended and wait is not None else 201, headers)

    async def list_its(scope: Scope, receive: Receive, send: Send) -> None:
        its = [
            each
            for each in server.action_manager.invocations
            if each.info.name == info.name and each.info.thing.name == served.name
        ]
        await send_json(send, await listing(its, invocations_url(server, scope)))

    path = served.path + info.name
    yield Route(path, "POST", invoke)
    yield Route(path, "GET", list_its)


def invocation_routes(server: ServedThings) -> Iterator[Route]:
    """The routes of invocations, whatever their Things."""
    manager = server.action_manager

    async def list_some(scope: Scope, receive: Receive, send: Send) -> None:
        some = _filtered(manager.invocations, query(scope))
        await send_json(send, await listing(some, invocations_url(server, scope)))

    async def show(scope: Scope, receive: Receive, send: Send) -> None:
        invocation = manager.get(scope["path_params"]["id"])
        await invocation.wait(wanted_wait(scope) or 0)
        await send_json(send, await _document(invocation, invocations_url(server, scope), scope))

    async def show_output(scope: Scope, receive: Receive, send: Send) -> None:
        invocation = manager.get(scope["path_params"]["id"])
        if not await invocation.wait(wanted_wait(scope) or 0):
            raise InvocationNotEndedError(f"The invocation of {invocation.info} has not ended yet. Ask again later.")
        if invocation.output is None:
            raise NotFoundError(
                f"The invocation of {invocation.info} has no output: it ended as '{invocation.status.value}'."
            )
        await send_output(scope, receive, send, invocation.output, invocations_url(server, scope))

    async def cancel(scope: Scope, receive: Receive, send: Send) -> None:
        manager.cancel(scope["path_params"]["id"])
        await send_nothing(send)

    path = f"{server.api_prefix}/action_invocations"
    yield Route(path, "GET", list_some)
    yield Route(f"{path}/{{id}}", "GET", show)
    yield Route(f"{path}/{{id}}", "DELETE", cancel)
    yield Route(f"{path}/{{id}}/output", "GET", show_output)


async def send_output(scope: Scope, receive: Receive, send: Send, output: Output, url: str) -> None:
    """Answer with what an action returned: the bytes if it is a blob, and otherwise JSON, or a binary form of arrays.

    :param url: the URL of all invocations, ending in a slash.
    """
    if output.blob is not None:
        await send_blob(scope, receive, send, output.blob)
        return
    address = url.removesuffix("/action_invocations/")
    if output.holds_arrays:
        headers, body = await asyncio.to_thread(_represented, output, address, accept_of(scope))
        await send_body(send, body, 200, headers)
    else:
        await send_json(send, with_address(output.json, address) if output.blobs else output.json)


def _represented(output: Output, address: str, accept: str) -> tuple[Headers, bytes]:
    value = with_address_inside(output.value, address) if output.blobs else output.value
    return represented(value, accept, lambda: with_address(output.json, address) if output.blobs else output.json)


async def _document(invocation: Invocation, url: str, scope: Scope) -> bytes:
    if not invocation.has_large_output:
        return invocation.to_json(url)
    if wants_minimal(scope):
        return invocation.to_json(url, without_arrays=True)
    return await asyncio.to_thread(invocation.to_json, url)


def invocations_url(server: ServedThings, scope: Scope) -> str:
    """The URL of all invocations, ending in a slash."""
    return f"{base_url(scope)[:-1]}{server.api_prefix}/action_invocations/"


async def listing(invocations: list[Invocation], url: str) -> bytes:
    """Summaries of invocations, as JSON; made in a thread if they are so many that the event loop would stall."""
    if len(invocations) > MANY:
        return await asyncio.to_thread(_listing, invocations, url)
    return _listing(invocations, url)


def _listing(invocations: list[Invocation], url: str) -> bytes:
    return pydantic_core.to_json([each.summary(url) for each in invocations])


def _filtered(invocations: list[Invocation], wanted: dict[str, str]) -> list[Invocation]:
    tests = {
        "thing": lambda each: each.info.thing.name,
        "action": lambda each: each.info.name,
        "status": lambda each: each.status.value,
    }
    found = [each for each in invocations if all(tests[key](each) == wanted[key] for key in tests if key in wanted)]
    offset, limit = number_in(wanted, "offset") or 0, number_in(wanted, "limit")
    return found[offset:] if limit is None else found[offset : offset + limit]
