import http.client
import json
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import labthings as lt
from labthings.thing_description import validate_thing_description


class Thing(lt.Thing):
    it: Any = lt.property(default=1)
    größe: float = lt.property(default=1.5)

    @lt.action
    def verlängern(self, länge: float) -> float:
        return länge

    @lt.action
    def nothing(self) -> None:
        pass

    @lt.endpoint("get")
    def page(self) -> str:
        return "page"


JSON = {"content-type": "application/json"}


# --- bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/json ;x=y",
        "application/senml+json",
    ],
)
def test_media_types_that_are_json(client_of, media_type):
    client = client_of(Thing)
    assert client.put("/thing/it", content=b"5", headers={"content-type": media_type}).status_code == 204
    assert client.get("/thing/it").json() == 5


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", "json", "*/*"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/thing/it"), ("PUT", "/thing/properties"), ("POST", "/thing/nothing")]
)
def test_media_types_that_are_not(client_of, refused, method, path, media_type):
    client = client_of(Thing)
    response = client.request(method, path, content=b"{}", headers={"content-type": media_type})
    refused(response, 415, "application/json", media_type)
    assert client.get("/thing/it").json() == 1
    assert client.get("/thing/actions").json() == []


def test_a_body_without_a_media_type(client_of, refused):
    refused(client_of(Thing).put("/thing/it", content=b"5"), 415, "Content-Type: application/json")


@pytest.mark.parametrize("body", [b"", b"{", b"[1,", b"'a'", b"nope", b"1 2", b'"\xff"', b'"a', b"\x00"])
@pytest.mark.parametrize(
    ("method", "path", "name"),
    [("PUT", "/thing/it", "thing.it"), ("PUT", "/thing/properties", "thing.properties")],
)
def test_broken_json(client_of, refused, method, path, name, body):
    client = client_of(Thing)
    problem = refused(client.request(method, path, content=body, headers=JSON), 422, name, "JSON")
    assert problem["errors"][0]["type"] == "json_invalid"
    assert client.put("/thing/it", json=2).status_code == 204


@pytest.mark.parametrize("name", ["nothing", quote("verlängern")])
@pytest.mark.parametrize("body", [b"{", b"nope", b'{"a":"\xff"}', b"\x00"])
def test_broken_arguments(client_of, refused, name, body):
    client = client_of(Thing)
    refused(client.post(f"/thing/{name}", content=body, headers=JSON), 422, "thing.", "JSON")
    assert client.get("/thing/actions").json() == []


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/thing/it"), ("PUT", "/thing/properties"), ("POST", "/thing/nothing")]
)
def test_a_body_that_is_too_large(client_of, refused, method, path):
    client = client_of(Thing, maximum_body_size=100)
    response = client.request(method, path, content=b" " * 101, headers=JSON)
    refused(response, 413, "100 bytes", "maximum_body_size")
    assert client.put("/thing/it", content=b'"%b"' % (98 * b"x"), headers=JSON).status_code == 204
    assert client.get("/thing/it").json() == 98 * "x"


def test_a_body_in_pieces(serve_live, refused):
    live = serve_live({"thing": Thing}, maximum_body_size=100)
    with httpx.Client(base_url=live.url, headers=JSON) as client:
        assert client.put("/thing/it", content=iter([b'"a', b"", b"b", b'"'])).status_code == 204
        assert client.get("/thing/it").json() == "ab"
        refused(client.put("/thing/it", content=iter([b" " * 60] * 2)), 413, "100 bytes")
        assert client.get("/thing/it").json() == "ab"


def test_a_large_body_is_refused_before_it_is_sent(serve_live):
    live = serve_live({"thing": Thing})
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=10)
    connection.putrequest("PUT", "/thing/it")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(2**40))
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["status"]) == (413, 413)
    assert response.getheader("connection") == "close"
    connection.close()
    assert httpx.get(f"{live.url}/thing/it").json() == 1


def test_a_client_that_goes_before_it_has_sent_everything(serve_live):
    live = serve_live({"thing": Thing})
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=10)
    connection.putrequest("PUT", "/thing/it")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"5")
    connection.close()
    assert httpx.get(f"{live.url}/thing/it").json() == 1


def test_a_large_value_is_validated_and_served(client_of, refused):
    class Array(lt.Thing):
        numbers: list[int] = lt.property(default_factory=list)

        @lt.property
        def computed(self) -> list[int]:
            return self.numbers

    client = client_of(Array)
    numbers = list(range(50_000))
    assert client.put("/thing/numbers", json=numbers).status_code == 204
    for _ in range(2):
        assert client.get("/thing/numbers").json() == numbers
        assert client.get("/thing/computed").json() == numbers
    refused(client.put("/thing/numbers", json=[*numbers, "x"]), 422, "thing.numbers", "50000")
    assert client.put("/thing/numbers", json=[1]).status_code == 204
    assert client.get("/thing/numbers").json() == [1]


# --- names and paths ----------------------------------------------------------------------------------------


def test_names_that_are_not_ascii(client_of):
    client = client_of(Thing)
    assert client.put("/thing/größe", json=2).status_code == 204
    assert client.get("/thing/gr%C3%B6%C3%9Fe").json() == 2
    assert client.post("/thing/gr%c3%b6%c3%9fe/reset").status_code == 204
    assert client.get("/thing/properties").json() == {"it": 1, "größe": 1.5}

    invoked = client.post("/thing/verl%C3%A4ngern?wait=9", json={"länge": 3})
    assert invoked.json()["action"] == "/thing/verl%C3%A4ngern"
    assert (invoked.json()["output"], invoked.json()["input"]) == (3, {"länge": 3})
    assert len(client.get("/action_invocations", params={"action": "verlängern"}).json()) == 1

    td = client.get("/thing/").json()
    validate_thing_description(td)
    assert client.get(td["properties"]["größe"]["forms"][0]["href"]).json() == 1.5
    assert td["properties"]["größe"]["forms"][0]["href"].isascii()


def test_names_that_are_not_ascii_through_a_socket(serve_live):
    live = serve_live({"thing": Thing})
    assert httpx.get(f"{live.url}/thing/größe").json() == 1.5


def test_paths_that_are_not_there(serve_live):
    with httpx.Client(base_url=serve_live({"thing": Thing}).url) as client:
        for name in ("%", "%zz", "%ff", "%00", "a%2Fb", "%2e%2e", "größer", "x" * 5000):
            response = client.get(f"/thing/{name}")
            assert (response.status_code, response.json()["title"]) == (404, "NotFoundError"), name


def test_what_is_not_there_is_said_with_a_remedy(client_of, refused):
    client = client_of(Thing)
    for path in ("/", "/nothing", "/nothing/it"):
        refused(client.get(path), 404, path, "/things/")
    for path in ("/thing/nope", "/thing/nope/", "/thing/ws"):
        refused(client.get(path), 404, path, "it", "größe", "nothing", "properties")
    refused(client.get("/thing/it/nope"), 404, "/thing/it/nope")


def test_the_remedy_has_the_prefix(client_of, refused):
    client = client_of(Thing, api_prefix="/api")
    refused(client.get("/thing/it"), 404, "/thing/it", "/api/things/")
    refused(client.get("/api/thing/nope"), 404, "/api/thing/nope", "größe")


# --- below another path -------------------------------------------------------------------------------------


@pytest.fixture
def mounted(tmp_path):
    """An application of the user's own, with a server's beneath ``/lab``."""
    server = lt.ThingServer.from_things({"thing": Thing}, settings_folder=str(tmp_path / "settings"))

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        async with server.app.router.lifespan_context(server.app):
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/own")
    def own() -> str:
        return "own"

    app.mount("/lab", server.app)
    with TestClient(app) as client:
        yield client


def test_a_server_beneath_another_application(mounted):
    assert mounted.get("/own").json() == "own"
    assert mounted.put("/lab/thing/it", json=3).status_code == 204
    assert mounted.get("/lab/thing/it").json() == 3
    assert mounted.get("/lab/thing/page").json() == "page"
    assert mounted.get("/thing/it").status_code == 404
    assert mounted.put("/lab/thing/page", json=1).status_code == 405
    assert "/lab/things/" in mounted.get("/lab/nope").json()["detail"]

    td = mounted.get("/lab/thing/").json()
    validate_thing_description(td)
    assert td["base"] == "http://testserver/lab/"
    assert mounted.get(td["properties"]["größe"]["forms"][0]["href"]).json() == 1.5
    assert td["forms"][-1]["href"] == "ws://testserver/lab/thing/ws"

    invoked = mounted.post("/lab/thing/nothing?wait=9").json()
    assert mounted.get(invoked["href"]).json()["status"] == "completed"
    assert mounted.get("/lab/things/").json() == {"thing": "http://testserver/lab/thing/"}
    assert mounted.get("/lab/health").json()["status"] == "running"


def test_documentation_beneath_another_application(mounted):
    assert "/lab/openapi.json" in mounted.get("/lab/docs").text
    document = mounted.get("/lab/openapi.json").json()
    assert document["servers"] == [{"url": "/lab"}]
    assert "/thing/it" in document["paths"]


def test_a_websocket_beneath_another_application(mounted):
    with mounted.websocket_connect("/lab/thing/ws") as websocket:
        websocket.send_json({"messageType": "addPropertyObservation", "data": {"it": True, "nope": True}})
        assert websocket.receive_json()["name"] == "nope"
        mounted.put("/lab/thing/it", json=8)
        assert websocket.receive_json()["data"] == {"it": 8}


def test_a_root_path_that_a_proxy_has_taken_away(client_of):
    client = client_of(Thing)
    proxied = TestClient(client.app, root_path="/lab")
    assert proxied.get("/lab/thing/it").json() == 1
    assert proxied.get("/lab/thing/").json()["base"] == "http://testserver/lab/"
    assert "/lab/openapi.json" in proxied.get("/lab/docs").text


def test_a_path_that_only_begins_like_the_root_path(client_of):
    client = client_of({"oratory": Thing})
    assert TestClient(client.app, root_path="/lab").get("/laboratory/it").status_code == 404


# --- problems -----------------------------------------------------------------------------------------------


def test_problems_have_tracebacks_in_debug_only(client_of, refused):
    assert "traceback" not in refused(client_of(Thing).get("/thing/nope"), 404)
    assert "traceback" in refused(client_of(Thing, debug=True).put("/thing/it", content=b"{", headers=JSON), 422)


def test_each_kind_of_problem_has_a_type_of_its_own(client_of, refused):
    client = client_of(Thing, maximum_body_size=10)
    found = {
        refused(response, status)["type"].removeprefix("urn:labthings:error:")
        for response, status in [
            (client.get("/nope"), 404),
            (client.patch("/thing/it"), 405),
            (client.put("/thing/it", content=b"{", headers=JSON), 422),
            (client.put("/thing/it", content=b"x" * 11, headers=JSON), 413),
            (client.put("/thing/it", content=b"1"), 415),
            (client.get("/thing/it", headers={"Origin": "http://evil.example"}), 403),
        ]
    }
    assert found == {
        "not-found",
        "method-not-allowed",
        "invalid-value",
        "body-too-large",
        "unsupported-media-type",
        "forbidden-origin",
    }
