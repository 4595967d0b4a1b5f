"""A server tells the network of itself, if it should; and whatever the network does, the server serves."""

import asyncio
import logging
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from zeroconf import ServiceBrowser, ServiceStateChange, Zeroconf

import labthings as lt
from labthings import dns_sd
from labthings.dns_sd import DIRECTORIES, SERVICE, Advert, announced
from labthings.exceptions import ConfigurationError, DiscoveryError
from labthings.server.discovery import Names, NetworkAnnouncement, how_to_find, is_wanted, reachable_at
from labthings.server.identity import server_identity

LOOPBACK = "127.0.0.1"
OWN = ["192.0.2.5", "198.51.100.7", "2001:db8::5"]
SERVER = SimpleNamespace(identity=uuid.UUID(int=1))


# --- whether ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("discovery", "hosts", "expected"),
    [
        (None, ["127.0.0.1"], False),
        (None, ["::1", "127.0.0.1"], False),
        (None, ["0.0.0.0"], True),
        (None, ["::"], True),
        (None, ["192.0.2.5"], True),
        (None, ["fe80::1%eth0", "127.0.0.1"], True),
        (False, ["0.0.0.0"], False),
        (True, ["127.0.0.1"], True),
    ],
)
def test_it_is_announced_if_others_can_reach_it(discovery: bool | None, hosts: list[str], expected: bool) -> None:
    assert is_wanted(discovery, hosts) is expected


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (["0.0.0.0"], OWN[:2]),
        (["::"], OWN[2:]),
        (["0.0.0.0", "::"], OWN),
        (["198.51.100.7"], ["198.51.100.7"]),
        (["127.0.0.1", "198.51.100.7"], ["198.51.100.7"]),
        (["127.0.0.1", "::1"], ["127.0.0.1"]),
        (["fe80::1"], []),
    ],
)
def test_its_addresses_are_those_it_listens_at(
    hosts: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_sd, "own_addresses", lambda: OWN)
    assert reachable_at(hosts) == expected


def test_this_computers_own_addresses_are_those_that_others_may_use() -> None:
    assert not {"127.0.0.1", "::1"} & set(dns_sd.own_addresses())
    assert not [each for each in dns_sd.own_addresses() if each.startswith("fe80")]
    assert "127.0.0.1" in [str(each.ip) for each in dns_sd.own_interfaces()]


def test_people_are_told_how_to_find_it() -> None:
    assert how_to_find(["0.0.0.0"]).endswith(": labthings-server discover")
    assert how_to_find(["127.0.0.1"]).endswith(": labthings-server discover --interface 127.0.0.1")


@pytest.mark.parametrize("value", ["yes", 1])
def test_the_configuration_takes_only_true_false_and_null(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="discovery"):
        lt.ThingServer.from_things({}, discovery=value)


# --- under which name ---------------------------------------------------------------------------------------


def test_a_name_tells_servers_apart_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "raspberry pi_4.example.org")
    names = Names(SERVER.identity, 5000, ["192.0.2.5"])
    assert names.instance.startswith("LabThings on raspberry-pi-4:5000 (")
    assert names.host.startswith("raspberry-pi-4-")
    assert vars(Names(SERVER.identity, 5000, ["192.0.2.5"])) == vars(names)
    copies = [Names(SERVER.identity, 5001, ["192.0.2.5"]), Names(SERVER.identity, 5000, ["192.0.2.6"])]
    assert len({names.host, *(copy.host for copy in copies)}) == 3


@pytest.mark.parametrize("host", ["x" * 64, "ö" * 64, ""])
def test_a_name_fits_even_if_it_must_be_changed(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    names = Names(SERVER.identity, 65535, ["192.0.2.5"])
    assert len(f"{names.instance}-99".encode()) <= 63
    assert len(names.host) <= 63


def test_who_ask_at_once_are_told_the_same_identity(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(server_identity, [tmp_path / "settings"] * 8))) == 1


# --- whatever the network does ------------------------------------------------------------------------------


class Network:
    """Stands for DNS-SD, and does what a test wants of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: asyncio.Queue[list[str] | str] = asyncio.Queue()
        self.failures: list[Exception] = []
        self.hangs = False
        monkeypatch.setattr(dns_sd, "announced", self.announced)

    async def next(self) -> list[str] | str:
        return await asyncio.wait_for(self.told.get(), 10)

    @asynccontextmanager
    async def announced(self, advert: Advert) -> AsyncIterator[str]:
        if self.failures:
            raise self.failures.pop(0)
        self.told.put_nowait(list(advert.addresses))
        try:
            yield advert.name
        finally:
            while self.hangs:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    continue
            self.told.put_nowait("goodbye")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


def test_it_follows_the_computer_from_network_to_network(network: Network) -> None:
    addresses = [["192.0.2.5"]]

    async def move() -> None:
        announcement = NetworkAnnouncement(SERVER, 5000, lambda: addresses[0], check_seconds=0.01)
        announcement.start()
        assert await network.next() == ["192.0.2.5"]
        addresses[0] = []
        assert await network.next() == "goodbye"
        addresses[0] = ["198.51.100.7"]
        assert await network.next() == ["198.51.100.7"]
        await announcement.stop()
        assert await network.next() == "goodbye"

    asyncio.run(move())


def test_what_goes_wrong_is_logged_once_and_tried_again(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    network.failures = [DiscoveryError("port 5353 is taken"), OSError(19, "No such device"), KeyError("bug")]

    async def insist() -> None:
        announcement = NetworkAnnouncement(SERVER, 5000, lambda: ["192.0.2.5"], check_seconds=0.01)
        announcement.start()
        assert await network.next() == ["192.0.2.5"]
        await announcement.stop()

    with caplog.at_level(logging.INFO, "labthings.server.discovery"):
        asyncio.run(insist())
    warning, success = [record.getMessage() for record in caplog.records if record.name.endswith("server.discovery")]
    assert "cannot be announced on the network" in warning
    assert "All else works." in warning
    assert warning.endswith("port 5353 is taken")
    assert success.startswith("Announced on the network as 'LabThings on ")


def test_a_goodbye_that_hangs_is_not_waited_for(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.hangs = True
    monkeypatch.setattr("labthings.server.discovery.STOP_SECONDS", 0.05)

    async def leave() -> None:
        announcement = NetworkAnnouncement(SERVER, 5000, lambda: ["192.0.2.5"])
        announcement.start()
        assert await network.next() == ["192.0.2.5"]
        await asyncio.wait_for(announcement.stop(), 10)
        assert network.told.empty()
        network.hangs = False

    asyncio.run(leave())


def test_a_server_that_was_never_announced_stops() -> None:
    asyncio.run(NetworkAnnouncement(SERVER, 5000, list).stop())


@pytest.mark.parametrize("fault", [OSError(19, "No such device"), RuntimeError("no adapter"), ValueError("no address")])
def test_an_interface_that_cannot_be_used_says_so(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[str]] = []

    def refuse(interfaces: list[str]) -> None:
        tried.append(interfaces)
        raise fault

    async def use(addresses: list[str]) -> None:
        async with dns_sd.opened(addresses):
            pytest.fail("it was opened")

    monkeypatch.setattr(dns_sd, "AsyncZeroconf", refuse)
    with pytest.raises(DiscoveryError, match=r"port 5353, cannot be used on 192\.0\.2\.5: .*(?i:no)"):
        asyncio.run(use(["192.0.2.5", "2001:db8::5"]))
    assert tried == [["192.0.2.5", "2001:db8::5"], ["192.0.2.5"]]


# --- for real, over the loopback interface alone ------------------------------------------------------------


@pytest.fixture(scope="module")
def listener() -> Iterator["Listener"]:
    with _multicast_socket() as receiver, _multicast_socket() as sender:
        try:
            sender.sendto(b"\0", ("224.0.0.251", 5353))
            receiver.recv(100)
        except OSError as error:
            pytest.skip(f"MULTICAST DOES NOT WORK ON THE LOOPBACK INTERFACE HERE, so this is NOT TESTED: {error}")
    with closing(Listener()) as listener:
        yield listener


@contextmanager
def _multicast_socket() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
            group = socket.inet_aton("224.0.0.251") + socket.inet_aton(LOOPBACK)
            one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            one.bind(("", 5353))
        except OSError as error:
            pytest.skip(f"THERE IS NO MULTICAST ON THE LOOPBACK INTERFACE HERE, so this is NOT TESTED: {error}")
        one.settimeout(5)
        yield one


class Listener:
    """Hears which servers come and go."""

    def __init__(self) -> None:
        self.zeroconf = Zeroconf(interfaces=[LOOPBACK])
        self._heard: set[tuple[str, str, str]] = set()
        self._news = threading.Condition()
        ServiceBrowser(self.zeroconf, [SERVICE, DIRECTORIES], handlers=[self._hear])

    def _hear(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        with self._news:
            self._heard.add((service_type, name.removesuffix(f".{SERVICE}"), state_change.name))
            self._news.notify_all()

    def wait_for(self, *expected: tuple[str, str, str]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self._heard.issuperset(expected), 20), self._heard

    def close(self) -> None:
        self.zeroconf.close()


def test_a_name_that_is_taken_is_changed_and_the_goodbye_is_heard(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience, milliseconds in (("_CHECK_TIME", 250), ("_REGISTER_TIME", 300), ("_UNREGISTER_TIME", 50)):
        monkeypatch.setattr(f"zeroconf._core.{patience}", milliseconds, raising=False)
    name = f"Server {uuid.uuid4().hex[:8]}"
    advert = Advert(name, f"host-{name[-8:]}", [LOOPBACK], 5000)
    other = advert.info(SERVICE, f"{name}.{SERVICE}")

    async def take() -> None:
        await asyncio.to_thread(listener.zeroconf.register_service, other, cooperating_responders=True)

    async def announce() -> None:
        async with announced(advert) as changed:
            assert changed == f"{name}-2"
            listener.wait_for((SERVICE, changed, "Added"), (DIRECTORIES, changed, "Added"))
            info = await asyncio.to_thread(listener.zeroconf.get_service_info, SERVICE, f"{changed}.{SERVICE}")
            assert info is not None
            assert info.decoded_properties == {"td": "/.well-known/wot", "type": "Directory", "scheme": "http"}
            assert (info.parsed_addresses(), info.port) == ([LOOPBACK], 5000)

    async def compete() -> None:
        await asyncio.gather(take(), announce())

    asyncio.run(compete())
    listener.wait_for((SERVICE, f"{name}-2", "Removed"), (DIRECTORIES, f"{name}-2", "Removed"))


SCRIPT = """
import sys
import zeroconf._core
import labthings as lt

for patience in ("_CHECK_TIME", "_REGISTER_TIME", "_UNREGISTER_TIME"):
    setattr(zeroconf._core, patience, 100)

class Lamp(lt.Thing):
    '''Shines.'''

    level: float = lt.property(default=0.5)

server = lt.ThingServer.from_things({"lamp": Lamp}, settings_folder=sys.argv[1], api_prefix="/api")
server.serve("127.0.0.1", 0, discovery=True)
"""


def test_a_server_is_found_with_its_things_until_it_stops(listener: Listener, tmp_path: Path) -> None:
    (tmp_path / "server-id.txt").write_text(str(SERVER.identity))
    command = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = list(iter(process.stdout.readline, "Press Ctrl+C to stop.\n"))
            port = next(line for line in lines if "lamp" in line).split(":")[2].split("/")[0]
            assert any("find it with: labthings-server discover --interface 127.0.0.1" in line for line in lines)
            name = Names(SERVER.identity, int(port), [LOOPBACK]).instance
            listener.wait_for((SERVICE, name, "Added"))
            searches = (lt.discover(0.3, [LOOPBACK]) for _ in range(30))  # those of other tests may get the answer
            server = next(each for found in searches for each in found if each.name == name)
            assert (server.url, server.error) == (f"http://127.0.0.1:{port}/", "")
            (lamp,) = server.things
            assert (lamp.name, lamp.title, lamp.description) == ("lamp", "Lamp", "Shines.")
            assert lamp.url == f"{server.url}api/lamp/"
            with lt.ThingClient.from_url(lamp.url) as client:
                assert client.get_property("level") == 0.5
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
            assert (process.returncode, err) == (0, "")
        finally:
            process.kill()
    listener.wait_for((SERVICE, name, "Removed"))
