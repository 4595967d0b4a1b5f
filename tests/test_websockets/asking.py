"""Requests in the Web Thing Protocol."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

NUMBERS = count()


def send(websocket: Any, operation: str, **members: Any) -> str:
    """Make a request in the Web Thing Protocol, and give the correlation id of the response."""
    id = f"c{next(NUMBERS)}"
    request = {"messageType": "request", "operation": operation, "correlationID": id, **members}
    websocket.send_text(json.dumps(request))
    return id


def ask(websocket: Any, operation: str, **members: Any) -> dict[str, Any]:
    """Make a request, and give the response, which must be what comes next."""
    id = send(websocket, operation, **members)
    response: dict[str, Any] = websocket.receive_json()
    assert (response["messageType"], response["operation"]) == ("response", operation), response
    assert response["correlationID"] == members.get("correlationID", id), response
    return response


def error_of(response: dict[str, Any], status: str, *words: str) -> dict[str, Any]:
    """Check that a response is an error with a status, and that its detail has some words in it."""
    error: dict[str, Any] = response["error"]
    assert error["status"] == status, response
    assert error["type"]
    assert error["title"]
    for word in words:
        assert word in error["detail"]
    return error
