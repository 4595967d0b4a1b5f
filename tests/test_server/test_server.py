import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, HTTPException, WebSocket
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

import labthings as lt
from labthings.exceptions import ConfigurationError, NotFoundError, ServerNotRunningError
from labthings.thing_description import validate_thing_description


class Camera(lt.Thing):
    exposure: float = lt.property(default=0.1)


class BetterCamera(Camera):
    pass


class Stage(lt.Thing):
    pass


def server_of(things: Any, **config: Any) -> lt.ThingServer:
    return lt.ThingServer.from_things(things, **config)


# --- making one ---------------------------------------------------------------------------------------------


def test_ways_to_make_one(tmp_path):
    config: dict[str, Any] = {"things": {"camera": Camera}, "settings_folder": str(tmp_path)}
    for server in (lt.ThingServer(config), lt.ThingServer(lt.ThingServerConfig(**config)), server_of(**config)):
        assert list(server.things) == ["camera"]
        assert isinstance(server.things["camera"], Camera)
        assert not server.debug
    with pytest.deprecated_call():
        assert list(lt.ThingServer.from_config(config, debug=True).things) == ["camera"]
    with pytest.deprecated_call():
        assert list(lt.ThingServer(**config).things) == ["camera"]
    with pytest.raises(TypeError, match="settings_folder"):
        lt.ThingServer({"things": {}}, settings_folder="x")


def test_ways_to_say_what_class_a_thing_has():
    class Configured(lt.Thing):
        def __init__(self, volume: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.volume = volume

    server = server_of(
        {
            "by_class": Stage,
            "by_name": "labthings.thing:Thing",
            "by_cls": {"cls": Configured, "kwargs": {"volume": 3}},
            "by_config": lt.ThingConfig(cls=Configured, kwargs={"volume": 4}),
        }
    )
    assert [type(thing).__name__ for thing in server.things.values()] == ["Stage", "Thing", "Configured", "Configured"]
    assert (server.things["by_cls"].volume, server.things["by_config"].volume) == (3, 4)


def test_a_configuration_that_cannot_be_used():
    with pytest.raises(ConfigurationError, match="allowed_origin"):
        server_of({"camera": Camera}, allowed_origin="x")
    with pytest.raises(ConfigurationError, match="things"):
        lt.ThingServer({})


# --- what there is ------------------------------------------------------------------------------------------


def test_things_by_class():
    server = server_of({"one": Camera, "other": BetterCamera, "stage": Stage})
    assert [thing.name for thing in server.things_by_class(Camera)] == ["one", "other"]
    assert server.thing_by_class(BetterCamera).name == "other"
    with pytest.raises(NotFoundError, match="2 Things of class Camera"):
        server.thing_by_class(Camera)
    with pytest.raises(LookupError, match="0 Things of class Absent"):
        server.thing_by_class(type("Absent", (lt.Thing,), {}))


def test_paths():
    server = server_of({"camera": Camera}, api_prefix="/api/v1")
    assert server.api_prefix == "/api/v1"
    assert server.path_for_thing("camera") == server.things["camera"].path == "/api/v1/camera/"
    with pytest.raises(LookupError, match="'stage'"):
        server.path_for_thing("stage")


def test_what_the_configuration_says(tmp_path):
    server = server_of({"camera": Camera}, settings_folder=str(tmp_path), application_config={"a": 1})
    assert server.application_config == {"a": 1}
    assert server.settings_folder == tmp_path
    assert server_of({}).application_config is None


def test_statuses_before_during_and_after(tmp_path):
    server = server_of({"camera": Camera}, settings_folder=str(tmp_path))
    assert server.statuses["camera"].state == "stopped"
    with server.test_client() as client:
        assert server.statuses["camera"].state == "running"
        assert client.get("/camera/exposure").status_code == 200
    assert server.statuses["camera"].state == "stopped"


def test_before_it_is_started_it_describes_and_does_no_more(tmp_path, refused):
    server = server_of({"camera": Camera}, settings_folder=str(tmp_path))
    client = server.test_client()
    validate_thing_description(client.get("/camera/").json())
    assert client.get("/health").json()["things"]["camera"]["state"] == "stopped"
    refused(client.get("/camera/exposure"), 503, "camera", "not started")
    refused(client.put("/camera/exposure", json=1), 503, "camera", "not started")


def test_it_can_be_started_again(tmp_path):
    class Counter(lt.Thing):
        entered = 0

        def __enter__(self):
            self.entered += 1
            return self

        @lt.action
        def count(self) -> int:
            return self.entered

    server = server_of({"counter": Counter}, settings_folder=str(tmp_path))
    for number in (1, 2, 3):
        with server.test_client() as client:
            assert client.post("/counter/count?wait=9").json()["output"] == number
    assert len(server.action_manager.invocations) == 3


def test_the_identity_is_kept_with_the_settings(tmp_path):
    server = server_of({}, settings_folder=str(tmp_path / "new"))
    identity = server.identity
    assert uuid.UUID((tmp_path / "new" / "server-id.txt").read_text().strip()) == identity
    assert server_of({}, settings_folder=str(tmp_path / "other")).identity != server.identity


def test_where_nothing_can_be_written_there_is_an_identity_all_the_same(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "settings")
    identities = {server_of({}, settings_folder=folder).identity for _ in range(2)}
    assert len(identities) == 1
    assert "identity" in caplog.text


def test_the_switch_interval_is_set_while_it_runs(tmp_path):
    before = sys.getswitchinterval()
    with server_of({}, settings_folder=str(tmp_path), switch_interval=0.001).test_client():
        assert sys.getswitchinterval() == pytest.approx(0.001)
    assert sys.getswitchinterval() == before


def test_threads_end_with_it(tmp_path):
    class Thing(lt.Thing):
        @lt.property
        def slow(self) -> int:
            return 1

        @lt.action
        def act(self) -> None:
            pass

    before = set(threading.enumerate())
    with server_of({"thing": Thing}, settings_folder=str(tmp_path)).test_client() as client:
        client.get("/thing/slow")
        client.post("/thing/act?wait=9")
    assert set(threading.enumerate()) <= before


# --- the event loop, for Things -----------------------------------------------------------------------------


def test_things_reach_the_event_loop(client_of):
    class Thing(lt.Thing):
        @lt.action
        def ask(self) -> bool:
            async def thread(offset: int) -> int:
                return threading.get_ident() + offset

            interface = self._thing_server_interface
            later = interface.start_async_task_soon(thread, 1)
            now = interface.call_async_task(thread, 0)
            return later.result(10) == now + 1 and now != threading.get_ident()

    client = client_of(Thing)
    assert client.post("/thing/ask?wait=9").json()["output"] is True


def test_there_is_no_event_loop_before_the_start():
    server = server_of({"camera": Camera})
    assert server.blocking_portal is None
    with pytest.raises(ServerNotRunningError, match="camera"):
        server.things["camera"]._thing_server_interface.call_async_task(None)


# --- endpoints ----------------------------------------------------------------------------------------------


class Point(BaseModel):
    x: int


class Files(lt.Thing):
    """Serves files."""

    title_of_all: str = lt.property(default="x")
    calls: list[str]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.calls = []

    @lt.endpoint("get")
    def text(self) -> str:
        return f"of {self.name}"

    @lt.endpoint("get", "file/{name:path}", response_class=PlainTextResponse)
    async def file(self, name: str, lines: int = 2) -> str:
        return "\n".join([name] * lines)

    @lt.endpoint("post", "/points", status_code=202)
    def points(self, point: Point) -> Point:
        return Point(x=point.x + 1)

    @lt.endpoint("delete", "points")
    def forget(self) -> None:
        raise HTTPException(418, "I'm a teapot", {"X-Tea": "green"})

    @lt.endpoint("get")
    def fail(self) -> None:
        raise OSError("disk full")

    @lt.endpoint("get")
    def missing(self) -> None:
        raise NotFoundError("There is no such file.")

    @lt.endpoint("post", "title_of_all")
    def post_to_a_property(self) -> str:
        return "posted"


def test_endpoints_work_as_fastapi_has_them(client_of):
    client = client_of({"files": Files})
    assert client.get("/files/text").json() == "of files"
    read = client.get("/files/file/a/b.txt", params={"lines": 3})
    assert (read.text, read.headers["content-type"]) == ("a/b.txt\na/b.txt\na/b.txt", "text/plain; charset=utf-8")
    posted = client.post("/files/points", json={"x": 1})
    assert (posted.status_code, posted.json()) == (202, {"x": 2})
    assert client.server.things["files"].text() == "of files"


def test_endpoints_are_documented_but_not_in_the_thing_description(client_of):
    client = client_of({"files": Files})
    assert {"get"} == client.get("/openapi.json").json()["paths"]["/files/text"].keys()
    td = client.get("/files/").json()
    validate_thing_description(td)
    assert list(td["properties"]) == ["title_of_all"]
    assert not td["actions"]


def test_errors_of_endpoints_are_problems(client_of, refused):
    client = client_of({"files": Files})
    problem = refused(client.get("/files/file/a?lines=many"), 422, "/files/file/a", "lines")
    assert problem["errors"][0]["loc"] == ["query", "lines"]
    refused(client.post("/files/points", json={"x": "no"}), 422, "body.x")
    refused(client.post("/files/points", content=b"{", headers={"content-type": "application/json"}), 422, "JSON")
    refused(client.get("/files/missing"), 404, "no such file")
    refused(client.patch("/files/text"), 405)
    teapot = client.delete("/files/points")
    assert (teapot.headers["x-tea"], refused(teapot, 418)["detail"]) == ("green", "I'm a teapot")


def test_what_an_endpoint_raises_is_a_problem(serve_live, refused):
    live = serve_live({"files": Files})
    with httpx.Client(base_url=live.url) as client:
        problem = refused(client.get("/files/fail"), 500, "disk full")
        assert problem["title"] == "OSError"
        assert "traceback" not in problem
        assert client.get("/files/text").json() == "of files"


def test_an_endpoint_beside_an_affordance_with_another_method(client_of, refused):
    client = client_of({"files": Files})
    assert client.post("/files/title_of_all").json() == "posted"
    assert client.get("/files/title_of_all").json() == "x"
    assert client.options("/files/title_of_all").headers["allow"] == "GET, HEAD, OPTIONS, POST, PUT"
    refused(client.delete("/files/title_of_all"), 405)


@pytest.mark.parametrize("path", ["exposure", "properties", "", "/exposure"])
def test_an_endpoint_that_an_affordance_is_in_the_way_of(path):
    class Bad(Camera):
        @lt.endpoint("get", path)
        def page(self) -> str:
            return ""

    with pytest.raises(ConfigurationError, match=r"'Bad\.page'"):
        server_of({"camera": Bad})


def test_two_endpoints_with_one_path():
    class Bad(lt.Thing):
        @lt.endpoint("get", "page")
        def one(self) -> str:
            return ""

        @lt.endpoint("get", "/page")
        def other(self) -> str:
            return ""

    with pytest.raises(ConfigurationError, match=r"'Bad\.other' and 'Bad\.one'"):
        server_of({"thing": Bad})


def test_an_endpoint_keeps_its_own_dependencies(client_of, refused):
    def refuse() -> None:
        raise HTTPException(401, "who are you?")

    class Thing(lt.Thing):
        @lt.endpoint("get", dependencies=[Depends(refuse)])
        def page(self) -> str:
            return ""

    refused(client_of(Thing).get("/thing/page"), 401, "who are you?")


@pytest.mark.parametrize("place", ["__init__", "__enter__"])
def test_endpoints_of_a_thing_that_failed_are_unavailable(client_of, refused, place):
    def fail(self: Any, **kwargs: Any) -> None:
        raise OSError("no disk")

    client = client_of({"files": type("Broken", (Files,), {place: fail})})
    for path in ("/files/text", "/files/file/a", "/files/file/a?lines=x"):
        refused(client.get(path), 503, "files", "no disk")
    refused(client.post("/files/title_of_all"), 503, "no disk")


# --- the application ----------------------------------------------------------------------------------------


def test_routes_of_ones_own(tmp_path):
    class Thing(lt.Thing):
        state: str = lt.property(default="made")

        def __enter__(self):
            self.state = "entered"
            return self

    server = server_of({"thing": Thing}, settings_folder=str(tmp_path))

    @server.app.get("/own/{number}")
    def own(number: int) -> int:
        return number

    with server.test_client() as client:
        assert client.get("/thing/state").json() == "entered"
        assert client.get("/own/3").json() == 3
        assert client.get("/own/x").json()["title"] == "InvalidValueError"
        assert "/own/{number}" in client.get("/openapi.json").json()["paths"]


def test_a_websocket_route_of_ones_own(tmp_path):
    server = server_of({"camera": Camera}, settings_folder=str(tmp_path))

    @server.app.websocket("/own")
    async def own(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")

    with server.test_client() as client, client.websocket_connect("/own") as websocket:
        assert websocket.receive_text() == "hello"


def test_middleware_of_ones_own(tmp_path):
    server = server_of({"camera": Camera}, settings_folder=str(tmp_path))
    server.app.add_middleware(GZipMiddleware, minimum_size=1)

    @server.app.get("/own")
    def own() -> str:
        return "x" * 1000

    with server.test_client() as client:
        assert client.get("/own").headers["content-encoding"] == "gzip"
        assert client.get("/camera/exposure").json() == 0.1


def test_files_of_ones_own(tmp_path):
    (tmp_path / "page.html").write_text("<p>hello")
    server = server_of({"camera": Camera}, settings_folder=str(tmp_path / "settings"))
    server.app.mount("/static", StaticFiles(directory=Path(tmp_path)))
    with server.test_client() as client:
        assert client.get("/static/page.html").text == "<p>hello"
        assert client.get("/static/nope.html").json()["title"] == "NotFoundError"
