"""A WebSocket client that is not polite."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any


class RawClient:
    """A WebSocket client that reads only when it is told to, and takes little before that."""

    def __init__(self, port: int, path: str = "/stage/ws") -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")
        self.socket.sendall(
            b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % path.encode()
        )
        assert b" 101 " in self.stream.readline()
        while self.stream.readline().strip():
            pass

    def send_text(self, text: str) -> None:
        self.send_frame(text.encode())

    def send_frame(self, data: bytes, opcode: int = 1) -> None:
        self.socket.sendall(frame(data, opcode))

    def receive_json(self) -> dict[str, Any]:
        """The next message. (The server's frames are not masked.)"""
        opcode, size = self.stream.read(2)
        assert opcode == 0x81
        if size == 126:
            [size] = struct.unpack("!H", self.stream.read(2))
        elif size == 127:
            [size] = struct.unpack("!Q", self.stream.read(8))
        message: dict[str, Any] = json.loads(self.stream.read(size))
        return message

    def close(self) -> None:
        """Go without saying so."""
        self.stream.close()
        self.socket.close()


def frame(data: bytes, opcode: int = 1) -> bytes:
    """A frame as clients send it, with a mask that changes nothing."""
    size = len(data)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 2**16:
        head = bytes((0x80 | opcode, 0x80 | 126)) + struct.pack("!H", size)
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + struct.pack("!Q", size)
    return head + bytes(4) + data
