"""A bench multimeter that speaks SCPI over TCP: to try things when no instrument is at hand, and to see them fail.

``python -m example_things.scpi_simulator --port 5025`` runs it by hand. It needs only the standard library.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from concurrent.futures import Future
from threading import Thread
from typing import Literal

from example_things.simulated_multimeter import SimulatedMultimeter

Fault = Literal["none", "hang up", "silence", "late", "garbage"]


class ScpiSimulator:
    """The multimeter, with its power switch and its network socket. As a context manager, it is on inside.

    :param port: where it listens. 0 stands for any that is free.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        self.fault: Fault = "none"
        """What goes wrong with answers, until it is "none" again."""
        self.fault_at = ""
        """Which messages it goes wrong with: those that have this in them."""
        self.delay = 3.0
        """How late the answer is, in seconds, if the fault is "late"."""
        self._thread: Thread | None = None

    def __enter__(self) -> "ScpiSimulator":
        self.switch_on()
        return self

    def __exit__(self, *error: object) -> None:
        self.switch_off()

    @property
    def is_on(self) -> bool:
        return self._thread is not None

    @property
    def address(self) -> str:
        """Its VISA resource name."""
        return f"TCPIP::{self.host}::{self.port}::SOCKET"

    def switch_on(self) -> None:
        """Power up, with all settings at their defaults, at the same port as before.

        :raises OSError: if something else has the port.
        """
        if self.is_on:
            return
        started: Future[int] = Future()
        thread = Thread(target=lambda: asyncio.run(self._run(started)), name="SCPI simulator", daemon=True)
        thread.start()
        self.port = started.result()
        self._thread = thread

    def switch_off(self) -> None:
        """Cut the power: connections break, and new ones are refused."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._loop.call_soon_threadsafe(self._power_cut.set)
            thread.join()

    async def _run(self, started: "Future[int]") -> None:
        """Listen until the power is cut."""
        self._loop, self._power_cut = asyncio.get_running_loop(), asyncio.Event()
        self.multimeter = SimulatedMultimeter()
        try:
            server = await asyncio.start_server(self._converse, self.host, self.port)
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(server.sockets[0].getsockname()[1])
        await self._power_cut.wait()
        await asyncio.sleep(0.01)  # who is just coming in must be in, to be thrown out
        server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client, until either side hangs up or the power is cut."""
        with contextlib.suppress(ConnectionError, asyncio.CancelledError), contextlib.closing(writer):
            while (line := await reader.readline()) and not writer.is_closing():
                message = line.decode("latin-1").strip()
                answer = await self.multimeter.obey(message)
                if answer is not None:
                    await self._send(f"{answer}\n".encode(), self._fault_of(message), writer)

    def _fault_of(self, message: str) -> Fault:
        return self.fault if self.fault_at in message else "none"

    async def _send(self, answer: bytes, fault: Fault, writer: asyncio.StreamWriter) -> None:
        if fault == "silence":
            return
        if fault == "late":
            await asyncio.sleep(self.delay)
        if fault == "hang up":
            answer = answer[: len(answer) // 2]
        if fault == "garbage":
            answer = b"\xff\x00#?!\n"
        writer.write(answer)
        await writer.drain()
        if fault == "hang up":
            writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m example_things.scpi_simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=5025)
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()
    with ScpiSimulator(arguments.port, arguments.host) as simulator, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(f"The multimeter is at {simulator.address}\nPress Ctrl+C to switch it off.\n")
        sys.stdout.flush()
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
