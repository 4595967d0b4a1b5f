"""Find servers on the network."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, TypeVar

from labthings.client.found_server import FoundServer
from labthings.exceptions import DiscoveryError, InvalidValueError

LONGEST_SEARCH = 3600.0

T = TypeVar("T")


def discover(seconds: float = 3.0, interfaces: Sequence[str] | None = None) -> list[FoundServer]:
    """Find the servers on the local network, and their Things.

    It finds those that announce themselves by DNS-SD, as a LabThings server does if it lets other computers in. Anybody
    on the network can announce anything, so look at what was found before you rely on it.

    :param seconds: how long to look for them; in less than 3, some may be missed. What they are asked may take a few
        seconds more.
    :param interfaces: on which networks to look, by this computer's addresses there. By default on all;
        ``"127.0.0.1"`` is for servers that are announced to this computer only.
    :raises DiscoveryError: if there is no such network, or it cannot be used for this.
    """
    if not 0 < seconds <= LONGEST_SEARCH:
        raise InvalidValueError(f"'seconds' must be more than 0 and at most {LONGEST_SEARCH:g}, not {seconds}.")
    return _run(_search(seconds, interfaces))


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as other:  # in a notebook, say
        return other.submit(asyncio.run, coroutine).result()


async def _search(seconds: float, interfaces: Sequence[str] | None) -> list[FoundServer]:
    await asyncio.to_thread(import_module, "labthings.dns_sd")
    from labthings.client.search import Search
    from labthings.dns_sd import browsing, opened

    addresses = await asyncio.to_thread(_addresses, interfaces)
    async with opened(addresses) as zeroconf, Search(zeroconf, addresses) as search:
        async with browsing(zeroconf, search.look_at):
            await asyncio.sleep(seconds)
        return await search.servers()


def _addresses(interfaces: Sequence[str] | None) -> list[str]:
    """The addresses to look from."""
    from labthings.dns_sd import own_addresses, own_interfaces

    if isinstance(interfaces, str):
        raise DiscoveryError(f"`interfaces` is a list of addresses, as in `interfaces=[{interfaces!r}]`.")
    own = [str(each.ip) for each in own_interfaces()]
    strange = [each for each in interfaces or () if each not in own]
    if strange:
        raise DiscoveryError(f"This computer has no address '{strange[0]}'. It has: {', '.join(own)}.")
    addresses = own_addresses() if interfaces is None else list(interfaces)
    if not addresses:
        raise DiscoveryError("This computer is on no network, so there is nowhere to look.")
    return addresses
