"""A client changes parts of live state."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy
import pytest

import labthings as lt
from labthings.client.moment import StateVersion
from labthings.exceptions import ClientPropertyError
from labthings.state import Operation

URL = "http://supply.local/supply/"
ENABLE = {"op": "replace", "path": "/enabled", "value": True}
FORM = {"href": "supply/state", "op": ["readproperty", "writeproperty"]}
DESCRIPTION = {
    "@context": "https://www.w3.org/2022/wot/td/v1.1",
    "title": "Supply",
    "base": "http://supply.local/",
    "properties": {"state": {"forms": [FORM]}, "log": {"readOnly": True, "forms": [{**FORM, "href": "supply/log"}]}},
}


class Server:
    """Takes patches, unless a test says what it answers."""

    def __init__(self) -> None:
        self.answer = httpx.Response(204, headers={"etag": '"aaaa-8"'})
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._answer)

    def client(self) -> Any:
        return lt.ThingClient.from_url(URL, httpx.Client(transport=self.transport))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, json=DESCRIPTION) if request.method == "GET" else self.answer

    @property
    def patch(self) -> Any:
        return json.loads(self.requests[-1].content)


@pytest.fixture
def server() -> Server:
    return Server()


def test_a_patch_is_sent_as_json_patch(server):
    server.client().patch_property("state", [ENABLE])
    request = server.requests[-1]
    assert (request.method, str(request.url)) == ("PATCH", "http://supply.local/supply/state")
    assert request.headers["content-type"] == "application/json-patch+json"
    assert "if-match" not in request.headers
    assert server.patch == [ENABLE]


def test_a_version_of_live_state_is_a_condition(server):
    server.client().patch_property("state", [ENABLE], version=StateVersion(7, "aaaa"))
    assert server.requests[-1].headers["if-match"] == '"aaaa-7"'
    assert server.patch == [ENABLE]


def test_the_version_that_a_patch_has_made_is_the_condition_for_the_next_one(server):
    client = server.client()
    version = client.patch_property("state", [ENABLE])
    assert (version, version.epoch) == (8, "aaaa")
    server.answer = httpx.Response(204, headers={"ETag": 'W/"a-b-10"'})  # proxies may say that it is a weak one
    version = client.patch_property("state", [ENABLE], version=version)
    assert server.requests[-1].headers["if-match"] == '"aaaa-8"'
    assert (version, version.epoch) == (10, "a-b")


@pytest.mark.parametrize("tag", [None, "", "aaaa-8", '"33a64df5"', '"aaaa-"', '"-8"', '"aaaa-08"', '"a-1", "a-2"x'])
def test_a_server_that_does_not_tell_the_version(server, tag):
    server.answer = httpx.Response(204, headers={} if tag is None else {"etag": tag})
    assert server.client().patch_property("state", [ENABLE]) is None


def test_a_number_is_a_condition_too(server):
    server.client().patch_property("state", [ENABLE], version=0)
    assert server.patch == [{"op": "test", "version": 0}, ENABLE]


def test_values_may_be_more_than_json_has(server):
    operations = (each for each in [{**ENABLE, "value": numpy.arange(2)}, Operation("remove", "/bias")])
    server.client().patch_property("state", operations)
    assert server.patch == [{**ENABLE, "value": [0, 1]}, {"op": "remove", "path": "/bias"}]


@pytest.mark.parametrize("operations", [ENABLE, "[]", [ENABLE, "x"], Operation("remove", "/bias")])
def test_a_patch_is_a_list_of_operations(server, operations):
    with pytest.raises(TypeError, match=r"of a JSON Patch is an object|A JSON Patch is a list"):
        server.client().patch_property("state", operations)
    assert len(server.requests) == 1


def test_what_the_server_says_is_raised(server):
    problem = {"title": "InvalidPatchError", "status": 409, "detail": "There is nothing at '/on'."}
    server.answer = httpx.Response(409, json=problem)
    with pytest.raises(ClientPropertyError, match=r"Patching supply\.state failed: There is nothing at '/on'\. .409"):
        server.client().patch_property("state", [ENABLE])


def test_a_property_that_cannot_be_written_is_the_servers_affair(server):
    server.client().patch_property("log", [ENABLE])
    assert str(server.requests[-1].url) == "http://supply.local/supply/log"


def test_a_property_that_is_not_there(server):
    with pytest.raises(ClientPropertyError, match="Did you mean 'state'"):
        server.client().patch_property("stat", [ENABLE])


def test_patching_in_an_event_loop(server):
    async def main() -> None:
        client = httpx.AsyncClient(transport=server.transport)
        async with client, lt.AsyncThingClient.from_url(URL, client) as supply:
            version = await supply.patch_property("state", [ENABLE], version=StateVersion(7, "aaaa"))
            assert (version, version.epoch) == (8, "aaaa")

    asyncio.run(main())
    assert server.requests[-1].headers["if-match"] == '"aaaa-7"'
    assert server.patch == [ENABLE]
