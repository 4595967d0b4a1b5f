"""The example configuration, as it is after cloning the project."""

import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

import labthings as lt
from labthings.thing_description import validate_thing_description

CONFIG = Path(__file__).parents[2] / "config.example.json"
AFFORDANCES = ("properties", "actions", "events")
THINGS = ["counter", "thermostat", "stage", "assistant", "camera", "spectrometer", "bias_supply"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with lt.ThingServer(_config(tmp_path_factory.mktemp("settings"))).test_client() as client:
        yield client


def test_all_its_things_run(client: Any) -> None:
    assert list(client.get("/things/").json()) == THINGS
    assert client.get("/health").json()["status"] == "running"


@pytest.mark.parametrize("name", THINGS)
def test_each_thing_description_is_valid(client: Any, name: str) -> None:
    description = client.get(f"/{name}/").json()
    validate_thing_description(description)
    for affordance in [each for kind in AFFORDANCES for each in description[kind].values()]:
        assert affordance["title"].endswith("."), "each has a docstring of its own"


@pytest.mark.parametrize("name", THINGS)
def test_every_quantity_has_a_unit(client: Any, name: str) -> None:
    description = client.get(f"/{name}/").json()
    inputs = [action.get("input", {}).get("properties", {}) for action in description["actions"].values()]
    data = {name: event.get("data", {}) for name, event in description["events"].items()}
    for described in (description["properties"], data, *inputs):
        assert [
            each for each, schema in described.items() if schema.get("type") == "number" and "unit" not in schema
        ] == []


def test_the_things_work_together(client: Any) -> None:
    scan = client.post("/assistant/scan?wait=20", json={"length": 20, "points": 2}).json()
    assert [each["name"] for each in scan["output"]["columns"]] == ["x", "y", "z", "temperature", "signal"]
    assert client.get("/counter/count").json() == 2


def test_settings_are_kept_where_git_ignores_them() -> None:
    folder = json.loads(CONFIG.read_text(encoding="utf-8"))["settings_folder"]
    assert folder == "./settings"
    assert "/settings/" in (CONFIG.parent / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_a_server_that_is_killed_in_a_ramp_has_kept_its_settings(tmp_path: Path) -> None:
    with _running(tmp_path) as (process, url), _observing(f"{url}/thermostat/ws", "temperature") as until:
        assert httpx.put(f"{url}/thermostat/ramp_rate", json=120).status_code == 204
        httpx.post(f"{url}/thermostat/ramp_to", json={"temperature": 90})
        until(lambda data: data["temperature"] > 20.1)
        process.kill()
    with lt.ThingServer(_config(tmp_path)).test_client() as client:
        values = client.get("/thermostat/properties").json()
        assert (values["ramp_rate"], values["set_point"]) == (120, 20)


def test_a_server_that_is_stopped_in_a_ramp_ends_it(tmp_path: Path) -> None:
    server = lt.ThingServer(_config(tmp_path))
    with server.test_client() as client:
        href = client.post("/thermostat/ramp_to?wait=0.1", json={"temperature": 90}).json()["href"]
    invocation = server.action_manager.get(href.rpartition("/")[2])
    assert invocation.status == "cancelled"


def _config(settings_folder: Path) -> dict[str, Any]:
    return {**json.loads(CONFIG.read_text(encoding="utf-8")), "settings_folder": str(settings_folder)}


@contextmanager
def _running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of the configuration in a process of its own, started from the folder that has it."""
    program = shutil.which("labthings-server", path=sysconfig.get_path("scripts"))
    assert program is not None
    changes = json.dumps({"settings_folder": str(folder)})
    command = [program, "-c", CONFIG.name, "-j", changes, "--port", "0"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=CONFIG.parent, **pipes) as process:
        try:
            assert process.stdout is not None
            found = (re.search(r"(http://\S+)/counter/", line) for line in process.stdout)
            yield process, next(match[1] for match in found if match)
        finally:
            process.kill()


@contextmanager
def _observing(url: str, name: str) -> Iterator[Callable[[Callable[[dict[str, Any]], Any]], None]]:
    with connect("ws" + url.removeprefix("http")) as websocket:
        websocket.send(json.dumps({"messageType": "addPropertyObservation", "data": {name: True}}))

        def until(condition: Callable[[dict[str, Any]], Any]) -> None:
            while not condition(json.loads(websocket.recv(timeout=10))["data"]):
                pass

        yield until
