"""``labthings-server``, as a person at a terminal meets it."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from labthings.server.announcement import announcement, url_of
from labthings.server.cli import serve_from_cli
from labthings.server.cli.log_output import ThingLogFormatter

LAB = """
import labthings as lt
from collections.abc import Mapping

class Stage(lt.Thing):
    speed: float = lt.setting(default=1.0)

class Assistant(lt.Thing):
    stage: Stage = lt.thing_slot()
    spare: Stage | None = lt.thing_slot(None)
    every: Mapping[str, Stage] = lt.thing_slot()

class Shy(lt.Thing):
    def __init__(self, **kwargs):
        raise OSError("no camera on port 3")

class Pump(lt.Thing):
    def __init__(self, volume=10, **kwargs):
        super().__init__(**kwargs)

class Vague(lt.Thing):
    number: "Number" = lt.property(default=1)
    told: lt.Event["Number"] = lt.event()

    @lt.action
    def add(self, number: "Number") -> None: ...

    @lt.endpoint("get")
    def page(self, number: "Number") -> str: ...

class Lonely(lt.Thing):
    other: "Other" = lt.thing_slot()

class Odd(lt.Thing):
    number: int = lt.property(default=1, unit=3)
"""


@pytest.fixture(autouse=True)
def folder(current_folder: Path) -> Path:
    """The current folder, which has a module with Things."""
    (current_folder / "lab.py").write_text(LAB)
    return current_folder


@dataclass
class Terminal:
    """Runs commands, and keeps what they print."""

    capture: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    def run(self, *arguments: str, exits: int = 0) -> None:
        code: Any = 0
        try:
            serve_from_cli(arguments)
        except SystemExit as ending:
            code = ending.code
        self.out, self.err = self.capture.readouterr()
        assert code == exits, self.err


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


def things(**things: Any) -> str:
    return json.dumps({"things": things})


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# --- help ---------------------------------------------------------------------------------------------------


def test_help_names_the_options_and_commands(terminal: Terminal) -> None:
    terminal.run("--help")
    for option in ("--config", "--json", "--host", "--port", "5000", "--fallback", "--debug", "--version"):
        assert option in terminal.out
    for command in ("check", "schema", "init"):
        assert command in terminal.out


def test_version(terminal: Terminal) -> None:
    terminal.run("--version")
    assert terminal.out.startswith("labthings")


@pytest.mark.parametrize("command", [[], ["check"]])
def test_without_a_configuration_it_says_what_to_do(terminal: Terminal, command: list[str]) -> None:
    terminal.run(*command, exits=2)
    assert "Give a configuration file with -c FILE" in terminal.err
    assert "labthings-server init DIR" in terminal.err


def test_an_option_before_a_command_is_not_lost_silently(terminal: Terminal) -> None:
    terminal.run("-c", "config.json", "check", exits=2)
    assert "Write -c and -j after 'check', not before it." in terminal.err


# --- check --------------------------------------------------------------------------------------------------


def test_check_lists_things_and_slots(terminal: Terminal) -> None:
    terminal.run("check", "-j", things(stage="lab:Stage", helper={"class": "lab:Assistant"}))
    assert terminal.out.splitlines() == [
        "The configuration in --json would start, with 2 Things:",
        "",
        "  stage   lab:Stage",
        "  helper  lab:Assistant",
        "            stage: stage",
        "            spare: nothing",
        "            every: stage",
    ]


def test_check_of_no_things(terminal: Terminal) -> None:
    terminal.run("check", "-j", things())
    assert terminal.out == "The configuration in --json would start, but has no Things.\n"


def test_check_leaves_nothing_behind(terminal: Terminal, folder: Path) -> None:
    (folder / "config.json").write_text(things(stage="lab:Stage"))
    before = files(folder)
    terminal.run("check", "-c", "config.json")
    assert terminal.out.startswith("config.json would start, with 1 Thing:")
    assert files(folder) == before


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (
            {"stage": "lab:Stag"},
            "Error: The configuration in --json cannot be used:\n"
            "  things.stage: The module 'lab' has no 'Stag'. Did you mean 'Stage'?\n",
        ),
        (
            {"helper": "lab:Assistant"},
            "Error: The configuration in --json cannot be used:\n  The thing slot 'helper.stage' ",
        ),
        (
            {"stage": "lab:Stage", "camera": "lab:Shy"},
            "Error: The configuration in --json would not start with all its Things:\n"
            "  things.camera: OSError: no camera on port 3\n",
        ),
        (
            {"pump": {"class": "lab:Pump", "kwargs": {"volum": 3}}},
            "Error: The configuration in --json would not start with all its Things:\n"
            "  things.pump.kwargs.volum: Pump takes no such argument. Did you mean 'volume'?\n",
        ),
        (
            {"odd": "lab:Odd"},
            "Error: The configuration in --json would not start with all its Things:\n"
            "  things.odd: Its Thing Description is not valid: ",
        ),
        (
            {"lonely": "lab:Lonely"},
            "Error: The configuration in --json cannot be used:\n"
            "  The thing slot 'lonely.other' cannot be filled: The annotations of 'Lonely.other' cannot be evaluated: "
            "name 'Other' is not defined.",
        ),
    ],
)
def test_check_says_each_fault(terminal: Terminal, declared: dict[str, Any], expected: str) -> None:
    terminal.run("check", "-j", things(**declared), exits=3)
    assert terminal.err.startswith(expected)
    assert "Traceback" not in terminal.err
    assert terminal.out == ""


def test_check_finds_what_is_not_defined(terminal: Terminal) -> None:
    terminal.run("check", "-j", things(vague="lab:Vague", stage="lab:Stage"), exits=3)
    _, *lines = terminal.err.splitlines()
    for line, name in zip(lines, ["number", "told", "add", "page"], strict=True):
        assert line.startswith(f"  things.vague.{name}: ")
        assert f"The annotations of 'Vague.{name}' cannot be evaluated: name 'Number' is not defined." in line


def test_debug_shows_why_an_import_failed(terminal: Terminal, folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0")
    terminal.run("check", "-j", things(stage="broken:Stage"), exits=3)
    assert "Traceback" not in terminal.err
    terminal.run("check", "--debug", "-j", things(stage="broken:Stage"), exits=3)
    assert "Traceback" in terminal.err
    assert terminal.err.rstrip().endswith("ZeroDivisionError: division by zero")


# --- schema -------------------------------------------------------------------------------------------------


def test_schema_prints_a_json_schema(terminal: Terminal) -> None:
    terminal.run("schema")
    schema = json.loads(terminal.out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "switch_interval" in schema["properties"]


# --- init ---------------------------------------------------------------------------------------------------


def test_init_writes_a_project_that_check_accepts(
    terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = folder / "new" / "lab"
    terminal.run("init", str(project))
    assert files(project) == {"config.json", "config.schema.json", "pump.py", "test_pump.py", "README.md"}
    assert "labthings-server -c config.json" in terminal.out
    config = json.loads((project / "config.json").read_text())
    jsonschema.validate(config, json.loads((project / config["$schema"]).read_text()))
    monkeypatch.chdir(project)
    terminal.run("check", "-c", "config.json")
    assert "pump:SyringePump" in terminal.out


def test_init_overwrites_nothing(terminal: Terminal, folder: Path) -> None:
    (folder / "pump.py").write_text("mine")
    before = files(folder)
    terminal.run("init", ".", exits=3)
    assert "already has pump.py. Nothing was written" in terminal.err
    assert files(folder) == before
    assert (folder / "pump.py").read_text() == "mine"


def test_init_needs_a_folder(terminal: Terminal, folder: Path) -> None:
    terminal.run("init", str(folder / "lab.py"), exits=3)
    assert "lab.py cannot be written to: " in terminal.err


def test_the_tests_of_a_new_project_pass(terminal: Terminal, folder: Path) -> None:
    terminal.run("init", str(folder / "project"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    result = subprocess.run(command, cwd=folder / "project", capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout


# --- serve --------------------------------------------------------------------------------------------------


@contextmanager
def served(arguments: Sequence[str], cwd: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A server in another process, that has said where it is, and what it said. The port is any that is free."""
    command = [sys.executable, "-m", "labthings.server.cli", *arguments, "--port", "0"]
    flags: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=cwd, **flags) as process:
        patience = threading.Timer(60, process.kill)
        patience.start()
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            lines = []
            for line in process.stdout:
                lines.append(line.rstrip())
                if "Ctrl+C" in line:
                    break
            else:
                pytest.fail(f"It ended instead of starting:\n{process.stderr.read()}")
            yield process, lines
        finally:
            patience.cancel()
            process.kill()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_a_new_project_is_served_until_interrupted(terminal: Terminal, folder: Path) -> None:
    terminal.run("init", str(folder / "project"))
    with served(["-c", "config.json"], folder / "project") as (process, lines):
        pump = next(line.split()[1] for line in lines if line.startswith("  pump "))
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/pump/", pump)
        assert any(re.search(r"web browser at http://127\.0\.0\.1:\d+$", line) for line in lines)
        assert httpx.get(f"{pump}flow_rate").json() == 5
        httpx.put(f"{pump}flow_rate", json=60).raise_for_status()
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert re.search(r"^[\d-]+ [\d:.]+ INFO +pump: The pump is ready\.$", log, re.MULTILINE)
    assert "Traceback" not in log
    with served(["-c", "config.json"], folder / "project") as (process, lines):
        pump = next(line.split()[1] for line in lines if line.startswith("  pump "))
        assert httpx.get(f"{pump}flow_rate").json() == 60


def test_a_thing_that_fails_is_announced_with_the_reason(folder: Path) -> None:
    with served(["-j", things(stage="lab:Stage", camera="lab:Shy")], folder) as (_, lines):
        assert lines[0] == "Serving 2 Things, of which 1 failed to start:"
        assert "    failed to start: OSError: no camera on port 3" in lines
        stage = next(line.split()[1] for line in lines if line.startswith("  stage "))
        assert httpx.get(f"{stage}speed").json() == 1


def test_a_port_that_is_in_use(terminal: Terminal) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        terminal.run("-j", things(stage="lab:Stage"), "--port", str(port), exits=3)
    assert terminal.err.startswith(f"Error: Port {port} of 127.0.0.1 is in use")
    assert "--port" in terminal.err
    assert "lab" not in sys.modules


def test_a_host_that_is_not_this_computer(terminal: Terminal) -> None:
    terminal.run("-j", things(stage="lab:Stage"), "--host", "192.0.2.1", "--port", "0", exits=3)
    assert terminal.err.startswith("Error: This computer has no address '192.0.2.1'. Use --host 127.0.0.1")


def test_a_configuration_that_cannot_be_used_is_not_served(terminal: Terminal, folder: Path) -> None:
    (folder / "config.json").write_text('{"things": {"stage": {"class": "lab:Stage", "kwargs": {"port": 1}}}}')
    terminal.run("-c", "config.json", "--port", "0", exits=3)
    assert terminal.err == (
        "Error: config.json cannot be used:\n  things.stage.kwargs.port: Stage takes no such argument. It takes none.\n"
    )


# --- what is printed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logger", "shown"), [("labthings.things.stage", "stage"), ("labthings.server", "labthings.server")]
)
def test_the_log_names_the_thing(logger: str, shown: str) -> None:
    record = logging.LogRecord(logger, logging.WARNING, "stage.py", 1, "Too %s.", ("fast",), None)
    text = ThingLogFormatter().format(record)
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} WARNING  {re.escape(shown)}: Too fast\.", text)


@dataclass
class Status:
    state: str
    error: BaseException | None = None


@dataclass
class Server:
    statuses: dict[str, Status]
    api_prefix: str = "/api"


def test_an_announcement_says_where_everything_is() -> None:
    server = Server({"a": Status("running"), "b": Status("starting"), "camera": Status("failed", OSError("no"))})
    assert announcement(server, "http://lab:5000/").splitlines() == [
        "Serving 3 Things, of which 1 failed to start:",
        "",
        "  a       http://lab:5000/api/a/",
        "  b       http://lab:5000/api/b/",
        "    is still starting",
        "  camera  http://lab:5000/api/camera/",
        "    failed to start: OSError: no",
        "",
        "Try them in a web browser at http://lab:5000",
        "Press Ctrl+C to stop.",
    ]


def test_an_announcement_of_no_things() -> None:
    assert announcement(Server({}), "http://lab:5000").startswith("Serving 0 Things:")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("lab.example.org", "http://lab.example.org:80"),
        ("::", "http://[::1]:80"),
        ("fe80::1", "http://[fe80::1]:80"),
    ],
)
def test_the_url_of_a_host(host: str, url: str) -> None:
    assert url_of(host, 80) == url
