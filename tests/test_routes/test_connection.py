from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvloop

from labthings.routes.connection import MOST_UNSENT, Connection


class Cycle:
    """A request as uvicorn has it."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    async def receive(self) -> dict[str, Any]:
        return {}


async def alone() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_system_is_told_to_take_little_and_the_connection_can_be_broken_off(loop):
    if not hasattr(socket, "TCP_NOTSENT_LOWAT"):
        pytest.skip("This system has no such option.")

    async def use() -> None:
        lost = asyncio.get_running_loop().create_future()

        class Protocol(asyncio.Protocol):
            def connection_lost(self, error: Exception | None) -> None:
                lost.set_result(error)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            client, _ = await asyncio.get_running_loop().create_connection(Protocol, *listener.getsockname())
            connection = Connection(Cycle(client).receive)
            connection.keep_little_unsent()
            found = client.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
            assert found == MOST_UNSENT
            assert connection.identity is Connection(Cycle(client).receive).identity
            connection.abort()
            await asyncio.wait_for(lost, 20)
            connection.keep_little_unsent()
            connection.abort()
            assert connection.identity is not None

    running = loop()
    try:
        running.run_until_complete(use())
    finally:
        running.close()


@pytest.mark.parametrize("receive", [alone, Cycle(None).receive, Cycle("something else").receive])
def test_where_there_is_no_connection_nothing_is_done(receive):
    connection = Connection(receive)
    connection.keep_little_unsent()
    connection.abort()
    assert connection.identity is not Connection(receive).identity
