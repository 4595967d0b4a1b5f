"""Announce a server on the local network, so that people and programs there find it."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import uuid
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from ipaddress import ip_address
from typing import Protocol

from labthings.exceptions import DiscoveryError

LOGGER = logging.getLogger(__name__)
CHECK_SECONDS = 30.0
STOP_SECONDS = 1.5
LONGEST_HOST = 25  # characters: what is made of it must fit into the 63 bytes of a name


class Identified(Protocol):
    """A server with an identity."""

    @property
    def identity(self) -> uuid.UUID: ...


class NetworkAnnouncement:
    """Announces a server, until it is stopped, wherever it can be reached at the time.

    What goes wrong is logged, once, and tried again: a network may come later than the server.

    :param addresses: gives the addresses at which the server can be reached now.
    :param check_seconds: how often to ask for them, and to try again.
    """

    def __init__(
        self,
        server: Identified,
        port: int,
        addresses: Callable[[], Sequence[str]],
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._server, self._port, self._addresses = server, port, addresses
        self._check_seconds = check_seconds
        self._complained = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to announce it, in the background."""
        self._task = asyncio.create_task(self._keep_announced())

    async def stop(self) -> None:
        """Tell the network that the server stops, unless that takes too long."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=STOP_SECONDS)

    async def _keep_announced(self) -> None:
        while True:
            try:
                await self._announce_until_moved()
            except Exception as error:  # noqa: BLE001 - whatever happens on a network, the server goes on
                self._complain(error)
                await asyncio.sleep(self._check_seconds)

    async def _announce_until_moved(self) -> None:
        await asyncio.to_thread(import_module, "labthings.dns_sd")  # quick if it has been imported
        from labthings.dns_sd import Advert, announced

        addresses = await asyncio.to_thread(self._addresses)
        if not addresses:
            raise DiscoveryError("it has no address that other computers could use")
        identity = await asyncio.to_thread(getattr, self._server, "identity")
        names = Names(identity, self._port, addresses)
        async with announced(Advert(names.instance, names.host, addresses, self._port)) as name:
            LOGGER.info("Announced on the network as '%s', at %s.", name, ", ".join(addresses))
            self._complained = False
            while await asyncio.to_thread(self._addresses) == addresses:  # noqa: ASYNC110 - there is no event for that
                await asyncio.sleep(self._check_seconds)

    def _complain(self, error: Exception) -> None:
        LOGGER.log(
            logging.DEBUG if self._complained else logging.WARNING,
            "The server cannot be announced on the network, so 'labthings-server discover' does not find it. "
            "All else works. It is tried again every %g s. The reason: %s",
            self._check_seconds,
            error if isinstance(error, DiscoveryError) else repr(error),
        )
        self._complained = True


class Names:
    """Names for a server that no other has, which stay the same for as long as its addresses do.

    Computers that are copies of each other have one host name; and one computer may have several servers.
    """

    def __init__(self, identity: uuid.UUID, port: int, addresses: Iterable[str]) -> None:
        host = re.sub("[^A-Za-z0-9-]", "-", socket.gethostname().partition(".")[0])[:LONGEST_HOST] or "computer"
        code = uuid.uuid5(identity, f"{port} {' '.join(sorted(addresses))}").hex[:6]
        self.instance = f"LabThings on {host}:{port} ({code})"
        self.host = f"{host}-{code}"


def is_wanted(discovery: bool | None, hosts: Iterable[str]) -> bool:
    """Whether to announce a server: by default, if other computers can reach it.

    :param discovery: what the configuration says.
    :param hosts: the addresses that it listens at.
    """
    return not all(map(_is_loopback, hosts)) if discovery is None else discovery


def how_to_find(hosts: Iterable[str]) -> str:
    """What to tell people of a server that is announced, and listens at some addresses."""
    if is_wanted(None, hosts):
        return "Other computers on the network find it with: labthings-server discover"
    return "Other programs on this computer find it with: labthings-server discover --interface 127.0.0.1"


def reachable_at(hosts: Iterable[str]) -> list[str]:
    """The addresses at which a server can be reached, if possible from other computers.

    :param hosts: the addresses that it listens at, of which ``0.0.0.0`` and ``::`` stand for all of the computer's.
    """
    from labthings.dns_sd import is_link_only

    found = [address for host in hosts for address in _behind(host)]
    from_elsewhere = [each for each in found if not _is_loopback(each) and not is_link_only(each)]
    return from_elsewhere or [each for each in found if each == "127.0.0.1"]


def _behind(host: str) -> list[str]:
    from labthings.dns_sd import own_addresses

    if host not in ("0.0.0.0", "::"):
        return [host]
    return [each for each in own_addresses() if (":" in each) == (":" in host)]  # "::" does not stand for IPv4's


def _is_loopback(host: str) -> bool:
    return ip_address(host.partition("%")[0]).is_loopback
