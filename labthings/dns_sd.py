"""DNS-SD on the local network, by which servers are found there, as W3C's WoT Discovery uses it.

It takes a tenth of a second to import.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import TypeAlias

import ifaddr
from zeroconf import DNSQuestionType, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf import Error as ZeroconfError
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from labthings.exceptions import DiscoveryError

LOGGER = logging.getLogger(__name__)

SERVICE = "_wot._tcp.local."
DIRECTORIES = f"_directory._sub.{SERVICE}"
DESCRIPTION = {"td": "/.well-known/wot", "type": "Directory", "scheme": "http"}
START_SECONDS, CLOSE_SECONDS = 2.0, 1.0

Interface: TypeAlias = IPv4Interface | IPv6Interface


@dataclass(frozen=True)
class Advert:
    """What the network is told of a server.

    :param name: a name for people, of at most 50 bytes.
    :param host: a name for its addresses that no other server uses, of letters, digits and hyphens.
    """

    name: str
    host: str
    addresses: Sequence[str]
    port: int

    def info(self, service: str, name: str) -> ServiceInfo:
        return ServiceInfo(
            service,
            name,
            port=self.port,
            parsed_addresses=list(self.addresses),
            server=f"{self.host}.local.",
            properties=DESCRIPTION,
        )


@dataclass(frozen=True)
class Service:
    """What the network tells of a server. Anybody can tell anything there."""

    addresses: Sequence[str]
    port: int | None
    properties: Mapping[str, str | None]


def own_interfaces() -> list[Interface]:
    """The addresses of this computer, with their networks; IPv4 first."""
    found = [_interface(each) for adapter in ifaddr.get_adapters() for each in adapter.ips]
    return sorted(found, key=lambda each: (each.version, int(each.ip)))


def own_addresses() -> list[str]:
    """The addresses of this computer that others on its networks may reach."""
    return [str(each.ip) for each in own_interfaces() if not each.ip.is_loopback and not is_link_only(str(each.ip))]


def is_link_only(address: str) -> bool:
    """Whether it is an address of IPv6 that means nothing without the name of one's own network interface."""
    return ":" in address and ip_address(address).is_link_local


@asynccontextmanager
async def opened(addresses: Sequence[str]) -> AsyncIterator[AsyncZeroconf]:
    """Use DNS-SD on the networks of some of this computer's addresses.

    :raises DiscoveryError: if it cannot be used there.
    """
    zeroconf = _open(list(addresses))
    try:
        await _start(zeroconf, addresses)
        yield zeroconf
    finally:
        await _close(zeroconf)


@asynccontextmanager
async def announced(advert: Advert) -> AsyncIterator[str]:
    """Announce a server, and say goodbye at the end. It takes more than a second until it is.

    :return: its name; another one, if there is a server of that name already.
    :raises DiscoveryError: if it cannot be announced.
    """
    async with opened(advert.addresses) as zeroconf:
        info = advert.info(SERVICE, f"{advert.name}.{SERVICE}")
        await (await zeroconf.async_register_service(info, allow_name_change=True))
        directory = advert.info(DIRECTORIES, info.name)
        directory.key = f"{info.key}/directory"  # it is the same service, which zeroconf would not take twice
        await (await zeroconf.async_register_service(directory, cooperating_responders=True))
        yield instance_name(info.name)


@asynccontextmanager
async def browsing(zeroconf: AsyncZeroconf, found: Callable[[str], None]) -> AsyncIterator[None]:
    """Look for servers in the ``with`` block.

    They are asked to answer this program alone, which wireless networks lose less often, and to answer everybody: only
    that is sure to arrive if another program on this computer does DNS-SD, too.

    :param found: is called with the full name of each; again, if it answers again.
    """

    def notice(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Added:
            found(name)

    ways = DNSQuestionType.QU, DNSQuestionType.QM
    browsers = [AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[notice], question_type=way) for way in ways]
    try:
        yield
    finally:
        for browser in browsers:
            await browser.async_cancel()


async def resolve(zeroconf: AsyncZeroconf, full_name: str, seconds: float) -> Service | None:
    """What the network tells of a server; nothing if it does not in time."""
    info = AsyncServiceInfo(SERVICE, full_name)
    if not await info.async_request(zeroconf.zeroconf, seconds * 1000):
        return None
    texts = {_text(key): None if value is None else _text(value) for key, value in info.properties.items()}
    return Service(info.parsed_addresses(), info.port, texts)


def instance_name(full_name: str) -> str:
    """The part of a server's full name that is for people."""
    return full_name.removesuffix(f".{SERVICE}")


def _open(addresses: list[str]) -> AsyncZeroconf:
    try:
        with _quiet_zeroconf():
            return AsyncZeroconf(interfaces=addresses)
    except (OSError, RuntimeError, ValueError) as error:
        of_version_4 = [each for each in addresses if ":" not in each]
        if of_version_4 and of_version_4 != addresses:  # IPv6 may have been turned off
            return _open(of_version_4)
        raise _unusable(addresses, error) from error


@contextmanager
def _quiet_zeroconf() -> Iterator[None]:
    """Keep it from logging what it raises as well, at each attempt."""
    logger = logging.getLogger("zeroconf")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


async def _start(zeroconf: AsyncZeroconf, addresses: Sequence[str]) -> None:
    try:
        await zeroconf.zeroconf.async_wait_for_start(START_SECONDS)
    except (ZeroconfError, OSError) as error:
        raise _unusable(addresses, error) from error


async def _close(zeroconf: AsyncZeroconf) -> None:
    try:
        await asyncio.wait_for(zeroconf.async_close(), CLOSE_SECONDS)
    except (asyncio.TimeoutError, OSError, ZeroconfError) as error:
        LOGGER.warning("The network may not have heard that the server stops: %r", error)


def _unusable(addresses: Sequence[str], error: Exception) -> DiscoveryError:
    where = ", ".join(addresses) or "no network"
    reason = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        reason += (
            ". Another program has that port for itself. If that is Avahi, set disallow-other-stacks=no in its file"
        )
    return DiscoveryError(f"Multicast DNS, at UDP port 5353, cannot be used on {where}: {reason}")


def _interface(found: ifaddr.IP) -> Interface:
    address = found.ip if isinstance(found.ip, str) else found.ip[0]
    return ip_interface(f"{address.partition('%')[0]}/{found.network_prefix}")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
