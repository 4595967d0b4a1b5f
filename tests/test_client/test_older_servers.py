"""Servers that answer as FastAPI does by itself, and that do not know how to wait."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Body, FastAPI, HTTPException
from starlette.testclient import TestClient

from labthings.client import ThingClient
from labthings.exceptions import (
    ClientPropertyError,
    FailedToInvokeActionError,
    GlobalLockBusyError,
    InvocationCancelledError,
    ServerActionError,
)

ENDS: dict[str, dict[str, Any]] = {
    "count": {"status": "completed", "output": 0},
    "stop": {"status": "cancelled"},
    "crash": {"status": "error", "error_class": "ValueError"},
    "lock": {"status": "error", "error_class": "GlobalLockBusyError"},
    "vanish": {"status": "error"},
}


def older_app() -> FastAPI:
    app = FastAPI()
    asked: dict[str, int] = {}

    @app.get("/thing/")
    def describe() -> dict[str, Any]:
        def forms(name: str, *op: str) -> list[dict[str, Any]]:
            return [{"href": f"/thing/{name}", "op": list(op)}]

        return {
            "@context": "https://www.w3.org/2022/wot/td/v1.1",
            "title": "Older",
            "base": "http://testserver/",
            "security": "no_security",
            "properties": {"value": {"type": "integer", "forms": forms("value", "readproperty", "writeproperty")}},
            "actions": {
                name: {
                    "title": name,
                    "input": {"type": "object", "properties": {}},
                    "forms": forms(name, "invokeaction"),
                }
                for name in (*ENDS, "refuse")
            },
        }

    @app.get("/thing/value")
    def read() -> int:
        return 3

    @app.put("/thing/value")
    def write(value: int = Body()) -> None:
        raise HTTPException(409, "not now")

    @app.post("/thing/refuse")
    def refuse() -> None:
        raise HTTPException(503, {"reason": "tired"})

    @app.post("/thing/{name}", status_code=201)
    def invoke(name: str) -> dict[str, Any]:
        asked[name] = 0
        return {"status": "pending", "links": [{"rel": "self", "href": f"/action_invocations/{name}"}], "log": []}

    @app.get("/action_invocations/{name}")
    def show(name: str) -> dict[str, Any]:
        asked[name] += 1
        record = {
            "message": f"step {asked[name]}",
            "levelname": "INFO",
            "levelno": 20,
            "created": "2026-01-02T03:04:05",
        }
        if asked[name] < 3:
            return {"status": "running", "log": [record]}
        end = dict(ENDS[name])
        kind = end.pop("error_class", None)
        failed = {"message": "it broke", "levelno": 40, "exception_type": kind, "traceback": "Traceback: there"}
        return {"log": [failed, record] if kind else [record], "output": None, **end}

    return app


@pytest.fixture
def client() -> Iterator[Any]:
    with TestClient(older_app()) as http:
        yield ThingClient.from_url("/thing/", http)


def test_action_is_polled_until_its_end(client):
    assert client.count() == 0


def test_records_are_logged_once(client, caplog):
    with caplog.at_level(logging.INFO, "labthings.client"):
        client.count()
    messages = [r.getMessage() for r in caplog.records if r.name == "labthings.client.thing"]
    assert messages == ["step 1", "step 2", "step 3"]


def test_cancelled_action(client):
    with pytest.raises(InvocationCancelledError):
        client.stop()


def test_failed_action_tells_what_was_logged(client):
    with pytest.raises(ServerActionError, match=r"(?s)thing\.crash failed: ValueError: it broke.*Traceback: there"):
        client.crash()


def test_busy_global_lock(client):
    with pytest.raises(GlobalLockBusyError, match="it broke"):
        client.lock()


def test_failed_action_that_logged_nothing(client):
    with pytest.raises(ServerActionError, match="the server does not say why"):
        client.vanish()


def test_refused_action(client):
    with pytest.raises(FailedToInvokeActionError, match=r'{"reason":"tired"} \(503 Service Unavailable\)'):
        client.refuse()


def test_refused_value(client):
    with pytest.raises(ClientPropertyError, match=r"Writing thing\.value failed: not now \(409 Conflict\)") as caught:
        client.value = 3
    assert caught.value.problem.detail == "not now"


def test_invalid_value(client):
    with pytest.raises(ClientPropertyError, match=r"body: Input should be a valid integer.* \(422 ") as caught:
        client.value = "many"
    assert caught.value.problem.errors[0]["loc"] == ["body"]
