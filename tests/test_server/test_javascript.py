"""The JavaScript module is served beside the Things, and by every LabSync."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

import labthings as lt
from labthings.sync import LabSync


class Supply(lt.Thing):
    """A power supply."""


@pytest.fixture(params=["", "/api/v1", "a LabSync"])
def answer(request: Any, client_of: Callable[..., Any]) -> Callable[..., Any]:
    if request.param != "a LabSync":
        client = client_of({"supply": Supply}, api_prefix=request.param)
        return lambda **headers: client.get(f"{request.param}/labthings.js", headers=headers)
    client = TestClient(LabSync().create_app())
    return lambda **headers: client.get("/sync/labthings.js", headers=headers)


def test_the_module_is_served(answer: Callable[..., Any]) -> None:
    module = answer()
    assert (module.status_code, module.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert module.headers["x-content-type-options"] == "nosniff"
    assert module.headers["cache-control"] == "no-cache"
    assert "export function live(" in module.text
    assert not re.search(r"^\s*(import|export .* from)\b", module.text, re.MULTILINE), "it needs nothing else"


def test_who_has_it_is_told_so(answer: Callable[..., Any]) -> None:
    tag = answer().headers["etag"]
    again = answer(**{"if-none-match": f"W/{tag}"})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert answer(**{"if-none-match": '"another"'}).status_code == 200


def test_it_can_only_be_read(client_of: Callable[..., Any], refused: Callable[..., Any]) -> None:
    client = client_of({"supply": Supply})
    assert client.head("/labthings.js").content == b""
    refused(client.put("/labthings.js", json=1), 405, "GET")
    refused(client.get("/labthings.js", headers={"origin": "http://evil.example"}), 403)
