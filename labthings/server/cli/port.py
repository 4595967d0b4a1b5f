"""Whether a server could listen."""

from __future__ import annotations

import errno
import os
import socket

from labthings.exceptions import ConfigurationError


def require_free(host: str, port: int) -> None:
    """Make sure that a server could listen on a host and port.

    :raises ConfigurationError: if it could not.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in addresses:
            with socket.socket(family, kind, protocol) as listener:
                if os.name == "posix":  # as asyncio does: elsewhere it would let two servers share the port
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
    except OSError as error:
        raise ConfigurationError(_explanation(error, host, port)) from error


def _explanation(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is in use, perhaps by another LabThings server. "
            "Stop that program, or choose another port with --port."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs special permission. Choose one above 1023 with --port."
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"This computer has no address '{host}'. Use --host 127.0.0.1, or 0.0.0.0 for all its addresses."
    return f"Cannot listen on port {port} of {host}: {error.strerror}."
