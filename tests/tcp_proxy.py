"""A cable between a client and a server, which can be cut, or go dead."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Passes on what is sent to its ``port``.

    :param to: the port that it goes to, which may be changed for later connections.
    """

    def __init__(self, listener: socket.socket, to: int) -> None:
        self.port, self.to = listener.getsockname()[1], to
        self._listener = listener
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._flows = threading.Event()
        self._flows.set()
        self._start(self._accept)

    def cut(self) -> None:
        """End the connections."""
        for each in [*self._sockets]:
            _shut(each)

    def go_dead(self) -> None:
        """Pass on nothing more, which neither side is told."""
        self._flows.clear()

    def revive(self) -> None:
        """Pass on what comes again."""
        self._flows.set()

    def stop(self) -> None:
        _shut(self._listener)
        self.revive()
        self._threads[0].join(10)
        self.cut()
        for each in self._threads:
            each.join(10)
            assert not each.is_alive()
        for pipe in self._sockets:
            pipe.close()

    def _start(self, function: object, *args: object) -> None:
        thread = threading.Thread(target=function, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                incoming, _ = self._listener.accept()
            except OSError:
                return
            try:
                outgoing = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                incoming.close()
                continue
            self._sockets += [incoming, outgoing]
            self._start(self._pump, incoming, outgoing)
            self._start(self._pump, outgoing, incoming)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(2**16):
                self._flows.wait()
                sink.sendall(piece)
        except OSError:
            return
        finally:
            _shut(source)
            _shut(sink)


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy to a port, meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener, port)
        try:
            yield proxy
        finally:
            proxy.stop()


def _shut(each: socket.socket) -> None:
    with suppress(OSError):  # it is closed already
        each.shutdown(socket.SHUT_RDWR)
