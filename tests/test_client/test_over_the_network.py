from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import httpx2
import pytest

import labthings as lt
from labthings.exceptions import ClientPropertyError


class Counter(lt.Thing):
    """A counter."""

    count: int = lt.property(default=0)

    @lt.action
    def double(self, number: int) -> int:
        self.logger.warning("doubling %d", number)
        return 2 * number

    @lt.action
    def interrupt_client(self) -> None:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        lt.cancellable_sleep(30)


@pytest.fixture
def url(tmp_path, served) -> Iterator[str]:
    server = lt.ThingServer.from_things({"counter": Counter}, settings_folder=str(tmp_path))
    with served(server.app) as base:
        yield f"{base}/counter/"


def test_own_client(url):
    with lt.ThingClient.from_url(url) as client:
        client.count = 4
        assert (client.count, client.double(3)) == (4, 6)


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_given_client(url, module):
    with module.Client() as http:
        client = lt.ThingClient.from_url(url, http)
        client.count = 4
        assert (client.count, client.double(3)) == (4, 6)


def test_client_with_a_base_url(url):
    with httpx.Client(base_url=url.removesuffix("counter/")) as http:
        assert lt.ThingClient.from_url("counter", http).double(2) == 4


def test_many_threads_use_one_client(url, caplog):
    numbers = range(100)
    with lt.ThingClient.from_url(url) as client, ThreadPoolExecutor(8) as threads:
        assert list(threads.map(client.double, numbers)) == [2 * number for number in numbers]
    logged = [r.getMessage() for r in caplog.records if r.name == "labthings.client.counter"]
    assert sorted(logged) == sorted(f"doubling {number}" for number in numbers)


@pytest.mark.usefixtures("short_waits")
def test_ctrl_c_cancels_the_action(url):
    with lt.ThingClient.from_url(url) as client:
        with pytest.raises(KeyboardInterrupt):
            client.interrupt_client()
        invocation = httpx.get(f"{url}interrupt_client").json()[0]
        assert httpx.get(invocation["href"], params={"wait": 10}).json()["status"] == "cancelled"


def test_server_that_has_gone(tmp_path, served):
    server = lt.ThingServer.from_things({"counter": Counter}, settings_folder=str(tmp_path))
    with served(server.app) as base:
        client = lt.ThingClient.from_url(f"{base}/counter/")
        assert client.count == 0
    with client, pytest.raises(ClientPropertyError, match=f"no answer from {base}/counter/count: ") as caught:
        client.count  # noqa: B018
    assert isinstance(caught.value.__cause__, httpx.TransportError)


def test_requests_do_not_drown_what_actions_log(url, caplog):
    with caplog.at_level(logging.INFO):
        lt.ThingClient.from_url(url).double(2)
        assert [r.getMessage() for r in caplog.records if r.name.startswith(("httpx", "labthings.client"))] == [
            "doubling 2"
        ]
        with httpx.Client() as http:
            lt.ThingClient.from_url(url, http)
        assert [r.name for r in caplog.records if r.name == "httpx"] == ["httpx"]
    with caplog.at_level(logging.DEBUG, "httpx"):
        lt.ThingClient.from_url(url)
        assert [r.name for r in caplog.records if r.name == "httpx"] == ["httpx", "httpx"]
