"""Imports go downward only, files are short, and what the architecture rules out is not there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import labthings

PACKAGE = Path(labthings.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "project_template" not in path.parts)
MOST_LINES = 400

# From the ground up. A room may import from its own floor and those below it.
FLOORS = [
    [
        "dns_sd",
        "event_history",
        "exceptions",
        "global_lock",
        "http_client",
        "inbox",
        "introspection",
        "message_broker",
        "messages",
        "outputs.jpeg",
        "pacing",
        "retention",
        "settings_file",
        "settings_writer",
        "suggestions",
        "types",
        "workers",
    ],
    [
        "client_blobs",
        "invocation_contexts",
        "listeners",
        "logs",
        "outputs.blob",
        "outputs.blob_data",
        "outputs.download",
        "outputs.remote_data",
        "outputs.storage",
        "problem_details",
        "problem_reports",
        "thing_server_interface",
        "url_for",
    ],
    ["base_descriptor", "observable"],
    ["actions", "endpoints", "events", "outputs", "outputs.mjpeg_stream", "properties", "state", "thing_slots"],
    ["thing", "thing_settings"],
    ["thing_description"],
    ["routes", "websockets"],
    ["server", "sync"],
    ["client", "server.cli"],
    ["testing"],
    [""],
]
CLIENT_KNOWS = {
    "client",
    "dns_sd",
    "exceptions",
    "http_client",
    "outputs.blob",
    "problem_details",
    "problem_reports",
    "state",
    "suggestions",
    "thing_description.model",
    "types",
}
SYNC_KNOWS = {
    "exceptions",
    "pacing",
    "problem_details",
    "server.guard",
    "server.javascript",
    "state",
    "sync",
    "types.client_json",
    "websockets.room",
    "websockets.together",
    "websockets.wire",
    "workers",
}
KNOWS_FASTAPI = {"routes", "websockets", "server", "server.cli", "sync", ""}


def module(path: Path) -> str:
    """A file's module, without ``labthings.`` before it."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


@cache
def room(name: str) -> str:
    """The part of the package that a module belongs to."""
    rooms = [each for floor in FLOORS for each in floor]
    parts = name.split(".")
    candidates = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    found = next((each for each in candidates if each in rooms), None)
    assert found is not None or name == "", f"labthings.{name} is on no floor"
    return found or ""


@cache
def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(name) in rooms)


@cache
def imports(path: Path) -> list[str]:
    """The modules that a file imports, wherever in it."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            is_ours = node.module == "labthings" or str(node.module).startswith("labthings.")
            for each in node.names:
                is_module = is_ours and _is_module(f"{node.module}.{each.name}")
                yield f"{node.module}.{each.name}" if is_module else str(node.module)


def _is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def own_imports(path: Path) -> list[str]:
    ours = [each for each in imports(path) if each == "labthings" or each.startswith("labthings.")]
    return [each.removeprefix("labthings").removeprefix(".") for each in ours]


def test_imports_go_downward_only() -> None:
    upward = {(module(path), each) for path in FILES for each in own_imports(path) if floor(each) > floor(module(path))}
    assert upward == set()


def test_of_two_rooms_on_one_floor_only_one_knows_the_other() -> None:
    here_to_there = {(room(module(path)), room(each)) for path in FILES for each in own_imports(path)}
    knots = {(here, there) for here, there in here_to_there if here < there and (there, here) in here_to_there}
    assert knots == set()


def test_every_room_is_there() -> None:
    assert {room(module(path)) for path in FILES} == {each for rooms in FLOORS for each in rooms}


def test_the_client_knows_no_server() -> None:
    known = {each for path in FILES if room(module(path)) == "client" for each in own_imports(path)}
    assert {each for each in known if not any(f"{each}.".startswith(f"{own}.") for own in CLIENT_KNOWS)} == set()


def test_live_state_is_shared_without_things() -> None:
    known = {each for path in FILES if room(module(path)) == "sync" for each in own_imports(path)}
    assert {each for each in known if not any(f"{each}.".startswith(f"{own}.") for own in SYNC_KNOWS)} == set()


def test_only_the_upper_floors_know_fastapi() -> None:
    knowing = {room(module(path)) for path in FILES if {"fastapi", "starlette", "uvicorn"} & frameworks(path)}
    assert knowing <= KNOWS_FASTAPI


def frameworks(path: Path) -> set[str]:
    return {each.split(".")[0] for each in imports(path)}


def test_files_are_short_and_have_no_knots() -> None:
    texts = {module(path): path.read_text(encoding="utf-8") for path in FILES}
    assert {name for name, text in texts.items() if len(text.splitlines()) > MOST_LINES} == set()
    assert {name for name, text in texts.items() if "TYPE_CHECKING" in text or "BaseHTTPMiddleware" in text} == set()


def test_no_error_is_swallowed() -> None:
    handlers = [
        (module(path), node.lineno, ast.unparse(node.type) if node.type else "", node.body[0])
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
    ]
    assert [each for each in handlers if not each[2]] == [], "a bare `except`"
    broad = [each for each in handlers if each[2] in ("Exception", "BaseException", "AttributeError")]
    assert [each for each in broad if isinstance(each[3], ast.Pass)] == []


def test_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").exists()
