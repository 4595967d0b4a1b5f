"""List the servers on the network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from labthings.client import FoundServer, discover

ADVICE = """No server was found on the network.

- A server is announced if it lets other computers in: start it with --host 0.0.0.0, and without --no-discovery.
- This computer must be on the same network (subnet) as the server: announcements do not pass routers, nor most VPNs.
- Firewalls of both computers must let UDP port 5353 through, and that of the server also its TCP port, usually 5000.
- Some networks, of guests and of universities, do not let their computers talk to each other.
- To look longer, use --seconds 10.

If you know the address of a server, you do not need to find it: http://ADDRESS:5000 shows what it has."""
ADVICE_ON_LOOPBACK = """No server was found on this computer.

Only what is announced to this computer alone can be found here: labthings-server --discovery, without --host."""


def found_servers(seconds: float, interfaces: Sequence[str]) -> list[FoundServer]:
    """The servers on the network.

    :param interfaces: this computer's addresses on the networks to look on; none for all.
    :raises DiscoveryError: if there is no network to look on.
    """
    return discover(seconds, interfaces or None)


def advice(interfaces: Sequence[str]) -> str:
    """What to do if no server was found."""
    return ADVICE_ON_LOOPBACK if list(interfaces) == ["127.0.0.1"] else ADVICE


def as_json(servers: Sequence[FoundServer]) -> str:
    """The servers, for programs."""
    return json.dumps([asdict(each) for each in servers], indent=2)


def as_table(servers: Sequence[FoundServer]) -> str:
    """The servers, for people."""
    return "\n\n".join("\n".join(_lines(server)) for server in servers)


def _lines(server: FoundServer) -> Iterator[str]:
    yield f"{server.name}{f'  {server.url}' if server.url else ''}"
    name_width = max((len(each.name) for each in server.things), default=0)
    url_width = max((len(each.url) for each in server.things), default=0)
    for thing in server.things:
        yield f"  {thing.name:<{name_width}}  {thing.url:<{url_width}}  {thing.description or thing.title}"
    if server.error:
        yield f"  {'But: ' if server.things else ''}{server.error}"
    elif not server.things:
        yield "  It has no Things."
