"""What a server says when it has started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Status(Protocol):
    """The state of a Thing."""

    @property
    def state(self) -> str: ...
    @property
    def error(self) -> BaseException | None: ...


class Announced(Protocol):
    """A server, as far as its announcement goes."""

    @property
    def api_prefix(self) -> str: ...
    @property
    def statuses(self) -> Mapping[str, Status]: ...


def announcement(server: Announced, base_url: str, network_hint: str | None = None) -> str:
    """Where each Thing is found, which of them did not start and why, and where to try them.

    :param base_url: the URL of the server, such as ``http://127.0.0.1:5000``.
    :param network_hint: how to find the server on the network, if it is announced there.
    """
    root = base_url.rstrip("/")
    width = max(map(len, server.statuses), default=0)
    lines = [
        f"  {name:<{width}}  {root}{server.api_prefix}/{name}/{_trouble(status)}"
        for name, status in server.statuses.items()
    ]
    hints = [f"Try them in a web browser at {root}", *([network_hint] if network_hint else [])]
    return "\n".join([_headline(server), "", *lines, "", *hints, "Press Ctrl+C to stop."])


def url_of(host: str, port: int) -> str:
    """The URL at which this computer reaches a server that listens on a host and port."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{port}"


def _headline(server: Announced) -> str:
    total = len(server.statuses)
    failed = sum(status.state == "failed" for status in server.statuses.values())
    things = f"{total} Thing{'' if total == 1 else 's'}"
    return f"Serving {things}{f', of which {failed} failed to start' if failed else ''}:"


def _trouble(status: Status) -> str:
    if status.state == "starting":
        return "\n    is still starting"
    if status.state != "failed":
        return ""
    error = status.error
    reason = f": {type(error).__name__}: {error}" if error is not None else ""
    return f"\n    failed to start{reason}"
