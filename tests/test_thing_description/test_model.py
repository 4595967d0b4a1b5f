from __future__ import annotations

from typing import Any

import pytest

from labthings.thing_description import ThingDescription

TD = {
    "@context": "https://www.w3.org/2022/wot/td/v1.1",
    "title": "Lamp",
    "base": "http://lamp.example/api/",
    "properties": {
        "on": {
            "type": "boolean",
            "title": "On",
            "default": None,
            "observable": True,
            "forms": [{"href": "on"}, {"href": "ws://lamp.example/ws", "op": "observeproperty", "subprotocol": "x"}],
        }
    },
    "actions": {"fade": {"input": {"type": "object"}, "forms": [{"href": "/fade", "htv:methodName": "PUT"}]}},
    "events": {"broken": {"data": {"type": "string"}}},
    "links": [{"href": "manual", "rel": "service-doc"}],
    "made:up": {"kept": True},
}


def test_affordances_are_read_with_their_forms() -> None:
    td = ThingDescription.model_validate(TD)
    on, fade = td.properties["on"], td.actions["fade"]

    assert [form.href for form in on.forms_for("readproperty")] == ["on"]
    assert [form.subprotocol for form in on.forms_for("observeproperty")] == ["x"]
    assert [form.method for form in fade.forms_for("invokeaction")] == ["PUT"]
    assert td.events["broken"].forms_for("subscribeevent") == []
    assert (td.title, td.links[0].rel) == ("Lamp", "service-doc")


def test_a_property_gives_the_schema_of_its_value() -> None:
    on = ThingDescription.model_validate(TD).properties["on"]

    assert on.data_schema == {"type": "boolean", "title": "On", "default": None}


def test_unknown_keys_are_kept() -> None:
    td = ThingDescription.model_validate(TD)

    assert td.model_dump(by_alias=True, exclude_unset=True)["made:up"] == {"kept": True}


@pytest.mark.parametrize(
    "missing", [{}, {"properties": None, "actions": None, "events": None, "forms": None, "links": None}]
)
def test_what_a_server_leaves_out_is_empty(missing: dict[str, Any]) -> None:
    td = ThingDescription.model_validate(missing)

    assert (td.properties, td.actions, td.events, td.forms, td.links) == ({}, {}, {}, [], [])


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("on", "http://lamp.example/api/on"),
        ("/fade", "http://lamp.example/fade"),
        ("https://else.example/on", "https://else.example/on"),
        ("ws://lamp.example/ws", "ws://lamp.example/ws"),
        ("things{?offset,limit}", "http://lamp.example/api/things{?offset,limit}"),
    ],
)
def test_an_href_is_resolved_against_the_base(href: str, expected: str) -> None:
    assert ThingDescription.model_validate(TD).resolve(href) == expected


def test_without_a_base_an_href_is_resolved_against_where_the_description_came_from() -> None:
    assert ThingDescription().resolve("on", retrieved_from="http://lamp.example/lamp/") == "http://lamp.example/lamp/on"
    assert ThingDescription(base="/api/").resolve("on", retrieved_from="http://a.b/lamp/") == "http://a.b/api/on"
