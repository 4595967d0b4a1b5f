from typing import Any

import pytest

from labthings.exceptions import ConfigurationError, MethodNotAllowedError
from labthings.routes.http import Route
from labthings.routes.table import Table


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request."""


async def other(scope: Any, receive: Any, send: Any) -> None:
    """Answer another request."""


def found(table: Table, path: str, method: str = "GET", root_path: str = "") -> Any:
    return table.find({"path": path, "method": method, "root_path": root_path})


def table_of(*routes: tuple[str, str]) -> Table:
    table = Table()
    table.add(Route(path, method, answer) for path, method in routes)
    return table


def test_paths_that_are_not_there():
    table = table_of(("/a/b", "GET"), ("/a/", "GET"), ("/i/{id}", "GET"))
    assert [found(table, path) for path in ("/", "", "/a/bc", "/a/b/c", "/i", "/i/", "/i/1/2", "/i//", "/b", "//")] == [
        None
    ] * 10


def test_a_slash_at_the_end_tells_two_resources_apart_only_if_there_are_two():
    table = table_of(("/a", "GET"), ("/b/", "GET"), ("/c", "GET"), ("/i/{id}", "GET"), ("/i/{id}/o", "GET"))
    table.add([Route("/c/", "GET", other)])
    for path in ("/a", "/a/", "/b", "/b/", "/c", "/i/1", "/i/1/", "/i/1/o", "/i/1/o/"):
        assert found(table, path) is answer, path
    assert found(table, "/c/") is other


@pytest.mark.parametrize("id", ["1", "urn:uuid:x", "ü b", "{id}", "o", "."])
def test_the_variable_part_of_a_path(id):
    table = Table()
    table.add([Route("/i/{id}", "GET", answer), Route("/i/{id}/o", "GET", other)])
    for path, handler in ((f"/i/{id}", answer), (f"/i/{id}/o", other)):
        scope: dict[str, Any] = {"path": path, "method": "GET", "root_path": ""}
        assert table.find(scope) is handler
        assert scope["path_params"] == {"id": id}


def test_a_fixed_path_comes_before_a_variable_one():
    table = table_of(("/i/{id}", "GET"))
    table.add([Route("/i/fixed", "GET", other)])
    assert found(table, "/i/fixed") is other
    assert found(table, "/i/else") is answer


def test_a_method_that_is_not_there():
    with pytest.raises(MethodNotAllowedError, match="does not take DELETE") as raised:
        found(table_of(("/a", "PUT"), ("/a", "GET")), "/a", "DELETE")
    assert raised.value.headers == [("Allow", "GET, HEAD, OPTIONS, PUT")]


def test_a_path_below_a_root_path():
    table = table_of(("/lab/a", "GET"), ("/a", "PUT"))
    assert found(table, "/lab/a", "PUT", root_path="/lab") is answer
    assert found(table, "/lab/lab/a", root_path="/lab") is answer
    assert found(table, "/lab/a") is answer


def test_two_handlers_for_one_method():
    table = table_of(("/a", "GET"))
    with pytest.raises(ConfigurationError, match="GET /a"):
        table.add([Route("/a", "GET", other)])


def test_what_it_has():
    table = table_of(("/a", "PUT"))
    assert table.has("/a", "PUT")
    assert not table.has("/a", "GET")
    assert not table.has("/b", "PUT")
    assert table.has_path("/a")
    assert not table.has_path("/b")
