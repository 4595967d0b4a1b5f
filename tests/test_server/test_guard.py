from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import labthings as lt


class Stage(lt.Thing):
    x: float = lt.property(default=0)

    @lt.action
    def home(self) -> None:
        pass

    @lt.endpoint("get")
    def page(self) -> str:
        return "page"


PANEL = "http://panel.local:8080"
REQUESTS = [
    ("GET", "/stage/x"),
    ("PUT", "/stage/x"),
    ("POST", "/stage/x/reset"),
    ("POST", "/stage/home"),
    ("GET", "/stage/"),
    ("GET", "/things/"),
    ("GET", "/health"),
    ("GET", "/stage/page"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/nope"),
]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://testserver", "http://testserver:81", ""])
def test_pages_of_other_sites_are_refused(client_of, refused, origin):
    client = client_of({"stage": Stage})
    for method, path in REQUESTS:
        response = client.request(method, path, json=1 if method == "PUT" else None, headers={"Origin": origin})
        refused(response, 403, origin, "allowed_origins")
        assert not {name for name in response.headers if name.startswith("access-control")}
    assert client.get("/stage/x").json() == 0
    assert client.get("/stage/actions").json() == []


@pytest.mark.parametrize("origin", ["http://testserver", "HTTP://TESTSERVER"])
def test_the_servers_own_pages_are_not(client_of, origin):
    client = client_of({"stage": Stage})
    response = client.put("/stage/x", json=1, headers={"Origin": origin})
    assert response.status_code == 204
    assert "access-control-allow-origin" not in response.headers


def test_the_servers_own_pages_by_another_name(client_of):
    client = client_of({"stage": Stage})
    headers = {"Host": "192.168.1.5:5000", "Origin": "http://192.168.1.5:5000"}
    assert client.get("/stage/x", headers=headers).status_code == 200
    secure = TestClient(client.app, base_url="https://lab.example.org")
    assert secure.get("/stage/x", headers={"Origin": "https://lab.example.org"}).status_code == 200


@pytest.mark.parametrize("allowed", [[PANEL], ["http://other.local", PANEL], ["*"]])
def test_pages_that_are_allowed(client_of, allowed):
    client = client_of({"stage": Stage}, allowed_origins=allowed)
    for method, path in REQUESTS:
        response = client.request(method, path, json=1 if method == "PUT" else None, headers={"Origin": PANEL})
        assert response.status_code in ((404,) if path == "/nope" else (200, 201, 204))
        assert response.headers["access-control-allow-origin"] == PANEL
        assert "Origin" in response.headers.get_list("vary")
        assert "location" in response.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in response.headers


def test_problems_can_be_read_by_pages_that_are_allowed(client_of, refused):
    client = client_of({"stage": Stage}, allowed_origins=[PANEL])
    for path in ("/stage/x", "/stage/page"):
        response = client.patch(path, headers={"Origin": PANEL})
        refused(response, 405)
        assert response.headers["access-control-allow-origin"] == PANEL


@pytest.mark.parametrize("path", ["/stage/x", "/stage/page", "/nope"])
def test_a_browser_may_ask_beforehand(client_of, path):
    client = client_of({"stage": Stage}, allowed_origins=[PANEL])
    headers = {
        "Origin": PANEL,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,prefer",
    }
    response = client.options(path, headers=headers)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == PANEL
    assert {"PUT", "POST", "DELETE"} <= set(response.headers["access-control-allow-methods"].split(", "))
    assert response.headers["access-control-allow-headers"] == "content-type,prefer"
    assert int(response.headers["access-control-max-age"]) > 0


def test_a_browser_that_asks_beforehand_for_another_site_is_refused(client_of, refused):
    client = client_of({"stage": Stage}, allowed_origins=[PANEL])
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
    response = client.options("/stage/x", headers=headers)
    refused(response, 403, "http://evil.example")
    assert "access-control-allow-origin" not in response.headers


def test_an_origin_is_the_same_whatever_its_case(client_of):
    client = client_of({"stage": Stage}, allowed_origins=[PANEL])
    assert client.get("/stage/x", headers={"Origin": "http://PANEL.local:8080"}).status_code == 200


def open_socket(client: Any, **headers: str) -> str | None:
    with client.websocket_connect("/stage/ws", headers=headers) as websocket:
        websocket.send_text("nonsense")
        return str(websocket.receive_json()["error"]["status"])


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://testserver"])
def test_websockets_of_other_sites_are_refused(client_of, origin):
    with pytest.raises(WebSocketDisconnect) as raised:
        open_socket(client_of({"stage": Stage}), Origin=origin)
    assert raised.value.status_code == 403
    assert raised.value.headers["content-type"] == "application/problem+json"
    assert origin in raised.value.json()["detail"]


def test_websockets_of_ones_own_route_are_refused_to_other_sites_too(client_of):
    client = client_of({"stage": Stage})
    with pytest.raises(WebSocketDisconnect) as raised:
        client.websocket_connect("/anything", headers={"Origin": "http://evil.example"}).__enter__()
    assert raised.value.status_code == 403


def test_what_is_refused_is_logged_once_for_each_site(client_of, caplog, monkeypatch):
    monkeypatch.setattr("labthings.server.guard.MOST_LOGGED", 2)
    client = client_of({"stage": Stage})
    for origin in ("http://evil.example", "http://evil.example", "null", "http://third.example"):
        client.get("/stage/x", headers={"Origin": origin})
    with pytest.raises(WebSocketDisconnect):
        open_socket(client, Origin="http://evil.example")
    first, second = [each for each in caplog.records if each.name == "labthings.server.guard"]
    assert first.levelname == "WARNING"
    assert "A web page of 'http://evil.example' was refused '/stage/x', asked for by testclient" in first.getMessage()
    assert "`allowed_origins`" in first.getMessage()
    assert "'null'" in second.getMessage()
    assert "this was the last" in second.getMessage()


def test_websockets_that_are_allowed(client_of):
    client = client_of({"stage": Stage}, allowed_origins=[PANEL])
    assert open_socket(client, Origin=PANEL) == "400"
    assert open_socket(client, Origin="http://testserver") == "400"
    assert open_socket(client) == "400"
