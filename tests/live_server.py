"""An application that uvicorn serves, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def served(app: Any, *, port: int = 0, send_buffer: int | None = None, **options: Any) -> Iterator[int]:
    """Serve an application meanwhile, and give the port.

    :param port: at which; 0 for any that is free.
    :param send_buffer: how many bytes a connection takes that the client has not read yet, at most.
    :param options: for uvicorn.
    """
    runner = _Runner(uvicorn.Config(app, ws="websockets-sansio", log_config=None, **options))
    with socket.create_server(("127.0.0.1", port)) as listener:
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert runner.has_started.wait(20)
            yield listener.getsockname()[1]
        finally:
            runner.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


class _Runner(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()
