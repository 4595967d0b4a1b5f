from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import NotRequired, TypedDict

from labthings.thing_description import build_thing_description, validate_thing_description

BASE = "http://127.0.0.1:5000/"
IDENTITY = uuid.UUID("9e126cf4-1064-5ace-a40a-bdd777b5a35c")


@dataclass
class FakeProperty:
    name: str
    annotation: Any = float
    title: str | None = None
    description: str | None = None
    readonly: bool = False
    is_observable: bool = True
    has_default: bool = False
    default: Any = None
    unit: str | None = None

    @property
    def adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.annotation)


@dataclass
class FakeAction:
    name: str
    title: str | None = None
    description: str | None = None
    input_adapter: TypeAdapter[Any] | None = None
    output_adapter: TypeAdapter[Any] | None = None
    safe: bool = False
    idempotent: bool = False


@dataclass
class FakeEvent:
    name: str
    annotation: Any = None
    title: str | None = None
    description: str | None = None

    @property
    def adapter(self) -> TypeAdapter[Any] | None:
        return None if self.annotation is None else TypeAdapter(self.annotation)


@dataclass
class FakeStream:
    name: str
    title: str | None = None
    description: str | None = None


@dataclass
class FakeThing:
    name: str = "spectro"
    title: str | None = "Spectrometer"
    description: str | None = None
    path: str = "/spectro/"
    properties: dict[str, FakeProperty] = field(default_factory=dict)
    actions: dict[str, FakeAction] = field(default_factory=dict)
    events: dict[str, FakeEvent] = field(default_factory=dict)
    streams: dict[str, FakeStream] = field(default_factory=dict)


class AddArguments(TypedDict):
    a: int
    b: NotRequired[Annotated[int, Field(default=2)]]


def thing_with(*affordances: FakeProperty | FakeAction | FakeEvent, **kwargs: Any) -> FakeThing:
    properties = {each.name: each for each in affordances if isinstance(each, FakeProperty)}
    actions = {each.name: each for each in affordances if isinstance(each, FakeAction)}
    events = {each.name: each for each in affordances if isinstance(each, FakeEvent)}
    return FakeThing(properties=properties, actions=actions, events=events, **kwargs)


def build(*affordances: FakeProperty | FakeAction | FakeEvent, base: str = BASE, **kwargs: Any) -> dict[str, Any]:
    td = build_thing_description(thing_with(*affordances, **kwargs), base, IDENTITY)
    validate_thing_description(td)
    json.dumps(td, allow_nan=False)
    return td


def hrefs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["href"]] if isinstance(value.get("href"), str) else []
        return own + [href for part in value.values() for href in hrefs(part)]
    return [href for part in value for href in hrefs(part)] if isinstance(value, list) else []


gain = FakeProperty("gain", Annotated[float, Field(ge=0, le=10)], "Gain", has_default=True, default=1.0, unit="dB")
reading = FakeProperty("reading", int, readonly=True, is_observable=False)
add = FakeAction("add", "Add", "Add two numbers.", TypeAdapter(AddArguments), TypeAdapter(int))
stop = FakeAction("stop", safe=False, idempotent=True)
overheated = FakeEvent("overheated", Annotated[float, Field(ge=90)], "Overheated", "In °C.")
switched_off = FakeEvent("switched_off")


def test_a_property_is_described_with_its_forms() -> None:
    failure = {"success": False, "contentType": "application/problem+json", "schema": "ProblemDetails"}

    assert build(gain)["properties"]["gain"] == {
        "type": "number",
        "minimum": 0,
        "maximum": 10,
        "default": 1.0,
        "unit": "dB",
        "title": "Gain",
        "readOnly": False,
        "observable": True,
        "forms": [
            {
                "href": "http://127.0.0.1:5000/spectro/gain",
                "op": ["readproperty", "writeproperty"],
                "contentType": "application/json",
                "additionalResponses": [failure],
            },
            {
                "href": "http://127.0.0.1:5000/spectro/gain/observe",
                "op": ["observeproperty", "unobserveproperty"],
                "contentType": "application/json",
                "subprotocol": "longpoll",
            },
            {
                "href": "http://127.0.0.1:5000/spectro/gain",
                "op": ["observeproperty", "unobserveproperty"],
                "contentType": "application/json",
                "subprotocol": "sse",
            },
            {
                "href": "ws://127.0.0.1:5000/spectro/ws",
                "op": ["readproperty", "writeproperty", "observeproperty", "unobserveproperty"],
                "contentType": "application/json",
                "subprotocol": "webthingprotocol",
            },
        ],
    }


def test_a_readonly_property_that_cannot_be_observed_is_only_read() -> None:
    described = build(reading)["properties"]["reading"]

    assert (described["readOnly"], described["observable"]) == (True, False)
    assert [form["op"] for form in described["forms"]] == [["readproperty"], ["readproperty"]]
    assert [form.get("subprotocol") for form in described["forms"]] == [None, "webthingprotocol"]
    assert not described.keys() & {"title", "description", "unit", "default", "writeOnly"}


def test_a_readonly_property_is_described_as_it_is_read_and_others_as_they_are_written() -> None:
    from decimal import Decimal

    written = FakeProperty("written", Decimal)
    read = FakeProperty("read", Decimal, readonly=True)
    properties = build(written, read)["properties"]

    assert {"type": "number"} in properties["written"]["oneOf"]
    assert properties["read"]["type"] == "string"


def test_a_default_is_given_as_json() -> None:
    class Size(BaseModel):
        width: bytes = Field(alias="breadth")

    size = FakeProperty("size", tuple[Size, None], has_default=True, default=(Size(breadth=b"1"), None))

    assert build(size)["properties"]["size"]["default"] == [{"breadth": "1"}, None]


@pytest.mark.parametrize(
    ("annotation", "default"), [(float, float("inf")), (Any, object())], ids=["infinity", "an object"]
)
def test_a_default_that_json_cannot_say_is_left_out(
    annotation: Any, default: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    limit = FakeProperty("limit", annotation, has_default=True, default=default)

    assert "default" not in build(limit)["properties"]["limit"]
    assert caplog.records


def test_a_default_factory_that_fails_spares_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(FakeProperty):
        @property
        def default(self) -> Any:
            raise RuntimeError("no default today")

        @default.setter
        def default(self, value: Any) -> None:
            pass

    assert "default" not in build(Failing("limit", has_default=True))["properties"]["limit"]
    assert "limit" in caplog.text
    assert "no default today" in caplog.text


def test_words_of_the_property_come_before_those_of_its_type() -> None:
    annotation = Annotated[int, Field(title="Of the type", description="Of the type.", json_schema_extra={"unit": "m"})]
    plain, named = FakeProperty("plain", annotation), FakeProperty("named", annotation, "Own", "Own.", unit="mm")
    properties = build(plain, named)["properties"]

    assert [properties["plain"][key] for key in ("title", "description", "unit")] == [
        "Of the type",
        "Of the type.",
        "m",
    ]
    assert [properties["named"][key] for key in ("title", "description", "unit")] == ["Own", "Own.", "mm"]


def test_an_action_is_described_with_its_forms() -> None:
    failure = {"success": False, "contentType": "application/problem+json", "schema": "ProblemDetails"}
    started = {"success": True, "contentType": "application/json", "schema": "ActionStatus"}
    invoke = {"href": f"{BASE}spectro/add", "op": ["invokeaction"], "contentType": "application/json"}
    invocation = {"href": BASE + "action_invocations/{id}", "contentType": "application/json"}

    assert build(add)["actions"]["add"] == {
        "synchronous": False,
        "input": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 2}},
            "required": ["a"],
        },
        "output": {"type": "integer"},
        "title": "Add",
        "description": "Add two numbers.",
        "safe": False,
        "idempotent": False,
        "forms": [
            {**invoke, "additionalResponses": [started, failure]},
            {**invoke, "htv:headers": [{"htv:fieldName": "Prefer", "htv:fieldValue": "wait=60"}]},
            {**invocation, "op": ["queryaction"], "htv:methodName": "GET"},
            {**invocation, "op": ["cancelaction"], "htv:methodName": "DELETE"},
            {
                "href": "ws://127.0.0.1:5000/spectro/ws",
                "op": ["invokeaction", "queryaction", "cancelaction"],
                "contentType": "application/json",
                "subprotocol": "webthingprotocol",
            },
        ],
        "uriVariables": {"id": {"type": "string", "format": "uuid"}},
    }


def test_an_action_without_arguments_or_output_has_no_schemas() -> None:
    described = build(stop)["actions"]["stop"]

    assert not described.keys() & {"input", "output"}
    assert (described["safe"], described["idempotent"]) == (False, True)


def test_an_event_is_described_with_its_forms() -> None:
    operations = ["subscribeevent", "unsubscribeevent"]

    assert build(overheated)["events"]["overheated"] == {
        "data": {"type": "number", "minimum": 90},
        "title": "Overheated",
        "description": "In °C.",
        "forms": [
            {
                "href": "http://127.0.0.1:5000/spectro/overheated/observe",
                "op": operations,
                "contentType": "application/json",
                "subprotocol": "longpoll",
            },
            {
                "href": "http://127.0.0.1:5000/spectro/overheated",
                "op": operations,
                "contentType": "application/json",
                "subprotocol": "sse",
            },
        ],
    }


def test_an_event_without_data_has_no_schema() -> None:
    assert build(switched_off)["events"]["switched_off"].keys() == {"forms"}


def test_an_event_is_described_as_it_is_sent() -> None:
    from decimal import Decimal

    assert build(FakeEvent("paid", Decimal))["events"]["paid"]["data"]["type"] == "string"


def test_top_level_forms_are_those_that_the_thing_has_a_use_for() -> None:
    def operations(*affordances: Any) -> list[list[str]]:
        return [form["op"] for form in build(*affordances).get("forms", [])]

    read, some, write = "readallproperties", "readmultipleproperties", "writemultipleproperties"
    observe = ["observeallproperties", "unobserveallproperties"]
    subscribe = ["subscribeallevents", "unsubscribeallevents"]
    assert operations() == []
    assert operations(reading) == [[read], [read, some]]
    assert operations(stop) == [["queryallactions"], ["queryallactions"]]
    assert operations(overheated) == [subscribe, subscribe]
    assert operations(gain, stop, overheated) == [
        [read, write],
        observe,
        subscribe,
        ["queryallactions"],
        [read, some, write, *observe, "queryallactions", *subscribe],
    ]


def test_top_level_forms_have_the_urls_of_the_thing() -> None:
    forms = build(gain, stop, overheated)["forms"]

    assert [(form["href"], form.get("subprotocol")) for form in forms] == [
        (f"{BASE}spectro/properties", None),
        (f"{BASE}spectro/properties", "sse"),
        (f"{BASE}spectro/events", "sse"),
        (f"{BASE}spectro/actions", None),
        ("ws://127.0.0.1:5000/spectro/ws", "webthingprotocol"),
    ]


def test_the_thing_is_named_and_linked() -> None:
    td = build(description="Measures light.")

    assert td["@context"][:2] == ["https://www.w3.org/2019/wot/td/v1", "https://www.w3.org/2022/wot/td/v1.1"]
    assert (td["title"], td["description"], td["base"]) == ("Spectrometer", "Measures light.", BASE)
    assert [(link["rel"], link["href"]) for link in td["links"]] == [
        ("collection", f"{BASE}.well-known/wot"),
        ("service-doc", f"{BASE}docs"),
        ("urn:labthings:rel:blobs", f"{BASE}blob/"),
    ]
    assert td["securityDefinitions"][td["security"][0]] == {"scheme": "nosec"}


def test_a_thing_without_a_title_has_its_name_for_one() -> None:
    td = build(title="")

    assert td["title"] == "spectro"
    assert "description" not in td


def test_the_id_is_stable_and_depends_on_server_and_name() -> None:
    ids = {build()["id"], build(name="other")["id"], build_thing_description(FakeThing(), BASE, uuid.uuid4())["id"]}

    assert build()["id"] == uuid.uuid5(IDENTITY, "spectro").urn
    assert len(ids) == 3


def test_a_root_path_and_an_api_prefix_are_part_of_the_urls() -> None:
    td = build(gain, stop, base="https://lab.example/proxy/", path="/api/v1/spectro/")

    assert td["properties"]["gain"]["forms"][0]["href"] == "https://lab.example/proxy/api/v1/spectro/gain"
    assert td["properties"]["gain"]["forms"][-1]["href"] == "wss://lab.example/proxy/api/v1/spectro/ws"
    assert td["actions"]["stop"]["forms"][-2]["href"] == "https://lab.example/proxy/api/v1/action_invocations/{id}"
    assert td["links"][0]["href"] == "https://lab.example/proxy/.well-known/wot"


def test_names_are_percent_encoded() -> None:
    td = build(FakeProperty("größe"), path="/ä b/spectro/")

    assert td["properties"]["größe"]["forms"][0]["href"] == f"{BASE}%C3%A4%20b/spectro/gr%C3%B6%C3%9Fe"


def test_what_node_wot_and_wotpy_need() -> None:
    td = build(gain, reading, add, stop, overheated)
    affordances = [*td["properties"].values(), *td["actions"].values(), *td["events"].values(), td]
    schemes = [[form["href"].partition(":")[0] for form in affordance["forms"]] for affordance in affordances]

    assert all(href.startswith(("http://127.0.0.1:5000/", "ws://127.0.0.1:5000/")) for href in hrefs(td))
    assert all(isinstance(form["op"], list) for affordance in affordances for form in affordance["forms"])
    assert all(each == sorted(each) for each in schemes)  # every WebSocket form comes after every HTTP form
    assert schemes[-2] == ["http", "http"]  # wotpy prefers WebSockets for events, with a protocol of its own
    for observed in (td["properties"]["gain"], td["events"]["overheated"]):
        subprotocols = [form["subprotocol"] for form in observed["forms"] if "subprotocol" in form]
        assert subprotocols[:2] == ["longpoll", "sse"]


def test_the_shape_is_that_of_the_design(request: pytest.FixtureRequest) -> None:
    example = request.config.rootpath.parent / "shared" / "design" / "example_td.json"
    if not Path(example).exists():
        pytest.skip(f"the design's example is not at {example}: the Thing Description is not compared with it")
    designed = json.loads(example.read_text().replace("127.0.0.1:8873", "127.0.0.1:5000"))
    gain = FakeProperty("gain", Annotated[float, Field(ge=0, le=10)], "gain", has_default=True, default=1.0, unit="dB")
    add = FakeAction("add", "add", None, TypeAdapter(AddArguments), TypeAdapter(int))
    td = build(gain, add, FakeEvent("overheated", float, "overheated"))

    assert {key: td[key] for key in designed.keys() - {"id", "links"}} == {
        key: designed[key] for key in designed.keys() - {"id", "links"}
    }
    assert td.keys() == designed.keys()
    assert td["links"][:2] == designed["links"]
