"""Visit the servers that are found on the network, while others are still looked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import httpx
from typing_extensions import Self
from zeroconf.asyncio import AsyncZeroconf

from labthings.client.found_server import FoundServer, shown
from labthings.client.visit import Visit
from labthings.dns_sd import Interface, Service, instance_name, is_link_only, own_interfaces, resolve
from labthings.exceptions import ThingUnavailableError

LOGGER = logging.getLogger(__name__)

RESOLVE_SECONDS = 2.0
CONNECT_SECONDS = 1.5
VISIT_SECONDS = 5.0  # for all that is asked of one server
LONGEST_PATH = 255
MOST_SERVERS = 200
MOST_ADDRESSES = 4
MOST_CONNECTIONS = 32


class Search:
    """Visits servers as soon as they are found, each but once.

    :param addresses: this computer's, on the networks where they are looked for. Nothing on this very computer is
        visited unless one of them is for it alone: the network could send us to what others must not reach.
    """

    def __init__(self, zeroconf: AsyncZeroconf, addresses: Sequence[str]) -> None:
        self._zeroconf = zeroconf
        self._knows_loopback = any(ip_address(each).is_loopback for each in addresses)
        self._interfaces = own_interfaces()
        self._visits: dict[str, asyncio.Task[FoundServer]] = {}
        self._http = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
            timeout=httpx.Timeout(VISIT_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,  # a proxy leads out of the network
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for visit in self._visits.values():
            visit.cancel()
        await asyncio.gather(*self._visits.values(), return_exceptions=True)
        await self._http.aclose()

    def look_at(self, full_name: str) -> None:
        """Begin to visit a server.

        :param full_name: its name on the network, with that of the service.
        """
        if full_name not in self._visits and len(self._visits) < MOST_SERVERS:
            self._visits[full_name] = asyncio.create_task(self._look_at(full_name))

    async def servers(self) -> list[FoundServer]:
        """All servers, once they have been visited, or have had the time for it."""
        if self._visits:
            await asyncio.wait(self._visits.values(), timeout=RESOLVE_SECONDS + VISIT_SECONDS)
        found = [
            visit.result() if visit.done() else _unknown(name, "there was no time to ask it")
            for name, visit in self._visits.items()
        ]
        return sorted(found, key=lambda server: (server.name.lower(), server.url))

    async def _look_at(self, full_name: str) -> FoundServer:
        service = await resolve(self._zeroconf, full_name, RESOLVE_SECONDS)
        if service is None:
            return _unknown(full_name, "it has gone, or does not say where it is")
        try:
            path, urls = _path(service), [_url(service, host) for host in self._hosts(service)]
        except ThingUnavailableError as error:
            return _unknown(full_name, str(error))
        if not urls:
            return _unknown(full_name, "it has no address that can be reached from here")
        return await self._visit(_name(full_name), urls, path)

    async def _visit(self, name: str, urls: Sequence[str], path: str) -> FoundServer:
        try:
            return await asyncio.wait_for(self._ask(name, urls, path), VISIT_SECONDS)
        except asyncio.TimeoutError:
            reason = f"it has not answered in {VISIT_SECONDS:g} seconds"
        except ThingUnavailableError as error:
            reason = str(error)
        return FoundServer(name, urls[0], error=shown(reason))

    async def _ask(self, name: str, urls: Sequence[str], path: str) -> FoundServer:
        *others, last = urls
        for url in others:
            try:
                return await Visit(self._http, name, url).found(path)
            except ThingUnavailableError as error:
                LOGGER.debug("%s of %s does not do: %s", url, name, error)
        return await Visit(self._http, name, last).found(path)

    def _hosts(self, service: Service) -> list[str]:
        """Where to reach it, what is nearest first. An address that is ours, too, is not meant if it has others."""
        usable = [each for each in service.addresses if self._is_usable(each)]
        return sorted(usable, key=lambda each: tuple(self._distance(each)))[:MOST_ADDRESSES]

    def _is_usable(self, address: str) -> bool:
        return not is_link_only(address) and (self._knows_loopback or not ip_address(address).is_loopback)

    def _distance(self, address: str) -> Iterator[bool]:
        ip = ip_address(address)
        yield any(ip == each.ip for each in self._interfaces)
        yield not any(_is_in(address, each) for each in self._interfaces)
        yield ip.version == 6


def _is_in(address: str, interface: Interface) -> bool:
    ip = ip_address(address)
    return ip.version == interface.version and ip in interface.network


def _url(service: Service, host: str) -> str:
    scheme = service.properties.get("scheme") or "http"
    if scheme not in ("http", "https"):
        raise ThingUnavailableError(f"it speaks '{scheme}', not HTTP")
    if not service.port:
        raise ThingUnavailableError("it does not say at which port it is")
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{service.port}/"


def _path(service: Service) -> str:
    path = service.properties.get("td") or "/.well-known/wot"
    is_path = path.startswith("/") and path.isascii() and path.isprintable() and not set(path) & set(" ?#\\")
    if not is_path or len(path) > LONGEST_PATH:
        raise ThingUnavailableError(f"'{path[:LONGEST_PATH]}' is not the path of a Thing Description")
    return path


def _name(full_name: str) -> str:
    return shown(instance_name(full_name)) or "?"


def _unknown(full_name: str, reason: str) -> FoundServer:
    return FoundServer(_name(full_name), "", error=shown(reason))
