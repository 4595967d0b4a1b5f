"""Servers are found on the network; and nothing that is there can do harm, or hold up the others.

The network is left out here: `test_server/test_discovery.py` finds a server by it.
"""

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import labthings as lt
from labthings.client import FoundServer, search
from labthings.client.found_server import shown
from labthings.client.search import Search
from labthings.dns_sd import SERVICE, Service
from labthings.exceptions import DiscoveryError, InvalidValueError

LOOPBACK = "127.0.0.1"
EVIL = "\x1b[2J\x1b]0;owned\x07Lamp\n\u202eoff\u2028"

Answer = tuple[int, dict[str, str], bytes]


def as_json(document: Any, **headers: str) -> Answer:
    return 200, headers, json.dumps(document).encode()


class Host:
    """A computer on the network that answers as a test says; at ``/slow``, once it was asked for all of ``awaited``."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.awaited = {"/slow", "/nothing"}
        self.gate = threading.Event()
        self._server = _Server((LOOPBACK, 0), self._handler())
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append(self.path)
                if host.awaited <= set(host.asked):
                    host.gate.set()
                if self.path == "/slow":
                    host.gate.wait(20)
                status, headers, body = host.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except ConnectionError:  # the visitor has had enough
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                """Be quiet."""

        return Handler

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join(20)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 64


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, FoundServer]]:
    """Visit services that the network has told of, by name."""

    def visit(services: dict[str, Service | None], addresses: tuple[str, ...] = (LOOPBACK,)) -> dict[str, FoundServer]:
        async def tell(zeroconf: object, full_name: str, seconds: float) -> Service | None:
            return services[full_name]

        async def visit_all() -> list[FoundServer]:
            async with Search(None, addresses) as found:  # type: ignore[arg-type]
                for name in services:
                    found.look_at(name)
                return await found.servers()

        monkeypatch.setattr(search, "resolve", tell)
        return {each.name: each for each in asyncio.run(visit_all())}

    return visit


def directory(host: Host, things: str, **changes: Any) -> Answer:
    base = f"http://{LOOPBACK}:{host.port}/"
    links = [{"rel": "item", "href": f"{base}api/lamp/"}]
    form = {"href": things, "op": ["readproperty"]}
    document = {"title": "Lab", "base": base, "links": links, "properties": {"things": {"forms": [form]}}}
    return as_json({**document, **changes})


def lamp(host: Host, **changes: Any) -> dict[str, Any]:
    href = f"http://{LOOPBACK}:{host.port}/api/lamp/level"
    return {"id": "urn:lamp", "title": "Lamp", "properties": {"level": {"forms": [{"href": href}]}}, **changes}


def test_what_a_directory_has(host: Host, visit: Callable[..., dict[str, FoundServer]]) -> None:
    host.answers["/.well-known/wot"] = directory(host, "/api/things{?offset,limit}")
    things = [lamp(host, description=EVIL), {"id": "urn:odd thing", "title": EVIL}, {"title": ["no"]}, 7]
    host.answers["/api/things"] = as_json(things)
    found = visit({f"Lab {EVIL}.{SERVICE}": Service([LOOPBACK], host.port, {})})
    (server,) = found.values()
    safe = "�[2J�]0;owned�Lamp �off"
    assert server.name == f"Lab {safe}"
    assert server.url == f"http://{LOOPBACK}:{host.port}/"
    assert server.error == "2 of its Things cannot be shown."
    of_lamp, odd = server.things
    assert (of_lamp.name, of_lamp.title, of_lamp.url) == ("lamp", "Lamp", f"{server.url}api/lamp/")
    assert of_lamp.description == safe
    assert (odd.name, odd.url) == (safe, f"{server.url}api/things/urn:odd%20thing")


@pytest.mark.parametrize("changes", [{"base": "http://[bad"}, {"links": [{"rel": "item", "href": "http://[bad"}]}])
def test_a_directory_with_a_url_that_is_none(
    host: Host, visit: Callable[..., dict[str, FoundServer]], changes: dict[str, Any]
) -> None:
    host.answers["/.well-known/wot"] = directory(host, "/things", **changes)
    (server,) = visit({f"Lab.{SERVICE}": Service([LOOPBACK], host.port, {})}).values()
    assert "has a URL in it that is none" in server.error


def test_a_thing_that_is_no_directory(host: Host, visit: Callable[..., dict[str, FoundServer]]) -> None:
    host.answers["/td"] = as_json({"title": "Door", "base": "coap://elsewhere/"})
    (server,) = visit({f"Door.{SERVICE}": Service([LOOPBACK], host.port, {"td": "/td", "type": "Thing"})}).values()
    assert (server.things[0].name, server.things[0].url) == ("Door", f"http://{LOOPBACK}:{host.port}/td")


def test_what_is_no_server_is_named_with_the_reason_and_does_not_hold_up_the_others(
    host: Host, visit: Callable[..., dict[str, FoundServer]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "VISIT_SECONDS", 60)
    monkeypatch.setattr("labthings.client.visit.LARGEST_ANSWER", 100_000)
    elsewhere = directory(host, "http://elsewhere.example//elsewhere.example/things")
    host.answers |= {
        "/good": directory(host, "/things"),
        "/things": as_json([lamp(host)]),
        "/html": (200, {"content-type": "text/html"}, b"<h1>Printer</h1>"),
        "/number": as_json(5),
        "/nested": (200, {}, b"[" * 50_000),
        "/redirect": (302, {"location": "http://elsewhere.example/"}, b""),
        "/huge": (200, {}, b" " * 200_000),
        "/zipped": (200, {"content_encoding": "gzip"}, gzip.compress(b'{"title": "' + b"x" * 10_000_000 + b'"}')),
        "/secret": (500, {}, json.dumps({"detail": EVIL}).encode()),
        "/elsewhere": elsewhere,
        "/elsewhere.example/things": as_json([]),
        "/no-list": directory(host, "/number"),
        "/many": directory(host, "/many-things"),
        "/many-things": as_json([{"title": "x"}] * 3000),
    }
    services: dict[str, Service | None] = {
        path: Service([LOOPBACK], host.port, {"td": path})
        for path in [*host.answers, "/slow", "/gone", "//elsewhere.example/td"]
        if path not in ("/things", "/many-things", "/elsewhere.example/things")
    }
    services |= {
        "silent": None,
        "coap": Service([LOOPBACK], host.port, {"scheme": "coap"}),
        "file": Service([LOOPBACK], host.port, {"scheme": "file"}),
        "no port": Service([LOOPBACK], None, {}),
        "no address": Service([], 80, {}),
        "link": Service(["fe80::1"], 80, {}),
        "closed": Service([LOOPBACK], _closed_port(), {}),
        "relative": Service([LOOPBACK], host.port, {"td": "elsewhere"}),
        "query": Service([LOOPBACK], host.port, {"td": "/reset?now=1"}),
    }
    host.awaited = {"/slow", *host.answers}
    found = visit(services)
    reasons = {
        "/good": "",
        "/html": "what is there is not JSON",
        "/number": "is not a Thing Description",
        "/nested": "what is there is not JSON",
        "/redirect": "302",
        "/huge": "sends more than 100000 bytes",
        "/zipped": "what is there is not JSON",
        "/secret": "�[2J�]0;owned�Lamp �off",
        "/elsewhere": "",
        "/no-list": "is not a list of Thing Descriptions",
        "/many": "2000 of its Things cannot be shown",
        "/slow": "404",
        "/gone": "404",
        "//elsewhere.example/td": "404",
        "silent": "does not say where it is",
        "coap": "it speaks 'coap', not HTTP",
        "file": "it speaks 'file', not HTTP",
        "no port": "at which port",
        "no address": "no address that can be reached",
        "link": "no address that can be reached",
        "closed": "ConnectError",
        "relative": "'elsewhere' is not the path of a Thing Description",
        "query": "is not the path of a Thing Description",
    }
    others = {name: found[name].error for name, reason in reasons.items() if reason not in found[name].error}
    assert others == {}
    assert not found["/good"].error
    assert not [each for each in host.asked if "reset" in each]
    assert {"/elsewhere.example/td", "/elsewhere.example/things"} <= set(host.asked)  # here, and nowhere else
    assert all(server.error.isprintable() for server in found.values())


def test_one_that_does_not_answer_is_not_waited_for(
    host: Host, visit: Callable[..., dict[str, FoundServer]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "VISIT_SECONDS", 0.1)
    (server,) = visit({"silent": Service([LOOPBACK], host.port, {"td": "/slow"})}).values()
    assert server.error == "it has not answered in 0.1 seconds"


def _closed_port() -> int:
    with ThreadingHTTPServer((LOOPBACK, 0), BaseHTTPRequestHandler) as server:
        return int(server.server_address[1])


def test_the_network_cannot_send_us_to_this_very_computer(
    host: Host, visit: Callable[..., dict[str, FoundServer]]
) -> None:
    host.answers["/.well-known/wot"] = directory(host, "/things")
    hidden = Service([LOOPBACK, "::1"], host.port, {})
    (server,) = visit({"trap": hidden}, addresses=("192.0.2.5",)).values()
    assert server.error == "it has no address that can be reached from here"
    assert host.asked == []


def test_the_next_address_is_tried(
    host: Host, visit: Callable[..., dict[str, FoundServer]], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answers["/td"] = as_json({"title": "Door"})
    monkeypatch.setattr(search, "own_interfaces", list)
    (server,) = visit({"Door": Service(["127.0.0.77", "::1", LOOPBACK], host.port, {"td": "/td"})}).values()
    assert (server.url, server.error) == (f"http://{LOOPBACK}:{host.port}/", "")


def test_there_is_an_end_to_servers(visit: Callable[..., dict[str, FoundServer]]) -> None:
    assert len(visit({f"{number}": None for number in range(search.MOST_SERVERS + 50)})) == search.MOST_SERVERS


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_search_takes_a_while_but_not_for_ever(seconds: float) -> None:
    with pytest.raises(InvalidValueError, match="must be more than 0"):
        lt.discover(seconds)


def test_an_interface_that_this_computer_does_not_have() -> None:
    with pytest.raises(DiscoveryError, match=r"as in `interfaces=\['192\.0\.2\.254'\]`"):
        lt.discover(0.1, interfaces="192.0.2.254")
    with pytest.raises(DiscoveryError, match=r"no address '192\.0\.2\.254'\. It has: 127\.0\.0\.1"):
        lt.discover(0.1, ["192.0.2.254"])


def test_a_computer_that_is_on_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labthings.dns_sd.own_addresses", list)
    with pytest.raises(DiscoveryError, match="on no network"):
        lt.discover(0.1)


def test_in_a_notebook_there_is_an_event_loop_already(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(seconds: float, interfaces: list[str]) -> list[FoundServer]:
        return []

    async def cell() -> list[FoundServer]:
        return lt.discover(0.1)

    monkeypatch.setattr("labthings.client.discovery._search", nothing)
    assert asyncio.run(cell()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Übung 7 — „Lampe“", "Übung 7 — „Lampe“"),
        ("a\tb\r\n c", "a b c"),
        ("\x9b31m", "�31m"),
        ("\ud800", "�"),
        ("x" * 400, "x" * 299 + "…"),
        (None, ""),
        (5, ""),
    ],
)
def test_texts_are_safe_to_print(text: Any, expected: str) -> None:
    assert shown(text) == expected
