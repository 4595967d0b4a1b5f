from typing import Any, Optional

import pytest
from fastapi.openapi.models import OpenAPI
from pydantic import BaseModel

import labthings as lt


class Sample(BaseModel):
    name: str
    mass: float = 1.0


class Robot(lt.Thing):
    """Moves samples."""

    speed: float = lt.property(default=1.0, gt=0)
    """Speed

    How fast it moves.
    """
    sample: Optional[Sample] = lt.property(default=None)  # noqa: UP045
    serial: str = lt.property(default="R", readonly=True)

    @lt.property
    def load(self) -> float:
        return 0.0

    dropped: lt.Event[Sample] = lt.event()
    """A sample was dropped

    It may have broken.
    """
    blocked: lt.Event[None] = lt.event()

    @lt.action
    def fetch(self, sample: Sample, times: int = 1) -> Sample:
        """Fetch a sample"""
        return sample

    @lt.action
    def rest(self) -> None:
        """Do nothing"""

    @lt.endpoint("get", "logs/{name}")
    def log(self, name: str, lines: int = 10) -> list[str]:
        """Read a log"""
        return [name] * lines


def document_of(client: Any) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    OpenAPI.model_validate(document)
    operation_ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(operation_ids) == len(set(operation_ids))
    assert set(references(document)) <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    return document


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for part in value.values() for each in references(part)]
    return [each for part in value for each in references(part)] if isinstance(value, list) else []


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_everything_that_is_served_is_documented(client_of, prefix):
    document = document_of(client_of({"robot": Robot}, api_prefix=prefix))
    found = {(path, method) for path, operations in document["paths"].items() for method in operations}
    below = {
        ("robot/", "get"),
        ("robot/speed", "get"),
        ("robot/speed", "put"),
        ("robot/speed/reset", "post"),
        ("robot/sample", "get"),
        ("robot/sample", "put"),
        ("robot/sample/reset", "post"),
        ("robot/serial", "get"),
        ("robot/load", "get"),
        ("robot/speed/observe", "get"),
        ("robot/sample/observe", "get"),
        ("robot/serial/observe", "get"),
        ("robot/dropped", "get"),
        ("robot/dropped/observe", "get"),
        ("robot/blocked", "get"),
        ("robot/blocked/observe", "get"),
        ("robot/events", "get"),
        ("robot/properties", "get"),
        ("robot/properties", "put"),
        ("robot/fetch", "get"),
        ("robot/fetch", "post"),
        ("robot/rest", "get"),
        ("robot/rest", "post"),
        ("robot/actions", "get"),
        ("robot/logs/{name}", "get"),
        ("action_invocations", "get"),
        ("action_invocations/{id}", "get"),
        ("action_invocations/{id}", "delete"),
        ("action_invocations/{id}/output", "get"),
        ("blob/", "post"),
        ("blob/{id}", "get"),
        ("things/", "get"),
        ("things", "get"),
        ("things/{id}", "get"),
        ("thing_descriptions/", "get"),
        ("labthings.js", "get"),
    }
    assert found == {(f"{prefix}/{path}", method) for path, method in below} | {
        ("/.well-known/wot", "get"),
        ("/health", "get"),
    }


def test_what_is_documented_is_served(client_of):
    client = client_of({"robot": Robot})
    for path, operations in document_of(client)["paths"].items():
        allowed = client.options(path).headers.get("allow", "GET").lower().split(", ")
        assert set(operations) <= set(allowed), path


def test_a_property_is_documented(client_of):
    paths = document_of(client_of({"robot": Robot}))["paths"]
    read, write = paths["/robot/speed"]["get"], paths["/robot/speed"]["put"]
    assert (read["summary"], read["description"], read["tags"]) == ("Speed", "How fast it moves.", ["robot"])
    assert read["responses"]["200"]["content"]["application/json"]["schema"]["exclusiveMinimum"] == 0
    assert write["requestBody"]["content"]["application/json"]["schema"]["type"] == "number"
    assert write["requestBody"]["required"] is True
    assert "204" in write["responses"]
    assert "200" not in write["responses"]
    assert "application/problem+json" in write["responses"]["4XX"]["content"]
    assert "put" not in paths["/robot/serial"]


def test_an_optional_property_is_documented(client_of):
    write = document_of(client_of({"robot": Robot}))["paths"]["/robot/sample"]["put"]
    schema = write["requestBody"]["content"]["application/json"]["schema"]
    assert {"type": "null"} in schema["anyOf"]
    assert write["requestBody"]["required"] is True


def parameters_of(operation: dict[str, Any]) -> set[str]:
    return {parameter["name"] for parameter in operation.get("parameters", ())}


def test_how_to_observe_a_property_is_documented(client_of):
    paths = document_of(client_of({"robot": Robot}))["paths"]
    for path in ("/robot/speed", "/robot/properties"):
        assert paths[path]["get"]["responses"]["200"]["content"].keys() == {"application/json", "text/event-stream"}
    assert "Last-Event-ID" in parameters_of(paths["/robot/speed"]["get"])
    poll = paths["/robot/speed/observe"]["get"]
    assert (poll["summary"], poll["description"]) == ("Wait for the next change: Speed", "How fast it moves.")
    assert poll["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "number"
    assert "204" in poll["responses"]
    assert parameters_of(poll) == {"wait", "If-None-Match"}
    assert paths["/robot/load"]["get"]["responses"]["200"]["content"].keys() == {"application/json"}


def test_live_state_is_documented(client_of):
    class State(lt.ReactiveModel):
        bias: float = 0.0

    class Supply(lt.Thing):
        state: State = lt.property(default_factory=State)
        readings: State = lt.property(default_factory=State, readonly=True)

    client = client_of({"supply": Supply})
    paths = document_of(client)["paths"]
    state = paths["/supply/state"]
    assert state.keys() == {"get", "put", "patch"}
    assert paths["/supply/readings"].keys() == {"get"}
    assert parameters_of(state["get"]) == {"Last-Event-ID", "If-None-Match"}
    assert "304" in state["get"]["responses"]
    assert "text/event-stream" in state["get"]["responses"]["200"]["content"]
    assert "ETag" in state["get"]["responses"]["200"]["headers"]
    assert state["patch"]["requestBody"]["content"].keys() == {"application/json-patch+json"}
    assert state["patch"]["responses"].keys() == {"204", "409", "412", "422", "4XX", "5XX"}
    for change in (state["put"], state["patch"], paths["/supply/state/reset"]["post"]):
        assert parameters_of(change) == {"If-Match"}
        assert "ETag" in change["responses"]["204"]["headers"]
        assert change["responses"]["412"]["content"].keys() >= {"application/problem+json"}


def test_what_is_not_live_state_is_not_documented_as_such(client_of):
    speed = document_of(client_of({"robot": Robot}))["paths"]["/robot/speed"]
    assert "patch" not in speed
    assert parameters_of(speed["get"]) == {"Last-Event-ID"}
    assert "headers" not in speed["get"]["responses"]["200"]
    assert parameters_of(speed["put"]) == set()


def test_an_event_is_documented(client_of):
    document = document_of(client_of({"robot": Robot}))
    subscribe, poll = (document["paths"][path]["get"] for path in ("/robot/dropped", "/robot/dropped/observe"))
    assert (subscribe["summary"], subscribe["description"]) == ("A sample was dropped", "It may have broken.")
    for each in (subscribe, document["paths"]["/robot/events"]["get"]):
        assert each["responses"]["200"]["content"].keys() == {"text/event-stream"}
        assert parameters_of(each) == {"Last-Event-ID"}
    assert poll["summary"] == "Wait for the next event: A sample was dropped"
    data = poll["responses"]["200"]["content"]["application/json"]["schema"]
    assert data == {"$ref": "#/components/schemas/Sample"}


def test_an_action_is_documented(client_of):
    document = document_of(client_of({"robot": Robot}))
    fetch, rest = document["paths"]["/robot/fetch"]["post"], document["paths"]["/robot/rest"]["post"]
    assert fetch["summary"] == "Fetch a sample"
    assert document["paths"]["/robot/fetch"]["get"]["summary"] == "Invocations of fetch"
    schema = document["components"]["schemas"][
        fetch["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    ]
    assert (set(schema["properties"]), schema["required"]) == ({"sample", "times"}, ["sample"])
    assert "201" in fetch["responses"]
    assert "requestBody" not in rest
    assert "Prefer" in {parameter["name"] for parameter in rest["parameters"]}


def test_the_document_is_made_once_and_not_before_it_is_asked_for(client_of):
    client = client_of({"robot": Robot})
    assert client.app.openapi_schema is None
    first = client.get("/openapi.json")
    assert client.app.openapi_schema is not None
    assert client.get("/openapi.json").content == first.content


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_pages_for_people(client_of, path):
    response = client_of({"robot": Robot}).get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "/openapi.json" in response.text


def test_names_that_run_into_each_other_stay_apart(client_of):
    class Short(lt.Thing):
        @lt.action
        def b_c(self) -> None:
            pass

        all: int = lt.property(default=1)

    class Long(lt.Thing):
        @lt.action
        def c(self) -> None:
            pass

        @lt.action
        def invocations(self) -> None:
            pass

        directory: int = lt.property(default=1)

    document_of(client_of({"a": Short, "a_b": Long, "invocations": Long, "server": Long, "all_a": Short}))


def test_models_of_one_name_stay_apart(client_of):
    def model(kind: type) -> type[BaseModel]:
        class Status(BaseModel):
            value: kind

        return Status

    class Thing(lt.Thing):
        status: model(int) = lt.property(default={"value": 1})

        @lt.endpoint("get")
        def page(self) -> model(str):
            return {"value": "x"}

    document = document_of(client_of(Thing))

    def value_type(path: str) -> str:
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        name = schema["$ref"].rpartition("/")[2]
        return str(document["components"]["schemas"][name]["properties"]["value"]["type"])

    assert [value_type(path) for path in ("/thing/status", "/thing/page")] == ["integer", "string"]


def test_a_thing_that_failed_is_documented_all_the_same(client_of):
    class Broken(Robot):
        def __init__(self, **kwargs: Any) -> None:
            raise OSError("no robot")

    document = document_of(client_of({"robot": Broken}))
    assert {"/robot/speed", "/robot/fetch", "/robot/logs/{name}"} <= document["paths"].keys()
