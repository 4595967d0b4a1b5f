from __future__ import annotations

import copy
import gc
from typing import ClassVar

import httpx
import pytest
from starlette.testclient import TestClient

import labthings as lt
from labthings.client import ThingClient, ThingUnavailableError


class Lamp(lt.Thing):
    """A lamp."""

    brightness: int = lt.property(default=3)
    close: int = lt.property(default=4)
    get_property: int = lt.property(default=5)
    from_url: int = lt.property(default=6)

    @lt.action
    def invoke_action(self) -> str:
        return "invoked"


def test_affordances_win_over_the_clients_own_names(connect):
    client = connect(Lamp)
    assert (client.close, client.get_property, client.from_url, client.invoke_action()) == (4, 5, 6, "invoked")
    client.close = 7
    client.set_property("get_property", 8)
    assert (client.close, client.get_property) == (7, 8)
    with client:
        assert client.brightness == 3


def test_internal_names_are_reached_by_name_only():
    names = ["_thing", "_settable", "__class__", "__len__", "a b"]
    description = {"title": "Odd one", "properties": {name: {"forms": [{"href": name}]} for name in names}}

    async def app(scope, receive, send):
        body = b"5" if scope["path"] != "/odd/" else httpx.Response(200, json=description).content
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    client = ThingClient.from_url("/odd/", TestClient(app))
    assert [client.get_property(name) for name in names] == [5] * len(names)
    assert getattr(client, "a b") == 5
    assert isinstance(client, ThingClient)
    assert repr(client) == "<Odd_oneClient http://testserver/odd/>"


def test_actions_and_own_names_cannot_be_set(connect):
    client = connect(Lamp)
    with pytest.raises(AttributeError, match=r"thing\.invoke_action is an action"):
        client.invoke_action = 3
    with pytest.raises(AttributeError, match="'set_property' cannot be set"):
        client.set_property = 3


def test_what_there_is_to_see(connect):
    client = connect(Lamp)
    assert {"brightness", "invoke_action", "set_property"} <= set(dir(client))
    assert repr(client) == "<LampClient http://testserver/thing/>"
    assert client.thing_description.title == "Lamp"


def test_copy_is_a_client_of_the_same_thing(connect):
    assert copy.copy(connect(Lamp)).brightness == 3


def test_subclass_keeps_its_own_attributes(tmp_path):
    class Scale(lt.Thing):
        weight: int = lt.property(default=3)

    class ScaleClient(ThingClient):
        tare = 1

        def weight(self) -> int:
            return self.get_property("weight") - self.tare

    server = lt.ThingServer.from_things({"scale": Scale}, settings_folder=str(tmp_path))
    with server.test_client() as http:
        client = ScaleClient.from_url("/scale/", http)
        assert client.weight() == 2
        client.tare = 2
        assert client.weight() == 1


@pytest.mark.parametrize("url", ["/lamp", "/lamp/", "http://testserver/lamp", "http://testserver/lamp/?a=b"])
def test_url_in_any_form(tmp_path, url):
    server = lt.ThingServer.from_things({"lamp": Lamp}, settings_folder=str(tmp_path))
    with server.test_client() as http:
        assert ThingClient.from_url(url, http).brightness == 3


def test_api_prefix(tmp_path):
    server = lt.ThingServer.from_things({"lamp": Lamp}, settings_folder=str(tmp_path), api_prefix="/api/v1")
    with server.test_client() as http:
        client = ThingClient.from_url("/api/v1/lamp", http)
        assert (client.brightness, client.invoke_action()) == (3, "invoked")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/lmap/", r"(?s)/lmap/ failed: There is nothing at /lmap/.*404"),
        ("/things/", "/things/ is not the URL of a Thing"),
        ("/things", "/things is not the URL of a Thing"),
        ("/lamp/brightness", "is not the URL of a Thing"),
        ("/docs", "text/html.*not JSON"),
    ],
)
def test_url_that_is_not_that_of_a_thing(tmp_path, url, message):
    server = lt.ThingServer.from_things({"lamp": Lamp}, settings_folder=str(tmp_path))
    with server.test_client() as http, pytest.raises(ThingUnavailableError, match=message):
        ThingClient.from_url(url, http)


def test_description_that_is_wrong():
    def answer(request):
        return httpx.Response(200, json={"properties": {"a": {"forms": 3}}})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    with http, pytest.raises(ThingUnavailableError, match="The Thing Description at http://lab/lamp/ is wrong"):
        ThingClient.from_url("http://lab/lamp/", http)


def test_server_that_cannot_be_reached():
    with pytest.raises(
        ThingUnavailableError, match=r"no answer from http://127\.0\.0\.1:1/lamp: ConnectError"
    ) as caught:
        ThingClient.from_url("http://127.0.0.1:1/lamp")
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert isinstance(caught.value, ConnectionError)


def test_url_without_a_scheme():
    with pytest.raises(ThingUnavailableError, match="missing an 'http://' or 'https://' protocol"):
        ThingClient.from_url("localhost:5000/lamp/")


class RecordingClient(httpx.Client):
    closed: ClassVar[list[RecordingClient]] = []

    def close(self):
        self.closed.append(self)
        super().close()


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Has ThingClients open clients that record whether they were closed, and answer without a network."""

    def answer(request):
        return httpx.Response(200, json={"title": "Lamp", "properties": {"on": {"forms": [{"href": "on"}]}}})

    monkeypatch.setattr(
        httpx, "Client", lambda **options: RecordingClient(transport=httpx.MockTransport(answer), **options)
    )
    monkeypatch.setattr(RecordingClient, "closed", [])


@pytest.mark.usefixtures("opened")
def test_client_that_was_opened_is_closed():
    client = ThingClient.from_url("http://lab/lamp/")
    assert not RecordingClient.closed
    client.close()
    client.close()
    assert len(RecordingClient.closed) == 1
    with pytest.raises(lt.exceptions.ClientPropertyError, match="closed"):
        client.on  # noqa: B018


@pytest.mark.usefixtures("opened")
def test_client_is_closed_by_a_with_statement():
    with ThingClient.from_url("http://lab/lamp/"):
        assert not RecordingClient.closed
    assert len(RecordingClient.closed) == 1


@pytest.mark.usefixtures("opened")
def test_client_is_closed_when_it_is_forgotten():
    client = ThingClient.from_url("http://lab/lamp/")
    method = client.get_property
    del client
    gc.collect()
    assert not RecordingClient.closed
    del method
    gc.collect()
    assert len(RecordingClient.closed) == 1


@pytest.mark.usefixtures("opened")
def test_client_that_was_given_is_left_open():
    http = httpx.Client()
    with ThingClient.from_url("http://lab/lamp/", http):
        pass
    assert not RecordingClient.closed
    http.close()


def test_actions_wait_less_than_the_http_client():
    from labthings.client.blocking_connection import BlockingConnection

    waits = [BlockingConnection(httpx.Client(timeout=timeout)).wait for timeout in (None, 60, 5, 0.5)]
    assert waits == [1, 1, 1, 0.25]
