"""Methods that FastAPI serves as they are."""

from typing import Annotated, Any

import pytest
from fastapi import Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

import labthings as lt
from labthings.endpoints import EndpointDescriptor


class Sample(BaseModel):
    name: str


class Store(lt.Thing):
    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self.samples: list[Sample] = []

    @lt.endpoint("get")
    def plain_text_response(self) -> str:
        """An example."""
        return f"example of {self.name}"

    @lt.endpoint("get", path="samples/{number}")
    def sample(self, number: int, shout: Annotated[bool, Query()] = False) -> str:
        name = self.samples[number].name
        return name.upper() if shout else name

    @lt.endpoint("post", "/samples", status_code=201, tags=["stock"])
    async def add(self, sample: Sample) -> int:
        self.samples.append(sample)
        return len(self.samples)

    @lt.endpoint("delete", "samples")
    def clear(self) -> None:
        self.samples.clear()

    @lt.endpoint("get", response_class=PlainTextResponse, include_in_schema=False)
    def readme(self) -> str:
        return "# Store"


def test_the_path_is_below_the_things_and_by_default_the_name(serve: Any) -> None:
    _, client = serve({"a": Store, "b": Store}, api_prefix="/api")
    assert client.get("/api/a/plain_text_response").json() == "example of a"
    assert client.get("/api/b/plain_text_response").json() == "example of b"
    assert client.get("/plain_text_response").status_code == 404


def test_it_has_all_that_fastapi_offers(serve: Any) -> None:
    server, client = serve({"store": Store})
    added = client.post("/store/samples", json={"name": "salt"})
    assert (added.status_code, added.json()) == (201, 1)
    assert server.things["store"].samples == [Sample(name="salt")]
    assert client.get("/store/samples/0").json() == "salt"
    assert client.get("/store/samples/0?shout=true").json() == "SALT"
    assert client.get("/store/samples/first").status_code == 422
    assert client.post("/store/samples", json={}).status_code == 422
    assert client.delete("/store/samples").status_code == 200
    assert server.things["store"].samples == []
    response = client.get("/store/readme")
    assert (response.text, response.headers["content-type"]) == ("# Store", "text/plain; charset=utf-8")


def test_another_method_is_not_allowed(serve: Any) -> None:
    assert serve({"store": Store})[1].put("/store/plain_text_response").status_code == 405


def test_it_is_in_the_openapi_document_and_not_in_the_thing_description(serve: Any) -> None:
    _, client = serve({"store": Store})
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths["/store/samples"]) == {"post", "delete"}
    assert paths["/store/samples"]["post"]["tags"] == ["stock"]
    assert paths["/store/plain_text_response"]["get"]["tags"] == ["store"]
    assert "/store/readme" not in paths
    described = client.get("/store/").json()
    assert "plain_text_response" not in {**described.get("properties", {}), **described.get("actions", {})}


def test_in_python_it_is_a_method(serve: Any) -> None:
    store = serve({"store": Store})[0].things["store"]
    assert store.plain_text_response() == "example of store"
    assert isinstance(Store.plain_text_response, EndpointDescriptor)
    assert Store.plain_text_response.title == "An example."


def test_what_it_raises_is_a_problem_and_harms_nothing_else(serve: Any) -> None:
    class Broken(lt.Thing):
        x: int = lt.property(default=1)

        @lt.endpoint("get")
        def broken(self) -> str:
            raise lt.exceptions.InvocationError("It is broken.")

    _, client = serve({"broken": Broken})
    response = client.get("/broken/broken")
    assert (response.status_code, response.json()["detail"]) == (500, "It is broken.")
    assert client.get("/broken/x").json() == 1


def test_an_endpoint_that_would_hide_an_affordance_is_refused(tmp_path: Any) -> None:
    class Twice(lt.Thing):
        x: int = lt.property(default=1)

        @lt.endpoint("get", "x")
        def also_x(self) -> int:
            return 2

    with pytest.raises(lt.exceptions.ConfigurationError, match=r"'Twice\.also_x' and an affordance.* GET /twice/x"):
        lt.ThingServer.from_things({"twice": Twice}, settings_folder=str(tmp_path))


def test_a_subclass_may_override_it(serve: Any) -> None:
    class Better(Store):
        @lt.endpoint("get")
        def plain_text_response(self) -> str:
            return super().plain_text_response() + ", but better"

    assert serve({"b": Better})[1].get("/b/plain_text_response").json() == "example of b, but better"
