from __future__ import annotations

import pytest

from labthings.client.addresses import Addresses, Target
from labthings.thing_description.model import PropertyAffordance, ThingDescription


def described(base: str | None, *forms: dict[str, object]) -> ThingDescription:
    return ThingDescription.model_validate({"base": base, "properties": {"p": {"forms": forms}}})


@pytest.mark.parametrize(
    ("found_at", "base", "href", "expected"),
    [
        pytest.param("http://lab/c/", "http://lab/", "http://lab/c/p", "http://lab/c/p", id="plain"),
        pytest.param("http://lab/c", "http://lab/", "http://lab/c/p", "http://lab/c/p", id="no slash"),
        pytest.param("http://lab/c/?x=1#y", "http://lab/", "http://lab/c/p", "http://lab/c/p", id="query"),
        pytest.param("http://lab/c/", "http://lab/", "c/p", "http://lab/c/p", id="relative to the base"),
        pytest.param("http://lab/c/", "/", "/c/p", "http://lab/c/p", id="relative base"),
        pytest.param("http://lab/c/", None, "p", "http://lab/c/p", id="no base"),
        pytest.param("http://lab/c/", None, "/c/p", "http://lab/c/p", id="no base, absolute path"),
        pytest.param("https://lab/c/", "http://lab/", "http://lab/c/p", "https://lab/c/p", id="TLS proxy"),
        pytest.param("http://lab:80/c/", "http://10.0.0.1:5000/", "c/p", "http://lab:80/c/p", id="forwarded port"),
        pytest.param("http://lab/a/b/c/", "http://x:1/", "http://x:1/c/p", "http://lab/a/b/c/p", id="proxied path"),
        pytest.param("http://lab/a/c/", "http://x/r/", "http://x/r/c/p", "http://lab/a/c/p", id="proxied root path"),
        pytest.param("http://lab/v1/c/", "http://x/", "/v1/c/p", "http://lab/v1/c/p", id="prefix"),
        pytest.param("http://tds/1.json", "http://lab/", "http://lab/c/p", "http://lab/c/p", id="kept elsewhere"),
        pytest.param("http://lab/c/", "http://lab/", "http://cam/p", "http://cam/p", id="another server"),
    ],
)
def test_where_a_form_leads(found_at, base, href, expected):
    description = described(base, {"href": href})
    target = Addresses(description, found_at).target(description.properties["p"], "readproperty", "GET")
    assert target == Target("GET", expected)


def test_invocations_are_sought_behind_the_same_proxy():
    addresses = Addresses(described("http://x:1/", {"href": "http://x:1/c/p"}), "https://lab/a/c/")
    assert addresses.absolute("http://x:1/action_invocations/7") == "https://lab/a/action_invocations/7"
    assert addresses.absolute("/i/7", "https://lab/a/c/act") == "https://lab/i/7"


def test_first_form_for_http_and_json_is_taken():
    affordance = PropertyAffordance.model_validate(
        {
            "forms": [
                {"href": "ws://lab/p", "op": "readproperty"},
                {"href": "coap://lab/p", "op": "readproperty"},
                {"href": "http://lab/long", "op": "readproperty", "subprotocol": "longpoll"},
                {"href": "http://lab/image", "op": "readproperty", "contentType": "image/png"},
                {"href": "http://lab/{id}", "op": "readproperty"},
                {"href": "http://lab/write", "op": ["writeproperty"], "htv:methodName": "POST"},
                {"href": "http://lab/read", "op": ["readproperty"], "contentType": "application/json; charset=utf-8"},
                {"href": "http://lab/later", "op": ["readproperty", "writeproperty"]},
            ]
        }
    )
    addresses = Addresses(described(None), "http://lab/")
    assert addresses.target(affordance, "readproperty", "GET") == Target("GET", "http://lab/read")
    assert addresses.target(affordance, "writeproperty", "PUT") == Target("POST", "http://lab/write")
    assert addresses.target(affordance, "observeproperty", "GET") is None


@pytest.mark.parametrize(
    ("found_at", "base", "href", "expected"),
    [
        ("http://lab/c/", "http://lab/", "ws://lab/c/ws", "ws://lab/c/ws"),
        ("https://lab/c/", "https://lab/", "wss://lab/c/ws", "wss://lab/c/ws"),
        ("https://lab/a/c/", "http://10.0.0.1:5000/", "ws://10.0.0.1:5000/c/ws", "wss://lab/a/c/ws"),
        ("http://lab/c/", "http://lab/", "/c/ws", "ws://lab/c/ws"),
        ("https://lab/c/", None, "ws", "wss://lab/c/ws"),
        ("https://lab/c/", "https://lab/", "ws://lab/c/ws", "wss://lab/c/ws"),
        ("https://lab/c/", "https://lab/", "ws://lab:81/ws", "ws://lab:81/ws"),
    ],
)
def test_where_the_websocket_is(found_at, base, href, expected):
    forms = [{"href": "http://lab/c/p"}, {"href": href, "subprotocol": "webthingprotocol"}]
    description = ThingDescription.model_validate(
        {"base": base, "forms": forms, "properties": {"p": {"forms": [{"href": "/c/p"}]}}}
    )
    assert Addresses(description, found_at).socket(description) == expected


def test_there_may_be_no_websocket():
    description = described(None, {"href": "ws://lab/c/ws", "subprotocol": "labthings"})
    assert Addresses(description, "http://lab/c/").socket(description) is None
