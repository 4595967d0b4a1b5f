import json
import uuid
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from pydantic import BaseModel, Field
from starlette.testclient import TestClient

import labthings as lt
from labthings.server.identity import server_identity
from labthings.thing_description import validate_thing_description

TD = "application/td+json"
OBSERVE = ["observeproperty", "unobserveproperty"]
MEDIA_TYPES = {"longpoll": "application/json", "sse": "text/event-stream"}
SERIAL = {"name": "serial"}
ARGUMENTS = {  # what the Web Thing Protocol wants to know for an operation, if not the name of a property
    "writeproperty": {"name": "integration_time", "value": 1},
    "readmultipleproperties": {"names": ["serial"]},
    "writemultipleproperties": {"values": {"integration_time": 2}},
    "invokeaction": {"name": "warm_up"},
}


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    depth: Annotated[float, Field(ge=0, description="How deep")] = 1.0


class Outer(BaseModel):
    inner: Inner
    inners: list[Inner] = []


class Tree(BaseModel):
    name: str
    branches: list["Tree"] = []


class Spectrometer(lt.Thing):
    """Measures spectra.

    It needs an hour to warm up.
    """

    integration_time: float = lt.property(default=0.1, gt=0, le=10, unit="s")
    """Integration time

    How long the detector collects light.
    """
    serial: str = lt.property(default="S-1", readonly=True)

    saturated: lt.Event[int] = lt.event()
    """Too much light"""
    lamp_failed: lt.Event[None] = lt.event()

    @lt.property
    def temperature(self) -> float:
        """Temperature of the detector"""
        return -20.0

    @lt.action
    def measure(self, times: Annotated[int, Field(ge=1, description="How often")] = 1) -> list[float]:
        """Measure a spectrum"""
        return [1.0] * times

    @lt.action
    def warm_up(self) -> None:
        """Wait for an hour"""
        lt.cancellable_sleep(3600)

    @lt.action(safe=True, idempotent=True)
    def check(self) -> None:
        """Look whether all is well"""


def td_of(client: Any, path: str = "/spectrometer/", **headers: str) -> dict[str, Any]:
    td: dict[str, Any] = client.get(path, headers=headers).json()
    validate_thing_description(td)
    for form in forms(td):
        assert isinstance(form["op"], list)
        assert form["href"].partition("://")[0] in ("http", "https", "ws", "wss")
    return td


def forms(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return value.get("forms", []) + [form for part in value.values() for form in forms(part)]
    return []


# --- a Thing Description ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/td+json", TD),
        ("application/td+json;q=0.9, */*;q=0.1", TD),
        ("text/html, APPLICATION/TD+JSON", TD),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
    ],
)
def test_its_media_type(client_of, accept, content_type):
    client = client_of({"spectrometer": Spectrometer})
    response = client.get("/spectrometer/", headers={"Accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, content_type)
    assert response.headers["vary"] == "Accept"
    validate_thing_description(response.json())


def test_what_it_says_of_the_thing(client_of):
    td = td_of(client_of({"spectrometer": Spectrometer}))
    assert (td["title"], td["description"]) == ("Spectrometer", "Measures spectra.\n\nIt needs an hour to warm up.")
    assert td["base"] == "http://testserver/"
    assert td["security"] == ["nosec_sc"]
    assert uuid.UUID(td["id"].removeprefix("urn:uuid:")).version == 5
    links = {link["rel"]: link["href"] for link in td["links"]}
    assert links == {
        "collection": "http://testserver/.well-known/wot",
        "service-doc": "http://testserver/docs",
        "urn:labthings:rel:blobs": "http://testserver/blob/",
    }


def test_what_it_says_of_properties(client_of):
    properties = td_of(client_of({"spectrometer": Spectrometer}))["properties"]
    time = properties["integration_time"]
    assert (time["type"], time["exclusiveMinimum"], time["maximum"], time["default"]) == ("number", 0, 10, 0.1)
    assert (time["unit"], time["readOnly"], time["observable"]) == ("s", False, True)
    assert (time["title"], time["description"]) == ("Integration time", "How long the detector collects light.")
    assert [(form["href"], form["op"], form.get("subprotocol")) for form in time["forms"]] == [
        ("http://testserver/spectrometer/integration_time", ["readproperty", "writeproperty"], None),
        ("http://testserver/spectrometer/integration_time/observe", OBSERVE, "longpoll"),
        ("http://testserver/spectrometer/integration_time", OBSERVE, "sse"),
        ("ws://testserver/spectrometer/ws", ["readproperty", "writeproperty", *OBSERVE], "webthingprotocol"),
    ]
    assert properties["serial"]["readOnly"] is True
    assert properties["serial"]["forms"][0]["op"] == ["readproperty"]
    assert properties["temperature"]["observable"] is False
    assert [form["op"] for form in properties["temperature"]["forms"]] == [["readproperty"], ["readproperty"]]


def test_what_it_says_of_actions(client_of):
    client = client_of({"spectrometer": Spectrometer})
    actions = td_of(client)["actions"]
    measure, check = actions["measure"], actions["check"]
    assert (measure["title"], measure["safe"], measure["idempotent"]) == ("Measure a spectrum", False, False)
    assert measure["input"]["properties"]["times"]["minimum"] == 1
    assert "required" not in measure["input"]
    assert measure["output"] == {"type": "array", "items": {"type": "number"}}
    assert (check["safe"], check["idempotent"], check["synchronous"]) == (True, True, False)
    assert not {"input", "output"} & check.keys()
    assert {op for form in check["forms"] for op in form["op"]} == {"invokeaction", "queryaction", "cancelaction"}


def test_its_forms_work(client_of):
    client = client_of({"spectrometer": Spectrometer})
    td = td_of(client)
    for name, affordance in td["properties"].items():
        form = affordance["forms"][0]
        assert "readproperty" in form["op"]
        assert client.get(form["href"]).json() == client.get("/spectrometer/properties").json()[name]
    invoked = client.post(td["actions"]["measure"]["forms"][0]["href"], json={"times": 2})
    assert invoked.status_code == 201
    query = next(form["href"] for form in td["actions"]["measure"]["forms"] if "queryaction" in form["op"])
    assert client.get(query.replace("{id}", invoked.json()["id"])).json()["id"] == invoked.json()["id"]
    top = {op: form["href"] for form in reversed(td["forms"]) for op in form["op"]}
    assert client.get(top["readallproperties"]).status_code == 200
    assert client.put(top["writemultipleproperties"], json={"integration_time": 1}).status_code == 204
    assert len(client.get(top["queryallactions"]).json()) == 1
    assert top["observeallproperties"] == "http://testserver/spectrometer/properties"


def test_its_streaming_forms_work(client_of):
    client = client_of({"spectrometer": Spectrometer})
    td = td_of(client)
    observed = [td["properties"]["serial"], td["events"]["saturated"], td["events"]["lamp_failed"], td]
    streaming = [form for each in observed for form in each["forms"] if form.get("subprotocol") in MEDIA_TYPES]
    for form in streaming:
        media_type = MEDIA_TYPES[form["subprotocol"]]
        head = client.head(form["href"], headers={"Accept": media_type})
        assert (head.status_code, head.headers["content-type"]) == (200, media_type), form
    assert len(streaming) == 8


def test_its_websocket_forms_work(client_of):
    client = client_of({"spectrometer": Spectrometer})
    td = td_of(client)
    affordances = [td, *td["properties"].values(), *td["actions"].values()]
    sockets = [form for each in affordances for form in each["forms"] if form["href"].startswith("ws:")]
    assert len(sockets) == len(affordances)
    assert {form["subprotocol"] for form in sockets} == {"webthingprotocol"}
    [href] = {form["href"] for form in sockets}
    request, started = {"thingID": td["id"], "messageID": "1", "messageType": "request"}, {}
    with client.websocket_connect(href, ["webthingprotocol"]) as websocket:
        assert websocket.accepted_subprotocol == "webthingprotocol"
        operations = {operation for form in sockets for operation in form["op"]}
        for operation in ("invokeaction", *sorted(operations - {"invokeaction"})):
            arguments = started if operation in ("queryaction", "cancelaction") else ARGUMENTS.get(operation, SERIAL)
            websocket.send_json({**request, "operation": operation, **arguments})
            while (answer := websocket.receive_json())["messageType"] != "response":
                pass
            assert answer["operation"] == operation
            assert "error" not in answer, answer
            if operation == "invokeaction":
                started = {"name": "warm_up", "actionID": answer["actionID"]}


KINDS = [
    Optional[int],  # noqa: UP045
    Union[int, str, None],  # noqa: UP007
    Literal["a", 1, None],
    Colour,
    Inner,
    Outer,
    Tree,
    Annotated[int, Field(ge=1, lt=10, multiple_of=3)],
    Annotated[str, Field(min_length=1, max_length=3, pattern="^a")],
    dict[str, int],
    Mapping[str, Any],
    list[list[float]],
    tuple[int, str],
    tuple[int, ...],
    set[int],
    Any,
    bool | float,
    bytes,
    None,
]


def taking(kind: Any) -> type[lt.Thing]:
    class Thing(lt.Thing):
        @lt.property
        def it(self) -> kind:
            return None

        @it.setter
        def _set_it(self, value: kind) -> None:
            pass

        @lt.action
        def do(self, argument: kind) -> kind:
            return argument

    return Thing


def test_it_is_valid_for_every_kind_of_type(client_of):
    client = client_of({f"kind_{number}": taking(kind) for number, kind in enumerate(KINDS)})
    for name, url in client.get("/things/").json().items():
        text = json.dumps(td_of(client, url))
        assert not {"$ref", "anyOf", "allOf"} & set(text.split('"')), name
    assert len(client.get("/openapi.json").json()["paths"]) > 5 * len(KINDS)


# --- where the client sees the server -----------------------------------------------------------------------


def hrefs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["href"]] if isinstance(value.get("href"), str) else []
        return own + [href for part in value.values() for href in hrefs(part)]
    return [href for part in value for href in hrefs(part)] if isinstance(value, list) else []


def test_urls_are_those_of_the_request(client_of):
    client = client_of({"spectrometer": Spectrometer})
    for host in ("lab.example.org:8080", "127.0.0.1:5000", "[::1]:5000"):
        td = td_of(client, Host=host)
        assert td["base"] == f"http://{host}/"
        assert all(href.split("://")[1].startswith(f"{host}/") for href in hrefs(td))


def test_urls_are_those_of_the_request_over_tls(client_of):
    client = client_of({"spectrometer": Spectrometer})
    with_tls = TestClient(client.app, base_url="https://lab.example.org")
    td = td_of(with_tls)
    assert td["base"] == "https://lab.example.org/"
    schemes = {href.partition(":")[0] for href in hrefs(td)}
    assert schemes == {"https", "wss"}


def test_any_number_of_invented_hosts_is_answered(client_of):
    client = client_of({"spectrometer": Spectrometer})
    bases = [td_of(client, Host=f"h{number}")["base"] for number in range(40)]
    assert bases == [f"http://h{number}/" for number in range(40)]


def test_a_prefix_is_in_front_of_every_url_but_the_servers_own(client_of):
    client = client_of({"spectrometer": Spectrometer}, api_prefix="/api/v1")
    td = td_of(client, "/api/v1/spectrometer/")
    assert td["base"] == "http://testserver/"
    own = {"http://testserver/.well-known/wot", "http://testserver/docs"}
    assert all("://testserver/api/v1/" in href for href in set(hrefs(td)) - own)
    invoked = client.post("/api/v1/spectrometer/check?wait=9").json()
    assert invoked["action"] == "/api/v1/spectrometer/check"
    assert invoked["href"].startswith("http://testserver/api/v1/action_invocations/")
    assert client.get(invoked["href"]).json()["status"] == "completed"
    assert client.get("/api/v1/things/").json() == {"spectrometer": "http://testserver/api/v1/spectrometer/"}
    assert client.get("/api/v1/things").json() == [td]
    assert client.get(f"/api/v1/things/{td['id']}").json() == td
    assert client.get("/api/v1/thing_descriptions/").json() == {"spectrometer": td}
    for path in ("/health", "/.well-known/wot", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200
    assert client.get("/spectrometer/").status_code == 404
    with client.websocket_connect("/api/v1/spectrometer/ws") as websocket:
        websocket.send_text("nonsense")
        assert websocket.receive_json()["error"]["status"] == "400"


# --- the directory ------------------------------------------------------------------------------------------


def test_urls_by_name(client_of):
    client = client_of({"a": Spectrometer, "b": lt.Thing})
    response = client.get("/things/")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"a": "http://testserver/a/", "b": "http://testserver/b/"}


def test_descriptions_by_name(client_of):
    client = client_of({"a": Spectrometer, "b": lt.Thing})
    assert client.get("/thing_descriptions/").json() == {"a": td_of(client, "/a/"), "b": td_of(client, "/b/")}
    assert client.get("/thing_descriptions").json().keys() == {"a", "b"}
    assert client_of({}).get("/thing_descriptions/").json() == {}


def test_the_directory_is_sorted_by_id(client_of):
    client = client_of(dict.fromkeys("abcde", lt.Thing))
    response = client.get("/things")
    assert response.headers["content-type"] == "application/ld+json"
    ids = [td["id"] for td in response.json()]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5


def test_pages_of_the_directory(client_of):
    client = client_of(dict.fromkeys("abcde", lt.Thing), api_prefix="/api")
    everything, found, url = client.get("/api/things").json(), [], "/api/things?limit=2"
    while url:
        response = client.get(url)
        found.append(len(response.json()))
        assert response.json() == everything[sum(found[:-1]) : sum(found)]
        url = response.links["next"]["url"] if "link" in response.headers else None
    assert found == [2, 2, 1]
    assert client.get("/api/things?offset=9").json() == []


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "offset=-1"])
def test_pages_that_there_cannot_be(client_of, refused, query):
    refused(client_of(lt.Thing).get(f"/things?{query}"), 400, f"'{query.partition('=')[0]}'")


def test_one_of_the_directory(client_of, refused):
    client = client_of({"a": Spectrometer, "b": lt.Thing})
    td = td_of(client, "/a/")
    response = client.get(f"/things/{td['id']}")
    assert (response.headers["content-type"], response.json()) == (TD, td)
    assert client.get("/things/a").json() == td
    assert client.get(f"/things/{td['id'].replace(':', '%3A')}").json() == td  # as URI templates have it
    refused(client.get("/things/urn:uuid:0"), 404, "urn:uuid:0")


def test_the_directory_describes_itself(client_of):
    client = client_of({"a": Spectrometer, "b": lt.Thing})
    td = td_of(client, "/.well-known/wot", Accept=TD)
    assert client.get("/.well-known/wot", headers={"Accept": TD}).headers["content-type"] == TD
    assert client.get(td["properties"]["things"]["forms"][0]["href"].partition("{")[0]).json() == [
        client.get(f"/things/{id}").json() for id in sorted(td_of(client, f"/{name}/")["id"] for name in "ab")
    ]
    assert {client.get(link["href"]).json()["title"] for link in td["links"]} == {"Spectrometer", "Thing"}


def test_ids_outlive_the_server(client_of):
    def ids() -> list[str]:
        server_identity.cache_clear()
        client = client_of({"a": Spectrometer})
        return [client.get(path).json()["id"] for path in ("/a/", "/.well-known/wot")]

    assert ids() == ids()


PAGES = ["/things/", "/things", "/things?limit=1", "/thing_descriptions/", "/.well-known/wot", "/a/", "/things/a"]


@pytest.mark.parametrize("accept", [TD, "*/*"])
def test_head_tells_what_get_would(client_of, accept):
    client = client_of({"a": Spectrometer, "b": lt.Thing})
    for path in (*PAGES, "/things/none", "/things?limit=0"):
        got, told = (ask(path, headers={"Accept": accept}) for ask in (client.get, client.head))
        assert (told.status_code, told.headers) == (got.status_code, got.headers)
        assert len(told.content) == 0 < len(got.content) == int(told.headers["content-length"])


# --- health -------------------------------------------------------------------------------------------------


def test_the_health_of_what_runs(client_of):
    response = client_of({"a": Spectrometer}).get("/health")
    assert response.json() == {"status": "running", "things": {"a": {"state": "running"}}}
    assert response.headers["cache-control"] == "no-store"
    assert client_of({}).get("/health").json() == {"status": "running", "things": {}}


def test_the_health_of_what_does_not(client_of):
    class Unmakeable(lt.Thing):
        def __init__(self, **kwargs: Any) -> None:
            raise OSError("no camera")

    client = client_of({"a": Spectrometer, "camera": Unmakeable})
    assert client.get("/health").json() == {
        "status": "degraded",
        "things": {"a": {"state": "running"}, "camera": {"state": "failed", "error": "OSError: no camera"}},
    }


def test_methods_of_the_directory(client_of, refused):
    client = client_of({"a": Spectrometer})
    for path in ("/things/", "/things", "/things/a", "/thing_descriptions/", "/.well-known/wot", "/health", "/a/"):
        refusal = client.post(path, json={})
        refused(refusal, 405, "POST")
        assert refusal.headers["allow"] == "GET, HEAD, OPTIONS"
        assert (client.head(path).status_code, client.head(path).content) == (200, b"")
