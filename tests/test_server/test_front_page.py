"""People who open the server's address in a web browser see what there is; programs are told where to look."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.responses import HTMLResponse

import labthings as lt
from labthings.server import ThingServer

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class Pump(lt.Thing):
    """Pumps <b>water</b> & oil."""

    @lt.endpoint("get", "panel", response_class=HTMLResponse)
    def show(self) -> str:
        """The <front> panel"""
        return "<p>Hello</p>"

    @lt.endpoint("get", "parts/{number}", response_class=HTMLResponse)
    def part(self, number: int) -> str:
        return f"<p>{number}</p>"

    @lt.endpoint("get")
    def data(self) -> str:
        return ""


class Broken(lt.Thing):
    def __enter__(self) -> None:
        raise OSError("<script>alert(1)</script>")


class Camera(lt.Thing):
    stream: lt.outputs.mjpeg_stream.MJPEGStream = lt.outputs.mjpeg_stream.MJPEGStreamDescriptor()


@pytest.mark.parametrize(
    ("prefix", "path"), [("", "/"), ("/api/v1", "/"), ("/api/v1", "/api/v1/"), ("/api/v1", "/api/v1")]
)
def test_people_see_the_things(client_of: Callable[..., Any], prefix: str, path: str) -> None:
    client = client_of({"pump": Pump, "broken": Broken, "camera": Camera}, api_prefix=prefix)
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "Accept" in answer.headers["vary"]
    assert "Pumps &lt;b&gt;water&lt;/b&gt; &amp; oil." in answer.text
    assert '<span class="state failed">failed</span>' in answer.text
    assert "OSError: &lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert f"{prefix}/camera/stream/viewer" in answer.text
    assert f'<a href="{prefix}/pump/panel">The &lt;front&gt; panel</a>' in answer.text
    assert "parts" not in answer.text
    assert "/data" not in answer.text
    links = re.findall(r'href="([^"]*)"', answer.text)
    assert {f"{prefix}/pump/", f"{prefix}/things/", f"{prefix}/things", "/docs", "/health"} <= set(links)
    assert {link: client.get(link).status_code for link in links} == dict.fromkeys(links, 200)
    assert not re.search(r"(src|url\()|https?:", answer.text), "it needs nothing from elsewhere"


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html", ""])
def test_programs_are_told_where_the_things_are(
    client_of: Callable[..., Any], refused: Callable[..., Any], accept: str
) -> None:
    client = client_of({"pump": Pump}, api_prefix="/api")
    refused(client.get("/", headers={"accept": accept}), 404, "nothing at /", "/api/things/")


def test_it_is_for_the_servers_own_address_and_for_reading(client_of: Callable[..., Any]) -> None:
    client = client_of({"pump": Pump})
    assert client.get("/nothing", headers=BROWSER).status_code == 404
    assert client.post("/", headers=BROWSER).status_code == 404
    head = client.head("/", headers=BROWSER)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(client.get("/", headers=BROWSER).content)


def test_pages_of_other_sites_cannot_read_it(client_of: Callable[..., Any]) -> None:
    assert client_of({"pump": Pump}).get("/", headers={**BROWSER, "origin": "http://evil.example"}).status_code == 403


def test_an_application_may_have_its_own_page(tmp_path: Any) -> None:
    server = ThingServer.from_things({"pump": Pump}, settings_folder=str(tmp_path))
    server.app.add_api_route("/", lambda: "mine", methods=["GET"])
    with server.test_client() as client:
        assert client.get("/", headers=BROWSER).json() == "mine"


def test_behind_a_proxy_its_links_lead_through_that(tmp_path: Any) -> None:
    server = ThingServer.from_things({"pump": Pump}, settings_folder=str(tmp_path))
    with server.test_client(root_path="/lab 1") as client:
        text = client.get("/", headers=BROWSER).text
        assert 'href="/lab%201/pump/"' in text
        assert 'href="/lab%201/docs"' in text


def test_a_server_without_things(client_of: Callable[..., Any]) -> None:
    assert "0 Things." in client_of({}).get("/", headers=BROWSER).text
