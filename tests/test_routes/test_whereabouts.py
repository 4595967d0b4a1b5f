"""Long-polling by clients that close their connection after each answer: they miss nothing between two polls."""

import anyio
import pytest

import labthings as lt
from labthings.routes import whereabouts

NODE = {"Connection": "close", "User-Agent": "node-fetch"}
PYTHON = {"Connection": "close", "User-Agent": "tornado"}
NOW = "?wait=0"


class Stage(lt.Thing):
    speed: int = lt.property(default=1)
    stopped: lt.Event[str] = lt.event()


@pytest.fixture
def client(client_of):
    return client_of({"stage": Stage})


@pytest.fixture
def stage(client):
    return client.server.things["stage"]


def test_a_change_between_two_polls_is_told_by_the_second(client, stage):
    client.head("/stage/speed/observe", headers=NODE)
    for speed in (2, 3):
        stage.speed = 0
        stage.speed = speed
        answer = client.get("/stage/speed/observe", headers=NODE)
        assert (answer.status_code, answer.json()) == (200, speed)
    assert client.get(f"/stage/speed/observe{NOW}", headers=NODE).status_code == 204


def test_each_event_between_two_polls_is_told(client, stage):
    client.head("/stage/stopped/observe", headers=NODE)
    for why in ("limit", "button", "power"):
        stage.stopped.emit(why)
    heard = [client.get("/stage/stopped/observe", headers=NODE).json() for _ in range(3)]
    assert heard == ["limit", "button", "power"]
    assert client.get(f"/stage/stopped/observe{NOW}", headers=NODE).status_code == 204


def test_a_poll_that_was_given_up_is_taken_up_by_the_next(client, stage):
    path, headers = "/stage/stopped/observe", [(name.lower().encode(), text.encode()) for name, text in NODE.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers, "scheme": "http"}

    async def disconnect():
        return {"type": "http.disconnect"}

    async def forget(message):
        raise AssertionError(message)

    async def give_up():
        with anyio.fail_after(10):
            await client.server.app({**scope, "client": ("testclient", 1)}, disconnect, forget)

    client.portal.call(give_up)
    stage.stopped.emit("limit")
    assert client.get(path, headers=NODE).json() == "limit"


def test_who_subscribes_again_hears_of_nothing_before(client, stage):
    client.head("/stage/stopped/observe", headers=NODE)
    stage.stopped.emit("limit")
    client.head("/stage/stopped/observe", headers=NODE)
    assert client.get(f"/stage/stopped/observe{NOW}", headers=NODE).status_code == 204
    stage.stopped.emit("button")
    assert client.get("/stage/stopped/observe", headers=NODE).json() == "button"


@pytest.mark.parametrize("headers", [PYTHON, {"User-Agent": "node-fetch"}], ids=["another look", "an open connection"])
def test_a_client_that_comes_for_the_first_time_hears_of_nothing_before(client, stage, headers):
    client.head("/stage/stopped/observe", headers=NODE)
    stage.stopped.emit("limit")
    assert client.get(f"/stage/stopped/observe{NOW}", headers=headers).status_code == 204


def test_a_client_that_stays_away_is_forgotten(client, stage, monkeypatch):
    monkeypatch.setattr(whereabouts, "RETURN_SECONDS", 0.0)
    client.head("/stage/stopped/observe", headers=NODE)
    stage.stopped.emit("limit")
    assert client.get(f"/stage/stopped/observe{NOW}", headers=NODE).status_code == 204
