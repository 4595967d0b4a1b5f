"""A Thing with annotations that mention what is not defined anywhere: the server says so, and nothing else suffers."""

from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

import labthings as lt
from labthings.thing_description import validate_thing_description

ANY = [{"type": each} for each in ("object", "array", "string", "number", "boolean", "null")]


class Vague(BaseModel):
    number: "Number"  # type: ignore[name-defined]  # noqa: F821


class Stage(lt.Thing):
    x: "Number" = lt.property(default=1)  # type: ignore[name-defined]  # noqa: F821
    part: Vague = lt.setting(default=None)
    told: lt.Event["Number"] = lt.event()  # type: ignore[name-defined]  # noqa: F821
    speed: float = lt.property(default=2)

    @lt.property
    def reading(self) -> "Number":  # type: ignore[name-defined]  # noqa: F821
        return 1

    @lt.action
    def move(self, to: "Number") -> Vague: ...  # type: ignore[name-defined, empty-body]  # noqa: F821

    @lt.endpoint("get")
    def page(self, number: "Number") -> str: ...  # type: ignore[name-defined, empty-body]  # noqa: F821


class Lamp(lt.Thing):
    is_on: bool = lt.property(default=False)


@pytest.fixture
def client(client_of: Any) -> Any:
    return client_of({"stage": Stage, "lamp": Lamp})


def test_the_server_says_what_is_wrong(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    names = ["x", "part", "told", "reading", "move", "page"]
    logged = [each.getMessage() for each in caplog.get_records("setup") if each.name == "labthings.things.stage"]
    assert [each.partition(". ")[0] for each in logged] == [f"Something is wrong with 'stage.{name}'" for name in names]
    assert all("name 'Number' is not defined" in each for each in logged)


def test_nor_is_it_said_to_be_undefined_when_it_is_defined_later_and_refused(
    client_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client_of(Safe)
    (told,) = [each.getMessage() for each in caplog.records if each.name == "labthings.things.thing"]
    assert told.startswith("Something is wrong with 'thing.key'. UnserialisableTypeError: ")


def test_the_rest_of_the_thing_works(client: Any, refused: Any) -> None:
    assert client.get("/stage/speed").json() == 2
    refused(client.get("/stage/x"), 500, "'Stage.x'", "'Number' is not defined")


def test_it_is_described_as_any_value(client: Any) -> None:
    described = client.get("/stage/").json()
    validate_thing_description(described)
    assert [described["properties"][name]["oneOf"] for name in ("x", "part", "reading")] == [ANY] * 3
    assert described["events"]["told"]["data"]["oneOf"] == ANY
    assert described["actions"]["move"]["input"] == {"type": "object", "properties": {}}
    assert described["actions"]["move"]["output"]["oneOf"] == ANY


@pytest.mark.parametrize("path", ["/things", "/things/lamp", "/thing_descriptions/", "/openapi.json"])
def test_other_things_are_described(client: Any, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "/lamp/is_on" in answer.text


def test_a_model_may_be_defined_after_the_thing(client_of: Any) -> None:
    class Later(BaseModel):
        volts: float = 0

    Part.model_rebuild(_types_namespace={"Later": Later})
    client = client_of(Early)
    assert client.get("/thing/").json()["properties"]["part"]["properties"]["later"]["type"] == "object"
    assert client.get("/thing/part").json() == {"later": {"volts": 3.0}}


class Part(BaseModel):
    later: "Later"  # type: ignore[name-defined]  # noqa: F821


class Early(lt.Thing):
    @lt.property
    def part(self) -> Part:
        return Part.model_validate({"later": {"volts": 3}})


class Safe(lt.Thing):
    key: "Secret" = lt.setting(default="")  # type: ignore[assignment]


Secret = SecretStr
